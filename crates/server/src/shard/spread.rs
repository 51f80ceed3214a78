//! Which worker gets the datagrams of one busy sender. By the hash of its address they all go to one worker, which is
//! cheapest as long as that worker can keep up: spreading costs a fifth more (docs/adr/0002-locked-nodes.md). When one is hot
//! and the others are not, the kernel is told to choose at random, and back when one could do it all again. Any worker may
//! handle anything, so nothing else changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shell;
use crate::config::{LogLevel, Spread};
use crate::start::WorkerSockets;

/// In thousandths of a core. Hot: above this; the others are idle enough below half of it.
const HOT: u32 = 700;
/// All together; for so many seconds.
const CALM: u32 = 400;
const CALM_SECONDS: u32 = 30;

#[derive(Debug, Default)]
struct Decision {
    is_random: bool,
    calm_for: u32,
}

impl Decision {
    /// One second has passed, and so busy were the workers: whether to change, and to what.
    fn step(&mut self, busy: &[u32]) -> Option<bool> {
        let (sum, max) = (busy.iter().sum::<u32>(), busy.iter().max().copied().unwrap_or(0));
        let others = (sum - max).checked_div(u32::try_from(busy.len()).ok()?.checked_sub(1)?)?;
        self.calm_for = if sum < CALM { self.calm_for + 1 } else { 0 };
        let change = match self.is_random {
            false => (max >= HOT && others < max / 2).then_some(true),
            true => (self.calm_for >= CALM_SECONDS).then_some(false),
        };
        self.is_random = change.unwrap_or(self.is_random);
        change
    }
}

/// Looks once a second, for ever.
pub async fn supervise(shell: Arc<Shell>, spread: Spread, sockets: Vec<WorkerSockets>) {
    if shell.links.len() < 2 || spread == Spread::Source {
        return;
    }
    if spread == Spread::Random {
        return apply(&shell, &sockets, true);
    }
    let mut decision = Decision::default();
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let busy: Vec<u32> =
            shell.links.iter().map(|link| link.busy.load(Ordering::Relaxed)).collect();
        if let Some(random) = decision.step(&busy) {
            apply(&shell, &sockets, random);
        }
    }
}

fn apply(shell: &Shell, sockets: &[WorkerSockets], random: bool) {
    let workers = u32::try_from(shell.links.len()).unwrap_or(1);
    // The program is the group's: any one of its sockets will do.
    for (_, socket) in sockets.first().into_iter().flatten() {
        let socket = socket.socket();
        let done = if random { socket.spread_at_random(workers) } else { socket.spread_by_hash() };
        if let Err(error) = done {
            let why = error.to_string();
            let fields = [("why", (&*why).into())];
            return shell.observer.log.line(
                shell.clock.now(),
                LogLevel::Warn,
                "spread_failed",
                &fields,
            );
        }
    }
    shell.spread_random.store(random, Ordering::Relaxed);
    let how = if random { "at random" } else { "by sender" };
    shell.observer.log.line(shell.clock.now(), LogLevel::Info, "spread", &[("how", how.into())]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hot_worker_among_idle_ones_shares() {
        let mut decision = Decision::default();
        assert_eq!(decision.step(&[600, 0]), None, "it can keep up");
        assert_eq!(decision.step(&[900, 800]), None, "they are all at work");
        assert_eq!(decision.step(&[50, 900]), Some(true));
        assert_eq!(decision.step(&[500, 500]), None);
        for _ in 0..29 {
            assert_eq!(decision.step(&[100, 100]), None);
        }
        assert_eq!(decision.step(&[500, 500]), None, "not for long enough");
        for _ in 0..29 {
            assert_eq!(decision.step(&[100, 100]), None);
        }
        assert_eq!(decision.step(&[100, 100]), Some(false));
    }

    #[test]
    fn one_worker_has_nobody_to_share_with() {
        assert_eq!(Decision::default().step(&[1_000]), None);
        assert_eq!(Decision::default().step(&[]), None);
    }
}
