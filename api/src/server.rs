//! The accept loop, and the order of a shutdown.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::connection::StallGuard;
use crate::state::ApiState;

/// After a failure to accept, such as too many open files: time for some to close.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);
/// For the last words of streams that were ended by the shutdown.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves connections until `shutdown`, then sees them to their end.
pub(crate) async fn run(
    state: Arc<ApiState>,
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) {
    let connections = TaskTracker::new();
    // Dropped connections: those that did not even take their farewell.
    let cut_off = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve_connection(Arc::clone(&state), stream, router.clone());
                let cut_off = cut_off.clone();
                connections.spawn(async move {
                    tokio::select! {
                        () = cut_off.cancelled() => {}
                        () = connection => {}
                    }
                });
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
    drop(listener);
    info!(num_connections = connections.len(), "no more connections are taken");
    state.stopping.cancel();
    connections.close();
    if tokio::time::timeout(state.config.timeouts.shutdown, connections.wait()).await.is_err() {
        warn!(num_connections = connections.len(), "the time to finish is over");
    }
    state.hard_stop.cancel();
    if tokio::time::timeout(FAREWELL, connections.wait()).await.is_err() {
        cut_off.cancel();
        connections.wait().await;
    }
}

async fn serve_connection(state: Arc<ApiState>, stream: TcpStream, router: Router) {
    // Tokens are small and must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection stays with Nagle's algorithm");
    }
    let timeouts = &state.config.timeouts;
    let io = TokioIo::new(StallGuard::new(stream, timeouts.write_stall));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.header_read)
        .serve_connection(io, TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = state.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "a connection ended early");
    }
}
