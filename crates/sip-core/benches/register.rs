//! What a REGISTER costs the core: a refresh without authentication, one with a digest, and a challenge. It measures
//! one node from bytes in to bytes out, without sockets and without the store.
//!
//! `cargo bench -p sip-core --bench register` prints nanoseconds; for instruction counts run the binary it names as
//! `valgrind --tool=callgrind BINARY plain 20000`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_macros,
    reason = "a benchmark may stop and may print"
)]

use std::sync::Arc;

use bytes::Bytes;
use sip_core::auth::account::Ha1;
use sip_core::config::{
    Algorithm, Auth, Config, Domains, Limits, Listener, Network, Registrar, Timers,
};
use sip_core::flow::{Flow, ListenerId, Transport};
use sip_core::input::Input;
use sip_core::node::Node;
use sip_core::output::Outbox;
use sip_core::seal::Seal;
use sip_core::shared::Shared;
use sip_core::time::{Duration, Instant};

const USERS: usize = 1_000;
const START: Instant = Instant::from_secs(1_800_000_000);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let only = arguments.next();
    let rounds = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(200_000);
    for name in ["plain", "challenge", "md5", "sha256"] {
        if only.as_deref().is_none_or(|wanted| wanted == name) {
            measure(name, rounds);
        }
    }
}

fn measure(name: &str, rounds: usize) {
    let mut bench = Bench::new(name != "plain");
    let algorithm = match name {
        "md5" => Some(Algorithm::Md5),
        "sha256" => Some(Algorithm::Sha256),
        _ => None,
    };
    let messages: Vec<Bytes> = (0..rounds).map(|n| bench.message(n, algorithm)).collect();
    #[expect(clippy::disallowed_methods, reason = "a benchmark is the one to have a clock")]
    let clock = std::time::Instant::now;
    let begun = clock();
    let answered = messages.into_iter().filter(|m| bench.handle(m.clone())).count();
    let each = begun.elapsed().as_nanos() / rounds as u128;
    println!("{name:10} {each:6} ns each, {answered} of {rounds} answered 200");
}

struct Bench {
    node: Node,
    out: Outbox,
    flow: Flow,
    nonces: Vec<String>,
}

impl Bench {
    fn new(auth: bool) -> Self {
        let listener = Listener {
            transport: Transport::Udp,
            address: "192.0.2.1:5060".parse().unwrap(),
            advertised: "192.0.2.1:5060".into(),
        };
        let config = Config {
            listeners: vec![listener],
            domains: Domains { served: vec!["example.com".into()], aliases: vec![] },
            registrar: Registrar::default(),
            auth: Auth { enabled: auth, ..Auth::default() },
            limits: Limits {
                trusted: vec![Network { address: [198, 51, 100, 0].into(), prefix: 24 }],
                ..Limits::default()
            },
            forking: sip_core::config::Forking::default(),
            redirect_domains: Vec::new(),
            nat: sip_core::config::Nat::default(),
            allow_inbound: false,
            allow_outbound: false,
            durable: false,
            dns: sip_core::config::Dns::default(),
            timers: Timers::default(),
            dispatcher: Arc::default(),
        };
        let shared = Arc::new(Shared::new(Seal::new([1; 16]), START));
        for n in 0..USERS {
            let ha1 = Ha1::from_password(&user(n), "example.com", "secret");
            shared.accounts.set(&format!("{}@example.com", user(n)), ha1);
        }
        let node = Node::new(0, Arc::new(config), shared);
        let flow = Flow::udp(ListenerId(0), "198.51.100.7:5060".parse().unwrap());
        let mut bench = Self { node, out: Outbox::default(), flow, nonces: Vec::new() };
        for n in 0..USERS {
            let nonce = bench.nonce(n);
            bench.nonces.push(nonce);
        }
        bench
    }

    /// One name to collect instruction counts in.
    #[inline(never)]
    fn handle(&mut self, bytes: Bytes) -> bool {
        self.out.clear();
        let now = START + Duration::from_secs(1);
        self.node.handle(now, Input::Message { flow: self.flow, bytes }, &mut self.out);
        self.out.transmits.first().is_some_and(|t| t.bytes.starts_with(b"SIP/2.0 200"))
    }

    fn nonce(&mut self, n: usize) -> String {
        self.handle(register(n, 1, ""));
        let answer = String::from_utf8_lossy(&self.out.transmits[0].bytes).into_owned();
        let found = answer.split_once("nonce=\"").and_then(|(_, rest)| rest.split_once('"'));
        found.map(|(nonce, _)| nonce.to_owned()).unwrap_or_default()
    }

    fn message(&self, n: usize, algorithm: Option<Algorithm>) -> Bytes {
        let (who, cseq) = (n % USERS, 2 + n / USERS);
        match algorithm {
            Some(algorithm) => register(who, cseq, &self.answer(who, cseq - 1, algorithm)),
            None => register(who, cseq, ""),
        }
    }

    fn answer(&self, who: usize, count: usize, algorithm: Algorithm) -> String {
        let (user, nonce, uri) = (user(who), &self.nonces[who], "sip:example.com");
        let ha1 = sip_core::auth::ha1(algorithm, &user, "example.com", "secret");
        // H(A:B:C) of three texts is what `ha1` computes, whatever they mean: so it serves for the other two hashes.
        let ha2 = hash_of(algorithm, &format!("REGISTER:{uri}"));
        let nc = format!("{count:08x}");
        let response = hash_of(algorithm, &format!("{ha1}:{nonce}:{nc}:0a4f113b:auth:{ha2}"));
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={}, cnonce=\"0a4f113b\", qop=auth, nc={nc}\r\n",
            algorithm.token()
        )
    }
}

fn hash_of(algorithm: Algorithm, text: &str) -> String {
    let mut parts = text.splitn(3, ':');
    let mut next = || parts.next();
    match (next(), next(), next()) {
        (Some(a), Some(b), Some(c)) => sip_core::auth::ha1(algorithm, a, b, c),
        _ => String::new(),
    }
}

fn user(n: usize) -> String {
    format!("user{n:06}")
}

fn register(who: usize, cseq: usize, authorization: &str) -> Bytes {
    let user = user(who);
    Bytes::from(format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK-{who}-{cseq};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:{user}@example.com>;tag=t{who}\r\n\
         To: <sip:{user}@example.com>\r\n\
         Call-ID: {who:08x}-4a5b-4c6d-8e7f@198.51.100.7\r\n\
         CSeq: {cseq} REGISTER\r\n\
         Contact: <sip:{user}@198.51.100.7:5060>\r\n\
         Expires: 3600\r\n\
         User-Agent: phone 1.0\r\n\
         {authorization}Content-Length: 0\r\n\r\n"
    ))
}
