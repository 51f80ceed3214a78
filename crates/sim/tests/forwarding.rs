//! RFC 5359 §2.8 to §2.10: calls that go somewhere else, because the account says so; and what is said about it
//! (RFC 5806, RFC 7044).

use sim::{Phone, World, ms, play, secs};

const CAROL: &str = "sip:carol@example.com";

fn three(w: &mut World) -> [Phone; 3] {
    ["alice", "bob", "carol"].map(|name| w.phone(name))
}

/// The header values of the last INVITE that reached `name`.
fn told(w: &World, name: &str, header: &str) -> Vec<String> {
    let reached = w.trace.wires.iter().rev().find(|x| {
        x.message.method == "INVITE"
            && x.message.is_request()
            && x.to.is_some_and(|to| w.name(to) == name)
    });
    let text = reached.map(|x| String::from_utf8_lossy(&x.bytes).into_owned()).unwrap_or_default();
    let start = format!("{header}: ");
    text.lines().filter_map(|line| line.strip_prefix(&*start).map(str::to_owned)).collect()
}

/// RFC 5359 §2.8: all calls to bob go to carol; bob's phone never hears of them.
#[test]
fn unconditional() {
    play("forwarding/unconditional", |w| {
        let [alice, bob, carol] = three(w);
        w.forward("bob", |f| f.always = Some(CAROL.into()));
        alice.invite("bob").hang_up_after(secs(2));
        carol.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "");
        let bob = "<sip:bob@example.com>;reason=unconditional;counter=1";
        assert_eq!(told(w, "carol", "Diversion"), [bob]);
        let history =
            ["<sip:bob@example.com>;index=1", "<sip:carol@example.com;cause=302>;index=1.1;mp=1"];
        assert_eq!(told(w, "carol", "History-Info"), history);
    });
}

/// RFC 5359 §2.9: bob is busy.
#[test]
fn busy() {
    play("forwarding/busy", |w| {
        let [alice, bob, carol] = three(w);
        w.forward("bob", |f| f.busy = Some(CAROL.into()));
        alice.invite("bob").hang_up_after(secs(2));
        bob.busy();
        carol.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "INVITE ACK");
        assert_eq!(
            told(w, "carol", "Diversion"),
            ["<sip:bob@example.com>;reason=user-busy;counter=1"]
        );
        let history = [
            "<sip:bob@example.com?Reason=SIP%3Bcause%3D486>;index=1",
            "<sip:carol@example.com;cause=486>;index=1.1;mp=1",
        ];
        assert_eq!(told(w, "carol", "History-Info"), history);
    });
}

/// RFC 5359 §2.10: bob does not answer for 10 s. His phone is cancelled, carol's rings.
#[test]
fn no_answer() {
    play("forwarding/no_answer", |w| {
        let [alice, bob, carol] = three(w);
        w.forward("bob", |f| f.no_answer = Some((CAROL.into(), secs(10))));
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50));
        carol.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
        assert_eq!(
            told(w, "carol", "Diversion"),
            ["<sip:bob@example.com>;reason=no-answer;counter=1"]
        );
    });
}

/// The time to answer is that of the user, however many phones of lower q he has.
#[test]
fn no_answer_of_several_phones() {
    play("forwarding/no_answer_of_several_phones", |w| {
        let [alice, bob, carol] = three(w);
        let second = w.device_with_q("bob", "second", 500);
        let third = w.device_with_q("bob", "third", 100);
        w.forward("bob", |f| f.no_answer = Some((CAROL.into(), secs(30))));
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50));
        second.ring_after(ms(50));
        carol.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 180 200 200");
        assert_eq!(second.heard(), "INVITE CANCEL ACK");
        assert_eq!(third.heard(), "");
    });
}

/// Busy and unanswered are two things: who only forwards when busy is not forwarded when nobody comes.
#[test]
fn each_cause_for_itself() {
    play("forwarding/each_cause_for_itself", |w| {
        let [alice, bob, carol] = three(w);
        w.forward("bob", |f| f.busy = Some(CAROL.into()));
        alice.invite("bob");
        bob.ring_after(ms(50)).reject_after(secs(1), 480);
        w.run();
        assert_eq!(alice.heard(), "100 180 480");
        assert_eq!(carol.heard(), "");
    });
}

/// bob declines: that speaks for bob, and nobody else is asked (RFC 3261 §16.7 step 5). Busy everywhere is busy.
#[test]
fn declined() {
    play("forwarding/declined", |w| {
        let [alice, bob, carol] = three(w);
        w.forward("bob", |f| f.busy = Some(CAROL.into()));
        alice.invite("bob");
        alice.invite("bob").at(secs(5)).hang_up_after(secs(2));
        bob.reject_after(ms(50), 603);
        bob.reject_after(ms(50), 600);
        carol.answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 603 100 200 200");
    });
}

/// bob has no phone; then one that never says anything.
#[test]
fn unreachable() {
    play("forwarding/unreachable", |w| {
        let alice = w.phone("alice");
        w.unregistered("bob");
        let carol = w.phone("carol");
        w.forward("bob", |f| f.unreachable = Some(CAROL.into()));
        alice.invite("bob").hang_up_after(secs(2));
        carol.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(
            told(w, "carol", "Diversion"),
            ["<sip:bob@example.com>;reason=unavailable;counter=1"]
        );
    });
    play("forwarding/dead_phone", |w| {
        let [alice, bob, carol] = three(w);
        w.forward("bob", |f| f.unreachable = Some(CAROL.into()));
        alice.invite("bob").hang_up_after(secs(2));
        bob.dies_after(ms(0));
        carol.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// To somebody who is not ours: the account says so, and that is the operator's word.
#[test]
fn to_elsewhere() {
    play("forwarding/to_elsewhere", |w| {
        let [alice, bob, _] = three(w);
        let friend = w.stranger("friend");
        let target = format!("sip:friend@{}", friend.address());
        w.configure(|c| c.allow_outbound = false);
        w.forward("bob", |f| f.busy = Some(target.clone().into()));
        alice.invite("bob").hang_up_after(secs(2));
        bob.busy();
        friend.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(friend.heard(), "INVITE ACK BYE");
    });
}

/// bob to carol when busy, carol to dave when nobody answers: the newest Diversion on top, one history.
#[test]
fn chain() {
    play("forwarding/chain", |w| {
        let [alice, bob, carol] = three(w);
        let dave = w.phone("dave");
        w.forward("bob", |f| f.busy = Some(CAROL.into()));
        w.forward("carol", |f| f.no_answer = Some(("sip:dave@example.com".into(), secs(5))));
        alice.invite("bob").hang_up_after(secs(2));
        bob.busy();
        carol.ring_after(ms(50));
        dave.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
        let diversions = [
            "<sip:carol@example.com>;reason=no-answer;counter=1",
            "<sip:bob@example.com>;reason=user-busy;counter=1",
        ];
        assert_eq!(told(w, "dave", "Diversion"), diversions);
        let history = [
            "<sip:bob@example.com?Reason=SIP%3Bcause%3D486>;index=1",
            "<sip:carol@example.com;cause=486?Reason=SIP%3Bcause%3D408>;index=1.1;mp=1",
            "<sip:dave@example.com;cause=408>;index=1.1.1;mp=1.1",
        ];
        assert_eq!(told(w, "dave", "History-Info"), history);
    });
}

/// Diversions and history that came with the call stay, behind ours and before ours.
#[test]
fn what_others_wrote() {
    play("forwarding/what_others_wrote", |w| {
        let [alice, _, carol] = three(w);
        w.forward("bob", |f| f.always = Some(CAROL.into()));
        alice
            .invite("bob")
            .header("Diversion: <sip:eve@example.net>;reason=user-busy")
            .header("History-Info: <sip:eve@example.net>;index=1,<sip:bob@example.com>;index=1.1")
            .hang_up_after(secs(2));
        alice.invite("bob").at(secs(9)).header("Privacy: id;history").hang_up_after(secs(2));
        carol.answer_after(secs(1));
        w.run_for(secs(8));
        let diversions = [
            "<sip:bob@example.com>;reason=unconditional;counter=1",
            "<sip:eve@example.net>;reason=user-busy",
        ];
        assert_eq!(told(w, "carol", "Diversion"), diversions);
        let last = told(w, "carol", "History-Info").pop();
        assert_eq!(last.as_deref(), Some("<sip:carol@example.com;cause=302>;index=1.1.1;mp=1.1"));
        w.run();
        assert_eq!(told(w, "carol", "History-Info"), Vec::<String>::new(), "she asked for privacy");
    });
}

/// alice forwards to bob and bob to carol and carol to alice: nobody is asked twice, nothing is sent.
#[test]
fn ring() {
    play("forwarding/ring", |w| {
        let [alice, bob, carol] = three(w);
        w.forward("bob", |f| f.always = Some(CAROL.into()));
        w.forward("carol", |f| f.always = Some("sip:bob@10.0.0.1".into()));
        alice.invite("bob");
        w.run();
        assert_eq!(alice.heard(), "482");
        assert_eq!(bob.heard() + &carol.heard(), "");
    });
}

/// Two servers that forward to each other: the request comes back unchanged, or has been passed on too often.
#[test]
fn ring_of_two_servers() {
    play("forwarding/ring_of_two_servers", |w| {
        let alice = w.phone("alice");
        w.add_server("proxy2", "biloxi.example.com");
        for server in 0..2 {
            w.configure_server(server, |c| c.allow_inbound = true);
            w.add_account(server, "bob");
        }
        w.forward("bob", |f| f.always = Some("sip:bob@10.0.0.2".into()));
        w.bind_at(1, "bob", "sip:bob@10.0.0.1:5060");
        alice.invite("bob");
        w.run();
        assert_eq!(alice.heard(), "100 482");
        assert!(w.sent("proxy", "INVITE") <= 2, "{}", w.sent("proxy", "INVITE"));
    });
}

/// Six accounts in a row: five times is enough (RFC 5806 §6.3).
#[test]
fn too_often() {
    play("forwarding/too_often", |w| {
        let alice = w.phone("alice");
        let last = w.phone("u6");
        for n in 0..6 {
            w.unregistered(&format!("u{n}"));
            let next = format!("sip:u{}@example.com", n + 1);
            w.forward(&format!("u{n}"), |f| f.always = Some(next.into()));
        }
        alice.invite("u1").hang_up_after(secs(2));
        alice.invite("u0").at(secs(5));
        last.answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 200 200 482");
    });
}

/// The caller gives up while carol's phone rings, to whom bob's calls went.
#[test]
fn cancelled() {
    play("forwarding/cancelled", |w| {
        let [alice, bob, carol] = three(w);
        w.forward("bob", |f| f.no_answer = Some((CAROL.into(), secs(10))));
        alice.invite("bob").cancel_after(secs(12));
        bob.ring_after(ms(50));
        carol.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 487");
        assert_eq!(carol.heard(), "INVITE CANCEL ACK");
    });
}

/// bob picks up just when his phone is cancelled: his 200 wins over carol's ringing.
#[test]
fn late_answer_wins() {
    play("forwarding/late_answer_wins", |w| {
        let [alice, bob, carol] = three(w);
        w.delay("proxy -> bob", "CANCEL", &[1], ms(400));
        w.forward("bob", |f| f.no_answer = Some((CAROL.into(), secs(10))));
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(ms(10_200));
        carol.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
        assert_eq!(carol.heard(), "INVITE CANCEL ACK");
    });
}

/// Nobody there either: the caller hears what bob's phone said.
#[test]
fn in_vain() {
    play("forwarding/in_vain", |w| {
        let [alice, bob, carol] = three(w);
        w.forward("bob", |f| f.busy = Some(CAROL.into()));
        alice.invite("bob");
        bob.busy();
        carol.reject_after(ms(100), 480);
        w.run();
        assert_eq!(alice.heard(), "100 486");
    });
}
