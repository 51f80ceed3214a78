//! The strict reading of a whole message: every header this crate understands is read once, and what must be there
//! is there (RFC 3261 §8.1.1, §8.2.2, §16.3 step 1, RFC 4475). What fails it is answered 400, or dropped if it is a
//! response. Headers it does not understand are left alone: a proxy forwards them unread.

use crate::error::{ParseError, ParseErrorKind as Kind};
use crate::head::Head;
use crate::header::Contacts;
use crate::limit;
use crate::message::{Request, Response};
use crate::method::Method;
use crate::name::Name;
use crate::uri::Scheme;

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

impl Request {
    /// Strict syntax of the start line and of every known header. A Request-URI of a foreign scheme is no error here:
    /// that is 416, and for the caller to say.
    pub fn check(&self) -> Result<(), ParseError> {
        let uri = self.uri()?;
        let method = self.method();
        if uri.headers.is_some() && matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(Kind::UriHeaders.at(0));
        }
        self.check_head()?;
        if self.cseq()?.method.as_bytes() != method.as_bytes() {
            return Err(Kind::CSeqMethod.at(0));
        }
        self.max_forwards()?;
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
        Ok(())
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
    pub fn check(&self) -> Result<(), ParseError> {
        self.check_head()?;
        self.check_contacts(limit::HEADERS_MAX)
    }
}

impl Head {
    fn check_head(&self) -> Result<(), ParseError> {
        self.check_occurrence()?;
        self.check_vias()?;
        for address in [self.from()?, self.to()?] {
            address.uri()?;
        }
        self.call_id()?;
        self.cseq()?;
        for name in [Name::Route, Name::RecordRoute] {
            let mut count = 0;
            for address in self.addresses(name) {
                address?.uri()?;
                count += 1;
                if count > limit::ROUTES_MAX {
                    return Err(Kind::RoutesTooMany.at(0));
                }
            }
        }
        Ok(())
    }

    fn check_occurrence(&self) -> Result<(), ParseError> {
        if let Some(&name) = MANDATORY.iter().find(|&&name| !self.has(name)) {
            return Err(Kind::Missing(name).at(0));
        }
        let mut seen = 0u128;
        for field in &self.fields {
            let bit = field.name.bit();
            if seen & bit != 0 && ONCE.contains(&field.name) {
                return Err(Kind::Repeated(field.name).at(self.value_of(field).1 as usize));
            }
            seen |= bit;
        }
        Ok(())
    }

    fn check_vias(&self) -> Result<(), ParseError> {
        let mut count = 0;
        for via in self.vias() {
            let via = via?;
            if count == 0 && via.branch.is_some_and(|b| b.eq_ignore_ascii_case(b"z9hG4bK")) {
                return Err(Kind::Branch.at(0));
            }
            count += 1;
            if count > limit::VIAS_MAX {
                return Err(Kind::ViasTooMany.at(0));
            }
        }
        if count == 0 { Err(Kind::Missing(Name::Via).at(0)) } else { Ok(()) }
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
