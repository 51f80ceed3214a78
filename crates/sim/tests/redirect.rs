//! RFC 3261 §8.3, §16.7 step 4 and RFC 3841 §9.1: the caller is told where to try, or the server tries for him.

use sim::{Phone, World, ms, play, secs};

/// The Contact values of the last 302 the server sent.
fn named(w: &World) -> Vec<String> {
    let text = w.last("302 INVITE");
    let contacts = text.lines().filter_map(|line| line.strip_prefix("Contact: "));
    contacts.map(str::to_owned).collect()
}

fn bob(w: &mut World) -> (Phone, [Phone; 2]) {
    let alice = w.phone("alice");
    w.add_account(0, "bob");
    (alice, [w.device_with_q("bob", "mobile", 500), w.device_with_q("bob", "desk", 1000)])
}

/// A redirect server names all Contacts with their q, the best first, and forgets the request.
#[test]
fn server() {
    play("redirect/server", |w| {
        let (alice, [mobile, desk]) = bob(w);
        w.configure(|c| c.redirect_domains = vec!["example.com".into()]);
        alice.invite("bob");
        w.run();
        assert_eq!(alice.heard(), "302");
        assert_eq!(desk.heard() + &mobile.heard(), "");
        let desk = format!("<{}>", desk.contact());
        assert_eq!(named(w), [desk, format!("<{}>;q=0.500", mobile.contact())]);
    });
}

/// Without a phone 480, without an account 404; and a repeated INVITE gets the same answer.
#[test]
fn nobody() {
    play("redirect/nobody", |w| {
        let alice = w.phone("alice");
        w.unregistered("bob");
        w.configure(|c| c.redirect_domains = vec!["example.com".into()]);
        alice.invite("bob");
        alice.invite("nobody").at(secs(1));
        alice.invite("alice").at(secs(2)).repeat_invite(&[ms(1)]);
        w.run();
        assert_eq!(alice.heard(), "480 404 302");
    });
}

/// Only the domain that is so configured: users of the other one are called.
#[test]
fn one_domain_of_two() {
    play("redirect/one_domain_of_two", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        w.configure(|c| {
            c.domains.served.push("example.net".into());
            c.redirect_domains = vec!["example.net".into()];
        });
        alice.invite("bob");
        bob.busy();
        alice.invite("sip:bob@example.net").at(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 486 404");
    });
}

/// Calls that always go elsewhere are redirected there.
#[test]
fn forwarded() {
    play("redirect/forwarded", |w| {
        let (alice, _) = bob(w);
        w.configure(|c| c.redirect_domains = vec!["example.com".into()]);
        w.forward("bob", |f| f.always = Some("sip:bob@192.0.2.99".into()));
        alice.invite("bob");
        w.run();
        assert_eq!(named(w), ["<sip:bob@192.0.2.99>"]);
    });
}

/// A phone redirects: that is the caller's to follow (§16.7 step 6), until the operator says otherwise.
#[test]
fn passed_up() {
    play("redirect/passed_up", |w| {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| w.phone(name));
        alice.invite("bob");
        bob.reject_after(ms(50), 302).header("Contact: <sip:carol@example.com>");
        w.run();
        assert_eq!(alice.heard(), "100 302");
        assert_eq!(carol.heard(), "");
    });
}

/// `proxy.recurse`: the redirection is followed to users of ours, the most wanted first (§16.7 step 4).
#[test]
fn followed() {
    play("redirect/followed", |w| {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| w.phone(name));
        let dave = w.phone("dave");
        w.configure(|c| c.forking.recurse = true);
        alice.invite("bob").hang_up_after(secs(2));
        bob.reject_after(ms(50), 302)
            .header("Contact: <sip:carol@example.com>;q=0.3, <sip:dave@example.com>;q=0.8");
        dave.busy();
        carol.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(dave.heard(), "INVITE ACK");
    });
}

/// Never to anybody else: a phone cannot make the server call for it.
#[test]
fn never_to_strangers() {
    play("redirect/never_to_strangers", |w| {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| w.phone(name));
        let victim = w.stranger("victim");
        w.configure(|c| c.forking.recurse = true);
        let contact =
            format!("Contact: <sip:victim@{}>, <sip:carol@example.com>", victim.address());
        alice.invite("bob");
        bob.reject_after(ms(50), 302).header(&contact);
        carol.busy();
        w.run();
        assert_eq!(alice.heard(), "100 302", "whoever was not asked is the caller's to ask");
        assert_eq!(carol.heard(), "INVITE ACK");
        assert_eq!(victim.heard(), "");
    });
}

/// Phones that redirect to each other: nobody is asked twice (§16.5).
#[test]
fn in_a_ring() {
    play("redirect/in_a_ring", |w| {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| w.phone(name));
        w.configure(|c| c.forking.recurse = true);
        alice.invite("bob");
        bob.reject_after(ms(50), 302).header("Contact: <sip:carol@example.com>");
        carol.reject_after(ms(50), 302).header("Contact: <sip:bob@10.0.0.1>");
        w.run();
        assert_eq!(alice.heard(), "100 302");
        assert_eq!(w.sent("proxy", "INVITE"), 2);
    });
}

/// One phone redirects while another rings and answers: nothing is followed.
#[test]
fn beside_an_answer() {
    play("redirect/beside_an_answer", |w| {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| w.phone(name));
        let desk = w.device("bob", "desk");
        w.configure(|c| c.forking.recurse = true);
        alice.invite("bob").hang_up_after(secs(2));
        bob.reject_after(ms(50), 302).header("Contact: <sip:carol@example.com>");
        desk.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 200");
        assert_eq!(carol.heard(), "");
    });
}

/// The caller gives up while the one rings to whom bob's phone has redirected.
#[test]
fn cancelled() {
    play("redirect/cancelled", |w| {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| w.phone(name));
        w.configure(|c| c.forking.recurse = true);
        alice.invite("bob").cancel_after(secs(2));
        bob.reject_after(ms(50), 302).header("Contact: <sip:carol@example.com>");
        carol.ring_after(ms(50));
        w.run();
        assert_eq!(alice.heard(), "100 180 200 487");
        assert_eq!(carol.heard(), "INVITE CANCEL ACK");
    });
}

/// Request-Disposition: no-recurse (RFC 3841 §9.1).
#[test]
fn disposition_no_recurse() {
    play("redirect/disposition_no_recurse", |w| {
        let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| w.phone(name));
        w.configure(|c| c.forking.recurse = true);
        alice.invite("bob").header("Request-Disposition: no-recurse");
        bob.reject_after(ms(50), 302).header("Contact: <sip:carol@example.com>");
        w.run();
        assert_eq!(alice.heard(), "100 302");
        assert_eq!(carol.heard(), "");
    });
}

/// Request-Disposition: redirect. One of ours gets the addresses; a stranger is called for.
#[test]
fn disposition_redirect() {
    play("redirect/disposition_redirect", |w| {
        let (alice, [mobile, desk]) = bob(w);
        let stranger = w.stranger("stranger");
        w.configure(|c| {
            c.auth.enabled = true;
            c.allow_inbound = true;
        });
        alice.invite("bob").header("Request-Disposition: redirect");
        stranger.invite("sip:bob@example.com").at(secs(1)).header("d: redirect");
        desk.busy();
        mobile.busy();
        w.run();
        assert_eq!(alice.heard(), "407 302");
        assert_eq!(stranger.heard(), "100 486");
    });
}

/// no-fork: the best Contact and no other. sequential: each alone. parallel: all at once.
#[test]
fn disposition_order() {
    play("redirect/disposition_no_fork", |w| {
        let (alice, [mobile, desk]) = bob(w);
        alice.invite("bob").header("Request-Disposition: no-fork");
        desk.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
        assert_eq!(mobile.heard(), "");
    });
    play("redirect/disposition_sequential", |w| {
        let alice = w.phone("alice");
        let phones = [w.phone("bob"), w.device("bob", "desk")];
        alice.invite("bob").header("Request-Disposition: sequential");
        for phone in &phones {
            phone.ring_after(ms(50)).reject_after(secs(1), 480);
        }
        w.run();
        assert_eq!(alice.heard(), "100 180 180 480");
        let begun = |w: &World| {
            w.trace
                .wires
                .iter()
                .filter(|x| x.message.label() == "INVITE" && w.name(x.from) == "proxy")
                .map(|x| x.sent)
                .collect::<Vec<_>>()
        };
        assert!(begun(w)[1].since(begun(w)[0]) > secs(1));
    });
    play("redirect/disposition_parallel", |w| {
        let (alice, [mobile, desk]) = bob(w);
        alice.invite("bob").header("Request-Disposition: parallel").hang_up_after(secs(2));
        desk.ring_after(ms(50));
        mobile.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(alice.heard(), "100 180 180 200 200");
        assert_eq!(desk.heard(), "INVITE CANCEL ACK");
    });
}

/// no-cancel: the desk phone goes on ringing after the mobile has answered, and its 200 arrives as well.
#[test]
fn disposition_no_cancel() {
    play("redirect/disposition_no_cancel", |w| {
        let alice = w.phone("alice");
        let [desk, mobile] = [w.phone("bob"), w.device("bob", "mobile")];
        alice.invite("bob").header("Request-Disposition: no-cancel").hang_up_after(secs(9));
        desk.ring_after(ms(50)).answer_after(secs(3));
        mobile.ring_after(ms(50)).answer_after(secs(1));
        w.run();
        assert_eq!(w.sent("proxy", "CANCEL"), 0);
        assert_eq!(alice.heard(), "100 180 180 200 200 200 200");
        assert_eq!(desk.heard(), "INVITE ACK BYE");
    });
}

/// Accept-Contact and Reject-Contact are for servers that know what devices can do: they travel on, byte for byte.
#[test]
fn preferences_travel_on() {
    play("redirect/preferences_travel_on", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let accept = "Accept-Contact: *;audio;require;explicit";
        let reject = "j: *;mobility=\"mobile\"";
        alice.invite("bob").header(accept).header(reject).header("Supported: pref");
        bob.busy();
        w.run();
        assert_eq!(alice.heard(), "100 486");
        let got = w.last("INVITE");
        assert!(got.contains(&format!("\r\n{accept}\r\n{reject}\r\n")), "{got}");
    });
}
