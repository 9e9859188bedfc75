//! What an api node is told at start.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemas::{IngressId, SamplingLimits, TenantId};

use crate::auth::MasterKey;
use crate::prices::Prices;
use crate::webhooks::WebhookOptions;

/// Appends further metrics in Prometheus' text format to an answer of `/metrics`.
pub type ExtraMetrics = Arc<dyn Fn(&mut String) + Send + Sync>;

/// Everything that can be set; [`ApiConfig::new`] has the defaults.
#[derive(Clone)]
pub struct ApiConfig {
    /// Names this node among all api nodes; token frames for its clients carry it. Unique per process.
    pub ingress: IngressId,
    /// Whose data the calls of this node are.
    pub tenant: TenantId,
    /// The key that every call must carry; absent: no key is asked for.
    pub master_key: Option<MasterKey>,
    /// The key of the auditors, which opens the audit routes and nothing else; absent: nothing opens them.
    pub auditor_key: Option<MasterKey>,
    /// Whether `/metrics` asks for the key as well.
    pub protects_metrics: bool,
    /// Origins whose pages may call; `*` stands for all; empty: none.
    pub cors_origins: Vec<String>,
    /// Sizes and counts.
    pub limits: Limits,
    /// Patience.
    pub timeouts: Timeouts,
    /// Whether a node that stops cancels what its clients wait for. Otherwise they may go on at another node.
    pub cancels_at_shutdown: bool,
    /// Whom it may tell of ends, and how.
    pub webhooks: WebhookOptions,
    /// What models cost; recorded with each request.
    pub prices: Prices,
    /// Version of the configuration that this comes from; recorded with each fact.
    pub configuration: String,
    /// Metrics of other parts of the process, shown with the node's own.
    pub extra_metrics: Vec<ExtraMetrics>,
}

impl ApiConfig {
    /// The defaults for a node.
    pub fn new(ingress: IngressId) -> Self {
        Self {
            ingress,
            tenant: TenantId::slug("default"),
            master_key: None,
            auditor_key: None,
            protects_metrics: false,
            cors_origins: Vec::new(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            cancels_at_shutdown: true,
            webhooks: WebhookOptions::default(),
            prices: Prices::default(),
            configuration: String::new(),
            extra_metrics: Vec::new(),
        }
    }
}

impl fmt::Debug for ApiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiConfig")
            .field("ingress", &self.ingress)
            .field("tenant", &self.tenant)
            .field("has_master_key", &self.master_key.is_some())
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// Bounds of what one node takes in.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Largest file.
    pub max_file_bytes: u64,
    /// Most inferences that this node holds clients for; past it the answer is 429. A request for several prompts counts once
    /// for each.
    pub max_num_inflight_requests: usize,
    /// Most interactive inferences that wait for a worker of one model, over all nodes; past it the answer is 429.
    pub max_num_waiting_requests: usize,
    /// Most prompts in one request.
    pub max_num_prompts: usize,
    /// Most choices in one request, over all its prompts.
    pub max_num_choices: usize,
    /// Most texts in one request for embeddings, and most documents or pairs in one for scores.
    pub max_num_pooling_inputs: usize,
    /// Most messages in one chat.
    pub max_num_messages: usize,
    /// Longest time that a request may set for its inference to go on without a client.
    pub max_grace: Duration,
    /// Bounds of the sampling parameters.
    pub sampling: SamplingLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 8 << 20,
            max_file_bytes: 512 << 20,
            max_num_inflight_requests: 1_024,
            max_num_waiting_requests: 1_024,
            max_num_prompts: 256,
            max_num_choices: 1_024,
            max_num_pooling_inputs: 2_048,
            max_num_messages: 4_096,
            max_grace: Duration::from_secs(600),
            sampling: SamplingLimits::default(),
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// From the request's arrival to its end; past it the inference is cancelled and the client gets 408.
    pub request: Duration,
    /// How long an inference goes on while no client waits for it, unless its request says so. A client that knows neither
    /// its id nor a key cannot come back and is not waited for.
    pub grace: Duration,
    /// Until the headers of a request are there; past it the connection is closed.
    pub header_read: Duration,
    /// Until the body of a request is there; past it the client gets 408.
    pub body_read: Duration,
    /// A client that reads nothing for this long while an answer waits is cut off.
    pub write_stall: Duration,
    /// How long the headers of a stream wait for the first token, so that an early failure has its own status.
    pub header_hold: Duration,
    /// Between two comments that keep a silent stream open.
    pub keep_alive: Duration,
    /// A request that heard nothing for this long asks the log whether its inference has ended.
    pub silence: Duration,
    /// How long a gap in an answer may stay open before what is missing is left to another attempt or the end.
    pub repair: Duration,
    /// For a worker's answer to tokenize and detokenize.
    pub query: Duration,
    /// For a worker to load or unload an adapter, to fall asleep or to wake: it finishes what it computes first.
    pub administration: Duration,
    /// How long requests may go on after the node was told to stop.
    pub shutdown: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(3_600),
            grace: Duration::from_secs(5),
            header_read: Duration::from_secs(15),
            body_read: Duration::from_secs(60),
            write_stall: Duration::from_secs(60),
            header_hold: Duration::from_secs(3),
            keep_alive: Duration::from_secs(15),
            silence: Duration::from_secs(5),
            repair: Duration::from_secs(10),
            query: Duration::from_secs(10),
            administration: Duration::from_secs(600),
            shutdown: Duration::from_secs(30),
        }
    }
}
