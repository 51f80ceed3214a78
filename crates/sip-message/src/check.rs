//! The strict reading of a whole message: every header this crate understands is read once, and what must be there
//! is there (RFC 3261 §8.1.1, §8.2.2, §16.3 step 1, RFC 4475). What fails it is answered 400, or dropped if it is a
//! response. Headers it does not understand are left alone: a proxy forwards them unread.

use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::head::Head;
use crate::header::{CSeq, Contacts, NameAddr, Via};
use crate::limit;
use crate::message::{Request, Response};
use crate::method::Method;
use crate::name::Name;
use crate::uri::{Scheme, Uri};

/// What every message has exactly once (RFC 3261 §8.1.1, §8.2.6.2).
const MANDATORY: [Name; 4] = [Name::To, Name::From, Name::CallId, Name::CSeq];

/// What may occur once (RFC 3261 §7.3.1: only lists repeat).
const ONCE: [Name; 10] = [
    Name::To,
    Name::From,
    Name::CallId,
    Name::CSeq,
    Name::MaxForwards,
    Name::ContentLength,
    Name::ContentType,
    Name::Expires,
    Name::MaxBreadth,
    Name::Event,
];

/// What every message says about itself, as the check has read it: whoever asks next need not read it again.
#[derive(Clone, Copy, Debug)]
pub struct CheckedHead<'a> {
    /// The top Via.
    pub via: Via<'a>,
    pub from: NameAddr<'a>,
    pub from_uri: Uri<'a>,
    pub to: NameAddr<'a>,
    pub to_uri: Uri<'a>,
    pub call_id: &'a [u8],
    pub cseq: CSeq<'a>,
    pub route: Option<FirstRoute<'a>>,
}

/// The first Route value.
#[derive(Clone, Copy, Debug)]
pub struct FirstRoute<'a> {
    pub address: NameAddr<'a>,
    pub uri: Uri<'a>,
    /// There is no second one.
    pub is_only: bool,
}

/// The same of a request.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    pub uri: Uri<'a>,
    pub head: CheckedHead<'a>,
    pub max_forwards: Option<u32>,
}

impl Request {
    /// Strict syntax of the start line and of every known header. A Request-URI of a foreign scheme is no error here:
    /// that is 416, and for the caller to say.
    pub fn check(&self) -> Result<Checked<'_>, ParseError> {
        let uri = self.uri()?;
        let method = self.method();
        if uri.headers.is_some() && matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(Kind::UriHeaders.at(0));
        }
        let head = self.check_head()?;
        if head.cseq.method != method {
            return Err(Kind::CSeqMethod.at(0));
        }
        let max_forwards = self.max_forwards()?;
        self.max_breadth()?;
        if method == Method::Register {
            self.check_contacts(limit::CONTACTS_MAX)?;
        } else {
            self.check_contacts(limit::HEADERS_MAX)?;
        }
        for name in [Name::Require, Name::ProxyRequire] {
            self.check_tokens(name)?;
        }
        for name in [Name::Authorization, Name::ProxyAuthorization] {
            for credentials in self.credentials(name) {
                credentials?;
            }
        }
        Ok(Checked { uri, head, max_forwards })
    }

    /// What a stream transport asks for besides: without Content-Length the next message cannot be found
    /// (RFC 3261 §18.3).
    pub fn check_stream(&self) -> Result<(), ParseError> {
        match self.content_length()? {
            Some(_) => Ok(()),
            None => Err(Kind::ContentLengthMissing.at(0)),
        }
    }
}

impl Response {
    /// Strict syntax of every known header.
    pub fn check(&self) -> Result<CheckedHead<'_>, ParseError> {
        let head = self.check_head()?;
        self.check_contacts(limit::HEADERS_MAX)?;
        Ok(head)
    }
}

impl Head {
    fn check_head(&self) -> Result<CheckedHead<'_>, ParseError> {
        self.check_occurrence()?;
        let via = self.check_vias()?;
        let (from, to) = (self.from()?, self.to()?);
        let (from_uri, to_uri) = (from.uri()?, to.uri()?);
        let (call_id, cseq) = (self.call_id()?, self.cseq()?);
        let route = self.check_routes(Name::Route)?;
        self.check_routes(Name::RecordRoute)?;
        Ok(CheckedHead { via, from, from_uri, to, to_uri, call_id, cseq, route })
    }

    fn check_routes(&self, name: Name) -> Result<Option<FirstRoute<'_>>, ParseError> {
        let mut first = None;
        for (count, address) in self.addresses(name).enumerate() {
            let address = address?;
            let uri = address.uri()?;
            if count >= limit::ROUTES_MAX {
                return Err(Kind::RoutesTooMany.at(0));
            }
            match &mut first {
                None => first = Some(FirstRoute { address, uri, is_only: true }),
                Some(first) => first.is_only = false,
            }
        }
        Ok(first)
    }

    fn check_occurrence(&self) -> Result<(), ParseError> {
        if let Some(&name) = MANDATORY.iter().find(|&&name| !self.has(name)) {
            return Err(Kind::Missing(name).at(0));
        }
        for (at, field) in self.fields.iter().enumerate() {
            if self.position(field.name) != Some(at) && ONCE.contains(&field.name) {
                return Err(Kind::Repeated(field.name).at(self.value_of(field).1 as usize));
            }
        }
        Ok(())
    }

    /// The top Via.
    fn check_vias(&self) -> Result<Via<'_>, ParseError> {
        let mut vias = self.vias();
        let top = vias.next().unwrap_or(Err(Kind::Missing(Name::Via).at(0)))?;
        if top.branch.is_some_and(|b| b.eq_ignore_ascii_case(b"z9hG4bK")) {
            return Err(Kind::Branch.at(0));
        }
        let mut count = 1;
        for via in vias {
            via?;
            count += 1;
            if count > limit::VIAS_MAX {
                return Err(Kind::ViasTooMany.at(0));
            }
        }
        Ok(top)
    }

    fn check_contacts(&self, most: usize) -> Result<(), ParseError> {
        let Contacts::List(contacts) = self.contacts()? else { return Ok(()) };
        let mut count = 0;
        for contact in contacts {
            contact?.uri()?;
            count += 1;
            if count > most {
                return Err(Kind::ContactsTooMany.at(0));
            }
        }
        Ok(())
    }
}
