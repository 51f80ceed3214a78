//! N-6: callees that answer late, that never read, or that read as over a line of 10 kbit/s. Nobody else notices, and what
//! waits for them stays small. (The line is a reader that takes 1,250 bytes a second: `tc tbf` would need a second namespace.)

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent::Agent;
use crate::child::Child;
use crate::sip::{Draft, response};
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{LOCAL, World};

const LATE: Duration = Duration::from_secs(20);

fn calls(world: &World, server: &Server, name: &str, seconds: u32) -> Result<f64> {
    let mut command = Command::new(crate::world::ringway());
    command.args(["load", &server.address.to_string(), "--domain", DOMAIN, "--users", "10"]);
    command.args(["--rate", "100", "--for", &format!("{seconds}s"), "--json"]);
    let mut child = Child::start(&world.folder, name, &mut command)?;
    child.succeed(Duration::from_secs(40))?;
    let report = child.report()?;
    report["setup_ms"]["p99"].as_f64().context("no p99")
}

/// Registers `user` where a TCP listener is.
fn listen(agent: &Agent, user: &str) -> Result<TcpListener> {
    let listener = TcpListener::bind((LOCAL, 0))?;
    let contact = format!("sip:{user}@{};transport=tcp", listener.local_addr()?);
    let answer = agent.ask_as(&Draft::register(user, DOMAIN, &contact), user, PASSWORD)?;
    if answer.status() != 200 {
        bail!("REGISTER of {user}: {}", answer.start);
    }
    Ok(listener)
}

/// Fills the way to a callee with large requests until `stop`.
fn talk_to(agent: &Agent, user: &str, count: u32) -> Result<()> {
    let to = format!("sip:{user}@{DOMAIN}");
    for _ in 0..count {
        let mut draft = Draft::new("MESSAGE", &to, "sip:alice@example.com", &to);
        draft.extra = "Content-Type: text/plain\r\n".into();
        draft.body = "x".repeat(8_000);
        agent.draft(&draft)?;
    }
    Ok(())
}

/// Each round adds 32 KB for the one that does not read and for the one that hardly does. How many rounds there were.
fn keep_talking(agent: Agent, stop: &Arc<AtomicBool>) -> JoinHandle<Result<u32>> {
    let stopped = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut rounds = 0;
        while !stopped.load(Ordering::Relaxed) {
            talk_to(&agent, "deaf", 4)?;
            talk_to(&agent, "narrow", 4)?;
            rounds += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(rounds)
    })
}

/// 1,250 bytes a second.
fn sip_from(mut reader: TcpStream, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let stopped = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut few = [0; 125];
        while !stopped.load(Ordering::Relaxed) && reader.read(&mut few).is_ok_and(|n| n > 0) {
            std::thread::sleep(Duration::from_millis(100));
        }
    })
}

pub fn slow(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&[]).open())?;
    let agent = Agent::new(LOCAL, server.address)?;
    let alone = calls(world, &server, "alone", 5)?;
    let before = server.memory();
    let deaf = listen(&agent, "deaf")?;
    let narrow = listen(&agent, "narrow")?;
    let late = Agent::new(LOCAL, server.address)?;
    late.register("late", PASSWORD, DOMAIN)?;
    let caller = Agent::new(LOCAL, server.address)?;
    let to = format!("sip:late@{DOMAIN}");
    let invite = Draft::new("INVITE", &to, "sip:alice@example.com", &to);
    caller.draft(&invite)?;
    let asked = late.request("INVITE", Duration::from_secs(2))?;
    late.send(response(&asked, "180 Ringing", "late", ""))?;
    let rang = Instant::now();

    let stop = Arc::new(AtomicBool::new(false));
    let talker = keep_talking(agent, &stop);
    let (held, _) = deaf.accept()?;
    let sipping = sip_from(narrow.accept()?.0, &stop);
    let beside = calls(world, &server, "beside", 10)?;
    let grown = server.memory().saturating_sub(before) / 1024;
    while rang.elapsed() < LATE {
        std::thread::sleep(Duration::from_millis(50));
    }
    stop.store(true, Ordering::Relaxed);
    let rounds = talker.join().map_err(|_| anyhow::anyhow!("the talker died"))??;
    late.send(response(&asked, "486 Busy Here", "late", ""))?;
    let answer = caller.receive(Duration::from_secs(2))?;
    let mut last = answer;
    while last.as_ref().is_some_and(|m| m.status() < 200) {
        last = caller.receive(Duration::from_secs(2))?;
    }
    if last.as_ref().map(crate::sip::Message::status) != Some(486) {
        bail!("the callee who answered after 20 s was not heard: {last:?}");
    }
    drop(deaf);
    drop(narrow);
    closed(held)?;
    sipping.join().map_err(|_| anyhow::anyhow!("the reader died"))?;
    server.healthy()?;
    let figures = format!(
        "p99 {alone:.1} ms alone, {beside:.1} ms beside them; {} KB offered to each, memory +{grown} MiB",
        rounds * 32
    );
    if grown > 32 {
        bail!("{figures}: what waits for them is not bounded");
    }
    // The goal is 10 % more; a few milliseconds are the machine's.
    if beside > alone * 1.1 + 5.0 {
        bail!("{figures}: others wait for them");
    }
    Ok(figures)
}

/// The server has closed the connection of whom does not read.
fn closed(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut buffer = vec![0; 65_536];
    let mut read = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => {
                bail!("the deaf callee's connection is still open after {read} bytes: {error}")
            }
        }
    }
    Ok(())
}
