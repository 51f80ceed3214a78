//! What can be wrong with a session description, and in which line.

/// The first thing found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SDP line {line}: {kind}")]
pub struct ParseError {
    /// From 1. What is missing is missing after the last line.
    pub line: usize,
    pub kind: ParseErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    #[error("the body is empty")]
    Empty,
    #[error("the body is longer than {} bytes", super::BODY_MAX)]
    TooLarge,
    #[error("more than {} m= lines", super::MEDIA_MAX)]
    MediaTooMany,
    #[error("not of the form letter=value")]
    Form,
    #[error("a NUL or a lone CR inside the line")]
    Control,
    #[error("the description does not begin with v=0")]
    Version,
    #[error("no o= line, which must come before the first m= line")]
    OriginMissing,
    #[error("o= is not: username id version IN IP4|IP6 address")]
    Origin,
    #[error("a second {0}= line")]
    Repeated(char),
    #[error("c= is not: IN IP4|IP6 address")]
    Connection,
    #[error("m= is not: kind port transport formats")]
    Media,
    #[error("the port of m= is not a number below 65536")]
    Port,
    #[error("m= has a payload type that is not a number below 128")]
    PayloadType,
    #[error("a= without an attribute name, or with one that is no token")]
    AttributeName,
    #[error("a=rtpmap has no payload type below 128, or no name")]
    RtpMap,
    #[error("a=fmtp has no format")]
    FormatParameters,
}

impl ParseErrorKind {
    pub(super) const fn at(self, line: usize) -> ParseError {
        ParseError { line, kind: self }
    }
}
