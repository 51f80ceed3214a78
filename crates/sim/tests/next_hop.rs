//! RFC 3263: calls to names, by a DNS that answers, dawdles, lies or is dead; and servers behind a name that are alive,
//! dead, refuse, or say 503.

use sim::{Phone, World, ms, play, secs};

/// alice, and the three servers of example.org, in the order of their priority.
fn three(w: &mut World) -> (Phone, [Phone; 3]) {
    let alice = w.phone("alice");
    let servers = [w.stranger("first"), w.stranger("second"), w.stranger("third")];
    w.dns.add("example.org NAPTR 10 10 SIP+D2U _sip._udp.example.org");
    for (priority, (server, name)) in servers.iter().zip(["a", "b", "c"]).enumerate() {
        w.dns.add(&format!("_sip._udp.example.org SRV {priority} 0 5060 {name}.example.org"));
        w.dns.add(&format!("{name}.example.org A {}", server.address().ip()));
    }
    (alice, servers)
}

fn questions(w: &World) -> Vec<&str> {
    w.dns.asked.iter().map(String::as_str).collect()
}

/// RFC 3263 §4.1, §4.2: NAPTR, SRV, A, and the call; BYE goes to the Contact. The second server is not even looked up.
#[test]
fn by_naptr_srv_and_address() {
    play("next_hop/by_naptr_srv_and_address", |w| {
        let (alice, [first, ..]) = three(w);
        w.dns.delay = ms(20);
        alice.invite("bob@example.org").hang_up_after(secs(2));
        first.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        let asked =
            ["0.001 example.org NAPTR", "0.021 _sip._udp.example.org SRV", "0.041 a.example.org A"];
        assert_eq!(questions(w), asked);
    });
}

/// RFC 3263 §4.3: two are dead and say nothing; the third has the call after 6 s.
#[test]
fn two_are_silent() {
    play("next_hop/two_are_silent", |w| {
        let (alice, [first, second, third]) = three(w);
        alice.invite("bob@example.org").hang_up_after(secs(2));
        first.dies_after(ms(0));
        second.dies_after(ms(0));
        third.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(third.heard(), "INVITE ACK BYE");
    });
}

/// RFC 3261 §18.4: the network says that nobody listens; the third has the call at once.
#[test]
fn two_are_unreachable() {
    play("next_hop/two_are_unreachable", |w| {
        let (alice, [first, second, third]) = three(w);
        alice.invite("bob@example.org").hang_up_after(secs(2));
        w.refusing = vec![first.address(), second.address()];
        first.dies_after(ms(0));
        second.dies_after(ms(0));
        third.answer_after(ms(100));
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
        assert_eq!(w.sent("proxy", "INVITE"), 3);
    });
}

/// RFC 3263 §4.3: 503 is no answer to the caller but a reason to turn to the next.
#[test]
fn one_is_overloaded() {
    play("next_hop/one_is_overloaded", |w| {
        let (alice, [first, second, _]) = three(w);
        alice.invite("bob@example.org").hang_up_after(secs(2));
        first.reject_after(ms(10), 503).header("Retry-After: 30");
        second.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(first.heard(), "INVITE ACK");
    });
}

/// Any other refusal is the callee's word: nobody else is tried.
#[test]
fn one_is_busy() {
    play("next_hop/one_is_busy", |w| {
        let (alice, [first, second, _]) = three(w);
        alice.invite("bob@example.org");
        first.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
        assert_eq!(second.heard(), "");
    });
}

/// All three are dead: the caller is told when the last of them has had its full time.
#[test]
fn all_are_silent() {
    play("next_hop/all_are_silent", |w| {
        let (alice, servers) = three(w);
        alice.invite("bob@example.org");
        for server in &servers {
            server.dies_after(ms(0));
        }
        w.run();
        assert_eq!(alice.heard(), "100 408");
    });
}

/// The first is slow, not dead: it rings when the second was asked already, and is cancelled; the second answers.
#[test]
fn the_first_wakes_up() {
    play("next_hop/the_first_wakes_up", |w| {
        let (alice, [first, second, _]) = three(w);
        alice.invite("bob@example.org").hang_up_after(secs(2));
        first.ring_after(secs(4));
        second.ring_after(ms(50)).answer_after(secs(3));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(second.heard(), "INVITE ACK BYE");
    });
}

/// RFC 3263 §4.3: who has failed is tried last by the next call, and first again half a minute later, when it is back.
#[test]
fn the_next_call_knows() {
    play("next_hop/the_next_call_knows", |w| {
        let (alice, [first, second, third]) = three(w);
        first.dies_after(ms(0));
        for server in [&second, &third] {
            server.answer_after(ms(100));
        }
        alice.invite("bob@example.org").hang_up_after(secs(1));
        alice.invite("bob@example.org").at(secs(10)).hang_up_after(secs(1));
        w.run_for(secs(20));
        assert_eq!(w.sent("second", "200 INVITE"), 2, "the second call does not wait");
        first.comes_back();
        first.answer_after(ms(100));
        alice.invite("bob@example.org").at(secs(20)).hang_up_after(secs(1));
        w.run();
        assert_eq!(w.sent("first", "200 INVITE"), 1);
    });
}

/// A dead name server: the call to a name is refused when patience ends; a call that needs no name is not touched.
#[test]
fn the_name_server_is_dead() {
    play("next_hop/the_name_server_is_dead", |w| {
        let (alice, _) = three(w);
        let (carol, bob) = (w.phone("carol"), w.phone("bob"));
        w.dns.dead = true;
        alice.invite("bob@example.org");
        carol.invite("bob").at(ms(500)).hang_up_after(secs(1));
        bob.ring_after(ms(10)).answer_after(ms(200));
        w.run();
        assert_eq!(alice.heard(), "100 478");
        assert_eq!(carol.heard(), "100 180 200 200");
        let asked = ["0.001 example.org NAPTR", "3.001 _sip._udp.example.org SRV"];
        assert_eq!(questions(w), asked);
    });
}

/// A name server that needs 2 s for every answer: five seconds are not enough for three of them.
#[test]
fn the_name_server_is_slow() {
    play("next_hop/the_name_server_is_slow", |w| {
        let (alice, [first, ..]) = three(w);
        w.dns.delay = ms(2_000);
        alice.invite("bob@example.org");
        alice.invite("bob@example.org").at(secs(12)).hang_up_after(secs(1));
        first.answer_after(ms(100));
        w.run();
        // What was learned for the first call was not in vain.
        assert_eq!(alice.heard(), "100 478 100 200 200");
    });
}

/// RFC 8767: what was known is used on while the name server is dead, also when its time is over.
#[test]
fn what_was_known_is_used_on() {
    play("next_hop/what_was_known_is_used_on", |w| {
        let (alice, [first, ..]) = three(w);
        alice.invite("bob@example.org").hang_up_after(secs(1));
        first.answer_after(ms(100));
        w.run_for(secs(10));
        w.dns.dead = true;
        alice.invite("bob@example.org").at(secs(100)).hang_up_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 200 200 100 200 200");
    });
}

/// The TTL ends, and the name has moved.
#[test]
fn a_name_moves() {
    play("next_hop/a_name_moves", |w| {
        let (alice, [first, second, _]) = three(w);
        first.answer_after(ms(100));
        second.answer_after(ms(100));
        alice.invite("bob@example.org").hang_up_after(secs(1));
        w.run_for(secs(10));
        w.dns.remove_all();
        w.dns.add(&format!("example.org A {}", second.address().ip()));
        alice.invite("bob@example.org").at(secs(20)).hang_up_after(secs(1));
        alice.invite("bob@example.org").at(secs(62)).hang_up_after(secs(1));
        w.run();
        assert_eq!((w.sent("first", "200 INVITE"), w.sent("second", "200 INVITE")), (2, 1));
    });
}

/// A poisoned answer leads to ourselves, and one to this machine: neither is followed.
#[test]
fn poisoned_answers() {
    play("next_hop/poisoned_answers", |w| {
        let alice = w.phone("alice");
        w.dns.add("us.example.org A 10.0.0.1\nlocal.example.org A 127.0.0.1");
        alice.invite("sip:bob@us.example.org:5060");
        alice.invite("sip:bob@local.example.org:25").at(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 482 100 478");
        assert_eq!(w.sent("proxy", "INVITE"), 0);
    });
}

/// One host of the three has a name server that says nothing: its part of the patience, and the next.
#[test]
fn one_zone_is_silent() {
    play("next_hop/one_zone_is_silent", |w| {
        let (alice, [_, second, _]) = three(w);
        w.dns.silent_about("a.example.org");
        alice.invite("bob@example.org").hang_up_after(secs(1));
        second.answer_after(ms(100));
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
    });
}

/// RFC 3261 §9.2: the caller gives up while the name is asked for.
#[test]
fn cancelled_while_asking() {
    play("next_hop/cancelled_while_asking", |w| {
        let (alice, [first, ..]) = three(w);
        w.dns.delay = ms(900);
        alice.invite("bob@example.org").cancel_after(ms(500));
        w.run();
        assert_eq!(alice.heard(), "100 487 200");
        assert_eq!(first.heard(), "");
    });
}

/// A MESSAGE fails over like a call; the dead one costs 3 s.
#[test]
fn message() {
    play("next_hop/message", |w| {
        let (alice, [first, second, _]) = three(w);
        first.dies_after(ms(0));
        second.answers_requests_with(200);
        alice.request("MESSAGE", "bob@example.org");
        w.run();
        assert_eq!(alice.heard(), "200");
    });
}

/// RFC 3263 §4.1: the name prefers TCP.
#[test]
fn by_tcp() {
    play("next_hop/by_tcp", |w| {
        let alice = w.phone("alice");
        let server = w.tcp_phone("server");
        w.dns.add("example.org NAPTR 10 10 SIP+D2T _sip._tcp.example.org");
        w.dns.add("_sip._tcp.example.org SRV 0 0 5060 a.example.org");
        w.dns.add(&format!("a.example.org A {}", server.address().ip()));
        alice.invite("bob@example.org").hang_up_after(secs(1));
        server.answer_after(ms(100));
        w.run();
        assert_eq!(alice.heard(), "100 200 200");
    });
}

/// RFC 2782: 300 calls are shared as the weights say; every node shares alike, for the Call-ID decides.
#[test]
fn weights_share_the_calls() {
    sim::play_unseen("weights_share_the_calls", 7, |w| {
        let alice = w.phone("alice");
        let servers = [w.stranger("first"), w.stranger("second")];
        for (server, (name, weight)) in servers.iter().zip([("a", 75), ("b", 25)]) {
            w.dns.add(&format!("_sip._udp.example.org SRV 1 {weight} 5060 {name}.example.org"));
            w.dns.add(&format!("{name}.example.org A {}", server.address().ip()));
            server.busy();
        }
        for n in 0..300 {
            alice.invite("bob@example.org").at(ms(n * 20)).call_id(&format!("weighted-{n}"));
        }
        w.run();
        let (first, second) = (w.sent("first", "486 INVITE"), w.sent("second", "486 INVITE"));
        assert_eq!(first + second, 300);
        assert!((195..255).contains(&first), "{first} and {second}");
    });
}
