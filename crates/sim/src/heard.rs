//! `Heard`: one message in plain words, as a phone, a ladder or a check wants it. The only file here that knows how
//! `sip-message` reads.

use std::rc::Rc;

use bytes::Bytes;
use sip_message::{Head, Message, Name};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// Of the request, or of the CSeq of a response.
    pub method: String,
    /// 0: a request.
    pub status: u16,
    pub uri: String,
    /// One value per hop, top first, as written.
    pub vias: Vec<String>,
    pub branch: String,
    pub sent_by: String,
    pub from: String,
    pub from_tag: String,
    pub to: String,
    pub to_tag: String,
    pub call_id: String,
    pub cseq: u32,
    pub max_forwards: Option<u32>,
    pub routes: Vec<String>,
    pub record_routes: Vec<String>,
    /// URIs without brackets and parameters.
    pub contacts: Vec<String>,
    /// Header value, and whether it came as Proxy-Authenticate.
    pub challenges: Vec<(bool, String)>,
    pub has_body: bool,
    /// RFC 3262 §7.1; 0: none.
    pub rseq: u32,
    /// Not SIP at all.
    pub broken: bool,
}

impl Heard {
    /// # Errors
    /// In words: what could not be read.
    pub fn parse(bytes: &Bytes) -> Result<Rc<Self>, String> {
        let message = Message::parse(bytes.clone()).map_err(|m| m.error.to_string())?;
        let mut heard = Self::default();
        match &message {
            Message::Request(request) => {
                heard.method = text(request.method().as_bytes());
                heard.uri = text(request.uri_bytes());
                heard.read_head(request)?;
            }
            Message::Response(response) => {
                heard.status = response.status();
                heard.read_head(response)?;
            }
        }
        Ok(Rc::new(heard))
    }

    /// Stands for bytes nobody can read.
    pub fn broken() -> Rc<Self> {
        Rc::new(Self { method: "???".to_owned(), broken: true, ..Self::default() })
    }

    /// Stands for a keep-alive, or for the answer to one (RFC 5626 §3.5.1).
    pub fn blank() -> Rc<Self> {
        Rc::new(Self { method: "CRLF".to_owned(), broken: true, ..Self::default() })
    }

    fn read_head(&mut self, head: &Head) -> Result<(), String> {
        let words = |e: sip_message::ParseError| e.to_string();
        let via = head.via().map_err(words)?;
        self.branch = text(via.branch.unwrap_or_default());
        self.sent_by = {
            let port = via.port.map_or(String::new(), |p| format!(":{p}"));
            format!("{}{port}", text(via.host_bytes))
        };
        self.vias = elements(head, Name::Via);
        let (from, to) = (head.from().map_err(words)?, head.to().map_err(words)?);
        (self.from, self.from_tag) = (text(from.raw()), text(from.tag().unwrap_or_default()));
        (self.to, self.to_tag) = (text(to.raw()), text(to.tag().unwrap_or_default()));
        self.call_id = text(head.call_id().map_err(words)?);
        let cseq = head.cseq().map_err(words)?;
        self.cseq = cseq.number;
        if self.status != 0 {
            self.method = text(cseq.method.as_bytes());
        }
        self.max_forwards = head.max_forwards().map_err(words)?;
        self.routes = elements(head, Name::Route);
        self.record_routes = elements(head, Name::RecordRoute);
        self.contacts = elements(head, Name::Contact)
            .iter()
            .map(|c| crate::phone::draft::bare(c).to_owned())
            .collect();
        for (name, proxy) in [(Name::WwwAuthenticate, false), (Name::ProxyAuthenticate, true)] {
            self.challenges.extend(head.headers(name).map(|v| (proxy, text(v))));
        }
        self.rseq = head.header(Name::RSeq).and_then(|v| text(v).parse().ok()).unwrap_or(0);
        self.has_body = !head.body().is_empty();
        Ok(())
    }

    pub fn is_request(&self) -> bool {
        self.status == 0
    }

    /// `INVITE`, `180 INVITE`: as printed in a ladder.
    pub fn label(&self) -> String {
        if self.is_request() {
            self.method.clone()
        } else {
            format!("{} {}", self.status, self.method)
        }
    }

    /// RFC 3261 §17.2.3: what makes two requests the same transaction; `method` is INVITE for the ACK and CANCEL
    /// that belong to one.
    pub fn transaction_key(&self, method: &str) -> String {
        let cookie = self.branch.get(..7).is_some_and(|c| c.eq_ignore_ascii_case("z9hG4bK"));
        if cookie {
            return format!("{}|{}|{method}", self.branch, self.sent_by);
        }
        let via = self.vias.first().map_or("", String::as_str);
        format!("{}|{}|{}|{via}|{method}", self.call_id, self.cseq, self.from_tag)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every element of a comma list header, over all its lines.
fn elements(head: &Head, name: Name) -> Vec<String> {
    let mut found = Vec::new();
    for line in head.headers(name) {
        let line = text(line);
        let (mut quoted, mut angle, mut start) = (false, false, 0);
        for (at, c) in line.char_indices() {
            match c {
                '"' => quoted = !quoted,
                '<' if !quoted => angle = true,
                '>' if !quoted => angle = false,
                ',' if !quoted && !angle => {
                    found.push(line[start..at].trim().to_owned());
                    start = at + 1;
                }
                _ => {}
            }
        }
        found.push(line[start..].trim().to_owned());
    }
    found
}

/// What the server sends must be beyond reproach: every known header by the grammar of RFC 3261 §25, the body exactly
/// as long as it says, and read back it is the same bytes.
///
/// # Errors
/// In words: what is wrong with it.
pub fn strict(bytes: &Bytes) -> Result<(), String> {
    let message = Message::parse(bytes.clone()).map_err(|m| m.error.to_string())?;
    match &message {
        Message::Request(request) => request.check().map(|_| ()),
        Message::Response(response) => response.check().map(|_| ()),
    }
    .map_err(|e| e.to_string())?;
    let head = message.head();
    if head.bytes() != bytes {
        return Err("bytes behind the end of the body".to_owned());
    }
    let length = head.content_length().map_err(|e| e.to_string())?;
    let body = head.body().len();
    if length.is_some_and(|l| usize::try_from(l) != Ok(body)) || (length.is_none() && body > 0) {
        return Err(format!("Content-Length {length:?} for a body of {body} bytes"));
    }
    Ok(())
}
