//! S-4 relay_abuse and S-5 fork_loop: the server is nobody's relay and nobody's amplifier (RFC 3261 §16.4, §16.12,
//! RFC 5393).

use sip_message::Name;

use super::world::*;
use crate::output::BindingRow;
use crate::time::Duration;

/// The address nothing may ever be sent to.
const THIRD: &str = "198.51.100.99";

fn nothing_relayed(world: &mut World, text: &str) -> Vec<u16> {
    let mut sent = world.from(MALLORY, text);
    sent.extend(world.pass(Duration::from_secs(40)));
    for one in &sent {
        assert_eq!(one.to(), MALLORY, "relayed:\n{text}\n-->\n{}", one.text);
        assert!(one.status() >= 400, "{}", one.text);
    }
    sent.iter().map(Sent::status).collect()
}

fn mallory(method: &str, uri: &str) -> String {
    request(method, uri, "sip:m@evil.example", uri, MALLORY, "m1")
}

/// Inside a dialog, says the To tag; a Route of ours, says the Route.
fn in_dialog(method: &str, route: &str) -> String {
    mallory(method, &format!("sip:x@{THIRD}"))
        .replace(&format!("{THIRD}>\nCall"), &format!("{THIRD}>;tag=t\nCall"))
        .replace("Contact", &format!("Route: {route}\nContact"))
}

/// Eight forms of asking the server to send something where it has no business.
#[test]
fn relay_abuse() {
    let mut call = Call::established();
    let sealed = call.route();
    let world = &mut call.world;
    let us = "<sip:192.0.2.1:5060;lr>";
    let forms = [
        // 1. A foreign Request-URI.
        mallory("INVITE", &format!("sip:x@{THIRD}")),
        // 2. A To tag and our own address as Route: the request is "inside a dialog".
        in_dialog("INVITE", us),
        // 3. The same, and the third party behind us.
        in_dialog("INVITE", &format!("{us}, <sip:{THIRD};lr>")),
        // 4. The same with a seal that is none, and with one of another call.
        in_dialog("INVITE", "<sip:192.0.2.1:5060;lr;rw=00000000aaaaaaaaaaaaaaaa>"),
        in_dialog("INVITE", &sealed),
        // 5. A preloaded Route outside any dialog.
        mallory("INVITE", "sip:bob@example.com")
            .replace("Contact", &format!("Route: {us}, <sip:{THIRD};lr>\nContact")),
        // 6. maddr and transport tricks.
        mallory("INVITE", &format!("sip:bob@example.com;maddr={THIRD}")),
        mallory("MESSAGE", &format!("sip:bob@192.0.2.1;maddr={THIRD};transport=tcp")),
        // 7. A strict router's spelling: our Record-Route in the Request-URI, the target in Route.
        mallory("INVITE", "sip:192.0.2.1:5060;lr;rw=00000000aaaaaaaaaaaaaaaa")
            .replace("Contact", &format!("Route: <sip:x@{THIRD}>\nContact")),
        // 8. Our address at a port that is not ours: a neighbour on this machine.
        mallory("INVITE", "sip:x@192.0.2.1:22"),
    ];
    for (at, text) in forms.iter().enumerate() {
        let text = text.replace("call-1", &format!("relay-{at}"));
        let statuses = nothing_relayed(world, &text);
        assert_eq!(statuses.len(), 1, "form {at}: {statuses:?}");
    }
    // An ACK is dropped, not relayed.
    for text in [in_dialog("ACK", us), in_dialog("ACK", &sealed).replace("call-1", "relay-9")] {
        assert_eq!(nothing_relayed(world, &text), []);
    }
}

/// RFC 3261 §16.12: the seal is good for its own dialog: Call-ID and a tag of the caller.
#[test]
fn a_seal_of_another_dialog() {
    let mut call = Call::established();
    let bye = call.within("BYE", "b1");
    for (from, to, status) in [
        ("call-1", "call-2", 403),
        ("tag=from1", "tag=from2", 403),
        (";rw=", ";rw=0", 403),
        (";rw=", ";xx=", 403),
    ] {
        let sent = call.world.from(MALLORY, &bye.replace(from, to));
        assert_eq!(lines(&sent), [format!("{status} {MALLORY}")], "{from} {to}");
    }
    assert_eq!(lines(&call.world.from(ALICE, &bye)), ["BYE 192.0.2.20:5060"]);
}

/// RFC 3261 §12.2.2: in a dialog with the server itself, which has none.
#[test]
fn a_dialog_with_nobody_is_481() {
    let mut world = World::open();
    let text = invite("d1").replace("example.com>\nCall", "example.com>;tag=x\nCall");
    for method in ["INVITE", "BYE", "OPTIONS"] {
        let sent = world.from(ALICE, &text.replace("INVITE", method));
        assert_eq!(lines(&sent), ["481 192.0.2.10:5060"], "{method}");
    }
}

/// RFC 3261 §16.4: a strict router before us moved the target into Route; it is put back.
#[test]
fn a_strict_router_before_us() {
    let mut call = Call::established();
    let route = call.route();
    let uri = route.trim_matches(['<', '>']);
    let bye = call
        .within("BYE", "b1")
        .replace("BYE sip:bob@192.0.2.20:5060", &format!("BYE {uri}"))
        .replace(&format!("Route: {route}"), "Route: <sip:bob@192.0.2.20:5060>");
    let sent = call.world.from(ALICE, &bye);
    assert_eq!(lines(&sent), ["BYE 192.0.2.20:5060"]);
    assert_eq!(sent[0].request().uri_bytes(), b"sip:bob@192.0.2.20:5060");
    assert_eq!(sent[0].header(Name::Route), "");
}

/// RFC 3261 §16.6 step 6: a strict router behind us gets its own address in the Request-URI, the target last.
#[test]
fn a_strict_router_behind_us() {
    let mut call = Call::established();
    let route = call.route();
    let text = |next: &str| {
        let bye = call.within("BYE", "b1");
        bye.replace(&format!("Route: {route}"), &format!("Route: {route}, {next}, <sip:last;lr>"))
    };
    let (strict, loose) = (text("<sip:192.0.2.77>"), text("<sip:192.0.2.77;lr>"));
    let sent = call.world.from(ALICE, &strict);
    assert_eq!(lines(&sent), ["BYE 192.0.2.77:5060"]);
    let copy = sent[0].request();
    assert_eq!(copy.uri_bytes(), b"sip:192.0.2.77");
    let routes: Vec<_> = copy.routes().map(|r| r.unwrap().uri_bytes().to_vec()).collect();
    assert_eq!(routes, [&b"sip:last;lr"[..], b"sip:bob@192.0.2.20:5060"]);
    let sent = call.world.from(ALICE, &loose.replace("z9hG4bKb1", "z9hG4bKb2"));
    assert_eq!(sent[0].request().uri_bytes(), b"sip:bob@192.0.2.20:5060");
    assert_eq!(sent[0].request().routes().count(), 2);
}

/// RFC 3261 §16.6 step 7: a next hop that is nowhere is refused.
#[test]
fn next_hops_that_are_nowhere() {
    let mut call = Call::established();
    for (n, host) in [
        "phone..example",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.1.75",
        "192.0.2.9:0",
        "192.0.2.9;transport=sctp",
    ]
    .into_iter()
    .enumerate()
    {
        let bye = call.within("BYE", &format!("n{n}"));
        let sent = call.world.from(
            ALICE,
            &bye.replace("BYE sip:bob@192.0.2.20:5060", &format!("BYE sip:bob@{host}")),
        );
        assert_eq!(lines(&sent), ["478 192.0.2.10:5060"], "{host}");
    }
}

/// A phone's outbound proxy setting puts our address into Route (RFC 3261 §8.1.2); that is not abuse.
#[test]
fn our_own_preloaded_route_is_popped() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let text = invite("a1").replace("Contact", "Route: <sip:example.com;lr>\nContact");
    let sent = world.from(ALICE, &text);
    assert_eq!(find(&sent, "INVITE").header(Name::Route), "");
}

fn bind(world: &World, user: &str, contact: &str, peer: &str) {
    let row = BindingRow {
        aor: format!("{user}@example.com").into(),
        contact: contact.into(),
        call_id: contact.into(),
        cseq: 1,
        q: 1000,
        expires_at: world.now + Duration::from_secs(3600),
        modified_at: world.now,
        flow: udp(peer),
        user_agent: "".into(),
        path: "".into(),
    };
    assert_eq!(world.shared.location.load(world.now, Duration::from_secs(3600), [&row]), 1);
}

/// S-5: RFC 5393 §3's attack, two users with two contacts each that lead to each other, at Max-Forwards 4, 8 and 70.
/// The contacts lead back through a peer that returns everything it gets, each time in another spelling of our names.
#[test]
fn fork_loop() {
    for hops in [4, 8, 70] {
        let mut world = World::open();
        let mirror = "192.0.2.66:5060";
        for user in ["a", "b"] {
            bind(&world, user, "sip:a@192.0.2.66:5060", mirror);
            bind(&world, user, "sip:b@192.0.2.66:5060", mirror);
        }
        let text = invite("l1").replace("sip:bob@", "sip:a@").replace(": 70", &format!(": {hops}"));
        let mut queue = world.from(ALICE, &text);
        let (mut invites, mut finals, mut n) = (0, Vec::new(), 0);
        let start = world.now;
        while let Some(one) = (!queue.is_empty()).then(|| queue.remove(0)) {
            match (one.status(), one.to()) {
                (0, to) if to == mirror && one.line().starts_with("INVITE") => {
                    invites += 1;
                    assert!(invites <= 8, "Max-Forwards {hops}");
                    n += 1;
                    // A proxy of its own: it adds a Via, counts down, and spells our name as it likes.
                    let host =
                        ["example.com", "192.0.2.1", "192.0.2.1:5060", "EXAMPLE.com;x=1"][n % 4];
                    let via = format!("Via: SIP/2.0/UDP {mirror};branch=z9hG4bKmirror{n}\r\nVia: ");
                    let copy = one.text.replacen("@192.0.2.66:5060", &format!("@{host}"), 1);
                    queue.extend(world.from(mirror, &copy.replacen("Via: ", &via, 1)));
                }
                (100.., to) if to == mirror && one.status() >= 200 => {
                    // It passes the answer on to where it got the request from: us.
                    let mut out = Vec::new();
                    sip_message::write::response_upstream(&one.response(), &mut out);
                    queue.extend(world.from(mirror, &String::from_utf8(out).unwrap()));
                }
                (status @ 200.., _) => finals.push(status),
                _ => {}
            }
        }
        assert_eq!(finals, [482], "Max-Forwards {hops}: an answer, at once");
        assert_eq!(world.now, start);
        assert!(invites >= 2, "{invites}");
    }
}

/// The same when the contacts name our users: they are followed here, and nobody is asked twice.
#[test]
fn users_who_point_at_each_other() {
    let mut world = World::open();
    for user in ["a", "b"] {
        bind(&world, user, "sip:a@example.com", BOB);
        bind(&world, user, "sip:b@example.com", BOB);
    }
    let text = invite("l1").replace("sip:bob@", "sip:a@");
    assert_eq!(lines(&world.from(ALICE, &text)).last().unwrap(), "404 192.0.2.10:5060");
    bind(&world, "b", "sip:b@192.0.2.20:5060", BOB);
    let sent = world.from(ALICE, &text.replace("z9hG4bKl1", "z9hG4bKl2"));
    assert_eq!(lines(&sent), ["100 192.0.2.10:5060", "INVITE 192.0.2.20:5060"]);
}

/// limits: ten users with ten contacts each are a hundred places; a request goes to sixteen.
#[test]
fn forks_are_bounded() {
    let mut world = World::open();
    for n in 0..10 {
        bind(&world, "a", &format!("sip:u{n}@example.com"), BOB);
        for m in 0..10 {
            bind(&world, &format!("u{n}"), &format!("sip:x@192.0.2.20:{}", 6000 + 10 * n + m), BOB);
        }
    }
    let sent = world.from(ALICE, &invite("l1").replace("sip:bob@", "sip:a@"));
    assert_eq!(sent.iter().filter(|s| s.line().starts_with("INVITE")).count(), 16);
}
