//! A whole archive of segments, checked offline.

use std::path::{Path, PathBuf};

use crate::archive::ArchiveReader;
use crate::keys::PublicKey;
use crate::segment::number_of_file;
use crate::verify::{Verification, verify};
use crate::{AuditError, Finding, FindingKind};

/// What a directory of segments proves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DirectoryVerification {
    /// Segments that hold and join.
    pub num_segments: u64,
    /// What they add up to.
    pub total: Verification,
    /// The first segment that is wrong or missing, and what is wrong; none: the directory is what was archived.
    pub finding: Option<(PathBuf, Finding)>,
}

/// Checks every segment of a directory, from the first on, and that each goes on where the one before ended. That newer ones
/// follow the last cannot be known offline.
pub fn verify_directory(directory: &Path, key: &PublicKey) -> Result<DirectoryVerification, AuditError> {
    let failed = |error| AuditError::File { path: directory.to_owned(), error };
    let mut segments: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_whole = path.extension().is_some_and(|extension| extension == "jmarchive");
        let number = path.file_name().and_then(|name| number_of_file(name.to_str()?));
        segments.extend(number.filter(|_| is_whole).map(|number| (number, path)));
    }
    segments.sort_unstable();
    let mut seen = DirectoryVerification::default();
    for (number, path) in segments {
        let expected = seen.num_segments + 1;
        if number != expected {
            let missing = directory.join(format!("segment-{expected:010}-…"));
            let finding = found(format!("it is missing, the next one is {}", path.display()));
            seen.finding = Some((missing, finding));
            return Ok(seen);
        }
        let segment = verify(ArchiveReader::open(&path)?, key);
        let before = seen.total.last_checkpoint.as_ref().map_or(0, |last| last.number);
        let base = segment.base_checkpoint;
        let has_joint = number == 1 || base == before;
        seen.total.add(segment);
        if let Some(finding) = seen.total.finding.take() {
            seen.finding = Some((path, finding));
            return Ok(seen);
        }
        if !has_joint {
            let finding =
                found(format!("it goes on from checkpoint {base}, and the one before ends with {before}"));
            seen.finding = Some((path, finding));
            return Ok(seen);
        }
        seen.num_segments += 1;
    }
    Ok(seen)
}

fn found(reason: String) -> Finding {
    Finding { kind: FindingKind::Removed, sequence: 0, fact: None, reason }
}
