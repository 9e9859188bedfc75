//! The masks of a step's grammars, computed while the model computes.

use schedulers::batching::step_plan::StepPlan;

use crate::engine::step_loop::StepLoop;
use crate::grammar::mask_thread::{Loan, MaskThread};

impl StepLoop {
    /// Lends the matchers of the sequences that this step samples; true if any are to be taken back. A mask that was not
    /// computed this way is computed when it is needed.
    pub(super) fn lend_matchers(&mut self, plan: &StepPlan) -> bool {
        let mut loan = Loan::new();
        for share in plan.sequences.iter().filter(|share| share.is_sampled) {
            let answer = self.answers.get_mut(&share.id);
            if let Some(matcher) = answer.and_then(|answer| answer.grammar.take()) {
                loan.push((share.id, matcher));
            }
        }
        if loan.is_empty() {
            return false;
        }
        if self.mask_thread.is_none() {
            match MaskThread::start() {
                Ok(thread) => self.mask_thread = Some(thread),
                Err(error) => tracing::error!(%error, "the thread for grammars' masks could not be started"),
            }
        }
        let refused = match &self.mask_thread {
            Some(thread) => thread.lend(loan).err(),
            None => Some(loan),
        };
        match refused {
            None => true,
            Some(loan) => {
                self.return_matchers(loan);
                false
            }
        }
    }

    /// Takes back what was lent, with its masks.
    pub(super) fn take_matchers_back(&mut self) {
        let loan = self.mask_thread.as_ref().and_then(MaskThread::take_back);
        match loan {
            Some(loan) => self.return_matchers(loan),
            None => {
                tracing::error!("the thread for grammars' masks has ended");
                self.mask_thread = None;
            }
        }
    }

    fn return_matchers(&mut self, loan: Loan) {
        for (id, matcher) in loan {
            if let Some(answer) = self.answers.get_mut(&id) {
                answer.grammar = Some(matcher);
            }
        }
    }
}
