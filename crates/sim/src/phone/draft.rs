//! How a phone writes messages: from words, its own way, without the server's writer.

use core::net::SocketAddr;

use bytes::Bytes;
use sip_core::flow::{ConnectionId, Transport};

use crate::heard::Heard;

/// Where a phone sends something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: SocketAddr,
    pub transport: Transport,
    /// Responses go back where the request came from; NONE lets the world choose or open one.
    pub connection: ConnectionId,
}

impl Target {
    pub const fn new(address: SocketAddr, transport: Transport) -> Self {
        Self { address, transport, connection: ConnectionId::NONE }
    }
}

/// A request in words.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub method: String,
    pub uri: String,
    /// Header values with their tags.
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    pub routes: Vec<String>,
    /// Whole lines without CRLF.
    pub headers: Vec<String>,
    pub max_forwards: u32,
    pub body: Option<String>,
}

impl Draft {
    /// `via`: the value of the only Via header.
    pub fn write(&self, via: &str) -> Bytes {
        let mut text = format!("{} {} SIP/2.0\r\nVia: {via}\r\n", self.method, self.uri);
        for route in &self.routes {
            text.push_str(&format!("Route: {route}\r\n"));
        }
        text.push_str(&format!(
            "Max-Forwards: {}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n",
            self.max_forwards, self.from, self.to, self.call_id, self.cseq, self.method
        ));
        for header in &self.headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        finish(text, self.body.as_deref())
    }

    /// The CANCEL or the ACK to a non-2xx of this request (RFC 3261 §9.1, §17.1.1.3): same URI, Route, From,
    /// Call-ID and CSeq number; the caller gives it the same Via.
    pub fn same_hop(&self, method: &str, to: &str) -> Self {
        Self {
            method: method.to_owned(),
            to: to.to_owned(),
            headers: Vec::new(),
            body: None,
            max_forwards: 70,
            ..self.clone()
        }
    }
}

/// A response in words (RFC 3261 §8.2.6).
pub struct Reply<'a> {
    pub to: &'a Heard,
    pub status: u16,
    /// Empty: no tag is added.
    pub tag: &'a str,
    pub headers: &'a [String],
    pub body: Option<String>,
}

impl Reply<'_> {
    pub fn write(&self) -> Bytes {
        let request = self.to;
        let mut text = format!("SIP/2.0 {} {}\r\n", self.status, reason(self.status));
        for via in &request.vias {
            text.push_str(&format!("Via: {via}\r\n"));
        }
        let tag = match (request.to_tag.is_empty(), self.tag) {
            (true, tag) if !tag.is_empty() => format!(";tag={tag}"),
            _ => String::new(),
        };
        text.push_str(&format!(
            "From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n",
            request.from, request.to, request.call_id, request.cseq, request.method
        ));
        for header in self.headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        finish(text, self.body.as_deref())
    }
}

fn finish(mut text: String, body: Option<&str>) -> Bytes {
    let body = body.unwrap_or_default();
    if !body.is_empty() {
        let kind = if body.starts_with("v=0") { "application/sdp" } else { "text/plain" };
        text.push_str(&format!("Content-Type: {kind}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    Bytes::from(text)
}

pub fn sdp(user: &str, address: SocketAddr) -> String {
    let ip = address.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no={user} 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\n"
    )
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Unnamed",
    }
}

/// `<sip:x@10.0.0.1:5060;lr>` or the bare URI: its address and transport, if the host is an IP literal.
pub fn address_of(uri: &str) -> Option<(SocketAddr, Transport)> {
    let uri = bare(uri);
    let rest = uri.split_once(':')?.1;
    let (address, params) = rest.split_once(';').unwrap_or((rest, ""));
    let address = address.split('?').next().unwrap_or(address);
    let host = address.rsplit_once('@').map_or(address, |(_, host)| host);
    let tcp = params.split(';').any(|p| p.eq_ignore_ascii_case("transport=tcp"));
    let transport = if tcp { Transport::Tcp } else { Transport::Udp };
    let address = host.parse::<SocketAddr>().ok().or_else(|| {
        host.trim_matches(['[', ']']).parse().ok().map(|ip| SocketAddr::new(ip, 5060))
    })?;
    Some((address, transport))
}

/// Without angle brackets, display name and header parameters.
pub fn bare(value: &str) -> &str {
    match (value.find('<'), value.find('>')) {
        (Some(open), Some(close)) if open < close => &value[open + 1..close],
        _ => value.trim(),
    }
}

/// RFC 3261 §19.1.1: the next hop understands loose routing.
pub fn is_loose(route: &str) -> bool {
    bare(route)
        .split(';')
        .skip(1)
        .any(|p| p.split('=').next().is_some_and(|n| n.eq_ignore_ascii_case("lr")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let (address, transport) = address_of("\"P\" <sip:p@10.0.0.1;lr;transport=TCP>").unwrap();
        assert_eq!((address.to_string().as_str(), transport), ("10.0.0.1:5060", Transport::Tcp));
        assert_eq!(address_of("sip:a@10.1.2.3:99").unwrap().0.port(), 99);
        assert!(address_of("sip:a@example.com").is_none());
        assert!(is_loose("<sip:10.0.0.1;lr>") && !is_loose("<sip:10.0.0.1>;lr"));
    }
}
