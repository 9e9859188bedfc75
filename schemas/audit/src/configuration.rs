//! The configurations that facts name.

use bus::{BusError, EventLog, StreamName, subjects};
use schemas::FactHash;
use schemas::v1::control_envelope::Fact;

const NUM_VERSION_DIGITS: usize = 32;

/// The version of a configuration that is written as this JSON: the first digits of its SHA-256, so that a fact, which is
/// signed, vouches for the configuration that it names.
pub fn configuration_version(json: &str) -> String {
    FactHash::of(json.as_bytes()).to_string().chars().take(NUM_VERSION_DIGITS).collect()
}

/// The configuration that a fact names by `version`, as JSON without secrets; `None` if the record holds none that is its.
pub async fn find_configuration(log: &dyn EventLog, version: &str) -> Result<Option<String>, BusError> {
    if version.len() != NUM_VERSION_DIGITS || !version.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let record = log.last(StreamName::Control, subjects::control_configuration(version)).await?;
    let fact = record.and_then(|record| schemas::decode_control(&record.payload).ok()?.fact);
    Ok(match fact {
        Some(Fact::ConfigurationRecorded(recorded)) if configuration_version(&recorded.json) == version => {
            Some(recorded.json)
        }
        _ => None,
    })
}
