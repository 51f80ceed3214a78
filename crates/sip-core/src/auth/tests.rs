//! The desk as a phone and as an attacker see it (RFC 3261 §22, RFC 7616; SEC-ENUM-1, SEC-REPLAY-1).

use bytes::Bytes;
use sip_message::Message;

use super::*;
use crate::config::tests::config;
use crate::flow::ListenerId;
use crate::seal::Seal;
use crate::time::Duration;

const START: Instant = Instant::from_secs(1_800_000_000);
const REALM: &str = "example.com";

struct World {
    now: Instant,
    config: Config,
    shared: Shared,
    flow: Flow,
}

/// What a phone writes into its answer; tests break one part at a time.
#[derive(Clone)]
struct Phone {
    user: String,
    password: String,
    algorithm: Algorithm,
    nonce: String,
    count: u32,
    uri: String,
    branch: String,
}

impl Phone {
    fn new(user: &str, password: &str, nonce: &str) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
            algorithm: Algorithm::Sha256,
            nonce: nonce.into(),
            count: 1,
            uri: "sip:example.com".into(),
            branch: "z9hG4bK1".into(),
        }
    }

    fn line(&self) -> String {
        let nc = format!("{:08x}", self.count);
        let hex = ha1(self.algorithm, &self.user, REALM, &self.password);
        let ha1 =
            digest::Hash::new(self.algorithm, digest::ha1_from_hex(self.algorithm, &hex).unwrap());
        let answer = digest::Answer {
            nonce: self.nonce.as_bytes(),
            nc: nc.as_bytes(),
            cnonce: b"0a4f113b",
            qop: b"auth",
            uri: self.uri.as_bytes(),
            method: b"REGISTER",
        };
        let response: String =
            answer.expected(&ha1).bytes().iter().map(|b| format!("{b:02x}")).collect();
        format!(
            "Authorization: Digest username=\"{}\", realm=\"{REALM}\", nonce=\"{}\", uri=\"{}\", \
             response=\"{response}\", algorithm={}, qop=auth, nc={nc}, cnonce=\"0a4f113b\"\r\n",
            self.user,
            self.nonce,
            self.uri,
            self.algorithm.token(),
        )
    }
}

impl World {
    fn new() -> Self {
        let flow = Flow::udp(ListenerId(0), "198.51.100.7:5060".parse().unwrap());
        let shared = Shared::new(Seal::new([1; 16]), START);
        for user in ["alice", "bob"] {
            let ha1 = Ha1::from_password(user, REALM, "secret");
            assert!(shared.accounts.set(&format!("{user}@{REALM}"), ha1));
        }
        Self { now: START, config: config(), shared, flow }
    }

    fn check(&self, branch: &str, lines: &str) -> Result<Authenticated, Rejection> {
        let request = request(branch, "alice", lines);
        check(self.now, &request, &self.flow, REALM, Role::Registrar, &self.config, &self.shared)
    }

    fn send(&self, phone: &Phone) -> Result<Authenticated, Rejection> {
        self.check(&phone.branch, &phone.line())
    }

    /// The nonce of a fresh challenge.
    fn nonce(&self) -> String {
        nonce_of(&self.check("z9hG4bK0", "").unwrap_err())
    }

    fn alice(&self) -> Phone {
        Phone::new("alice", "secret", &self.nonce())
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

fn request(branch: &str, user: &str, lines: &str) -> Request {
    let text = format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP 198.51.100.7:5060;branch={branch}\r\n\
         From: <sip:{user}@example.com>;tag=f\r\n\
         To: <sip:{user}@example.com>\r\n\
         Call-ID: call-1\r\n\
         CSeq: 1 REGISTER\r\n\
         {lines}Content-Length: 0\r\n\r\n"
    );
    match Message::parse(Bytes::from(text)) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn nonce_of(rejection: &Rejection) -> String {
    let (_, rest) = rejection.headers.split_once("nonce=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

fn is_stale(rejection: &Rejection) -> bool {
    rejection.headers.contains("stale=true")
}

fn why(rejection: &Rejection) -> &str {
    rejection.refused.as_ref().map_or("", |r| r.why)
}

#[test]
fn a_first_request_is_challenged_without_an_event() {
    let rejection = World::new().check("z9hG4bK1", "").unwrap_err();
    assert_eq!((rejection.status, rejection.refused.is_some()), (401, false));
    assert!(!is_stale(&rejection));
}

#[test]
fn the_right_answer_in_both_algorithms() {
    let world = World::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
        let phone = Phone { algorithm, ..world.alice() };
        let phone = Phone { count: if algorithm == Algorithm::Md5 { 2 } else { 1 }, ..phone };
        let user = world.send(&phone).unwrap();
        assert_eq!(user.aor(), Some("alice@example.com"));
    }
    let md5_off = World { config: Config { auth: sha256_only(), ..config() }, ..World::new() };
    let md5 = Phone { algorithm: Algorithm::Md5, ..md5_off.alice() };
    assert_eq!(why(&md5_off.send(&md5).unwrap_err()), "an algorithm that was not offered");
}

fn sha256_only() -> crate::config::Auth {
    crate::config::Auth { algorithms: vec![Algorithm::Sha256], ..Default::default() }
}

#[test]
fn a_proxy_asks_and_reads_its_own_headers() {
    let world = World::new();
    let request = request("z9hG4bK1", "alice", &world.alice().line());
    let ask = |role| check(START, &request, &world.flow, REALM, role, &world.config, &world.shared);
    assert_eq!(ask(Role::Proxy).unwrap_err().status, 407);
    assert!(ask(Role::Registrar).is_ok());
}

#[test]
fn bogus_auth() {
    let world = World::new();
    let wrong = Phone { password: "Secret".into(), ..world.alice() };
    let rejection = world.send(&wrong).unwrap_err();
    assert_eq!((rejection.status, why(&rejection)), (401, "wrong user name or password"));
    assert!(!is_stale(&rejection), "stale would promise that trying again helps");
    assert!(world.shared.nonces.is_empty(), "nobody without an account fills the ledger");
}

/// ADV-02, ADV-03, ADV-04 and their kin: an answer, never a crash, and never a success.
#[test]
fn credentials_nobody_can_read() {
    let world = World::new();
    let good = world.alice().line();
    for (lines, status) in [
        ("Authorization: Digest uses: 60\r\n".to_owned(), 400),
        ("Authorization: Digest a a=\\\"\\\",real\r\n".to_owned(), 400),
        ("Authorization: Digest realm=\"never offered\", nonce=\"x\"\r\n".to_owned(), 401),
        ("Authorization: Basic YWxpY2U6c2VjcmV0\r\n".to_owned(), 401),
        ("Authorization: Digest realm=\"example.com\"\r\n".to_owned(), 400),
        (good.replace("nc=00000001", "nc=1"), 400),
        (good.replace("nc=00000001", "nc=00000000"), 400),
        (good.replace("nc=00000001", "nc=+0000001"), 400),
        (good.replace("nc=00000001, ", ""), 401),
        (good.replace("qop=auth, ", ""), 401),
        (good.replace("qop=auth", "qop=auth-int"), 401),
        (good.replace("qop=auth", "qop=auth, QOP=auth"), 400),
        (good.replace("\r\n", ",\r\n"), 400),
        (good.replace("SHA-256", "SHA-256-sess"), 401),
        (good.replace("\r\n", ", userhash=true\r\n"), 401),
        (good.replace("username=\"alice\"", "username=\"\""), 401),
        (good.replace("username=\"alice\"", &format!("username=\"{}\"", "a".repeat(500))), 401),
    ] {
        let rejection = world.check("z9hG4bK1", &lines).unwrap_err();
        assert_eq!(rejection.status, status, "{lines}");
    }
    let shouted = good.replace("nonce=", "NONCE=").replace("realm=", "Realm=");
    assert!(world.check("z9hG4bK1", &shouted).is_ok(), "names have no case");
}

#[test]
fn bad_nonce() {
    let world = World::new();
    let mut forged = world.alice();
    forged.nonce.replace_range(0..1, if forged.nonce.starts_with('A') { "B" } else { "A" });
    let rejection = world.send(&forged).unwrap_err();
    assert_eq!(why(&rejection), "a nonce that is not ours");
    assert!(is_stale(&rejection), "the password was right: no human need be asked");
    let made_up = Phone { password: "wrong".into(), ..forged };
    assert!(!is_stale(&world.send(&made_up).unwrap_err()));
}

#[test]
fn late_digest() {
    let mut world = World::new();
    let late = world.alice();
    world.pass(33);
    let rejection = world.send(&late).unwrap_err();
    assert!(is_stale(&rejection) && rejection.refused.is_none());
    let phone = Phone::new("alice", "secret", &nonce_of(&rejection));
    world.send(&phone).unwrap();
    world.pass(250);
    world.send(&Phone { count: 2, ..phone.clone() }).unwrap();
    world.pass(60);
    assert!(is_stale(&world.send(&Phone { count: 3, ..phone }).unwrap_err()));
}

/// S-6 `replay`, SEC-REPLAY-1: one captured REGISTER, sent again 51 times from the phone's own and from other
/// addresses, with its own and with other branches.
#[test]
fn s_6_replay() {
    let mut world = World::new();
    let captured = world.alice();
    world.send(&captured).unwrap();
    let home = world.flow;
    let mut accepted = 0;
    for n in 0..51_u16 {
        let elsewhere = format!("203.0.113.{}:{}", n % 5, 5060 + n).parse().unwrap();
        world.flow = if n % 3 == 0 { home } else { Flow::udp(ListenerId(0), elsewhere) };
        let branch = if n % 3 == 0 { format!("z9hG4bKreplay{n}") } else { captured.branch.clone() };
        match world.send(&Phone { branch, ..captured.clone() }) {
            Ok(_) => accepted += 1,
            Err(rejection) => assert_eq!(why(&rejection), "a nonce count used before"),
        }
        world.now = world.now + Duration::from_millis(700);
    }
    assert_eq!(accepted, 0, "of 51");
    world.flow = home;
    let next = Phone { count: 2, branch: "z9hG4bK2".into(), ..captured };
    assert!(world.send(&next).is_ok(), "the owner goes on");
}

/// A retransmission is the same to the last byte: nobody rides on it with a Contact or a target of their own.
#[test]
fn credentials_are_no_ticket_for_another_request() {
    let world = World::new();
    let line = world.alice().line();
    assert!(world.check("z9hG4bK1", &line).is_ok());
    let contact = format!("Contact: <sip:thief@203.0.113.9>\r\n{line}");
    assert_eq!(why(&world.check("z9hG4bK1", &contact).unwrap_err()), "a nonce count used before");
    assert!(world.check("z9hG4bK1", &line).is_ok(), "the retransmission still is one");
}

#[test]
fn client_retransmits() {
    let mut world = World::new();
    let phone = world.alice();
    for _ in 0..4 {
        world.send(&phone).unwrap();
        world.now = world.now + Duration::from_millis(500);
    }
}

#[test]
fn a_nonce_is_its_first_users() {
    let world = World::new();
    let alice = world.alice();
    world.send(&alice).unwrap();
    let bob = Phone { user: "bob".into(), count: 2, ..alice };
    assert!(world.send(&bob).is_err());
}

/// S-8 `enum_code`, SEC-ENUM-1: before the password is right, known and unknown users get the same bytes, but for the
/// nonce.
#[test]
fn s_8_enum_code() {
    let world = World::new();
    let normal = |rejection: Rejection| {
        let text = rejection.headers.replace(&nonce_of(&rejection), "NONCE");
        (rejection.status, rejection.reason, text, why(&rejection).to_owned())
    };
    let ask = |user: &str, lines: &str| {
        let request = request("z9hG4bK1", user, lines);
        let role = Role::Registrar;
        normal(
            check(START, &request, &world.flow, REALM, role, &world.config, &world.shared)
                .unwrap_err(),
        )
    };
    let known = ask("alice", "");
    for user in ["bob", "nobody", "x", "%00"] {
        assert_eq!(ask(user, ""), known, "{user}");
    }
    let wrong =
        |user: &str| Phone { user: user.into(), password: "guess".into(), ..world.alice() }.line();
    let known = ask("alice", &wrong("alice"));
    for user in ["bob", "nobody", "x"] {
        assert_eq!(ask(user, &wrong(user)), known, "{user}");
    }
}

/// An account with no hash for the algorithm is as good as none, and an all-zero hash opens nothing.
#[test]
fn the_dummy_secret_opens_nothing() {
    let world = World::new();
    let zero = digest::Hash::new(Algorithm::Sha256, [0; 32]);
    let (nonce, uri, method) = (world.nonce(), b"sip:example.com", b"REGISTER");
    let answer = digest::Answer {
        nonce: nonce.as_bytes(),
        nc: b"00000001",
        cnonce: b"0a4f113b",
        qop: b"auth",
        uri,
        method,
    };
    let response: String =
        answer.expected(&zero).bytes().iter().map(|b| format!("{b:02x}")).collect();
    let real = Phone::new("nobody", "guess", &nonce).line();
    let (head, tail) = real.split_once("response=\"").unwrap();
    let forged = format!("{head}response=\"{response}{}", &tail[64..]);
    assert_eq!(why(&world.check("z9hG4bK1", &forged).unwrap_err()), "wrong user name or password");
}

#[test]
fn the_uri_must_be_ours_or_the_target() {
    let world = World::new();
    let mut count = 0;
    let mut status = |uri: &str| {
        count += 1;
        let phone =
            Phone { uri: uri.into(), count, branch: format!("z9hG4bK{count}"), ..world.alice() };
        world.send(&phone).map(|_| 200).unwrap_or_else(|e| e.status)
    };
    for ours in
        ["sip:example.com", "sip:192.0.2.1:5060", "sip:alice@EXAMPLE.com", "sip:[2001:db8::1]"]
    {
        assert_eq!(status(ours), 200, "{ours}");
    }
    for foreign in ["sip:example.net", "sip:example.org", "/index.html", "*", "http://example.com/"]
    {
        assert_eq!(status(foreign), 400, "{foreign}");
    }
}

#[test]
fn only_a_right_answer_verifies_the_flow() {
    let world = World::new();
    let wrong = Phone { password: "guess".into(), ..world.alice() };
    world.send(&wrong).unwrap_err();
    assert!(!world.shared.sources.is_verified(START, &world.flow));
    world.send(&world.alice()).unwrap();
    assert!(world.shared.sources.is_verified(START, &world.flow));
}

#[test]
fn one_owns_ones_own_addresses() {
    let world = World::new();
    let user = world.send(&world.alice()).unwrap();
    let owns = |uri: &str| user.owns(&Uri::parse(uri.as_bytes()).unwrap(), &world.config.domains);
    for own in ["sip:alice@example.com", "sips:%61lice@192.0.2.1:5060;transport=tcp"] {
        assert!(owns(own), "{own}");
    }
    for other in [
        "sip:bob@example.com",
        "sip:alice@example.net",
        "sip:Alice@example.com",
        "sip:example.com",
        "tel:1",
    ] {
        assert!(!owns(other), "{other}");
    }
    let domains = &world.config.domains;
    let bob = Uri::parse(b"sip:bob@example.com").unwrap();
    assert_eq!(user.must_own_to(&bob, domains).unwrap_err().reason, "To Is Not Yours");
    assert_eq!(user.must_own_from(&bob, domains).unwrap_err().reason, "From Is Not Yours");
}

#[test]
fn in_a_laboratory_everybody_is_believed() {
    let mut world = World::new();
    world.config.auth.enabled = false;
    let anybody = world.check("z9hG4bK1", "").unwrap();
    assert_eq!(anybody.aor(), None);
    assert!(anybody.owns(&Uri::parse(b"sip:bob@example.com").unwrap(), &world.config.domains));
}

/// R-13 `clock_jump`: a nonce is as old as the monotonic clock says, whatever its text would mean to a wall clock.
#[test]
fn r_13_clock_jump_nonces_stay_valid() {
    let mut world = World::new();
    let phone = world.alice();
    world.send(&phone).unwrap();
    for count in 2..=60 {
        world.pass(1);
        world.send(&Phone { count, branch: format!("z9hG4bK{count}"), ..phone.clone() }).unwrap();
    }
}
