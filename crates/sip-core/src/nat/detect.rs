//! Who counts as behind a NAT: a pure reading of what a request says about its sender and where it came from. The rules
//! are the table of the test below; docs/nat.md lists them for operators.
//!
//! No rule looks at private addresses by themselves: a phone that is in the same private network as this server writes
//! one and means it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sip_message::{Contacts, Host, Request, Uri, Via};

use crate::flow::Flow;

/// What gave it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The Contact is another address than the packet's.
    ContactAddress,
    /// The sent-by of the Via is (RFC 3261 §18.2.1: it gets a `received`).
    ViaAddress,
    /// The port of the sent-by is another than the packet's, of a sender that asked for `rport` and so has only one
    /// (RFC 3581 §4).
    ViaPort,
}

/// Whether whoever sent this by `source` is behind a NAT. `via`: the only Via of the request; with several, somebody
/// stands between us, and nothing can be told.
pub fn sign(contact: &Uri<'_>, via: Option<&Via<'_>>, source: &Flow) -> Option<Sign> {
    let via = via?;
    let from = source.remote.ip().to_canonical();
    let elsewhere = |ip: IpAddr| ip.to_canonical() != from;
    if address(contact).is_some_and(elsewhere) {
        return Some(Sign::ContactAddress);
    }
    if via.host.ip().is_some_and(elsewhere) {
        return Some(Sign::ViaAddress);
    }
    // A stream is always opened from a port of its own.
    let symmetric = via.rport.is_some() && !source.transport.is_reliable();
    let port = via.port.unwrap_or(PORT_DEFAULT);
    (symmetric && port != source.remote.port()).then_some(Sign::ViaPort)
}

/// RFC 3261 §18.1.1: the port of a sent-by that names none, for UDP and TCP.
const PORT_DEFAULT: u16 = 5060;

/// The only Via of a request.
pub fn only_via(request: &Request) -> Option<Via<'_>> {
    let mut vias = request.vias();
    let first = vias.next()?.ok()?;
    vias.next().is_none().then_some(first)
}

/// The same of the sender of a request that begins a dialog, by its Contact.
pub fn sender(request: &Request, source: &Flow) -> Option<Sign> {
    let Contacts::List(mut contacts) = request.contacts().ok()? else { return None };
    let contact = contacts.next()?.ok()?;
    sign(&contact.uri().ok()?, only_via(request).as_ref(), source)
}

/// For a binding of which only this is left.
pub fn stored(contact: &Uri<'_>, source: &Flow) -> bool {
    let from = source.remote.ip().to_canonical();
    address(contact).is_some_and(|ip| ip.to_canonical() != from)
}

/// Whether a peer whose packets came by `flow` can only be reached that way, or says now that it is somewhere else: its
/// Contact is a public address, not the flow's. Then it has moved since, and its word counts.
pub fn leads_to(flow: &Flow, target: &Uri<'_>) -> bool {
    let from = flow.remote.ip().to_canonical();
    address(target).is_none_or(|ip| ip.to_canonical() == from || is_private(ip))
}

/// The address a URI names, if it names one. `maddr` goes before the host (RFC 3261 §19.1.1).
fn address(uri: &Uri<'_>) -> Option<IpAddr> {
    match uri.param("maddr") {
        Some(maddr) => Host::parse(maddr).ok()?.ip(),
        None => uri.host.ip(),
    }
}

/// Addresses that mean something only to their neighbours: RFC 1918, RFC 6598, RFC 3927, RFC 4193, loopback.
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    // 100.64.0.0/10: what providers put between their customers and their own NAT.
    let [first, second, ..] = v4.octets();
    let shared = first == 100 && second & 0xc0 == 64;
    v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sip_message::Message;

    use super::*;
    use crate::flow::{ConnectionId, ListenerId, Transport};

    fn request(vias: &[&str], contact: &str) -> Request {
        let vias: String =
            vias.iter().map(|via| format!("Via: SIP/2.0/{via};branch=z9hG4bK1\r\n")).collect();
        let text = format!(
            "INVITE sip:bob@example.com SIP/2.0\r\n{vias}From: <sip:a@example.com>;tag=1\r\n\
             To: <sip:bob@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: {contact}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        match Message::parse(Bytes::from(text)) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn flow(transport: Transport, remote: &str) -> Flow {
        let (listener, connection) = (ListenerId(0), ConnectionId::NONE);
        Flow { transport, listener, connection, remote: remote.parse().unwrap() }
    }

    /// What | where the packet came from | Vias | Contact | the sign, if it counts as behind a NAT.
    const RULES: &str = "
at home                    | udp 192.0.2.7:5060     | UDP 192.0.2.7:5060;rport     | sip:a@192.0.2.7:5060          |
at home, no port           | udp 192.0.2.7:5060     | UDP 192.0.2.7;rport          | sip:a@192.0.2.7               |
in our private network     | udp 10.0.0.7:5060      | UDP 10.0.0.7:5060;rport      | sip:a@10.0.0.7                |
private Contact            | udp 198.51.100.7:61000 | UDP 10.0.0.7:5060;rport      | sip:a@10.0.0.7:5060           | ContactAddress
public Contact elsewhere   | udp 198.51.100.7:61000 | UDP 203.0.113.9;rport        | sip:a@203.0.113.9             | ContactAddress
maddr elsewhere            | udp 198.51.100.7:61000 | UDP 198.51.100.7:61000       | sip:a@x.invalid;maddr=10.0.0.7 | ContactAddress
Contact mended by STUN     | udp 198.51.100.7:61000 | UDP 10.0.0.7:5060;rport      | sip:a@198.51.100.7:61000      | ViaAddress
Contact is a name          | udp 198.51.100.7:61000 | UDP 10.0.0.7:5060;rport      | sip:a@phone.invalid           | ViaAddress
names, another port        | udp 198.51.100.7:61000 | UDP phone.invalid;rport      | sip:a@phone.invalid           | ViaPort
names, no rport            | udp 198.51.100.7:61000 | UDP phone.invalid            | sip:a@phone.invalid           |
two ports, and it knows    | udp 192.0.2.7:40000    | UDP 192.0.2.7:5060           | sip:a@192.0.2.7:5060          |
one port, another seen     | udp 192.0.2.7:40000    | UDP 192.0.2.7:5060;rport     | sip:a@192.0.2.7:5060          | ViaPort
stream from home           | tcp 192.0.2.7:40000    | TCP 192.0.2.7:5060;rport     | sip:a@192.0.2.7;transport=tcp |
stream through a NAT       | tcp 198.51.100.7:61000 | TCP 10.0.0.7:5060            | sip:a@10.0.0.7;transport=tcp  | ContactAddress
a proxy in between         | udp 198.51.100.7:61000 | UDP 203.0.113.1, UDP 10.0.0.7;rport | sip:a@10.0.0.7         |
IPv6 at home               | udp [2001:db8::7]:5060 | UDP [2001:db8::7]:5060;rport | sip:a@[2001:db8:0::7]         |
IPv6 elsewhere             | udp [2001:db8::7]:5060 | UDP [2001:db8::8]:5060;rport | sip:a@[2001:db8::8]           | ContactAddress
mapped is the same         | udp [::ffff:192.0.2.7]:5060 | UDP 192.0.2.7:5060;rport | sip:a@192.0.2.7              |
";

    #[test]
    fn the_rules() {
        for line in RULES.lines().filter(|line| !line.is_empty()) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [name, from, vias, contact, expected] = cells[..] else { panic!("{line}") };
            let (transport, remote) = from.split_once(' ').unwrap();
            let transport = if transport == "udp" { Transport::Udp } else { Transport::Tcp };
            let flow = flow(transport, remote);
            let vias: Vec<&str> = vias.split(", ").collect();
            let mut request = request(&vias, &format!("<{contact}>"));
            let found = |request: &Request| {
                sender(request, &flow).map_or(String::new(), |sign| format!("{sign:?}"))
            };
            assert_eq!(found(&request), expected, "{name}");
            // Our own note in the Via changes nothing.
            request.stamp_source(flow.remote);
            assert_eq!(found(&request), expected, "{name}, stamped");
        }
    }

    #[test]
    fn nobody_said_where() {
        for contact in ["*", "what?"] {
            let request = request(&["UDP 10.0.0.7;rport"], contact);
            assert_eq!(
                sender(&request, &flow(Transport::Udp, "198.51.100.7:61000")),
                None,
                "{contact}"
            );
        }
    }

    /// RFC 5626 §5.3, and what a peer that moved since says.
    #[test]
    fn when_a_flow_still_leads_there() {
        let flow = flow(Transport::Udp, "198.51.100.7:61000");
        for (uri, leads) in [
            ("sip:a@10.0.0.7:5060", true),
            ("sip:a@192.168.1.7", true),
            ("sip:a@100.64.3.3", true),
            ("sip:a@169.254.1.1", true),
            ("sip:a@[fd00::7]", true),
            ("sip:a@[fe80::7]", true),
            ("sip:a@198.51.100.7:5060", true),
            ("sip:a@phone.invalid", true),
            ("sip:a@203.0.113.9", false),
            ("sip:a@100.128.3.3", false),
            ("sip:a@[2001:db8::9]", false),
        ] {
            let uri = Uri::parse(uri.as_bytes()).unwrap();
            assert_eq!(leads_to(&flow, &uri), leads, "{uri:?}");
        }
    }
}
