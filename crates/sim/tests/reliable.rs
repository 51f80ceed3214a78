//! RFC 3262, RFC 3311 and RFC 4028 on the way through: reliable provisional responses, requests inside early dialogs, and
//! session timers. They concern the two ends; the proxy carries them and changes nothing.

use sim::{World, ms, play, secs};

/// 183 with RSeq, PRACK, UPDATE in the early dialog, then the answer.
#[test]
fn early_dialog() {
    play("reliable/early_dialog", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice
            .invite("bob")
            .header("Supported: 100rel")
            .update_after(ms(300))
            .hang_up_after(secs(2));
        bob.progress_after(ms(50)).ring_after(secs(1)).answer_after(secs(1)).reliable();
        w.run();
        assert_eq!(alice.heard(), "100 183 200 200 180 200 200 200");
        assert_eq!(bob.heard(), "INVITE PRACK UPDATE PRACK ACK BYE");
        assert!(w.last("PRACK").contains("RAck: 2 1 INVITE"), "{}", w.last("PRACK"));
    });
}

/// Two phones ring reliably: each PRACK finds the phone whose early dialog it belongs to.
#[test]
fn two_forks() {
    play("reliable/two_forks", |w| {
        let alice = w.phone("alice");
        let [bob, desk] = [w.phone("bob"), w.device("bob", "desk")];
        alice.invite("bob").header("Supported: 100rel").hang_up_after(secs(2));
        bob.ring_after(ms(50)).answer_after(secs(1)).reliable();
        desk.progress_after(ms(60)).ring_after(ms(100)).reliable();
        w.run();
        assert_eq!(alice.heard(), "100 180 200 183 200 180 200 200 200");
        assert_eq!(bob.heard(), "INVITE PRACK ACK BYE");
        assert_eq!(desk.heard(), "INVITE PRACK PRACK CANCEL ACK");
    });
}

/// The same in two steps: the first phone is cancelled after its reliable 180, the second answers.
#[test]
fn two_steps() {
    play("reliable/two_steps", |w| {
        let alice = w.phone("alice");
        w.add_account(0, "bob");
        let desk = w.device_with_q("bob", "desk", 1000);
        let mobile = w.device_with_q("bob", "mobile", 500);
        alice.invite("bob").header("Supported: 100rel").hang_up_after(secs(2));
        desk.ring_after(ms(50)).reliable();
        mobile.ring_after(ms(50)).answer_after(secs(1)).reliable();
        w.run();
        assert_eq!(alice.heard(), "100 180 200 180 200 200 200");
        assert_eq!(desk.heard(), "INVITE PRACK CANCEL ACK");
        assert_eq!(mobile.heard(), "INVITE PRACK ACK BYE");
    });
}

/// RFC 4028 §8: what the two ends say about the session stays as it is, and so does the refresh.
#[test]
fn session_timer() {
    play("reliable/session_timer", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        let timer = "Session-Expires: 1800;refresher=uac";
        alice
            .invite("bob")
            .header("Supported: timer")
            .header(timer)
            .header("Min-SE: 90")
            .update_after(secs(900))
            .hang_up_after(secs(1000));
        bob.answer_after(ms(50)).header("Require: timer").header(timer);
        w.run();
        let lines = format!("Supported: timer\r\n{timer}\r\nMin-SE: 90\r\n");
        for message in ["INVITE", "UPDATE"] {
            assert!(last_of(w, message).contains(&lines), "{message}");
        }
        let answer = last_of(w, "200 INVITE");
        assert!(answer.contains(&format!("Require: timer\r\n{timer}\r\n")), "{answer}");
        assert_eq!(bob.heard(), "INVITE ACK UPDATE BYE");
    });
}

/// RFC 4028 §8.1: 422 is between the ends, with its Min-SE.
#[test]
fn interval_too_small() {
    play("reliable/interval_too_small", |w| {
        let alice = w.phone("alice");
        let bob = w.phone("bob");
        alice.invite("bob").header("Supported: timer").header("Session-Expires: 60");
        bob.reject_after(ms(50), 422).header("Min-SE: 3600");
        w.run();
        assert_eq!(alice.heard(), "100 422");
        assert!(last_of(w, "422 INVITE").contains("Min-SE: 3600\r\n"));
    });
}

/// The last message of this label that the server sent.
fn last_of(w: &World, label: &str) -> String {
    let wires = w.trace.wires.iter().rev();
    let found = wires.filter(|x| w.name(x.from) == "proxy").find(|x| x.message.label() == label);
    found.map_or(String::new(), |x| String::from_utf8_lossy(&x.bytes).into_owned())
}
