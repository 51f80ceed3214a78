//! How time passes: from one thing that is due to the next, never between.

use sip_core::time::{Duration, Instant};
use sip_core::timer::LINGER_STEP;

use super::{GIVE_UP, Parcel, World};
use crate::server::Server;

/// More turns than this at one instant: something answers itself.
const TURNS_MAX: u32 = 100_000;

impl World {
    /// Runs until nothing can happen any more: 64*T1 after the last message.
    pub fn run(&mut self) {
        loop {
            self.adopt();
            match self.next_wake() {
                Some(at) if self.next_busy().is_some() || at <= self.silence_ends() => {
                    self.step_to(at);
                }
                _ => break,
            }
        }
        self.now = self.now.max(self.silence_ends());
    }

    /// Runs for this long, whatever happens.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.adopt();
        while let Some(at) = self.next_wake().filter(|at| *at <= end) {
            self.step_to(at);
            self.adopt();
        }
        self.now = end;
    }

    /// When the tables must be empty. A call that only rings lasts until Timer C (RFC 3261 §16.6 step 11).
    fn silence_ends(&self) -> Instant {
        // The RFC's lingering times are least values, and the core rounds them up.
        let grace = GIVE_UP + LINGER_STEP + Duration::from_millis(1);
        let ringing = self.servers.iter().any(|s| !s.leftovers().is_empty())
            && crate::check::unanswered(self).next().is_some();
        let timer_c =
            self.servers.iter().map(|s| s.config.timers.timer_c).max().unwrap_or_default();
        self.trace.last_moved() + if ringing { timer_c + grace } else { grace }
    }

    fn adopt(&mut self) {
        for phone in &self.phones {
            phone.agent.borrow_mut().adopt(self.now);
        }
    }

    /// Something that is under way or planned by a phone.
    fn next_busy(&self) -> Option<Instant> {
        let parcel = self.parcels.keys().next().map(|(at, _)| *at);
        let alarm = self.phones.iter().filter_map(|p| p.agent.borrow().next_alarm()).min();
        parcel.into_iter().chain(alarm).min()
    }

    fn next_wake(&self) -> Option<Instant> {
        let deadline =
            self.servers.iter().filter(|s| !s.dead).filter_map(Server::next_deadline).min();
        let user_agents = self.phones.iter().filter_map(|p| p.agent.borrow().next_deadline()).min();
        self.next_busy().into_iter().chain(deadline).chain(user_agents).min()
    }

    /// Moves the clock to `at` and does everything that is due: arrivals, then phones, then timers of nodes.
    fn step_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
        for _ in 0..TURNS_MAX {
            let Some(entry) = self.parcels.first_entry() else { break };
            if entry.key().0 > self.now {
                break;
            }
            let parcel = entry.remove();
            self.deliver(parcel);
        }
        for index in 0..self.phones.len() {
            let Some(phone) = self.phones.get(index).cloned() else { continue };
            phone.agent.borrow_mut().wake(self.now);
            self.flush(index);
        }
        for index in 0..self.servers.len() {
            let Some(server) = self.servers.get_mut(index).filter(|s| !s.dead) else { continue };
            let turns = server.tick(self.now);
            if server.next_deadline().is_some_and(|at| at <= self.now)
                && turns.iter().all(|t| t.outbox.is_empty())
            {
                self.trace.violation(self.now, "a node's deadline does not move when it is ticked");
                self.now = self.now + Duration::from_millis(1);
            }
            self.take(index, turns);
        }
    }

    pub(super) fn post(&mut self, at: Instant, parcel: Parcel) {
        self.posted += 1;
        self.parcels.insert((at, self.posted), parcel);
    }
}
