//! Every bound of the reader in one table. Each has a `ParseErrorKind` of its own, so that whoever answers can say
//! which one was hit; `ParseErrorKind::status` gives the status it earns. Never a bound of the server's tables.

/// Bytes of one message, head and body: what a UDP datagram can carry at all (RFC 3261 §18.1.1).
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Bytes of start line and headers together.
pub const HEAD_BYTES_MAX: usize = 32_768;
/// Header lines (folded ones count once).
pub const HEADERS_MAX: usize = 256;
/// Bytes of one header name.
pub const HEADER_NAME_BYTES_MAX: usize = 128;
/// Bytes of one method name.
pub const METHOD_BYTES_MAX: usize = 64;
/// Bytes of one URI.
pub const URI_BYTES_MAX: usize = 1_024;
/// Via values: one for each hop that Max-Forwards 70 allows.
pub const VIAS_MAX: usize = 70;
/// Route values, and Record-Route values.
pub const ROUTES_MAX: usize = 32;
/// Contact values of a REGISTER.
pub const CONTACTS_MAX: usize = 16;
/// Parameters of one header value or URI.
pub const PARAMS_MAX: usize = 64;
