//! RFC 3581 and RFC 5626 §5: phones that do not know their own address, and NATs that forget them.

use sim::{Nat, World, ms, play, secs};
use sip_core::output::Event;

/// The caller is behind a NAT: responses follow the packet, not the Via.
#[test]
fn caller() {
    play("nat/caller", |w| {
        let alice = w.natted_phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
    });
}

/// The callee is behind a NAT: the call goes where its REGISTER came from, and so do ACK and BYE.
#[test]
fn callee() {
    play("nat/callee", |w| {
        let alice = w.phone("alice");
        let bob = w.natted_phone("bob");
        w.require_passwords();
        bob.register();
        alice.invite("bob").at(secs(1)).hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(bob.heard(), "401 200 INVITE ACK BYE");
        assert_eq!(alice.heard(), "407 100 180 200 200");
    });
}

/// Both are, and the callee hangs up: the caller is reached although its Contact leads nowhere.
#[test]
fn both() {
    play("nat/both", |w| {
        let alice = w.natted_phone("alice");
        let bob = w.natted_phone("bob");
        alice.invite("bob");
        bob.ring_after(ms(50)).answer_after(secs(1)).hang_up_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 BYE");
        assert_eq!(bob.heard(), "INVITE ACK 200");
    });
}

/// Cancelled and refused calls behind NATs.
#[test]
fn cancelled() {
    play("nat/cancelled", |w| {
        let alice = w.natted_phone("alice");
        let bob = w.natted_phone("bob");
        alice.invite("bob").cancel_after(secs(2));
        bob.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(bob.heard(), "INVITE CANCEL ACK");
    });
}

/// Most forget a UDP mapping after half a minute (RFC 4787 §4.3 asks for two minutes).
const HALF_A_MINUTE: Nat = Nat::new(secs(30));

/// Phones are pinged, as they are unless somebody turns it off.
fn pinging(w: &mut World) {
    w.configure(|c| {
        c.nat.keepalive = secs(25);
        c.nat.expires_max = secs(3600);
    });
}

/// Pings keep the way open: the call comes after three times the NAT's patience.
#[test]
fn kept_open() {
    play("nat/kept_open", |w| {
        pinging(w);
        let alice = w.phone("alice");
        let bob = w.phone_behind(HALF_A_MINUTE, "bob");
        bob.register().expires(100);
        alice.invite("bob").at(secs(90)).hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "200 OPTIONS OPTIONS OPTIONS OPTIONS INVITE ACK BYE");
    });
}

/// Without them the same call reaches nobody.
#[test]
fn forgotten() {
    play("nat/forgotten", |w| {
        let alice = w.phone("alice");
        let bob = w.phone_behind(HALF_A_MINUTE, "bob");
        bob.register().expires(100);
        alice.invite("bob").at(secs(90));
        w.run();
        assert_eq!(alice.heard(), "100 408");
        assert_eq!(bob.heard(), "200");
    });
}

/// The NAT forgets between the challenge and its answer: the second REGISTER comes from another port, and counts.
#[test]
fn rebinding_in_a_registration() {
    play("nat/rebinding_in_a_registration", |w| {
        let bob = w.phone_behind(Nat::new(ms(2)), "bob");
        w.require_passwords();
        bob.register();
        w.run();
        assert_eq!(bob.heard(), "401 200");
        let bindings = w.servers()[0].shared.location.list(w.now);
        let ports: Vec<u16> = bindings.flatten().map(|b| b.row.flow.remote.port()).collect();
        assert_eq!(ports, [61_002], "its second port");
    });
}

/// The NAT is restarted between two registrations: bob is back with the second, at another port, and so are his pings.
#[test]
fn rebinding() {
    play("nat/rebinding", |w| {
        pinging(w);
        let alice = w.phone("alice");
        let bob = w.phone_behind(HALF_A_MINUTE, "bob");
        bob.register().expires(60);
        w.run_for(secs(5));
        w.restart_nat(&bob);
        bob.register().expires(60).at(secs(25));
        alice.invite("bob").at(secs(27)).hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert!(bob.heard().starts_with("200 200 INVITE ACK "), "{}", bob.heard());
    });
}

/// The NAT is restarted inside a call. bob registers again, and the BYE follows his binding.
#[test]
fn rebinding_in_a_call() {
    play("nat/rebinding_in_a_call", |w| {
        let alice = w.phone("alice");
        let bob = w.phone_behind(HALF_A_MINUTE, "bob");
        bob.register();
        alice.invite("bob").at(secs(1)).hang_up_after(secs(20));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run_for(secs(5));
        w.restart_nat(&bob);
        bob.register().at(secs(8));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(bob.heard(), "200 INVITE ACK 200 BYE");
    });
}

/// Both behind NATs with a port for each destination; the one who hangs up is the callee, and the caller has no binding.
#[test]
fn symmetric() {
    play("nat/symmetric", |w| {
        let alice = w.phone_behind(Nat::symmetric(secs(30)), "alice");
        let bob = w.phone_behind(Nat::symmetric(secs(30)), "bob");
        w.require_passwords();
        bob.register();
        alice.invite("bob").at(secs(1));
        bob.ring_after(ms(50)).answer_after(secs(1)).hang_up_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "407 100 180 200 BYE");
        assert_eq!(bob.heard(), "401 200 INVITE ACK 200");
    });
}

/// The caller, who has no binding, is on hold for a while: the callee's re-INVITE reaches him too.
#[test]
fn on_hold() {
    play("nat/on_hold", |w| {
        let alice = w.phone_behind(HALF_A_MINUTE, "alice");
        let bob = w.phone_behind(HALF_A_MINUTE, "bob");
        bob.register();
        alice.invite("bob").at(secs(1)).hang_up_after(secs(6));
        bob.ring_after(ms(50)).answer_after(secs(1)).reinvite_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 INVITE ACK 200");
        assert_eq!(bob.heard(), "200 INVITE ACK 100 200 BYE");
    });
}

/// The caller's NAT is restarted inside the call and he has no binding: his re-INVITE says where he is now, if the
/// operator wants aliases, and the callee's BYE goes there.
#[test]
fn alias() {
    play("nat/alias", |w| {
        w.configure(|c| c.nat.contact_alias = true);
        let alice = w.phone_behind(HALF_A_MINUTE, "alice");
        let bob = w.phone("bob");
        alice.invite("bob").reinvite_after(secs(4));
        bob.ring_after(ms(50)).answer_after(secs(1)).hang_up_after(secs(8));
        w.run_for(secs(3));
        w.restart_nat(&alice);
        w.run();
        assert_eq!(alice.heard(), "100 180 200 100 200 BYE");
    });
}

/// bob's phone behind the NAT dies. When it has missed three pings his other phone rings alone first.
#[test]
fn silent() {
    play("nat/silent", |w| {
        pinging(w);
        let alice = w.phone("alice");
        let home = w.phone_behind(HALF_A_MINUTE, "bob");
        let desk = w.device("bob", "desk");
        home.register().expires(150);
        home.dies_after(secs(30));
        desk.ring_after(ms(50)).answer_after(secs(1));
        alice.invite("bob").at(secs(130)).hang_up_after(secs(2));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        let silent = w.servers().iter().flat_map(|s| &s.events);
        let silent = silent.filter(|(_, event)| matches!(event, Event::BindingSilent { .. }));
        assert_eq!(silent.count(), 1);
    });
}

/// Over streams: bob registered on his, alice did not; both hang up once.
#[test]
fn streams() {
    play("nat/streams", |w| {
        let alice = w.tcp_phone_behind(HALF_A_MINUTE, "alice");
        let bob = w.tcp_phone_behind(HALF_A_MINUTE, "bob");
        bob.register();
        alice.invite("bob").at(secs(1));
        alice.invite("bob").at(secs(8)).hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1)).hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 BYE 100 180 200 200");
        assert_eq!(bob.heard(), "200 INVITE ACK 200 INVITE ACK BYE");
    });
}

/// bob's stream breaks with his NAT. The call has nowhere to go until he has registered on another.
#[test]
fn a_stream_that_breaks() {
    play("nat/a_stream_that_breaks", |w| {
        let alice = w.phone("alice");
        let bob = w.tcp_phone_behind(HALF_A_MINUTE, "bob");
        bob.register();
        w.run_for(secs(1));
        w.cut(&bob);
        alice.invite("bob").at(secs(1));
        bob.register().at(secs(4));
        alice.invite("bob").at(secs(6)).hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 500 100 180 200 200");
        assert_eq!(bob.heard(), "200 200 INVITE ACK BYE");
    });
}
