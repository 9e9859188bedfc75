//! What may leave the log.

use bus::{StreamName, StreamState};
use schemas::InferenceId;
use schemas::v1::SegmentArchived;

use super::{Archivist, ArchivistSettings};
use crate::AuditError;
use crate::segment::SegmentFile;
use crate::segment_log::PAUSE_BEFORE_LEAVING;

/// Why a segment's records may leave the log; `None`: they stay.
fn reason_to_leave(
    segment: &SegmentArchived,
    first_open_sequence: u64,
    (state, settings): (&StreamState, &ArchivistSettings),
    now_unix_nanos: u64,
) -> Option<&'static str> {
    let age = u128::from(now_unix_nanos.saturating_sub(segment.newest_unix_nanos));
    if !settings.log_max_age.is_zero() && age >= settings.log_max_age.as_nanos() {
        return Some("age");
    }
    // What is under way is read from the log, and its subjects must stay taken.
    let is_over = first_open_sequence == 0 || segment.last_sequence < first_open_sequence;
    let is_old_enough = age >= settings.log_min_age.as_nanos();
    (state.is_nearly_full() && is_over && is_old_enough).then_some("room")
}

impl Archivist {
    /// Lets the oldest segments leave the log, each only after its file was read whole and is what was written.
    pub(super) async fn free(&self) -> Result<(), AuditError> {
        let segments = self.segments.all().await?;
        let first_open = segments.last().map_or(0, |newest| newest.first_open_sequence);
        let mut state = self.log.state(StreamName::Inference).await?;
        let kept = segments.partition_point(|segment| segment.last_sequence < state.first_sequence);
        let mut is_known_to_all = false;
        for segment in &segments[kept..] {
            let now = (self.stamps)().unix_nanos;
            let Some(reason) = reason_to_leave(segment, first_open, (&state, &self.settings), now) else {
                break;
            };
            let wanted = segment.clone();
            let check = move |file: SegmentFile| file.check_whole(&wanted);
            SegmentFile::with(&self.settings.directory, segment, check).await?;
            if !std::mem::replace(&mut is_known_to_all, true) {
                tokio::time::sleep(PAUSE_BEFORE_LEAVING).await;
            }
            self.log.forget_before(StreamName::Inference, segment.last_sequence + 1).await?;
            tracing::info!(
                file = segment.file,
                reason,
                last_sequence = segment.last_sequence,
                "archived records left the log"
            );
            state = self.log.state(StreamName::Inference).await?;
        }
        Ok(())
    }

    /// The inferences that had not ended by the end of a segment.
    pub(super) async fn open_inferences(
        &self,
        segment: &SegmentArchived,
    ) -> Result<Vec<(InferenceId, u64)>, AuditError> {
        let oldest_kept = self.log.state(StreamName::Inference).await?.first_sequence;
        let read = move |file: SegmentFile| {
            // What never ended and has left the log by its age holds nothing up.
            let open = file.open_inferences().filter(|(_, sequence)| *sequence >= oldest_kept);
            Ok(open.collect::<Vec<_>>())
        };
        Ok(SegmentFile::with(&self.settings.directory, segment, read).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;

    fn check(newest_unix_nanos: u64, first_open: u64, num_bytes: u64, expected: Option<&str>) {
        let settings = ArchivistSettings {
            directory: PathBuf::new(),
            interval: Duration::ZERO,
            max_num_records: 1,
            max_num_bytes: 1,
            max_age: Duration::ZERO,
            log_max_age: Duration::from_nanos(100),
            log_min_age: Duration::from_nanos(10),
        };
        let segment = SegmentArchived { last_sequence: 5, newest_unix_nanos, ..SegmentArchived::default() };
        let state = StreamState { num_bytes, max_bytes: 100, ..StreamState::default() };
        let reason = reason_to_leave(&segment, first_open, (&state, &settings), 1_000);
        assert_eq!(reason, expected, "{newest_unix_nanos} {first_open} {num_bytes}");
    }

    #[test]
    fn only_what_is_old_or_over_leaves_the_log() {
        check(900, 3, 0, Some("age"));
        check(901, 0, 0, None);
        check(901, 0, 99, Some("room"));
        check(901, 6, 99, Some("room"));
        check(901, 5, 99, None);
        check(991, 0, 99, None);
    }
}
