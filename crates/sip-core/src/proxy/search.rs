//! The search for somebody to answer a call, as far as policy has a say in it after it has begun (RFC 3261 §16.5,
//! §16.7): whom a redirection names, and where the calls of somebody who does not answer go. The proxy notes what has
//! happened and asks; `route::onward` answers with further steps, or with none.

use std::sync::Arc;

use sip_message::Request;
use smallvec::SmallVec;

use super::best::Best;
use super::{Proxy, Steps};
use crate::dispatcher::route::Gateways;
use crate::dispatcher::set::Tried;
use crate::forwarding::{Cause, Forwards};
use crate::time::Instant;
use crate::transaction::{ContextId, TransactionLayer};
use crate::turn::Turn;

/// What has to be known to go on. Kept only while there is a way to go on.
#[derive(Clone, Debug)]
pub struct Search {
    /// The users who were asked, the one asked now last. Nobody is asked twice (RFC 3261 §16.5).
    pub asked: SmallVec<[Box<str>; 1]>,
    /// The URI under which the last of them was called.
    pub called: Box<[u8]>,
    /// Where the calls of the last of them go.
    pub forwards: Option<Arc<Forwards>>,
    /// When the last of them has not answered.
    pub ring_until: Option<Instant>,
    /// Who passed the call on.
    pub passed: SmallVec<[Passed; 1]>,
    /// Redirections are followed (RFC 3261 §16.7 step 4).
    pub recurse: bool,
    /// It is looked for among the gateways of a set.
    pub hunt: Option<Box<Hunt>>,
}

/// One gateway after the other.
#[derive(Clone, Debug)]
pub struct Hunt {
    pub gateways: Gateways,
    /// What the gateways are asked for.
    pub number: Box<[u8]>,
    /// Who is asked now.
    pub gateway: Box<str>,
    /// Who was tried, or passed over because there was no room.
    pub tried: Tried,
    /// Whom we may assert as the caller, to those who are trusted: whole header lines.
    pub identity: Box<[u8]>,
    /// The key of those who are chosen by a hash.
    pub key: Box<[u8]>,
}

/// One user who passed a call on.
#[derive(Clone, Debug)]
pub struct Passed {
    /// As he was called.
    pub uri: Box<[u8]>,
    pub cause: Cause,
}

/// Why the search stands still.
#[derive(Clone, Copy, Debug)]
pub enum Occasion<'a> {
    /// Phones named others: the values of their Contacts.
    Redirected(&'a [Box<[u8]>]),
    /// All have ended; the best status so far, and whether any phone has rung.
    Failed { status: u16, rang: bool },
    /// The time to answer is over.
    Unanswered,
}

/// How it goes on.
#[derive(Debug, Default)]
pub struct Onward {
    /// Empty: it does not.
    pub steps: Steps,
    /// Every Contact of the redirection is followed, so that the caller need not be told of it.
    pub is_whole: bool,
    /// Another gateway is tried instead of this one.
    pub instead_of: Option<Box<str>>,
}

/// A 3xx that may be followed.
#[derive(Debug)]
pub(super) struct Redirection {
    pub best: Best,
    pub contacts: Vec<Box<[u8]>>,
}

impl Search {
    /// Whether anything can come of asking again.
    pub fn is_open(&self) -> bool {
        self.recurse || self.forwards.is_some() || self.hunt.is_some()
    }
}

impl Proxy {
    /// Nobody is left to try: policy is asked at the end of the turn, if it may know somebody. Whether it may.
    pub(super) fn ask_policy(&mut self, name: ContextId, unanswered: bool) -> bool {
        let Some(active) = self.active(name) else { return false };
        let decided = active.answered || active.cancelled;
        let Some(rest) = active.rest.as_mut().filter(|rest| !decided && rest.may_go_on()) else {
            return false;
        };
        if !rest.asking {
            rest.asking = true;
            self.asking.push((name, unanswered));
        }
        true
    }

    /// Whether policy has to be asked.
    pub fn is_asking(&self) -> bool {
        !self.asking.is_empty()
    }

    /// Has policy say how each search that stands still goes on.
    pub fn go_on(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        policy: impl Fn(&Turn<'_>, &Request, &mut Search, Occasion<'_>) -> Onward,
    ) {
        while let Some((name, unanswered)) = self.asking.pop() {
            let Some(active) = self.active(name) else { continue };
            let (status, rang) =
                (active.best.as_ref().map_or(503, |best| best.status), active.rang);
            let Some(rest) = &mut active.rest else { continue };
            rest.asking = false;
            let redirections = core::mem::take(&mut rest.redirections);
            let contacts: Vec<_> = redirections.iter().flat_map(|r| r.contacts.clone()).collect();
            let occasion = match (redirections.is_empty(), unanswered) {
                (false, _) => Occasion::Redirected(&contacts),
                (true, true) => Occasion::Unanswered,
                (true, false) => Occasion::Failed { status, rang },
            };
            let Onward { steps, is_whole, instead_of } = rest.ask(turn, occasion, &policy);
            if let Some(gateway) = instead_of {
                let status = if unanswered { 408 } else { status };
                active.tell_of_gateway(turn, gateway, status, &steps);
            }
            let Some(active) = self.active(name) else { continue };
            let Some(rest) = &mut active.rest else { continue };
            let goes_on = !steps.is_empty();
            rest.set_steps(steps);
            if !is_whole {
                for redirection in redirections {
                    active.consider(redirection.best);
                }
            }
            if goes_on {
                if unanswered {
                    // Who has been silent may go on being so.
                    for fork in active.forks.iter_mut().filter(|fork| !fork.ended) {
                        fork.timed_out = true;
                        if fork.trunk.is_some() && !fork.heard {
                            transactions.give_up(turn.now, fork.client, turn.out);
                        }
                    }
                    self.cancel_forks(turn, transactions, name);
                }
                let Some(active) = self.active(name) else { continue };
                active.ask_next_user();
            } else {
                active.rest = None;
            }
            if !goes_on || !self.next_step(turn, transactions, name) {
                self.settle(turn, transactions, name);
            }
        }
    }
}
