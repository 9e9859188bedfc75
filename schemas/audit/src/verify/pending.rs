//! What a verifier knows of an entry: the digests that it says, and those of the record that it shows.

use bus::subjects;
use schemas::v1::Envelope;
use schemas::v1::envelope::Fact;
use schemas::{FactHash, FactKind};

use crate::archive::{Entry, StoredFact};
use crate::finding::{Finding, FindingKind};
use crate::leaf::Leaf;
use crate::merkle::Hash;
use crate::segment::{IndexEntry, index_entry};

/// An entry whose checkpoint has not come yet.
pub(super) struct Pending {
    /// As the entry says.
    pub(super) leaf: Leaf,
    pub(super) fact: Option<ShownFact>,
}

pub(super) struct ShownFact {
    /// As the record makes it.
    pub(super) leaf: Leaf,
    pub(super) hash: FactHash,
    pub(super) previous: Vec<u8>,
    pub(super) is_first: bool,
    pub(super) is_envelope: bool,
    pub(super) is_missing: bool,
    pub(super) name: String,
    pub(super) index_entry: Option<IndexEntry>,
    /// For looking up whether the record was logged elsewhere.
    pub(super) content: Hash,
}

impl ShownFact {
    fn new(sequence: u64, envelope: &[u8], subject: &str) -> Self {
        let decoded: Option<Envelope> = schemas::decode_envelope(envelope).ok();
        let id = decoded.as_ref().map_or("", |envelope| &envelope.inference_id);
        let leaf = Leaf::new(sequence, id, envelope, subject);
        let kind = decoded.as_ref().and_then(|envelope| envelope.fact.as_ref()).map(Fact::kind);
        Self {
            leaf,
            content: leaf.content,
            hash: FactHash::of(envelope),
            is_first: matches!(kind, Some(schemas::FactKind::Requested)),
            is_envelope: decoded.is_some(),
            is_missing: false,
            name: kind.map_or_else(|| "no fact".to_owned(), |kind| format!("{} of {id}", kind.as_str())),
            index_entry: None,
            previous: decoded.map(|envelope| envelope.previous_hash).unwrap_or_default(),
        }
    }
}

impl ShownFact {
    fn without_content(sequence: u64, hash: FactHash, subject: &str) -> Self {
        let leaf = Leaf::without_content(sequence, hash, subject);
        Self {
            leaf,
            content: leaf.content,
            hash,
            previous: Vec::new(),
            is_first: subjects::is_any_match(&[subjects::all_of(FactKind::Requested)], subject),
            is_envelope: true,
            is_missing: true,
            name: format!("a fact on '{subject}' without its content"),
            index_entry: None,
        }
    }
}

impl Pending {
    pub(super) fn read(entry: &Entry) -> Result<Self, Finding> {
        let digest = |bytes: &[u8]| <Hash>::try_from(bytes).ok();
        let (Some(inference), Some(content)) = (digest(&entry.inference), digest(&entry.content)) else {
            return Err(finding(FindingKind::Changed, entry.sequence, "its digests are none"));
        };
        let leaf = Leaf { sequence: entry.sequence, inference, content };
        let shown = |fact: &StoredFact| {
            let shown = match FactHash::from_slice(&fact.missing_content) {
                Some(hash) => ShownFact::without_content(entry.sequence, hash, &fact.subject),
                None => ShownFact::new(entry.sequence, &fact.envelope, &fact.subject),
            };
            let id = subjects::inference_of(&fact.subject);
            ShownFact { index_entry: id.map(|id| index_entry(id, entry.sequence)), ..shown }
        };
        Ok(Self { leaf, fact: entry.fact.as_ref().map(shown) })
    }

    pub(super) fn found(&self, kind: FindingKind, reason: impl Into<String>) -> Finding {
        let fact = self.fact.as_ref().map(|fact| fact.name.clone());
        Finding { fact, ..finding(kind, self.leaf.sequence, reason) }
    }
}

/// A record that is shown must be the one that its entry is about.
pub(super) fn check_record(entry: &Pending, around: &[Pending]) -> Result<(), Finding> {
    let Some(fact) = entry.fact.as_ref().filter(|fact| fact.leaf != entry.leaf) else { return Ok(()) };
    let logged_at =
        around.iter().find(|other| other.leaf.content == fact.content).map(|other| other.leaf.sequence);
    Err(match logged_at {
        Some(sequence) if sequence != entry.leaf.sequence => {
            entry.found(FindingKind::Reordered, format!("it was logged at {sequence}"))
        }
        _ => entry.found(FindingKind::Changed, "it is not what was logged"),
    })
}

pub(super) fn finding(kind: FindingKind, sequence: u64, reason: impl Into<String>) -> Finding {
    Finding { kind, sequence, fact: None, reason: reason.into() }
}
