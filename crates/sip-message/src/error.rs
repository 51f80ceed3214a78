//! What can be wrong with a message, in words for whoever runs the server. Never a response: `status` only says
//! which one RFC 3261 §21 has for it.

use core::fmt;

use crate::message::Request;
use crate::name::Name;

/// The first thing found wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    pub kind: ParseErrorKind,
    /// Bytes from the start of what was parsed. Inside an edited header: from the start of its value.
    pub offset: u32,
}

/// A message that cannot be used.
#[derive(Debug)]
pub struct Malformed {
    pub error: ParseError,
    /// What could be read of a request that has at least a Via, so that it can be answered (RFC 3261 §16.3 step 1).
    /// `None`: drop it in silence.
    pub request: Option<Box<Request>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    Empty,
    MessageTooLarge,
    HeadTooLarge,
    HeadersTooMany,
    HeaderNameTooLong,
    MethodTooLong,
    UriTooLong,
    ViasTooMany,
    RoutesTooMany,
    ContactsTooMany,
    ParamsTooMany,
    StartLine,
    Method,
    VersionUnsupported,
    StatusCode,
    BlankLineMissing,
    HeaderName,
    ColonMissing,
    BareCr,
    BareLf,
    ContentLength,
    ContentLengthConflict,
    ContentLengthMissing,
    BodyTooShort,
    Missing(Name),
    Repeated(Name),
    UriScheme,
    UriCharacter,
    UriEscape,
    UriHeaders,
    Host,
    Port,
    Param,
    ParamRepeated,
    QuoteOpen,
    Via,
    Branch,
    NameAddr,
    UriBrackets,
    Tag,
    CallId,
    CSeq,
    CSeqMethod,
    MaxForwards,
    Contact,
    ContactStar,
    Credentials,
    Token,
    ValueAfter,
}

impl ParseErrorKind {
    pub(crate) const fn at(self, offset: usize) -> ParseError {
        // Messages are at most 64 KiB, so this never cuts anything off.
        ParseError { kind: self, offset: offset as u32 }
    }

    /// The status a request with this error earns.
    pub const fn status(self) -> u16 {
        match self {
            Self::VersionUnsupported => 505,
            Self::MessageTooLarge => 513,
            Self::HeadTooLarge => 413,
            Self::UriTooLong => 414,
            Self::ViasTooMany => 483,
            _ => 400,
        }
    }

    /// The same in words, short enough for a reason phrase.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Empty => "the message is empty",
            Self::MessageTooLarge => "the message is larger than 65535 bytes",
            Self::HeadTooLarge => "the headers are larger than 32768 bytes",
            Self::HeadersTooMany => "more than 256 headers",
            Self::HeaderNameTooLong => "a header name is longer than 128 bytes",
            Self::MethodTooLong => "the method is longer than 64 bytes",
            Self::UriTooLong => "a URI is longer than 1024 bytes",
            Self::ViasTooMany => "more than 70 Via values",
            Self::RoutesTooMany => "more than 32 Route or Record-Route values",
            Self::ContactsTooMany => "more than 16 Contact values",
            Self::ParamsTooMany => "more than 64 parameters on one value",
            Self::StartLine => "the first line is neither a request line nor a status line",
            Self::Method => "the method is not a token",
            Self::VersionUnsupported => "the SIP version is not 2.0",
            Self::StatusCode => "the status code is not between 100 and 699",
            Self::BlankLineMissing => "no blank line after the headers",
            Self::HeaderName => "a header name is not a token",
            Self::ColonMissing => "a header line has no colon",
            Self::BareCr => "a CR without LF in the headers",
            Self::BareLf => "a header line ends in LF without CR",
            Self::ContentLength => "Content-Length is not a number",
            Self::ContentLengthConflict => "two different Content-Length values",
            Self::ContentLengthMissing => "no Content-Length on a stream transport",
            Self::BodyTooShort => "the body is shorter than Content-Length",
            Self::Missing(name) => missing(name),
            Self::Repeated(name) => repeated(name),
            Self::UriScheme => "a URI has no scheme",
            Self::UriCharacter => "a character that a URI cannot hold",
            Self::UriEscape => "% without two hex digits in a URI",
            Self::UriHeaders => "the Request-URI carries header fields",
            Self::Host => "the host is neither a name nor an address",
            Self::Port => "the port is not a number below 65536",
            Self::Param => "a malformed parameter",
            Self::ParamRepeated => "a parameter occurs twice",
            Self::QuoteOpen => "an opening quote is never closed",
            Self::Via => "a malformed Via",
            Self::Branch => "the Via branch is only the magic cookie",
            Self::NameAddr => "a malformed address",
            Self::UriBrackets => "a URI with ? needs angle brackets",
            Self::Tag => "a malformed tag",
            Self::CallId => "a malformed Call-ID",
            Self::CSeq => "a malformed CSeq",
            Self::CSeqMethod => "the CSeq method is not the request's method",
            Self::MaxForwards => "Max-Forwards is not a number",
            Self::Contact => "a malformed Contact",
            Self::ContactStar => "Contact * stands beside other contacts",
            Self::Credentials => "malformed credentials",
            Self::Token => "a malformed list of tokens",
            Self::ValueAfter => "unexpected text after a header value",
        }
    }
}

const fn missing(name: Name) -> &'static str {
    match name {
        Name::Via => "no Via",
        Name::From => "no From",
        Name::To => "no To",
        Name::CallId => "no Call-ID",
        Name::CSeq => "no CSeq",
        _ => "a mandatory header is missing",
    }
}

const fn repeated(name: Name) -> &'static str {
    match name {
        Name::From => "more than one From",
        Name::To => "more than one To",
        Name::CallId => "more than one Call-ID",
        Name::CSeq => "more than one CSeq",
        Name::MaxForwards => "more than one Max-Forwards",
        Name::ContentLength => "more than one Content-Length",
        _ => "a header that may occur once occurs twice",
    }
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.kind, self.offset)
    }
}

impl core::error::Error for ParseError {}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl core::error::Error for Malformed {}
