//! SIP messages as a tester reads them: simply, and without the parser under test. It knows no grammar beyond lines and colons
//! (RFC 3261 §7), which is enough to judge an answer and to write a request, right or wrong.

use std::fmt::Write as _;

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Message {
    pub start: String,
    pub headers: Vec<(String, String)>,
}

impl Message {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = find(bytes, b"\r\n\r\n")?;
        let head =
            String::from_utf8_lossy(bytes.get(..end)?).replace("\r\n ", " ").replace("\r\n\t", " ");
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        if !start.contains("SIP/2.0") {
            return None;
        }
        let headers = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(name, value)| (long(name.trim()).to_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { start, headers })
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        let rest = self.start.strip_prefix("SIP/2.0 ");
        rest.and_then(|r| r.get(..3)).and_then(|d| d.parse().ok()).unwrap_or(0)
    }

    /// The method of a request; empty for a response.
    pub fn method(&self) -> &str {
        if self.status() != 0 { "" } else { self.start.split(' ').next().unwrap_or_default() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let name = name.to_lowercase();
        self.headers.iter().filter(move |(n, _)| *n == name).map(|(_, v)| v.as_str())
    }

    pub fn call_id(&self) -> &str {
        self.header("call-id").unwrap_or_default()
    }

    /// The method in CSeq.
    pub fn cseq_method(&self) -> &str {
        self.header("cseq").and_then(|c| c.split_whitespace().nth(1)).unwrap_or_default()
    }

    /// The URI inside `<>` of the first value of a header.
    pub fn uri(&self, name: &str) -> Option<&str> {
        let value = self.header(name)?;
        match value.split_once('<') {
            Some((_, rest)) => rest.split('>').next(),
            None => value.split(';').next(),
        }
    }
}

/// A response to `request` as a user agent server writes it (RFC 3261 §8.2.6).
pub fn response(request: &Message, status: &str, to_tag: &str, extra: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for via in request.all("via") {
        let _ = write!(text, "Via: {via}\r\n");
    }
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let value = request.header(name).unwrap_or_default();
        let tag = if name == "To" && !value.contains(";tag=") && !to_tag.is_empty() {
            format!(";tag={to_tag}")
        } else {
            String::new()
        };
        let _ = write!(text, "{name}: {value}{tag}\r\n");
    }
    for route in request.all("record-route") {
        let _ = write!(text, "Record-Route: {route}\r\n");
    }
    let _ = write!(text, "{extra}Content-Length: 0\r\n\r\n");
    text
}

/// A request to be sent. Every field may be wrong on purpose.
#[derive(Clone, Debug)]
pub struct Draft {
    pub method: String,
    pub uri: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    pub branch: String,
    pub max_forwards: u32,
    /// Whole lines, each with its CRLF.
    pub extra: String,
    pub body: String,
}

impl Draft {
    /// A request from `from` to `to`, both whole URIs, outside a dialog.
    pub fn new(method: &str, uri: &str, from: &str, to: &str) -> Self {
        Self {
            method: method.into(),
            uri: uri.into(),
            from: format!("<{from}>;tag={}", token()),
            to: format!("<{to}>"),
            call_id: format!("{}@test", token()),
            cseq: 1,
            branch: branch(),
            max_forwards: 70,
            extra: String::new(),
            body: String::new(),
        }
    }

    pub fn register(user: &str, domain: &str, contact: &str) -> Self {
        let aor = format!("sip:{user}@{domain}");
        let draft = Self::new("REGISTER", &format!("sip:{domain}"), &aor, &aor);
        draft.with(&format!("Contact: <{contact}>\r\nExpires: 600\r\n"))
    }

    pub fn with(mut self, lines: &str) -> Self {
        self.extra.push_str(lines);
        self
    }

    /// The next try of the same request: a new transaction, the next CSeq.
    pub fn again(mut self) -> Self {
        self.cseq += 1;
        self.branch = branch();
        self
    }

    /// As sent from `via`, a `host:port`.
    pub fn render(&self, transport: &str, via: &str) -> String {
        format!(
            "{} {} SIP/2.0\r\nVia: SIP/2.0/{transport} {via};branch={};rport\r\nMax-Forwards: {}\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {} {}\r\n{}Content-Length: {}\r\n\r\n{}",
            self.method,
            self.uri,
            self.branch,
            self.max_forwards,
            self.from,
            self.to,
            self.call_id,
            self.cseq,
            self.method,
            self.extra,
            self.body.len(),
            self.body
        )
    }
}

/// The value of `;name=value` in a header value.
pub fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let (_, parameters) = value.rsplit_once('>').unwrap_or(("", value));
    let mut found = parameters.split(';').filter_map(|p| p.trim().split_once('='));
    found.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// Compact forms (RFC 3261 §7.3.3).
fn long(name: &str) -> &str {
    match name {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "m" => "Contact",
        "l" => "Content-Length",
        other => other,
    }
}

/// A name nobody else uses.
pub fn token() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let start = START.get_or_init(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |d| d.as_nanos() as u64)
    });
    format!("{start:x}{:x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn branch() -> String {
    format!("z9hG4bK{}", token())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let draft = Draft::register("alice", "example.com", "sip:alice@192.0.2.1");
        let text = draft.render("UDP", "192.0.2.1:5060");
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.method(), "REGISTER");
        assert_eq!(message.status(), 0);
        assert_eq!(message.uri("contact"), Some("sip:alice@192.0.2.1"));
        assert_eq!(
            parameter(message.header("via").unwrap(), "branch"),
            Some(draft.branch.as_str())
        );
        let answer = Message::parse(response(&message, "200 OK", "x", "").as_bytes()).unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(parameter(answer.header("to").unwrap(), "tag"), Some("x"));
        assert_eq!(answer.header("from"), message.header("from"));
    }
}
