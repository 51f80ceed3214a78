//! Response processing (RFC 3261 §16.7): 1xx and 2xx go upstream at once, of everything else only the best, when no
//! fork is left that could do better. It never repairs a response and never invents a 2xx.

use bytes::Bytes;
use sip_message::{Response, write};

use super::best::{Best, challenges};
use super::trunk::Proof;
use super::{Kind, Proxy, RETRY_AFTER_FULL, ResponseContext};
use crate::output::{CallRecord, EndedBy, Event};
use crate::proxy::record_route::Sender;
use crate::rejection::Rejection;
use crate::time::Duration;
use crate::transaction::{ContextId, Delivered, Happening, ServerId, TransactionLayer};
use crate::turn::Turn;
use crate::ua::reply;

impl Proxy {
    /// A response to one of our forks (RFC 3261 §16.7).
    pub fn response(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        delivered: Delivered,
        response: &Response,
    ) {
        let status = response.status();
        let Some(active) = self.contexts.get_mut(&delivered.context) else { return };
        active.has_spoken(turn, delivered.fork);
        if let Some(fork) = active.forks.get_mut(usize::from(delivered.fork)) {
            fork.heard = true;
        }
        if status < 200 && active.has_ended(delivered.fork) {
            return; //                                    it was given up, and is being cancelled
        }
        match status {
            ..=100 => {} //                               §16.7 step 5: a 100 is not forwarded
            101..=199 => {
                if !active.invite {
                    return; //                            RFC 4320 §4.1: no provisional but 100 outside INVITE
                }
                let timer =
                    active.forks.get(usize::from(delivered.fork)).and_then(|fork| fork.timer_c);
                if let Some(timer) = timer {
                    self.timer_c.reset(timer, turn.now + turn.config.timers.timer_c);
                }
                active.rang |= status == 180;
                if !active.answered {
                    let server = active.server;
                    let wire = self.upstream(response);
                    transactions.respond(turn.now, server, status, wire, turn.out);
                }
            }
            200..=299 => self.success(turn, transactions, delivered, response),
            _ => self.failure(turn, transactions, delivered, response),
        }
    }

    /// A 2xx to an INVITE that was answered before. RFC 3261 §16.7 step 5: every 2xx goes upstream, however late.
    pub fn repeat(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        server: ServerId,
        response: &Response,
    ) {
        let wire = self.upstream(response);
        transactions.respond(turn.now, server, response.status(), wire, turn.out);
    }

    fn success(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        delivered: Delivered,
        response: &Response,
    ) {
        let name = delivered.context;
        let wire = self.upstream(response);
        let Some(active) = self.active(name) else { return };
        let (server, first, cancels) = (active.server, !active.answered, active.cancels);
        let is_searching = active.rest.is_some();
        active.answered = true;
        transactions.respond(turn.now, server, response.status(), wire, turn.out);
        let (kind, invite) = (active.kind, active.invite);
        if first {
            report(turn, active, response.status(), response);
        }
        let trunk = self.take_trunk(name, delivered.fork);
        self.count_call(turn, kind, response.status(), response, trunk);
        if first && !invite {
            self.forget(name);
            return;
        }
        self.end_fork(name, delivered.fork);
        if let Some(active) = self.active(name) {
            active.stop_seeking();
        }
        if is_searching {
            self.drop_steps(name);
        }
        if cancels {
            // RFC 3261 §16.7 step 10: nobody else needs to ring.
            self.cancel_forks(turn, transactions, name);
        }
        self.settle(turn, transactions, name);
    }

    fn failure(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        delivered: Delivered,
        response: &Response,
    ) {
        let name = delivered.context;
        let status = response.status();
        if status == 487 && self.has_timed_out(delivered) {
            // It says no more than that it was us who gave up.
            return self.local_failure(turn, transactions, name, delivered.fork, 408);
        }
        if self.active(name).is_none_or(|active| active.has_ended(delivered.fork)) {
            return;
        }
        if matches!(status, 401 | 407) {
            match self.prove(turn, transactions, name, delivered.fork, response) {
                Proof::Sent => return,
                // It is the gateway's account that fails, and not the caller's.
                Proof::Refused => {
                    return self.local_failure(turn, transactions, name, delivered.fork, 503);
                }
                Proof::NotAsked => {}
            }
        }
        // RFC 3263 §4.3: a 503 is a failure of this server, and there may be another within the same fork.
        let failed = (status, true);
        if status == 503 && self.fail_over(turn, transactions, name, delivered.fork, failed) {
            return;
        }
        let wire = self.upstream(response);
        self.count_failure(name, delivered.fork, status);
        self.end_fork(name, delivered.fork);
        let Some(active) = self.active(name) else { return };
        if matches!(status, 401 | 407)
            && let Some(fork) = active.forks.get_mut(usize::from(delivered.fork))
        {
            fork.challenges = Some(challenges(response));
        }
        let best = Best { status, fork: delivered.fork, wire: Some(wire) };
        active.keep(best, response);
        if status >= 600 {
            // RFC 3261 §16.7 step 5: a 6xx speaks for the user; the others are told to stop.
            self.skip_steps(name);
            self.cancel_forks(turn, transactions, name);
        }
        self.settle(turn, transactions, name);
    }

    /// What no message tells (RFC 3261 §16.8, §16.9, RFC 6026 §7).
    pub fn happening(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        happening: Happening,
    ) {
        match happening {
            Happening::ClientTimeout { context, fork } => {
                self.tell(turn, context, fork, |call_id, method, flow| Event::TransactionTimeout {
                    call_id,
                    method,
                    flow,
                });
                self.local_failure(turn, transactions, context, fork, 408);
            }
            // RFC 3261 §9.1: cancelled, and the callee never said so.
            Happening::ClientCancelled { context, fork } => {
                let by_caller = self.active(context).is_some_and(|active| active.cancelled);
                let status = if by_caller { 487 } else { 408 };
                self.local_failure(turn, transactions, context, fork, status);
            }
            // RFC 3261 §16.9: as if the next hop had answered 503.
            Happening::TransportError { context, fork } => {
                self.tell(turn, context, fork, |call_id, _, flow| Event::SendFailed {
                    call_id,
                    flow,
                });
                self.local_failure(turn, transactions, context, fork, 503);
            }
            Happening::ServerGone { context } => {
                // Nobody upstream is left to tell.
                self.cancel_forks(turn, transactions, context);
                self.forget(context);
            }
            Happening::ClientSilent { context, fork } => {
                self.is_silent(turn, transactions, context, fork);
            }
            Happening::ServerTimeout { .. } | Happening::ClientGone { .. } => {}
        }
    }

    /// A final response that we give ourselves on behalf of a fork.
    fn local_failure(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        name: ContextId,
        fork: u16,
        status: u16,
    ) {
        if self.active(name).is_none_or(|active| active.has_ended(fork)) {
            return;
        }
        let failed = (status, false);
        if matches!(status, 408 | 503) && self.fail_over(turn, transactions, name, fork, failed) {
            return;
        }
        self.count_failure(name, fork, status);
        self.end_fork(name, fork);
        let Some(active) = self.active(name) else { return };
        active.consider(Best { status, fork, wire: None });
        self.settle(turn, transactions, name);
    }

    /// The caller has cancelled while the way to a name was being found out (RFC 3261 §9.2).
    pub(super) fn cancelled_unsent(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        name: ContextId,
    ) {
        let Some(active) = self.active(name) else { return };
        let fork = u16::try_from(active.forks.len()).unwrap_or(u16::MAX);
        active.consider(Best { status: 487, fork, wire: None });
        self.settle(turn, transactions, name);
    }

    fn has_timed_out(&mut self, delivered: Delivered) -> bool {
        let fork = usize::from(delivered.fork);
        let Some(active) = self.active(delivered.context) else { return false };
        !active.cancelled && active.forks.get(fork).is_some_and(|fork| fork.timed_out)
    }

    pub(super) fn end_fork(&mut self, name: ContextId, fork: u16) {
        let Some(active) = self.active(name) else { return };
        let Some(fork) = active.forks.get_mut(usize::from(fork)) else { return };
        fork.ended = true;
        if let Some(timer) = fork.timer_c.take() {
            self.timer_c.stop(timer);
        }
    }

    /// RFC 3261 §16.7 step 6: when no fork of this step is pending, the next one begins; when none at all is pending,
    /// the context comes to its end.
    pub(super) fn settle(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        name: ContextId,
    ) {
        let Some(active) = self.active(name) else { return };
        if active.is_step_pending() {
            return;
        }
        let is_searching = active.rest.is_some();
        if is_searching
            && (self.next_step(turn, transactions, name) || self.ask_policy(name, false))
        {
            return;
        }
        let Some(active) = self.active(name).filter(|active| !active.is_pending()) else { return };
        if active.answered {
            for fork in &active.forks {
                transactions.hand_over(fork.client, active.server);
            }
            self.forget(name);
        } else {
            self.conclude(turn, transactions, name);
        }
    }

    /// RFC 3261 §16.7 steps 6 to 9: the best response goes upstream, and the context is done.
    pub(super) fn conclude(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        name: ContextId,
    ) {
        let Some(mut active) = self.contexts.remove(&name) else { return };
        let best = active.best_of_all();
        let fork = best.as_ref().map_or(0, |best| best.fork);
        let (status, wire) = match best {
            // RFC 3261 §16.7 step 6: the next hop's overload is not ours to report.
            Some(Best { status: 503, .. }) => (500, None),
            Some(best) => (best.status, best.wire),
            // Our own is: no fork could be made at all.
            None => (503, None),
        };
        let request = active.request();
        if status == 408 && !active.invite {
            // RFC 4320 §4.2: by now the caller has given up; a 408 would only blame somebody.
            if let Some(request) = &request {
                report(turn, &active, status, request);
                self.count_call(turn, active.kind, status, request, None);
            }
            transactions.abandon(active.server);
            return;
        }
        let wire = match (wire, &request) {
            (Some(wire), _) if matches!(status, 401 | 407) => active.with_challenges(&wire, fork),
            (Some(wire), _) => wire,
            (None, Some(request)) => {
                let rejection = local(status);
                reply::write(turn, request, &rejection, &mut self.scratch);
                Bytes::copy_from_slice(&self.scratch)
            }
            (None, None) => return,
        };
        if let Some(request) = &request {
            report(turn, &active, status, request);
            self.count_call(turn, active.kind, status, request, None);
        }
        transactions.respond(turn.now, active.server, status, wire, turn.out);
    }

    /// RFC 3261 §16.7 step 3: without our Via.
    fn upstream(&mut self, response: &Response) -> Bytes {
        self.scratch.clear();
        write::response_upstream(response, &mut self.scratch);
        Bytes::copy_from_slice(&self.scratch)
    }

    fn tell(
        &mut self,
        turn: &mut Turn<'_>,
        name: ContextId,
        fork: u16,
        event: impl FnOnce(Box<str>, Box<str>, crate::flow::Flow) -> Event,
    ) {
        let Some(active) = self.active(name) else { return };
        let Some(fork) = active.forks.get(usize::from(fork)) else { return };
        let Some(request) = active.request() else { return };
        let call_id = text(request.call_id().unwrap_or_default());
        turn.out.events.push(event(call_id, text(request.method().as_bytes()), fork.flow));
    }
}

fn local(status: u16) -> Rejection {
    match status {
        408 => Rejection::request_timeout(),
        478 => Rejection::unresolvable(),
        482 => Rejection::loop_detected(),
        487 => Rejection::request_terminated(),
        503 => Rejection::service_unavailable(RETRY_AFTER_FULL),
        _ => Rejection::internal_error(),
    }
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// One event for the answer to a call and one for its end. `head` has From, To and Call-ID: the request, or the
/// response to it.
fn report(turn: &mut Turn<'_>, active: &ResponseContext, status: u16, head: &sip_message::Head) {
    let now = turn.now;
    match active.kind {
        Kind::Call if is_success(status) => {
            let call = record(head, status, now.since(active.arrived_at), false);
            turn.out.events.push(Event::CallAnswered { call });
        }
        Kind::Call => {
            let call = record(head, status, now.since(active.arrived_at), false);
            turn.out.events.push(Event::CallEnded { call, ended_by: EndedBy::Refused });
        }
        Kind::Within(sealed) if active.bye => {
            let by_callee = sealed.sender == Sender::Callee;
            let ended_by = if by_callee { EndedBy::Callee } else { EndedBy::Caller };
            let call = record(head, status, now.since(sealed.begun_at), by_callee);
            turn.out.events.push(Event::CallEnded { call, ended_by });
        }
        _ => {}
    }
}

/// `turned`: the callee sends, so From and To are the other way round.
fn record(
    head: &sip_message::Head,
    status: u16,
    duration: Duration,
    turned: bool,
) -> Box<CallRecord> {
    let uri = |address: Result<sip_message::NameAddr<'_>, _>| {
        address.map(|address| text(address.uri_bytes())).unwrap_or_default()
    };
    let (from, to) = (uri(head.from()), uri(head.to()));
    let (from, to) = if turned { (to, from) } else { (from, to) };
    let call_id = text(head.call_id().unwrap_or_default());
    Box::new(CallRecord { call_id, from, to, status, duration })
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}
