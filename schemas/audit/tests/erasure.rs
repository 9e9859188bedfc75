//! What was erased is gone from log and archives, and both still prove what happened.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit::archive::ArchiveReader;
use audit::{Checkpointer, CheckpointerSettings, Life, Selection, SigningKey, export, verify};
use bus::{
    ErasedBy, ErasureScope, EventLog, FactWriter, MemoryLog, SealedLog, Stamp, StampSource, StreamName,
    erase_content, subjects,
};
use schemas::v1::envelope::Fact;
use schemas::v1::{Choice, Ended, Prompt, Requested, prompt::Content};
use schemas::{EventId, FactKind, InferenceId, TenantId};
use uuid::Uuid;

const SECRET: &str = "the marmalade is behind the clock";

fn stamps() -> StampSource {
    let counter = AtomicU64::new(1);
    Arc::new(move || {
        let next = counter.fetch_add(1, Ordering::Relaxed);
        Stamp { event_id: EventId::new(Uuid::from_u128(u128::from(next))), unix_nanos: next }
    })
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

fn shows(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}

#[tokio::test]
async fn what_was_erased_is_gone_everywhere_and_everything_still_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let stored: Arc<dyn EventLog> = Arc::new(MemoryLog::new());
    let log: Arc<dyn EventLog> = Arc::new(SealedLog::open(Arc::clone(&stored), None).await.unwrap());
    let (stamps, tenant, id) = (stamps(), TenantId::slug("t"), InferenceId::new(Uuid::from_u128(7)));
    let facts = FactWriter::new(Arc::clone(&log), Arc::clone(&stamps), "test", "t1".parse().unwrap());
    let subject = |kind| subjects::fact(kind, &tenant, id);
    let prompt = Some(Prompt { content: Some(Content::Text(SECRET.to_owned())) });
    let requested = Fact::Requested(Requested { prompt, ..Requested::default() });
    facts.append(id, &tenant, subject(FactKind::Requested), requested).await.unwrap();
    let requested = log.last(StreamName::Inference, subject(FactKind::Requested)).await.unwrap().unwrap();
    let choices = vec![Choice { text: SECRET.to_owned(), ..Choice::default() }];
    let ended = Fact::Ended(Ended { choices, ..Ended::default() });
    let following = facts.following(requested.hash());
    following.append(id, &tenant, subject(FactKind::Ended), ended).await.unwrap();

    let key = SigningKey::new(&[5; 32]);
    let public_key = key.public_key();
    let settings = CheckpointerSettings { interval: Duration::from_secs(1), max_num_records: 10 };
    let mut checkpointer = Checkpointer::new(Arc::clone(&stored), Arc::clone(&stamps), key, settings);
    checkpointer.sign_what_is_new().await.unwrap();
    let before = dir.path().join("before.jmarchive");
    export(Arc::clone(&stored), Selection::default(), &before, 7).await.unwrap();
    let life = Life::read(log.as_ref(), id).await.unwrap().unwrap();
    assert!(life.is_chained() && life.why_sealed(log.as_ref()).await.unwrap().is_none());

    let by = ErasedBy { caller: "c", writer: "test", stamp: stamps() };
    let scope = ErasureScope::Inference(id);
    assert_eq!(erase_content(log.as_ref(), &tenant, &scope, by).await.unwrap(), 1);
    let after = dir.path().join("after.jmarchive");
    // Whoever exports through the sealed log gets the same bytes.
    export(Arc::clone(&log), Selection::default(), &after, 7).await.unwrap();
    assert_eq!(unpacked(&before), unpacked(&after));
    for archive in [&before, &after] {
        let verified = verify(ArchiveReader::open(archive).unwrap(), &public_key);
        assert_eq!((verified.finding, verified.num_facts), (None, 2));
        assert!(!shows(&unpacked(archive)));
    }
    let life = Life::read(log.as_ref(), id).await.unwrap().unwrap();
    assert!(life.is_chained());
    let words = life.why_sealed(log.as_ref()).await.unwrap().unwrap();
    assert!(words.contains("by the holder of key c"), "{words}");
    assert!(!shows(format!("{life:?}").as_bytes()));
}
