//! Malformed inputs, over both transports, one at a time. Which refusal is right is not judged here: the server must stay up, answer
//! OPTIONS after each, and not grow.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::agent::{Agent, Heard, Stream};
use crate::subject::Settings;
use crate::world::{LOCAL, World, malformed};

pub fn udp(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&[]))?;
    let files = malformed(&world.corpus)?;
    let mut slowest = Duration::ZERO;
    for file in &files {
        let bytes = std::fs::read(file)?;
        let agent = Agent::new(LOCAL, server.address)?;
        // The largest datagram IPv4 carries.
        agent.send(bytes.get(..bytes.len().min(65_507)).unwrap_or_default())?;
        let answered = server.healthy().with_context(|| file.display().to_string())?;
        slowest = slowest.max(answered);
    }
    Ok(format!(
        "{} inputs, OPTIONS answered after each, slowest {} ms",
        files.len(),
        slowest.as_millis()
    ))
}

pub fn tcp(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&[]))?;
    let files = malformed(&world.corpus)?;
    let mut slowest = Duration::ZERO;
    let mut closed = 0;
    for file in &files {
        let bytes = std::fs::read(file)?;
        let mut stream = Stream::connect(server.address)?;
        stream.send(&bytes)?;
        let end = Instant::now() + Duration::from_millis(50);
        while let left = end.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            match stream.hear(left)? {
                Heard::Closed => {
                    closed += 1;
                    break;
                }
                Heard::Nothing => break,
                Heard::Message(_) => {}
            }
        }
        let answered = server.healthy().with_context(|| file.display().to_string())?;
        slowest = slowest.max(answered);
    }
    if files.is_empty() {
        bail!("there are no inputs");
    }
    Ok(format!(
        "{} inputs, OPTIONS answered after each, slowest {} ms; {closed} connections closed",
        files.len(),
        slowest.as_millis()
    ))
}
