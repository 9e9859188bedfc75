//! Dropping the beginning of the log, and what it had in the object store.

use async_nats::jetstream::stream::Stream;
use serde_json::{Value, json};

use super::reconcile::OBJECTS_STREAM;
use super::{Core, failure};
use crate::{BusError, StreamName};

/// Removes what stands before `sequence`, then the objects that are older than any stub that is left.
pub(super) async fn forget_before(core: &Core, stream: StreamName, sequence: u64) -> Result<(), BusError> {
    let state = core.info(stream.as_str()).await?.state;
    if state.first_sequence < sequence && state.messages > 0 {
        purge_before(core, stream.as_str(), sequence).await?;
    }
    // As objects age without an archive: a stub is stored after its object, and no more than this later.
    let state = core.info(stream.as_str()).await?.state;
    let oldest_kept = match state.messages {
        0 => return Ok(()),
        _ => state.first_timestamp.unix_timestamp_nanos(),
    };
    let before = oldest_kept - i128::try_from(core.objects_margin.as_nanos()).unwrap_or(i128::MAX / 2);
    let objects = core.info(OBJECTS_STREAM).await?.state;
    if objects.messages == 0 || objects.first_timestamp.unix_timestamp_nanos() >= before {
        return Ok(());
    }
    let handle = core.api.context.get_stream_no_info(OBJECTS_STREAM).await.map_err(failure::lost)?;
    let first_kept =
        first_since(core, &handle, (objects.first_sequence, objects.last_sequence), before).await?;
    purge_before(core, OBJECTS_STREAM, first_kept).await
}

async fn purge_before(core: &Core, stream: &str, sequence: u64) -> Result<(), BusError> {
    let request = json!({ "seq": sequence });
    let purged = core.api.call::<Value>(&format!("STREAM.PURGE.{stream}"), &request).await?;
    purged.map(drop).map_err(|error| error.about(stream))
}

/// The first sequence whose message was stored at or after this time; messages between may be gone.
async fn first_since(
    core: &Core,
    handle: &Stream<()>,
    (first, last): (u64, u64),
    unix_nanos: i128,
) -> Result<u64, BusError> {
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let message = core
            .api
            .patiently(|| async { super::found(handle.get_first_raw_message_by_subject(">", middle).await) })
            .await?;
        match message {
            Some(message) if message.time.unix_timestamp_nanos() < unix_nanos => low = message.sequence + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
