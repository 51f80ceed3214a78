//! Which node owns a call: a keyed hash of its Call-ID, so that an INVITE, its retransmissions, CANCEL, ACK, BYE, every
//! fork and every response meet in one place. It parses nothing; the shell peeks at the Call-ID and asks here.

use crate::seal::{Purpose, Seal};

/// The node, below `nodes`, that owns `call_id`. Keyed, so that nobody can aim a flood at one node.
pub fn owner(seal: &Seal, call_id: &[u8], nodes: usize) -> usize {
    let hash = seal.mac(Purpose::Owner, &[call_id]);
    // The remainder is below `nodes`, which is a usize.
    usize::try_from(hash % (nodes.max(1) as u64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_one_owner_and_all_nodes_are_used() {
        let seal = Seal::new([1; 16]);
        let mut seen = [false; 16];
        for call in 0..500u32 {
            let call_id = call.to_be_bytes();
            let node = owner(&seal, &call_id, 16);
            assert_eq!(node, owner(&seal, &call_id, 16));
            seen[node] = true;
        }
        assert_eq!(seen, [true; 16]);
        assert_eq!(owner(&seal, b"x", 0), 0);
    }
}
