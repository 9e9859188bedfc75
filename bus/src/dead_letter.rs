//! What the stream of dead letters holds: where a record came from, why it was given up, and the record.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{BusError, StreamName};

/// A record that could not be processed. Encoded as one line of JSON (all but the payload), a line feed, the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Name of the stream it came from.
    pub stream: String,
    /// Its position there.
    pub sequence: u64,
    /// Its subject there.
    pub subject: String,
    /// The consumer that gave it up.
    pub consumer: String,
    /// Why, without content.
    pub reason: String,
    /// Its bytes.
    #[serde(skip)]
    pub payload: Bytes,
}

impl DeadLetter {
    /// `dead_letters.<stream>.<consumer>.<sequence>`: one per record and consumer.
    pub fn subject_of(stream: StreamName, consumer: &str, sequence: u64) -> String {
        format!("dead_letters.{}.{consumer}.{sequence}", stream.as_str())
    }

    /// The bytes that the stream keeps.
    pub fn encode(&self) -> Bytes {
        let mut bytes = serde_json::json!({
            "stream": self.stream,
            "sequence": self.sequence,
            "subject": self.subject,
            "consumer": self.consumer,
            "reason": self.reason,
        })
        .to_string()
        .into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.payload);
        Bytes::from(bytes)
    }

    /// Reads what [`encode`](Self::encode) wrote. `Err(Refused)` for anything else.
    pub fn decode(bytes: &Bytes) -> Result<Self, BusError> {
        let end = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| BusError::Refused("a dead letter without its head".to_owned()))?;
        let mut letter: Self = serde_json::from_slice(&bytes[..end])
            .map_err(|error| BusError::Refused(format!("a dead letter with a broken head: {error}")))?;
        letter.payload = bytes.slice(end + 1..);
        Ok(letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_decodes_to_itself() {
        let letter = DeadLetter {
            stream: "INFERENCE".to_owned(),
            sequence: 7,
            subject: "inference.requested.t.1".to_owned(),
            consumer: "router".to_owned(),
            reason: "\"quoted\"\nand broken".to_owned(),
            payload: Bytes::from_static(b"\n\0binary"),
        };
        assert_eq!(DeadLetter::decode(&letter.encode()), Ok(letter));
        assert!(DeadLetter::decode(&Bytes::from_static(b"{}\n")).is_err());
        assert!(DeadLetter::decode(&Bytes::from_static(b"no head")).is_err());
    }
}
