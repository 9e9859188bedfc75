//! What the streams keep, and where what they no longer keep goes.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use bus::topology::StreamPolicy;
use serde::{Deserialize, Serialize};

/// Ages and sizes; what is absent has its default. Ages of 0 are for ever.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionConfig {
    /// Facts of inferences, and what is too large for a message.
    pub(crate) log_max_age_seconds: Option<u64>,
    /// When it is reached, requests are refused.
    pub(crate) log_max_bytes: Option<NonZeroU64>,
    pub(crate) objects_max_bytes: Option<NonZeroU64>,
    pub(crate) tokens_max_age_seconds: Option<u64>,
    pub(crate) tokens_max_bytes: Option<NonZeroU64>,
    pub(crate) dead_letters_max_age_seconds: Option<u64>,
    pub(crate) dead_letters_max_bytes: Option<NonZeroU64>,
    pub(crate) control_max_bytes: Option<NonZeroU64>,
    pub(crate) jobs_max_bytes: Option<NonZeroU64>,
    pub(crate) files_max_bytes: Option<NonZeroU64>,
    pub(crate) audit_max_bytes: Option<NonZeroU64>,
}

impl RetentionConfig {
    /// What was said, over the defaults.
    pub(crate) fn over(&self, defaults: StreamPolicy) -> StreamPolicy {
        let age = |seconds: Option<u64>, default: Duration| seconds.map_or(default, Duration::from_secs);
        let size = |bytes: Option<NonZeroU64>, default: u64| bytes.map_or(default, NonZeroU64::get);
        StreamPolicy {
            inference_max_age: age(self.log_max_age_seconds, defaults.inference_max_age),
            inference_max_bytes: size(self.log_max_bytes, defaults.inference_max_bytes),
            objects_max_bytes: size(self.objects_max_bytes, defaults.objects_max_bytes),
            tokens_max_age: age(self.tokens_max_age_seconds, defaults.tokens_max_age),
            tokens_max_bytes: size(self.tokens_max_bytes, defaults.tokens_max_bytes),
            dead_letters_max_age: age(self.dead_letters_max_age_seconds, defaults.dead_letters_max_age),
            dead_letters_max_bytes: size(self.dead_letters_max_bytes, defaults.dead_letters_max_bytes),
            control_max_bytes: size(self.control_max_bytes, defaults.control_max_bytes),
            jobs_max_bytes: size(self.jobs_max_bytes, defaults.jobs_max_bytes),
            files_max_bytes: size(self.files_max_bytes, defaults.files_max_bytes),
            audit_max_bytes: size(self.audit_max_bytes, defaults.audit_max_bytes),
            ..defaults
        }
    }
}

/// Where older history goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ArchiveConfig {
    /// Absent: nothing is archived, and the log forgets by age.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) max_num_segment_records: NonZeroU32,
    pub(crate) max_segment_bytes: NonZeroU64,
    /// A segment is closed when its first record has waited so long.
    pub(crate) max_segment_age_seconds: u64,
    /// For want of room archived records leave the log, not before they are so old.
    pub(crate) log_min_age_seconds: u64,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self {
            directory: None,
            max_num_segment_records: NonZeroU32::MIN.saturating_add(99_999),
            max_segment_bytes: NonZeroU64::MIN.saturating_add((256 << 20) - 1),
            max_segment_age_seconds: 3_600,
            log_min_age_seconds: 3_600,
        }
    }
}
