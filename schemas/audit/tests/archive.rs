//! Archives of a log: what is whole verifies, and whatever is done to one is named.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit::archive::{ArchiveReader, ArchiveWriter, Entry, Part, StoredFact};
use audit::merkle::proof::is_consistent;
use audit::{
    Checkpointer, CheckpointerSettings, ExportReport, Finding, FindingKind, PublicKey, Selection, SigningKey,
    Verification, export, prove_consistency, prove_inclusion, verify,
};
use bus::{AppendOutcome, EventLog, FactWriter, MemoryLog, Stamp, StampSource, subjects};
use prost::Message as _;
use schemas::v1::envelope::Fact;
use schemas::v1::{Admitted, CheckpointSigned, Ended, Envelope, Prompt, Requested, prompt::Content};
use schemas::{EventId, FactHash, FactKind, InferenceId, TenantId};
use tempfile::TempDir;
use uuid::Uuid;

/// Records between two checkpoints.
const INTERVAL: u64 = 4;

struct Site {
    log: Arc<dyn EventLog>,
    facts: FactWriter,
    stamps: StampSource,
    dir: TempDir,
}

fn key() -> SigningKey {
    SigningKey::new(&[5; 32])
}

fn id(number: u128) -> InferenceId {
    InferenceId::new(Uuid::from_u128(number))
}

impl Site {
    fn new() -> Self {
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
        let counter = AtomicU64::new(1);
        let stamps: StampSource = Arc::new(move || {
            let next = counter.fetch_add(1, Ordering::Relaxed);
            Stamp { event_id: EventId::new(Uuid::from_u128(u128::from(next))), unix_nanos: next }
        });
        let facts = FactWriter::new(Arc::clone(&log), Arc::clone(&stamps), "test", "t1".parse().unwrap());
        Self { log, facts, stamps, dir: tempfile::tempdir().unwrap() }
    }

    /// Three inferences of two tenants, 12 facts at the sequences 1 to 12, each under way beside the others.
    async fn with_lives() -> Self {
        let site = Self::new();
        let mut last: Vec<FactHash> = Vec::new();
        for number in 0..3u128 {
            let prompt = Prompt { content: Some(Content::Text(format!("secret {number}"))) };
            let requested = Requested { prompt: Some(prompt), ..Requested::default() };
            last.push(site.append(number, None, FactKind::Requested, Fact::Requested(requested)).await);
        }
        for (kind, fact) in [
            (FactKind::Admitted, Fact::Admitted(Admitted::default())),
            (FactKind::CancelRequested, Fact::CancelRequested(Default::default())),
            (FactKind::Ended, Fact::Ended(Ended::default())),
        ] {
            for (number, previous) in (0..3u128).zip(&mut last) {
                *previous = site.append(number, Some(*previous), kind, fact.clone()).await;
            }
        }
        site
    }

    async fn append(&self, number: u128, previous: Option<FactHash>, kind: FactKind, fact: Fact) -> FactHash {
        let tenant: TenantId = if number == 1 { "other" } else { "default" }.parse().unwrap();
        let facts = previous.map_or(self.facts.clone(), |previous| self.facts.following(previous));
        let payload = facts.encode(id(number), &tenant, fact);
        let subject = subjects::fact(kind, &tenant, id(number));
        let appended = facts.append_encoded(subject, payload.clone()).await.unwrap();
        assert!(matches!(appended, AppendOutcome::Stored { .. }));
        FactHash::of(&payload)
    }

    fn checkpointer(&self) -> Checkpointer {
        let settings = CheckpointerSettings { interval: Duration::from_secs(1), max_num_records: INTERVAL };
        Checkpointer::new(Arc::clone(&self.log), Arc::clone(&self.stamps), key(), settings)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("record.jmarchive")
    }

    async fn export(&self, selection: Selection) -> ExportReport {
        export(Arc::clone(&self.log), selection, &self.path(), 7).await.unwrap()
    }

    async fn signed_and_exported(selection: Selection) -> (Self, ExportReport) {
        let site = Self::with_lives().await;
        site.checkpointer().sign_what_is_new().await.unwrap();
        let report = site.export(selection).await;
        (site, report)
    }

    fn verify(&self) -> Verification {
        verify(ArchiveReader::open(&self.path()).unwrap(), &key().public_key())
    }

    fn parts(&self) -> Vec<Part> {
        let mut reader = ArchiveReader::open(&self.path()).unwrap();
        reader.begin().unwrap();
        std::iter::from_fn(|| reader.next_part().unwrap()).collect()
    }

    fn write(&self, parts: Vec<Part>) {
        let mut writer = ArchiveWriter::create(&self.path()).unwrap();
        parts.into_iter().for_each(|part| writer.write(part).unwrap());
        writer.finish().unwrap();
    }

    /// What is found after an edit.
    fn edited(&self, edit: impl FnOnce(&mut Vec<Part>)) -> Finding {
        let whole = self.parts();
        let mut parts = whole.clone();
        edit(&mut parts);
        self.write(parts);
        let found = self.verify().finding;
        self.write(whole);
        found.unwrap_or_else(|| panic!("the edit was not found"))
    }
}

/// Where the entry of this sequence stands.
fn at(parts: &[Part], sequence: u64) -> usize {
    let is_it = |part: &Part| matches!(part, Part::Entry(entry) if entry.sequence == sequence);
    parts.iter().position(is_it).unwrap()
}

fn entry(parts: &mut [Part], sequence: u64) -> &mut Entry {
    let index = at(parts, sequence);
    match &mut parts[index] {
        Part::Entry(entry) => entry,
        _ => panic!("no entry"),
    }
}

fn fact(parts: &mut [Part], sequence: u64) -> &mut StoredFact {
    entry(parts, sequence).fact.as_mut().unwrap()
}

/// Changes the prompt and nothing else, as somebody would who hides what was asked.
fn reworded(fact: &mut StoredFact) {
    let mut envelope = Envelope::decode(fact.envelope.as_slice()).unwrap();
    match &mut envelope.fact {
        Some(Fact::Requested(requested)) => {
            requested.prompt = Some(Prompt { content: Some(Content::Text("harmless".to_owned())) });
        }
        _ => envelope.recorded_by = "somebody".to_owned(),
    }
    fact.envelope = envelope.encode_to_vec();
}

#[tokio::test]
async fn a_whole_archive_verifies() {
    let (site, report) = Site::signed_and_exported(Selection::default()).await;
    let expected =
        ExportReport { num_inferences: 3, num_facts: 12, num_entries: 12, ..ExportReport::default() };
    assert_eq!(report, expected);
    let verified = site.verify();
    assert_eq!(verified.finding, None);
    assert_eq!((verified.num_checkpoints, verified.num_entries, verified.num_facts), (3, 12, 12));
    assert_eq!(verified.num_inferences, 3);
    assert_eq!(verified.last_checkpoint.unwrap().last_sequence, 12);
}

#[tokio::test]
async fn a_part_verifies_from_the_checkpoint_before_it_and_shows_nothing_of_others() {
    let other: TenantId = "other".parse().unwrap();
    let by_tenant = Selection { tenant: Some(other), ..Selection::default() };
    let by_id = Selection { inference: Some(id(1)), ..Selection::default() };
    let by_time = Selection { to_unix_nanos: Some(0), ..Selection::default() };
    for (selection, num_facts) in [(by_tenant, 4), (by_id, 4), (by_time, 0)] {
        let (site, report) = Site::signed_and_exported(selection).await;
        assert_eq!((report.num_facts, report.num_unfinished), (num_facts, 0));
        let verified = site.verify();
        assert_eq!((verified.finding, verified.num_facts), (None, num_facts));
        let bytes: Vec<u8> =
            site.parts().into_iter().flat_map(|part| format!("{part:?}").into_bytes()).collect();
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains(&id(0).to_string()));
    }
    let site = Site::with_lives().await;
    let mut checkpointer = site.checkpointer();
    checkpointer.sign_what_is_new().await.unwrap();
    let late = site.append(9, None, FactKind::Requested, Fact::Requested(Requested::default())).await;
    site.append(9, Some(late), FactKind::Ended, Fact::Ended(Ended::default())).await;
    checkpointer.sign_what_is_new().await.unwrap();
    let report = site.export(Selection { inference: Some(id(9)), ..Selection::default() }).await;
    assert_eq!((report.num_entries, report.num_facts), (2, 2));
    assert_eq!(site.verify().finding, None);
    assert_eq!(site.verify().num_checkpoints, 2);
}

#[tokio::test]
async fn the_first_fact_that_was_changed_removed_added_or_moved_is_named() {
    let (site, _) = Site::signed_and_exported(Selection::default()).await;
    let check = |edit: &dyn Fn(&mut Vec<Part>), kind: FindingKind, sequence: u64| {
        let found = site.edited(|parts| edit(parts));
        assert_eq!((found.kind, found.sequence), (kind, sequence), "{found}");
    };
    check(&|parts| reworded(fact(parts, 2)), FindingKind::Changed, 2);
    check(&|parts| reworded(fact(parts, 12)), FindingKind::Changed, 12);
    check(&|parts| fact(parts, 7).envelope[9] ^= 1, FindingKind::Changed, 7);
    check(&|parts| fact(parts, 7).envelope.clear(), FindingKind::Changed, 7);
    check(&|parts| fact(parts, 7).subject.push('x'), FindingKind::Changed, 7);
    check(&|parts| drop(parts.remove(at(parts, 6))), FindingKind::Removed, 6);
    check(&|parts| drop(parts.remove(at(parts, 1))), FindingKind::Removed, 1);
    check(&|parts| drop(parts.remove(at(parts, 8))), FindingKind::Removed, 8);
    check(&|parts| entry(parts, 6).fact = None, FindingKind::Removed, 6);
    check(&|parts| parts.insert(at(parts, 6), parts[at(parts, 6)].clone()), FindingKind::Added, 6);
    check(&|parts| parts.push(parts[at(parts, 6)].clone()), FindingKind::Damaged, 13);
    check(
        &|parts| {
            let (one, other) = (at(parts, 6), at(parts, 7));
            parts.swap(one, other);
        },
        FindingKind::Reordered,
        7,
    );
    check(
        &|parts| {
            let one = fact(parts, 6).clone();
            let other = std::mem::replace(fact(parts, 7), one);
            *fact(parts, 6) = other;
        },
        FindingKind::Reordered,
        6,
    );
}

/// Who edits carefully makes the digests fit, but cannot sign.
#[tokio::test]
async fn an_edit_that_fits_its_own_digests_is_found_by_the_chain_or_by_the_root() {
    let (site, _) = Site::signed_and_exported(Selection::default()).await;
    let refit = |parts: &mut [Part], sequence: u64| {
        let stored = fact(parts, sequence).clone();
        let record = bus::Record {
            sequence,
            subject: stored.subject,
            payload: stored.envelope.into(),
            stored: None,
            stored_at_unix_nanos: 0,
        };
        let leaf = audit::Leaf::of(&record);
        let entry = entry(parts, sequence);
        entry.inference = leaf.inference.to_vec();
        entry.content = leaf.content.to_vec();
    };
    let found = site.edited(|parts| {
        reworded(fact(parts, 2));
        refit(parts, 2);
    });
    assert_eq!((found.kind, found.sequence), (FindingKind::Inconsistent, 1), "{found}");
    let found = site.edited(|parts| {
        reworded(fact(parts, 6));
        let mut envelope = Envelope::decode(fact(parts, 6).envelope.as_slice()).unwrap();
        envelope.previous_hash = vec![1; 32];
        fact(parts, 6).envelope = envelope.encode_to_vec();
        refit(parts, 6);
    });
    assert_eq!((found.kind, found.sequence), (FindingKind::Changed, 6), "{found}");
}

#[tokio::test]
async fn a_fact_that_was_forged_into_the_log_before_it_was_signed_does_not_follow() {
    let site = Site::with_lives().await;
    let ended = Fact::Ended(Ended::default());
    site.append(8, Some(FactHash::of(b"nothing")), FactKind::Ended, ended).await;
    site.checkpointer().sign_what_is_new().await.unwrap();
    site.export(Selection::default()).await;
    let found = site.verify().finding.unwrap();
    assert_eq!((found.kind, found.sequence), (FindingKind::Changed, 13), "{found}");
}

#[tokio::test]
async fn checkpoints_cannot_be_forged_or_left_out() {
    let (site, _) = Site::signed_and_exported(Selection::default()).await;
    let checkpoint_at = |parts: &[Part], number: u64| {
        let is_it = |part: &Part| matches!(part, Part::Checkpoint(checkpoint) if checkpoint.number == number);
        parts.iter().position(is_it).unwrap()
    };
    let found = site.edited(|parts| drop(parts.remove(checkpoint_at(parts, 2))));
    assert_eq!(found.kind, FindingKind::Removed, "{found}");
    let found = site.edited(|parts| drop(parts.remove(checkpoint_at(parts, 3))));
    assert_eq!(found.kind, FindingKind::NotSigned, "{found}");
    let found = site.edited(|parts| {
        let index = checkpoint_at(parts, 2);
        match &mut parts[index] {
            Part::Checkpoint(checkpoint) => checkpoint.signed_at_unix_nanos += 1,
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(found.kind, FindingKind::NotSigned, "{found}");
    let stranger: PublicKey = SigningKey::new(&[6; 32]).public_key();
    let found = verify(ArchiveReader::open(&site.path()).unwrap(), &stranger).finding.unwrap();
    assert!(found.reason.contains(&key().public_key().to_string()), "{found}");
}

#[tokio::test]
async fn a_fact_of_an_inference_that_is_shown_cannot_be_hidden_in_a_part() {
    let other: TenantId = "other".parse().unwrap();
    let (site, _) =
        Site::signed_and_exported(Selection { tenant: Some(other), ..Selection::default() }).await;
    let found = site.edited(|parts| entry(parts, 11).fact = None);
    assert_eq!((found.kind, found.sequence), (FindingKind::Removed, 11), "{found}");
}

#[tokio::test]
async fn a_damaged_file_is_said_to_be_damaged() {
    let (site, _) = Site::signed_and_exported(Selection::default()).await;
    let bytes = std::fs::read(site.path()).unwrap();
    let found = |bytes: &[u8]| verify(ArchiveReader::new(bytes), &key().public_key()).finding;
    assert_eq!(found(&bytes), None);
    for cut in (0..bytes.len()).step_by(17).chain(bytes.len() - 9..bytes.len()) {
        assert!(found(&bytes[..cut]).is_some(), "cut at {cut}");
    }
    let unpacked = |bytes: &[u8]| {
        let mut unpacked = Vec::new();
        let read = flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut unpacked);
        read.map(|_| unpacked).unwrap_or_default()
    };
    for bit in (0..bytes.len() * 8).step_by(61) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // The same content can be packed in several ways.
        assert!(found(&flipped).is_some() || unpacked(&flipped) == unpacked(&bytes), "bit {bit}");
    }
    assert_eq!(found(b"rubbish").unwrap().kind, FindingKind::Damaged);
    assert_eq!(found(&[bytes.as_slice(), b"more"].concat()).unwrap().kind, FindingKind::Damaged);
    let huge = [b"\x1f\x8b".as_slice(), &[0xff; 100]].concat();
    assert_eq!(found(&huge).unwrap().kind, FindingKind::Damaged);
}

#[test]
fn an_archive_that_is_not_finished_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let num_files = || dir.path().read_dir().unwrap().count();
    let mut archive = ArchiveWriter::create(&dir.path().join("a.jmarchive")).unwrap();
    archive.write(Part::Header(audit::archive::Header::default())).unwrap();
    assert_eq!(num_files(), 1);
    drop(archive);
    assert_eq!(num_files(), 0);
}

#[tokio::test]
async fn several_checkpointers_and_restarts_make_one_row_of_checkpoints() {
    let site = Site::with_lives().await;
    let (mut one, mut other) = (site.checkpointer(), site.checkpointer());
    let (first, second) = tokio::join!(one.sign_what_is_new(), other.sign_what_is_new());
    first.and(second).unwrap();
    for number in 20..29u128 {
        site.append(number, None, FactKind::Requested, Fact::Requested(Requested::default())).await;
        match number % 3 {
            0 => one.sign_what_is_new().await.unwrap(),
            1 => other.sign_what_is_new().await.unwrap(),
            _ => site.checkpointer().sign_what_is_new().await.unwrap(),
        }
    }
    one.sign_what_is_new().await.unwrap();
    let report = site.export(Selection::default()).await;
    assert_eq!((report.num_entries, report.num_unsigned, report.num_unfinished), (21, 0, 9));
    let verified = site.verify();
    assert_eq!(verified.finding, None);
    assert_eq!(verified.num_checkpoints, 3 + 9);
}

#[tokio::test]
async fn every_record_is_proven_to_its_checkpoint_and_every_checkpoint_to_the_newest() {
    let site = Site::with_lives().await;
    site.checkpointer().sign_what_is_new().await.unwrap();
    site.append(9, None, FactKind::Requested, Fact::Requested(Requested::default())).await;
    let proofs = prove_inclusion(&site.log, &(1..=13).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(proofs.keys().copied().collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    for (sequence, proof) in &proofs {
        assert_eq!((proof.leaf.sequence, proof.leaf_index), (*sequence, sequence - 1));
        assert_eq!(proof.checkpoint.number, sequence.div_ceil(INTERVAL));
        assert!(proof.holds());
        let mut moved = proof.clone();
        moved.leaf.sequence += 1;
        assert!(!moved.holds());
    }
    for number in 1..=3 {
        let proof = prove_consistency(&site.log, number).await.unwrap().unwrap();
        let root =
            |checkpoint: &CheckpointSigned| <[u8; 32]>::try_from(checkpoint.root_hash.as_slice()).unwrap();
        let (old, new) = (root(&proof.since), root(&proof.newest));
        let (first, second) = ((proof.since.tree_size, &old), (proof.newest.tree_size, &new));
        assert!(is_consistent(first, second, &proof.path));
        assert_eq!(number == 3, proof.path.is_empty());
    }
    assert_eq!(prove_consistency(&site.log, 4).await.unwrap(), None);
}
