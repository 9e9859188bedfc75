//! What the node counts and measures, under the names that dashboards know.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use schemas::PoolName;

use crate::config::ExtraMetrics;

/// The registry that `/metrics` shows; other parts of the process may register in it.
pub type SharedRegistry = Arc<Mutex<Registry>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FinishedLabels {
    finished_reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    route: Route,
    method: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: String,
}

/// A route's pattern, never a path, so that clients cannot make up series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Route(pub(crate) Arc<str>);

impl EncodeLabelValue for Route {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}

/// The node's metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: SharedRegistry,
    extra: Vec<ExtraMetrics>,
    e2e_request_latency: Histogram,
    time_to_first_token: Histogram,
    inter_token_latency: Histogram,
    request_success: Family<FinishedLabels, Counter>,
    prompt_tokens: Counter,
    generation_tokens: Counter,
    http_requests: Family<HttpLabels, Counter>,
    http_requests_in_flight: Gauge,
    num_inferences_in_flight: Gauge,
    num_inferences_waiting: Family<PoolLabels, Gauge>,
}

const LATENCY_BUCKETS: [f64; 17] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 60.0, 300.0, 1800.0];
const TOKEN_BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0];

impl Metrics {
    /// All at zero.
    pub(crate) fn new(extra: Vec<ExtraMetrics>) -> Self {
        let metrics = Self {
            registry: SharedRegistry::default(),
            extra,
            e2e_request_latency: Histogram::new(LATENCY_BUCKETS),
            time_to_first_token: Histogram::new(LATENCY_BUCKETS),
            inter_token_latency: Histogram::new(TOKEN_BUCKETS),
            request_success: Family::default(),
            prompt_tokens: Counter::default(),
            generation_tokens: Counter::default(),
            http_requests: Family::default(),
            http_requests_in_flight: Gauge::default(),
            num_inferences_in_flight: Gauge::default(),
            num_inferences_waiting: Family::default(),
        };
        metrics.register(&mut metrics.registry.lock().unwrap_or_else(PoisonError::into_inner));
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        let seconds = || Unit::Seconds;
        registry.register_with_unit(
            "jetmill:e2e_request_latency",
            "From a request's arrival to its end",
            seconds(),
            self.e2e_request_latency.clone(),
        );
        registry.register_with_unit(
            "jetmill:time_to_first_token",
            "From a request's arrival to its first token",
            seconds(),
            self.time_to_first_token.clone(),
        );
        registry.register_with_unit(
            "jetmill:inter_token_latency",
            "Between two tokens of a choice",
            seconds(),
            self.inter_token_latency.clone(),
        );
        registry.register("jetmill:request_success", "Choices that finished", self.request_success.clone());
        registry.register("jetmill:prompt_tokens", "Tokens of prompts", self.prompt_tokens.clone());
        registry.register("jetmill:generation_tokens", "Tokens of answers", self.generation_tokens.clone());
        registry.register("jetmill:http_requests", "Answered HTTP requests", self.http_requests.clone());
        registry.register(
            "jetmill:http_requests_in_flight",
            "HTTP requests whose answer has not ended",
            self.http_requests_in_flight.clone(),
        );
        registry.register(
            "jetmill:num_inferences_in_flight",
            "Inferences that this node holds a client for",
            self.num_inferences_in_flight.clone(),
        );
        registry.register(
            "jetmill:num_inferences_waiting",
            "Interactive inferences that wait for a worker of a pool, over all nodes",
            self.num_inferences_waiting.clone(),
        );
    }

    /// The registry, for others to register in.
    pub(crate) fn registry(&self) -> SharedRegistry {
        Arc::clone(&self.registry)
    }

    /// Everything in OpenMetrics' text format, which Prometheus reads.
    pub(crate) fn render(
        &self,
        num_inferences_in_flight: usize,
        num_waiting: Vec<(PoolName, u64)>,
    ) -> Result<String, fmt::Error> {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        self.num_inferences_in_flight.set(num_inferences_in_flight as i64);
        // Pools that are gone are not shown.
        self.num_inferences_waiting.clear();
        for (pool, num) in num_waiting {
            let labels = PoolLabels { pool: pool.to_string() };
            self.num_inferences_waiting.get_or_create(&labels).set(num as i64);
        }
        let mut text = String::new();
        encode_registry(&mut text, &registry)?;
        drop(registry);
        for append in &self.extra {
            let mut part = String::new();
            append(&mut part);
            // The end mark may stand only once, at the very end.
            for line in part.lines().filter(|line| *line != "# EOF") {
                text.push_str(line);
                text.push('\n');
            }
        }
        encode_eof(&mut text)?;
        Ok(text)
    }

    pub(crate) fn first_token(&self, after: Duration) {
        self.time_to_first_token.observe(after.as_secs_f64());
    }

    pub(crate) fn next_tokens(&self, num_tokens: usize, after: Duration) {
        let each = after.as_secs_f64() / num_tokens.max(1) as f64;
        for _ in 0..num_tokens {
            self.inter_token_latency.observe(each);
        }
    }

    pub(crate) fn choice_finished(&self, finished_reason: &'static str) {
        self.request_success.get_or_create(&FinishedLabels { finished_reason }).inc();
    }

    pub(crate) fn inference_ended(&self, num_prompt_tokens: u32, num_completion_tokens: u32) {
        self.prompt_tokens.inc_by(num_prompt_tokens.into());
        self.generation_tokens.inc_by(num_completion_tokens.into());
    }

    pub(crate) fn request_ended(&self, after: Duration) {
        self.e2e_request_latency.observe(after.as_secs_f64());
    }

    pub(crate) fn http_request(&self, route: Arc<str>, method: &'static str, status: u16) {
        self.http_requests.get_or_create(&HttpLabels { route: Route(route), method, status }).inc();
    }

    /// Counts a request until the guard drops.
    pub(crate) fn http_in_flight(&self) -> InFlightGuard {
        self.http_requests_in_flight.inc();
        InFlightGuard(self.http_requests_in_flight.clone())
    }
}

/// One request that is answered now.
pub(crate) struct InFlightGuard(Gauge);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_existing_dashboards() {
        let extra: ExtraMetrics = Arc::new(|text| text.push_str("jetmill:num_requests_running 3\n# EOF\n"));
        let metrics = Metrics::new(vec![extra]);
        metrics.first_token(Duration::from_millis(20));
        metrics.choice_finished("stop");
        metrics.inference_ended(5, 7);
        metrics.http_request("/v1/models".into(), "GET", 200);
        let text = metrics.render(2, vec![("smol".parse().unwrap(), 5)]).unwrap();
        for line in [
            "jetmill:time_to_first_token_seconds_count 1",
            "jetmill:request_success_total{finished_reason=\"stop\"} 1",
            "jetmill:prompt_tokens_total 5",
            "jetmill:generation_tokens_total 7",
            "jetmill:http_requests_total{route=\"/v1/models\",method=\"GET\",status=\"200\"} 1",
            "jetmill:num_inferences_in_flight 2",
            "jetmill:num_inferences_waiting{pool=\"smol\"} 5",
            "jetmill:num_requests_running 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.ends_with("# EOF\n"));
    }
}
