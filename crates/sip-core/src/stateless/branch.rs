//! The branch of the Via that a stateless proxy adds (RFC 3261 §16.11): a function of what came, so that a repetition,
//! a CANCEL and the ACK of a failure carry the same one, and sealed, so that a response can be believed without having
//! been waited for. It says where the request came from: an answer goes there, whatever its Vias say.
//!
//! ```text
//! z9hG4bK  kind listener port address  what came  MAC
//!    7       1     2      2    4 or 16     8       8    bytes, written as base 32; IPv6 is filled up with 3
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sip_message::{Name, Request, Via};
use smallvec::SmallVec;

use crate::base32;
use crate::flow::{ConnectionId, Flow, ListenerId, Transport};
use crate::seal::{Purpose, Seal};
use crate::transaction::branch::COOKIE;

const V4: usize = 5 + 4 + 16;
const V6: usize = 5 + 16 + 16 + 3;
const TEXT_MAX: usize = COOKIE.len() + V6 / 5 * 8;

const IS_TCP: u8 = 1;
const IS_V6: u8 = 2;
/// Told from the branches of a proxy with transactions by their length, and from each other.
const TAG: &[u8] = b"stateless";

/// A branch as it goes into the Via header.
#[derive(Clone, Copy)]
pub struct Branch {
    text: [u8; TEXT_MAX],
    len: usize,
}

impl Branch {
    /// For a request that came by `flow`; `via` is its top Via.
    pub fn new(seal: &Seal, request: &Request, via: &Via<'_>, flow: &Flow) -> Self {
        let mut token: SmallVec<[u8; V6]> = SmallVec::new();
        let is_tcp = if flow.transport == Transport::Tcp { IS_TCP } else { 0 };
        let ip = flow.remote.ip().to_canonical();
        token.push(is_tcp | if ip.is_ipv6() { IS_V6 } else { 0 });
        token.extend_from_slice(&flow.listener.0.to_be_bytes());
        token.extend_from_slice(&flow.remote.port().to_be_bytes());
        match ip {
            IpAddr::V4(v4) => token.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => token.extend_from_slice(&v6.octets()),
        }
        token.extend_from_slice(&what_came(seal, request, via).to_be_bytes());
        let mac = seal.mac(Purpose::Branch, &[TAG, &token]);
        token.extend_from_slice(&mac.to_be_bytes());
        if ip.is_ipv6() {
            token.extend_from_slice(&[0; 3]);
        }
        let mut branch = Self { text: [0; TEXT_MAX], len: COOKIE.len() + token.len() / 5 * 8 };
        let (cookie, letters) = branch.text.split_at_mut(COOKIE.len());
        cookie.copy_from_slice(COOKIE);
        base32::encode(&token, letters);
        branch
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

/// RFC 3261 §16.11: the received branch stands for the request, if it is one of RFC 3261; else what §17.2.3 matches
/// older ones by.
fn what_came(seal: &Seal, request: &Request, via: &Via<'_>) -> u64 {
    match via.branch.filter(|_| via.has_cookie()) {
        Some(branch) => seal.mac(Purpose::Branch, &[branch]),
        None => {
            let tag = |name| request.header(name).unwrap_or_default();
            let cseq = request.cseq().map_or(0, |cseq| cseq.number);
            // A To tag is in the ACK of a failure and not in its INVITE, so only From is whole.
            seal.mac(
                Purpose::Branch,
                &[
                    via.raw(),
                    tag(Name::From),
                    tag(Name::CallId),
                    &cseq.to_be_bytes(),
                    request.uri_bytes(),
                ],
            )
        }
    }
}

/// Where the request came from that was sent on with this branch, if the branch is ours. The connection of a stream is
/// the one that is there now.
pub fn read(seal: &Seal, branch: &[u8]) -> Option<Flow> {
    let (cookie, text) = branch.split_at_checked(COOKIE.len())?;
    let len = text.len() / 8 * 5;
    if !matches!(len, V4 | V6) || text.len() % 8 != 0 || !cookie.eq_ignore_ascii_case(COOKIE) {
        return None;
    }
    let mut token = [0; V6];
    base32::decode(text, token.get_mut(..len)?)?;
    let sealed = if len == V4 { V4 } else { V6 - 3 };
    let (payload, mac) = token.get(..sealed)?.split_last_chunk::<8>()?;
    let right = seal.mac(Purpose::Branch, &[TAG, payload]).to_be_bytes();
    if right.iter().zip(mac).fold(0, |wrong, (a, b)| wrong | (a ^ b)) != 0 {
        return None;
    }
    let (&[kind, l0, l1, p0, p1], address) = payload.split_first_chunk::<5>()?;
    let ip: IpAddr = if kind & IS_V6 == 0 {
        Ipv4Addr::from(*address.first_chunk::<4>()?).into()
    } else {
        Ipv6Addr::from(*address.first_chunk::<16>()?).into()
    };
    let is_tcp = kind & IS_TCP != 0;
    Some(Flow {
        transport: if is_tcp { Transport::Tcp } else { Transport::Udp },
        listener: ListenerId(u16::from_be_bytes([l0, l1])),
        connection: if is_tcp { ConnectionId::OPEN } else { ConnectionId::NONE },
        remote: SocketAddr::new(ip, u16::from_be_bytes([p0, p1])),
    })
}

#[cfg(test)]
mod tests {
    use sip_message::Message;

    use super::*;

    fn request(text: &str) -> Request {
        match Message::parse(bytes::Bytes::copy_from_slice(text.as_bytes())) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn draft(method: &str, branch: &str) -> Request {
        request(&format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch={branch}\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
        ))
    }

    fn branch(request: &Request, remote: &str) -> String {
        let flow = Flow::udp(ListenerId(3), remote.parse().unwrap());
        let branch = Branch::new(&Seal::new([1; 16]), request, &request.via().unwrap(), &flow);
        String::from_utf8(branch.as_bytes().to_vec()).unwrap()
    }

    /// RFC 3261 §16.11: the CANCEL and the ACK of a failure take the way of their INVITE.
    #[test]
    fn what_belongs_together_has_one_branch() {
        for from in ["192.0.2.9:5060", "[2001:db8::9]:5060"] {
            for sent in ["z9hG4bKx", "1"] {
                let invite = branch(&draft("INVITE", sent), from);
                assert_eq!(invite, branch(&draft("INVITE", sent), from));
                assert_eq!(invite, branch(&draft("CANCEL", sent), from));
                assert_eq!(invite, branch(&draft("ACK", sent), from));
                assert_ne!(invite, branch(&draft("INVITE", "z9hG4bKy"), from));
                assert!(invite.bytes().all(|b| b.is_ascii_alphanumeric()), "{invite}");
            }
        }
        let invite = draft("INVITE", "z9hG4bKx");
        assert_ne!(branch(&invite, "192.0.2.9:5060"), branch(&invite, "192.0.2.8:5060"));
    }

    #[test]
    fn it_says_where_the_request_came_from() {
        let seal = Seal::new([1; 16]);
        for from in ["192.0.2.9:5060", "[2001:db8::9]:61000"] {
            let text = branch(&draft("INVITE", "z9hG4bKx"), from);
            let flow = Flow::udp(ListenerId(3), from.parse().unwrap());
            assert_eq!(read(&seal, text.as_bytes()), Some(flow));
            assert_eq!(read(&seal, text.to_uppercase().as_bytes()), Some(flow));
            assert_eq!(read(&Seal::new([2; 16]), text.as_bytes()), None);
        }
        let stream = Flow {
            transport: Transport::Tcp,
            listener: ListenerId(1),
            connection: ConnectionId(77),
            remote: "192.0.2.9:40000".parse().unwrap(),
        };
        let invite = draft("INVITE", "z9hG4bKx");
        let text = Branch::new(&seal, &invite, &invite.via().unwrap(), &stream);
        let back = Flow { connection: ConnectionId::OPEN, ..stream };
        assert_eq!(read(&seal, text.as_bytes()), Some(back), "the connection is looked up anew");
    }

    #[test]
    fn a_forged_branch_is_refused() {
        let seal = Seal::new([1; 16]);
        for from in ["192.0.2.9:5060", "[2001:db8::9]:5060"] {
            let text = branch(&draft("INVITE", "z9hG4bKx"), from).into_bytes();
            // The last letters of a filled-up token say nothing.
            let meant = if from.starts_with('[') { text.len() - 5 } else { text.len() };
            for place in 0..meant {
                let mut forged = text.clone();
                forged[place] = if forged[place] == b'q' { b'r' } else { b'q' };
                assert_eq!(read(&seal, &forged), None, "at {place}");
            }
            for end in 0..text.len() {
                assert_eq!(read(&seal, &text[..end]), None);
            }
        }
    }
}
