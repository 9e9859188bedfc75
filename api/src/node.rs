//! One api node: its tasks and its server.

use std::sync::Arc;

use bus::{EventLog, FactWriter, JobLog, LocalFrames, StampSource};
use schemas::WorkerId;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::admission::Admission;
use crate::config::ApiConfig;
use crate::deployments::Deployments;
use crate::local_caller::LocalCaller;
use crate::metrics::{Metrics, SharedRegistry};
use crate::presence;
use crate::queues::Queues;
use crate::repair::Repair;
use crate::routes;
use crate::server;
use crate::state::ApiState;
use crate::token_dispatcher::TokenDispatcher;
use crate::webhooks;

/// An api node that has not begun to serve.
pub struct Api {
    state: Arc<ApiState>,
    local_frames: LocalFrames,
}

impl Api {
    /// A node on this log; `stamps` gives the ids and times of its facts.
    pub fn new(config: ApiConfig, log: Arc<dyn EventLog>, stamps: StampSource) -> Self {
        let speaker = WorkerId::slug(config.ingress.as_str());
        let state = ApiState {
            jobs: JobLog::new(Arc::clone(&log), Arc::clone(&stamps), "api", &speaker),
            facts: FactWriter::new(Arc::clone(&log), stamps, "api", speaker)
                .configured_by(&config.configuration),
            log,
            dispatcher: TokenDispatcher::default(),
            deployments: Deployments::default(),
            admission: Admission::new(config.limits.max_num_inflight_requests),
            queues: Queues::new(config.limits.max_num_waiting_requests),
            metrics: Metrics::new(config.extra_metrics.clone()),
            background: TaskTracker::new(),
            stopping: CancellationToken::new(),
            hard_stop: CancellationToken::new(),
            config,
        };
        Self { state: Arc::new(state), local_frames: LocalFrames::default() }
    }

    /// Hears the workers of this process through `frames`.
    pub fn with_local_frames(self, frames: LocalFrames) -> Self {
        Self { local_frames: frames, ..self }
    }

    /// What `/metrics` shows; other parts of the process may register their own.
    pub fn registry(&self) -> SharedRegistry {
        self.state.metrics.registry()
    }

    /// A way to the node's routes for this process; it answers while the node runs.
    pub fn local_caller(&self) -> LocalCaller {
        LocalCaller::new(routes::router(Arc::clone(&self.state)))
    }

    /// Runs until `shutdown` without a listener, for [`Api::local_caller`] alone; then as [`Api::serve`].
    pub async fn run(self, shutdown: CancellationToken) {
        let state = Arc::clone(&self.state);
        self.run_behind(async move {
            shutdown.cancelled().await;
            state.stopping.cancel();
            state.hard_stop.cancel();
        })
        .await;
    }

    /// Serves until `shutdown`: then takes no more connections, gives requests [`crate::Timeouts::shutdown`] to finish, ends
    /// those that have not with an error and asks for their inferences to be cancelled. Returns when all that is durable.
    /// While the broker is away, requests are answered 503 and everything else goes on.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let state = Arc::clone(&self.state);
        let router = routes::router(Arc::clone(&state));
        self.run_behind(server::run(state, listener, router, shutdown)).await;
    }

    /// What every request needs, for as long as `front` takes requests in.
    async fn run_behind(self, front: impl Future<Output = ()>) {
        let state = self.state;
        let tasks = TaskTracker::new();
        // These outlive the shutdown, since requests that finish still need their tokens.
        let stop_tasks = CancellationToken::new();
        let _stop_on_drop = stop_tasks.clone().drop_guard();
        let log = || Arc::clone(&state.log);
        let dispatcher = state.dispatcher.clone();
        let ingress = state.config.ingress.clone();
        let _listening_here = dispatcher.listen_here(&self.local_frames, ingress.clone());
        let token = stop_tasks.clone();
        let listening = log();
        tasks.spawn(async move { dispatcher.listen(listening, ingress, token).await });
        let deployments = state.deployments.clone();
        let token = stop_tasks.clone();
        let following = log();
        tasks.spawn(async move { deployments.follow(following, token).await });
        let (queues, deployments) = (state.queues.clone(), state.deployments.clone());
        let token = stop_tasks.clone();
        let counting = log();
        tasks.spawn(async move { queues.follow(counting, deployments, token).await });
        let repair = Repair {
            dispatcher: state.dispatcher.clone(),
            log: log(),
            tenant: state.config.tenant.clone(),
            patience: state.config.timeouts.repair,
            silence: state.config.timeouts.silence,
        };
        tasks.spawn(repair.run(stop_tasks.clone()));
        tasks.spawn(presence::answer(Arc::clone(&state), stop_tasks.clone()));
        tasks.spawn(webhooks::serve(Arc::clone(&state), stop_tasks.clone()));

        front.await;

        state.background.close();
        if tokio::time::timeout(state.config.timeouts.shutdown, state.background.wait()).await.is_err() {
            warn!(num_left = state.background.len(), "some cancellations are not durable");
        }
        stop_tasks.cancel();
        tasks.close();
        tasks.wait().await;
        info!("the api node has stopped");
    }
}
