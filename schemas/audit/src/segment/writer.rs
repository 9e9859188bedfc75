//! Writes a segment; memory holds a block and 24 bytes a record.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bus::subjects;
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::{INDEX_ENTRY_BYTES, IndexEntry, index_entry, sha256};
use crate::AuditError;
use crate::archive::{End, Entry, FIRST_LINE, Frame, IndexPage, Part, Piece};

/// A block is closed when it holds so much, unpacked.
const BLOCK_BYTES: usize = 1 << 20;
/// Entries of one page: what a look-up reads of the index.
const PAGE_ENTRIES: usize = 1_024;

/// A segment that is being written, under a name of its own until it is whole.
pub(crate) struct SegmentWriter {
    file: File,
    path: PathBuf,
    directory: PathBuf,
    /// The block so far, unpacked.
    block: Vec<u8>,
    /// Sequence of the block's first record.
    block_first: Option<u64>,
    offset: u64,
    digest: Sha256,
    end: End,
    index: Vec<IndexEntry>,
    num_unpacked_bytes: u64,
    first_sequence: u64,
    last_sequence: u64,
}

/// A segment that is whole and durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) file: String,
    pub(crate) num_bytes: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) end_offset: u64,
    pub(crate) end_sha256: [u8; 32],
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) num_records: u64,
}

impl SegmentWriter {
    /// Begins segment `number`; `token` tells this writer's file from that of another who writes the same one.
    pub(crate) fn create(directory: &Path, number: u64, token: &str) -> Result<Self, AuditError> {
        let path = directory.join(format!("segment-{number:010}.{token}.unfinished"));
        let failed = |error| AuditError::File { path: path.clone(), error };
        fs::create_dir_all(directory).map_err(failed)?;
        let file = File::create(&path).map_err(failed)?;
        Ok(Self {
            file,
            directory: directory.to_owned(),
            path,
            block: FIRST_LINE.to_vec(),
            block_first: None,
            offset: 0,
            digest: Sha256::new(),
            end: End::default(),
            index: Vec::new(),
            num_unpacked_bytes: 0,
            first_sequence: 0,
            last_sequence: 0,
        })
    }

    /// What it holds, unpacked.
    pub(crate) const fn num_unpacked_bytes(&self) -> u64 {
        self.num_unpacked_bytes
    }

    /// Appends a part: the header, checkpoints and entries, in the order of the format.
    pub(crate) fn write(&mut self, part: Part) -> Result<(), AuditError> {
        if let Part::Entry(entry) = &part {
            if self.block.len() >= BLOCK_BYTES {
                self.close_block()?;
            }
            self.note(entry);
        }
        let num_bytes_before = self.block.len();
        self.block.extend(frame(part));
        self.num_unpacked_bytes += (self.block.len() - num_bytes_before) as u64;
        Ok(())
    }

    fn note(&mut self, entry: &Entry) {
        self.block_first.get_or_insert(entry.sequence);
        if self.end.num_entries == 0 {
            self.first_sequence = entry.sequence;
        }
        self.last_sequence = entry.sequence;
        self.end.num_entries += 1;
        if let Some(fact) = &entry.fact {
            self.end.num_facts += 1;
            let id = subjects::inference_of(&fact.subject);
            self.index.extend(id.map(|id| index_entry(id, entry.sequence)));
        }
    }

    fn close_block(&mut self) -> Result<(), AuditError> {
        let block = std::mem::take(&mut self.block);
        let first_sequence = self.block_first.take().unwrap_or(self.first_sequence);
        let piece = self.member(&block)?;
        self.end.blocks.push(Piece { first_sequence, ..piece });
        Ok(())
    }

    /// Writes bytes as a gzip member.
    fn member(&mut self, unpacked: &[u8]) -> Result<Piece, AuditError> {
        let packed = || -> std::io::Result<Vec<u8>> {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(unpacked)?;
            encoder.finish()
        };
        let packed = packed().map_err(|error| self.failed(error))?;
        self.file.write_all(&packed).map_err(|error| self.failed(error))?;
        self.digest.update(&packed);
        let num_bytes = packed.len() as u64;
        let piece =
            Piece { offset: self.offset, num_bytes, sha256: sha256(&packed).into(), ..Piece::default() };
        self.offset += num_bytes;
        Ok(piece)
    }

    /// Closes the file, durably, and gives it its name. `open` are the inferences that have not ended, with the sequences
    /// of their first facts.
    pub(crate) fn finish(mut self, number: u64, open: Vec<(Vec<u8>, u64)>) -> Result<Written, AuditError> {
        self.close_block()?;
        let mut index = std::mem::take(&mut self.index);
        index.sort_unstable();
        for entries in index.chunks(PAGE_ENTRIES) {
            let first_entry = entries.first().map(|first| first.to_vec()).unwrap_or_default();
            let mut bytes = Vec::with_capacity(entries.len() * INDEX_ENTRY_BYTES);
            entries.iter().for_each(|entry| bytes.extend_from_slice(entry));
            let piece = self.member(&frame(Part::IndexPage(IndexPage { entries: bytes })))?;
            self.end.pages.push(Piece { first_entry, ..piece });
        }
        (self.end.open_inferences, self.end.open_sequences) = open.into_iter().unzip();
        let end = std::mem::take(&mut self.end);
        let num_records = end.num_entries;
        let end = self.member(&frame(Part::End(end)))?;
        self.file.sync_all().map_err(|error| self.failed(error))?;

        let sha256: [u8; 32] = std::mem::take(&mut self.digest).finalize().into();
        let word: String = sha256[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let (first, last) = (self.first_sequence, self.last_sequence);
        let name = format!("segment-{number:010}-{first}-{last}-{word}.jmarchive");
        fs::rename(&self.path, self.directory.join(&name)).map_err(|error| self.failed(error))?;
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        directory.map_err(|error| self.failed(error))?;
        Ok(Written {
            file: name,
            num_bytes: self.offset,
            sha256,
            end_offset: end.offset,
            end_sha256: end.sha256.as_slice().try_into().unwrap_or_default(),
            first_sequence: first,
            last_sequence: last,
            num_records,
        })
    }

    fn failed(&self, error: std::io::Error) -> AuditError {
        AuditError::File { path: self.path.clone(), error }
    }
}

impl Drop for SegmentWriter {
    /// What was not finished goes; after the rename nothing stands under this name.
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

fn frame(part: Part) -> Vec<u8> {
    Frame { part: Some(part) }.encode_length_delimited_to_vec()
}
