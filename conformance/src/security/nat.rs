//! Phones behind translators (N-3, N-4): nothing is set up for them, and they register, call, are called, hold and hang up,
//! whoever is behind what; and when the translator forgets them they are back by themselves. Only signalling: there is no
//! relay for sound yet.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::nat::{Home, Kind, Line, Phone, Place, Transport};
use crate::subject::{DOMAIN, Server, Settings};
use crate::world::World;

const WAIT: Duration = Duration::from_secs(15);

/// What N-4 allows: the interval of pings.
const KEEPALIVE: Duration = Duration::from_secs(25);

/// Only the digest is chosen, for phones that know no newer one. Kamailio gets its NAT helper besides.
fn settings() -> Settings {
    Settings {
        nat: true,
        expires_min: 60,
        ..Settings::public(&["alice", "bob", "carol", "dave"]).old_digest()
    }
}

/// 4 translators x UDP, TCP x caller, callee, both; re-INVITE from both sides, BYE from either.
pub fn nat_matrix(world: &mut World) -> Result<String> {
    let mut server = world.start(&settings())?;
    let (mut calls, mut number) = (0, 10);
    for kind in Kind::ALL {
        for transport in [Transport::Udp, Transport::Tcp] {
            let words = || format!("{} over {}", kind.name(), transport.name());
            calls += one_of_the_matrix(world, kind, transport, number).with_context(words)?;
            number += 3;
        }
    }
    server.healthy()?;
    Ok(format!(
        "{calls} calls through {} kinds of translators over UDP and TCP: caller, callee and both behind one, held from both sides, ended from either",
        Kind::ALL.len()
    ))
}

fn one_of_the_matrix(world: &World, kind: Kind, transport: Transport, number: u8) -> Result<u32> {
    let mut first = Home::new(world, number, kind)?;
    let mut second = Home::new(world, number + 1, kind)?;
    let line = |name, register| Line { name, transport, register };
    let place = first.place(world, "alice")?;
    let mut alice = Phone::start(world, place, &line("alice", 600))?;
    let place = second.place(world, "bob")?;
    let mut bob = Phone::start(world, place, &line("bob", 600))?;
    let place = Place::outside(world, number + 2, "carol")?;
    let mut carol = Phone::start(world, place, &line("carol", 600))?;
    // The second one in this home, and not registered: there is no binding that leads to it.
    let place = first.place(world, "dave")?;
    let mut dave = Phone::start(world, place, &line("dave", 0))?;
    let calls = [
        call(&mut alice, &mut carol, End::Callee).context("the caller behind one"),
        call(&mut carol, &mut alice, End::Caller).context("the callee behind one"),
        call(&mut alice, &mut bob, End::Callee).context("both behind one"),
        call(&mut bob, &mut alice, End::Caller).context("both behind one, the other way"),
        call(&mut dave, &mut carol, End::Callee).context("an unregistered caller behind one"),
    ];
    let count = calls.len();
    calls.into_iter().collect::<Result<Vec<()>>>()?;
    Ok(u32::try_from(count)?)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Caller,
    Callee,
}

fn call(caller: &mut Phone, callee: &mut Phone, end: End) -> Result<()> {
    establish(caller, callee)?;
    hold(caller, callee).context("the caller holds")?;
    hold(callee, caller).context("the callee holds")?;
    match end {
        End::Caller => hang_up(caller, callee),
        End::Callee => hang_up(callee, caller),
    }
}

fn establish(caller: &mut Phone, callee: &mut Phone) -> Result<()> {
    const UP: &str = "CALL_ESTABLISHED";
    let before = (caller.events(UP), callee.events(UP));
    caller.command("dial", &format!("sip:{}@{DOMAIN}", callee.name))?;
    caller.event(UP, before.0, WAIT)?;
    callee.event(UP, before.1, WAIT)
}

/// Hold and resume: two re-INVITEs, each answered.
fn hold(by: &mut Phone, other: &mut Phone) -> Result<()> {
    for (command, offer, answer) in
        [("hold", "a=sendonly", "a=recvonly"), ("resume", "a=sendrecv", "a=sendrecv")]
    {
        let (heard, answered) = (other.count(offer), by.count(answer));
        by.command(command, "")?;
        other
            .waits_for(&format!("offer of {command}"), |log| log.matches(offer).count() > heard)?;
        // In the trace of the holder its own offer comes first.
        let own = usize::from(offer == answer);
        by.waits_for(&format!("answer to {command}"), |log| {
            log.matches(answer).count() > answered + own
        })?;
    }
    Ok(())
}

fn hang_up(by: &mut Phone, other: &mut Phone) -> Result<()> {
    const DOWN: &str = "CALL_CLOSED";
    let (before, byes) = (other.events(DOWN), by.answered("BYE"));
    by.command("hangup", "")?;
    other.event(DOWN, before, WAIT)?;
    by.waits_for("200 to its BYE", |_| true)?;
    let end = Instant::now() + WAIT;
    while by.answered("BYE") <= byes {
        if Instant::now() > end {
            bail!("{}: its BYE was not answered", by.name);
        }
        by.waits_for("anything", |_| true)?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

pub fn nat_rebind(world: &mut World) -> Result<String> {
    let forgotten = with_short_memory(world, "0s", 10)?;
    if forgotten {
        bail!("without pings she should have been forgotten: this test proves nothing");
    }
    if !with_short_memory(world, "1s", 20)? {
        bail!("pinged every second, and not reached after the translator's 2 s");
    }
    let (registered, in_call) = flushed(world)?;
    Ok(format!(
        "reached for {} s through a translator that forgets in 2 s; after conntrack -F reached again in {:.1} s (limit {} s); \
         in a call after {:.1} s, and its re-INVITE and BYE follow",
        SILENCE.as_secs(),
        registered.as_secs_f32(),
        KEEPALIVE.as_secs(),
        in_call.as_secs_f32(),
    ))
}

/// Three times as long as the translator remembers.
const SILENCE: Duration = Duration::from_secs(6);

/// A translator that forgets a UDP mapping after 2 s: whether alice is reached after some silence.
fn with_short_memory(world: &mut World, keepalive: &str, number: u8) -> Result<bool> {
    let sections = format!("[nat]\nkeepalive = \"{keepalive}\"\n");
    let mut server = world.start(&Settings { sections, ..settings() })?;
    let mut home = Home::new(world, number, Kind::Symmetric)?;
    home.udp_timeout(2)?;
    let line = |name, register| Line { name, transport: Transport::Udp, register };
    let place = home.place(world, "alice")?;
    let alice = Phone::start(world, place, &line("alice", 600))?;
    let place = Place::outside(world, number + 1, "carol")?;
    let mut carol = Phone::start(world, place, &line("carol", 600))?;
    std::thread::sleep(SILENCE);
    carol.command("dial", &format!("sip:alice@{DOMAIN}"))?;
    let end = Instant::now() + Duration::from_secs(4);
    while alice.count("INVITE sip:alice") == 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    let reached = alice.count("INVITE sip:alice") > 0;
    let health = device(&server, "alice")?;
    let pinged = health["pings_answered"].as_u64().unwrap_or(0);
    if reached && pinged < 3 {
        bail!("reached, but not because of the pings: {health}");
    }
    server.kill()?;
    Ok(reached)
}

/// The translator forgets everything: how long it takes until alice is reached again, first between calls, then in one.
fn flushed(world: &mut World) -> Result<(Duration, Duration)> {
    let sections = "[nat]\nexpires = \"20s\"\n".to_owned();
    let mut server = world.start(&Settings { sections, ..settings() })?;
    let mut home = Home::new(world, 30, Kind::Symmetric)?;
    let line = |name| Line { name, transport: Transport::Udp, register: 600 };
    let place = home.place(world, "alice")?;
    let mut alice = Phone::start(world, place, &line("alice"))?;
    let place = Place::outside(world, 31, "carol")?;
    let mut carol = Phone::start(world, place, &line("carol"))?;

    let between = rebound(&server, &home, &mut alice).context("between calls")?;
    establish(&mut carol, &mut alice).context("after that")?;
    hang_up(&mut carol, &mut alice)?;

    establish(&mut carol, &mut alice)?;
    let source = device(&server, "alice")?["source"].clone();
    home.forget()?;
    // What she sends herself opens the way at once.
    hold(&mut alice, &mut carol).context("her own re-INVITE")?;
    let inside = wait_for_new_source(&server, &mut alice, &source)?;
    hold(&mut carol, &mut alice).context("a re-INVITE to where she is now")?;
    hang_up(&mut carol, &mut alice).context("a BYE to where she is now")?;
    server.healthy()?;
    Ok((between, inside))
}

fn rebound(server: &Server, home: &Home, alice: &mut Phone) -> Result<Duration> {
    let source = device(server, "alice")?["source"].clone();
    home.forget()?;
    wait_for_new_source(server, alice, &source)
}

fn wait_for_new_source(
    server: &Server,
    alice: &mut Phone,
    old: &serde_json::Value,
) -> Result<Duration> {
    let begun = Instant::now();
    while device(server, "alice")?["source"] == *old {
        if begun.elapsed() > KEEPALIVE {
            bail!("still at {old} {} s later", KEEPALIVE.as_secs());
        }
        alice.waits_for("anything", |_| true)?;
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(begun.elapsed())
}

/// What the server says about the only device of a user.
fn device(server: &Server, user: &str) -> Result<serde_json::Value> {
    let (code, text) = server.subcommand(&["regs", "list", user, "--json"])?;
    let line =
        text.lines().next().with_context(|| format!("{user} has no device: {code} {text}"))?;
    Ok(serde_json::from_str(line)?)
}
