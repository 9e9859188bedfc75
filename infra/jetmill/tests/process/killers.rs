//! Requests that bring their worker down, however fast, and who is listed afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use bus::{EventLog as _, JetStreamLog, JetStreamOptions, ReadFrom, StreamName, subjects};
use futures_util::StreamExt as _;
use prost::Message as _;
use schemas::v1::{Heartbeat, HeldAttempt, control_envelope::Fact};
use serde_json::Value;

use crate::client::{chat, text_of};
use crate::front::{Front, NUM_TOKENS, QUESTION, facts_of, lost_workers};
use crate::record::end_of;
use crate::wait::{soon, until};

async fn log_of(front: &Front) -> JetStreamLog {
    let mut options = JetStreamOptions::new(&front.nats, "test");
    options.keeps_existing_streams = true;
    JetStreamLog::connect(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_kill_as_soon_as_they_begin_are_given_up_and_their_neighbours_are_not() {
    let front = Front::start().await;
    let mut number = 0;
    let mut name = "worker-0".to_owned();
    let mut worker = front.worker(&name);
    front.is_ready().await;
    let (_, undisturbed) = front.client.whole(QUESTION, NUM_TOKENS).await;
    let log = log_of(&front).await;
    for delays in [[0, 10, 200], [1, 30, 0]] {
        let mut beats = log.listen(subjects::all_heartbeats()).await.unwrap();
        let neighbour = front.client.stream(QUESTION, NUM_TOKENS).await;
        // Of two that have brought no token yet nobody could tell which one kills.
        soon("the neighbour's first token", async {
            loop {
                let beat = Heartbeat::decode(beats.next().await.unwrap().payload).unwrap();
                let is_proven = |held: &HeldAttempt| held.inference_id == neighbour.id && !held.is_unproven;
                if !beat.is_addition && beat.held.iter().any(|held| is_proven(held) && !held.is_waiting) {
                    return;
                }
            }
        })
        .await;
        // So long a prompt that its worker is dead before the first token.
        let body = chat(&"lighthouse ".repeat(1_500), 8, false);
        let killer = tokio::spawn(front.client.post(&body).send());
        for millis in delays {
            soon("the killer's beginning", async {
                loop {
                    let beat = Heartbeat::decode(beats.next().await.unwrap().payload).unwrap();
                    // What a dead worker said last may be heard only now.
                    let is_alive = beat.worker == name;
                    let has_begun = beat.held.iter().any(|held| held.inference_id != neighbour.id);
                    if beat.is_addition && is_alive && has_begun {
                        return;
                    }
                }
            })
            .await;
            // The request's own time to kill.
            tokio::time::sleep(Duration::from_millis(millis)).await;
            worker.kill().await;
            number += 1;
            name = format!("worker-{number}");
            worker = front.worker(&name);
        }
        let response = soon("the killer's answer", killer).await.unwrap().unwrap();
        let status = response.status();
        let id = response.headers()["x-jetmill-inference-id"].to_str().unwrap().to_owned();
        let facts = front.facts(&id).await;
        let histories: Vec<_> =
            facts_of(&facts, "attempt_failed").map(|failed| failed["history"].to_string()).collect();
        assert_eq!(status, 500, "{histories:?}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], "worker_lost", "{answer}");
        assert_eq!(end_of(&facts)["outcome"], "OUTCOME_FAILED");
        assert_eq!(lost_workers(&facts).len(), 3);
        let blamed: Vec<_> = facts_of(&facts, "attempt_failed")
            .map(|failed| failed["history"]["num_blamed"].as_u64())
            .collect();
        assert_eq!(blamed, [Some(1), Some(2), Some(3)]);
        front.check_whole(neighbour, text_of(&undisturbed)).await;
    }
}

/// Who is listed, by the last word on each deployment.
async fn listed(log: &JetStreamLog) -> Vec<String> {
    let records = log.read(StreamName::Control, Vec::new(), ReadFrom::Start, false).await.unwrap();
    let mut is_listed = BTreeMap::new();
    for record in records.collect::<Vec<_>>().await {
        match schemas::decode_control(&record.unwrap().payload).unwrap().fact {
            Some(Fact::DeploymentAnnounced(announced)) => is_listed.insert(announced.deployment, true),
            Some(Fact::DeploymentWithdrawn(withdrawn)) => is_listed.insert(withdrawn.deployment, false),
            _ => None,
        };
    }
    is_listed.into_iter().filter_map(|(deployment, is_listed)| is_listed.then_some(deployment)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_listed_no_more_and_one_that_was_stopped_lists_itself_again() {
    let front = Front::start().await;
    let [killed, stopped, _third] = ["killed", "stopped", "third"].map(|name| front.worker(name));
    let log = log_of(&front).await;
    let wait_for = async |expected: &[&str]| {
        until(&format!("{expected:?} are listed"), async || (listed(&log).await == expected).then_some(()))
            .await;
    };
    wait_for(&["killed", "stopped", "third"]).await;
    killed.kill().await;
    wait_for(&["stopped", "third"]).await;
    stopped.stop();
    wait_for(&["third"]).await;
    stopped.resume();
    wait_for(&["stopped", "third"]).await;
}
