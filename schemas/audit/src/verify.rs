//! From an archive and a public key to what can be believed.

mod pending;

use std::collections::{HashMap, HashSet};
use std::io::Read;

use schemas::FactHash;
use schemas::v1::CheckpointSigned;

use self::pending::{Pending, check_record, finding};
use crate::archive::{ArchiveReader, Damage, End, Header, Part};
use crate::checkpoint;
use crate::finding::{Finding, FindingKind};
use crate::keys::PublicKey;
use crate::merkle::{GrowingTree, Hash};
use crate::segment::IndexEntry;

/// Records between two checkpoints; no checkpointer leaves more unsigned.
const MAX_NUM_ENTRIES: usize = 1 << 20;

/// What an archive proves, up to the first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verification {
    /// What was selected; nothing if not even that could be read.
    pub header: Option<Header>,
    /// Number of the checkpoint that it goes on from; 0: it begins with the log.
    pub base_checkpoint: u64,
    /// Checkpoints that hold.
    pub num_checkpoints: u64,
    /// Records that they cover within the archive.
    pub num_entries: u64,
    /// Facts that are shown and proven.
    pub num_facts: u64,
    /// Of these, those whose content was gone when the archive was made: only their hashes are shown.
    pub num_without_content: u64,
    /// Inferences of these.
    pub num_inferences: u64,
    /// The last checkpoint that holds.
    pub last_checkpoint: Option<CheckpointSigned>,
    /// The first thing that is wrong; none: the archive is what was logged.
    pub finding: Option<Finding>,
}

impl Verification {
    /// Takes the next segment of the same history. An inference that spans two of them counts twice.
    pub(crate) fn add(&mut self, next: Self) {
        self.num_checkpoints += next.num_checkpoints;
        self.num_entries += next.num_entries;
        self.num_facts += next.num_facts;
        self.num_without_content += next.num_without_content;
        self.num_inferences += next.num_inferences;
        self.last_checkpoint = next.last_checkpoint.or(self.last_checkpoint.take());
        self.finding = next.finding;
    }
}

/// Reads and checks an archive. Memory grows with the number of facts that are shown, not with their content.
pub fn verify<R: Read>(mut archive: ArchiveReader<R>, key: &PublicKey) -> Verification {
    let mut verifier = Verifier::new(*key);
    verifier.seen.finding = verifier.read(&mut archive).err();
    verifier.seen.num_inferences = verifier.inferences.len() as u64;
    verifier.seen
}

struct Verifier {
    key: PublicKey,
    tree: GrowingTree,
    position: Option<(u64, u64)>,
    pending: Vec<Pending>,
    /// Which inference each fact is of, by the fact's hash.
    facts: HashMap<FactHash, Hash>,
    inferences: HashSet<Hash>,
    /// Those whose first fact is here.
    begun: HashSet<Hash>,
    /// Whether it begins behind other records of the log.
    has_base: bool,
    /// As the records make it, and as the pages say.
    index: Vec<IndexEntry>,
    paged: Vec<IndexEntry>,
    seen: Verification,
}

impl Verifier {
    fn new(key: PublicKey) -> Self {
        Self {
            key,
            tree: GrowingTree::default(),
            position: None,
            pending: Vec::new(),
            facts: HashMap::new(),
            inferences: HashSet::new(),
            begun: HashSet::new(),
            has_base: false,
            index: Vec::new(),
            paged: Vec::new(),
            seen: Verification::default(),
        }
    }

    fn read<R: Read>(&mut self, archive: &mut ArchiveReader<R>) -> Result<(), Finding> {
        archive.begin().map_err(|damage| self.damaged(&damage))?;
        loop {
            match archive.next_part().map_err(|damage| self.damaged(&damage))? {
                Some(Part::Header(header)) if self.seen.header.is_none() => self.seen.header = Some(header),
                Some(_) if self.seen.header.is_none() => return Err(self.misplaced()),
                Some(Part::Checkpoint(checkpoint)) if self.is_base() => self.begin_after(checkpoint)?,
                Some(Part::Checkpoint(checkpoint)) => self.close(checkpoint)?,
                Some(Part::Entry(entry)) if self.pending.len() < MAX_NUM_ENTRIES => {
                    self.pending.push(Pending::read(&entry)?);
                }
                Some(Part::IndexPage(page))
                    if self.pending.is_empty() && self.paged.len() <= self.index.len() =>
                {
                    self.paged.extend(page.entries.as_chunks().0);
                }
                Some(Part::End(end)) => return self.end(&end, archive),
                Some(Part::Header(_) | Part::Entry(_) | Part::IndexPage(_)) => return Err(self.misplaced()),
                None => return Err(self.damaged(&Damage::CutOff)),
            }
        }
    }

    fn is_base(&self) -> bool {
        self.position.is_none() && self.pending.is_empty()
    }

    fn damaged(&self, damage: &Damage) -> Finding {
        let sequence = match damage {
            Damage::NoArchive => 0,
            _ => self.last_sequence() + u64::from(self.position.is_some() || !self.pending.is_empty()),
        };
        finding(FindingKind::Damaged, sequence, damage.to_string())
    }

    fn misplaced(&self) -> Finding {
        self.damaged(&Damage::Unreadable("a part stands where it cannot".to_owned()))
    }

    fn last_sequence(&self) -> u64 {
        let pending = self.pending.last().map(|pending| pending.leaf.sequence);
        pending.or(self.position.map(|(_, last_sequence)| last_sequence)).unwrap_or(0)
    }

    fn check_signature(&self, checkpoint: &CheckpointSigned) -> Result<(), Finding> {
        if checkpoint::is_signed_by(checkpoint, &self.key) {
            return Ok(());
        }
        let by_another = PublicKey::from_slice(&checkpoint.public_key)
            .filter(|named| *named != self.key && checkpoint::is_signed_by(checkpoint, named));
        let number = checkpoint.number;
        let reason = match by_another {
            Some(other) => format!("checkpoint {number} was signed by another key, {other}"),
            None => format!("checkpoint {number} is not what was signed"),
        };
        Err(finding(FindingKind::NotSigned, checkpoint.last_sequence, reason))
    }

    /// The checkpoint before the archive's first entry.
    fn begin_after(&mut self, checkpoint: CheckpointSigned) -> Result<(), Finding> {
        self.check_signature(&checkpoint)?;
        self.tree = checkpoint::tree_of(&checkpoint).ok_or_else(|| {
            let reason =
                format!("the subtrees of checkpoint {} are not those that were signed", checkpoint.number);
            finding(FindingKind::NotSigned, checkpoint.last_sequence, reason)
        })?;
        self.has_base = true;
        self.seen.base_checkpoint = checkpoint.number;
        self.hold(checkpoint);
        Ok(())
    }

    /// A checkpoint after its entries.
    fn close(&mut self, checkpoint: CheckpointSigned) -> Result<(), Finding> {
        self.check_signature(&checkpoint)?;
        let number = self.position.map_or(1, |(number, _)| number + 1);
        if checkpoint.number != number {
            let reason = format!("checkpoint {number} is missing, the next one is {}", checkpoint.number);
            return Err(finding(FindingKind::Removed, self.last_sequence() + 1, reason));
        }
        let pending = std::mem::take(&mut self.pending);
        let mut tree = self.tree.clone();
        pending.iter().for_each(|entry| tree.push(entry.leaf.hash()));
        if tree.size() != checkpoint.tree_size || tree.root().as_slice() != checkpoint.root_hash {
            return Err(self.suspect(&pending, &checkpoint));
        }
        self.tree = tree;
        for entry in &pending {
            check_record(entry, &pending)?;
            self.check_chain(entry)?;
            self.seen.num_entries += 1;
            self.seen.num_facts += u64::from(entry.fact.is_some());
            let fact = entry.fact.as_ref();
            self.seen.num_without_content += u64::from(fact.is_some_and(|fact| fact.is_missing));
            self.index.extend(fact.and_then(|fact| fact.index_entry));
        }
        self.hold(checkpoint);
        Ok(())
    }

    fn hold(&mut self, checkpoint: CheckpointSigned) {
        self.position = Some((checkpoint.number, checkpoint.last_sequence));
        self.seen.num_checkpoints += 1;
        self.seen.last_checkpoint = Some(checkpoint);
    }

    /// The first entry that shows by itself that these are not the entries that were signed.
    fn suspect(&mut self, pending: &[Pending], checkpoint: &CheckpointSigned) -> Finding {
        let num_signed = checkpoint.tree_size.saturating_sub(self.tree.size());
        // Nothing can be deleted from the stream, so that a tree that begins here has no gaps.
        let first = match self.position {
            Some((_, last_sequence)) => last_sequence + 1,
            None => (checkpoint.last_sequence + 1).saturating_sub(checkpoint.tree_size),
        };
        let mut next = first;
        for (index, entry) in pending.iter().enumerate() {
            let sequence = entry.leaf.sequence;
            let is_one_of = |entries: &[Pending]| entries.iter().any(|entry| entry.leaf.sequence == next);
            if sequence < next {
                let is_twice = pending[..index].iter().any(|earlier| earlier.leaf.sequence == sequence);
                return if is_twice {
                    entry.found(FindingKind::Added, "its place in the log is taken")
                } else {
                    entry.found(FindingKind::Reordered, format!("it stands where {next} was logged"))
                };
            }
            if sequence > next && is_one_of(&pending[index..]) {
                return entry.found(FindingKind::Reordered, format!("it stands where {next} was logged"));
            }
            if sequence > next {
                return finding(FindingKind::Removed, next, "the record is missing");
            }
            if sequence > checkpoint.last_sequence {
                let reason = format!("the checkpoint after it ends at {}", checkpoint.last_sequence);
                return entry.found(FindingKind::Added, reason);
            }
            let checked = check_record(entry, pending).and_then(|()| self.check_chain(entry));
            if let Err(found) = checked {
                let is_added = found.kind == FindingKind::Changed && pending.len() as u64 > num_signed;
                return Finding { kind: if is_added { FindingKind::Added } else { found.kind }, ..found };
            }
            next = sequence + 1;
        }
        if next <= checkpoint.last_sequence {
            return finding(FindingKind::Removed, next, "the record is missing");
        }
        let reason = format!(
            "the records up to {} are not those of checkpoint {}, which has {num_signed} of them and not {}",
            checkpoint.last_sequence,
            checkpoint.number,
            pending.len()
        );
        finding(FindingKind::Inconsistent, first, reason)
    }

    /// A shown fact must follow an earlier one of its inference, and a hidden one must be of another inference.
    fn check_chain(&mut self, entry: &Pending) -> Result<(), Finding> {
        let inference = entry.leaf.inference;
        let Some(fact) = &entry.fact else {
            let is_of_everything = self.seen.header.as_ref().is_some_and(Header::is_of_everything);
            if is_of_everything || self.inferences.contains(&inference) {
                return Err(entry.found(FindingKind::Removed, "its record was taken out"));
            }
            return Ok(());
        };
        if !fact.is_envelope {
            return Ok(());
        }
        let follows = FactHash::from_slice(&fact.previous)
            .is_some_and(|hash| self.facts.get(&hash) == Some(&inference));
        let is_of_everything = self.seen.header.as_ref().is_some_and(Header::is_of_everything);
        // What it follows may stand in the segment before.
        let is_begun_before = self.has_base && is_of_everything && !self.begun.contains(&inference);
        let is_excused = fact.is_missing
            || fact.previous.is_empty() && fact.is_first
            || is_begun_before && !fact.previous.is_empty();
        if !follows && !is_excused {
            let reason = "it does not follow any earlier fact of its inference";
            return Err(entry.found(FindingKind::Changed, reason));
        }
        if fact.is_first {
            self.begun.insert(inference);
        }
        self.facts.insert(fact.hash, inference);
        self.inferences.insert(inference);
        Ok(())
    }

    fn end<R: Read>(&mut self, end: &End, archive: &mut ArchiveReader<R>) -> Result<(), Finding> {
        if let Some(entry) = self.pending.first() {
            return Err(entry.found(FindingKind::NotSigned, "no checkpoint follows"));
        }
        let Verification { num_entries, num_facts, .. } = self.seen;
        if (end.num_entries, end.num_facts) != (num_entries, num_facts) {
            let reason = format!("{num_entries} records are here, and there were {}", end.num_entries);
            return Err(finding(FindingKind::Removed, self.last_sequence() + 1, reason));
        }
        self.index.sort_unstable();
        if !end.blocks.is_empty() && self.index != self.paged {
            return Err(self.damaged(&Damage::Unreadable("its index is not that of its records".to_owned())));
        }
        match archive.next_part() {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(self.misplaced()),
            Err(damage) => Err(self.damaged(&damage)),
        }
    }
}
