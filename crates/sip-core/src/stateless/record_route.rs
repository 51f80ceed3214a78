//! The Record-Route of a stateless proxy (RFC 3261 §16.6 step 4), if it is to stay on the path: which member of the set
//! the dialog is with, sealed. Later requests of the dialog go to that member even when the set has changed since.

use crate::config::Listener;
use crate::flow::Transport;
use crate::hex;
use crate::proxy::record_route::PARAM;
use crate::seal::{Purpose, Seal};

/// 16 digits for the member, 16 for the MAC.
const TOKEN_LENGTH: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token([u8; TOKEN_LENGTH]);

impl Token {
    /// `member`: its [`Member::key`](crate::dispatcher::hash::Member::key).
    pub fn new(seal: &Seal, call_id: &[u8], member: u64) -> Self {
        let member = member.to_be_bytes();
        let mac = mac(seal, call_id, &member);
        let mut token = [0; TOKEN_LENGTH];
        let (first, second) = token.split_at_mut(16);
        hex::write(&member, first);
        hex::write(&mac.to_be_bytes(), second);
        Self(token)
    }
}

/// The member in the token of a Route; `None` if we did not write it for this call.
pub fn open(seal: &Seal, token: &[u8], call_id: &[u8]) -> Option<u64> {
    let digits = token.get(..16).and_then(|digits| core::str::from_utf8(digits).ok())?;
    let member = u64::from_str_radix(digits, 16).ok()?;
    let right = Token::new(seal, call_id, member);
    use subtle::ConstantTimeEq as _;
    bool::from(right.0.ct_eq(token)).then_some(member)
}

/// One Record-Route value for `listener`.
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

fn mac(seal: &Seal, call_id: &[u8], member: &[u8]) -> u64 {
    seal.mac(Purpose::RecordRoute, &[b"stateless", call_id, member])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_member_and_nothing_else_does() {
        let seal = Seal::new([3; 16]);
        let token = Token::new(&seal, b"call", 77);
        assert_eq!(open(&seal, &token.0, b"call"), Some(77));
        assert_eq!(open(&seal, &token.0, b"other"), None);
        assert_eq!(open(&Seal::new([4; 16]), &token.0, b"call"), None);
        assert_eq!(open(&seal, &token.0[..31], b"call"), None);
        for at in 0..TOKEN_LENGTH {
            let mut forged = token.0;
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(open(&seal, &forged, b"call"), None, "digit {at}");
        }
        let mut plus = token.0;
        plus[0] = b'+';
        assert_eq!(open(&seal, &plus, b"call"), None);
    }
}
