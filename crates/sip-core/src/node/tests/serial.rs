//! One step after the other (RFC 3261 §16.6), and where a search goes on (§16.7 step 4, RFC 5359): who is asked when, and
//! how much of it there may be.

use sip_message::Name;

use super::world::*;
use crate::forwarding::Forwards;
use crate::limits;
use crate::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Bob has two phones; the second is tried when the first has not answered.
fn bob(world: &mut World) {
    world.prefer("bob", "sip:bob@192.0.2.20:5060", BOB, "1.0");
    world.prefer("bob", "sip:bob@192.0.2.30:5060", CAROL, "0.5");
}

fn with_breadth(breadth: u32) -> String {
    invite("a1").replace("Contact", &format!("Max-Breadth: {breadth}\nContact"))
}

/// RFC 3261 §16.6: the lower q value waits for the time of the higher one to be over.
#[test]
fn lower_q_values_wait() {
    let mut world = World::open();
    bob(&mut world);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(lines(&sent), ["100 192.0.2.10:5060", "INVITE 192.0.2.20:5060"]);
    world.from(BOB, &sent[1].reply(180, "b", ""));
    assert!(world.pass(19 * SECOND).is_empty());
    let late = world.pass(SECOND);
    assert_eq!(lines(&late), ["CANCEL 192.0.2.20:5060", "INVITE 192.0.2.30:5060"]);
    world.from(CAROL, &late[1].reply(480, "c", ""));
    // RFC 3261 §16.7 step 6: not before the first has ended too. Its 487 is our doing and nobody's answer.
    let sent = world.from(BOB, &sent[1].reply(487, "b", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.20:5060", "480 192.0.2.10:5060"]);
    world.from(ALICE, &invite("a1").replace("INVITE", "ACK"));
    assert!(world.is_at_rest());
}

/// RFC 5393 §5.3.3: the breadth is divided among the steps too, and given out once.
#[test]
fn breadth_is_shared_between_steps() {
    let mut world = World::open();
    bob(&mut world);
    let sent = world.from(ALICE, &with_breadth(9));
    assert_eq!(sent[1].request().max_breadth(), Ok(Some(4)), "half is kept for the next");
    let next = world.from(BOB, &sent[1].reply(486, "b", ""));
    assert_eq!(lines(&next), ["ACK 192.0.2.20:5060", "INVITE 192.0.2.30:5060"]);
    assert_eq!(next[1].request().max_breadth(), Ok(Some(5)));
    world.from(CAROL, &next[1].reply(200, "c", ""));
    assert!(world.is_at_rest());

    let sent = world.from(ALICE, &with_breadth(1));
    assert_eq!(sent[1].request().max_breadth(), Ok(Some(1)));
    let next = world.from(BOB, &sent[1].reply(486, "b", ""));
    assert_eq!(lines(&next), ["ACK 192.0.2.20:5060", "486 192.0.2.10:5060"], "nothing is left");
}

/// However much an account forwards and a phone redirects, forks of one request are bounded in all.
#[test]
fn forks_are_bounded_in_all() {
    let mut world = World::open();
    world.reconfigure(|config| config.forking.recurse = true);
    for user in 0..6 {
        let name = format!("u{user}");
        for device in 1..=10 {
            let contact = format!("sip:{name}@192.0.2.20:{user}{device:02}");
            world.prefer(&name, &contact, BOB, "1.0");
        }
    }
    let mut branches = std::collections::HashSet::new();
    let uri = "sip:u0@example.com";
    let text = request("INVITE", uri, "sip:alice@example.com", uri, ALICE, "a1");
    let mut open = world.from(ALICE, &text);
    while let Some(sent) = open.pop() {
        if !sent.line().starts_with("INVITE") {
            continue;
        }
        branches.insert(sent.header(Name::Via));
        let next = sent.text.split("sip:u").nth(1).and_then(|rest| rest.get(..1));
        let next: u32 = next.and_then(|digit| digit.parse().ok()).unwrap();
        let contact = format!("Contact: <sip:u{}@example.com>\n", next + 1);
        open.extend(world.from(BOB, &sent.reply(302, "b", &contact)));
    }
    assert_eq!(
        branches.len(),
        35,
        "10 of each as long as the breadth of {} lasts",
        limits::BREADTH.max
    );
    assert!(branches.len() <= limits::FORKS_IN_ALL.max);
}

/// RFC 5359 §2.8 to §2.10, one account, by the status of its phone.
#[test]
fn what_each_status_means_for_an_account_that_forwards() {
    let forwards = Forwards {
        always: None,
        busy: Some("sip:busy@192.0.2.40".into()),
        no_answer: Some(("sip:late@192.0.2.40".into(), 10 * SECOND)),
        unreachable: Some("sip:gone@192.0.2.40".into()),
    };
    for (rings, status, user) in [
        (false, 486, Some("busy")),
        (true, 486, Some("busy")),
        (false, 600, Some("busy")),
        (false, 603, None),
        (false, 404, Some("gone")),
        (false, 480, Some("gone")),
        (true, 480, Some("late")),
        (true, 404, None),
        (false, 503, Some("gone")),
        (false, 302, None),
        (false, 401, None),
    ] {
        let mut world = World::open();
        world.account("bob", forwards.clone());
        world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
        let sent = world.from(ALICE, &invite("a1"));
        if rings {
            world.from(BOB, &sent[1].reply(180, "b", ""));
        }
        let sent = world.from(BOB, &sent[1].reply(status, "b", ""));
        let went = sent.iter().find(|sent| sent.line().starts_with("INVITE"));
        let went =
            went.map(|sent| String::from_utf8_lossy(sent.request().uri_bytes()).into_owned());
        assert_eq!(went, user.map(|user| format!("sip:{user}@192.0.2.40")), "{rings} {status}");
    }
}

/// What a phone that is gone costs, and a table that is full, is the search of the user it belonged to.
#[test]
fn the_status_of_one_user_is_not_that_of_the_next() {
    let mut world = World::open();
    let to = |uri: &str| Some(uri.into());
    world.account("bob", Forwards { busy: to("sip:carol@example.com"), ..Forwards::default() });
    world.account("carol", Forwards { busy: to("sip:dave@192.0.2.40"), ..Forwards::default() });
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    world.register("carol", "sip:carol@192.0.2.30:5060", CAROL);
    let sent = world.from(ALICE, &invite("a1"));
    let sent = world.from(BOB, &sent[1].reply(486, "b", ""));
    let sent = world.from(CAROL, &find(&sent, "INVITE").reply(404, "c", ""));
    assert_eq!(lines(&sent), ["ACK 192.0.2.30:5060", "486 192.0.2.10:5060"], "carol was not busy");
}

/// RFC 3327 §5.3: kept with the binding, echoed in the 200, and the Route of what goes there.
#[test]
fn a_path_is_the_route_to_a_binding() {
    let mut world = World::open();
    let path = "<sip:192.0.2.20:5080;lr>, <sip:inner.example.net;lr>";
    let text = |extra: &str| {
        request(
            "REGISTER",
            "sip:example.com",
            "sip:bob@example.com",
            "sip:bob@example.com",
            BOB,
            "r",
        )
        .replace("Contact: <sip:192.0.2.20:5060>", "Contact: <sip:bob@10.0.0.9>")
        .replace("Content-Length", &format!("{extra}\nContent-Length"))
    };
    let refused = world.from(BOB, &text(&format!("Path: {path}")));
    assert_eq!(refused[0].status(), 420);
    assert_eq!(refused[0].header(Name::Unsupported), "path");
    for bad in ["<sip:192.0.2.20>", "<sip:192.0.2.1:5060;lr>", "nonsense"] {
        let sent = world.from(BOB, &text(&format!("Supported: path\nPath: {bad}")));
        assert!(matches!(sent[0].status(), 400 | 403), "{bad}: {}", sent[0].status());
    }
    let sent = world.from(BOB, &text(&format!("Require: path\nPath: {path}")));
    assert_eq!(sent[0].status(), 200, "{}", sent[0].text);
    let kept = path.replace(", ", ",");
    assert_eq!(sent[0].header(Name::Path), kept);
    let sent = world.from(ALICE, &invite("a1"));
    let invite = find(&sent, "INVITE");
    assert_eq!(invite.line(), "INVITE 192.0.2.20:5080");
    assert_eq!(invite.header(Name::Route), kept);
    assert_eq!(invite.request().uri_bytes(), b"sip:bob@10.0.0.9");
}

/// RFC 3261 §8.3: statelessly, the same answer again, and nothing is left.
#[test]
fn a_redirect_server_keeps_nothing() {
    let mut world = World::open();
    bob(&mut world);
    world.reconfigure(|config| config.redirect_domains = vec!["example.com".into()]);
    let first = world.from(ALICE, &invite("a1"));
    assert_eq!(lines(&first), ["302 192.0.2.10:5060"]);
    let contacts = "<sip:bob@192.0.2.20:5060>|<sip:bob@192.0.2.30:5060>;q=0.500";
    let response = first[0].response();
    let named: Vec<_> =
        response.headers(Name::Contact).map(|v| String::from_utf8_lossy(v).into_owned()).collect();
    assert_eq!(named.join("|"), contacts);
    assert_eq!(world.from(ALICE, &invite("a1"))[0].text, first[0].text);
    assert!(world.from(ALICE, &invite("a1").replace("INVITE", "ACK")).is_empty());
    assert!(world.is_at_rest());
}
