//! Who a phone is and how it reaches the world, and the opening of its sockets accordingly. It sends nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sip_core::flow::Transport;
use sip_core::ua::{Credentials, Settings};

use crate::engine::{Engine, Open, Witness};
use crate::failure::{Kind, Trouble};
use crate::resolve;
use crate::target::Target;

/// Who we are when nobody said.
const NOBODY: &str = "ringway";

#[derive(Clone, Debug)]
pub struct Profile {
    /// `None`: nobody in particular, from our own address.
    pub user: Option<Box<str>>,
    /// `None`: the host we talk to.
    pub domain: Option<Box<str>>,
    pub credentials: Vec<Credentials>,
    /// Every request goes there.
    pub proxy: Option<Target>,
    /// Our side; port 0 is any.
    pub bind: Option<SocketAddr>,
    /// Extra header lines.
    pub headers: Vec<Box<str>>,
    /// How long to wait for a first answer.
    pub timeout: Duration,
}

impl Profile {
    /// `alice@example.com`, as far as it is known before anything is opened.
    pub fn name(&self, peer: Option<&Target>) -> String {
        let user = self.user.as_deref().unwrap_or(NOBODY);
        match (&self.domain, peer) {
            (Some(domain), _) => format!("{user}@{domain}"),
            (None, Some(peer)) => format!("{user}@{}", peer.host),
            (None, None) => user.to_owned(),
        }
    }

    /// Opens the sockets from which `peer` is reached, or the outbound proxy. Without either, whoever may call is
    /// listened to. `what` is what for, in words for a failure.
    pub async fn open(
        &self,
        what: &str,
        peer: Option<&Target>,
        witness: Option<Witness>,
    ) -> Result<Engine, Trouble> {
        let hop = self.proxy.as_ref().or(peer);
        let transport = hop.map_or(Transport::Udp, Target::transport);
        let (local, advertised) = self.local(what, hop).await?;
        let open = Open::bind(local, transport, advertised);
        let open = open.map_err(|error| Trouble::bind(what, &error))?;
        let listeners = open.listeners().to_vec();
        let own = listeners.first().map(|l| l.advertised.to_string()).unwrap_or_default();
        let user = self.user.as_deref().unwrap_or(NOBODY);
        let home = || match (&self.user, peer) {
            (Some(_), Some(peer)) => peer.host.to_string(),
            // Nobody in particular is only at home here.
            _ => own.clone(),
        };
        let domain = self.domain.as_ref().map_or_else(home, ToString::to_string);
        let suffix = if transport == Transport::Tcp { ";transport=tcp" } else { "" };
        // Where our own domain is meant, the place that was typed for it is its server: a port need not be in a name.
        let server = peer.filter(|peer| peer.host.eq_ignore_ascii_case(&domain));
        let proxy = self.proxy.as_ref().or(server).map(Target::hop);
        let mut settings = Settings::new(
            &format!("sip:{user}@{domain}"),
            &format!("sip:{user}@{own}{suffix}"),
            listeners,
            proxy,
        );
        settings.credentials = self.credentials.clone();
        settings.headers = self.headers.clone();
        settings.user_agent = Some(concat!("ringway/", env!("CARGO_PKG_VERSION")).into());
        Engine::new(settings, open, witness).map_err(|error| Trouble::system(what, &error))
    }

    /// Where to bind, and what to call that place.
    async fn local(
        &self,
        what: &str,
        hop: Option<&Target>,
    ) -> Result<(SocketAddr, IpAddr), Trouble> {
        let Some(hop) = hop else {
            let any = SocketAddr::from(([0, 0, 0, 0], 0));
            let local = self.bind.unwrap_or(any);
            return Ok((local, advertised(local.ip())));
        };
        let found = resolve::addresses(&hop.hop()).await;
        let found = found.map_err(|why| Trouble::unresolvable(what, &hop.host, &why))?;
        let fits = |remote: &&SocketAddr| {
            self.bind.is_none_or(|local| local.is_ipv4() == remote.is_ipv4())
        };
        let Some(remote) = found.iter().find(fits) else {
            let why = format!("{} has no address of the family of --bind", hop.host);
            return Err(Trouble::new(Kind::Unreachable, what, why, "bind to another address"));
        };
        match self.bind {
            Some(local) if !local.ip().is_unspecified() => Ok((local, local.ip())),
            bind => {
                let source = resolve::source_towards(*remote).map_err(|error| {
                    let why = format!("there is no way to {remote}: {error}");
                    Trouble::new(Kind::Unreachable, what, why, "see ip route get ADDRESS")
                })?;
                Ok((SocketAddr::new(source, bind.map_or(0, |local| local.port())), source))
            }
        }
    }
}

fn advertised(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { resolve::source_of_default_route(ip.is_ipv6()) } else { ip }
}
