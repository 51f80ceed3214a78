//! Following 3xx (RFC 3261 §8.1.3.4): where to, in which order, and not for ever.

use sim::{Softphone, World, ms, play, secs};
use sip_core::ua::{Command, Event};

/// Points every caller there.
fn points_to(phone: &Softphone, contact: &'static str) {
    phone.on(move |event, desk| {
        if let Event::Incoming { call, .. } = event {
            let (status, headers) = (302, vec![format!("Contact: {contact}").into()]);
            desk.after(ms(50), Command::Reject { call: *call, status, headers });
        }
    });
}

fn three(w: &mut World) -> [Softphone; 3] {
    ["alice", "bob", "carol"].map(|name| w.softphone(name))
}

#[test]
fn followed() {
    play("ua_redirect/followed", |w| {
        let [alice, bob, carol] = three(w);
        w.require_passwords();
        points_to(&bob, "<sip:carol@example.com>");
        carol.answers(ms(50), secs(1)).hangs_up(secs(2));
        alice.call("bob");
        w.run();
        assert_eq!(
            alice.told(),
            "Challenged/407/SHA-256 Trying Redirected/sip:carol@example.com Ringing/180 Answered \
             Ended/Peer"
        );
    });
}

/// The better contact first; it is busy, so the other one.
#[test]
fn the_next_contact() {
    play("ua_redirect/the_next_contact", |w| {
        let [alice, bob, carol] = three(w);
        points_to(&bob, "<sip:nobody@example.com>;q=0.9, <sip:carol@example.com>;q=0.5");
        carol.answers(ms(50), secs(1)).hangs_up(secs(2));
        alice.call("bob");
        w.run();
        assert_eq!(
            alice.told(),
            "Trying Redirected/sip:nobody@example.com Redirected/sip:carol@example.com \
             Ringing/180 Answered Ended/Peer"
        );
    });
}

#[test]
fn a_circle() {
    play("ua_redirect/a_circle", |w| {
        let [alice, bob, carol] = three(w);
        points_to(&bob, "<sip:carol@example.com>");
        points_to(&carol, "<sip:bob@example.com>");
        alice.call("bob");
        w.run();
        assert_eq!(
            alice.told(),
            "Trying Redirected/sip:carol@example.com \
             Failed(redirected in a circle, back to sip:bob@example.com)"
        );
    });
}

/// Who does not want to follow is told where to.
#[test]
fn not_followed() {
    play("ua_redirect/not_followed", |w| {
        let [alice, bob, _] = three(w);
        alice.configure(|settings| settings.follow_redirects = false);
        points_to(&bob, "<sip:carol@example.com>");
        alice.call("bob");
        w.run();
        assert_eq!(alice.told(), "Trying Failed(302 Moved Temporarily)");
    });
}
