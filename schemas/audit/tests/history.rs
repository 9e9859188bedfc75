//! Archive and log as one: whatever is asked is answered as before, or the segment at fault is named.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit::archive::ArchiveReader;
use audit::{
    Archivist, ArchivistSettings, AuditError, Checkpointer, CheckpointerSettings, History, Life, Selection,
    SigningKey, Verification, export, prove_consistency, prove_inclusion, verify,
};
use bus::topology::StreamPolicy;
use bus::{
    BusError, EventLog, FactWriter, MemoryLog, ReadFrom, Record, Stamp, StampSource, StreamName, subjects,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use schemas::v1::envelope::Fact;
use schemas::v1::{Admitted, Assigned, Ended, Prompt, Requested, WorkClass, prompt::Content};
use schemas::{EventId, FactHash, FactKind, InferenceId, TenantId};
use tempfile::TempDir;
use uuid::Uuid;

const NUM_INFERENCES: u64 = 60;
const FACTS_EACH: u64 = 4;
const START: u64 = 1_800_000_000_000_000_000;
const DAY: Duration = Duration::from_secs(86_400);

struct Site {
    log: MemoryLog,
    dir: TempDir,
    /// What its clock shows beyond the log's.
    later: Arc<AtomicU64>,
    num_stamps: Arc<AtomicU64>,
}

fn key() -> SigningKey {
    SigningKey::new(&[5; 32])
}

/// Even ones carry their time, odd ones are made of other things, as those of batches are.
fn id(number: u64) -> InferenceId {
    if number.is_multiple_of(2) {
        let millis = u128::from(START / 1_000_000 + number);
        return InferenceId::new(Uuid::from_u128(millis << 80 | 7 << 76 | 2 << 62 | u128::from(number)));
    }
    InferenceId::from_digest(*Uuid::from_u128(u128::from(number) << 90).as_bytes())
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

impl Site {
    fn new() -> Self {
        let log =
            MemoryLog::starting_at(&StreamPolicy { is_archived: true, ..StreamPolicy::default() }, START);
        Self { log, dir: tempfile::tempdir().unwrap(), later: Arc::default(), num_stamps: Arc::default() }
    }

    /// Inferences of four facts each, eight under way at once; the last one has not ended.
    async fn with_lives() -> Self {
        let site = Self::new();
        for group in 0..NUM_INFERENCES.div_ceil(8) {
            let numbers: Vec<u64> = (group * 8..NUM_INFERENCES.min(group * 8 + 8)).collect();
            let mut previous: Vec<Option<FactHash>> = vec![None; numbers.len()];
            for step in 0..FACTS_EACH {
                for (number, previous) in numbers.iter().zip(&mut previous) {
                    if (*number, step) != (NUM_INFERENCES - 1, FACTS_EACH - 1) {
                        *previous = Some(site.append(*number, step, *previous).await);
                    }
                }
                tokio::time::advance(Duration::from_millis(1)).await;
            }
        }
        site
    }

    async fn append(&self, number: u64, step: u64, previous: Option<FactHash>) -> FactHash {
        let facts = FactWriter::new(self.shared(), self.stamps(), "test", "t1".parse().unwrap());
        let facts = previous.map_or(facts.clone(), |previous| facts.following(previous));
        let fact = match step {
            0 => {
                let prompt = Prompt { content: Some(Content::Text(format!("secret {number} ").repeat(50))) };
                Fact::Requested(Requested { prompt: Some(prompt), ..Requested::default() })
            }
            1 => Fact::Admitted(Admitted::default()),
            2 => Fact::Assigned(Assigned { attempt: 1, ..Assigned::default() }),
            _ => Fact::Ended(Ended::default()),
        };
        let subject = match &fact {
            Fact::Assigned(_) => {
                subjects::assigned(&"pool".parse().unwrap(), WorkClass::Interactive, id(number), 1)
            }
            _ => subjects::fact(fact.kind(), &tenant(), id(number)),
        };
        let payload = facts.encode(id(number), &tenant(), fact);
        facts.append_encoded(subject, payload.clone()).await.unwrap();
        FactHash::of(&payload)
    }

    fn shared(&self) -> Arc<dyn EventLog> {
        Arc::new(self.log.clone())
    }

    fn history(&self) -> Arc<dyn EventLog> {
        Arc::new(History::new(self.shared(), Some(self.archive())))
    }

    fn archive(&self) -> PathBuf {
        self.dir.path().join("archive")
    }

    fn stamps(&self) -> StampSource {
        let (counter, later) = (Arc::clone(&self.num_stamps), Arc::clone(&self.later));
        Arc::new(move || {
            let next = counter.fetch_add(1, Ordering::Relaxed);
            let unix_nanos = START + next + later.load(Ordering::Relaxed);
            Stamp { event_id: EventId::new(Uuid::from_u128(u128::from(next))), unix_nanos }
        })
    }

    async fn sign(&self) {
        let settings = CheckpointerSettings { interval: Duration::from_secs(1), max_num_records: 7 };
        Checkpointer::new(self.shared(), self.stamps(), key(), settings).sign_what_is_new().await.unwrap();
    }

    fn archivist(&self) -> Archivist {
        let settings = ArchivistSettings {
            directory: self.archive(),
            interval: Duration::from_secs(1),
            max_num_records: 30,
            max_num_bytes: 1 << 20,
            max_age: DAY,
            log_max_age: DAY * 7,
            log_min_age: DAY,
        };
        Archivist::new(self.shared(), self.stamps(), settings)
    }

    /// Signs and archives everything; then all of it but the last segment's share leaves the log, or all of it.
    async fn archived(&self) {
        self.sign().await;
        self.archivist().archive_everything().await.unwrap();
        self.later.store((DAY * 8).as_nanos() as u64, Ordering::Relaxed);
        self.archivist().look().await.unwrap();
    }

    /// The files of the archive, in their order.
    fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.archive()).unwrap().map(|entry| entry.unwrap().path());
        entries.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn verify(&self, segment: &Path) -> Verification {
        verify(ArchiveReader::open(segment).unwrap(), &key().public_key())
    }
}

/// Everything that anybody asks of a log, as text.
async fn answers(log: &Arc<dyn EventLog>, dir: &TempDir) -> Result<Vec<String>, AuditError> {
    let shown = |records: Vec<Record>| records.iter().map(|record| format!("{record:?}")).collect::<Vec<_>>();
    let mut answers = Vec::new();
    let middle = START + 16 * 1_000_000;
    for (patterns, from) in [
        (Vec::new(), ReadFrom::Start),
        (Vec::new(), ReadFrom::Sequence(100)),
        (Vec::new(), ReadFrom::UnixNanos(middle)),
        (vec![subjects::all_of(FactKind::Requested)], ReadFrom::Start),
        (vec![subjects::all_of(FactKind::Requested)], ReadFrom::UnixNanos(middle)),
        (vec![subjects::all_of(FactKind::Ended), "inference.assigned.>".to_owned()], ReadFrom::Sequence(77)),
    ] {
        let records = log.read(StreamName::Inference, patterns, from, false).await?;
        let records: Vec<Record> = records.try_collect().await?;
        assert!(!records.is_empty());
        answers.extend(shown(records));
    }
    let mut sequences = BTreeSet::new();
    for number in 0..NUM_INFERENCES + 2 {
        let life = Life::read(log.as_ref(), id(number)).await?;
        if let Some(life) = &life {
            assert!(life.is_chained());
            sequences.extend(life.facts.iter().map(|fact| fact.sequence));
        }
        answers.push(format!("{life:?}"));
        for kind in [FactKind::Requested, FactKind::Ended] {
            let subject = subjects::fact(kind, &tenant(), id(number));
            answers.push(format!("{:?}", log.last(StreamName::Inference, subject).await?));
        }
    }
    for sequence in [0, 1, 30, 31, 32, 100, 239, 240, 500] {
        answers.push(format!("{:?}", log.get(StreamName::Inference, sequence).await?));
    }
    let sequences: Vec<u64> = sequences.into_iter().collect();
    answers.push(format!("{:?}", prove_inclusion(log, &sequences).await?));
    answers.push(format!("{:?}", prove_consistency(log, 3).await?));
    for inference in [None, Some(id(9)), Some(id(50))] {
        let path = dir.path().join("export.jmarchive");
        let selection = Selection { inference, ..Selection::default() };
        let report = export(Arc::clone(log), selection, &path, 7).await?;
        answers.push(format!("{report:?}"));
        let verified = verify(ArchiveReader::open(&path)?, &key().public_key());
        assert_eq!(verified.finding, None);
        answers.push(format!("{verified:?}"));
    }
    Ok(answers)
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_the_same_from_the_log_from_both_and_from_the_archive() {
    let site = Site::with_lives().await;
    site.sign().await;
    let before = answers(&site.shared(), &site.dir).await.unwrap();
    site.archivist().look().await.unwrap();
    let num_segments = site.segments().len();
    assert!(num_segments > 3, "{num_segments}");
    assert_eq!(answers(&site.history(), &site.dir).await.unwrap(), before, "all is in the log yet");

    let log = site.shared();
    for kept_from in [31, 140] {
        log.forget_before(StreamName::Inference, kept_from).await.unwrap();
        assert_eq!(
            answers(&site.history(), &site.dir).await.unwrap(),
            before,
            "the log begins at {kept_from}"
        );
    }
    site.archived().await;
    let state = log.state(StreamName::Inference).await.unwrap();
    assert_eq!((state.first_sequence, state.last_sequence), (240, 239), "everything is old by now");
    assert_eq!(answers(&site.history(), &site.dir).await.unwrap(), before, "the log is empty");
}

#[tokio::test(start_paused = true)]
async fn each_segment_is_an_archive_that_verifies_and_they_join() {
    let site = Site::with_lives().await;
    site.archived().await;
    let mut last_checkpoint = 0;
    let mut num_facts = 0;
    for segment in site.segments() {
        let verified = site.verify(&segment);
        assert_eq!(verified.finding, None, "{segment:?}");
        let last = verified.last_checkpoint.unwrap().number;
        let num_here = verified.num_checkpoints - u64::from(last_checkpoint > 0);
        assert_eq!(last, last_checkpoint + num_here, "{segment:?}");
        (last_checkpoint, num_facts) = (last, num_facts + verified.num_facts);
    }
    assert_eq!(num_facts, NUM_INFERENCES * FACTS_EACH - 1);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_segment_is_named_and_never_answers_wrongly() {
    let site = Site::with_lives().await;
    site.sign().await;
    let before = answers(&site.shared(), &site.dir).await.unwrap();
    site.archived().await;
    let segment = site.segments()[2].clone();
    let name = segment.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = fs::read(&segment).unwrap();
    let everything = async || {
        let records = site.history().read(StreamName::Inference, Vec::new(), ReadFrom::Start, false).await?;
        records.map_ok(|record| format!("{record:?}")).try_collect::<Vec<_>>().await
    };
    let whole_log = everything().await.unwrap();
    let is_right_or_refused = async |how: &str| {
        let mut num_refused = 0;
        match everything().await {
            Ok(records) => assert!(records == whole_log, "{how}: another log"),
            Err(error) => {
                num_refused += 1;
                let is_named =
                    matches!(&error, BusError::Archive { segment, .. } if segment.ends_with(&name));
                assert!(is_named, "{how}: {error}");
            }
        }
        for number in (0..NUM_INFERENCES).step_by(3) {
            match Life::read(site.history().as_ref(), id(number)).await {
                Ok(life) => {
                    assert!(before.contains(&format!("{life:?}")), "{how}: another life of {number}")
                }
                Err(error) => {
                    num_refused += 1;
                    assert!(error.to_string().contains(&name), "{how}: {error}");
                }
            }
        }
        assert!(num_refused > 0, "{how}: nobody noticed");
    };
    fs::remove_file(&segment).unwrap();
    is_right_or_refused("missing").await;
    fs::write(&segment, &whole[..whole.len() / 2]).unwrap();
    is_right_or_refused("cut off").await;
    for place in (0..whole.len()).step_by(whole.len() / 12) {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x10;
        fs::write(&segment, &flipped).unwrap();
        is_right_or_refused(&format!("flipped at {place} of {}", whole.len())).await;
        assert!(site.verify(&segment).finding.is_some(), "flipped at {place}");
    }
    fs::write(&segment, &whole).unwrap();

    let blind: Arc<dyn EventLog> = Arc::new(History::new(site.shared(), None));
    let error = Life::read(blind.as_ref(), id(1)).await.unwrap_err().to_string();
    assert!(error.contains("no directory of the archive is configured"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_edited_index_is_found() {
    let site = Site::with_lives().await;
    site.archived().await;
    let segment = site.segments()[0].clone();
    let mut reader = ArchiveReader::open(&segment).unwrap();
    reader.begin().unwrap();
    let mut parts: Vec<_> = std::iter::from_fn(|| reader.next_part().unwrap()).collect();
    for part in &mut parts {
        if let audit::archive::Part::IndexPage(page) = part {
            page.entries.truncate(24);
        }
    }
    let mut writer = audit::archive::ArchiveWriter::create(&segment).unwrap();
    parts.into_iter().for_each(|part| writer.write(part).unwrap());
    writer.finish().unwrap();
    let finding = site.verify(&segment).finding.unwrap();
    assert!(finding.reason.contains("index"), "{finding}");
}

#[tokio::test(start_paused = true)]
async fn of_several_archivists_one_writes_each_segment_and_nothing_else_stays() {
    let site = Site::with_lives().await;
    site.sign().await;
    fs::create_dir_all(site.archive()).unwrap();
    for left_behind in
        ["segment-0000000002.dead.unfinished", "segment-0000000001-1-30-00000000.jmarchive", "notes.txt"]
    {
        fs::write(site.archive().join(left_behind), "of one that died").unwrap();
    }
    let archivists = [site.archivist(), site.archivist(), site.archivist()];
    let outcomes = futures_util::future::join_all(archivists.iter().map(Archivist::archive_everything)).await;
    outcomes.into_iter().for_each(|outcome| outcome.unwrap());
    let names: Vec<String> =
        site.segments().iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let patterns = vec![subjects::all_audit_segments()];
    let told = site.log.read(StreamName::Audit, patterns, ReadFrom::Start, false).await.unwrap();
    let told: Vec<String> = told
        .map(|record| match schemas::decode_audit(&record.unwrap().payload).unwrap().fact {
            Some(schemas::v1::audit_envelope::Fact::SegmentArchived(segment)) => segment.file,
            fact => panic!("{fact:?}"),
        })
        .collect()
        .await;
    let expected: Vec<String> = std::iter::once("notes.txt".to_owned()).chain(told).collect();
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn nothing_leaves_the_log_that_the_archive_does_not_hold() {
    let site = Site::with_lives().await;
    site.sign().await;
    site.archivist().archive_everything().await.unwrap();
    let segment = site.segments()[0].clone();
    let whole = fs::read(&segment).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&segment, &flipped).unwrap();
    site.later.store((DAY * 8).as_nanos() as u64, Ordering::Relaxed);
    let error = site.archivist().look().await.unwrap_err().to_string();
    assert!(error.contains("SHA-256"), "{error}");
    let first_sequence = async || site.log.state(StreamName::Inference).await.unwrap().first_sequence;
    assert_eq!(first_sequence().await, 1);
    fs::write(&segment, &whole).unwrap();
    site.archivist().look().await.unwrap();
    assert_eq!(first_sequence().await, 240);

    let blocked = Site::with_lives().await;
    blocked.sign().await;
    fs::write(blocked.archive(), "no directory").unwrap();
    blocked.later.store((DAY * 8).as_nanos() as u64, Ordering::Relaxed);
    assert_eq!(blocked.archivist().look().await.unwrap_err().code(), "file");
    assert_eq!(blocked.log.state(StreamName::Inference).await.unwrap().first_sequence, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reading_goes_on_in_the_archive_when_the_log_is_freed_under_it() {
    let site = Site::with_lives().await;
    site.sign().await;
    site.archivist().archive_everything().await.unwrap();
    let mut records =
        site.history().read(StreamName::Inference, Vec::new(), ReadFrom::Start, false).await.unwrap();
    let mut sequences = Vec::new();
    while let Some(record) = records.try_next().await.unwrap() {
        sequences.push(record.sequence);
        if record.sequence == 50 {
            site.log.forget_before(StreamName::Inference, 200).await.unwrap();
        }
    }
    assert_eq!(sequences, (1..NUM_INFERENCES * FACTS_EACH).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn content_that_is_gone_stops_neither_checkpoints_nor_the_archive() {
    let site = Site::with_lives().await;
    site.log.set_faults(|faults| faults.lost_content = Some(3));
    site.archived().await;
    site.log.set_faults(|faults| faults.lost_content = None);
    let verified = site.verify(&site.segments()[0]);
    assert_eq!((verified.finding, verified.num_without_content), (None, 1));
    let history = site.history();
    let error = history.get(StreamName::Inference, 3).await.unwrap_err();
    assert!(
        matches!(&error, BusError::Object { missing: Some(missing), .. } if missing.sequence == 3),
        "{error}"
    );
    assert_eq!(history.get(StreamName::Inference, 4).await.unwrap().unwrap().sequence, 4);
    let path = site.dir.path().join("export.jmarchive");
    export(history, Selection::default(), &path, 7).await.unwrap();
    let verified = site.verify(&path);
    assert_eq!((verified.finding, verified.num_without_content), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_costs_no_more_than_the_log_for_what_no_segment_can_hold() {
    let site = Site::with_lives().await;
    let history = site.history();
    let num_reads_for = async |number: u64| {
        let before = site.log.num_reads();
        for kind in [FactKind::CancelRequested, FactKind::Ended, FactKind::Requested] {
            let subject = subjects::fact(kind, &tenant(), id(number));
            assert!(history.last(StreamName::Inference, subject).await.unwrap().is_none());
        }
        site.log.num_reads() - before
    };
    let unknown = 1_000;
    num_reads_for(unknown).await;
    assert_eq!(num_reads_for(unknown).await, 3, "without an archive");

    site.archived().await;
    let of_today = u64::try_from((DAY * 8).as_millis()).unwrap();
    num_reads_for(of_today).await;
    assert_eq!(num_reads_for(of_today).await, 3, "younger than the archive");
    let num_reads = num_reads_for(unknown).await;
    assert!(num_reads <= 10, "as old as the archive: {num_reads}");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_asked_before_there_was_an_archive_finds_what_left_the_log() {
    let site = Site::with_lives().await;
    let history = site.history();
    let subject = subjects::fact(FactKind::Requested, &tenant(), id(4));
    let looked_up = || history.last(StreamName::Inference, subject.clone());
    let unknown = subjects::fact(FactKind::Ended, &tenant(), id(1_000));
    assert!(history.last(StreamName::Inference, unknown).await.unwrap().is_none());
    let before = looked_up().await.unwrap().unwrap();
    site.archived().await;
    assert_eq!(site.log.state(StreamName::Inference).await.unwrap().first_sequence, 240);
    let after = looked_up().await.unwrap().unwrap();
    assert_eq!((after.sequence, after.payload), (before.sequence, before.payload));
}
