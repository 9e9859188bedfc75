//! The format of archives.
//!
//! An archive is one gzip file. Unpacked it is the line `jetmill archive 1` and then messages of protobuf, [`Frame`], each
//! after its length as a varint:
//!
//! 1. [`Header`]: what was selected.
//! 2. A checkpoint, `CheckpointSigned` of `schemas/proto/jetmill/v1/events.proto`, unless the archive begins with the log.
//!    Its subtrees are the tree of everything before.
//! 3. One [`Entry`] per record of the log, without gaps and in its order, up to the next checkpoint, and that checkpoint;
//!    as often as there are checkpoints. An entry of a record that was selected holds the record; of any other only the
//!    digests that its leaf is made of ([`crate::Leaf`]).
//! 4. In segments of history, [`IndexPage`]: which records are of which inference.
//! 5. [`End`]: how much it was, and in segments where each part stands.
//!
//! To verify: grow the tree of 2 by the leaves of 3; at each checkpoint its root is the one that was signed. Every record
//! that is there has the digests of its entry. Every fact but the first of an inference names the SHA-256 of an earlier one of
//! the same inference, and no entry without its record belongs to an inference of which other facts are shown.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use prost::{Message, Oneof};
use schemas::v1::CheckpointSigned;

use crate::AuditError;

pub(crate) const FIRST_LINE: &[u8] = b"jetmill archive 1\n";
/// A record with its digests; the log takes none that is larger.
pub(crate) const MAX_FRAME_BYTES: usize = bus::DEFAULT_MAX_RECORD_BYTES + (1 << 20);

/// A part of an archive.
#[derive(Clone, PartialEq, Message)]
pub struct Frame {
    /// Which part.
    #[prost(oneof = "Part", tags = "1, 2, 3, 4, 5")]
    pub part: Option<Part>,
}

/// The parts.
#[derive(Clone, PartialEq, Oneof)]
pub enum Part {
    /// The first part.
    #[prost(message, tag = "1")]
    Header(Header),
    /// A signed root.
    #[prost(message, tag = "2")]
    Checkpoint(CheckpointSigned),
    /// A record, or what proves that it is another's.
    #[prost(message, tag = "3")]
    Entry(Entry),
    /// The last part.
    #[prost(message, tag = "4")]
    End(End),
    /// A part of the index.
    #[prost(message, tag = "5")]
    IndexPage(IndexPage),
}

/// What was selected.
#[derive(Clone, PartialEq, Message)]
pub struct Header {
    /// Only inferences that were requested at or after this time.
    #[prost(uint64, optional, tag = "1")]
    pub from_unix_nanos: Option<u64>,
    /// Only inferences that were requested before this time.
    #[prost(uint64, optional, tag = "2")]
    pub to_unix_nanos: Option<u64>,
    /// Only inferences of this tenant; empty: of all.
    #[prost(string, tag = "3")]
    pub tenant: String,
    /// Only this inference; empty: all.
    #[prost(string, tag = "4")]
    pub inference: String,
    /// When the archive was made.
    #[prost(uint64, tag = "5")]
    pub made_at_unix_nanos: u64,
}

impl Header {
    /// Whether every record is there.
    pub fn is_of_everything(&self) -> bool {
        let made_at_unix_nanos = self.made_at_unix_nanos;
        *self == Self { made_at_unix_nanos, ..Self::default() }
    }
}

/// One record of the log.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    /// Position in the stream.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// See [`crate::Leaf`].
    #[prost(bytes = "vec", tag = "2")]
    pub inference: Vec<u8>,
    /// See [`crate::Leaf`].
    #[prost(bytes = "vec", tag = "3")]
    pub content: Vec<u8>,
    /// Present if it was selected.
    #[prost(message, optional, tag = "4")]
    pub fact: Option<StoredFact>,
}

/// A record as the log holds it.
#[derive(Clone, PartialEq, Message)]
pub struct StoredFact {
    /// Its subject.
    #[prost(string, tag = "1")]
    pub subject: String,
    /// When the log stored it, as the log says; not signed, unlike the time in the envelope.
    #[prost(uint64, tag = "2")]
    pub stored_at_unix_nanos: u64,
    /// The encoded `Envelope`, byte for byte, as the log stores it.
    #[prost(bytes = "vec", tag = "3")]
    pub envelope: Vec<u8>,
    /// Instead of the envelope its SHA-256, if the object store had lost the content when the archive was made.
    #[prost(bytes = "vec", tag = "4")]
    pub missing_content: Vec<u8>,
}

/// A part of a segment's index.
#[derive(Clone, PartialEq, Message)]
pub struct IndexPage {
    /// 24 bytes a record, sorted over all pages: the id of its inference, and its sequence, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub entries: Vec<u8>,
}

/// Where a part of a segment stands: a gzip member of its own.
#[derive(Clone, PartialEq, Message)]
pub struct Piece {
    /// From the beginning of the file.
    #[prost(uint64, tag = "1")]
    pub offset: u64,
    /// Its length in the file.
    #[prost(uint64, tag = "2")]
    pub num_bytes: u64,
    /// SHA-256 of these bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub sha256: Vec<u8>,
    /// Of a block of entries: the first one's.
    #[prost(uint64, tag = "4")]
    pub first_sequence: u64,
    /// Of a page of the index: its first entry.
    #[prost(bytes = "vec", tag = "5")]
    pub first_entry: Vec<u8>,
}

/// How much the archive holds.
#[derive(Clone, PartialEq, Message)]
pub struct End {
    /// Entries.
    #[prost(uint64, tag = "1")]
    pub num_entries: u64,
    /// Entries with a record.
    #[prost(uint64, tag = "2")]
    pub num_facts: u64,
    /// Of a segment: its blocks, each of the entries up to the next one's first.
    #[prost(message, repeated, tag = "3")]
    pub blocks: Vec<Piece>,
    /// Of a segment: the pages of its index.
    #[prost(message, repeated, tag = "4")]
    pub pages: Vec<Piece>,
    /// Of a segment: the inferences that had not ended by its end.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub open_inferences: Vec<Vec<u8>>,
    /// The sequence of the first fact of each of these.
    #[prost(uint64, repeated, tag = "6")]
    pub open_sequences: Vec<u64>,
}

/// Writes an archive; the file appears under its name when it is whole.
pub struct ArchiveWriter {
    encoder: GzEncoder<BufWriter<File>>,
    unfinished: PathBuf,
    path: PathBuf,
}

impl ArchiveWriter {
    /// An archive that begins.
    pub fn create(path: &Path) -> Result<Self, AuditError> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let unfinished = path.with_file_name(name);
        let failed = |error| AuditError::File { path: unfinished.clone(), error };
        let file = File::create(&unfinished).map_err(failed)?;
        let mut encoder = GzEncoder::new(BufWriter::new(file), Compression::default());
        encoder.write_all(FIRST_LINE).map_err(failed)?;
        Ok(Self { encoder, path: path.to_owned(), unfinished })
    }

    /// Appends a part.
    pub fn write(&mut self, part: Part) -> Result<(), AuditError> {
        let bytes = Frame { part: Some(part) }.encode_length_delimited_to_vec();
        self.encoder.write_all(&bytes).map_err(|error| self.failed(error))
    }

    /// Everything was written.
    pub fn finish(mut self) -> Result<(), AuditError> {
        let finish = |encoder: &mut GzEncoder<BufWriter<File>>| {
            encoder.try_finish()?;
            encoder.get_mut().flush()?;
            encoder.get_ref().get_ref().sync_all()
        };
        finish(&mut self.encoder).map_err(|error| self.failed(error))?;
        std::fs::rename(&self.unfinished, &self.path).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: std::io::Error) -> AuditError {
        AuditError::File { path: self.path.clone(), error }
    }
}

impl Drop for ArchiveWriter {
    /// What was not finished goes; after the rename nothing stands under this name.
    fn drop(&mut self) {
        std::fs::remove_file(&self.unfinished).ok();
    }
}

/// Why an archive cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Rubbish.
    #[error("this is no archive")]
    NoArchive,
    /// It ends before its end.
    #[error("the archive is cut off")]
    CutOff,
    /// Bytes were changed so that nothing can be read there.
    #[error("the archive is damaged: {0}")]
    Unreadable(String),
}

/// Reads an archive part by part.
pub struct ArchiveReader<R> {
    decoder: BufReader<MultiGzDecoder<R>>,
}

impl ArchiveReader<BufReader<File>> {
    /// The archive in a file; `Err(File)` if the system cannot open it.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let file = File::open(path).map_err(|error| AuditError::File { path: path.to_owned(), error })?;
        Ok(Self::new(BufReader::new(file)))
    }
}

impl<R: Read> ArchiveReader<R> {
    /// The archive in these bytes.
    pub fn new(bytes: R) -> Self {
        Self { decoder: BufReader::new(MultiGzDecoder::new(bytes)) }
    }

    /// Reads the first line.
    pub fn begin(&mut self) -> Result<(), Damage> {
        let mut line = [0; FIRST_LINE.len()];
        match self.decoder.read_exact(&mut line) {
            Ok(()) if line == FIRST_LINE => Ok(()),
            _ => Err(Damage::NoArchive),
        }
    }

    /// The next part; `None` where the file ends.
    pub fn next_part(&mut self) -> Result<Option<Part>, Damage> {
        let Some(num_bytes) = self.length()? else { return Ok(None) };
        if num_bytes > MAX_FRAME_BYTES as u64 {
            return Err(Damage::Unreadable(format!("a part of {num_bytes} bytes")));
        }
        let mut bytes = Vec::new();
        let num_read =
            self.decoder.by_ref().take(num_bytes).read_to_end(&mut bytes).map_err(|error| damage(&error))?;
        if (num_read as u64) < num_bytes {
            return Err(Damage::CutOff);
        }
        let frame = Frame::decode(bytes.as_slice()).map_err(|error| Damage::Unreadable(error.to_string()))?;
        frame.part.map(Some).ok_or_else(|| Damage::Unreadable("a part of an unknown kind".to_owned()))
    }

    /// A varint; `None` where the file ends before its first byte.
    fn length(&mut self) -> Result<Option<u64>, Damage> {
        let mut length = 0u64;
        for shift in (0..63).step_by(7) {
            let mut byte = [0];
            match self.decoder.read(&mut byte).map_err(|error| damage(&error))? {
                0 if shift == 0 => return Ok(None),
                0 => return Err(Damage::CutOff),
                _ => length |= u64::from(byte[0] & 0x7f) << shift,
            }
            if byte[0] < 0x80 {
                return Ok(Some(length));
            }
        }
        Err(Damage::Unreadable("a length that never ends".to_owned()))
    }
}

fn damage(error: &std::io::Error) -> Damage {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Damage::CutOff,
        _ => Damage::Unreadable(error.to_string()),
    }
}
