//! S-5 (RFC 5393 §3): ten entries on two servers, each of which leads to two others on the other server. However they
//! are tried, one call never becomes more copies at its ends than its Max-Breadth, and it comes to an end.

use sim::{World, play_unseen};

const ENTRIES: u32 = 10;
/// RFC 5393 §5.3: what a request without Max-Breadth gets, and so the ends that the tree of its copies may have.
const BREADTH: usize = 60;

/// INVITEs the two servers sent, repetitions left out.
fn invites(w: &World) -> usize {
    let ours = |x: &&sim::wire::Wire| w.is_server(x.from) && x.message.label() == "INVITE";
    let branches = w.trace.wires.iter().filter(ours).map(|x| &x.message.branch);
    branches.collect::<std::collections::HashSet<_>>().len()
}

/// `second`: how much the second way of each entry is preferred, in thousandths.
fn entries(w: &mut World, second: u16, change: impl Fn(&mut World, u32)) {
    w.add_server("proxy2", "biloxi.example.com");
    for server in 0..2 {
        w.configure_server(server, |c| {
            c.allow_inbound = true;
            c.forking.recurse = true;
        });
        for entry in 0..ENTRIES {
            let user = format!("u{entry}");
            w.add_account(server, &user);
            let other = 2 - server;
            for (step, q) in [(1, 1000), (3, second)] {
                let next = (entry + step) % ENTRIES;
                w.bind_with_q(server, &user, &format!("sip:u{next}@10.0.0.{other}:5060"), q);
            }
        }
    }
    for entry in 0..ENTRIES {
        change(w, entry);
    }
}

fn loop_ends(name: &str, second: u16, change: impl Fn(&mut World, u32)) {
    let world = play_unseen(name, 1, |w| {
        let alice = w.phone("alice");
        entries(w, second, &change);
        alice.invite("u0");
        w.run();
        assert!(matches!(alice.heard().as_str(), "100 482" | "100 440"), "{}", alice.heard());
    });
    // So many ends, and what lies between them.
    let sent = invites(&world);
    assert!(sent <= 2 * BREADTH, "{name}: {sent} INVITEs");
}

/// Both ways of each entry at once.
#[test]
fn parallel() {
    loop_ends("fork_loop/parallel", 1000, |_, _| {});
}

/// One after the other.
#[test]
fn serial() {
    loop_ends("fork_loop/serial", 500, |_, _| {});
}

/// With accounts that forward to each other besides.
#[test]
fn with_forwarding() {
    loop_ends("fork_loop/with_forwarding", 500, |w, entry| {
        let next = format!("sip:u{}@example.com", (entry + 1) % ENTRIES);
        w.forward(&format!("u{entry}"), |f| {
            f.busy = Some(next.clone().into());
            f.unreachable = Some(next.clone().into());
        });
    });
}

/// With bindings that name other users of the same server besides, some of them each other.
#[test]
fn with_aliases() {
    loop_ends("fork_loop/with_aliases", 500, |w, entry| {
        let next = (entry + 5) % ENTRIES;
        w.bind(&format!("u{entry}"), &format!("sip:u{next}@example.com"));
    });
}
