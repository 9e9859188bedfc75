//! Sizes and shapes that are checked before anything goes to the broker.

use crate::{Append, BusError, StreamName, subject_pattern};

/// Above this size a payload goes through the object store and a stub takes its place.
pub const CLAIM_CHECK_BYTES: usize = 256 * 1024;

/// Largest payload of one record, unless the options say otherwise.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// Largest subject; the server's control line ends at 4 KB.
const MAX_SUBJECT_BYTES: usize = 1_024;

/// What a dead letter says of its record, on top of the record.
const MAX_DEAD_LETTER_HEAD_BYTES: usize = 16 * 1024;

/// `Err(Refused)` for a subject that is no literal of its stream, `Err(TooLarge)` above `max_num_bytes`.
pub(crate) fn check_append(append: &Append, max_num_bytes: usize) -> Result<(), BusError> {
    let Append { stream, subject, payload, .. } = append;
    if subject.len() > MAX_SUBJECT_BYTES || !subject_pattern::is_literal(subject) {
        return Err(BusError::Refused(format!(
            "'{subject}' is no literal subject of at most {MAX_SUBJECT_BYTES} bytes"
        )));
    }
    if !subject_pattern::is_match(stream.subjects(), subject) {
        return Err(BusError::Refused(format!("'{subject}' is no subject of stream {}", stream.as_str())));
    }
    let head_bytes = if *stream == StreamName::DeadLetters { MAX_DEAD_LETTER_HEAD_BYTES } else { 0 };
    if payload.len() > max_num_bytes + head_bytes {
        return Err(BusError::TooLarge { subject: subject.clone(), num_bytes: payload.len(), max_num_bytes });
    }
    Ok(())
}

/// `Err(Refused)` for a message that a stream would capture, or on no literal subject.
pub(crate) fn check_message(subject: &str) -> Result<(), BusError> {
    let is_captured =
        || StreamName::ALL.iter().any(|stream| subject_pattern::is_match(stream.subjects(), subject));
    if subject.len() > MAX_SUBJECT_BYTES || !subject_pattern::is_literal(subject) || is_captured() {
        return Err(BusError::Refused(format!("'{subject}' is no literal subject outside of the streams")));
    }
    Ok(())
}

/// `Err(Refused)` for a stream that keeps what it has, or a pattern of another one.
pub(crate) fn check_purge(stream: StreamName, pattern: &str) -> Result<(), BusError> {
    check_pattern(pattern)?;
    // What every record of the pattern begins with must be the stream's own.
    let is_own = pattern.split('.').next() == stream.subjects().split('.').next();
    if stream == StreamName::Files && is_own {
        return Ok(());
    }
    Err(BusError::Refused(format!("records on '{pattern}' of stream {} are kept", stream.as_str())))
}

/// `Err(Refused)` for a stream whose beginning is not to be forgotten.
pub(crate) fn check_forget(stream: StreamName) -> Result<(), BusError> {
    match stream {
        StreamName::Inference => Ok(()),
        _ => Err(BusError::Refused(format!("the beginning of stream {} is kept", stream.as_str()))),
    }
}

/// `Err(Refused)` for what nobody can subscribe to.
pub(crate) fn check_pattern(pattern: &str) -> Result<(), BusError> {
    if pattern.len() > MAX_SUBJECT_BYTES || !subject_pattern::is_pattern(pattern) {
        return Err(BusError::Refused(format!("'{pattern}' is no subject pattern")));
    }
    Ok(())
}
