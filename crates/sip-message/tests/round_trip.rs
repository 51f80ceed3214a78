//! Generated messages: what is written is read back the same, and edits are seen by every reader.

mod oracle;

use bytes::Bytes;
use proptest::prelude::*;
use sip_message::{Contacts, Host, Message, Name, Request, Uri, unescape_quoted, uri, write};

/// The parts of a request as they were meant.
#[derive(Clone, Debug)]
struct Meant {
    method: String,
    user: Vec<u8>,
    host: String,
    port: Option<u16>,
    display: String,
    tag: String,
    call_id: String,
    number: u32,
    hops: u8,
    branches: Vec<String>,
    routes: Vec<String>,
    contacts: Vec<(String, u16, u32)>,
    extensions: Vec<(String, String)>,
    body: Vec<u8>,
    /// Which way of writing: compact names, folds, blanks, comma lists.
    style: (bool, bool, bool, bool),
}

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9.!%*_+`'~-]{1,20}"
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9]{0,9}(\\.[a-z][a-z0-9]{0,9}){0,3}",
        any::<[u8; 4]>().prop_map(|o| core::net::Ipv4Addr::from(o).to_string()),
        any::<[u16; 8]>().prop_map(|o| format!("[{}]", core::net::Ipv6Addr::from(o))),
    ]
}

fn meant() -> impl Strategy<Value = Meant> {
    let who = (token(), prop::collection::vec(any::<u8>(), 1..12), host(), any::<Option<u16>>());
    let ids = ("[^\\r\\n]{0,20}", token(), "[!-~]{1,40}", any::<u32>(), any::<u8>());
    let lists = (
        prop::collection::vec(token(), 1..5),
        prop::collection::vec(host(), 0..4),
        prop::collection::vec((host(), 0u16..=1000, any::<u32>()), 0..4),
        prop::collection::vec((token(), "[ -~]{0,30}"), 0..5),
        prop::collection::vec(any::<u8>(), 0..60),
    );
    (who, ids, lists, any::<(bool, bool, bool, bool)>()).prop_map(|(who, ids, lists, style)| {
        Meant {
            method: who.0,
            user: who.1,
            host: who.2,
            port: who.3,
            display: ids.0,
            tag: ids.1,
            call_id: ids.2,
            number: ids.3,
            hops: ids.4,
            branches: lists.0,
            routes: lists.1,
            contacts: lists.2,
            extensions: lists.3.into_iter().map(|(n, v)| (format!("X-{n}"), v)).collect(),
            body: lists.4,
            style,
        }
    })
}

impl Meant {
    fn uri(&self) -> String {
        let user: String = self.user.iter().map(|b| format!("%{b:02X}")).collect();
        let port = self.port.map_or(String::new(), |p| format!(":{p}"));
        format!("sip:{user}@{}{port};p=v", self.host)
    }

    fn write(&self) -> Vec<u8> {
        let (compact, fold, blank, list) = self.style;
        let name = |long: &'static str, short: &'static str| if compact { short } else { long };
        let ws = if fold { "\r\n " } else { "" };
        let sp = if blank { " " } else { "" };
        let quoted = self.display.replace('\\', "\\\\").replace('"', "\\\"");
        let mut out = format!("{} {} SIP/2.0\r\n", self.method, self.uri());
        let vias = self
            .branches
            .iter()
            .map(|b| format!("SIP{sp}/2.0/{sp}UDP h{sp};{sp}branch{sp}={sp}z9hG4bK{b}"));
        out += &lines(name("Via", "v"), vias.collect(), list, ws);
        let routes = self.routes.iter().map(|h| format!("<sip:{h};lr>"));
        out += &lines("Route", routes.collect(), list, ws);
        let contacts = self
            .contacts
            .iter()
            .map(|(h, q, e)| format!("<sip:u@{h}>;q={}.{:03};expires={e}", q / 1000, q % 1000));
        out += &lines(name("Contact", "m"), contacts.collect(), list, ws);
        out += &format!(
            "{}:{ws} \"{quoted}\"{sp}<{}>{sp};{ws}tag={}\r\n",
            name("From", "f"),
            self.uri(),
            self.tag
        );
        out += &format!("{}{sp}: <{}>\r\n", name("To", "t"), self.uri());
        out += &format!("{}: {ws}{}\r\n", name("Call-ID", "i"), self.call_id);
        out += &format!("CSeq: {} {ws}{}\r\n", self.number, self.method);
        out += &format!("Max-Forwards: {}\r\n", self.hops);
        for (name, value) in &self.extensions {
            out += &format!("{name}: {value}\r\n");
        }
        out += &format!("{}: {}\r\n\r\n", name("Content-Length", "l"), self.body.len());
        [out.into_bytes(), self.body.clone()].concat()
    }

    fn check_uri(&self, uri: &Uri<'_>) {
        assert_eq!(uri::unescape_user(uri.user.unwrap_or_default()).as_ref(), &self.user[..]);
        assert_eq!(uri.host, Host::parse(self.host.as_bytes()).expect("a host"));
        assert_eq!((uri.port, uri.param("P")), (self.port, Some(&b"v"[..])));
    }

    fn check(&self, request: &Request) {
        assert_eq!(request.check().err(), None);
        assert_eq!(request.method().as_bytes(), self.method.as_bytes());
        self.check_uri(&request.uri().expect("Request-URI"));
        let from = request.from().expect("From");
        self.check_uri(&from.uri().expect("URI"));
        assert_eq!(unescape_quoted(from.display()).as_ref(), self.display.as_bytes());
        assert_eq!(from.tag(), Some(self.tag.as_bytes()));
        assert_eq!(request.to().expect("To").tag(), None);
        assert_eq!(request.call_id(), Ok(self.call_id.as_bytes()));
        assert_eq!(request.cseq().expect("CSeq").number, self.number);
        assert_eq!(request.max_forwards(), Ok(Some(u32::from(self.hops))));
        let vias = request.vias().map(|v| v.expect("Via").branch.expect("branch")[7..].to_vec());
        assert!(vias.eq(self.branches.iter().map(|b| b.as_bytes().to_vec())));
        let routes = request.routes().map(|r| r.expect("Route").uri().expect("URI").host);
        assert!(routes.eq(self.routes.iter().map(|h| Host::parse(h.as_bytes()).expect("a host"))));
        let Ok(Contacts::List(contacts)) = request.contacts() else { panic!("contacts") };
        let contacts = contacts.map(|c| c.map(|c| (c.q(), c.expires())).expect("Contact"));
        assert!(contacts.eq(self.contacts.iter().map(|(_, q, e)| (Some(*q), Some(*e)))));
        for (name, value) in &self.extensions {
            let mut values = request.headers_named(name.as_bytes());
            assert!(values.any(|v| v == value.trim().as_bytes()));
        }
        assert_eq!(request.body(), self.body);
    }
}

fn lines(name: &str, values: Vec<String>, list: bool, ws: &str) -> String {
    match (list, values.is_empty()) {
        (_, true) => String::new(),
        (true, _) => format!("{name}: {}\r\n", values.join(&format!("{ws},{ws} "))),
        (false, _) => values.iter().map(|v| format!("{name}: {ws}{v}\r\n")).collect(),
    }
}

fn parse(bytes: Vec<u8>) -> Request {
    match Message::parse(Bytes::from(bytes)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_meant_is_read(meant in meant()) {
        let bytes = meant.write();
        oracle::datagram(&bytes);
        oracle::stream(&bytes, 7);
        let request = parse(bytes.clone());
        meant.check(&request);
        let mut out = Vec::new();
        write::request(&request, &mut out);
        prop_assert_eq!(out, bytes);
    }

    #[test]
    fn edits_are_read_back(mut meant in meant(), other in meant(), pops in 0usize..4) {
        let mut request = parse(meant.write());
        request.set_uri(other.uri().as_bytes());
        request.set(Name::CallId, other.call_id.as_bytes());
        request.set(Name::MaxForwards, other.hops.to_string().as_bytes());
        request.set(Name::From, format!("<{}>;tag={}", other.uri(), other.tag).as_bytes());
        request.set(Name::To, format!("<{}>", other.uri()).as_bytes());
        for _ in 0..pops {
            prop_assert_eq!(request.pop_first(Name::Route), !meant.routes.is_empty());
            if !meant.routes.is_empty() {
                meant.routes.remove(0);
            }
        }
        request.prepend(Name::Via, b"SIP/2.0/TCP h;branch=z9hG4bKnew");
        meant.branches.insert(0, "new".into());
        request.append_named(b"X-Last", b"last");
        meant.extensions.push(("X-Last".into(), "last".into()));
        (meant.user, meant.host, meant.port) = (other.user, other.host, other.port);
        (meant.call_id, meant.hops, meant.tag) = (other.call_id, other.hops, other.tag);
        meant.display = String::new();
        meant.check(&request);
        let mut out = Vec::new();
        write::request(&request, &mut out);
        meant.check(&parse(out));
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..400), step in 1usize..50) {
        oracle::datagram(&bytes);
        oracle::uri(&bytes);
        oracle::stream(&bytes, step);
    }
}
