//! S-7 spoof_identity, hijack_contact, header_smuggle, and who is told what (RFC 3261 §22, RFC 3325 §5).

use sip_message::{Message, Name};

use super::world::*;
use crate::auth::account::Ha1;
use crate::auth::ha1;
use crate::config::Algorithm;
use crate::output::Event;

/// Accounts with passwords, and nobody believed without.
pub fn guarded() -> World {
    let world = World::new(config());
    for user in ["alice", "bob", "carol"] {
        let aor = format!("{user}@example.com");
        assert!(world.shared.accounts.set(&aor, Ha1::from_password(user, "example.com", "secret")));
    }
    world
}

/// The answer of `user` to the MD5 challenge in `sent`, as a whole header line.
pub fn credentials(sent: &Sent, user: &str, method: &str, uri: &str, nc: u32) -> String {
    let (name, answer) = match sent.status() {
        401 => (Name::WwwAuthenticate, "Authorization"),
        407 => (Name::ProxyAuthenticate, "Proxy-Authorization"),
        other => panic!("{other} is no challenge"),
    };
    let Ok(Message::Response(response)) = Message::parse(wire(&sent.text)) else { panic!() };
    let challenges: Vec<String> =
        response.headers(name).map(|v| String::from_utf8(v.to_vec()).unwrap()).collect();
    assert!(challenges[0].contains("SHA-256"), "RFC 8760 §2.4: strongest first");
    let md5 = challenges.iter().find(|c| c.contains("MD5")).unwrap();
    let nonce = md5.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let secret = ha1(Algorithm::Md5, user, "example.com", "secret");
    let hash = |text: String| {
        use md5::{Digest as _, Md5};
        Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let ha2 = hash(format!("{method}:{uri}"));
    let response = hash(format!("{secret}:{nonce}:{nc:08x}:cn:auth:{ha2}"));
    format!(
        "{answer}: Digest username=\"{user}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm=MD5, qop=auth, nc={nc:08x}, cnonce=\"cn\"\n"
    )
}

pub fn with(text: &str, line: &str, branch: &str) -> String {
    text.replace("Contact", &format!("{line}Contact"))
        .replace("z9hG4bK", &format!("z9hG4bK{branch}"))
}

/// Registers with a password, as a phone does.
pub fn register(world: &mut World, user: &str, contact: &str, peer: &str) -> Sent {
    let aor = format!("sip:{user}@example.com");
    let text = request("REGISTER", "sip:example.com", &aor, &aor, peer, user)
        .replace(&format!("Contact: <sip:{peer}>"), &format!("Contact: <{contact}>"))
        .replace("call-1", &format!("register-{user}"));
    let challenge = world.from(peer, &text);
    assert_eq!(challenge[0].status(), 401, "§22.2");
    let answer = credentials(&challenge[0], user, "REGISTER", "sip:example.com", 1);
    world.from(peer, &with(&text, &answer, "2")).remove(0)
}

/// RFC 3261 §22.3: one of our users calls: 407, credentials, through. The credentials end here.
#[test]
fn a_call_with_a_password() {
    let mut world = guarded();
    assert_eq!(register(&mut world, "bob", "sip:bob@192.0.2.20:5060", BOB).status(), 200);
    world.events.clear();
    let challenge = world.from(ALICE, &invite("a1"));
    assert_eq!(lines(&challenge), ["407 192.0.2.10:5060"]);
    assert!(world.events.is_empty(), "a first challenge is no news");
    let answer = credentials(&challenge[0], "alice", "INVITE", "sip:bob@example.com", 1);
    let other = "Proxy-Authorization: Digest username=\"x\", realm=\"far.example\", nonce=\"1\", uri=\"sip:b\", response=\"00\"\n";
    let sent = world.from(ALICE, &with(&invite("a1"), &(answer + other), "2"));
    assert_eq!(lines(&sent), ["100 192.0.2.10:5060", "INVITE 192.0.2.20:5060"]);
    assert!(!sent[1].text.contains("example.com\", nonce"), "§22.3: ours is consumed");
    assert!(sent[1].text.contains("far.example"), "§22.3: others' are not");
}

/// RFC 3261 §22.1 has the ACK repeat the credentials of its INVITE, and §22.3 ends them here: what alice answered us with
/// never reaches bob.
#[test]
fn the_ack_of_a_call_with_a_password() {
    let mut world = guarded();
    register(&mut world, "bob", "sip:bob@192.0.2.20:5060", BOB);
    let challenge = world.from(ALICE, &invite("a1"));
    let answer = credentials(&challenge[0], "alice", "INVITE", "sip:bob@example.com", 1);
    let sent = world.from(ALICE, &with(&invite("a1"), &answer, "2"));
    let ok = world.from(BOB, &sent[1].reply(200, "b", "sip:bob@192.0.2.20:5060"));
    let route = ok[0].header(Name::RecordRoute).to_owned();
    let ack = invite("a9")
        .replace("INVITE sip:bob@example.com", "ACK sip:bob@192.0.2.20:5060")
        .replace("CSeq: 1 INVITE", &format!("CSeq: 2 ACK\nRoute: {route}\n{}", answer.trim_end()))
        .replace("<sip:bob@example.com>", "<sip:bob@example.com>;tag=b");
    let sent = world.from(ALICE, &ack);
    assert_eq!(lines(&sent), ["ACK 192.0.2.20:5060"], "{ack}");
    assert!(!sent[0].text.contains("Authorization"), "{}", sent[0].text);
}

/// S-7 spoof_identity.
#[test]
fn spoof_identity() {
    let mut world = guarded();
    register(&mut world, "bob", "sip:bob@192.0.2.20:5060", BOB);
    // Carol's password does not make her Alice.
    let challenge = world.from(CAROL, &invite("a1"));
    let answer = credentials(&challenge[0], "carol", "INVITE", "sip:bob@example.com", 1);
    let sent = world.from(CAROL, &with(&invite("a1"), &answer, "2"));
    assert_eq!(lines(&sent), ["403 192.0.2.30:5060"]);
    // Nor do other spellings of From escape the question.
    for from in [
        "sip:alice@192.0.2.1",
        "sip:alice@192.0.2.1:9",
        "SIP:%61lice@EXAMPLE.COM",
        "sips:alice@example.com",
    ] {
        let text = invite("a3").replace("<sip:alice@example.com>;tag", &format!("<{from}>;tag"));
        assert_eq!(lines(&world.from(MALLORY, &text)), [format!("407 {MALLORY}")], "{from}");
    }
    // Carol does not register Bob (RFC 3261 §10.3 step 4).
    let text = request(
        "REGISTER",
        "sip:example.com",
        "sip:carol@example.com",
        "sip:bob@example.com",
        CAROL,
        "r",
    );
    let challenge = world.from(CAROL, &text);
    let answer = credentials(&challenge[0], "carol", "REGISTER", "sip:example.com", 1);
    assert_eq!(lines(&world.from(CAROL, &with(&text, &answer, "3"))), ["403 192.0.2.30:5060"]);
}

/// RFC 3325 §5: identities that others assert do not pass, in whatever spelling, inside dialogs neither.
#[test]
fn asserted_identities_are_removed() {
    let asserted = "P-Asserted-Identity: <sip:boss@example.com>\np-preferred-identity: <sip:boss@example.com>\n\
         REMOTE-PARTY-ID : <sip:boss@example.com>\nContact";
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let sent = world.from(ALICE, &invite("a1").replace("Contact", asserted));
    assert!(!sent[1].text.contains("boss"), "{}", sent[1].text);
    let mut call = Call::established();
    let info = call.within("INFO", "i1").replace("CSeq", &asserted.replace("Contact", "CSeq"));
    let sent = call.world.from(ALICE, &info);
    assert!(!sent[0].text.contains("boss"), "{}", sent[0].text);
    // allow_inbound: strangers' too.
    world.reconfigure(|config| config.allow_inbound = true);
    let stranger = request(
        "INVITE",
        "sip:bob@example.com",
        "sip:x@far.example",
        "sip:bob@example.com",
        MALLORY,
        "s",
    );
    let sent = world.from(MALLORY, &stranger.replace("Contact", asserted));
    assert!(!find(&sent, "INVITE").text.contains("boss"));
}

/// S-7 hijack_contact: a binding at our own address, at nobody's, at everybody's, at our loopback.
#[test]
fn hijack_contact() {
    for contact in [
        "sip:bob@192.0.2.1:5060",
        "sip:bob@192.0.2.1",
        "sip:bob@192.0.2.1:5060;transport=tcp",
        "sip:bob@0.0.0.0:5060",
        "sip:bob@[::]:5060",
        "sip:bob@224.0.1.75",
        "sip:bob@255.255.255.255",
        "sip:bob@[ff02::1]",
        "sip:bob@127.0.0.1:5099",
        "sip:bob@[::1]:5099",
        "sip:bob@10.0.0.1;maddr=192.0.2.1",
    ] {
        let mut world = guarded();
        assert_eq!(register(&mut world, "bob", contact, BOB).status(), 403, "{contact}");
        assert!(world.shared.location.lookup(world.now, "bob@example.com").is_none());
    }
    let mut world = guarded();
    world.reconfigure(|config| {
        config
            .limits
            .trusted
            .push(crate::config::Network { address: [127, 0, 0, 0].into(), prefix: 8 });
    });
    let sent = register(&mut world, "bob", "sip:bob@127.0.0.1:5099", "127.0.0.1:5099");
    assert_eq!(sent.status(), 200, "loopback from loopback");
}

/// S-7 header_smuggle: one reading of a message, for the decision and for what leaves.
#[test]
fn header_smuggle() {
    let mut world = guarded();
    register(&mut world, "bob", "sip:bob@192.0.2.20:5060", BOB);
    let stranger = "<sip:x@far.example>;tag=from1";
    for (from, to) in [
        // Two Froms: one for the check, one for the callee.
        ("To:", format!("From: {stranger}\nTo:")),
        ("To:", format!("f: {stranger}\nTo:")),
        ("To:", format!("fRoM : {stranger}\nTo:")),
        // Two To, two Call-IDs, two CSeqs, two Max-Forwards.
        ("Call-ID:", "t: <sip:carol@example.com>\nCall-ID:".into()),
        ("CSeq:", "i: other\nCSeq:".into()),
        ("CSeq:", "CSeq: 2 INVITE\nCSeq:".into()),
        ("Max-Forwards:", "Max-Forwards: 1\nMax-Forwards:".into()),
        // Two Content-Lengths.
        ("Content-Length: 0", "Content-Length: 0\nl: 5".into()),
        // A header inside a Request-URI, a tag twice, a line end inside a display name.
        ("sip:bob@example.com SIP", "sip:bob@example.com?From=%3Csip:x@y%3E SIP".into()),
        (";tag=from1", ";tag=from1;tag=from2".into()),
        ("From: <", "From: \"a\rFrom: b\" <".into()),
        ("SIP/2.0\nVia", "SIP/2.0\nVia : \nVia".into()),
    ] {
        let text = invite("h1").replacen(from, &to, 1);
        let sent = world.from(ALICE, &text);
        let statuses: Vec<u16> = sent.iter().map(Sent::status).collect();
        assert!(statuses == [400] || statuses.is_empty(), "{to}: {statuses:?}");
    }
}

/// Not even by its answers: strangers cannot tell an unknown user from one who is offline or online.
#[test]
fn enumeration() {
    let mut world = guarded();
    register(&mut world, "bob", "sip:bob@192.0.2.20:5060", BOB);
    let ask = |world: &mut World, user: &str, from: &str| {
        let text = request(
            "INVITE",
            &format!("sip:{user}@example.com"),
            from,
            "sip:t@example.com",
            MALLORY,
            "e",
        );
        world.from(MALLORY, &text).last().map_or(0, Sent::status)
    };
    for (from, status) in [("sip:x@far.example", 403), ("sip:alice@example.com", 407)] {
        for user in ["bob", "carol", "nobody", "no%00body", "%zz"] {
            let expected = if user == "%zz" { 400 } else { status };
            assert_eq!(ask(&mut world, user, from), expected, "{user} {from}");
        }
    }
    // With allow_inbound a stranger reaches who is there; who is not there is 480, known or not.
    world.reconfigure(|config| config.allow_inbound = true);
    assert_eq!(ask(&mut world, "carol", "sip:x@far.example"), 480);
    assert_eq!(ask(&mut world, "nobody", "sip:x@far.example"), 480);
    assert_eq!(ask(&mut world, "no%00body", "sip:x@far.example"), 480);
}

/// RFC 3261 §21.4.5, §21.4.18: users are told.
#[test]
fn users_learn_who_is_offline() {
    let mut world = guarded();
    let ask = |world: &mut World, user: &str| {
        let uri = format!("sip:{user}@example.com");
        let text = request("INVITE", &uri, "sip:alice@example.com", &uri, ALICE, user);
        let challenge = world.from(ALICE, &text);
        let answer = credentials(&challenge[0], "alice", "INVITE", &uri, 1);
        world.from(ALICE, &with(&text, &answer, "2")).last().unwrap().status()
    };
    assert_eq!(ask(&mut world, "carol"), 480);
    assert_eq!(ask(&mut world, "nobody"), 404);
}

/// A wrong password is told to the operator, with the name that was tried.
#[test]
fn wrong_passwords_are_told() {
    let mut world = guarded();
    let challenge = world.from(ALICE, &invite("a1"));
    let answer = credentials(&challenge[0], "bob", "INVITE", "sip:bob@example.com", 1)
        .replace("\"bob\"", "\"alice\"");
    let sent = world.from(ALICE, &with(&invite("a1"), &answer, "2"));
    assert_eq!(lines(&sent), ["407 192.0.2.10:5060"]);
    let told = |e: &Event| matches!(e, Event::AuthFailed { user, .. } if &**user == "alice");
    assert!(world.events.iter().any(told), "{:?}", world.events);
}

/// S-6 through the node: a captured REGISTER, from elsewhere, is worth nothing.
#[test]
fn a_captured_register_is_worth_nothing() {
    let mut world = guarded();
    let aor = "sip:bob@example.com";
    let text = request("REGISTER", "sip:example.com", aor, aor, BOB, "c");
    let challenge = world.from(BOB, &text);
    let answer = credentials(&challenge[0], "bob", "REGISTER", "sip:example.com", 1);
    let right = with(&text, &answer, "2");
    assert_eq!(world.from(BOB, &right)[0].status(), 200);
    for n in 0..51 {
        let stolen = right
            .replace("z9hG4bK", &format!("z9hG4bK{n}"))
            .replace(&format!("<sip:{BOB}>"), &format!("<sip:{MALLORY}>"));
        assert_eq!(world.from(MALLORY, &stolen)[0].status(), 401);
    }
}
