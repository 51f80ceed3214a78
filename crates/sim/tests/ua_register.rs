//! Registration by a real user agent (RFC 3261 §10.2, RFC 5626): digest, refresh, 423, removal, lost flows.

use sim::{Softphone, World, ms, play, play_unseen, secs};
use sip_core::flow::Transport;
use sip_core::ua::{Command, Event, Secret};

fn alice(w: &mut World) -> Softphone {
    w.softphone_of("alice", "alice", Transport::Udp, false)
}

/// Challenged once, then the refreshes bring the credentials unasked: one round trip each.
#[test]
fn register_refresh_remove() {
    play("ua_register/register_refresh_remove", |w| {
        let alice = alice(w);
        w.require_passwords();
        alice.register(120);
        w.run_for(secs(100));
        assert_eq!(w.bindings("alice"), ["sip:alice@10.0.1.1:5060"]);
        alice.after(secs(0), Command::Unregister { all: false });
        w.run();
        assert_eq!(
            alice.told(),
            "Challenged/401/SHA-256 Registered/120/1 contacts/2 sent again/120/1 contacts/1 sent \
             Unregistered"
        );
        assert!(w.bindings("alice").is_empty());
    });
}

/// What a registrar says is told: our own binding, the others, and how we are seen.
#[test]
fn all_contacts_are_listed() {
    play("ua_register/all_contacts_are_listed", |w| {
        let alice = alice(w);
        w.bind("alice", "sip:alice@203.0.113.7");
        alice.register(300);
        w.run_for(secs(1));
        let events = alice.events();
        let Some((_, Event::Registered(report))) = events.last() else { panic!("{events:?}") };
        let contacts: Vec<(&str, u64, bool)> =
            report.contacts.iter().map(|c| (&*c.uri, c.expires.as_secs(), c.ours)).collect();
        assert!(contacts.contains(&("sip:alice@10.0.1.1:5060", 300, true)), "{contacts:?}");
        assert!(contacts.iter().any(|c| c.0 == "sip:alice@203.0.113.7" && !c.2), "{contacts:?}");
        assert_eq!(report.seen, Some(alice.phone.address()));
        assert_eq!(report.took, ms(2));
        // RFC 3261 §10.2.3, §10.2.2.
        alice.after(secs(0), Command::QueryBindings);
        alice.after(secs(1), Command::Unregister { all: true });
        w.run();
        assert!(alice.told().ends_with("Registered/299/2 contacts/1 sent Unregistered"));
        assert!(w.bindings("alice").is_empty());
    });
}

/// RFC 3261 §22.1: the password is wrong; it is offered once, and refused once.
#[test]
fn the_password_is_wrong() {
    play("ua_register/the_password_is_wrong", |w| {
        let alice = alice(w);
        w.require_passwords();
        alice.configure(|settings| {
            settings.credentials[0].secret = Secret::Password("swordfish".into());
        });
        alice.register(120);
        w.run_for(secs(3_600));
        assert_eq!(
            alice.told(),
            "Challenged/401/SHA-256 RegistrationFailed(401: example.com refused the password of \
             alice)"
        );
        assert_eq!(w.sent("alice", "REGISTER"), 2);
    });
}

/// No password at all.
#[test]
fn no_password() {
    play("ua_register/no_password", |w| {
        let alice = alice(w);
        w.require_passwords();
        alice.configure(|settings| settings.credentials.clear());
        alice.register(120);
        w.run_for(secs(100));
        assert_eq!(
            alice.told(),
            "RegistrationFailed(401: example.com asks for a password, and none is known for it)"
        );
    });
}

/// RFC 7616 §3.3: the nonce is too old at the refresh: `stale`, a new one, and nobody is asked for a password again.
#[test]
fn the_nonce_is_stale() {
    play("ua_register/the_nonce_is_stale", |w| {
        let alice = alice(w);
        w.require_passwords();
        w.configure(|config| config.auth.nonce_lifetime = secs(30));
        alice.register(120);
        w.run_for(secs(100));
        assert_eq!(
            alice.told(),
            "Challenged/401/SHA-256 Registered/120/1 contacts/2 sent Challenged/401/SHA-256 \
             again/120/1 contacts/2 sent"
        );
        assert!(w.last("401 REGISTER").contains("stale=true"));
        alice.after(secs(0), Command::Unregister { all: false });
        w.run();
    });
}

/// RFC 3261 §10.2.8: 423 says how long it must be.
#[test]
fn too_brief() {
    play("ua_register/too_brief", |w| {
        let alice = alice(w);
        w.configure(|config| config.registrar.expires_min = secs(90));
        alice.register(30);
        w.run_for(secs(1));
        assert_eq!(alice.told(), "Registered/90/1 contacts/2 sent");
        alice.after(secs(0), Command::Unregister { all: false });
        w.run();
        assert!(alice.told().ends_with("Unregistered"), "{}", alice.told());
    });
}

/// The registrar is gone for a while: each wait is longer than the one before (RFC 5626 §4.5), and it comes back by itself.
#[test]
fn the_registrar_comes_back() {
    play("ua_register/the_registrar_comes_back", |w| {
        let alice = alice(w);
        w.lose("alice -> proxy", "REGISTER", &(1..25).collect::<Vec<u32>>());
        alice.register(120);
        w.run_for(secs(300));
        let told = alice.told();
        let failed = told.matches("RegistrationFailed(no answer to REGISTER").count();
        assert!(failed == 2 && told.contains("again later Registered/120"), "{told}");
        alice.after(secs(0), Command::Unregister { all: false });
        w.run();
    });
}

/// RFC 5626 §4.4.1, §3.5.1: CRLF keeps the stream open; when the stream breaks, the phone registers again at once.
#[test]
fn the_stream_breaks() {
    play("ua_register/the_stream_breaks", |w| {
        let alice = w.softphone_of("alice", "alice", Transport::Tcp, false);
        w.require_passwords();
        alice.configure(|settings| settings.keep_alive = secs(60));
        alice.register(600);
        w.run_for(secs(130));
        w.cut(&alice.phone);
        w.run_for(secs(10));
        assert_eq!(
            alice.told(),
            "Challenged/401/SHA-256 Registered/600/1 contacts/2 sent again/600/1 contacts/1 sent"
        );
        alice.after(secs(0), Command::Unregister { all: false });
        w.run();
    });
}

/// RFC 5626 §4.4.1: once keep-alives were answered and one is not within 10 s, the flow has failed.
#[test]
fn a_keep_alive_is_not_answered() {
    play("ua_register/a_keep_alive_is_not_answered", |w| {
        let alice = w.softphone_of("alice", "alice", Transport::Tcp, false);
        alice.configure(|settings| settings.keep_alive = secs(60));
        // The third answer on this stream comes too late.
        w.delay("proxy -> alice", "CRLF", &[2], secs(30));
        alice.register(600);
        w.run_for(secs(150));
        assert_eq!(alice.told(), "Registered/600/1 contacts/1 sent again/600/1 contacts/1 sent");
        alice.after(secs(0), Command::Unregister { all: false });
        w.run();
    });
}

/// A fifth of everything is lost: it stays registered for an hour, and leaves nothing.
#[test]
fn twenty_percent_loss() {
    for seed in 1..20 {
        play_unseen("ua_register/twenty_percent_loss", seed, |w| {
            let alice = alice(w);
            w.require_passwords();
            w.network.usual.loss = 200;
            alice.register(300);
            for _ in 0..12 {
                w.run_for(secs(290));
                assert_eq!(w.bindings("alice").len(), 1, "seed {seed}: {}", alice.told());
            }
            alice.after(secs(0), Command::Unregister { all: false });
            w.run();
        });
    }
}

/// RFC 3261 §22.3: two proxies, each with a realm and a password of its own, and calls that need both.
#[test]
fn two_realms() {
    play("ua_register/two_realms", |w| {
        w.rename_server(0, "proxy1");
        w.add_server("proxy2", "biloxi.example.com");
        let (alice, bob) = (w.softphone("alice"), w.phone_at(1, "bob"));
        w.require_passwords();
        w.add_account(1, "alice");
        // For proxy2 alice is one of its own, under another name of its domain.
        w.configure_server(1, |c| {
            c.auth.enabled = true;
            c.allow_inbound = true;
            c.domains.aliases.push(("example.com".into(), 0));
        });
        bob.answer_after(ms(50)).hang_up_after(secs(1));
        alice.call("sip:bob@10.0.0.2");
        w.run();
        assert_eq!(
            alice.told(),
            "Challenged/407/SHA-256 Trying Challenged/407/SHA-256 Answered Ended/Peer"
        );
        // RFC 3261 §22.1: the ACK brings the same credentials as its INVITE.
        let acks = w.trace.wires.iter().filter(|wire| w.name(wire.from) == "alice");
        let acks = acks.filter(|wire| wire.message.method == "ACK" && wire.message.is_request());
        let ack = acks.last().map(|wire| String::from_utf8_lossy(&wire.bytes).into_owned());
        assert_eq!(ack.unwrap_or_default().matches("Proxy-Authorization: ").count(), 2);
    });
}
