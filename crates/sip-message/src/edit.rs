//! Edits of a message in memory. Each puts one line into the side buffer and points the header table at it; the
//! received bytes stay as they are. A name is written in its long form. A caller's value must be one line: a CR or LF
//! in it ends it there, so that no edit can ever inject a header.

use core::net::{IpAddr, SocketAddr};

use crate::byte;
use crate::head::{Field, Head};
use crate::header::{RECEIVED, Stamp, first_end};
use crate::name::Name;

impl Head {
    /// Replaces the first header of this name and removes the others; appends it when there is none.
    pub fn set(&mut self, name: Name, value: &[u8]) {
        let field = self.line(name, name.as_str().as_bytes(), value);
        match self.position(name) {
            Some(at) => {
                self.fields[at] = field;
                let mut index = 0;
                let before = self.fields.len();
                self.fields.retain(|f| {
                    index += 1;
                    f.name != name || index == at + 1
                });
                if self.fields.len() != before {
                    self.reindex();
                }
            }
            None => self.push(field),
        }
    }

    /// Puts a header before the first of its name, or before all others when there is none.
    pub fn prepend(&mut self, name: Name, value: &[u8]) {
        let field = self.line(name, name.as_str().as_bytes(), value);
        let at = self.position(name).unwrap_or(0);
        self.fields.insert(at, field);
        self.reindex();
    }

    /// Puts a header after all others.
    pub fn append(&mut self, name: Name, value: &[u8]) {
        let field = self.line(name, name.as_str().as_bytes(), value);
        self.push(field);
    }

    /// The same for a header that [`Name`] does not know. `text` that is not a token is refused: nothing is added.
    pub fn append_named(&mut self, text: &[u8], value: &[u8]) {
        if byte::all(text, byte::TOKEN) {
            let field = self.line(Name::of(text), text, value);
            self.push(field);
        }
    }

    /// Removes every header of this name; how many lines there were.
    pub fn remove(&mut self, name: Name) -> usize {
        if name == Name::Other {
            return 0;
        }
        let before = self.fields.len();
        self.fields.retain(|f| f.name != name);
        self.reindex();
        before - self.fields.len()
    }

    /// Removes every header with this name in any form; how many lines there were.
    pub fn remove_named(&mut self, text: &[u8]) -> usize {
        let known = Name::of(text);
        if known != Name::Other {
            return self.remove(known);
        }
        let mut at = 0;
        let before = self.fields.len();
        while let Some(field) = self.fields.get(at) {
            if field.name == Name::Other && self.name_of(field).eq_ignore_ascii_case(text) {
                self.fields.remove(at);
            } else {
                at += 1;
            }
        }
        self.reindex();
        before - self.fields.len()
    }

    /// Removes the first element of the comma list that starts with the first header of this name. `false` when there
    /// is none or it cannot be read.
    pub fn pop_first(&mut self, name: Name) -> bool {
        if name == Name::Other {
            return false;
        }
        let Some(at) = self.position(name) else { return false };
        let value = self.value_of(&self.fields[at]).0;
        let Ok(end) = first_end(name, value) else { return false };
        if end >= value.len() {
            self.fields.remove(at);
            self.reindex();
            return true;
        }
        let mut next = end + 1;
        while value.get(next).is_some_and(|&b| byte::is(b, byte::SPACE)) {
            next += 1;
        }
        self.fields[at] = self.fields[at].cut_to(next);
        true
    }

    /// Notes in the top Via where the request came from: `received` when the sent-by host is another address or the
    /// sender asked for `rport`, and then `rport` with the port (RFC 3261 §18.2.1, RFC 3581 §4). Values that the
    /// sender put there itself are replaced.
    pub fn stamp_source(&mut self, source: SocketAddr) {
        let Some(at) = self.position(Name::Via) else { return };
        let Ok(via) = self.via() else { return };
        let ip = source.ip().to_canonical();
        let asked = via.rport.is_some();
        if via.received.is_none() && !asked && via.host.ip() == Some(ip) {
            return;
        }
        let shape = via.shape();
        let mut value = Vec::with_capacity(via.raw().len() + 64);
        via.write_without_source(&mut value);
        let rport = value.len();
        if asked {
            value.extend_from_slice(b";rport=");
            byte::push_number(&mut value, u32::from(source.port()));
        }
        value.extend_from_slice(RECEIVED);
        let received = value.len();
        push_ip(&mut value, ip);
        let end = value.len();
        let stamp = Stamp { port: asked.then(|| source.port()), rport, received, end };
        let all = self.value_of(&self.fields[at]).0;
        let rest = byte::cut(all, via.raw().len(), all.len());
        value.extend_from_slice(rest);
        self.fields[at] = self.folded_line(Name::Via, &value);
        let shape = shape.and_then(|shape| shape.stamped(&stamp));
        self.via_memo.set(shape.map(|shape| (self.fields[at].value(), shape)));
    }

    fn push(&mut self, field: Field) {
        self.index.note(field.name, self.fields.len());
        self.fields.push(field);
    }

    fn line(&mut self, name: Name, text: &[u8], value: &[u8]) -> Field {
        let end = memchr::memchr2(b'\r', b'\n', value).unwrap_or(value.len());
        self.raw_line(name, text, byte::trim(byte::cut(value, 0, end)))
    }

    /// A line from text that was received and may hold folds.
    fn folded_line(&mut self, name: Name, value: &[u8]) -> Field {
        self.raw_line(name, name.as_str().as_bytes(), value)
    }

    fn raw_line(&mut self, name: Name, text: &[u8], value: &[u8]) -> Field {
        let value = byte::cut(value, 0, value.len().min(crate::limit::HEAD_BYTES_MAX));
        let start = self.edits.len();
        self.edits.reserve(text.len() + value.len() + 4);
        self.edits.extend_from_slice(text);
        self.edits.extend_from_slice(b": ");
        let at = self.edits.len();
        self.edits.extend_from_slice(value);
        let end = self.edits.len();
        self.edits.extend_from_slice(b"\r\n");
        Field::new(name, start, at, end, end + 2).in_edits()
    }
}

/// An address as `received` wants it: IPv6 without brackets (RFC 3261 §25.1, RFC 5118 §4.5).
fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            for (i, octet) in v4.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push(b'.');
                }
                byte::push_number(out, u32::from(octet));
            }
        }
        IpAddr::V6(v6) => out.extend_from_slice(v6.to_string().as_bytes()),
    }
}
