//! Logged traffic through a changed setup.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use bus::EventLog;
use futures_util::{StreamExt as _, TryStreamExt as _};
use guardrails::{Decision, Policy};
use schemas::InferenceId;
use schemas::v1::{AttemptHistory, Ended, Usage};

use super::change::{Change, ChangedSetup};
use super::difference::{AnswerChange, CostChange, Difference, VerdictChange};
use super::engine::{ReplayEngine, Replayed};
use super::recorded::Recorded;
use super::routes::{DeploymentHistory, RecordedRoute, RouteChange, RouteSeen};
use super::tally::Tally;
use super::{Ids, NUM_AT_ONCE, read};
use crate::config::Config;
use crate::record::print_line;

/// Replays all of them and prints what is different.
pub(super) async fn run(
    config: &Config,
    log: &dyn EventLog,
    (ids, changes): (Ids<'_>, &[Change]),
    json: bool,
) -> Result<ExitCode> {
    let setup = ChangedSetup::new(config, changes)?;
    let deployments = DeploymentHistory::read(log).await?;
    let engine = match &setup.worker {
        Some(worker) => Some(ReplayEngine::start(worker).await?),
        None => None,
    };
    let what_if = &WhatIf { setup, deployments, engine };
    let all = ids.map(|id| async move {
        let id = id?;
        what_if.difference(id, read(log, id).await?).await
    });
    let mut all = std::pin::pin!(all.buffered(NUM_AT_ONCE));
    let mut tally = Tally::default();
    if !json {
        print_line(&Difference::heads());
    }
    while let Some(difference) = all.try_next().await? {
        tally.add(&difference);
        print_line(&if json { serde_json::to_string(&difference)? } else { difference.row() });
    }
    print_line(&if json { tally.to_json() } else { tally.to_string() });
    Ok(ExitCode::SUCCESS)
}

struct WhatIf {
    setup: ChangedSetup,
    deployments: DeploymentHistory,
    /// Present if the model or its worker changed.
    engine: Option<ReplayEngine>,
}

impl WhatIf {
    /// `recorded` is the inference, or why the record does not give it back.
    async fn difference(&self, id: InferenceId, recorded: Result<Recorded, String>) -> Result<Difference> {
        let mut difference = Difference { id: id.to_string(), ..Difference::default() };
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(reason) => return Ok(Difference { not_answered: Some(reason), ..difference }),
        };
        // Checks cannot be asked about what is not there any more.
        let policy = self.setup.policy.as_ref().filter(|_| !recorded.is_content_gone());
        let decision = policy.map(|policy| (decide(policy, &recorded), policy.version()));
        difference.verdict =
            decision.as_ref().map(|(decision, version)| VerdictChange::new(&recorded, decision, *version));
        let decision = decision.map(|(decision, _)| decision);
        difference.routes = self.routes(&recorded, decision.as_ref());
        difference.not_answered = self.reason_not_to_answer(&recorded, decision.as_ref());
        let is_refused = decision.as_ref().is_some_and(|decision| decision.refusal.is_some());
        let replayed = match &self.engine {
            Some(engine) if difference.not_answered.is_none() => {
                let prompt = match decision {
                    Some(decision) => decision.redacted_prompt.or_else(|| recorded.requested.prompt.clone()),
                    None => recorded.prompt().cloned(),
                };
                Some(engine.run(&recorded, prompt).await?)
            }
            _ => None,
        };
        let before = recorded.ended.clone().unwrap_or_default();
        difference.answer = replayed.as_ref().map(|replayed| AnswerChange::new(&before, replayed));
        let usage = self.usage(&before, replayed.as_ref()).filter(|_| !is_refused);
        let price = self.setup.price(&recorded, self.engine.as_ref().map(ReplayEngine::model));
        difference.cost = CostChange::new(&before, price.as_ref(), usage);
        Ok(difference)
    }

    /// What would be used: what was, unless another engine says otherwise.
    fn usage(&self, before: &Ended, replayed: Option<&Replayed>) -> Option<Usage> {
        match (&self.engine, replayed) {
            (Some(_), replayed) => replayed?.ended.usage,
            (None, _) => before.usage,
        }
    }

    /// Why no model is asked although there is one to ask.
    fn reason_not_to_answer(&self, recorded: &Recorded, decision: Option<&Decision>) -> Option<String> {
        let engine = self.engine.as_ref()?;
        let obstacle = match decision {
            Some(decision) if decision.refusal.is_some() => Some("the changed checks refuse it"),
            Some(_) if recorded.was_refused() => None,
            _ => recorded.obstacle(),
        };
        obstacle.map(str::to_owned).or_else(|| engine.mismatch(recorded))
    }

    /// Each attempt decided again, with the deployments that there were; and the first one, where there was none.
    fn routes(&self, recorded: &Recorded, decision: Option<&Decision>) -> Vec<RouteChange> {
        let is_refused = decision.is_some_and(|decision| decision.refusal.is_some());
        let decide = |route: &RecordedRoute| -> Option<RouteSeen> {
            let (model, policy) = (&recorded.requested.model, &self.setup.routing);
            (!is_refused).then(|| self.deployments.decide(route, model, policy))
        };
        let changed = |route: &RecordedRoute| RouteChange {
            attempt: route.attempt,
            recorded: Some(route.decision.clone()),
            changed: decide(route),
        };
        if recorded.routes.is_empty() && recorded.was_refused() && decision.is_some() && !is_refused {
            let first = RecordedRoute {
                attempt: 1,
                history: AttemptHistory::default(),
                last_failure: None,
                control_sequence: 0,
                decided_at_unix_nanos: recorded.requested_at_unix_nanos,
                silent: Vec::new(),
                decision: RouteSeen::default(),
            };
            return vec![RouteChange { attempt: 1, recorded: None, changed: decide(&first) }];
        }
        recorded.routes.iter().map(changed).collect()
    }
}

fn decide(policy: &Policy, recorded: &Recorded) -> Decision {
    let began = Instant::now();
    let clock = || u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
    policy.decide(&recorded.requested.model, &guardrails::checked_prompt(&recorded.requested), clock)
}
