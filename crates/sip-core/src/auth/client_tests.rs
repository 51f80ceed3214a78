//! The client's side of digest: whom it answers, with what, and how often.

use bytes::Bytes;
use sip_message::{Message, Response};

use super::client::{Asked, Credentials, Keyring, Refusal, Secret, Subject, Trust};
use crate::config::Algorithm;
use crate::flow::{Flow, ListenerId};

fn flow(last: u8) -> Flow {
    Flow::udp(ListenerId(0), ([192, 0, 2, last], 5060).into())
}

fn response(status: u16, lines: &str) -> Response {
    let text = format!(
        "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\n\
         To: <sip:a@a>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    match Message::parse(Bytes::from(text)) {
        Ok(Message::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

fn keyring(realm: &str) -> Keyring {
    Keyring::new(vec![Credentials {
        user: "alice".into(),
        realm: realm.into(),
        secret: Secret::Password("secret".into()),
    }])
}

const BOTH: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\r\n\
    WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\n";

fn lines(keyring: &mut Keyring, asked: &Asked, flow: &Flow, unasked: bool) -> String {
    let mut out = Vec::new();
    let subject = Subject { method: b"REGISTER", uri: b"sip:r", flow, unasked };
    keyring.authorize(&subject, asked, || "c".to_owned(), &mut out);
    String::from_utf8(out).unwrap()
}

/// RFC 8760 §2.4: the topmost that we know; RFC 7616 §3.4: nc counts the requests with one nonce.
#[test]
fn the_topmost_algorithm_and_the_count() {
    let (mut keyring, mut asked, at) = (keyring(""), Asked::default(), flow(1));
    let taken = keyring.challenged(&response(401, BOTH), &at, Trust::Ours, &mut asked).unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].algorithm, Algorithm::Sha256);
    let first = lines(&mut keyring, &asked, &at, true);
    assert!(first.starts_with("Authorization: Digest username=\"alice\", realm=\"r\""), "{first}");
    assert!(first.contains("nc=00000001") && first.contains("algorithm=SHA-256"), "{first}");
    // The next request has been asked for nothing yet, and brings it all the same.
    let next = lines(&mut keyring, &Asked::default(), &at, true);
    assert!(next.contains("nc=00000002"), "{next}");
    assert_eq!(lines(&mut keyring, &Asked::default(), &at, false), "");
    assert_eq!(lines(&mut keyring, &Asked::default(), &flow(9), true), "");
}

/// RFC 3261 §22.1: no second try with what was refused; RFC 7616 §3.3: a stale nonce is no refusal, but not for ever.
#[test]
fn refused_once_is_refused() {
    let (mut keyring, mut asked, at) = (keyring("r"), Asked::default(), flow(1));
    let plain = response(401, BOTH);
    let stale = response(401, &BOTH.replace("qop=", "stale=TRUE, qop="));
    assert!(keyring.challenged(&plain, &at, Trust::Ours, &mut asked).is_ok());
    for _ in 0..4 {
        assert!(keyring.challenged(&stale, &at, Trust::Ours, &mut asked).is_ok());
    }
    assert!(keyring.challenged(&stale, &at, Trust::Ours, &mut asked).is_err());
    let refused = keyring.challenged(&plain, &at, Trust::Ours, &mut asked);
    assert_eq!(refused, Err(Refusal::Refused { realm: "r".into(), user: "alice".into() }));
}

/// RFC 3261 §22.3: several proxies, each with its realm.
#[test]
fn several_realms() {
    let mut keyring = Keyring::new(vec![
        Credentials { user: "a".into(), realm: "one".into(), secret: Secret::Password("1".into()) },
        Credentials {
            user: "b".into(),
            realm: "two".into(),
            secret: Secret::Ha1 { sha256: None, md5: Some("0".repeat(32).into()) },
        },
    ]);
    let mut asked = Asked::default();
    let both = response(
        407,
        "WWW-Authenticate: Digest realm=\"one\", nonce=\"1\", qop=\"auth\"\r\n\
         Proxy-Authenticate: Digest realm=\"two\", nonce=\"2\", algorithm=SHA-256, qop=\"auth\"\r\n\
         Proxy-Authenticate: Digest realm=\"two\", nonce=\"2\", opaque=\"o\"\r\n\
         Proxy-Authenticate: Digest realm=\"three\", nonce=\"3\"\r\n",
    );
    let taken = keyring.challenged(&both, &flow(1), Trust::Ours, &mut asked).unwrap();
    assert_eq!(taken.iter().map(|t| &*t.realm).collect::<Vec<_>>(), ["one", "two"]);
    let text = lines(&mut keyring, &asked, &flow(1), false);
    assert!(text.contains("\r\nProxy-Authorization: Digest username=\"b\""), "{text}");
    // Without qop in the challenge there is none in the answer (RFC 3261 §22.4 step 7).
    assert!(text.ends_with("algorithm=MD5, opaque=\"o\"\r\n"), "{text}");
}

/// A peer in a dialog, and a stranger outside of one, get no answer to a challenge of their own making.
#[test]
fn whom_it_answers() {
    let challenge = response(407, "Proxy-Authenticate: Digest realm=\"r\", nonce=\"evil\"\r\n");
    let not_trusted = Err(Refusal::NotTrusted { realm: "r".into() });
    let mut keyring = keyring("r");
    let mut ask = |at: Flow, trust: Trust<'_>| {
        keyring.challenged(&challenge, &at, trust, &mut Asked::default()).map(|_| ())
    };
    assert_eq!(ask(flow(1), Trust::Known), not_trusted);
    assert_eq!(ask(flow(1), Trust::Host(b"other")), not_trusted);
    assert_eq!(ask(flow(1), Trust::Host(b"R")), Ok(()));
    assert_eq!(ask(flow(1), Trust::Known), Ok(()));
    assert_eq!(ask(flow(2), Trust::Known), not_trusted);
}

/// RFC 7616 §3.5.
#[test]
fn the_next_nonce_is_used_next() {
    let (mut keyring, mut asked, at) = (keyring("r"), Asked::default(), flow(1));
    keyring.challenged(&response(401, BOTH), &at, Trust::Ours, &mut asked).unwrap();
    lines(&mut keyring, &asked, &at, true);
    let ok = response(200, "Authentication-Info: nextnonce=\"fresh\", qop=auth\r\n");
    keyring.informed(&ok, &flow(2));
    assert!(lines(&mut keyring, &asked, &at, true).contains("nonce=\"n\""));
    keyring.informed(&ok, &at);
    let next = lines(&mut keyring, &asked, &at, true);
    assert!(next.contains("nonce=\"fresh\"") && next.contains("nc=00000001"), "{next}");
}

#[test]
fn what_we_cannot_answer() {
    for line in [
        "WWW-Authenticate: Basic realm=\"r\"\r\n",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256\r\n",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"\r\n",
        "WWW-Authenticate: Digest realm=\"r\r\n",
        "",
    ] {
        let asked = keyring("r").challenged(
            &response(401, line),
            &flow(1),
            Trust::Ours,
            &mut Asked::default(),
        );
        assert_eq!(asked, Err(Refusal::Unknown), "{line}");
    }
    let other = keyring("other").challenged(
        &response(401, BOTH),
        &flow(1),
        Trust::Ours,
        &mut Asked::default(),
    );
    assert_eq!(other, Err(Refusal::NoCredentials { realm: "r".into() }));
}

#[test]
fn secrets_are_not_printed() {
    let credentials = Credentials {
        user: "alice".into(),
        realm: "r".into(),
        secret: Secret::Password("swordfish".into()),
    };
    assert!(!format!("{credentials:?}").contains("swordfish"));
}
