//! A stateless proxy in front of servers with state (RFC 3261 §16.11): calls through it in a bad network, its failure in the
//! middle of them, and who goes where.

use core::net::SocketAddr;

use sim::{Link, World, ms, play, play_unseen, secs};

/// The server of the world, and an edge in front of it that alice calls through.
fn behind_an_edge(w: &mut World, record_route: bool) -> (SocketAddr, sim::Phone, sim::Phone) {
    let core = w.servers()[0].address;
    let edge = w.add_balancer("edge", &[core], record_route);
    let alice = w.phone("alice");
    let bob = w.phone("bob");
    alice.outbound_proxy(edge);
    (edge, alice, bob)
}

#[test]
fn a_call_through_it() {
    play("stateless/a_call_through_it", |w| {
        let (_, alice, bob) = behind_an_edge(w, false);
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
    });
}

/// With record_route the whole dialog comes through it, in both directions.
#[test]
fn a_dialog_through_it() {
    play("stateless/a_dialog_through_it", |w| {
        let (_, alice, bob) = behind_an_edge(w, true);
        alice.invite("bob").reinvite_after(secs(1));
        bob.ring_after(ms(50)).answer_after(secs(1)).hang_up_after(secs(3));
    });
}

#[test]
fn given_up_and_refused() {
    play("stateless/given_up_and_refused", |w| {
        let (_, alice, bob) = behind_an_edge(w, false);
        alice.invite("bob").cancel_after(ms(500));
        bob.ring_after(ms(50));
        w.run_for(secs(5));
        bob.reject_after(ms(20), 486);
        alice.invite("bob");
    });
}

/// It forgets everything between two messages: being replaced by a fresh one changes nothing.
#[test]
fn a_fresh_one_takes_over() {
    play("stateless/a_fresh_one_takes_over", |w| {
        let (_, alice, bob) = behind_an_edge(w, true);
        alice.invite("bob").hang_up_after(secs(3));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run_for(ms(500));
        w.restart_balancer(1);
        w.run_for(secs(1));
        w.restart_balancer(1);
    });
}

/// Three cores that each know bob: every call stays with its core, whatever is lost on the way.
#[test]
fn many_calls_over_a_bad_network() {
    let mut by_core = [0; 3];
    for seed in 1..=30 {
        let w = play_unseen("stateless/many", seed, |w| {
            let mut cores = vec![w.servers()[0].address];
            cores.extend(["core-b", "core-c"].map(|name| w.add_server(name, "example.com")));
            let edge = w.add_balancer("edge", &cores, true);
            let (alice, bob) = (w.phone("alice"), w.phone("bob"));
            (1..3).for_each(|core| w.bind_at(core, "bob", &bob.contact()));
            alice.outbound_proxy(edge);
            w.network.usual = Link { loss: seed as u32 % 3 * 100, ..Link::default() };
            alice.invite("bob").call_id(&format!("call-{seed}@alice")).hang_up_after(secs(3));
            bob.ring_after(ms(50)).answer_after(secs(1));
        });
        let mut used: Vec<usize> = Vec::new();
        for wire in &w.trace.wires {
            let server = w.servers().iter().position(|s| Some(s.place) == wire.to);
            if let Some(core) = server.filter(|server| *server < 3 && !used.contains(server)) {
                used.push(core);
            }
        }
        assert_eq!(used.len(), 1, "seed {seed}: one call, several cores:\n{}", w.ladder());
        by_core[used[0]] += 1;
    }
    assert!(by_core.iter().all(|calls| *calls >= 3), "{by_core:?}");
}
