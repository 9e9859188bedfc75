//! The effective configuration as a part of the record: what each fact was written under can be looked up by its version.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use bus::{Append, EventLog, Expect, StreamName, subjects};
use prost::Message as _;
use schemas::WrittenBy;
use schemas::v1::{ConfigurationRecorded, ControlEnvelope, control_envelope::Fact};

use crate::config::Config;
use crate::instance::{self, Journal};

/// Records the configuration unless it stands already, and gives what facts are written with from here on.
pub(crate) async fn record(log: Arc<dyn EventLog>, config: &Config) -> Result<Journal> {
    let recorded = effective(config)?;
    let version = recorded.version.clone();
    let stamp = instance::stamps()();
    let writer = format!("config/{}", instance::name());
    let by = WrittenBy { event_id: stamp.event_id, at_unix_nanos: stamp.unix_nanos, writer: &writer };
    let append = Append {
        stream: StreamName::Control,
        subject: subjects::control_configuration(&version),
        payload: ControlEnvelope::new(&by, Fact::ConfigurationRecorded(recorded)).encode_to_vec().into(),
        expect: Expect::FirstOnSubject,
    };
    log.append(append).await.context("the configuration cannot be recorded")?;
    Ok(Journal::new(log, version))
}

fn effective(config: &Config) -> Result<ConfigurationRecorded> {
    let json = serde_json::to_string(config).context("the configuration cannot be written as JSON")?;
    let version = audit::configuration_version(&json);
    Ok(ConfigurationRecorded { version, json })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bus::MemoryLog;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn a_configuration_is_recorded_once_and_found_by_its_version() {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let first = record(Arc::clone(&log), &config("")).await.unwrap();
        let again = record(Arc::clone(&log), &config("")).await.unwrap();
        let other = record(Arc::clone(&log), &config("[router]\nmax_num_attempts = 2")).await.unwrap();
        assert_eq!(first.configuration, again.configuration);
        assert_ne!(first.configuration, other.configuration);
        assert_eq!(log.last_sequence(StreamName::Control).await.unwrap(), 2);
        let found = audit::find_configuration(log.as_ref(), &other.configuration).await.unwrap().unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&found).unwrap()["router"]["max_num_attempts"],
            2
        );
        for version in ["", "x", &"0".repeat(32), "a.b *>"] {
            let found = audit::find_configuration(log.as_ref(), version).await.unwrap();
            assert_eq!(found, None, "{version}");
        }
    }

    #[test]
    fn no_secret_is_recorded() {
        let secrets = config(
            "[api]\nmaster_key = \"hush\"\nauditor_key = \"hush\"\nwebhook_secret = \"hush\"\n\
             [nats]\nurl = \"nats://me:hush@broker:4222\"\n\
             [database]\nurl = \"postgres://host/db?password=hush\"\n",
        );
        let json = effective(&secrets).unwrap().json;
        assert!(!json.contains("hush") && json.contains("nats://[secret]"), "{json}");
        let plain = config("[nats]\nurl = \"nats://broker:4222\"");
        assert!(effective(&plain).unwrap().json.contains("nats://broker:4222"));
    }
}
