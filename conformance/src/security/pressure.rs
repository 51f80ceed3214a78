//! Too many connections: more than there are descriptors, and thousands that never finish a request (S-11).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent::{Agent, Stream};
use crate::digest::Challenge;
use crate::sip::Draft;
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{World, command};

fn options() -> Draft {
    let uri = format!("sip:{DOMAIN}");
    Draft::new("OPTIONS", &uri, "sip:probe@invalid", &uri)
}

/// Lets this process open more descriptors than the server may.
fn descriptors(count: u32) -> Result<()> {
    let id = std::process::id().to_string();
    command(&["prlimit", "--pid", &id, &format!("--nofile={count}:{count}")])
}

/// A connection whose user has proved who he is: bob.
fn proven(world: &World, server: &Server) -> Result<Stream> {
    let mut stream = Stream::connect_from(world.address(11), server.address)?;
    let contact = format!("sip:bob@{};transport=tcp", stream.local);
    let draft = Draft::register("bob", DOMAIN, &contact);
    let refused = stream.ask(&draft, Duration::from_secs(2)).context("the first connection")?;
    let challenge = Challenge::all(&refused).into_iter().next().context("no challenge")?;
    let answer = challenge.answer("bob", PASSWORD, "REGISTER", &draft.uri, 1);
    let accepted = stream.ask(&draft.again().with(&answer), Duration::from_secs(2))?;
    if accepted.status() != 200 {
        bail!("REGISTER over TCP: {}", accepted.start);
    }
    Ok(stream)
}

pub fn fd_exhaust(world: &mut World) -> Result<String> {
    descriptors(4096)?;
    let prefix = ["prlimit", "--nofile=256:256"].map(str::to_owned).to_vec();
    let settings = Settings { prefix, ..Settings::public(&["alice", "bob"]) };
    let mut server = world.start(&settings)?;
    let agent = Agent::new(world.address(10), server.address)?;
    agent.register("alice", PASSWORD, DOMAIN)?;
    let mut first = proven(world, &server)?;
    let mut crowd = Vec::new();
    for n in 0..1000u32 {
        // Connections the kernel accepts for a server that does not; refusals are fine as well.
        if let Ok(stream) = Stream::connect_from(world.address(20 + (n % 20) as u8), server.address)
        {
            crowd.push(stream);
        }
        if n % 100 == 0 {
            server.healthy().with_context(|| format!("UDP, {n} connections"))?;
        }
    }
    let before = server.cpu();
    std::thread::sleep(Duration::from_secs(2));
    let spent = server.cpu().saturating_sub(before);
    // 5 % of a core.
    if spent > Duration::from_millis(100) {
        bail!(
            "idle with {} connections it spent {} ms of CPU in 2 s: the accept loop spins",
            crowd.len(),
            spent.as_millis()
        );
    }
    server.healthy().context("UDP with all descriptors gone")?;
    agent.register("alice", PASSWORD, DOMAIN).context("a registration over UDP")?;
    first
        .ask(&options(), Duration::from_secs(2))
        .context("the connection that was there before")?;
    let held = crowd.len();
    drop(crowd);
    recovered(world, &server)?;
    server.healthy()?;
    Ok(format!(
        "{held} connections held; UDP and the first connection unaffected, {} ms CPU idle, recovers",
        spent.as_millis()
    ))
}

/// A new connection is served again.
fn recovered(world: &World, server: &Server) -> Result<()> {
    let start = Instant::now();
    loop {
        let tried = Stream::connect_from(world.address(11), server.address)
            .and_then(|mut s| s.ask(&options(), Duration::from_millis(500)));
        match tried {
            Ok(_) => return Ok(()),
            Err(error) if start.elapsed() > Duration::from_secs(10) => {
                return Err(error.context("a new connection, 10 s after the crowd left"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

pub fn slowloris(world: &mut World) -> Result<String> {
    const CROWD: u32 = 5000;
    descriptors(20_000)?;
    let mut server = world.start(&Settings::public(&["alice", "bob"]))?;
    let alice = Agent::new(world.address(10), server.address)?;
    alice.register("alice", PASSWORD, DOMAIN)?;
    let mut verified = proven(world, &server)?;
    let mut crowd = Vec::new();
    for n in 0..CROWD {
        if let Ok(mut stream) =
            Stream::connect_from(world.address(101 + (n % 5) as u8), server.address)
        {
            stream.send("OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;bra")?;
            crowd.push(stream);
        }
    }
    let (mut slowest, mut asked) = (Duration::ZERO, 0);
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        verified.ask(&options(), Duration::from_secs(1)).context("the verified connection")?;
        alice.register("alice", PASSWORD, DOMAIN).context("the registered user over UDP")?;
        let start = Instant::now();
        let mut fresh =
            Stream::connect_from(world.address(12), server.address).context("a new user")?;
        fresh.ask(&options(), Duration::from_secs(1)).context("a new user")?;
        slowest = slowest.max(start.elapsed());
        asked += 1;
        crowd.iter_mut().step_by(50).for_each(|s| {
            // A byte now and then; whether the server has closed it is its business.
            let _ = s.send("n");
        });
    }
    server.healthy()?;
    if slowest > Duration::from_secs(1) {
        bail!("a new user waits {} ms", slowest.as_millis());
    }
    Ok(format!(
        "{} half-sent requests held; {asked} rounds of verified users all served, a new user waits {} ms at most",
        crowd.len(),
        slowest.as_millis()
    ))
}
