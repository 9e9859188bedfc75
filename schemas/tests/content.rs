//! Every field of a fact is either content, which is sealed, or public.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use protox::prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value,
};
use schemas::v1::Envelope;

/// What is sealed, as ways below the envelope; whatever stands below one of them is content too.
const CONTENT: [&str; 23] = [
    "admitted.redacted_prompt",
    "ended.choices.logprobs",
    "ended.choices.reasoning",
    "ended.choices.stop_reason",
    "ended.choices.text",
    "ended.choices.token_ids",
    "ended.choices.tool_calls",
    "ended.pooled.values",
    "ended.prompt.logprobs",
    "ended.prompt.text",
    "ended.prompt.token_ids",
    "requested.cache_salt",
    "requested.pooling.inputs",
    "requested.prompt",
    "requested.request_digest",
    "requested.sampling.allowed_token_ids",
    "requested.sampling.bad_words",
    "requested.sampling.grammar",
    "requested.sampling.logit_bias",
    "requested.sampling.stop",
    "requested.sampling.stop_token_ids",
    "webhook_requested.secret",
    "webhook_requested.url",
];

/// What says what happened: fields by the message that they stand in.
const PUBLIC: [(&str, &[&str]); 30] = [
    (
        "",
        &[
            "configuration",
            "event_id",
            "inference_id",
            "previous_hash",
            "recorded_at_unix_nanos",
            "recorded_by",
            "schema_version",
            "tenant",
        ],
    ),
    ("admitted", &["policy_version"]),
    (
        "admitted.summary",
        &[
            "class",
            "content_sequence",
            "ingress",
            "model",
            "priority",
            "redacted_sequence",
            "requested_at_unix_nanos",
        ],
    ),
    ("admitted.verdicts", &["allowed", "check", "reason", "took_nanos"]),
    ("assigned", &["attempt", "control_sequence", "deployment", "pool", "silent_deployments"]),
    ("assigned.history", &["max_num_unproven", "num_blamed", "num_failures", "num_workers_lost"]),
    ("assigned.reasons", &["chosen", "deployment", "reason"]),
    (
        "assigned.summary",
        &[
            "class",
            "content_sequence",
            "ingress",
            "model",
            "priority",
            "redacted_sequence",
            "requested_at_unix_nanos",
        ],
    ),
    ("attempt_failed", &["attempt", "worker"]),
    ("attempt_failed.failure", &["code", "kind", "message", "param"]),
    ("attempt_failed.history", &["max_num_unproven", "num_blamed", "num_failures", "num_workers_lost"]),
    (
        "attempt_failed.summary",
        &[
            "class",
            "content_sequence",
            "ingress",
            "model",
            "priority",
            "redacted_sequence",
            "requested_at_unix_nanos",
        ],
    ),
    ("cancel_requested", &["reason"]),
    ("ended", &["attempt", "engine_fingerprint", "outcome", "policy_version", "worker"]),
    ("ended.choices", &["finish_reason", "index"]),
    ("ended.cost", &["currency", "nanos"]),
    ("ended.failure", &["code", "kind", "message", "param"]),
    ("ended.pooled", &["num_tokens"]),
    ("ended.prompt", &["engine_fingerprint", "num_cached_prompt_tokens", "num_prompt_tokens", "seed"]),
    ("ended.timings", &["decode_nanos", "prefill_nanos", "queued_nanos", "time_to_first_token_nanos"]),
    (
        "ended.usage",
        &["num_cached_prompt_tokens", "num_completion_tokens", "num_prompt_tokens", "num_reasoning_tokens"],
    ),
    ("ended.verdicts", &["allowed", "check", "reason", "took_nanos"]),
    (
        "requested",
        &[
            "background",
            "caller",
            "class",
            "deadline_unix_nanos",
            "end_user",
            "endpoint",
            "grace_nanos",
            "ingress",
            "model",
            "priority",
            "request_group",
            "stream",
        ],
    ),
    (
        "requested.answer_options",
        &["continuous_usage_stats", "encoding_format", "include_usage", "includes_reasoning"],
    ),
    ("requested.batch_place", &["batch", "line_number", "num_prompts", "prompt_index"]),
    ("requested.pooling", &["dimensions", "task", "truncate_prompt_tokens"]),
    (
        "requested.price",
        &[
            "cached_input_nanos_per_million",
            "currency",
            "input_nanos_per_million",
            "output_nanos_per_million",
        ],
    ),
    (
        "requested.sampling",
        &[
            "add_special_tokens",
            "echo",
            "frequency_penalty",
            "ignore_eos",
            "include_stop_str_in_output",
            "logprobs",
            "max_tokens",
            "min_p",
            "min_tokens",
            "n",
            "presence_penalty",
            "prompt_logprobs",
            "repetition_penalty",
            "return_token_ids",
            "seed",
            "skip_special_tokens",
            "temperature",
            "thinking_budget_tokens",
            "top_k",
            "top_p",
            "truncate_prompt_tokens",
        ],
    ),
    ("sealed", &["ciphertext", "key", "nonce"]),
    (
        "started",
        &[
            "attempt",
            "engine_fingerprint",
            "model_digest",
            "num_prompt_tokens",
            "num_resumed_tokens",
            "seed",
            "worker",
        ],
    ),
];

fn envelope() -> MessageDescriptor {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files = protox::compile(["jetmill/v1/events.proto"], [root]).unwrap();
    let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
    pool.get_message_by_name("jetmill.v1.Envelope").unwrap()
}

/// The fields that hold a value of their own, each as the way to it.
fn leaves(message: &MessageDescriptor, way: &[FieldDescriptor], found: &mut Vec<Vec<FieldDescriptor>>) {
    for field in message.fields() {
        let way: Vec<_> = way.iter().cloned().chain([field.clone()]).collect();
        match field.kind() {
            Kind::Message(inner) if !field.is_map() => leaves(&inner, &way, found),
            _ => found.push(way),
        }
    }
}

fn name(way: &[FieldDescriptor]) -> String {
    way.iter().map(|field| field.name().to_owned()).collect::<Vec<_>>().join(".")
}

fn one(kind: &Kind) -> Value {
    match kind {
        Kind::Bool => Value::Bool(true),
        Kind::String => Value::String("x".to_owned()),
        Kind::Bytes => Value::Bytes(vec![7].into()),
        Kind::Float => Value::F32(1.0),
        Kind::Uint32 => Value::U32(1),
        Kind::Uint64 => Value::U64(1),
        Kind::Int32 => Value::I32(1),
        Kind::Enum(_) => Value::EnumNumber(1),
        other => unreachable!("{other:?}"),
    }
}

/// A message in which nothing but the field at the end of the way is set.
fn with_only(message: &MessageDescriptor, way: &[FieldDescriptor]) -> DynamicMessage {
    let mut made = DynamicMessage::new(message.clone());
    let (field, rest) = way.split_first().unwrap();
    let value = match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
            let key = match key.kind() {
                Kind::String => MapKey::String("x".to_owned()),
                _ => MapKey::U32(1),
            };
            Value::Map([(key, one(&value.kind()))].into())
        }
        Kind::Message(inner) => Value::Message(with_only(&inner, rest)),
        kind => one(&kind),
    };
    made.set_field(field, if field.is_list() { Value::List(vec![value]) } else { value });
    made
}

fn is_set(message: &DynamicMessage, way: &[FieldDescriptor]) -> bool {
    let (field, rest) = way.split_first().unwrap();
    let value = message.get_field(field);
    let value = match value.as_list() {
        Some(values) => values.first().cloned(),
        None => message.has_field(field).then(|| value.into_owned()),
    };
    value.is_some_and(|value| rest.is_empty() || is_set(value.as_message().unwrap(), rest))
}

#[test]
fn every_field_of_a_fact_is_listed_as_content_or_as_public() {
    let description = envelope();
    let mut ways = Vec::new();
    leaves(&description, &[], &mut ways);
    let is_below = |name: &str, listed: &str| {
        name.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let public: BTreeSet<String> = PUBLIC
        .into_iter()
        .flat_map(|(message, fields)| fields.iter().map(move |field| format!("{message}.{field}")))
        .map(|name| name.trim_start_matches('.').to_owned())
        .collect();
    let mut unused: BTreeSet<&str> = CONTENT.into_iter().chain(public.iter().map(String::as_str)).collect();
    let mut wrong = BTreeMap::new();
    for way in ways {
        let made = with_only(&description, &way);
        let mut envelope: Envelope = made.transcode_to().unwrap();
        let was_cleared = envelope.clear_content();
        let mut left = DynamicMessage::new(description.clone());
        left.transcode_from(&envelope).unwrap();
        let is_content = !is_set(&left, &way);
        let name = name(&way);
        assert_eq!(is_content, was_cleared, "{name}");
        let as_content = CONTENT.into_iter().find(|listed| is_below(&name, listed));
        if as_content.is_some() == public.contains(&name) || as_content.is_some() != is_content {
            wrong.insert(name.clone(), if is_content { "is sealed" } else { "is public" });
        }
        unused.retain(|listed| *listed != name && as_content != Some(*listed));
    }
    assert!(wrong.is_empty() && unused.is_empty(), "not as listed: {wrong:#?}; no such field: {unused:#?}");
}
