//! Whether what was answered is answered again.

use std::process::ExitCode;

use anyhow::Result;
use bus::EventLog;
use futures_util::{StreamExt as _, TryStreamExt as _};
use schemas::InferenceId;
use serde_json::json;

use super::comparison::Comparison;
use super::engine::ReplayEngine;
use super::recorded::Recorded;
use super::{DIFFERENCES, Ids, NOT_DONE, NUM_AT_ONCE, read};
use crate::config::Config;
use crate::record::print_line;

/// One inference as it was and as it is.
struct Verified {
    id: InferenceId,
    comparison: Comparison,
    recorded_engine: String,
    replayed_engine: String,
}

/// Replays all of them, prints what is different, and says so.
pub(super) async fn run(config: &Config, log: &dyn EventLog, ids: Ids<'_>, json: bool) -> Result<ExitCode> {
    let engine = &ReplayEngine::start(config).await?;
    let all = ids.map(|id| async move {
        let id = id?;
        verify_one(engine, id, read(log, id).await?).await
    });
    let mut all = std::pin::pin!(all.buffered(NUM_AT_ONCE));
    let mut tally = Tally::default();
    while let Some(verified) = all.try_next().await? {
        tally.add(&verified);
        print_line(&verified.line(json)?);
    }
    print_line(&if json { tally.to_json(engine.fingerprint()) } else { tally.to_string() });
    Ok(tally.exit_code())
}

/// `recorded` is the inference, or why the record does not give it back.
async fn verify_one(
    engine: &ReplayEngine,
    id: InferenceId,
    recorded: Result<Recorded, String>,
) -> Result<Verified> {
    let not_replayed = |comparison| Verified {
        id,
        comparison,
        recorded_engine: String::new(),
        replayed_engine: String::new(),
    };
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(reason) => return Ok(not_replayed(Comparison::Unable { reason })),
    };
    if let Some(reason) = recorded.obstacle() {
        return Ok(not_replayed(Comparison::Skipped { reason }));
    }
    if let Some(reason) = engine.difference(&recorded) {
        return Ok(not_replayed(Comparison::Unable { reason }));
    }
    let replayed = engine.run(&recorded, recorded.prompt().cloned()).await?;
    let ended = recorded.ended.unwrap_or_default();
    Ok(Verified {
        id,
        comparison: Comparison::of(&ended, &replayed),
        recorded_engine: ended.engine_fingerprint,
        replayed_engine: replayed.ended.engine_fingerprint,
    })
}

impl Verified {
    fn is_by_other_engine(&self) -> bool {
        self.recorded_engine != self.replayed_engine
    }

    fn line(&self, json: bool) -> Result<String> {
        let Self { id, comparison, recorded_engine, replayed_engine } = self;
        if json {
            let mut line = serde_json::to_value(comparison)?;
            line["id"] = json!(id.to_string());
            line["recorded_engine"] = json!(recorded_engine);
            line["replayed_engine"] = json!(replayed_engine);
            return Ok(line.to_string());
        }
        let engines = if self.is_by_other_engine() {
            format!("; recorded on another engine, {recorded_engine}, and replayed on {replayed_engine}")
        } else {
            String::new()
        };
        Ok(format!("{id}  {comparison}{engines}"))
    }
}

#[derive(Debug, Default)]
struct Tally {
    num_same: u64,
    num_other: u64,
    /// There was nothing to run again.
    num_skipped: u64,
    /// There was, and it could not be run here.
    num_unable: u64,
    num_other_engine: u64,
}

impl Tally {
    fn add(&mut self, verified: &Verified) {
        match &verified.comparison {
            Comparison::Match { .. } => self.num_same += 1,
            Comparison::Skipped { .. } => self.num_skipped += 1,
            Comparison::Unable { .. } => self.num_unable += 1,
            _ => self.num_other += 1,
        }
        self.num_other_engine += u64::from(verified.is_by_other_engine());
    }

    const fn num_replayed(&self) -> u64 {
        self.num_same + self.num_other
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self { num_other: 1.., .. } => ExitCode::from(DIFFERENCES),
            Self { num_same: 1.., num_unable: 0, .. } => ExitCode::SUCCESS,
            _ => ExitCode::from(NOT_DONE),
        }
    }

    fn to_json(&self, engine: &str) -> String {
        let summary = json!({
            "num_replayed": self.num_replayed(),
            "num_matches": self.num_same,
            "num_differences": self.num_other,
            "num_skipped": self.num_skipped,
            "num_unable": self.num_unable,
            "num_by_another_engine": self.num_other_engine,
            "engine": engine,
        });
        json!({ "summary": summary }).to_string()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} match", self.num_same, self.num_replayed())?;
        if self.num_skipped > 0 {
            write!(f, ", {} had nothing to run again", self.num_skipped)?;
        }
        if self.num_unable > 0 {
            write!(f, ", {} could not be replayed", self.num_unable)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_a_match_from_differences_and_from_what_could_not_be_done() {
        let check = |[num_same, num_other, num_skipped, num_unable]: [u64; 4], expected: u8| {
            let tally = Tally { num_same, num_other, num_skipped, num_unable, num_other_engine: 0 };
            assert_eq!(format!("{:?}", tally.exit_code()), format!("{:?}", ExitCode::from(expected)));
        };
        check([3, 0, 0, 0], 0);
        check([3, 0, 2, 0], 0);
        check([3, 1, 0, 1], DIFFERENCES);
        check([3, 0, 0, 1], NOT_DONE);
        check([0, 0, 2, 0], NOT_DONE);
        check([0, 0, 0, 0], NOT_DONE);
    }
}
