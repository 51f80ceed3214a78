//! The sealed Record-Route (RFC 3261 §16.6 step 4, §16.12): what makes a later request part of a dialog that went
//! through here. The token proves that we saw the dialog begin, and says when; of a side that is behind a NAT it says too
//! by which flow it was reached (RFC 5626 §5.2). It holds no state and hides nothing.
//! A Route without it is a stranger's, whatever else it says.
//!
//! ```text
//! TIME MAC [. flow of the caller] [~ flow of the callee]
//! flow: u or t, listener, address, port
//! ```

use core::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use crate::config::Listener;
use crate::flow::{ConnectionId, Flow, ListenerId, Transport};
use crate::hex;
use crate::seal::{Purpose, Seal};
use crate::time::Instant;

/// The URI parameter that carries the token.
pub const PARAM: &str = "rw";

/// Hex digits: milliseconds of [`Instant`] when the INVITE arrived. To the second would be too coarse for the length of a
/// call, which is told from them.
const TIME_LENGTH: usize = 12;
/// 16 more: the MAC.
const TOKEN_LENGTH: usize = TIME_LENGTH + 16;
/// The largest time that fits, some 8,900 years on.
const TIME_MAX: u64 = (1 << (4 * TIME_LENGTH)) - 1;

/// What goes before the flow of each side.
const CALLER: u8 = b'.';
const CALLEE: u8 = b'~';

/// Hex digits of a flow behind its first letter: an IPv4 or an IPv6 address between listener and port.
const LISTENER_LENGTH: usize = 4;
const PORT_LENGTH: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(SmallVec<[u8; 64]>);

/// How those are reached that are behind a NAT. A connection is named by its far end: its number means nothing after a
/// restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    pub caller: Option<Flow>,
    pub callee: Option<Flow>,
}

/// Who sends a request inside a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Caller,
    Callee,
}

/// What a token that is ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    pub sender: Sender,
    /// To the millisecond.
    pub begun_at: Instant,
}

/// The same, and the way to the other side if it is behind a NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub sealed: Sealed,
    pub peer: Option<Flow>,
}

impl Token {
    pub fn new(seal: &Seal, call_id: &[u8], caller_tag: &[u8], now: Instant, ways: &Ways) -> Self {
        let time = now.as_millis().min(TIME_MAX);
        let mut token = SmallVec::from_elem(b'0', TOKEN_LENGTH);
        for (mark, flow) in [(CALLER, &ways.caller), (CALLEE, &ways.callee)] {
            if let Some(flow) = flow {
                push_flow(mark, flow, &mut token);
            }
        }
        let (fixed, ways) = token.split_at_mut(TOKEN_LENGTH);
        let mac = mac(seal, call_id, caller_tag, time, ways);
        hex::write(&time.to_be_bytes()[8 - TIME_LENGTH / 2..], &mut fixed[..TIME_LENGTH]);
        hex::write(&mac.to_be_bytes(), &mut fixed[TIME_LENGTH..]);
        Self(token)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Opens the token of a Route in a request with these tags. The caller's tag is in From when the caller sends, in To
/// when the callee does; with neither it belongs to another dialog, or to nobody.
pub fn open(
    seal: &Seal,
    token: &[u8],
    call_id: &[u8],
    from_tag: &[u8],
    to_tag: &[u8],
) -> Option<Opened> {
    let (fixed, ways) = token.split_at_checked(TOKEN_LENGTH)?;
    let (time, claimed) = fixed.split_at_checked(TIME_LENGTH)?;
    let (time, claimed) = (hex::read(time)?, hex::read(claimed)?);
    let is_by = |tag| same(mac(seal, call_id, tag, time, ways), claimed);
    let sender = if is_by(from_tag) {
        Sender::Caller
    } else if is_by(to_tag) {
        Sender::Callee
    } else {
        return None;
    };
    let mark = if sender == Sender::Caller { CALLEE } else { CALLER };
    let sealed = Sealed { sender, begun_at: Instant::from_millis(time) };
    Some(Opened { sealed, peer: flow_behind(mark, ways) })
}

fn push_flow(mark: u8, flow: &Flow, out: &mut SmallVec<[u8; 64]>) {
    let letter = match flow.transport {
        Transport::Udp => b'u',
        Transport::Tcp => b't',
    };
    out.extend([mark, letter]);
    let mut push = |bytes: &[u8]| {
        let start = out.len();
        out.resize(start + 2 * bytes.len(), b'0');
        hex::write(bytes, out.get_mut(start..).unwrap_or_default());
    };
    push(&flow.listener.0.to_be_bytes());
    match flow.remote.ip().to_canonical() {
        IpAddr::V4(v4) => push(&v4.octets()),
        IpAddr::V6(v6) => push(&v6.octets()),
    }
    push(&flow.remote.port().to_be_bytes());
}

/// The flow with this mark before it, in what the seal has proven to be ours.
fn flow_behind(mark: u8, ways: &[u8]) -> Option<Flow> {
    let at = ways.iter().position(|byte| *byte == mark)?;
    let rest = ways.get(at + 1..)?;
    let end = rest.iter().position(|byte| matches!(*byte, CALLER | CALLEE)).unwrap_or(rest.len());
    let (letter, text) = rest.get(..end)?.split_first()?;
    let transport = match letter {
        b'u' => Transport::Udp,
        b't' => Transport::Tcp,
        _ => return None,
    };
    let (listener, rest) = text.split_at_checked(LISTENER_LENGTH)?;
    let (address, port) = rest.split_at_checked(rest.len().checked_sub(PORT_LENGTH)?)?;
    let (mut v4, mut v6) = ([0; 4], [0; 16]);
    let ip: IpAddr = match hex::read_bytes(address, &mut v4) {
        Some(()) => v4.into(),
        None => hex::read_bytes(address, &mut v6).map(|()| v6.into())?,
    };
    let number = |digits| hex::read(digits).and_then(|number| u16::try_from(number).ok());
    Some(Flow {
        transport,
        listener: ListenerId(number(listener)?),
        connection: ConnectionId::NONE,
        remote: SocketAddr::new(ip, number(port)?),
    })
}

/// One Record-Route value for `listener`: `<sip:HOST:PORT;lr;rw=TOKEN>`.
pub fn write(listener: &Listener, token: &Token, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<sip:");
    out.extend_from_slice(listener.advertised.as_bytes());
    if listener.transport != Transport::Udp {
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(listener.transport.uri_token().as_bytes());
    }
    out.extend_from_slice(b";lr;");
    out.extend_from_slice(PARAM.as_bytes());
    out.push(b'=');
    out.extend_from_slice(&token.0);
    out.push(b'>');
}

fn mac(seal: &Seal, call_id: &[u8], caller_tag: &[u8], time: u64, ways: &[u8]) -> u64 {
    let time = time.to_be_bytes();
    let parts = [call_id, caller_tag, &time, ways];
    // Without ways as it always was: dialogs outlive an upgrade.
    let parts = if ways.is_empty() { parts.get(..3).unwrap_or_default() } else { &parts[..] };
    seal.mac(Purpose::RecordRoute, parts)
}

/// Compares without telling by its time where the difference is.
fn same(ours: u64, claimed: u64) -> bool {
    use subtle::ConstantTimeEq as _;
    ours.ct_eq(&claimed).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        Seal::new([3; 16])
    }

    fn token(now: Instant, ways: &Ways) -> Token {
        Token::new(&seal(), b"call", b"alice", now, ways)
    }

    #[test]
    fn a_token_knows_its_dialog_and_who_sends() {
        let now = Instant::from_millis(1_800_000_000_789);
        let token = token(now, &Ways::default());
        assert_eq!(token.as_bytes().len(), TOKEN_LENGTH);
        let open = |call: &str, from: &str, to: &str| {
            super::open(&seal(), token.as_bytes(), call.as_bytes(), from.as_bytes(), to.as_bytes())
        };
        let opened = |sender| Some(Opened { sealed: Sealed { sender, begun_at: now }, peer: None });
        assert_eq!(open("call", "alice", "bob"), opened(Sender::Caller));
        assert_eq!(open("call", "bob", "alice"), opened(Sender::Callee));
        assert_eq!(open("other", "alice", "bob"), None);
        assert_eq!(open("call", "mallory", "bob"), None);
    }

    fn flow(transport: Transport, listener: u16, remote: &str) -> Flow {
        let (listener, connection) = (ListenerId(listener), ConnectionId::NONE);
        Flow { transport, listener, connection, remote: remote.parse().unwrap() }
    }

    fn both() -> Ways {
        Ways {
            caller: Some(flow(Transport::Udp, 2, "198.51.100.7:61000")),
            callee: Some(flow(Transport::Tcp, 513, "[2001:db8::7]:5060")),
        }
    }

    /// RFC 5626 §5.2: each side is told the way to the other and not its own.
    #[test]
    fn a_token_knows_the_way_to_the_other_side() {
        let Ways { caller, callee } = both();
        for ways in [
            Ways { caller, callee: None },
            Ways { caller: None, callee },
            Ways { caller, callee },
            Ways { caller: callee, callee: caller },
        ] {
            let token = token(Instant::from_secs(9), &ways);
            let to = |from: &[u8], to: &[u8]| {
                super::open(&seal(), token.as_bytes(), b"call", from, to).unwrap().peer
            };
            assert_eq!(to(b"alice", b"bob"), ways.callee);
            assert_eq!(to(b"bob", b"alice"), ways.caller);
        }
        let numbered = Flow { connection: ConnectionId(9), ..callee.unwrap() };
        let named = token(Instant::ZERO, &Ways { caller: Some(numbered), callee: None });
        let without = token(Instant::ZERO, &Ways { caller: callee, callee: None });
        assert_eq!(named, without, "the number of a connection means nothing later");
    }

    #[test]
    fn every_changed_digit_is_noticed() {
        for ways in [Ways::default(), both()] {
            let token = token(Instant::from_secs(7), &ways);
            let text = token.as_bytes();
            let opened = |text: &[u8]| open(&seal(), text, b"call", b"alice", b"bob");
            assert!(opened(text).is_some());
            for at in 0..text.len() {
                let mut forged = text.to_vec();
                forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
                assert_eq!(opened(&forged), None, "digit {at}");
                assert_eq!(opened(&text[..at]), None, "cut at {at}");
            }
            assert_eq!(opened(&text.to_ascii_uppercase()), None);
            assert_eq!(opened(&[text, b".u0000c633640713c4"].concat()), None);
            assert_eq!(open(&Seal::new([4; 16]), text, b"call", b"alice", b"bob"), None);
        }
    }

    #[test]
    fn the_value_names_transport_only_when_it_must() {
        let mut listener = Listener {
            transport: Transport::Udp,
            address: ([192, 0, 2, 1], 5060).into(),
            advertised: "192.0.2.1:5060".into(),
        };
        let token = token(Instant::ZERO, &Ways::default());
        let written = |listener: &Listener| {
            let mut out = Vec::new();
            write(listener, &token, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert!(written(&listener).starts_with("<sip:192.0.2.1:5060;lr;rw=000000000000"));
        listener.transport = Transport::Tcp;
        assert!(written(&listener).starts_with("<sip:192.0.2.1:5060;transport=tcp;lr;rw="));
    }
}
