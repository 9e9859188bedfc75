//! Makes the broker's streams and consumers what the topology says; several processes may do it at once.

use std::time::Duration;

use async_nats::jetstream::object_store::ObjectStore;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{ErrorCode, stream};
use serde_json::{Value, json};

use super::api::Api;
use super::dead_letters::ADVISORIES;
use super::failure;
use super::options::JetStreamOptions;
use crate::topology::{ConsumerSpec, StreamPolicy, StreamSpec, WhenFull, streams};
use crate::{BusError, StreamName};

const OBJECTS: &str = "jetmill-objects";
pub(super) const OBJECTS_STREAM: &str = "OBJ_jetmill-objects";

/// Creates every stream and the object store; those that exist are updated, unless they are to be kept.
pub(super) async fn reconcile_streams(api: &Api, options: &JetStreamOptions) -> Result<(), BusError> {
    let streams = streams(&options.policy).into_iter().map(|spec| stream_config(&spec));
    for config in streams.chain([objects_config(&options.policy)]) {
        reconcile(api, config, options.keeps_existing_streams).await?;
    }
    Ok(())
}

/// The store of claim-checked payloads.
pub(super) async fn open_objects(api: &Api) -> Result<ObjectStore, BusError> {
    api.patiently(|| async { api.context.get_object_store(OBJECTS).await.map_err(failure::lost) }).await
}

/// Creates the durable consumer, or updates it to its specification.
pub(super) async fn reconcile_consumer(api: &Api, spec: &ConsumerSpec) -> Result<(), BusError> {
    let stream = spec.stream.as_str();
    let mut config = json!({
        "durable_name": spec.name,
        "name": spec.name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": spec.ack_wait.as_nanos() as u64,
        "max_deliver": spec.max_deliver,
        "max_ack_pending": spec.max_ack_pending,
        "replay_policy": "instant",
        "max_waiting": MAX_NUM_WAITING,
    });
    match spec.patterns.as_slice() {
        [pattern] => config["filter_subject"] = json!(pattern),
        patterns => config["filter_subjects"] = json!(patterns),
    }
    // Without an `action` the call creates, updates or confirms, so replicas that start together agree.
    let request = json!({ "stream_name": stream, "config": config });
    let operation = format!("CONSUMER.CREATE.{stream}.{}", spec.name);
    api.call::<Value>(&operation, &request).await?.map(drop).map_err(|error| error.about(&spec.name))
}

/// Pull requests that may wait at one consumer: one per replica of a service.
const MAX_NUM_WAITING: u64 = 2_048;

async fn reconcile(api: &Api, wanted: Config, keeps_existing: bool) -> Result<(), BusError> {
    let name = wanted.name.clone();
    let created = api.call::<Value>(&format!("STREAM.CREATE.{name}"), &wanted).await?;
    let error = match created {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    // A server without room for one more stream says so even of a stream that it has.
    if !error.is_full() && error.err_code != ErrorCode::STREAM_NAME_EXIST.0 {
        return Err(error.about(&name));
    }
    let existing = api.call::<stream::Info>(&format!("STREAM.INFO.{name}"), &json!({})).await?;
    let info = match existing {
        Ok(_) if keeps_existing => return Ok(()),
        Ok(info) => info,
        Err(_) if error.is_full() => {
            let text = format!("stream {name} reserves {} bytes: {}", wanted.max_bytes, error.description);
            return Err(BusError::Refused(text));
        }
        Err(error) => return Err(error.about(&name)),
    };
    let merged = merge(&info.config, wanted);
    let differences = differences(&info.config, &merged)?;
    if differences.is_empty() {
        return Ok(());
    }
    tracing::info!(stream = %name, ?differences, "the stream is brought to its specification");
    api.call::<Value>(&format!("STREAM.UPDATE.{name}"), &merged).await?.map(drop).map_err(|error| {
        BusError::Refused(format!(
            "stream {name} differs in {} and cannot be changed: {}",
            differences.join(", "),
            error.description
        ))
    })
}

/// The existing stream with what the topology decides; what it does not decide stays, and is reported.
fn merge(existing: &Config, wanted: Config) -> Config {
    if existing.mirror.is_some() || existing.sources.is_some() || existing.republish.is_some() {
        tracing::warn!(stream = %existing.name, "the stream mirrors, sources or republishes, which Jetmill did not ask for");
    }
    let has_other_limit = existing.max_messages_per_subject > 0
        && existing.max_messages_per_subject != wanted.max_messages_per_subject;
    if existing.max_messages > 0 || has_other_limit || existing.sealed {
        tracing::warn!(stream = %existing.name, "the stream has message limits that Jetmill did not ask for");
    }
    // Where there was an archive once, it can be read only for as long as its keys are there.
    let keeps_for_ever = existing.name == StreamName::Keys.as_str() && existing.max_age.is_zero();
    Config {
        subjects: wanted.subjects,
        max_bytes: wanted.max_bytes,
        max_age: if keeps_for_ever { Duration::ZERO } else { wanted.max_age },
        storage: wanted.storage,
        retention: wanted.retention,
        discard: wanted.discard,
        // The server does not take this back once it is set.
        deny_delete: wanted.deny_delete || existing.deny_delete,
        duplicate_window: wanted.duplicate_window,
        num_replicas: wanted.num_replicas,
        allow_rollup: wanted.allow_rollup,
        allow_direct: wanted.allow_direct,
        ..existing.clone()
    }
}

fn differences(existing: &Config, merged: &Config) -> Result<Vec<String>, BusError> {
    let unreadable = |error: serde_json::Error| BusError::Refused(format!("stream {}: {error}", merged.name));
    let existing = serde_json::to_value(existing).map_err(unreadable)?;
    let merged = serde_json::to_value(merged).map_err(unreadable)?;
    let (Value::Object(existing), Value::Object(merged)) = (existing, merged) else { return Ok(Vec::new()) };
    let mut keys: Vec<String> = merged
        .keys()
        .chain(existing.keys())
        .filter(|key| existing.get(*key) != merged.get(*key))
        .cloned()
        .collect();
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

fn stream_config(spec: &StreamSpec) -> Config {
    let mut subjects = spec.subjects.clone();
    if spec.name == StreamName::DeadLetters {
        // The broker's word that a delivery is exhausted is kept here, so that no handler must be up to hear it.
        subjects.push(ADVISORIES.to_owned());
    }
    Config {
        name: spec.name.as_str().to_owned(),
        subjects,
        max_bytes: i64::try_from(spec.max_bytes).unwrap_or(i64::MAX),
        max_messages: -1,
        max_messages_per_subject: if spec.keeps_last_only { 1 } else { -1 },
        max_consumers: -1,
        max_message_size: -1,
        max_age: spec.max_age,
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: match spec.when_full {
            WhenFull::Refuse => DiscardPolicy::New,
            WhenFull::DropOldest => DiscardPolicy::Old,
        },
        deny_delete: !spec.can_delete,
        duplicate_window: spec.duplicate_window.min(if spec.max_age.is_zero() {
            Duration::MAX
        } else {
            spec.max_age
        }),
        num_replicas: spec.num_replicas,
        allow_direct: false,
        ..Config::default()
    }
}

fn objects_config(policy: &StreamPolicy) -> Config {
    Config {
        name: OBJECTS_STREAM.to_owned(),
        subjects: vec![format!("$O.{OBJECTS}.C.>"), format!("$O.{OBJECTS}.M.>")],
        max_bytes: i64::try_from(policy.objects_max_bytes).unwrap_or(i64::MAX),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        max_age: policy.max_age_with(policy.objects_margin),
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        duplicate_window: Duration::from_secs(120),
        num_replicas: policy.num_replicas,
        allow_rollup: true,
        allow_direct: true,
        ..Config::default()
    }
}
