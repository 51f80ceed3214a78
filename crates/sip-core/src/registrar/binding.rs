//! `Binding`: one Contact of one user (RFC 3261 §10), packed. A hundred thousand of them are ordinary, so it keeps
//! its three texts in one allocation and its flow in 22 bytes. It decides nothing: the rules of §10.3 are in
//! `mod.rs`, the table is in `location.rs`.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use sip_message::Uri;

use crate::flow::{ConnectionId, Flow, ListenerId, Transport};
use crate::nat::detect;
use crate::nat::health::{Change, Health};
use crate::output::BindingRow;
use crate::time::{Duration, Instant};

/// RFC 3261 §20.10: the preference of a Contact, in thousandths; this one when none is written.
pub const Q_DEFAULT: u16 = 1000;

/// Longest Contact URI, Call-ID, User-Agent and Path that are kept, in bytes: the widths of the `location` table that other
/// SIP servers and their tools read. A longer Contact, Call-ID or Path is refused, a longer User-Agent is cut.
pub const CONTACT_MAX: usize = 512;
pub const CALL_ID_MAX: usize = 255;
pub const USER_AGENT_MAX: usize = 255;
pub const PATH_MAX: usize = 512;

#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// Contact, Call-ID, User-Agent and Path, one after the other. Shared, so that an undo costs no copy.
    text: Arc<str>,
    /// Of a phone behind a NAT, and of no other.
    health: Option<Box<Health>>,
    expires_at: Instant,
    connection: ConnectionId,
    address: PackedAddress,
    cseq: u32,
    /// Seconds of [`Instant`]: nobody needs the microsecond of a refresh.
    modified_at: u32,
    contact_length: u16,
    call_id_length: u16,
    path_length: u16,
    q: u16,
    listener: ListenerId,
    transport: Transport,
    /// Counts the writes to this binding, so that undoing an old write cannot undo a newer one.
    stamp: u8,
}

/// The Contact of a binding as a Request-URI: without its headers, which have no place in one (RFC 3261 §19.1.1).
/// Shares the text of the binding.
#[derive(Clone, Debug)]
pub struct ContactUri {
    text: Arc<str>,
    length: u16,
    path_length: u16,
    natted: bool,
}

impl ContactUri {
    pub fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes().get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The Route that leads there (RFC 3327 §5.3); empty: straight.
    pub fn path(&self) -> &[u8] {
        let start = self.text.len() - usize::from(self.path_length);
        self.text.as_bytes().get(start..).unwrap_or_default()
    }

    /// Whether the phone that wrote it is behind a NAT.
    pub const fn is_natted(&self) -> bool {
        self.natted
    }
}

/// A socket address in 18 bytes; IPv4 is kept in its mapped form. Scope ids are not kept: a link-local phone is
/// reached by its connection or not at all.
#[derive(Clone, Copy, Debug, PartialEq)]
struct PackedAddress {
    ip: [u8; 16],
    port: [u8; 2],
}

impl PackedAddress {
    fn new(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Self { ip: ip.octets(), port: address.port().to_be_bytes() }
    }

    fn unpack(self) -> SocketAddr {
        let ip = Ipv6Addr::from(self.ip).to_canonical();
        SocketAddr::new(ip, u16::from_be_bytes(self.port))
    }
}

/// What one REGISTER says about one Contact, checked.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    pub contact: &'a str,
    pub call_id: &'a str,
    pub user_agent: &'a str,
    pub path: &'a str,
    pub cseq: u32,
    pub q: u16,
    pub expires_at: Instant,
    pub modified_at: Instant,
    pub flow: Flow,
    /// The phone is behind a NAT.
    pub natted: bool,
}

impl Binding {
    pub fn new(draft: &Draft<'_>) -> Self {
        let contact = cut(draft.contact, CONTACT_MAX);
        let call_id = cut(draft.call_id, CALL_ID_MAX);
        let user_agent = cut(draft.user_agent, USER_AGENT_MAX);
        // A Path that is cut leads elsewhere; the registrar has refused it.
        let path = if draft.path.len() <= PATH_MAX { draft.path } else { "" };
        let length = contact.len() + call_id.len() + user_agent.len() + path.len();
        let mut text = String::with_capacity(length);
        text.push_str(contact);
        text.push_str(call_id);
        text.push_str(user_agent);
        text.push_str(path);
        Self {
            text: text.into(),
            health: draft.natted.then(|| Box::new(Health::new(contact, call_id))),
            expires_at: draft.expires_at,
            connection: draft.flow.connection,
            address: PackedAddress::new(draft.flow.remote),
            cseq: draft.cseq,
            modified_at: seconds(draft.modified_at),
            contact_length: u16::try_from(contact.len()).unwrap_or(0),
            call_id_length: u16::try_from(call_id.len()).unwrap_or(0),
            path_length: u16::try_from(path.len()).unwrap_or(0),
            q: draft.q,
            listener: draft.flow.listener,
            transport: draft.flow.transport,
            stamp: 0,
        }
    }

    /// Takes over what a newer REGISTER says. No allocation when the texts are the same, as they are for a phone that
    /// follows §10.2 and keeps its Call-ID.
    pub fn refresh(&mut self, draft: &Draft<'_>) -> Change {
        let mut change = Change::None;
        let same_texts = self.contact() == draft.contact
            && self.call_id() == draft.call_id
            && self.user_agent() == cut(draft.user_agent, USER_AGENT_MAX)
            && self.path() == draft.path;
        let stamp = self.stamp.wrapping_add(1);
        if same_texts {
            self.expires_at = draft.expires_at;
            self.connection = draft.flow.connection;
            self.address = PackedAddress::new(draft.flow.remote);
            self.cseq = draft.cseq;
            self.modified_at = seconds(draft.modified_at);
            self.q = draft.q;
            self.listener = draft.flow.listener;
            self.transport = draft.flow.transport;
            match &mut self.health {
                Some(health) if draft.natted => change = health.renewed(),
                health => {
                    let new = || Box::new(Health::new(draft.contact, draft.call_id));
                    *health = draft.natted.then(new);
                }
            }
        } else {
            *self = Self::new(draft);
        }
        self.stamp = stamp;
        change
    }

    /// Marks a write that changed nothing (a retransmission waiting for the store on its own account).
    pub(super) fn touch(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
    }

    /// The Contact URI as the phone wrote it, without angle brackets.
    pub fn contact(&self) -> &str {
        self.text.get(..usize::from(self.contact_length)).unwrap_or_default()
    }

    /// `length`: how much of the Contact comes before its headers.
    pub fn uri(&self, length: usize) -> ContactUri {
        let length = u16::try_from(length).unwrap_or(0).min(self.contact_length);
        let (path_length, natted) = (self.path_length, self.is_natted());
        ContactUri { text: Arc::clone(&self.text), length, path_length, natted }
    }

    pub fn call_id(&self) -> &str {
        let start = usize::from(self.contact_length);
        self.text.get(start..start + usize::from(self.call_id_length)).unwrap_or_default()
    }

    pub fn user_agent(&self) -> &str {
        let start = usize::from(self.contact_length) + usize::from(self.call_id_length);
        let end = self.text.len() - usize::from(self.path_length);
        self.text.get(start..end).unwrap_or_default()
    }

    /// The values of Path (RFC 3327), separated by commas; empty when it registered without a proxy that wants to stay.
    pub fn path(&self) -> &str {
        let start = self.text.len() - usize::from(self.path_length);
        self.text.get(start..).unwrap_or_default()
    }

    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// In thousandths.
    pub fn q(&self) -> u16 {
        self.q
    }

    pub fn expires_at(&self) -> Instant {
        self.expires_at
    }

    pub fn is_live(&self, now: Instant) -> bool {
        self.expires_at > now
    }

    /// Whole seconds left, rounded up: what was just granted reads back as granted.
    pub fn expires_in(&self, now: Instant) -> u64 {
        let left: Duration = self.expires_at.since(now);
        left.as_secs() + u64::from(left.subsec_nanos() > 0)
    }

    /// Where the REGISTER came from.
    pub fn flow(&self) -> Flow {
        Flow {
            transport: self.transport,
            listener: self.listener,
            connection: self.connection,
            remote: self.address.unpack(),
        }
    }

    /// Whether the phone is behind a NAT: the way its REGISTER came is the only one to it.
    pub const fn is_natted(&self) -> bool {
        self.health.is_some()
    }

    /// Behind a NAT, and it no longer answers.
    pub fn is_silent(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.is_silent())
    }

    pub fn health(&self) -> Option<&Health> {
        self.health.as_deref()
    }

    pub fn health_mut(&mut self) -> Option<&mut Health> {
        self.health.as_deref_mut()
    }

    /// Whether `other` is this very write of this binding, whatever has been learned about its way since.
    pub(super) fn is_same_write(&self, other: &Self) -> bool {
        let plain = |binding: &Self| Self { health: None, ..binding.clone() };
        plain(self) == plain(other)
    }

    pub fn row(&self, aor: &str) -> BindingRow {
        BindingRow {
            aor: aor.into(),
            contact: self.contact().into(),
            call_id: self.call_id().into(),
            cseq: self.cseq,
            q: self.q,
            expires_at: self.expires_at,
            modified_at: Instant::from_secs(self.modified_at.into()),
            flow: self.flow(),
            user_agent: self.user_agent().into(),
            path: self.path().into(),
        }
    }

    /// `expires_at` instead of the row's own: it may have to be bounded.
    pub fn from_row(row: &BindingRow, expires_at: Instant) -> Self {
        Self::new(&Draft {
            contact: &row.contact,
            call_id: &row.call_id,
            user_agent: &row.user_agent,
            path: &row.path,
            cseq: row.cseq,
            q: row.q,
            expires_at,
            modified_at: row.modified_at,
            flow: row.flow,
            natted: row.path.is_empty()
                && Uri::parse(row.contact.as_bytes())
                    .is_ok_and(|contact| detect::stored(&contact, &row.flow)),
        })
    }
}

fn seconds(at: Instant) -> u32 {
    u32::try_from(at.as_secs()).unwrap_or(u32::MAX)
}

/// The first `max` bytes of `text` or a few fewer, so as not to cut a character in two.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft<'static> {
        Draft {
            contact: "sip:a@192.0.2.7",
            call_id: "c1",
            user_agent: "phone",
            path: "<sip:edge.example.com;lr>",
            cseq: 3,
            q: 500,
            expires_at: Instant::from_secs(100),
            modified_at: Instant::from_secs(40),
            flow: Flow {
                transport: Transport::Tcp,
                listener: ListenerId(2),
                connection: ConnectionId(9),
                remote: "[2001:db8::7]:5062".parse().unwrap(),
            },
            natted: true,
        }
    }

    #[test]
    fn packs_into_88_bytes() {
        assert!(size_of::<Binding>() <= 88, "{}", size_of::<Binding>());
    }

    #[test]
    fn what_goes_in_comes_out() {
        let row = Binding::new(&draft()).row("a@example.com");
        assert_eq!(Binding::from_row(&row, row.expires_at).row("a@example.com"), row);
        assert_eq!(
            (&*row.contact, &*row.call_id, &*row.user_agent),
            ("sip:a@192.0.2.7", "c1", "phone")
        );
        assert_eq!(row.flow, draft().flow);
        let v4 = Flow::udp(ListenerId(0), "192.0.2.7:5060".parse().unwrap());
        assert_eq!(Binding::new(&Draft { flow: v4, ..draft() }).flow(), v4);
    }

    #[test]
    fn refresh_is_the_same_as_new() {
        let newer = Draft { cseq: 4, expires_at: Instant::from_secs(200), q: 1, ..draft() };
        let mut binding = Binding::new(&draft());
        let texts = Arc::as_ptr(&binding.text);
        binding.refresh(&newer);
        assert_eq!(binding.row("a"), Binding::new(&newer).row("a"));
        assert_eq!(Arc::as_ptr(&binding.text), texts, "same texts: no new allocation");
        let other = Draft { call_id: "c2", ..newer };
        binding.refresh(&other);
        assert_eq!(binding.row("a"), Binding::new(&other).row("a"));
    }

    #[test]
    fn what_was_learned_outlives_a_refresh_and_not_a_new_call_id() {
        let mut binding = Binding::new(&draft());
        let key = binding.health().unwrap().key();
        let answered = |binding: &mut Binding| {
            binding.health_mut().unwrap().answered(Instant::from_secs(41), Instant::from_secs(40))
        };
        answered(&mut binding);
        let before = binding.clone();
        assert!(binding.is_same_write(&before));
        answered(&mut binding);
        assert!(binding != before && binding.is_same_write(&before));
        binding.refresh(&Draft { cseq: 4, ..draft() });
        assert!(!binding.is_same_write(&before));
        assert_eq!(binding.health().unwrap().report().answered, 2);
        binding.refresh(&Draft { cseq: 5, natted: false, ..draft() });
        assert!(!binding.is_natted() && !binding.uri(3).is_natted());
        binding.refresh(&Draft { cseq: 6, call_id: "c2", ..draft() });
        assert!(binding.is_natted() && binding.uri(3).is_natted());
        assert_ne!(binding.health().unwrap().key(), key);
    }

    #[test]
    fn seconds_left_round_up() {
        let binding = Binding::new(&draft());
        assert_eq!(binding.expires_in(Instant::from_secs(90)), 10);
        assert_eq!(binding.expires_in(Instant(90_000_001)), 10);
        assert_eq!(binding.expires_in(Instant(99_999_999)), 1);
        assert!(binding.is_live(Instant(99_999_999)) && !binding.is_live(Instant::from_secs(100)));
    }

    #[test]
    fn long_user_agents_are_cut_between_characters() {
        let long = "\u{e9}".repeat(200);
        let binding = Binding::new(&Draft { user_agent: &long, ..draft() });
        assert_eq!(binding.user_agent().len(), 254);
        let mut same = binding.clone();
        same.refresh(&Draft { user_agent: &long, ..draft() });
        assert!(Arc::ptr_eq(&same.text, &binding.text));
    }
}
