//! CANCEL (RFC 3261 §16.10, §9): giving up on forks, for the caller, for a better answer, or because they have rung
//! too long (§16.8). A CANCEL is answered where it is received, and new ones are sent; it is never forwarded.

use super::Proxy;
use crate::flow::Flow;
use crate::transaction::{ContextId, TransactionLayer};
use crate::turn::Turn;

impl Proxy {
    /// The caller cancels. Whoever it is that cancels must be where the INVITE came from; `false` otherwise.
    pub fn cancel(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        context: ContextId,
        flow: &Flow,
    ) -> bool {
        let Some(active) = self.active(context) else {
            // RFC 3261 §9.2: a final response has been sent; too late, and no error.
            return true;
        };
        if active.flow.remote.ip() != flow.remote.ip() {
            return false;
        }
        if !active.answered && active.invite {
            active.cancelled = true;
            let was_seeking = !active.seeking.is_empty();
            self.drop_steps(context);
            self.cancel_forks(turn, transactions, context);
            if was_seeking {
                // Nobody has to be told; perhaps nobody has been asked at all.
                self.cancelled_unsent(turn, transactions, context);
            }
        }
        true
    }

    /// RFC 3261 §16.8: Timer C. A fork that has rung is cancelled; its answer, or the lack of one, does the rest: a 487
    /// counts as 408, because it was not the caller who gave up. Then the steps whose time is over.
    pub fn tick(&mut self, turn: &mut Turn<'_>, transactions: &mut TransactionLayer) {
        while let Some((context, fork)) = self.timer_c.pop(turn.now) {
            let fork =
                self.active(context).and_then(|active| active.forks.get_mut(usize::from(fork)));
            if let Some(fork) = fork {
                fork.timer_c = None;
                fork.timed_out = true;
                transactions.cancel(turn.now, fork.client, turn.out);
            }
        }
        self.end_steps(turn, transactions);
        self.calls.expire(turn.now);
    }

    /// Cancels every fork without a final response. Timer C ends with it: a cancelled transaction has a deadline of
    /// its own.
    pub(super) fn cancel_forks(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        context: ContextId,
    ) {
        let Some(active) = self.contexts.get_mut(&context) else { return };
        active.stop_seeking();
        if !active.invite {
            return;
        }
        for fork in active.forks.iter_mut().filter(|fork| !fork.ended) {
            if let Some(timer) = fork.timer_c.take() {
                self.timer_c.stop(timer);
            }
            transactions.cancel(turn.now, fork.client, turn.out);
        }
    }
}
