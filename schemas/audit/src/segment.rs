//! A file of the archive: a stretch of the log as an [archive](crate::archive) of everything, with an index.
//!
//! The file is one archive, of several gzip members so that a part of it can be read alone: blocks of about a mebibyte,
//! pages of the index, and the end. The end tells where each of the others stands and its SHA-256; the fact on `AUDIT`
//! tells where the end stands and its SHA-256. So whatever is read is what was written, or an error.

mod file;
mod writer;

pub(crate) use self::file::SegmentFile;
pub(crate) use self::writer::SegmentWriter;

use schemas::InferenceId;
use sha2::{Digest as _, Sha256};

/// Bytes of one entry of the index: an inference's id and a sequence, both big-endian, so that entries sort as bytes.
const INDEX_ENTRY_BYTES: usize = 24;

pub(crate) type IndexEntry = [u8; INDEX_ENTRY_BYTES];

pub(crate) fn index_entry(id: InferenceId, sequence: u64) -> IndexEntry {
    let mut entry = [0; INDEX_ENTRY_BYTES];
    entry[..16].copy_from_slice(id.uuid().as_bytes());
    entry[16..].copy_from_slice(&sequence.to_be_bytes());
    entry
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Which segment a file of the archive's directory is, or was to be; `None` for a file of another kind.
pub(crate) fn number_of_file(name: &str) -> Option<u64> {
    let rest = name.strip_prefix("segment-")?;
    let is_ours = name.ends_with(".jmarchive") || name.ends_with(".unfinished");
    rest.split(['-', '.']).next()?.parse().ok().filter(|_| is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_segments_have_a_number() {
        let check = |name: &str, expected: Option<u64>| assert_eq!(number_of_file(name), expected, "{name}");
        check("segment-0000000012-1-900-abcd.jmarchive", Some(12));
        check("segment-0000000012.0198.unfinished", Some(12));
        check("segment-0000000012.txt", None);
        check("january.jmarchive", None);
        check("segment-.jmarchive", None);
    }
}
