//! A message: its start line and its head (RFC 3261 §7.1, §7.2).

use core::ops::{Deref, DerefMut};

use bytes::Bytes;

use crate::error::{Malformed, ParseError};
use crate::head::{Head, Span};
use crate::method::Method;
use crate::parse;
use crate::uri::Uri;

#[derive(Clone, Debug)]
pub enum Message {
    Request(Request),
    Response(Response),
}

#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) head: Head,
    pub(crate) method: Span,
    pub(crate) uri: Span,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub(crate) head: Head,
    pub(crate) status: u16,
    pub(crate) reason: Span,
}

impl Message {
    /// Reads one datagram, or one message that [`Framer`](crate::frame::Framer) cut out of a stream. Bytes behind the
    /// body are ignored (RFC 3261 §18.3). The structure is checked, header values are not: that is
    /// [`Request::check`].
    pub fn parse(buf: Bytes) -> Result<Self, Malformed> {
        parse::message(buf)
    }

    pub fn head(&self) -> &Head {
        match self {
            Self::Request(request) => &request.head,
            Self::Response(response) => &response.head,
        }
    }
}

impl Deref for Message {
    type Target = Head;
    fn deref(&self) -> &Head {
        self.head()
    }
}

impl Request {
    #[inline]
    pub fn method(&self) -> Method<'_> {
        Method::of(self.head.text(self.method))
    }

    /// The Request-URI taken apart.
    pub fn uri(&self) -> Result<Uri<'_>, ParseError> {
        Uri::parse(self.uri_bytes())
    }

    /// The Request-URI as written.
    #[inline]
    pub fn uri_bytes(&self) -> &[u8] {
        self.head.text(self.uri)
    }

    /// Replaces the Request-URI. White space ends it, so that it stays one word of the request line.
    pub fn set_uri(&mut self, uri: &[u8]) {
        let end = uri.iter().position(|&b| b <= b' ').unwrap_or(uri.len());
        let start = self.head.edits.len();
        self.head.edits.extend_from_slice(crate::byte::cut(uri, 0, end));
        self.uri = Span::edited(start, self.head.edits.len());
    }
}

impl Response {
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase as written, perhaps empty, perhaps not UTF-8.
    pub fn reason(&self) -> &[u8] {
        self.head.text(self.reason)
    }
}

impl Deref for Request {
    type Target = Head;
    fn deref(&self) -> &Head {
        &self.head
    }
}

impl DerefMut for Request {
    fn deref_mut(&mut self) -> &mut Head {
        &mut self.head
    }
}

impl Deref for Response {
    type Target = Head;
    fn deref(&self) -> &Head {
        &self.head
    }
}

impl DerefMut for Response {
    fn deref_mut(&mut self) -> &mut Head {
        &mut self.head
    }
}
