//! The two signals that end a process.

use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// How long work under way may take after the first signal.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// Cancels the token at the first SIGINT or SIGTERM; the second one ends the process at once.
pub(crate) fn on_signal() -> Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        let mut next = async || tokio::select! { _ = interrupt.recv() => {} , _ = terminate.recv() => {} };
        next().await;
        info!("stopping: work under way is finished or handed back; a second signal stops at once");
        cancelled.cancel();
        next().await;
        std::process::exit(130);
    });
    Ok(token)
}
