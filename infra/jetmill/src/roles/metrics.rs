//! The engine's numbers in Prometheus' text format, under the stems that dashboards for inference engines know.

use std::sync::Arc;

use engine_workers::engine::handle::EngineHandle;
use engine_workers::engine::stats::EngineStats;

/// Appends the engine's metrics to a page.
pub(crate) fn of_engine(engine: EngineHandle) -> api::ExtraMetrics {
    Arc::new(move |page| append(page, &engine.stats()))
}

fn append(page: &mut String, stats: &EngineStats) {
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
    for (kind, rows) in [("gauge", &gauges[..]), ("counter", &counters[..])] {
        for (stem, help, value) in rows {
            page.push_str(&format!(
                "# HELP jetmill:{stem} {help}\n# TYPE jetmill:{stem} {kind}\njetmill:{stem} {value}\n"
            ));
        }
    }
}
