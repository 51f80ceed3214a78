//! What the configuration means to the core: typed, checked, no `Option` left to guess. It never reads a file;
//! the shell builds it.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::ops::Deref;
use std::sync::Arc;

use sip_message::{Scheme, Uri};
use smallvec::SmallVec;

use crate::dispatcher::Dispatcher;
use crate::flow::{ConnectionId, Flow, ListenerId, Transport};
use crate::time::Duration;

/// An address of record in canonical form (RFC 3261 §10.3 step 5): `user@domain`, user unescaped and case kept,
/// domain lower case, no scheme, no port, no parameters.
pub type Aor = Box<str>;

/// An [`Aor`] made for one look-up: on the stack for all but absurd names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AorBuf(SmallVec<[u8; 64]>);

impl Deref for AorBuf {
    type Target = str;
    fn deref(&self) -> &str {
        // Checked when it was built; checking again is cheaper than a second representation.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<&str> for AorBuf {
    /// From one that is canonical already.
    fn from(aor: &str) -> Self {
        Self(SmallVec::from_slice(aor.as_bytes()))
    }
}

#[derive(Clone, Debug)]
pub struct Config {
    pub listeners: Vec<Listener>,
    pub domains: Domains,
    pub registrar: Registrar,
    pub auth: Auth,
    pub limits: Limits,
    pub forking: Forking,
    /// Served domains for which this is a redirect server.
    pub redirect_domains: Vec<Box<str>>,
    pub nat: Nat,
    /// Foreign callers may call local users (`sip.allow_inbound`).
    pub allow_inbound: bool,
    /// Local users may call domains we do not serve (`sip.allow_outbound`).
    pub allow_outbound: bool,
    /// Bindings live in a store: a 200 to REGISTER waits for `Answer::Stored`.
    pub durable: bool,
    pub dns: Dns,
    pub timers: Timers,
    /// Gateways, and the routes that lead to them.
    pub dispatcher: Arc<Dispatcher>,
}

/// What the operator decides about the DNS (`[dns]`).
#[derive(Clone, Copy, Debug)]
pub struct Dns {
    /// All queries together that stand between a request and one more destination.
    pub patience: Duration,
    /// A name may lead to this machine or to its own link: for laboratories. Otherwise a name is a stranger's way to
    /// make us talk to services that trust whoever is here.
    pub allow_local: bool,
}

impl Default for Dns {
    fn default() -> Self {
        Self { patience: Duration::from_secs(5), allow_local: false }
    }
}

/// One of our addresses. Its place in `Config::listeners` is its `ListenerId`.
#[derive(Clone, Debug)]
pub struct Listener {
    pub transport: Transport,
    /// A concrete address: the shell has expanded wildcards.
    pub address: SocketAddr,
    /// `host:port` as we write it into Via and Record-Route.
    pub advertised: Box<str>,
}

/// The domains we serve. The first is the default one: our own addresses are other names for it.
#[derive(Clone, Debug, Default)]
pub struct Domains {
    /// Canonical names, lower case. Each is a realm of its own.
    pub served: Vec<Box<str>>,
    /// Other spellings (own addresses, host name), lower case, with the index into `served`.
    pub aliases: Vec<(Box<str>, usize)>,
}

impl Domains {
    /// The canonical name of `host` if we serve it. IPv6 references come with their brackets.
    pub fn canonical(&self, host: &[u8]) -> Option<&str> {
        // Nearly always it is written as we write it, and comparing without case is ten times dearer.
        if let Some(name) = self.served.iter().find(|n| n.as_bytes() == host) {
            return Some(name);
        }
        let is = |name: &str| name.as_bytes().eq_ignore_ascii_case(host);
        if let Some(name) = self.served.iter().find(|name| is(name)) {
            return Some(name);
        }
        let alias = self.aliases.iter().find(|(name, _)| is(name));
        // An IPv6 address has many spellings.
        let alias = alias.or_else(|| {
            let asked = ipv6(host)?;
            self.aliases.iter().find(|(name, _)| ipv6(name.as_bytes()) == Some(asked))
        });
        self.served.get(alias?.1).map(|n| &**n)
    }

    /// The address of record a SIP or SIPS URI names, if it is one of ours. See [`aor_from`](Self::aor_from).
    pub fn aor(&self, uri: &Uri<'_>) -> Option<AorBuf> {
        match uri.scheme {
            Scheme::Sip | Scheme::Sips => self.aor_from(uri.user?, uri.host_bytes),
            Scheme::Tel | Scheme::Other => None,
        }
    }

    /// The address of record `user@host` names, if `host` is ours (RFC 3261 §10.3 step 5): escapes of the user part
    /// undone, so that `%61lice` and `alice` are one user (§19.1.4). `None` for a foreign host, an empty user, a broken
    /// escape, bytes that are no UTF-8, and control characters: none of these is anybody here.
    pub fn aor_from(&self, user: &[u8], host: &[u8]) -> Option<AorBuf> {
        let domain = self.canonical(host)?;
        if user.is_empty() {
            return None;
        }
        let mut aor = SmallVec::<[u8; 64]>::new();
        let (plain, mut rest) =
            user.split_at(user.iter().position(|b| *b == b'%').unwrap_or(user.len()));
        aor.extend_from_slice(plain);
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            if byte != b'%' {
                aor.push(byte);
                continue;
            }
            let (digits, tail) = rest.split_at_checked(2)?;
            let text = core::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
            aor.push(u8::from_str_radix(text, 16).ok()?);
            rest = tail;
        }
        if aor.iter().any(u8::is_ascii_control) {
            return None;
        }
        aor.push(b'@');
        aor.extend_from_slice(domain.as_bytes());
        core::str::from_utf8(&aor).ok()?;
        Some(AorBuf(aor))
    }
}

/// The address in an IPv6 reference.
fn ipv6(host: &[u8]) -> Option<Ipv6Addr> {
    let inner = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    core::str::from_utf8(inner).ok()?.parse().ok()
}

#[derive(Clone, Debug)]
pub struct Registrar {
    pub expires_min: Duration,
    pub expires_max: Duration,
    pub expires_default: Duration,
    pub contacts_per_user: usize,
}

impl Default for Registrar {
    fn default() -> Self {
        Self {
            expires_min: Duration::from_secs(60),
            expires_max: Duration::from_secs(7200),
            expires_default: Duration::from_secs(3600),
            contacts_per_user: 10,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Md5,
}

#[derive(Clone, Debug)]
pub struct Auth {
    /// False only in laboratories: everybody is believed.
    pub enabled: bool,
    /// Offered in this order, strongest first (RFC 8760 §2.4).
    pub algorithms: Vec<Algorithm>,
    pub nonce_lifetime: Duration,
    pub ban: Ban,
}

/// Who guesses passwords is kept out for a while (`auth.ban`).
#[derive(Clone, Debug)]
pub struct Ban {
    /// So many wrong answers; 0 bans nobody.
    pub after: u32,
    pub within: Duration,
    pub lasts: Duration,
    /// Networks that are never banned for it.
    pub never: Vec<Network>,
}

impl Default for Ban {
    fn default() -> Self {
        Self {
            after: 20,
            within: Duration::from_secs(60),
            lasts: Duration::from_secs(3600),
            never: Vec::new(),
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            enabled: true,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_lifetime: Duration::from_secs(300),
            ban: Ban::default(),
        }
    }
}

/// How a request is forked (RFC 3261 §16.6).
#[derive(Clone, Debug)]
pub struct Forking {
    /// How long contacts of one q value ring before those of the next are tried.
    pub timeout: Duration,
    /// Redirections to users of ours are followed (RFC 3261 §16.7 step 4); otherwise all are the caller's.
    pub recurse: bool,
}

impl Default for Forking {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(20), recurse: false }
    }
}

/// Phones behind NATs.
#[derive(Clone, Debug)]
pub struct Nat {
    /// How often those that use UDP are pinged; zero: never.
    pub keepalive: Duration,
    /// The longest a binding of one of those is granted.
    pub expires_max: Duration,
    /// In-dialog requests find their way by a parameter of the Contact as well.
    pub contact_alias: bool,
}

impl Default for Nat {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(25),
            expires_max: Duration::from_secs(120),
            contact_alias: false,
        }
    }
}

/// Operator-set limits; the fixed ones are in `limits.rs`.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Networks exempt from per-source limits.
    pub trusted: Vec<Network>,
    /// Those of gateways are, too; a route that asks for trusted sources does not mean them.
    pub peers: Vec<Network>,
    pub per_source: SourceRate,
}

/// What a source may ask that has not proven that it receives our answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRate {
    /// At least 1.
    pub per_second: u32,
    /// So many at once, at least 1.
    pub burst: u32,
}

impl Default for SourceRate {
    fn default() -> Self {
        Self { per_second: 20, burst: 60 }
    }
}

impl Limits {
    pub fn trusts(&self, ip: IpAddr) -> bool {
        self.trusted.iter().chain(&self.peers).any(|network| network.contains(ip))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    pub address: IpAddr,
    pub prefix: u8,
}

/// Not an address, or a prefix that is no prefix of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANetwork;

impl core::str::FromStr for Network {
    type Err = NotANetwork;

    /// `192.0.2.7`, `198.51.100.0/24`, `2001:db8::/32`. What the prefix leaves out is taken away.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(width), |digits| digits.parse().map_err(|_| NotANetwork))?;
        let outside = u32::from(width).checked_sub(u32::from(prefix)).ok_or(NotANetwork)?;
        let address = match address {
            IpAddr::V4(v4) => {
                let bits = u32::from(v4).checked_shr(outside).unwrap_or(0);
                IpAddr::V4(bits.checked_shl(outside).unwrap_or(0).into())
            }
            IpAddr::V6(v6) => {
                let bits = u128::from(v6).checked_shr(outside).unwrap_or(0);
                IpAddr::V6(bits.checked_shl(outside).unwrap_or(0).into())
            }
        };
        Ok(Self { address, prefix })
    }
}

impl core::fmt::Display for Network {
    /// `192.0.2.7`, `198.51.100.0/24`: a single address without its prefix.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let width = if self.address.is_ipv4() { 32 } else { 128 };
        match self.prefix {
            prefix if prefix >= width => write!(f, "{}", self.address),
            prefix => write!(f, "{}/{prefix}", self.address),
        }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }
}

impl Network {
    /// The address, if it is only one.
    pub fn single(&self) -> Option<IpAddr> {
        (*self == self.address.into()).then(|| self.address.to_canonical())
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        fn shared(a: u128, b: u128, width: u32, prefix: u8) -> bool {
            let prefix = u32::from(prefix).min(width);
            prefix == 0 || (a ^ b) >> (width - prefix) == 0
        }
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                shared(u32::from(a).into(), u32::from(b).into(), 32, self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => shared(a.into(), b.into(), 128, self.prefix),
            _ => false,
        }
    }
}

/// RFC 3261 Table 4. Everything else follows from these.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    pub t1: Duration,
    pub t2: Duration,
    pub t4: Duration,
    /// Proxy INVITE timeout, more than 3 minutes (RFC 3261 §16.6 step 11).
    pub timer_c: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            timer_c: Duration::from_secs(181),
        }
    }
}

impl Config {
    pub fn listener(&self, id: ListenerId) -> Option<&Listener> {
        self.listeners.get(usize::from(id.0))
    }

    pub fn has_transport(&self, transport: Transport) -> bool {
        self.listeners.iter().any(|l| l.transport == transport)
    }

    pub fn has_family(&self, transport: Transport, is_ipv4: bool) -> bool {
        let fits = |l: &Listener| l.transport == transport && l.address.is_ipv4() == is_ipv4;
        self.listeners.iter().any(fits)
    }

    /// Whether what is sent there comes back to us: a listener of ours, or one of our ports at an address that only others
    /// see.
    pub fn is_own(&self, address: SocketAddr) -> bool {
        let ip = address.ip();
        if self.listeners.iter().any(|l| l.address.ip() == ip) {
            return self.listeners.iter().any(|l| l.address == address);
        }
        let mut spelled = ip.to_string();
        if ip.is_ipv6() {
            spelled = format!("[{spelled}]");
        }
        let port = |l: &Listener| l.address.port() == address.port();
        self.domains.canonical(spelled.as_bytes()).is_some() && self.listeners.iter().any(port)
    }

    /// A flow to somewhere we have no connection to, if any listener of ours can reach it.
    pub fn flow_to(&self, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        let listener = self.listener_for(transport, remote)?;
        Some(Flow { transport, listener, connection: ConnectionId::NONE, remote })
    }

    /// The same flow by a listener we have: its own, which a NAT lets through; after a restart there may be others.
    pub fn usable(&self, flow: Flow) -> Option<Flow> {
        let fits = |listener: &&Listener| {
            listener.transport == flow.transport
                && listener.address.is_ipv4() == flow.remote.is_ipv4()
        };
        if self.listener(flow.listener).filter(fits).is_some() {
            return Some(flow);
        }
        let listener = self.listener_for(flow.transport, flow.remote)?;
        Some(Flow { listener, ..flow })
    }

    /// The listener to reach `remote` from: same transport and address family, the first one.
    pub fn listener_for(&self, transport: Transport, remote: SocketAddr) -> Option<ListenerId> {
        let fits =
            |l: &Listener| l.transport == transport && l.address.is_ipv4() == remote.is_ipv4();
        let index = self.listeners.iter().position(fits)?;
        u16::try_from(index).ok().map(ListenerId)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Serves example.com and example.net on 192.0.2.1 (UDP 5060 and 5070, TCP 5060) and [2001:db8::1]:5060.
    pub(crate) fn config() -> Config {
        let listener = |transport, address: &str| Listener {
            transport,
            address: address.parse().unwrap(),
            advertised: address.into(),
        };
        Config {
            listeners: vec![
                listener(Transport::Udp, "192.0.2.1:5060"),
                listener(Transport::Tcp, "192.0.2.1:5060"),
                listener(Transport::Udp, "192.0.2.1:5070"),
                listener(Transport::Udp, "[2001:db8::1]:5060"),
            ],
            domains: Domains {
                served: vec!["example.com".into(), "example.net".into()],
                aliases: vec![("192.0.2.1".into(), 0), ("[2001:db8::1]".into(), 0)],
            },
            registrar: Registrar::default(),
            auth: Auth::default(),
            limits: Limits::default(),
            forking: Forking::default(),
            redirect_domains: Vec::new(),
            nat: Nat::default(),
            allow_inbound: false,
            allow_outbound: false,
            durable: false,
            dns: Dns::default(),
            timers: Timers::default(),
            dispatcher: Arc::default(),
        }
    }

    #[test]
    fn network_prefixes() {
        let ten = Network { address: [10, 0, 0, 0].into(), prefix: 8 };
        assert!(ten.contains([10, 9, 9, 9].into()));
        assert!(ten.contains("::ffff:10.1.1.1".parse().unwrap()));
        assert!(!ten.contains([11, 0, 0, 0].into()));
        assert!(
            Network { address: "::".parse().unwrap(), prefix: 0 }
                .contains("2001:db8::1".parse().unwrap())
        );
    }

    #[test]
    fn networks_are_read_and_written() {
        for (text, same) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("1.2.3.4/0", "0.0.0.0/0"),
            ("2001:db8:1::7/32", "2001:db8::/32"),
            ("2001:db8::7", "2001:db8::7"),
        ] {
            assert_eq!(text.parse::<Network>().map(|n| n.to_string()).as_deref(), Ok(same));
        }
        for bad in ["", "x", "192.0.2.7/33", "192.0.2.7/", "192.0.2.7/-1", "::/129"] {
            assert_eq!(bad.parse::<Network>(), Err(NotANetwork), "{bad}");
        }
    }

    #[test]
    fn own_addresses_are_other_names() {
        let d =
            Domains { served: vec!["example.com".into()], aliases: vec![("192.0.2.1".into(), 0)] };
        assert_eq!(d.canonical(b"EXAMPLE.com"), Some("example.com"));
        assert_eq!(d.canonical(b"192.0.2.1"), Some("example.com"));
        assert_eq!(config().domains.canonical(b"[2001:DB8:0:0::1]"), Some("example.com"));
        assert_eq!(config().domains.canonical(b"[2001:db8::2]"), None);
        assert_eq!(d.canonical(b"example.net"), None);
    }

    #[test]
    fn aor_is_canonical_or_nobody() {
        let d = Domains {
            served: vec!["example.com".into()],
            aliases: vec![("[2001:db8::1]".into(), 0)],
        };
        let aor = |user: &str, host: &str| {
            d.aor_from(user.as_bytes(), host.as_bytes()).map(|a| String::from(&*a))
        };
        assert_eq!(aor("alice", "Example.COM").as_deref(), Some("alice@example.com"));
        assert_eq!(aor("%61lice", "[2001:DB8::1]").as_deref(), Some("alice@example.com"));
        assert_eq!(aor("Alice", "example.com").as_deref(), Some("Alice@example.com"));
        assert_eq!(aor("%c3%a9", "example.com").as_deref(), Some("\u{e9}@example.com"));
        for (user, host) in [
            ("", "example.com"),
            ("a%0d", "example.com"),
            ("a%4", "example.com"),
            ("a%+4", "example.com"),
            ("a%ff", "example.com"),
            ("alice", "example.net"),
        ] {
            assert_eq!(aor(user, host), None, "{user} {host}");
        }
    }
}
