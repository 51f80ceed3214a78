//! What a parser says about a message, in words both share.

use bytes::Bytes;
use sip_message::{Message, Request as Ours, Response as OurResponse};
use sipx_sip::headers::{CSeq, CallId, From, To, Via};
use sipx_sip::{Limits, parse_datagram, validate};

#[derive(Debug, Default)]
pub struct Seen {
    /// Good enough to be acted upon: parsed, and no fault found.
    pub taken: bool,
    /// Why it is not.
    pub why: String,
    pub request: Option<bool>,
    pub call_id: Option<Vec<u8>>,
    pub cseq: Option<(u32, Vec<u8>)>,
    pub from_tag: Option<Vec<u8>>,
    pub to_tag: Option<Vec<u8>>,
    pub branch: Option<Vec<u8>>,
    pub headers: Option<usize>,
    pub body: Option<usize>,
}

/// One thing that the two say differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    OnlyWeTake,
    OnlyTheyTake,
    Value(&'static str),
}

impl Seen {
    pub fn by_us(bytes: &[u8]) -> Self {
        match Message::parse(Bytes::copy_from_slice(bytes)) {
            Err(bad) => Self { why: bad.error.kind.to_string(), ..Self::default() },
            Ok(Message::Request(request)) => {
                let checked = request.check().map(drop).map_err(|e| e.kind.to_string());
                Self::ours(checked, true, &request)
            }
            Ok(Message::Response(response)) => {
                let checked = response.check().map(drop).map_err(|e| e.kind.to_string());
                Self::ours_response(checked, &response)
            }
        }
    }

    fn ours(checked: Result<(), String>, request: bool, head: &Ours) -> Self {
        Self { request: Some(request), ..Self::head(checked, head) }
    }

    fn ours_response(checked: Result<(), String>, head: &OurResponse) -> Self {
        Self { request: Some(false), ..Self::head(checked, head) }
    }

    fn head(checked: Result<(), String>, head: &sip_message::Head) -> Self {
        let own = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
        Self {
            taken: checked.is_ok(),
            why: checked.err().unwrap_or_default(),
            request: None,
            call_id: head.call_id().ok().map(<[u8]>::to_vec),
            cseq: head.cseq().ok().map(|c| (c.number, c.method.as_bytes().to_vec())),
            from_tag: head.from().ok().and_then(|a| own(a.tag())),
            to_tag: head.to().ok().and_then(|a| own(a.tag())),
            branch: head.via().ok().and_then(|v| own(v.branch)),
            headers: Some(head.len()),
            body: Some(head.body().len()),
        }
    }

    pub fn by_them(bytes: &[u8]) -> Self {
        // They do not skip blank lines before a datagram's start line; where a message starts is not the question.
        let start = bytes.iter().position(|&b| b != b'\r' && b != b'\n').unwrap_or(0);
        let message =
            match parse_datagram(Bytes::copy_from_slice(&bytes[start..]), &Limits::datagram()) {
                Err(error) => return Self { why: error.to_string(), ..Self::default() },
                Ok(message) => message,
            };
        let findings = validate(&message);
        let headers = message.headers();
        let own = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
        Self {
            taken: findings.is_empty(),
            why: findings.first().map_or(String::new(), |f| format!("{f:?}")),
            request: Some(message.as_request().is_some()),
            call_id: headers.typed::<CallId>().and_then(Result::ok).map(|c| c.0),
            cseq: headers
                .typed::<CSeq>()
                .and_then(Result::ok)
                .map(|c| (c.sequence, c.method.as_bytes().to_vec())),
            from_tag: headers.typed::<From>().and_then(Result::ok).and_then(|a| own(a.tag())),
            to_tag: headers.typed::<To>().and_then(Result::ok).and_then(|a| own(a.tag())),
            branch: headers
                .typed_all::<Via>()
                .next()
                .and_then(Result::ok)
                .and_then(|v| own(v.branch())),
            headers: Some(headers.len()),
            body: Some(message.body().len()),
        }
    }

    /// Values count only where both have one, and verdicts where they differ.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        fn differ<T: PartialEq>(a: &Option<T>, b: &Option<T>) -> bool {
            matches!((a, b), (Some(a), Some(b)) if a != b)
        }
        let mut found = Vec::new();
        match (self.taken, other.taken) {
            (true, false) => found.push(Difference::OnlyWeTake),
            (false, true) => found.push(Difference::OnlyTheyTake),
            _ => {}
        }
        for (name, different) in [
            ("kind", differ(&self.request, &other.request)),
            ("Call-ID", differ(&self.call_id, &other.call_id)),
            ("CSeq", differ(&self.cseq, &other.cseq)),
            ("From tag", differ(&self.from_tag, &other.from_tag)),
            ("To tag", differ(&self.to_tag, &other.to_tag)),
            ("branch", differ(&self.branch, &other.branch)),
            ("headers", differ(&self.headers, &other.headers)),
            ("body", differ(&self.body, &other.body)),
        ] {
            if different {
                found.push(Difference::Value(name));
            }
        }
        found
    }
}
