//! The lines of a batch, in their order.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use bus::{BusError, EventLog, FileBytes, StoredFile};
use futures_util::StreamExt as _;
use tokio_util::io::StreamReader;

use super::line_codec::{LineCodec, Row};
use super::line_reader::{Line, LineReader};

type ChunkReader =
    StreamReader<futures_util::stream::BoxStream<'static, io::Result<bytes::Bytes>>, bytes::Bytes>;

/// A numbered line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InputLine {
    /// From 1.
    pub(super) number: u64,
    /// Its bytes, or what is wrong with the line whatever it asks for.
    pub(super) content: Result<Vec<u8>, Row>,
}

/// Reads the file of a batch from its beginning.
pub(super) struct Input {
    reader: LineReader<ChunkReader>,
    codec: Arc<dyn LineCodec>,
    num_read: u64,
    /// Digests of the custom ids so far: 8 bytes a line are all that grows with the file.
    custom_ids: HashSet<u64>,
}

/// Counts lines, and stops past `max_num`; lines longer than `max_line_bytes` count.
pub(super) async fn count_lines(
    log: &dyn EventLog,
    file: &StoredFile,
    max_line_bytes: usize,
    max_num: u64,
) -> Result<u64, BusError> {
    let mut reader = LineReader::new(open(log, file).await?, max_line_bytes);
    let mut num_lines = 0;
    while num_lines <= max_num && reader.next().await.map_err(broken)?.is_some() {
        num_lines += 1;
    }
    Ok(num_lines)
}

impl Input {
    /// Opens the file; lines longer than `max_line_bytes` are passed over.
    pub(super) async fn open(
        log: &dyn EventLog,
        file: &StoredFile,
        codec: &Arc<dyn LineCodec>,
        max_line_bytes: usize,
    ) -> Result<Self, BusError> {
        let reader = LineReader::new(open(log, file).await?, max_line_bytes);
        Ok(Self { reader, codec: Arc::clone(codec), num_read: 0, custom_ids: HashSet::new() })
    }

    /// The next line; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<InputLine>, BusError> {
        let Some((line, _)) = self.reader.next().await.map_err(broken)? else { return Ok(None) };
        self.num_read += 1;
        let number = self.num_read;
        let content = match line {
            Line::TooLong => {
                let message = "the line is longer than a request may be";
                Err(self.codec.refuse(number, None, "line_too_long", message))
            }
            Line::Whole(line) if self.is_repeated(&line) => {
                let message = "an earlier line has this custom_id";
                Err(self.codec.refuse(number, Some(&line), "duplicate_custom_id", message))
            }
            Line::Whole(line) => Ok(line),
        };
        Ok(Some(InputLine { number, content }))
    }

    /// Reads on behind `num_lines` lines.
    pub(super) async fn skip(&mut self, num_lines: u64) -> Result<(), BusError> {
        while self.num_read < num_lines && self.next().await?.is_some() {}
        Ok(())
    }

    fn is_repeated(&mut self, line: &[u8]) -> bool {
        let Some(custom_id) = self.codec.custom_id(line) else { return false };
        let digest = blake3::hash(custom_id.as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest.as_bytes()[..8]);
        !self.custom_ids.insert(u64::from_le_bytes(bytes))
    }
}

async fn open(log: &dyn EventLog, file: &StoredFile) -> Result<ChunkReader, BusError> {
    let chunks: FileBytes = bus::read_file(log, &file.tenant, &file.id, file.created.num_chunks).await?;
    Ok(StreamReader::new(chunks.map(|chunk| chunk.map_err(io::Error::other)).boxed()))
}

/// The bus's own error, as it went through the reader.
fn broken(error: io::Error) -> BusError {
    let text = error.to_string();
    let inner = error.into_inner().and_then(|inner| inner.downcast::<BusError>().ok());
    inner.map_or(BusError::Unreachable(text), |inner| *inner)
}
