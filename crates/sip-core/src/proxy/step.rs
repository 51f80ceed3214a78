//! One step after the other (RFC 3261 §16.6, §16.7): the targets of a step are tried at once; when all its forks have
//! ended without an answer that decides, or its time is over, the next begins. A 2xx decides, and so does a 6xx; a
//! fork whose time is over is cancelled, and should it be answered all the same, that 2xx still wins.
//!
//! It never chooses a target: `route` has.

use sip_message::Request;

use super::search::{Occasion, Onward, Redirection, Search};
use super::{Plan, Proxy, ResponseContext, Step, Steps};
use crate::time::Instant;
use crate::transaction::{ContextId, TransactionLayer};
use crate::turn::Turn;

/// What is kept of a request while there is somebody left to try, or a step under way that has a time, or a search that
/// may go on.
#[derive(Debug)]
pub(super) struct Rest {
    /// As the rooms have left it.
    request: Request,
    plan: Plan,
    /// The first of its steps that has not begun.
    next: usize,
    /// When the step under way is over; the same is in `Proxy::deadlines`.
    pub deadline: Option<Instant>,
    /// What phones have answered that may be followed.
    pub redirections: Vec<Redirection>,
    /// Policy is being asked.
    pub asking: bool,
}

impl Rest {
    pub fn may_go_on(&self) -> bool {
        self.plan.search.as_ref().is_some_and(|search| search.is_open())
    }

    /// One more step, which begins now: what `send` needs for it.
    pub fn send(&mut self, step: Step, send: impl FnOnce(&Request, &Plan, usize)) {
        let at = self.next.min(self.plan.steps.len());
        self.plan.steps.insert(at, step);
        self.next = at + 1;
        send(&self.request, &self.plan, at);
    }

    pub fn hunts(&self) -> bool {
        self.plan.search.as_ref().is_some_and(|search| search.hunt.is_some())
    }

    pub fn recurses(&self) -> bool {
        self.plan.search.as_ref().is_some_and(|search| search.recurse)
    }

    pub fn ask(
        &mut self,
        turn: &Turn<'_>,
        occasion: Occasion<'_>,
        policy: impl Fn(&Turn<'_>, &Request, &mut Search, Occasion<'_>) -> Onward,
    ) -> Onward {
        match &mut self.plan.search {
            Some(search) => policy(turn, &self.request, search, occasion),
            None => Onward::default(),
        }
    }

    pub fn set_steps(&mut self, steps: Steps) {
        (self.plan.steps, self.next) = (steps, 0);
    }

    /// Whether anything is left to wait for.
    fn is_needed(&self) -> bool {
        self.deadline.is_some() || self.next < self.plan.steps.len() || self.may_go_on()
    }

    fn skip_steps(&mut self) {
        self.next = self.plan.steps.len();
    }
}

/// When the step is over that begins now.
fn deadline(now: Instant, plan: &Plan, at: usize) -> Option<Instant> {
    let ring_until = plan.search.as_ref().and_then(|search| search.ring_until);
    let step = plan.steps.get(at).and_then(|step| step.timeout).map(|timeout| now + timeout);
    [step, ring_until].into_iter().flatten().min()
}

impl Proxy {
    /// Begins the first step of `plan`, and keeps what is needed for the others.
    pub(super) fn first_step(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        context: &mut ResponseContext,
        request: &Request,
        plan: &Plan,
    ) {
        self.send_step(turn, transactions, context, request, plan, 0);
        let deadline = deadline(turn.now, plan, 0);
        if plan.steps.len() <= 1 && deadline.is_none() && plan.search.is_none() {
            return;
        }
        let (request, plan) = (request.clone(), plan.clone());
        let (redirections, asking) = (Vec::new(), false);
        let rest = Rest { request, plan, next: 1, deadline, redirections, asking };
        context.rest = Some(Box::new(rest));
        self.deadlines.extend(deadline.map(|at| (at, context.name)));
    }

    /// Begins the next step if there is one; whether there was. Those after it whose forks cannot even be made are
    /// passed over.
    pub(super) fn next_step(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        name: ContextId,
    ) -> bool {
        let Some(mut context) = self.contexts.remove(&name) else { return false };
        let begun = self.begin(turn, transactions, &mut context);
        self.contexts.insert(name, context);
        begun
    }

    fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        context: &mut ResponseContext,
    ) -> bool {
        let Some(mut rest) = context.rest.take() else { return false };
        let name = context.name;
        if let Some(at) = rest.deadline.take() {
            self.deadlines.remove(&(at, name));
        }
        context.step_at = context.forks_made();
        while rest.next < rest.plan.steps.len() {
            let at = rest.next;
            rest.next += 1;
            self.send_step(turn, transactions, context, &rest.request, &rest.plan, at);
            if !context.is_step_pending() {
                continue;
            }
            rest.deadline = deadline(turn.now, &rest.plan, at);
            self.deadlines.extend(rest.deadline.map(|at| (at, name)));
            context.rest = Some(rest).filter(|rest| rest.is_needed());
            return true;
        }
        context.rest = Some(rest).filter(|rest| rest.is_needed());
        false
    }

    /// Nobody else is tried: a 2xx has decided, or the caller has given up.
    pub(super) fn drop_steps(&mut self, name: ContextId) {
        let rest = self.active(name).and_then(|active| active.rest.take());
        if let Some(at) = rest.and_then(|rest| rest.deadline) {
            self.deadlines.remove(&(at, name));
        }
    }

    /// None of those who are left is tried: a 6xx speaks for the user. His calls may still go somewhere else, if that is
    /// what he wants when he is busy.
    pub(super) fn skip_steps(&mut self, name: ContextId) {
        let Some(rest) = self.active(name).and_then(|active| active.rest.as_mut()) else { return };
        rest.skip_steps();
        if let Some(search) = &mut rest.plan.search {
            search.recurse = false;
        }
        if let Some(at) = rest.deadline.take() {
            self.deadlines.remove(&(at, name));
        }
    }

    /// The time of steps is over: their forks are cancelled, and the next step does not wait for them.
    pub(super) fn end_steps(&mut self, turn: &mut Turn<'_>, transactions: &mut TransactionLayer) {
        while let Some(&(at, name)) = self.deadlines.first().filter(|(at, _)| *at <= turn.now) {
            self.deadlines.remove(&(at, name));
            if self.is_hunting(name) {
                // Another gateway is sought first: who is silent may still be the only one.
                self.ask_next_gateway(name);
                continue;
            }
            let Some(active) = self.active(name) else { continue };
            let mut unanswered = false;
            if let Some(rest) = &mut active.rest {
                rest.deadline = None;
                let ring_until = rest.plan.search.as_ref().and_then(|search| search.ring_until);
                if ring_until.is_some_and(|until| until <= at) {
                    unanswered = true;
                    rest.skip_steps();
                }
            }
            for fork in active.forks.iter_mut().filter(|fork| !fork.ended) {
                fork.timed_out = true;
            }
            self.cancel_forks(turn, transactions, name);
            let goes_on = self.next_step(turn, transactions, name)
                || (unanswered && self.ask_policy(name, true));
            if !goes_on {
                self.settle(turn, transactions, name);
            }
        }
    }
}

impl ResponseContext {
    fn forks_made(&self) -> u16 {
        u16::try_from(self.forks.len()).unwrap_or(u16::MAX)
    }

    /// Whether a fork of the step under way may still get an answer.
    pub(super) fn is_step_pending(&self) -> bool {
        let mut forks = self.forks.iter().skip(usize::from(self.step_at));
        forks.any(|fork| !fork.ended) || !self.seeking.is_empty()
    }

    pub(super) fn is_pending(&self) -> bool {
        self.forks.iter().any(|fork| !fork.ended) || !self.seeking.is_empty()
    }
}
