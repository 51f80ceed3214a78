//! The sealed Record-Route (RFC 3261 §16.6 step 4, §16.12): what makes a later request part of a dialog that went
//! through here. The token proves that we saw the dialog begin, and says when; it holds no state and hides nothing.
//! A Route without it is a stranger's, whatever else it says.

use crate::config::Listener;
use crate::flow::Transport;
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token([u8; TOKEN_LENGTH]);

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

impl Token {
    pub fn new(seal: &Seal, call_id: &[u8], caller_tag: &[u8], now: Instant) -> Self {
        let time = now.as_millis().min(TIME_MAX);
        let mac = mac(seal, call_id, caller_tag, time);
        let mut token = [0; TOKEN_LENGTH];
        hex(&time.to_be_bytes()[8 - TIME_LENGTH / 2..], &mut token[..TIME_LENGTH]);
        hex(&mac.to_be_bytes(), &mut token[TIME_LENGTH..]);
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
) -> Option<Sealed> {
    if token.len() != TOKEN_LENGTH {
        return None;
    }
    let (time, claimed) = token.split_at_checked(TIME_LENGTH)?;
    let (time, claimed) = (unhex(time)?, unhex(claimed)?);
    let sealed = |sender| Sealed { sender, begun_at: Instant::from_millis(time) };
    if same(mac(seal, call_id, from_tag, time), claimed) {
        return Some(sealed(Sender::Caller));
    }
    same(mac(seal, call_id, to_tag, time), claimed).then(|| sealed(Sender::Callee))
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

fn mac(seal: &Seal, call_id: &[u8], caller_tag: &[u8], time: u64) -> u64 {
    seal.mac(Purpose::RecordRoute, &[call_id, caller_tag, &time.to_be_bytes()])
}

/// Compares without telling by its time where the difference is.
fn same(ours: u64, claimed: u64) -> bool {
    use subtle::ConstantTimeEq as _;
    ours.ct_eq(&claimed).into()
}

/// `out` must be twice as long as `bytes`; what does not fit is left out.
pub fn hex(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

/// Up to 16 lower-case digits, as we write them; anything else is not ours.
fn unhex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        Seal::new([3; 16])
    }

    #[test]
    fn a_token_knows_its_dialog_and_who_sends() {
        let now = Instant::from_millis(1_800_000_000_789);
        let token = Token::new(&seal(), b"call", b"alice", now);
        let open = |call: &str, from: &str, to: &str| {
            super::open(&seal(), token.as_bytes(), call.as_bytes(), from.as_bytes(), to.as_bytes())
        };
        let sealed = |sender| Some(Sealed { sender, begun_at: now });
        assert_eq!(open("call", "alice", "bob"), sealed(Sender::Caller));
        assert_eq!(open("call", "bob", "alice"), sealed(Sender::Callee));
        assert_eq!(open("other", "alice", "bob"), None);
        assert_eq!(open("call", "mallory", "bob"), None);
    }

    #[test]
    fn every_changed_digit_is_noticed() {
        let token = Token::new(&seal(), b"call", b"alice", Instant::from_secs(7));
        for at in 0..TOKEN_LENGTH {
            let mut forged = token.0;
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(open(&seal(), &forged, b"call", b"alice", b"bob"), None, "digit {at}");
        }
        assert_eq!(open(&seal(), &token.0[..TOKEN_LENGTH - 1], b"call", b"alice", b"bob"), None);
        assert_eq!(open(&seal(), &token.0.to_ascii_uppercase(), b"call", b"alice", b"bob"), None);
        assert_eq!(open(&Seal::new([4; 16]), &token.0, b"call", b"alice", b"bob"), None);
    }

    #[test]
    fn the_value_names_transport_only_when_it_must() {
        let mut listener = Listener {
            transport: Transport::Udp,
            address: ([192, 0, 2, 1], 5060).into(),
            advertised: "192.0.2.1:5060".into(),
        };
        let token = Token::new(&seal(), b"call", b"alice", Instant::ZERO);
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
