//! `ServerKey`: which server transaction a request belongs to (RFC 3261 §17.2.3), as a keyed 64-bit hash, so that
//! nobody outside can aim two transactions at one key. Merged requests (§8.2.2.2) are the TU's concern.

use sip_message::{Host, Method, ParseError, Request, Via};
use smallvec::SmallVec;

use super::branch::COOKIE;
use crate::seal::{Purpose, Seal};

/// INVITE has machines of its own; all other methods share theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Invite,
    NonInvite,
}

impl Kind {
    pub const fn of(method: Method<'_>) -> Self {
        if matches!(method, Method::Invite) { Self::Invite } else { Self::NonInvite }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey {
    pub(super) hash: u64,
    pub(super) kind: Kind,
    /// The sender follows RFC 2543: its branch names no transaction.
    pub(super) is_rfc2543: bool,
}

impl ServerKey {
    /// The key of the transaction that `request` makes or repeats. An ACK or a CANCEL gets the key of its INVITE.
    pub fn of(seal: &Seal, request: &Request) -> Result<Self, ParseError> {
        let via = request.via()?;
        let method = match request.method() {
            // RFC 3261 §17.2.3: "the method of the request matches the one that created the transaction, except for
            // ACK, where the method of the request that created the transaction is INVITE." CANCEL: §9.2, matched as
            // if its method were that of the request it cancels, which can only be INVITE (§9.1).
            Method::Invite | Method::Ack | Method::Cancel => Method::Invite,
            method => method,
        };
        let kind = Kind::of(method);
        let host = sent_by_host(&via);
        let port = via.port.unwrap_or(5060).to_be_bytes();
        if let Some(branch) = via.branch.filter(|branch| names_a_transaction(branch)) {
            let parts = [branch, &host, &port, method.as_bytes()];
            let hash = seal.mac(Purpose::Transaction, &parts);
            return Ok(Self { hash, kind, is_rfc2543: false });
        }
        // RFC 3261 §17.2.3, for RFC 2543 peers: "the Request-URI, To tag, From tag, Call-ID, CSeq, and top Via header
        // field". The To tag of an INVITE stays out: the ACK of its failure carries one, and is compared later.
        let to = request.to()?;
        let from = request.from()?;
        let to_tag = if kind == Kind::Invite { None } else { to.tag() };
        let parts = [
            b"rfc2543",
            request.uri_bytes(),
            to_tag.unwrap_or_default(),
            from.tag().unwrap_or_default(),
            request.call_id()?,
            &request.cseq()?.number.to_be_bytes(),
            via.branch.unwrap_or_default(),
            &host,
            &port,
            method.as_bytes(),
        ];
        let hash = seal.mac(Purpose::Transaction, &parts);
        Ok(Self { hash, kind, is_rfc2543: true })
    }
}

/// RFC 3261 §17.2.3: a branch that begins with the cookie is unique. The bare cookie promises nothing (RFC 4475
/// §3.1.2.18 has such a request), so its sender is matched as one of RFC 2543.
fn names_a_transaction(branch: &[u8]) -> bool {
    branch.len() > COOKIE.len()
        && branch.get(..COOKIE.len()).is_some_and(|start| start.eq_ignore_ascii_case(COOKIE))
}

/// The host of sent-by, so that equal hosts are equal bytes (RFC 3261 §20.42, §7.3.1: case does not count).
fn sent_by_host(via: &Via<'_>) -> SmallVec<[u8; 64]> {
    match via.host {
        Host::V4(ip) => SmallVec::from_slice(&ip.octets()),
        Host::V6(ip) => SmallVec::from_slice(&ip.octets()),
        Host::Name(name) => name.iter().map(u8::to_ascii_lowercase).collect(),
    }
}
