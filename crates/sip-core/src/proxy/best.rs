//! The best response (RFC 3261 §16.7 steps 6 and 7): which of the final responses the caller is told of, and the
//! challenges of all forks in it. It never sends anything.

use bytes::Bytes;
use sip_message::{Message, Name, Request, Response};

use super::ResponseContext;
use super::search::Redirection;
use crate::limits;
use crate::route::nat;

/// The best final response so far.
#[derive(Debug)]
pub(super) struct Best {
    pub status: u16,
    /// Which fork it is of.
    pub fork: u16,
    /// Ready to go upstream; `None`: ours to write (a timeout, a fork that could not be sent).
    pub wire: Option<Bytes>,
}

impl ResponseContext {
    pub(super) fn consider(&mut self, candidate: Best) {
        let better = self.best.as_ref().is_none_or(|best| {
            rank(candidate.status, self.invite) < rank(best.status, self.invite)
        });
        if better {
            self.best = Some(candidate);
        }
    }

    /// What comes from now on says how it stands with another user.
    pub(super) fn ask_next_user(&mut self) {
        self.rang = false;
        let best = self.best_of_all();
        self.earlier = best.map(Box::new);
    }

    pub(super) fn best_of_all(&mut self) -> Option<Best> {
        let last = self.best.take();
        self.best = self.earlier.take().map(|best| *best);
        if let Some(last) = last {
            self.consider(last);
        }
        self.best.take()
    }

    /// Considers a final response, or notes it for policy: a redirection that may be followed.
    pub(super) fn keep(&mut self, best: Best, response: &Response) {
        match &mut self.rest {
            Some(rest) if matches!(best.status, 300..=302) && rest.recurses() => {
                let contacts = response.addresses(Name::Contact).map_while(Result::ok);
                let contacts = contacts.take(limits::FORKS.max).map(|contact| contact.raw().into());
                rest.redirections.push(Redirection { best, contacts: contacts.collect() });
            }
            _ => self.consider(best),
        }
    }

    /// Whether this fork has had its final response, or was given up.
    pub(super) fn has_ended(&self, fork: u16) -> bool {
        self.forks.get(usize::from(fork)).is_none_or(|fork| fork.ended)
    }

    /// The request, read again. It was read once already, so this does not fail.
    pub(super) fn request(&self) -> Option<Request> {
        match Message::parse(self.request.clone()) {
            Ok(Message::Request(mut request)) => {
                nat::stamp(&mut request, &self.flow);
                Some(request)
            }
            _ => None,
        }
    }

    /// RFC 3261 §16.7 step 7: the caller can answer all challenges only if it sees them all.
    pub(super) fn with_challenges(&self, wire: &Bytes, best: u16) -> Bytes {
        let others = self.forks.iter().enumerate().filter(|(at, _)| *at != usize::from(best));
        let lines: Vec<u8> =
            others.filter_map(|(_, fork)| fork.challenges.as_deref()).flatten().copied().collect();
        let Some(end) = head_end(wire).filter(|_| !lines.is_empty()) else { return wire.clone() };
        let (head, rest) = wire.split_at(end);
        [head, &lines, rest].concat().into()
    }
}

/// Where the blank line starts, behind the line end of the last header.
fn head_end(wire: &[u8]) -> Option<usize> {
    let at = wire.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(at + 2)
}

pub(super) fn challenges(response: &Response) -> Box<[u8]> {
    let mut lines = Vec::new();
    for name in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
        for value in response.headers(name) {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value);
            lines.extend_from_slice(b"\r\n");
        }
    }
    lines.into()
}

/// RFC 3261 §16.7 step 6, lower is better: any 6xx; otherwise the lowest class, and in it what helps the caller most.
fn rank(status: u16, invite: bool) -> u16 {
    match status {
        600.. => 0,
        401 | 407 | 415 | 420 | 484 => 400,
        // RFC 4320 §4.2: the worst there is, because it means that nothing is said at all.
        408 if !invite => 900,
        408 => 402,
        400..=499 => 401,
        503 => 502,
        500..=599 => 501,
        other => other / 100 * 100,
    }
}
