//! What the phones of a run say: every message is pushed piece by piece from strings made once.
//! The Call-ID carries our own index, so an answer finds its call without a table. RFC 3261 §8.1.1, §10.2, §12.2, §13;
//! RFC 3428 §4.

use std::net::SocketAddr;

use crate::digest::push_hex;
use crate::load::Users;

/// Where a call or a user lives in our tables, as the Call-ID says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    pub slot: u32,
    pub generation: u32,
}

/// Call-ID: run, generation and slot as 8 hexadecimal digits each, then this.
const CALL_ID_TAIL: &[u8] = b"@load.invalid";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller = 0,
    Callee = 1,
}

pub struct Script {
    run: [u8; 8],
    users: Users,
    /// `sip:DOMAIN`
    domain_uri: Vec<u8>,
    /// `@DOMAIN>`
    at_domain: Vec<u8>,
    /// Per side: `Via: SIP/2.0/UDP HOST:PORT;rport;branch=z9hG4bK`
    vias: [Vec<u8>; 2],
    /// Per side: `@HOST:PORT>` of the Contact.
    at_hosts: [Vec<u8>; 2],
    expires: Vec<u8>,
    /// The caller's offer and the callee's answer, with their length.
    sdp: [Vec<u8>; 2],
    /// What messages are cut from.
    text: Vec<u8>,
}

/// The rest of an INVITE's head, as long as real phones make it.
const INVITE_TAIL: &[u8] = b"Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY\r\n\
    Supported: replaces, timer, 100rel, path\r\nUser-Agent: ringway-load\r\nContent-Type: application/sdp\r\n";
const WORDS: &[u8] = b"The quick brown fox jumps over the lazy dog. ";
const LAST: &[u8] = b"Max-Forwards: 70\r\nUser-Agent: ringway-load\r\nContent-Length: 0\r\n\r\n";

impl Script {
    pub fn new(run: u32, domain: &str, users: Users, sides: [SocketAddr; 2], expires: u32) -> Self {
        let mut digits = [0; 8];
        push_hex(run.into(), &mut digits);
        let via = |side| format!("Via: SIP/2.0/UDP {side};rport;branch=z9hG4bK").into_bytes();
        let at_host = |side| format!("@{side}>").into_bytes();
        let formats = "0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15";
        // Nobody listens there: without sound an SDP is only as long as a real one.
        let nowhere = SocketAddr::new(sides[0].ip(), 30_000);
        Self {
            run: digits,
            users,
            domain_uri: format!("sip:{domain}").into_bytes(),
            at_domain: format!("@{domain}>").into_bytes(),
            vias: sides.map(via),
            at_hosts: sides.map(at_host),
            expires: expires.to_string().into_bytes(),
            sdp: [nowhere; 2].map(|address| sdp(address, formats)),
            text: Vec::new(),
        }
    }

    /// For messages of up to so many bytes.
    pub fn with_text(mut self, longest: usize) -> Self {
        self.text = WORDS.iter().copied().cycle().take(longest).collect();
        self
    }

    /// Calls with sound: each side listens at its own address, for PCMU.
    pub fn with_sound(mut self, sides: [SocketAddr; 2]) -> Self {
        self.sdp = sides.map(|address| sdp(address, "0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20"));
        self
    }

    pub fn users(&self) -> &Users {
        &self.users
    }

    /// The Request-URI of a REGISTER, and what its credentials are computed over.
    pub fn domain_uri(&self) -> &[u8] {
        &self.domain_uri
    }

    /// None: not a Call-ID of this run.
    pub fn id(&self, call_id: &[u8]) -> Option<Id> {
        let hex = call_id.strip_suffix(CALL_ID_TAIL)?.strip_prefix(&self.run)?;
        let (generation, slot) = hex.split_at_checked(8)?;
        Some(Id { generation: read_hex(generation)?, slot: read_hex(slot)? })
    }

    fn push_id(&self, id: Id, out: &mut Vec<u8>) {
        let mut digits = [0; 16];
        push_hex(u64::from(id.generation) << 32 | u64::from(id.slot), &mut digits);
        out.extend_from_slice(&self.run);
        out.extend_from_slice(&digits);
    }

    /// `letter` keeps the ACK of a 2xx apart from its INVITE (RFC 3261 §13.2.2.4).
    fn push_via(&self, side: Side, id: Id, cseq: u32, letter: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.vias[side as usize]);
        self.push_id(id, out);
        out.push(letter);
        push_decimal(cseq, out);
        out.extend_from_slice(b"\r\n");
    }

    fn push_from(&self, user: u32, id: Id, out: &mut Vec<u8>) {
        out.extend_from_slice(b"From: <sip:");
        self.users.push_name(user, out);
        out.extend_from_slice(&self.at_domain);
        out.extend_from_slice(b";tag=");
        self.push_id(id, out);
        out.extend_from_slice(b"\r\n");
    }

    fn push_call_id(&self, id: Id, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Call-ID: ");
        self.push_id(id, out);
        out.extend_from_slice(CALL_ID_TAIL);
        out.extend_from_slice(b"\r\n");
    }

    fn push_contact(&self, side: Side, user: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Contact: <sip:");
        self.users.push_name(user, out);
        out.extend_from_slice(&self.at_hosts[side as usize]);
        out.extend_from_slice(b"\r\n");
    }

    pub fn register(
        &self,
        user: u32,
        id: Id,
        cseq: u32,
        remove: bool,
        authorization: &[u8],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"REGISTER ");
        out.extend_from_slice(&self.domain_uri);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.push_via(Side::Callee, id, cseq, b'r', out);
        self.push_from(user, id, out);
        out.extend_from_slice(b"To: <sip:");
        self.users.push_name(user, out);
        out.extend_from_slice(&self.at_domain);
        out.extend_from_slice(b"\r\n");
        self.push_call_id(id, out);
        push_cseq(cseq, b" REGISTER\r\n", out);
        self.push_contact(Side::Callee, user, out);
        out.extend_from_slice(b"Expires: ");
        out.extend_from_slice(if remove { b"0" } else { &self.expires });
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(authorization);
        out.extend_from_slice(LAST);
    }

    pub fn options(&self, id: Id, out: &mut Vec<u8>) {
        out.extend_from_slice(b"OPTIONS ");
        out.extend_from_slice(&self.domain_uri);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.push_via(Side::Caller, id, 1, b'o', out);
        self.push_from(0, id, out);
        out.extend_from_slice(b"To: <");
        out.extend_from_slice(&self.domain_uri);
        out.extend_from_slice(b">\r\n");
        self.push_call_id(id, out);
        push_cseq(1, b" OPTIONS\r\n", out);
        self.push_contact(Side::Caller, 0, out);
        out.extend_from_slice(b"Accept: application/sdp\r\n");
        out.extend_from_slice(LAST);
    }

    /// `sip:USER@DOMAIN` of the callee.
    pub fn push_user_uri(&self, user: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(b"sip:");
        self.users.push_name(user, out);
        out.extend_from_slice(&self.at_domain[..self.at_domain.len() - 1]);
    }

    pub fn invite(
        &self,
        caller: u32,
        callee: u32,
        id: Id,
        cseq: u32,
        authorization: &[u8],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"INVITE ");
        self.push_user_uri(callee, out);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.push_via(Side::Caller, id, cseq, b'i', out);
        out.extend_from_slice(b"Max-Forwards: 70\r\n");
        self.push_from(caller, id, out);
        out.extend_from_slice(b"To: <");
        self.push_user_uri(callee, out);
        out.extend_from_slice(b">\r\n");
        self.push_call_id(id, out);
        push_cseq(cseq, b" INVITE\r\n", out);
        self.push_contact(Side::Caller, caller, out);
        out.extend_from_slice(authorization);
        out.extend_from_slice(INVITE_TAIL);
        out.extend_from_slice(&self.sdp[Side::Caller as usize]);
    }

    /// A MESSAGE has no Contact: it makes no dialog (RFC 3428 §4).
    pub fn message(
        &self,
        [from, to]: [u32; 2],
        id: Id,
        cseq: u32,
        authorization: &[u8],
        size: usize,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"MESSAGE ");
        self.push_user_uri(to, out);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.push_via(Side::Caller, id, cseq, b'm', out);
        out.extend_from_slice(b"Max-Forwards: 70\r\n");
        self.push_from(from, id, out);
        out.extend_from_slice(b"To: <");
        self.push_user_uri(to, out);
        out.extend_from_slice(b">\r\n");
        self.push_call_id(id, out);
        push_cseq(cseq, b" MESSAGE\r\n", out);
        out.extend_from_slice(authorization);
        out.extend_from_slice(
            b"User-Agent: ringway-load\r\nContent-Type: text/plain\r\nContent-Length: ",
        );
        let text = self.text.get(..size).unwrap_or(&self.text);
        push_decimal(text.len() as u32, out);
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(text);
    }

    /// The ACK of a final answer that was not 2xx: the INVITE's own branch and Request-URI (RFC 3261 §17.1.1.3).
    pub fn ack_refusal(
        &self,
        caller: u32,
        callee: u32,
        id: Id,
        cseq: u32,
        to: &[u8],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"ACK ");
        self.push_user_uri(callee, out);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.push_via(Side::Caller, id, cseq, b'i', out);
        self.finish(caller, id, to, cseq, b" ACK\r\n", out);
    }

    /// ACK of a 2xx, or BYE: along the dialog's route set to the remote target (RFC 3261 §12.2.1.1).
    pub fn within(
        &self,
        dialog: &Dialog<'_>,
        caller: u32,
        id: Id,
        cseq: u32,
        bye: bool,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(if bye { b"BYE " } else { b"ACK " });
        out.extend_from_slice(dialog.target);
        out.extend_from_slice(b" SIP/2.0\r\n");
        self.push_via(Side::Caller, id, cseq, if bye { b'b' } else { b'a' }, out);
        out.extend_from_slice(dialog.routes);
        let method: &[u8] = if bye { b" BYE\r\n" } else { b" ACK\r\n" };
        self.finish(caller, id, dialog.to, cseq, method, out);
    }

    fn finish(&self, caller: u32, id: Id, to: &[u8], cseq: u32, method: &[u8], out: &mut Vec<u8>) {
        self.push_from(caller, id, out);
        out.extend_from_slice(b"To: ");
        out.extend_from_slice(to);
        out.extend_from_slice(b"\r\n");
        self.push_call_id(id, out);
        push_cseq(cseq, method, out);
        out.extend_from_slice(LAST);
    }

    /// The end of the callee's 180 (without a body) or 200 (with one).
    pub fn finish_answer(&self, callee: u32, with_body: bool, out: &mut Vec<u8>) {
        self.push_contact(Side::Callee, callee, out);
        if with_body {
            out.extend_from_slice(b"Content-Type: application/sdp\r\n");
            out.extend_from_slice(&self.sdp[Side::Callee as usize]);
        } else {
            out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        }
    }
}

/// An SDP for one audio stream at `address`, and before it the end of the head.
fn sdp(address: SocketAddr, formats: &str) -> Vec<u8> {
    let (host, port) = (address.ip(), address.port());
    let family = if address.is_ipv6() { "IP6" } else { "IP4" };
    let sdp = format!(
        "v=0\r\no=load 20518 0 IN {family} {host}\r\ns=-\r\nc=IN {family} {host}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}\r\na=sendrecv\r\n"
    );
    format!("Content-Length: {}\r\n\r\n{sdp}", sdp.len()).into_bytes()
}

/// What the caller learned from the 2xx.
pub struct Dialog<'a> {
    pub target: &'a [u8],
    /// Whole `Route` lines.
    pub routes: &'a [u8],
    pub to: &'a [u8],
}

fn push_cseq(cseq: u32, method: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"CSeq: ");
    push_decimal(cseq, out);
    out.extend_from_slice(method);
}

fn push_decimal(mut value: u32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        at -= 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn read_hex(digits: &[u8]) -> Option<u32> {
    let fold = |n: u32, b: &u8| Some(n << 4 | char::from(*b).to_digit(16)?);
    if digits.len() == 8 { digits.iter().try_fold(0, fold) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::scan::{Message, Start};

    fn script() -> Script {
        let sides = ["127.0.0.1:5071".parse().unwrap(), "127.0.0.1:5072".parse().unwrap()];
        Script::new(0xabcd, "example.com", Users::numbered("u", 10), sides, 3600).with_text(50)
    }

    #[test]
    fn every_message_is_read_back() {
        let script = script();
        let id = Id { slot: 77, generation: 0xffff_0001 };
        let dialog =
            Dialog { target: b"sip:a@b", routes: b"Route: <sip:p;lr>\r\n", to: b"<sip:a>;tag=1" };
        type Write<'a> = &'a dyn Fn(&mut Vec<u8>);
        let messages: [(&[u8], Write<'_>); 7] = [
            (b"REGISTER", &|out| script.register(3, id, 10, false, b"", out)),
            (b"OPTIONS", &|out| script.options(id, out)),
            (b"INVITE", &|out| script.invite(1, 2, id, 1, b"", out)),
            (b"MESSAGE", &|out| script.message([1, 2], id, 1, b"", 50, out)),
            (b"ACK", &|out| script.ack_refusal(1, 2, id, 1, b"<sip:a>;tag=1", out)),
            (b"ACK", &|out| script.within(&dialog, 1, id, 1, false, out)),
            (b"BYE", &|out| script.within(&dialog, 1, id, 2, true, out)),
        ];
        for (method, write) in messages {
            let mut out = Vec::new();
            write(&mut out);
            let message = Message::read(&out).expect("readable");
            assert_eq!((message.start, message.method), (Start::Request(method), method));
            assert_eq!(script.id(message.call_id), Some(id));
            let text = String::from_utf8(out).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").expect("an end");
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            assert!(head.lines().all(|line| line.contains(": ") || line.ends_with(" SIP/2.0")));
        }
    }

    #[test]
    fn strangers_are_not_ours() {
        let script = script();
        assert_eq!(script.id(b"0000abcd0000000100000002@load.invalid").unwrap().slot, 2);
        for other in [&b"0000abce0000000100000002@load.invalid"[..], b"", b"x@load.invalid"] {
            assert_eq!(script.id(other), None);
        }
        let mut out = Vec::new();
        for n in [0, 9, 10, 4_294_967_295] {
            push_decimal(n, &mut out);
            out.push(b' ');
        }
        assert_eq!(out, b"0 9 10 4294967295 ");
    }
}
