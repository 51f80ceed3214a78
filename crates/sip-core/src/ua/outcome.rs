//! What answers to our requests mean before their owners hear of them: another address (RFC 3263 §4.3), a challenge to
//! answer (RFC 3261 §22), another target (§8.1.3.4), or an outcome. A timeout is a 408 and a transport error a 503 by
//! another name (§8.1.3.1); which it was is not lost.

use sip_message::{Name, Response};

use crate::auth::client::Refusal;
use crate::flow::Flow;
use crate::time::Duration;
use crate::transaction::{ContextId, Delivered};

use super::event::{Event, Failure};
use super::exchange::{Exchange, ExchangeId, Owner};
use super::stack::Turn;

/// What a final response other than 2xx says.
pub(super) fn failure(response: &Response) -> Failure {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned().into_boxed_str();
    let explanation = response.header(Name::Warning).or_else(|| response.header(Name::Reason));
    Failure::Status {
        code: response.status(),
        reason: text(response.reason()),
        explanation: explanation.map(text),
        retry_after: retry_after(response),
    }
}

/// RFC 3261 §20.33: seconds, perhaps with a comment or parameters behind.
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.header(Name::RetryAfter)?;
    let digits = value.iter().take_while(|b| b.is_ascii_digit()).count();
    let text = core::str::from_utf8(value.get(..digits)?).ok()?;
    text.parse().ok().map(Duration::from_secs)
}

impl Turn<'_> {
    /// A response that a transaction passed on. `Some`: its exchange and whose it is are to be told of it.
    pub fn answered(
        &mut self,
        delivered: Delivered,
        response: &Response,
        from: &Flow,
    ) -> Option<(ExchangeId, Owner)> {
        let id = (*self.stack.clients.get(&delivered.context)?)?;
        let status = response.status();
        let exchange = self.stack.exchanges.get(&id)?;
        let owner = exchange.owner;
        if (200..300).contains(&status) {
            self.stack.keyring.informed(response, from);
        }
        if status < 300 || exchange.is_cancelled {
            return Some((id, owner));
        }
        let retried = match status {
            401 | 407 => self.challenged(id, response, from),
            300..=302 => self.redirected(id, response),
            503 => self.try_next(id),
            _ => Ok(false),
        };
        match retried {
            Ok(true) => None,
            Ok(false) if status < 600 && self.try_target(id) => None,
            Ok(false) => Some((id, owner)),
            Err(why) => {
                self.detach(id);
                self.fail(id, why);
                None
            }
        }
    }

    /// RFC 3261 §22.2, §22.3: once more, with credentials and the next CSeq.
    fn challenged(
        &mut self,
        id: ExchangeId,
        response: &Response,
        from: &Flow,
    ) -> Result<bool, Failure> {
        let code = response.status();
        let Some(mut exchange) = self.stack.exchanges.remove(&id) else { return Ok(false) };
        // Where it was sent to, not where the answer came from: that is a matter of NATs.
        let place = exchange.flow.unwrap_or(*from);
        let mut asked = core::mem::take(&mut exchange.asked);
        let trust = exchange.trust(self.settings);
        let answer = self.stack.keyring.challenged(response, &place, trust, &mut asked);
        exchange.asked = asked;
        let subject = exchange.subject();
        self.stack.exchanges.insert(id, exchange);
        let accepted = answer.map_err(|refusal| match refusal {
            Refusal::Refused { realm, user } => Failure::CredentialsRefused { code, realm, user },
            Refusal::NoCredentials { realm } => Failure::NoCredentials { code, realm },
            Refusal::NotTrusted { realm } => Failure::ChallengeNotTrusted { realm, flow: place },
            Refusal::Unknown => Failure::ChallengeUnknown { code },
        })?;
        for accepted in accepted {
            if let Some(subject) = subject {
                let (realm, algorithm) = (accepted.realm, accepted.algorithm);
                self.tell(Event::Challenged { subject, code, realm, algorithm });
            }
        }
        self.detach(id);
        if let Some(exchange) = self.stack.exchanges.get_mut(&id) {
            exchange.flows.push_front(place);
        }
        self.again(id);
        Ok(true)
    }

    fn redirected(&mut self, id: ExchangeId, response: &Response) -> Result<bool, Failure> {
        let Some(exchange) = self.stack.exchanges.get_mut(&id) else { return Ok(false) };
        let may = matches!(exchange.owner, Owner::Invite(_) | Owner::Request(_));
        if !may || !self.settings.follow_redirects {
            return Ok(false);
        }
        let uri = exchange.redirects.follow(response)?;
        self.retarget(id, uri);
        Ok(true)
    }

    /// One target failed: the next of those a 3xx named.
    fn try_target(&mut self, id: ExchangeId) -> bool {
        let next = self.stack.exchanges.get_mut(&id).and_then(|e| e.redirects.next());
        next.map(|uri| self.retarget(id, uri)).is_some()
    }

    fn retarget(&mut self, id: ExchangeId, uri: Box<[u8]>) {
        self.detach(id);
        let Some(exchange) = self.stack.exchanges.get_mut(&id) else { return };
        exchange.flows.clear();
        exchange.next.clone_from(&uri);
        exchange.draft.uri.clone_from(&uri);
        exchange.draft.cseq = exchange.draft.cseq.saturating_add(1);
        if let Some(subject) = exchange.subject() {
            let to = String::from_utf8_lossy(&uri).into_owned().into();
            self.tell(Event::Redirected { subject, to });
        }
        self.locate(id);
    }

    /// RFC 3263 §4.3: the next address of the same host, in a new transaction.
    fn try_next(&mut self, id: ExchangeId) -> Result<bool, Failure> {
        let more = self.stack.exchanges.get(&id).is_some_and(|e| !e.flows.is_empty());
        if more {
            self.detach(id);
            self.transmit(id);
        }
        Ok(more)
    }

    /// The same request as a new one: the number goes up (RFC 3261 §8.1.3.5).
    fn again(&mut self, id: ExchangeId) {
        let Some(exchange) = self.stack.exchanges.get(&id) else { return };
        match exchange.owner {
            // Inside a dialog the number is the dialog's, and the call that owns it sends again.
            Owner::Inside(call, _) => self.stack.renumber.push((call, id)),
            _ => {
                if let Some(exchange) = self.stack.exchanges.get_mut(&id) {
                    exchange.draft.cseq = exchange.draft.cseq.saturating_add(1);
                }
                self.transmit(id);
            }
        }
    }

    /// What its present transaction still has to say does not concern the exchange any more.
    pub fn detach(&mut self, id: ExchangeId) {
        let Some(exchange) = self.stack.exchanges.get_mut(&id) else { return };
        exchange.client = None;
        if let Some(context) = exchange.context.take()
            && let Some(owner) = self.stack.clients.get_mut(&context)
        {
            *owner = None;
        }
    }

    /// It has its outcome. Nothing more is told of it.
    pub fn forget(&mut self, id: ExchangeId) {
        self.detach(id);
        if let Some(Exchange { ask: Some(ask), .. }) = self.stack.exchanges.remove(&id) {
            self.stack.resolves.remove(&ask);
        }
    }

    /// No answer, or not sent: another address, or the end of it.
    pub fn unanswered(&mut self, context: ContextId, why: fn(Box<str>, Flow) -> Failure) {
        let Some(Some(id)) = self.stack.clients.get(&context).copied() else { return };
        let Some(exchange) = self.stack.exchanges.get(&id) else { return };
        let (method, flow) = (exchange.draft.method.clone(), exchange.flow);
        // A 2xx has come: what fails later is an ACK (RFC 3261 §17.1.1.2 has no such event for it).
        if !exchange.acks.is_empty() {
            return;
        }
        if !exchange.is_cancelled && self.try_next(id) == Ok(true) {
            return;
        }
        self.detach(id);
        if !self.stack.exchanges.get(&id).is_some_and(|e| e.is_cancelled) && self.try_target(id) {
            return;
        }
        if let Some(flow) = flow {
            self.fail(id, why(method, flow));
        }
    }

    /// The transaction is over. An INVITE that was accepted has now heard every 2xx it will hear.
    pub fn client_gone(&mut self, context: ContextId) {
        if let Some(Some(id)) = self.stack.clients.remove(&context) {
            self.stack.exchanges.remove(&id);
        }
    }

    /// RFC 3261 §9.1. An INVITE that still waits for the address of its next hop is simply not sent.
    pub fn cancel(&mut self, id: ExchangeId) {
        let Some(exchange) = self.stack.exchanges.get_mut(&id) else { return };
        exchange.is_cancelled = true;
        match exchange.client {
            Some(client) => self.stack.transactions.cancel(self.now, client, &mut self.stack.wire),
            None => self.fail(id, Failure::NotPossible { why: "it was never sent" }),
        }
    }
}
