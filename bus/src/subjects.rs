//! The subjects: one literal subject per inference and fact.

use schemas::v1::WorkClass;
use schemas::{
    BatchId, DeploymentId, EventId, FactKind, FileId, InferenceId, IngressId, PoolName, TenantId, WorkerId,
};

use crate::{ErasureScope, subject_pattern};

/// `inference.<fact>.<tenant>.<id>` for the facts that happen once.
pub fn fact(kind: FactKind, tenant: &TenantId, id: InferenceId) -> String {
    format!("inference.{}.{tenant}.{id}", kind.as_str())
}

/// `inference.<fact>.<tenant>.<id>.<attempt>` for started and attempt_failed, once per attempt.
pub fn attempt_fact(kind: FactKind, tenant: &TenantId, id: InferenceId, attempt: u32) -> String {
    format!("inference.{}.{tenant}.{id}.{attempt}", kind.as_str())
}

/// `inference.assigned.<pool>.<class>.<id>.<attempt>`.
pub fn assigned(pool: &PoolName, class: WorkClass, id: InferenceId, attempt: u32) -> String {
    format!("inference.assigned.{pool}.{}.{id}.{attempt}", class_word(class))
}

/// Every fact of this kind.
pub fn all_of(kind: FactKind) -> String {
    format!("inference.{}.>", kind.as_str())
}

/// Every assignment to a pool in a class.
pub fn assigned_to(pool: &PoolName, class: WorkClass) -> String {
    format!("inference.assigned.{pool}.{}.>", class_word(class))
}

/// Every fact of one inference, by wildcards: slow on a large log, for people and audits only.
pub fn life_of(id: InferenceId) -> Vec<String> {
    vec![
        format!("inference.*.*.{id}"),
        format!("inference.*.*.{id}.*"),
        format!("inference.assigned.*.*.{id}.*"),
    ]
}

/// `tokens.<ingress>.<worker>`.
pub fn tokens(ingress: &IngressId, worker: &WorkerId) -> String {
    format!("tokens.{ingress}.{worker}")
}

/// Every token frame for an api node.
pub fn tokens_for(ingress: &IngressId) -> String {
    format!("tokens.{ingress}.*")
}

/// `heartbeat.<worker>`: that it lives, and what it holds.
pub fn heartbeat(worker: &WorkerId) -> String {
    format!("heartbeat.{worker}")
}

/// The heartbeats of all workers.
pub fn all_heartbeats() -> String {
    "heartbeat.*".to_owned()
}

/// `control.deployment.<id>`.
pub fn control_deployment(id: &DeploymentId) -> String {
    format!("control.deployment.{id}")
}

/// Everything about deployments.
pub fn all_deployments() -> String {
    "control.deployment.*".to_owned()
}

/// `control.configuration.<version>`: one record for each.
pub fn control_configuration(version: &str) -> String {
    format!("control.configuration.{version}")
}

/// `audit.checkpoint.<number>`: one winner among those who sign.
pub fn audit_checkpoint(number: u64) -> String {
    format!("audit.checkpoint.{number}")
}

/// `audit.access.<event>`.
pub fn audit_access(event: EventId) -> String {
    format!("audit.access.{event}")
}

/// `audit.segment.<number>`: one winner among those who archive.
pub fn audit_segment(number: u64) -> String {
    format!("audit.segment.{number}")
}

/// All segments of the archive, in their order.
pub fn all_audit_segments() -> String {
    "audit.segment.*".to_owned()
}

/// The inference that a subject or pattern of `INFERENCE` is about; `None` if it is about several or none.
pub fn inference_of(subject: &str) -> Option<InferenceId> {
    let mut tokens = subject.split('.');
    if tokens.next()? != "inference" {
        return None;
    }
    let place = if tokens.next()? == "assigned" { 2 } else { 1 };
    tokens.nth(place)?.parse().ok()
}

/// Whether one of the patterns takes the subject, or there are none.
pub fn is_any_match(patterns: &[String], subject: &str) -> bool {
    subject_pattern::is_any_match(patterns, subject)
}

/// Who read the record, and what of it.
pub fn all_audit_accesses() -> String {
    "audit.access.*".to_owned()
}

/// `keys.<tenant>.<end user>.<inference>.<unique>`: the key of an inference's content; an end user that nobody named is `_`.
pub fn key(tenant: &TenantId, end_user: Option<&str>, id: InferenceId, unique: u64) -> String {
    format!("keys.{tenant}.{}.{id}.{unique:016x}", end_user.unwrap_or("_"))
}

/// Whose content the key under a subject opens.
pub fn inference_of_key(subject: &str) -> Option<InferenceId> {
    let mut words = subject.strip_prefix("keys.")?.split('.').skip(2);
    words.next()?.parse().ok()
}

/// The keys of an end user, of an inference, or all of a tenant's.
pub fn keys_of(tenant: &TenantId, end_user: Option<&str>, id: Option<InferenceId>) -> String {
    let id = id.map_or_else(|| "*".to_owned(), |id| id.to_string());
    format!("keys.{tenant}.{}.{id}.*", end_user.unwrap_or("*"))
}

/// `control.master_key`: the fingerprint of the key that wraps those of content, if one does.
pub fn master_key() -> String {
    "control.master_key".to_owned()
}

/// `audit.erasure.<tenant>.…`: content whose keys were destroyed.
pub fn erasure(tenant: &TenantId, scope: &ErasureScope) -> String {
    match scope {
        ErasureScope::Inference(id) => format!("audit.erasure.{tenant}.inference.{id}"),
        ErasureScope::EndUser(end_user) => format!("audit.erasure.{tenant}.end_user.{end_user}"),
        ErasureScope::Tenant => format!("audit.erasure.{tenant}.all"),
    }
}

/// Every erasure.
pub fn all_erasures() -> String {
    "audit.erasure.>".to_owned()
}

/// `query.<pool>.<question>`: tokenize, detokenize.
pub fn query(pool: &PoolName, question: &str) -> String {
    format!("query.{pool}.{question}")
}

/// `query.ingress.awaited`: which node holds a client that waits for an inference.
pub fn awaited() -> String {
    "query.ingress.awaited".to_owned()
}

/// `query.ingress.<ingress>.alive`: whether an api node is there.
pub fn ingress_alive(ingress: &IngressId) -> String {
    format!("query.ingress.{ingress}.alive")
}

/// `query.worker.<worker>.<question>`: what is asked of one worker and not of its pool.
pub fn worker_query(worker: &WorkerId, question: &str) -> String {
    format!("query.worker.{worker}.{question}")
}

/// `jobs.file.<tenant>.<file>.<fact>`.
pub fn file_fact(tenant: &TenantId, file: &FileId, word: &str) -> String {
    format!("jobs.file.{tenant}.{file}.{word}")
}

/// Every fact about a tenant's files.
pub fn all_files_of(tenant: &TenantId) -> String {
    format!("jobs.file.{tenant}.>")
}

/// Every fact about anybody's files.
pub fn all_files() -> String {
    "jobs.file.>".to_owned()
}

/// `jobs.sweeper`: whoever holds its only record sweeps.
pub fn sweeper() -> String {
    "jobs.sweeper".to_owned()
}

/// `jobs.batch.<tenant>.<batch>.<fact>`.
pub fn batch_fact(tenant: &TenantId, batch: &BatchId, word: &str) -> String {
    format!("jobs.batch.{tenant}.{batch}.{word}")
}

/// Every fact about a tenant's batches.
pub fn all_batches_of(tenant: &TenantId) -> String {
    format!("jobs.batch.{tenant}.>")
}

/// The beginning of every batch.
pub fn all_batches_created() -> String {
    "jobs.batch.*.*.created".to_owned()
}

/// `files.<tenant>.<file>.<chunk>`, chunks from 0.
pub fn file_chunk(tenant: &TenantId, file: &FileId, chunk: u64) -> String {
    format!("files.{tenant}.{file}.{chunk}")
}

/// Every chunk of a file.
pub fn all_chunks_of(tenant: &TenantId, file: &FileId) -> String {
    format!("files.{tenant}.{file}.*")
}

/// Every end of a tenant's inferences.
pub fn all_ends_of(tenant: &TenantId) -> String {
    format!("inference.{}.{tenant}.*", FactKind::Ended.as_str())
}

const fn class_word(class: WorkClass) -> &'static str {
    match class {
        WorkClass::Batch => "batch",
        WorkClass::Interactive | WorkClass::Unspecified => "interactive",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inference_of_every_subject_is_found() {
        let id: InferenceId = "0198c6f0000070008000000000000001".parse().unwrap();
        let tenant: TenantId = "t".parse().unwrap();
        let mut of_it = life_of(id);
        of_it.push(fact(FactKind::Ended, &tenant, id));
        of_it.push(attempt_fact(FactKind::Started, &tenant, id, 2));
        of_it.push(assigned(&"pool".parse().unwrap(), WorkClass::Batch, id, 1));
        for subject in of_it {
            assert_eq!(inference_of(&subject), Some(id), "{subject}");
        }
        for other in [all_of(FactKind::Ended), "inference".to_owned(), "control.deployment.a.b".to_owned()] {
            assert_eq!(inference_of(&other), None, "{other}");
        }
    }
}
