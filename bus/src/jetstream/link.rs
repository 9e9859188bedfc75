//! The connection: opening it, and knowing when it broke and came back.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;
use tokio::time::Instant;

use super::options::{Credentials, JetStreamOptions, without_secrets};
use crate::BusError;

const PAUSE_BETWEEN_CONNECTS: Duration = Duration::from_millis(100);
const MAX_PAUSE_BETWEEN_CONNECTS: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What happened on this connection since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkCounts {
    /// Connections after the first.
    pub num_reconnects: u64,
    /// Times that a subscription was full and lost messages.
    pub num_slow_consumers: u64,
    /// Published messages that their stream refused or that were given up.
    pub num_lost_publishes: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    num_reconnects: AtomicU64,
    num_slow_consumers: AtomicU64,
    pub(super) num_lost_publishes: AtomicU64,
}

/// A number that moves when the connection is renewed, and whether it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LinkState {
    pub(super) epoch: u64,
    pub(super) is_up: bool,
}

pub(super) struct Link {
    pub(super) client: Client,
    pub(super) counters: Arc<Counters>,
    state: watch::Receiver<LinkState>,
}

impl Link {
    /// Connects, trying again until the patience is over. A refused login fails at once.
    pub(super) async fn open(options: &JetStreamOptions) -> Result<Self, BusError> {
        let addresses = parse_addresses(&options.url)?;
        let counters = Arc::new(Counters::default());
        let (sender, state) = watch::channel(LinkState { epoch: 0, is_up: false });
        let sender = Arc::new(sender);
        let deadline = Instant::now() + options.patience;
        loop {
            let connect = connect_options(options, &addresses)
                .await?
                .event_callback(note_events(Arc::clone(&sender), Arc::clone(&counters)));
            let error = match connect.connect(addresses.as_slice()).await {
                Ok(client) => {
                    sender.send_if_modified(|state| !std::mem::replace(&mut state.is_up, true));
                    return Ok(Self { client, counters, state });
                }
                Err(error) => error,
            };
            let text = format!("{}: {error}", without_secrets(&options.url));
            if matches!(
                error.kind(),
                ConnectErrorKind::Authentication
                    | ConnectErrorKind::AuthorizationViolation
                    | ConnectErrorKind::Tls
            ) {
                return Err(BusError::Refused(text));
            }
            if Instant::now() + PAUSE_BETWEEN_CONNECTS >= deadline {
                return Err(BusError::Unreachable(text));
            }
            tokio::time::sleep(PAUSE_BETWEEN_CONNECTS).await;
        }
    }

    /// A watch that fires from now on.
    pub(super) fn watch(&self) -> LinkWatch {
        let mut state = self.state.clone();
        let epoch = state.borrow_and_update().epoch;
        LinkWatch { state, epoch }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().is_up
    }

    pub(super) fn counts(&self) -> LinkCounts {
        LinkCounts {
            num_reconnects: self.counters.num_reconnects.load(Ordering::Relaxed),
            num_slow_consumers: self.counters.num_slow_consumers.load(Ordering::Relaxed),
            num_lost_publishes: self.counters.num_lost_publishes.load(Ordering::Relaxed),
        }
    }
}

/// Tells when the connection has been renewed since the watch was made, so that what was under way may be lost.
pub(super) struct LinkWatch {
    state: watch::Receiver<LinkState>,
    epoch: u64,
}

impl LinkWatch {
    /// Resolves at the next renewal. Cancel-safe.
    pub(super) async fn renewed(&mut self) {
        while self.state.changed().await.is_ok() {
            let epoch = self.state.borrow_and_update().epoch;
            if epoch != self.epoch {
                self.epoch = epoch;
                return;
            }
        }
        // The client is gone for good: nothing will renew it.
        std::future::pending().await
    }
}

fn note_events(
    sender: Arc<watch::Sender<LinkState>>,
    counters: Arc<Counters>,
) -> impl Fn(Event) -> std::future::Ready<()> + Send + Sync + 'static {
    move |event| {
        match event {
            Event::Connected => sender.send_modify(|state| {
                if state.is_up {
                    return;
                }
                if state.epoch > 0 {
                    tracing::info!("connected to the broker again");
                    counters.num_reconnects.fetch_add(1, Ordering::Relaxed);
                }
                *state = LinkState { epoch: state.epoch + 1, is_up: true };
            }),
            Event::Disconnected | Event::Closed => {
                let was_up = sender.send_if_modified(|state| {
                    // Epoch 0 is the time before the first `Connected`; a loss must never look like it.
                    state.epoch = state.epoch.max(1);
                    std::mem::replace(&mut state.is_up, false)
                });
                // Only we close it: whatever else ends it is followed by attempts to connect again.
                if was_up && matches!(event, Event::Disconnected) {
                    tracing::warn!("the connection to the broker broke");
                }
            }
            Event::SlowConsumer(subscription) => {
                counters.num_slow_consumers.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(subscription, "a slow listener lost live messages");
            }
            Event::ServerError(error) => tracing::warn!(%error, "the broker reports an error"),
            // Every vain attempt to connect again is one, which the loss itself has announced.
            Event::ClientError(error) => tracing::debug!(%error, "the broker's client reports an error"),
            Event::LameDuckMode => tracing::info!("the broker is about to stop"),
            Event::Draining => {}
        }
        std::future::ready(())
    }
}

fn parse_addresses(url: &str) -> Result<Vec<ServerAddr>, BusError> {
    url.split(',')
        .map(|address| {
            ServerAddr::from_str(address.trim()).map_err(|error| {
                BusError::Refused(format!("'{}' is no address: {error}", without_secrets(address)))
            })
        })
        .collect()
}

async fn connect_options(
    options: &JetStreamOptions,
    addresses: &[ServerAddr],
) -> Result<ConnectOptions, BusError> {
    let mut connect = ConnectOptions::new()
        .name(&options.name)
        .connection_timeout(CONNECT_TIMEOUT)
        .max_reconnects(None)
        .subscription_capacity(options.max_num_unheard)
        .ping_interval(Duration::from_secs(10))
        .request_timeout(Some(CONNECT_TIMEOUT))
        .reconnect_delay_callback(|num_attempts| {
            let doublings = u32::try_from(num_attempts.min(6)).unwrap_or(6);
            (PAUSE_BETWEEN_CONNECTS / 4 * 2_u32.pow(doublings)).min(MAX_PAUSE_BETWEEN_CONNECTS)
        });
    if let Some(path) = &options.root_certificate {
        connect = connect.add_root_certificates(path.clone());
    }
    let in_address = addresses.iter().find_map(|address| {
        let user = address.username()?.to_owned();
        Some(match address.password() {
            Some(password) => Credentials::UserAndPassword(user, password.to_owned()),
            None => Credentials::Token(user),
        })
    });
    match options.credentials.clone().or(in_address) {
        None => Ok(connect),
        Some(Credentials::Token(token)) => Ok(connect.token(token)),
        Some(Credentials::UserAndPassword(user, password)) => Ok(connect.user_and_password(user, password)),
        Some(Credentials::NkeySeed(seed)) => Ok(connect.nkey(seed)),
        Some(Credentials::File(path)) => connect
            .credentials_file(&path)
            .await
            .map_err(|error| BusError::Refused(format!("credentials {}: {error}", path.display()))),
    }
}
