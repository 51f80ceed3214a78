//! `Draft`: a request of ours before it has a Via (RFC 3261 §8.1.1). The same draft is written again for every try: with
//! credentials, to another address, or to where a 3xx points. What comes from outside never adds a line of its own.

use bytes::Bytes;
use sip_message::{Message, Request};

use super::command::Body;

#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub method: Box<str>,
    pub uri: Box<[u8]>,
    /// Route values, the next hop first.
    pub routes: Vec<Box<[u8]>>,
    /// With the tag.
    pub from: Box<[u8]>,
    /// With the tag inside a dialog.
    pub to: Box<[u8]>,
    pub call_id: Box<[u8]>,
    pub cseq: u32,
    pub lines: Lines,
    pub body: Option<Body>,
}

/// Header lines, each ended by CRLF.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    pub fn push(&mut self, name: &str, value: impl core::fmt::Display) {
        let value = value.to_string();
        self.push_line(&format!("{name}: {value}"));
    }

    /// One line from outside: it ends where it says it ends, and one without a name is left out.
    pub fn push_line(&mut self, line: &str) {
        let line = line.split(['\r', '\n']).next().unwrap_or_default();
        let name = line.split(':').next().unwrap_or_default().trim_end();
        let is_token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        if line.contains(':') && is_token {
            self.0.push_str(line);
            self.0.push_str("\r\n");
        }
    }

    pub fn push_all(&mut self, lines: &[Box<str>]) {
        lines.iter().for_each(|line| self.push_line(line));
    }

    pub fn append(&mut self, more: Self) {
        self.0.push_str(&more.0);
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Draft {
    /// The whole request. `via` is the Via value, `proof` the lines of `auth::client`.
    pub fn write(&self, via: &str, proof: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(768 + self.body.as_ref().map_or(0, |b| b.bytes.len()));
        let mut push = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        push(&[self.method.as_bytes(), b" ", &self.uri, b" SIP/2.0\r\nVia: ", via.as_bytes()]);
        push(&[b"\r\nMax-Forwards: 70\r\n"]);
        for route in &self.routes {
            push(&[b"Route: ", route, b"\r\n"]);
        }
        push(&[b"From: ", &self.from, b"\r\nTo: ", &self.to, b"\r\nCall-ID: ", &self.call_id]);
        let cseq = format!("\r\nCSeq: {} {}\r\n", self.cseq, self.method);
        push(&[cseq.as_bytes(), proof, self.lines.as_bytes()]);
        let (length, body) = match &self.body {
            Some(body) => {
                let kind = body.content_type.split(['\r', '\n']).next().unwrap_or_default();
                push(&[b"Content-Type: ", kind.as_bytes(), b"\r\n"]);
                (body.bytes.len(), &body.bytes[..])
            }
            None => (0, &b""[..]),
        };
        push(&[format!("Content-Length: {length}\r\n\r\n").as_bytes(), body]);
        out.into()
    }

    /// The request as a dialog wants to see it: its Via counts for nothing there.
    pub fn request(&self) -> Option<Request> {
        match Message::parse(self.write("SIP/2.0/UDP here", b"")) {
            Ok(Message::Request(request)) => Some(request),
            _ => None,
        }
    }
}

/// `"Alice" <sip:alice@example.com>`: what goes into From. A display name is quoted.
pub(super) fn name_addr(display: Option<&str>, uri: &str) -> String {
    match display {
        Some(display) => {
            let clean: String = display.chars().filter(|c| !c.is_control()).collect();
            format!("\"{}\" <{uri}>", clean.replace('\\', "\\\\").replace('"', "\\\""))
        }
        None => format!("<{uri}>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_adds_a_line() {
        let mut lines = Lines::default();
        lines.push("Subject", "one\r\nRoute: <sip:evil>");
        lines.push_line("X-Mine: 1\nX-Evil: 2");
        lines.push_line("no name");
        lines.push_line(" : folded");
        assert_eq!(lines.0, "Subject: one\r\nX-Mine: 1\r\n");
        assert_eq!(name_addr(Some("A \"b\"\r\n"), "sip:a@b"), "\"A \\\"b\\\"\" <sip:a@b>");
    }
}
