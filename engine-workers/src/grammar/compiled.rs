//! A grammar made ready.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use llguidance::Matcher;

/// A compiled grammar; clones share it.
#[derive(Clone)]
pub struct CompiledGrammar {
    digest: blake3::Hash,
    /// At its beginning. Behind a lock only because it is not `Sync`.
    pristine: Arc<Mutex<Matcher>>,
}

impl CompiledGrammar {
    pub(super) fn new(digest: blake3::Hash, pristine: Matcher) -> Self {
        CompiledGrammar { digest, pristine: Arc::new(Mutex::new(pristine)) }
    }

    /// An automaton of its own at the beginning. Nothing is shared, not even caches: what one sequence meets must not
    /// depend on what others did before.
    pub(super) fn begin(&self) -> Matcher {
        self.pristine.lock().unwrap_or_else(PoisonError::into_inner).deep_clone()
    }

    /// Names the grammar.
    pub fn digest(&self) -> blake3::Hash {
        self.digest
    }
}

impl PartialEq for CompiledGrammar {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Debug for CompiledGrammar {
    /// The digest alone: a grammar is the client's content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompiledGrammar({})", self.digest)
    }
}
