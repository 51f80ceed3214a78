//! RFC 3261 §13 to §15 with real user agents through the server: calls placed, answered, refused, cancelled, ended.

use sim::{Softphone, World, ms, play, secs};

fn pair(w: &mut World) -> (Softphone, Softphone) {
    let (alice, bob) = (w.softphone("alice"), w.softphone("bob"));
    alice.agrees();
    (alice, bob)
}

#[test]
fn the_caller_hangs_up() {
    play("ua_call/the_caller_hangs_up", |w| {
        let (alice, bob) = pair(w);
        bob.answers(ms(50), secs(2));
        let call = alice.call("bob");
        alice.hang_up_after(secs(5), call);
        w.run();
        assert_eq!(alice.told(), "Trying Ringing/180 Answered Ended/Us");
        assert_eq!(bob.told(), "Incoming Established Ended/Peer");
    });
}
