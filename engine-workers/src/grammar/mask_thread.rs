//! Masks while the model computes.
//!
//! The mask of a token depends on the tokens before it alone, which are known when a step begins. So the matchers of a
//! step are lent to this thread for as long as its forward pass takes, and come back with their masks.

use std::sync::mpsc::{Receiver, Sender, channel};

use schedulers::batching::sequence::SequenceId;

use crate::grammar::matcher::GrammarMatcher;

/// Matchers on loan, each with the sequence that it belongs to.
pub(crate) type Loan = Vec<(SequenceId, GrammarMatcher)>;

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct MaskThread {
    jobs: Sender<Loan>,
    done: Receiver<Loan>,
}

impl MaskThread {
    /// Starts it.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (jobs, taken) = channel::<Loan>();
        let (finished, done) = channel();
        std::thread::Builder::new().name("grammar-masks".to_owned()).spawn(move || {
            for mut loan in taken {
                loan.iter_mut().for_each(|(_, matcher)| matcher.prepare());
                if finished.send(loan).is_err() {
                    return;
                }
            }
        })?;
        Ok(MaskThread { jobs, done })
    }

    /// Lends the matchers of a step; they come back if the thread has ended.
    pub(crate) fn lend(&self, loan: Loan) -> Result<(), Loan> {
        self.jobs.send(loan).map_err(|error| error.0)
    }

    /// Waits for what was lent; `None` if the thread has ended with it.
    pub(crate) fn take_back(&self) -> Option<Loan> {
        self.done.recv().ok()
    }
}
