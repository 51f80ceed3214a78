//! `Branch`: the branch parameter of our own Via (RFC 3261 §8.1.1.7, §16.6 step 8).
//!
//! ```text
//! z9hG4bK  node slot generation fork loop-hash  MAC
//!    7      2    3       3       1       4       7   bytes, the last 20 written as 32 base-32 characters
//! ```
//!
//! A response finds its client transaction by index, and one we never sent a request for is refused without a
//! search: its MAC is wrong. Letters count the same in both cases, because a peer may change them (§7.3.1). It is
//! never compared with another branch and never searched for.

use crate::base32;
use crate::seal::{Purpose, Seal};

/// RFC 3261 §8.1.1.7: what tells a branch of RFC 3261 from an older one.
pub const COOKIE: &[u8] = b"z9hG4bK";

const PAYLOAD: usize = 13;
const MAC: usize = 7;
const ENCODED: usize = (PAYLOAD + MAC) * 8 / 5;
pub const BRANCH_LEN: usize = COOKIE.len() + ENCODED;

/// Slots of a node's client transactions are below this.
pub const SLOT_END: u32 = 1 << 24;

/// What a branch of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BranchParts {
    pub node: u16,
    /// Below [`SLOT_END`].
    pub slot: u32,
    /// Below 2^20.
    pub generation: u32,
    pub fork: u8,
    /// RFC 3261 §16.6 step 8, RFC 5393 §4.2.1: the hash of what routing depended on.
    pub loop_hash: u32,
}

/// A branch as it goes into the Via header: fixed size, no allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    bytes: [u8; BRANCH_LEN],
}

impl Branch {
    pub fn new(seal: &Seal, parts: BranchParts) -> Self {
        let [_, s0, s1, s2] = parts.slot.to_be_bytes();
        let [_, g0, g1, g2] = parts.generation.to_be_bytes();
        let [n0, n1] = parts.node.to_be_bytes();
        let [l0, l1, l2, l3] = parts.loop_hash.to_be_bytes();
        let payload = [n0, n1, s0, s1, s2, g0, g1, g2, parts.fork, l0, l1, l2, l3];
        let mut token = [0; PAYLOAD + MAC];
        token[..PAYLOAD].copy_from_slice(&payload);
        token[PAYLOAD..].copy_from_slice(&mac(seal, &payload));

        let mut bytes = [0; BRANCH_LEN];
        let (cookie, encoded) = bytes.split_at_mut(COOKIE.len());
        cookie.copy_from_slice(COOKIE);
        base32::encode(&token, encoded);
        Self { bytes }
    }

    /// What `branch` says, if we wrote it: right length, right alphabet, right MAC.
    pub fn read(seal: &Seal, branch: &[u8]) -> Option<BranchParts> {
        let (cookie, encoded) = branch.split_at_checked(COOKIE.len())?;
        if encoded.len() != ENCODED || !cookie.eq_ignore_ascii_case(COOKIE) {
            return None;
        }
        let mut token = [0; PAYLOAD + MAC];
        base32::decode(encoded, &mut token)?;
        let (payload, sealed) = token.split_at(PAYLOAD);
        let wrong = mac(seal, payload).iter().zip(sealed).fold(0, |wrong, (a, b)| wrong | (a ^ b));
        if wrong != 0 {
            return None;
        }
        let &[n0, n1, s0, s1, s2, g0, g1, g2, fork, l0, l1, l2, l3] = payload else { return None };
        Some(BranchParts {
            node: u16::from_be_bytes([n0, n1]),
            slot: u32::from_be_bytes([0, s0, s1, s2]),
            generation: u32::from_be_bytes([0, g0, g1, g2]),
            fork,
            loop_hash: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    /// The branch in the beginning of a request of ours, as an ICMP error quotes it (RFC 3261 §18.4): its first Via.
    /// Whoever has not seen the request cannot know it.
    pub fn quoted(seal: &Seal, beginning: &[u8]) -> Option<BranchParts> {
        let at = memchr::memmem::find(beginning, COOKIE)?;
        Self::read(seal, beginning.get(at..at + BRANCH_LEN)?)
    }

    pub const fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl core::fmt::Debug for Branch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(core::str::from_utf8(&self.bytes).unwrap_or("?"))
    }
}

fn mac(seal: &Seal, payload: &[u8]) -> [u8; MAC] {
    let [_, mac @ ..] = seal.mac(Purpose::Branch, &[payload]).to_be_bytes();
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: BranchParts = BranchParts {
        node: 0x1234,
        slot: SLOT_END - 1,
        generation: 0xf_fffe,
        fork: 15,
        loop_hash: 0xdead_beef,
    };

    #[test]
    fn what_is_written_is_read() {
        let seal = Seal::new([1; 16]);
        let branch = Branch::new(&seal, PARTS);
        assert_eq!(branch.as_bytes().len(), 39);
        assert_eq!(Branch::read(&seal, branch.as_bytes()), Some(PARTS));
        // RFC 3261 §25.1: only characters of a token.
        assert!(branch.as_bytes().iter().all(u8::is_ascii_alphanumeric));
    }

    #[test]
    fn a_quoted_request_is_known_by_its_first_via() {
        let seal = Seal::new([1; 16]);
        let branch = Branch::new(&seal, PARTS);
        let branch = core::str::from_utf8(branch.as_bytes()).unwrap();
        let request = format!(
            "INVITE sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\n\
             Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKcaller\r\n"
        );
        let quoted = |text: &str| Branch::quoted(&seal, text.as_bytes());
        assert_eq!(quoted(&request), Some(PARTS));
        let end = request.find(branch).unwrap() + branch.len();
        assert_eq!(quoted(&request[..end]), Some(PARTS), "no more than that was quoted");
        assert_eq!(quoted(&request[..end - 1]), None);
        assert_eq!(quoted(&request.replace(branch, "z9hG4bKforged")), None);
        assert_eq!(quoted("INVITE si"), None, "eight bytes, as RFC 792 asks for");
    }

    #[test]
    fn a_peer_may_change_the_case() {
        let seal = Seal::new([1; 16]);
        let shouted = Branch::new(&seal, PARTS).as_bytes().to_ascii_uppercase();
        assert_eq!(Branch::read(&seal, &shouted), Some(PARTS));
    }

    #[test]
    fn a_forged_branch_is_refused() {
        let seal = Seal::new([1; 16]);
        let branch = Branch::new(&seal, PARTS);
        assert_eq!(Branch::read(&Seal::new([2; 16]), branch.as_bytes()), None);
        for place in 0..BRANCH_LEN {
            let mut forged = branch.as_bytes().to_vec();
            forged[place] = if forged[place] == b'q' { b'r' } else { b'q' };
            assert_eq!(Branch::read(&seal, &forged), None, "at {place}");
            forged[place] = b'!';
            assert_eq!(Branch::read(&seal, &forged), None, "at {place}");
        }
        for end in 0..BRANCH_LEN {
            assert_eq!(Branch::read(&seal, &branch.as_bytes()[..end]), None);
        }
        assert_eq!(Branch::read(&seal, &[branch.as_bytes(), b"a"].concat()), None);
    }
}
