//! Reads parts of a segment, each checked against its digest.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bus::{BusError, MissingContent, Record};
use flate2::read::GzDecoder;
use prost::Message as _;
use schemas::v1::SegmentArchived;
use schemas::{FactHash, InferenceId};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{INDEX_ENTRY_BYTES, index_entry, sha256};
use crate::archive::{End, Entry, FIRST_LINE, Frame, MAX_FRAME_BYTES, Part, Piece};

/// What a piece may unpack to; a block is closed before it takes another record.
const MAX_PIECE_BYTES: u64 = 2 * MAX_FRAME_BYTES as u64;
const HASHED_AT_ONCE_BYTES: usize = 1 << 20;

/// A segment that is there, of the size and with the end that were recorded. Its calls block on the disk.
pub(crate) struct SegmentFile {
    file: File,
    name: String,
    end: End,
}

impl SegmentFile {
    /// Opens a segment and does something with it, off the runtime.
    pub(crate) async fn with<T: Send + 'static>(
        directory: &Path,
        segment: &SegmentArchived,
        work: impl FnOnce(Self) -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        let (directory, wanted) = (directory.to_owned(), segment.clone());
        let done = tokio::task::spawn_blocking(move || work(Self::open(&directory, &wanted)?)).await;
        done.map_err(|error| BusError::Archive { segment: segment.file.clone(), reason: error.to_string() })?
    }

    /// Opens the file that the record tells of; `Err(Archive)` names it if it is not there or not it.
    fn open(directory: &Path, segment: &SegmentArchived) -> Result<Self, BusError> {
        let path: PathBuf = directory.join(&segment.file);
        let name = path.display().to_string();
        let refused = |reason: String| BusError::Archive { segment: name.clone(), reason };
        let file = File::open(&path).map_err(|error| refused(format!("it cannot be opened: {error}")))?;
        let num_bytes = file.metadata().map_err(|error| refused(error.to_string()))?.len();
        if num_bytes != segment.num_bytes {
            return Err(refused(format!("it has {num_bytes} bytes, and had {}", segment.num_bytes)));
        }
        let end = Piece {
            offset: segment.end_offset,
            num_bytes: num_bytes.saturating_sub(segment.end_offset),
            sha256: segment.end_sha256.clone(),
            ..Piece::default()
        };
        let mut opened = Self { file, name, end: End::default() };
        match opened.parts(&end)?.pop() {
            Some(Part::End(end)) => opened.end = end,
            _ => return Err(opened.damaged("it does not end as it should")),
        }
        Ok(opened)
    }

    /// Whether every byte is what was written.
    pub(crate) fn check_whole(&self, segment: &SegmentArchived) -> Result<(), BusError> {
        let (mut digest, mut bytes) = (Sha256::new(), vec![0; HASHED_AT_ONCE_BYTES]);
        let mut file = &self.file;
        let failed = |error: std::io::Error| self.damaged(&error.to_string());
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        loop {
            let num_read = file.read(&mut bytes).map_err(failed)?;
            if num_read == 0 {
                break;
            }
            digest.update(&bytes[..num_read]);
        }
        if digest.finalize().as_slice() == segment.sha256 {
            return Ok(());
        }
        Err(self.damaged("its SHA-256 is not the one that was recorded"))
    }

    /// How many blocks there are.
    pub(crate) const fn num_blocks(&self) -> usize {
        self.end.blocks.len()
    }

    /// The block that holds the record at a sequence, if the segment does.
    pub(crate) fn block_of(&self, sequence: u64) -> usize {
        self.end.blocks.partition_point(|block| block.first_sequence <= sequence).saturating_sub(1)
    }

    /// The entries of a block, in the order of the log.
    pub(crate) fn block(&self, number: usize) -> Result<Vec<Entry>, BusError> {
        let Some(block) = self.end.blocks.get(number) else { return Ok(Vec::new()) };
        let parts = self.parts(block)?.into_iter();
        Ok(parts.filter_map(|part| if let Part::Entry(entry) = part { Some(entry) } else { None }).collect())
    }

    /// The entries of one inference, in the order of the log.
    pub(crate) fn entries_of(&self, id: InferenceId) -> Result<Vec<Entry>, BusError> {
        let mut entries = Vec::new();
        let mut opened: Option<(usize, Vec<Entry>)> = None;
        for sequence in self.sequences_of(id)? {
            let number = self.block_of(sequence);
            let block = match opened.take() {
                Some((open, block)) if open == number => block,
                _ => self.block(number)?,
            };
            let entry = block.iter().find(|entry| entry.sequence == sequence);
            entries
                .push(entry.ok_or_else(|| self.damaged("its index names a record that it has not"))?.clone());
            opened = Some((number, block));
        }
        Ok(entries)
    }

    /// The inferences that had not ended, with the sequences of their first facts.
    pub(crate) fn open_inferences(&self) -> impl Iterator<Item = (InferenceId, u64)> {
        let ids = self
            .end
            .open_inferences
            .iter()
            .filter_map(|bytes| Some(InferenceId::new(Uuid::from_slice(bytes).ok()?)));
        ids.zip(self.end.open_sequences.iter().copied())
    }

    fn sequences_of(&self, id: InferenceId) -> Result<Vec<u64>, BusError> {
        let first = index_entry(id, 0);
        let last = index_entry(id, u64::MAX);
        let from = self.end.pages.partition_point(|page| page.first_entry.as_slice() <= &first[..]);
        let pages = self.end.pages.iter().skip(from.saturating_sub(1));
        let mut sequences = Vec::new();
        for page in pages.take_while(|page| page.first_entry.as_slice() <= &last[..]) {
            for part in self.parts(page)? {
                let Part::IndexPage(page) = part else {
                    return Err(self.damaged("its index holds something else"));
                };
                let (entries, _) = page.entries.as_chunks::<INDEX_ENTRY_BYTES>();
                let of_it = entries.iter().filter(|entry| entry[..16] == first[..16]);
                sequences
                    .extend(of_it.filter_map(|entry| entry[16..].try_into().ok().map(u64::from_be_bytes)));
            }
        }
        Ok(sequences)
    }

    /// The parts of a piece, which must have its digest.
    fn parts(&self, piece: &Piece) -> Result<Vec<Part>, BusError> {
        let failed = |error: std::io::Error| self.damaged(&error.to_string());
        let num_bytes = self.file.metadata().map_err(failed)?.len();
        if piece.num_bytes > num_bytes {
            return Err(self.damaged("a part is larger than the file"));
        }
        let mut packed = vec![0; usize::try_from(piece.num_bytes).unwrap_or(0)];
        self.file.read_exact_at(&mut packed, piece.offset).map_err(failed)?;
        if sha256(&packed).as_slice() != piece.sha256 {
            return Err(self.damaged(&format!("the bytes from {} on were changed", piece.offset)));
        }
        let mut unpacked = Vec::new();
        let decoder = GzDecoder::new(packed.as_slice());
        decoder.take(MAX_PIECE_BYTES).read_to_end(&mut unpacked).map_err(failed)?;
        let mut rest = unpacked.strip_prefix(FIRST_LINE).unwrap_or(&unpacked);
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let frame = Frame::decode_length_delimited(&mut rest)
                .map_err(|error| self.damaged(&error.to_string()))?;
            parts.push(frame.part.ok_or_else(|| self.damaged("a part of an unknown kind"))?);
        }
        Ok(parts)
    }

    /// The record of an entry, as the log held it; `Err(Object)` if its content was gone when the segment was written.
    pub(crate) fn record(&self, entry: Entry) -> Result<Record, BusError> {
        let Some(fact) = entry.fact else { return Err(self.damaged("a record was taken out")) };
        if let Some(hash) = FactHash::from_slice(&fact.missing_content) {
            return Err(BusError::Object {
                name: fact.subject.clone(),
                reason: "it was gone when the record was archived".to_owned(),
                missing: Some(Box::new(MissingContent {
                    sequence: entry.sequence,
                    subject: fact.subject,
                    stored_at_unix_nanos: fact.stored_at_unix_nanos,
                    hash,
                })),
            });
        }
        Ok(Record {
            sequence: entry.sequence,
            subject: fact.subject,
            payload: fact.envelope.into(),
            stored: None,
            stored_at_unix_nanos: fact.stored_at_unix_nanos,
        })
    }

    fn damaged(&self, reason: &str) -> BusError {
        BusError::Archive { segment: self.name.clone(), reason: reason.to_owned() }
    }
}
