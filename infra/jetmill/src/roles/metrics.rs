//! The numbers of the engines in Prometheus' text format, under the stems that dashboards for inference engines know, and
//! those of the archive.

use std::collections::BTreeMap;
use std::sync::Arc;

use audit::ArchiveStatus;
use engine_workers::engine::handle::EngineHandle;
use engine_workers::engine::stats::EngineStats;
use engine_workers::pooling::engine::{PoolingEngine, PoolingStats};
use engine_workers::served_model::ServedModel;

/// An engine of this process.
pub(crate) enum Engine {
    /// One that generates text for the model of this name.
    Generator(String, EngineHandle),
    /// One that gives vectors or scores.
    Encoder(String, PoolingEngine),
}

impl Engine {
    pub(crate) fn of(model: &ServedModel) -> Self {
        let name = model.card().name.clone();
        match model {
            ServedModel::Generator(model) => Self::Generator(name, model.engine.clone()),
            ServedModel::Encoder(encoder) => Self::Encoder(name, encoder.engine.clone()),
        }
    }
}

/// Appends how the archive stands.
pub(crate) fn of_archive(status: ArchiveStatus) -> api::ExtraMetrics {
    Arc::new(move |page| {
        let numbers = status.numbers();
        for (name, kind, help, value) in [
            ("archive_segments", "gauge", "Segments of the archive.", numbers.num_segments),
            (
                "archive_last_sequence",
                "gauge",
                "Last record of the log in the archive.",
                numbers.archived_sequence,
            ),
            (
                "log_first_sequence",
                "gauge",
                "First record that the log still has.",
                numbers.first_sequence_in_log,
            ),
            ("log_bytes", "gauge", "Size of the log.", numbers.log_bytes),
            ("log_max_bytes", "gauge", "Size at which the log refuses requests.", numbers.max_log_bytes),
            (
                "archive_is_failing",
                "gauge",
                "Whether the archive could not be written at the latest attempt: the log then only grows.",
                u64::from(numbers.is_failing),
            ),
            ("archive_failures_total", "counter", "Attempts to archive that failed.", numbers.num_failures),
        ] {
            page.push_str(&format!(
                "# HELP jetmill_{name} {help}\n# TYPE jetmill_{name} {kind}\njetmill_{name} {value}\n"
            ));
        }
    })
}

/// Appends the metrics of all engines to a page, each family once, with the models as labels.
pub(crate) fn of(engines: Vec<Engine>) -> api::ExtraMetrics {
    Arc::new(move |page| {
        let mut families = Families::default();
        for engine in &engines {
            match engine {
                Engine::Generator(model, engine) => add_generator(&mut families, model, &engine.stats()),
                Engine::Encoder(model, engine) => add_encoder(&mut families, model, &engine.stats()),
            }
        }
        families.write(page);
    })
}

type Row = (&'static str, &'static str, f64);

/// Families by the stem of their name.
#[derive(Default)]
struct Families<'a>(BTreeMap<&'static str, Family<'a>>);

struct Family<'a> {
    kind: &'static str,
    help: &'static str,
    /// Model and value.
    samples: Vec<(&'a str, f64)>,
}

impl<'a> Families<'a> {
    fn add(&mut self, model: &'a str, kind: &'static str, rows: &[Row]) {
        for (stem, help, value) in rows {
            let family = self.0.entry(stem).or_insert(Family { kind, help, samples: Vec::new() });
            family.samples.push((model, *value));
        }
    }

    fn write(&self, page: &mut String) {
        for (stem, Family { kind, help, samples }) in &self.0 {
            page.push_str(&format!("# HELP jetmill:{stem} {help}\n# TYPE jetmill:{stem} {kind}\n"));
            for (model, value) in samples {
                let model = model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " ");
                page.push_str(&format!("jetmill:{stem}{{model_name=\"{model}\"}} {value}\n"));
            }
        }
    }
}

fn add_encoder<'a>(families: &mut Families<'a>, model: &'a str, stats: &PoolingStats) {
    let waiting =
        ("pooling_inputs_waiting", "Inputs without a vector or score.", stats.num_waiting_inputs as f64);
    families.add(model, "gauge", &[waiting]);
    let counters = [
        ("pooling_inputs_total", "Inputs computed.", stats.inputs_total as f64),
        ("pooling_tokens_total", "Tokens of the inputs computed.", stats.tokens_total as f64),
        ("pooling_batches_total", "Batches computed.", stats.batches_total as f64),
        ("pooling_forward_seconds_total", "Time computing.", stats.forward_time_total.as_secs_f64()),
    ];
    families.add(model, "counter", &counters);
}

fn add_generator<'a>(families: &mut Families<'a>, model: &'a str, stats: &EngineStats) {
    let scheduler = &stats.scheduler;
    let gauges = [
        ("num_requests_running", "Sequences in the batch.", scheduler.num_running as f64),
        ("num_requests_waiting", "Sequences in the engine's queue.", scheduler.num_waiting as f64),
        ("kv_cache_usage_perc", "Share of KV blocks in use, 0 to 1.", scheduler.kv_cache_usage()),
        ("iteration_tokens", "Tokens of the latest step.", stats.last_iteration_tokens as f64),
    ];
    let counters = [
        ("num_preemptions_total", "Sequences preempted.", scheduler.num_preemptions_total as f64),
        (
            "prefix_cache_queries_total",
            "Tokens looked up in the prefix cache.",
            scheduler.prefix_cache_queries_total as f64,
        ),
        (
            "prefix_cache_hits_total",
            "Tokens found in the prefix cache.",
            scheduler.prefix_cache_hits_total as f64,
        ),
        (
            "engine_prompt_tokens_total",
            "Prompt tokens computed to their first answer token.",
            stats.prompt_tokens_total as f64,
        ),
        ("engine_generation_tokens_total", "Tokens sampled.", stats.generation_tokens_total as f64),
        (
            "spec_decode_num_drafts_total",
            "Times that a step verified drafts of a sequence.",
            stats.spec_decode_num_drafts_total as f64,
        ),
        (
            "spec_decode_num_draft_tokens_total",
            "Tokens drafted.",
            stats.spec_decode_num_draft_tokens_total as f64,
        ),
        (
            "spec_decode_num_accepted_tokens_total",
            "Drafted tokens that were right.",
            stats.spec_decode_num_accepted_tokens_total as f64,
        ),
        ("engine_draft_seconds_total", "Time drafting tokens.", stats.draft_time_total.as_secs_f64()),
        ("engine_schedule_seconds_total", "Time planning steps.", stats.schedule_time_total.as_secs_f64()),
        ("engine_forward_seconds_total", "Time computing.", stats.forward_time_total.as_secs_f64()),
        (
            "engine_sample_seconds_total",
            "Time sampling and detokenizing.",
            stats.sample_time_total.as_secs_f64(),
        ),
    ];
    families.add(model, "gauge", &gauges);
    families.add(model, "counter", &counters);
}
