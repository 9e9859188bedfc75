//! `jetmill audit`: the proof of the record, and its archives.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use audit::archive::ArchiveReader;
use audit::{
    Archivist, ArchivistSettings, CheckpointLog, Checkpointer, CheckpointerSettings, PublicKey, Selection,
    SigningKey, Verification, export, find_configuration, prove_consistency, record_access, verify,
    verify_directory,
};
use bus::topology::StreamPolicy;
use bus::{EventLog, ReadFrom, StreamName, subjects};
use clap::{Args, Subcommand};
use futures_util::TryStreamExt as _;
use rand::TryRngCore as _;
use schemas::v1::RecordAccessed;
use schemas::{InferenceId, TenantId};
use serde_json::json;

use crate::broker::{Broker, data_dir};
use crate::config::{ArchiveConfig, Config};
use crate::instance;
use crate::record::print_line;

/// The archivist holds 24 bytes of each record until its segment is closed.
const MAX_NUM_SEGMENT_RECORDS: u32 = 1_000_000;

/// What `jetmill audit` does.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Prints the public key that verifies archives of this record.
    Key,
    /// Prints the newest checkpoint as JSON, for somebody else to keep.
    Checkpoint {
        /// Also proves that it goes on from the checkpoint of this number.
        #[arg(long)]
        since: Option<u64>,
    },
    /// Prints the configuration that facts name by this version, as it was recorded: JSON without secrets.
    Configuration {
        /// As `jetmill events` shows it.
        version: String,
    },
    /// Lists who read the record and who erased content of it, one JSON object a line.
    Accesses,
    /// Writes an archive of a part of the record, with what proves it.
    Export(ExportArguments),
    /// Checks an archive with the public key alone; names the first fact that is not what was logged.
    Verify {
        /// The archive, or a directory of segments.
        archive: PathBuf,
        /// What `jetmill audit key` prints where the record was made.
        #[arg(long)]
        public_key: PublicKey,
    },
    /// Lists the files of the archive, one JSON object a line.
    Segments,
}

/// Which inferences go into an archive, each with its whole life.
#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    range: TimeRange,
    /// Only this tenant's.
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Only this one.
    #[arg(long)]
    inference: Option<InferenceId>,
    /// The archive to write.
    file: PathBuf,
}

/// When inferences were requested.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct TimeRange {
    /// Requested at or after this time: 2026-01-31, 2026-01-31T12:00:00Z, or seconds since the Unix epoch.
    #[arg(long)]
    pub(crate) from: Option<Instant>,
    /// Requested before this time.
    #[arg(long)]
    pub(crate) to: Option<Instant>,
}

/// A time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    pub(crate) unix_nanos: u64,
}

impl FromStr for Instant {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected 2026-01-31, 2026-01-31T12:00:00Z or seconds since the Unix epoch";
        let time = match text.parse() {
            Ok(seconds) => UNIX_EPOCH.checked_add(Duration::from_secs(seconds)),
            Err(_) if text.len() == 10 => humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).ok(),
            Err(_) => humantime::parse_rfc3339_weak(text).ok(),
        };
        let nanos = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).ok_or(EXPECTED)?.as_nanos();
        u64::try_from(nanos).map(|unix_nanos| Self { unix_nanos }).map_err(|_| EXPECTED)
    }
}

/// A time for people.
pub(crate) fn shown_time(unix_nanos: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(unix_nanos);
    humantime::format_rfc3339_millis(time).to_string()
}

/// Runs the command.
pub(crate) async fn run(config: &Config, command: &AuditCommand) -> Result<()> {
    match command {
        AuditCommand::Key => {
            let path = key_path(config);
            let key = SigningKey::load(&path).context("the key is made when `jetmill serve` first starts")?;
            print_line(&key.public_key().to_string());
            Ok(())
        }
        AuditCommand::Checkpoint { since } => print_checkpoint(config, *since).await,
        AuditCommand::Configuration { version } => print_configuration(config, version).await,
        AuditCommand::Accesses => {
            print_audit_facts(config, vec![subjects::all_audit_accesses(), subjects::all_erasures()]).await
        }
        AuditCommand::Export(arguments) => write_archive(config, arguments).await,
        AuditCommand::Verify { archive, public_key } => verify_archive(archive, public_key),
        AuditCommand::Segments => print_audit_facts(config, vec![subjects::all_audit_segments()]).await,
    }
}

/// The checkpointer of this process; its key is made when it is missing.
pub(crate) fn checkpointer(config: &Config, log: &Arc<dyn EventLog>) -> Result<Checkpointer> {
    let mut seed = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut seed).context("the system gives no randomness")?;
    let key = SigningKey::load_or_create(&key_path(config), &seed)?;
    let settings = CheckpointerSettings {
        interval: Duration::from_secs(config.audit.checkpoint_interval_seconds.get()),
        max_num_records: config.audit.max_num_checkpoint_records.get().into(),
    };
    Ok(Checkpointer::new(Arc::clone(log), instance::stamps(), key, settings))
}

/// The archivist of this process, if the configuration names an archive.
pub(crate) fn archivist(config: &Config, log_alone: Arc<dyn EventLog>) -> Result<Option<Archivist>> {
    let ArchiveConfig { directory, max_num_segment_records, max_segment_bytes, .. } = &config.archive;
    let Some(directory) = directory.clone() else { return Ok(None) };
    if max_num_segment_records.get() > MAX_NUM_SEGMENT_RECORDS {
        bail!("archive.max_num_segment_records: at most {MAX_NUM_SEGMENT_RECORDS} are allowed");
    }
    let settings = ArchivistSettings {
        directory,
        interval: Duration::from_secs(config.audit.checkpoint_interval_seconds.get()),
        max_num_records: max_num_segment_records.get().into(),
        max_num_bytes: max_segment_bytes.get(),
        max_age: Duration::from_secs(config.archive.max_segment_age_seconds),
        log_max_age: config.retention.over(StreamPolicy::default()).inference_max_age,
        log_min_age: Duration::from_secs(config.archive.log_min_age_seconds),
    };
    Ok(Some(Archivist::new(log_alone, instance::stamps(), settings)))
}

fn key_path(config: &Config) -> PathBuf {
    config.audit.key_file.clone().unwrap_or_else(|| data_dir(config).join("audit.key"))
}

/// Says in the record that an operator reads it.
pub(crate) async fn note_access(
    log: &dyn EventLog,
    operation: &str,
    inference: Option<InferenceId>,
    scope: String,
) -> Result<()> {
    let access = RecordAccessed {
        caller: String::new(),
        operation: operation.to_owned(),
        inference_id: inference.map(|id| id.to_string()).unwrap_or_default(),
        scope,
    };
    let writer = format!("cli/{}", instance::name());
    record_access(log, instance::stamps()(), &writer, access).await.context("the access cannot be recorded")
}

impl TimeRange {
    /// The range in words.
    pub(crate) fn scope(&self) -> String {
        let shown = |word: &str, instant: Option<Instant>| {
            instant.map(|instant| format!("{word} {} ", shown_time(instant.unix_nanos))).unwrap_or_default()
        };
        format!("{}{}", shown("from", self.from), shown("to", self.to)).trim_end().to_owned()
    }
}

async fn print_checkpoint(config: &Config, since: Option<u64>) -> Result<()> {
    let line = Broker::use_existing(config, async |broker| {
        let log = broker.stored_log();
        let newest = CheckpointLog::new(Arc::clone(&log)).newest().await?;
        let newest = newest.context("no checkpoint was signed yet")?;
        let Some(number) = since else { return Ok(json!({ "checkpoint": newest })) };
        let proof = prove_consistency(&log, number).await?;
        let proof = proof.with_context(|| format!("there is no checkpoint {number}"))?;
        let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let path: Vec<String> = proof.path.iter().map(hex).collect();
        Ok(json!({ "checkpoint": proof.newest, "since": proof.since, "consistency_path": path }))
    });
    print_line(&line.await?.to_string());
    Ok(())
}

async fn print_configuration(config: &Config, version: &str) -> Result<()> {
    let found = Broker::use_existing(config, async |broker| {
        Ok(find_configuration(broker.stored_log().as_ref(), version).await?)
    });
    print_line(&found.await?.with_context(|| format!("the record holds no configuration {version}"))?);
    Ok(())
}

/// Prints what is said of the record itself, one JSON object a line.
async fn print_audit_facts(config: &Config, patterns: Vec<String>) -> Result<()> {
    Broker::use_existing(config, async |broker| {
        let log = broker.stored_log();
        let mut records = log.read(StreamName::Audit, patterns, ReadFrom::Start, false).await?;
        while let Some(record) = records.try_next().await? {
            print_line(&serde_json::to_string(&schemas::decode_audit(&record.payload)?)?);
        }
        Ok(())
    })
    .await
}

async fn write_archive(config: &Config, arguments: &ExportArguments) -> Result<()> {
    let selection = Selection {
        from_unix_nanos: arguments.range.from.map(|instant| instant.unix_nanos),
        to_unix_nanos: arguments.range.to.map(|instant| instant.unix_nanos),
        tenant: arguments.tenant.clone(),
        inference: arguments.inference,
    };
    let mut scope = arguments.range.scope();
    if let Some(tenant) = &arguments.tenant {
        write!(scope, " tenant {tenant}")?;
    }
    let report = Broker::use_existing(config, async |broker| {
        let log = broker.stored_log();
        note_access(log.as_ref(), "audit export", arguments.inference, scope.trim_start().to_owned()).await?;
        Ok(export(log, selection, &arguments.file, instance::unix_nanos()).await?)
    })
    .await?;
    print_line(&format!(
        "{}: {} facts of {} inferences, proven among {} records",
        arguments.file.display(),
        report.num_facts,
        report.num_inferences,
        report.num_entries
    ));
    if report.num_unfinished > 0 {
        print_line(&format!("the end of {} inferences is not signed yet", report.num_unfinished));
    }
    if report.num_unsigned > 0 {
        print_line(&format!("{} newer records are not signed yet and are not in it", report.num_unsigned));
    }
    Ok(())
}

fn verify_archive(path: &Path, key: &PublicKey) -> Result<()> {
    let (verified, finding) = if path.is_dir() {
        let directory = verify_directory(path, key)?;
        print_line(&format!("{} segments hold and join", directory.num_segments));
        (directory.total, directory.finding)
    } else {
        let mut verified = verify(ArchiveReader::open(path)?, key);
        let finding = verified.finding.take();
        (verified, finding.map(|finding| (path.to_owned(), finding)))
    };
    print_line(&summary(&verified, finding.is_none())?);
    match finding {
        None => Ok(()),
        Some((path, finding)) => bail!("{}: {finding}", path.display()),
    }
}

fn summary(verified: &Verification, is_whole: bool) -> Result<String, std::fmt::Error> {
    let mut text = if is_whole { "verified: " } else { "verified before that: " }.to_owned();
    write!(
        text,
        "{} facts of {} inferences, among {} records, by {} checkpoints",
        verified.num_facts, verified.num_inferences, verified.num_entries, verified.num_checkpoints
    )?;
    if verified.num_without_content > 0 {
        let num = verified.num_without_content;
        write!(
            text,
            "; of {num} facts the content was gone when the archive was made, and only their hashes are in it"
        )?;
    }
    if let Some(last) = &verified.last_checkpoint {
        write!(
            text,
            "; the last is number {}, signed {}, up to sequence {}",
            last.number,
            shown_time(last.signed_at_unix_nanos),
            last.last_sequence
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_instants_or_seconds() {
        let seconds = |text: &str| text.parse::<Instant>().map(|instant| instant.unix_nanos / 1_000_000_000);
        assert_eq!(seconds("1970-01-02"), Ok(86_400));
        assert_eq!(seconds("1970-01-02T00:00:01Z"), Ok(86_401));
        assert_eq!(seconds("1970-01-02 00:00:01"), Ok(86_401));
        assert_eq!(seconds("86402"), Ok(86_402));
        for text in
            ["", "yesterday", "1970-13-01", "1960-01-01", "99999999999999999999", "18446744073709551615"]
        {
            assert!(text.parse::<Instant>().is_err(), "{text}");
        }
        assert_eq!(shown_time(86_400_000_000_000), "1970-01-02T00:00:00.000Z");
    }
}
