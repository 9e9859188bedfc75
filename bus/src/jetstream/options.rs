//! How to reach the broker and what its streams may keep.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::DEFAULT_MAX_RECORD_BYTES;
use crate::topology::StreamPolicy;

/// What a process needs to join the bus.
#[derive(Clone)]
pub struct JetStreamOptions {
    /// One or more server addresses separated by commas: `nats://[user:password@|token@]host:port`, `tls://…`.
    pub url: String,
    /// Name of this connection, for the server's logs.
    pub name: String,
    /// Credentials that do not stand in the address.
    pub credentials: Option<Credentials>,
    /// Certificate authority of the server, PEM.
    pub root_certificate: Option<PathBuf>,
    /// What the streams may keep.
    pub policy: StreamPolicy,
    /// Leave streams that exist as they are: for a process that joins a broker whose streams another one decides on.
    pub keeps_existing_streams: bool,
    /// How long a call goes on trying while the broker is away; below the two minutes for which it knows message ids.
    pub patience: Duration,
    /// Largest payload of one record.
    pub max_record_bytes: usize,
    /// Most messages that are sent and not yet acknowledged; huge windows starve consumers.
    pub max_num_in_flight: usize,
    /// Messages that a listener may lag behind before it loses some.
    pub max_num_unheard: usize,
}

impl JetStreamOptions {
    /// The defaults: no credentials but those in `url`, ten seconds of patience, 1,000 unacknowledged messages.
    pub fn new(url: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: name.into(),
            credentials: None,
            root_certificate: None,
            policy: StreamPolicy::default(),
            keeps_existing_streams: false,
            patience: Duration::from_secs(10),
            max_record_bytes: DEFAULT_MAX_RECORD_BYTES,
            max_num_in_flight: 1_000,
            max_num_unheard: 65_536,
        }
    }
}

impl fmt::Debug for JetStreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStreamOptions")
            .field("url", &without_secrets(&self.url))
            .field("name", &self.name)
            .field("credentials", &self.credentials)
            .field("policy", &self.policy)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// The addresses without what stands before their `@`.
pub(crate) fn without_secrets(url: &str) -> String {
    let addresses = url.split(',').map(|address| {
        let (scheme, rest) = address.trim().split_once("://").unwrap_or(("nats", address.trim()));
        format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
    });
    addresses.collect::<Vec<_>>().join(",")
}

/// How to prove who we are. Its `Debug` shows no secret.
#[derive(Clone)]
pub enum Credentials {
    /// A token.
    Token(String),
    /// A user and the password.
    UserAndPassword(String, String),
    /// A `.creds` file with a JWT and its seed.
    File(PathBuf),
    /// An nkey seed.
    NkeySeed(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => write!(f, "Token(…)"),
            Self::UserAndPassword(user, _) => write!(f, "UserAndPassword({user:?}, …)"),
            Self::File(path) => write!(f, "File({path:?})"),
            Self::NkeySeed(_) => write!(f, "NkeySeed(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let mut options = JetStreamOptions::new("nats://me:hush@a:1,nats://hush@b:2,c:3", "test");
        options.credentials = Some(Credentials::UserAndPassword("me".to_owned(), "hush".to_owned()));
        let shown = format!("{options:?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("nats://a:1,nats://b:2,nats://c:3"), "{shown}");
    }
}
