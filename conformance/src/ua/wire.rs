//! RTP as the firewall of the namespace sees it: counted for one receiver, and a share of it dropped. It looks at the first two
//! bytes of a packet, never at its sound.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::phone::PATIENCE;
use crate::world::{World, output};

/// Sound comes every 20 ms.
const SILENCE: Duration = Duration::from_millis(500);

/// Whose RTP: a name, and what nftables matches.
pub struct Receiver {
    pub name: &'static str,
    pub matches: String,
}

/// Counts what is meant for each of them, and drops so many of a hundred.
pub fn watch(world: &World, receivers: &[Receiver], dropped: u32) -> Result<()> {
    let (mut counters, mut rules) = (String::new(), String::new());
    for Receiver { name, matches } in receivers {
        let _ = writeln!(counters, " counter {name} {{}}\n counter {name}_lost {{}}");
        // Version 2 and payload type 0, with or without marker (RFC 3550 §5.1): no SIP and no RTCP begins so.
        let _ = writeln!(
            rules,
            "  {matches} meta l4proto udp @th,64,16 & 0xff7f == 0x8000 counter name {name} \
             numgen random mod 100 < {dropped} counter name {name}_lost drop"
        );
    }
    let chain = format!(" chain in {{\n  type filter hook input priority 0;\n{rules} }}\n");
    world.firewall(&format!("table inet wire {{\n{counters}{chain}}}\n"))
}

/// How many were meant for it, and how many of those were dropped.
pub fn counted(name: &str) -> Result<(u32, u32)> {
    Ok((counter(name)?, counter(&format!("{name}_lost"))?))
}

/// Waits until nothing more is sent to it.
pub fn falls_silent(name: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut before = counter(name)?;
    while Instant::now() < end {
        std::thread::sleep(SILENCE);
        let now = counter(name)?;
        if now == before {
            return Ok(());
        }
        before = now;
    }
    bail!("RTP goes on to {name}")
}

/// Waits until a second of sound more was sent to it.
pub fn goes_on(name: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let before = counter(name)?;
    while counter(name)? < before + 50 {
        if Instant::now() > end {
            bail!("no RTP to {name} any more");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn counter(name: &str) -> Result<u32> {
    let text = output(&["nft", "list", "counter", "inet", "wire", name])?;
    let mut words = text.split_whitespace().skip_while(|word| *word != "packets").skip(1);
    words.next().and_then(|count| count.parse().ok()).with_context(|| format!("nft said {text}"))
}
