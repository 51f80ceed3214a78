//! `Served`: one request of somebody else until its transaction ends (RFC 3261 §8.2), and how it is answered. What the
//! answer is, others decide.

use bytes::Bytes;
use sip_message::{Name, Request, write};

use crate::flow::Flow;
use crate::limits;
use crate::rejection::Rejection;
use crate::transaction::{ContextId, ServerId, ServerKey};

use super::command::{Body, CallId};
use super::draft::Lines;
use super::reason::reason;
use super::stack::Turn;

#[derive(Debug)]
pub(super) struct Served {
    server: ServerId,
    /// Gone once it needs no more answers.
    request: Option<Box<Request>>,
    pub flow: Flow,
    /// Of every response to it (RFC 3261 §8.2.6.2).
    pub tag: Box<str>,
    /// The call it is for, while that wants to hear of a CANCEL.
    pub call: Option<CallId>,
    /// RFC 3261 §8.2.2.2: From tag, Call-ID and CSeq, by which a second way of the same request is known.
    identity: Option<Box<[u8]>>,
    is_final: bool,
}

/// From tag, Call-ID and CSeq of a request without To tag.
pub(super) fn identity(request: &Request) -> Option<Box<[u8]>> {
    let (from, to) = (request.from().ok()?, request.to().ok()?);
    if to.tag().is_some() {
        return None;
    }
    let cseq = request.header(Name::CSeq)?;
    Some([from.tag()?, b"\n", request.call_id().ok()?, b"\n", cseq].concat().into())
}

/// An answer of ours.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub status: u16,
    pub reason: Option<Box<str>>,
    pub lines: Lines,
    pub body: Option<Body>,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn with(mut self, name: &str, value: impl core::fmt::Display) -> Self {
        self.lines.push(name, value);
        self
    }
}

impl From<&Rejection> for Answer {
    fn from(rejection: &Rejection) -> Self {
        let mut answer = Self::new(rejection.status);
        answer.reason = Some(rejection.reason.into());
        rejection.headers.lines().for_each(|line| answer.lines.push_line(line));
        answer
    }
}

impl Turn<'_> {
    /// Makes the server transaction of a request that is new.
    pub fn accept(
        &mut self,
        key: ServerKey,
        request: Request,
        flow: &Flow,
        tag: Box<str>,
    ) -> Option<ContextId> {
        if self.stack.served.len() >= limits::SERVED.max {
            return None;
        }
        let context = self.stack.context();
        let accepted = self.stack.transactions.accept(key, &request, flow, context);
        let server = accepted.ok()?;
        let identity = identity(&request);
        let request = Some(Box::new(request));
        let call = None;
        let is_final = false;
        let served = Served { server, request, flow: *flow, tag, call, identity, is_final };
        self.stack.served.insert(context, served);
        Some(context)
    }

    /// RFC 3261 §8.2.2.2: the same request came by another way, and is still being served.
    pub fn is_merged(&self, request: &Request) -> bool {
        let Some(identity) = identity(request) else { return false };
        self.stack.served.values().any(|served| served.identity.as_deref() == Some(&*identity))
    }

    /// Answers; the bytes are what a 2xx is repeated with.
    pub fn respond(&mut self, context: ContextId, answer: &Answer) -> Option<Bytes> {
        let served = self.stack.served.get_mut(&context)?;
        if served.is_final {
            return None;
        }
        let request = served.request.as_ref()?;
        let wire = written(self.settings.user_agent.as_deref(), request, &served.tag, answer);
        let (server, status) = (served.server, answer.status);
        if status >= 200 {
            served.is_final = true;
            served.request = None;
        }
        let wire_out = &mut self.stack.wire;
        self.stack.transactions.respond(self.now, server, status, wire.clone(), wire_out);
        Some(wire)
    }

    /// RFC 3261 §13.3.1.4: the same 2xx to an INVITE once more.
    pub fn repeat(&mut self, context: ContextId, status: u16, wire: Bytes) {
        if let Some(served) = self.stack.served.get(&context) {
            let out = &mut self.stack.wire;
            self.stack.transactions.respond(self.now, served.server, status, wire, out);
        }
    }

    /// Answers without a transaction (RFC 3261 §8.2.7).
    pub fn respond_stateless(
        &mut self,
        request: &Request,
        flow: &Flow,
        tag: &str,
        answer: &Answer,
    ) {
        let wire = written(self.settings.user_agent.as_deref(), request, tag, answer);
        self.stack.wire.send(*flow, wire);
    }

    pub fn request(&self, context: ContextId) -> Option<&Request> {
        self.stack.served.get(&context)?.request.as_deref()
    }
}

fn written(server: Option<&str>, request: &Request, tag: &str, answer: &Answer) -> Bytes {
    let mut lines = answer.lines.clone();
    if let Some(server) = server.filter(|_| answer.status > 100) {
        lines.push("Server", server);
    }
    let body = answer.body.as_ref();
    if let Some(body) = body {
        lines.push("Content-Type", &body.content_type);
    }
    let reason = answer.reason.as_deref().unwrap_or(reason(answer.status)).as_bytes();
    let bytes = body.map_or(&b""[..], |body| &body.bytes);
    // RFC 3261 §8.2.6.2: "with the exception of the 100 (Trying) response, in which a tag MAY be present".
    let tag = Some(tag.as_bytes()).filter(|_| answer.status > 100);
    let mut wire = Vec::new();
    write::response(request, answer.status, reason, tag, lines.as_bytes(), bytes, &mut wire);
    wire.into()
}
