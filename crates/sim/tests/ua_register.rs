//! Registration by a real user agent (RFC 3261 §10.2, RFC 5626): digest, refresh, 423, removal, lost flows.

use sim::{Softphone, World, ms, play, secs};
use sip_core::flow::Transport;
use sip_core::ua::{Command, Event};

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
