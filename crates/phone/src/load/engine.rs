//! The loop of a run: begin what is due, fire timers, send, receive, wait. Phases: register the population, warm up,
//! measure, let the last calls end, take the bindings away again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use udp::{BATCH_MAX, Inbox, Options, Socket};

use super::Unit;
use super::call::Calls;
use super::desk::Desk;
use super::observe::{self, Usage};
use super::options::Pings;
use super::plan::{Pace, Plan, Scenario};
use super::register::Registrations;
use super::report::{Report, Window};
use super::scan::Message;
use super::script::{Script, Side};
use super::tally::Tally;
use super::timer::{Nanos, Pauses, T1, Timers};

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot use the local address {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("cannot receive: {0}")]
    Receive(std::io::Error),
    #[error("no user could be registered: {0}")]
    NobodyRegistered(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Registering,
    WarmUp,
    Measuring,
    /// Nothing new; the last units end.
    Finishing,
    Unregistering,
}

/// What a watcher is told, some ten times a second.
pub struct Progress<'a> {
    pub phase: Phase,
    /// Since the warm-up began.
    pub elapsed: Duration,
    pub active: usize,
    pub tally: &'a Tally,
}

/// How many may be registering at the same time before the calls begin.
const REGISTERING_WINDOW: usize = 64;
/// Units begun in one turn of the loop; more would be a burst that no real population makes.
const STARTS_PER_TURN: u64 = 32;
/// A sender that is later than this with its next unit cannot keep the rate.
const LATE: Nanos = 20_000_000;
const PROGRESS_EVERY: Nanos = 100_000_000;

/// Runs the plan. `stop` counts the user's interruptions: 1 finishes what is begun, 2 leaves at once.
pub fn run(
    plan: &Plan,
    stop: &AtomicU32,
    mut watch: impl FnMut(&Progress<'_>),
) -> Result<Report, LoadError> {
    let mut engine = Engine::new(plan, stop)?;
    let secret = plan.secret.clone();
    let mut registrations = Registrations::new(plan.users.count(), secret.clone());
    let registers = plan.scenario != Scenario::Options;
    if registers {
        engine.register_everybody(&mut registrations, plan, Phase::Registering, &mut watch)?;
    }
    let idle = observe::usage(&plan.server_pids);
    let registration = std::mem::take(&mut engine.desk.tally);
    let mut report = match plan.scenario {
        Scenario::Register => engine.measure(&mut registrations, plan, &mut watch)?,
        Scenario::Options => engine.measure(&mut Pings::new(plan.active_max), plan, &mut watch)?,
        Scenario::Call => {
            let mut calls = Calls::new(plan.active_max, plan.users.count(), secret);
            engine.measure(&mut calls, plan, &mut watch)?
        }
    };
    report.registered = registration.ok;
    report.memory_before = idle.map(|usage| usage.memory);
    if registers && !plan.keep_registered && stop.load(Ordering::Relaxed) < 2 {
        registrations.unregister();
        engine.register_everybody(&mut registrations, plan, Phase::Unregistering, &mut watch)?;
    }
    Ok(report)
}

struct Engine<'a> {
    desk: Desk,
    script: Script,
    inbox: Inbox,
    began: Instant,
    stop: &'a AtomicU32,
    last_progress: Nanos,
}

impl<'a> Engine<'a> {
    fn new(plan: &Plan, stop: &'a AtomicU32) -> Result<Self, LoadError> {
        let bind = |offset: u16| {
            let port = if plan.port == 0 { 0 } else { plan.port.saturating_add(offset) };
            let address = SocketAddr::new(plan.bind, port);
            Socket::bind(address, &Options::default())
                .and_then(|socket| Ok((socket.local_addr()?, socket)))
                .map_err(|source| LoadError::Bind { address, source })
        };
        let ((caller_at, caller), (callee_at, callee)) = (bind(0)?, bind(1)?);
        // Where the system cannot do it, naps are a little longer; nothing else depends on it.
        let _ = udp::set_timer_slack(1);
        let pauses =
            Pauses { ring: plan.ring.as_nanos() as Nanos, hold: plan.hold.as_nanos() as Nanos };
        let run = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u32)
            ^ std::process::id().rotate_left(16);
        let sides = [caller_at, callee_at];
        Ok(Self {
            desk: Desk::new([caller, callee], plan.target, Timers::new(pauses)),
            script: Script::new(run, &plan.domain, plan.users.clone(), sides, plan.expires),
            inbox: Inbox::new(BATCH_MAX),
            began: Instant::now(),
            stop,
            last_progress: 0,
        })
    }

    fn tick(&mut self) -> Nanos {
        self.desk.now = self.began.elapsed().as_nanos() as Nanos;
        self.desk.now
    }

    /// One REGISTER for every user, a few at a time.
    fn register_everybody(
        &mut self,
        registrations: &mut Registrations,
        plan: &Plan,
        phase: Phase,
        watch: &mut impl FnMut(&Progress<'_>),
    ) -> Result<(), LoadError> {
        let target = self.desk.tally.started + u64::from(plan.users.count());
        let begin = self.tick();
        loop {
            self.tick();
            let (started, failed) = (self.desk.tally.started, self.desk.tally.failed);
            if started >= target && registrations.active() == 0 {
                break;
            }
            if self.stop.load(Ordering::Relaxed) >= 2 {
                return Ok(());
            }
            // A server that refuses or ignores the first hundred will not like the rest.
            if failed >= 100 && self.desk.tally.ok == 0 {
                break;
            }
            let room = REGISTERING_WINDOW.saturating_sub(registrations.active()) as u64;
            for _ in 0..room.min(target - started) {
                registrations.start(&mut self.desk, &self.script);
            }
            self.turn(registrations, None)?;
            self.progress(phase, begin, registrations.active(), watch);
        }
        if self.desk.tally.ok == 0 && phase == Phase::Registering {
            return Err(LoadError::NobodyRegistered(reasons(&self.desk.tally)));
        }
        Ok(())
    }

    /// Warm-up, measurement, and the end of what was begun.
    fn measure(
        &mut self,
        unit: &mut impl Unit,
        plan: &Plan,
        watch: &mut impl FnMut(&Progress<'_>),
    ) -> Result<Report, LoadError> {
        let begin = self.tick();
        let warm_end = begin + plan.warm_up.as_nanos() as Nanos;
        let end = warm_end + plan.duration.as_nanos() as Nanos;
        let mut pacer = Pacer::new(plan.pace, begin);
        let mut window = None;
        let mut lateness: Nanos = 0;
        let mut peak: Option<Usage> = None;
        let mut probe = begin;
        loop {
            let now = self.tick();
            if window.is_none() && now >= warm_end {
                window = Some(Window::open(&mut self.desk.tally, now, &plan.server_pids));
            }
            if now >= end || self.stop.load(Ordering::Relaxed) > 0 {
                break;
            }
            if now >= probe {
                // Reading a page map takes the server's locks: twice a second is plenty.
                probe = now + 500_000_000;
                if let Some(usage) = observe::usage(&plan.server_pids) {
                    let larger = peak.is_none_or(|peak| peak.memory < usage.memory);
                    peak = if larger { Some(usage) } else { peak };
                }
            }
            let late = pacer.start_due(unit, &mut self.desk, &self.script, plan.active_max);
            // What counts is the backlog that is left: a stall that was made up for did no harm.
            lateness = late;
            self.turn(unit, pacer.next())?;
            let phase = if window.is_some() { Phase::Measuring } else { Phase::WarmUp };
            self.progress(phase, begin, unit.active(), watch);
        }
        let window = window
            .unwrap_or_else(|| Window::open(&mut self.desk.tally, self.desk.now, &plan.server_pids))
            .close(&self.desk.tally, self.desk.now, &plan.server_pids);
        self.finish(unit, begin, watch)?;
        let tally = std::mem::take(&mut self.desk.tally);
        let mut report = Report::new(plan, tally, window, lateness > LATE);
        report.interrupted = self.stop.load(Ordering::Relaxed) > 0;
        report.memory_peak = peak.map(|usage| usage.memory);
        Ok(report)
    }

    fn finish(
        &mut self,
        unit: &mut impl Unit,
        begin: Nanos,
        watch: &mut impl FnMut(&Progress<'_>),
    ) -> Result<(), LoadError> {
        let pauses = self.desk.timers.pauses();
        let deadline = self.tick() + 65 * T1 + pauses.ring + pauses.hold;
        while unit.active() > 0 && self.desk.now < deadline {
            if self.stop.load(Ordering::Relaxed) >= 2 {
                break;
            }
            self.turn(unit, None)?;
            self.tick();
            self.progress(Phase::Finishing, begin, unit.active(), watch);
        }
        Ok(())
    }

    /// Timers, sending, one batch from each socket; sleeps when there was nothing.
    fn turn(&mut self, unit: &mut impl Unit, next_start: Option<Nanos>) -> Result<(), LoadError> {
        while let Some(alarm) = self.desk.timers.pop(self.desk.now) {
            unit.alarm(alarm, &mut self.desk, &self.script);
        }
        let blocked = self.desk.flush();
        let received = self.receive(Side::Caller, unit)? + self.receive(Side::Callee, unit)?;
        if received > 0 || blocked {
            return Ok(());
        }
        let mut until = self.desk.now + PROGRESS_EVERY;
        for earlier in [next_start, self.desk.timers.next_deadline()].into_iter().flatten() {
            until = until.min(earlier);
        }
        self.tick();
        if until > self.desk.now {
            self.desk.wait(until).map_err(LoadError::Receive)?;
        }
        Ok(())
    }

    fn receive(&mut self, side: Side, unit: &mut impl Unit) -> Result<usize, LoadError> {
        let Some(socket) = self.desk.sockets.get(side as usize) else { return Ok(0) };
        match socket.receive(&mut self.inbox) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(LoadError::Receive(error)),
        }
        self.desk.now = self.began.elapsed().as_nanos() as Nanos;
        for datagram in self.inbox.datagrams() {
            match Message::read(datagram.bytes) {
                Some(message) => {
                    let source = datagram.source;
                    unit.receive(side, source, &message, &mut self.desk, &self.script);
                }
                None => self.desk.tally.unexpected += 1,
            }
        }
        Ok(self.inbox.len())
    }

    fn progress(
        &mut self,
        phase: Phase,
        begin: Nanos,
        active: usize,
        watch: &mut impl FnMut(&Progress<'_>),
    ) {
        let now = self.desk.now;
        if now.saturating_sub(self.last_progress) >= PROGRESS_EVERY {
            self.last_progress = now;
            let elapsed = Duration::from_nanos(now.saturating_sub(begin));
            watch(&Progress { phase, elapsed, active, tally: &self.desk.tally });
        }
    }
}

/// When the next unit begins.
enum Pacer {
    Open { interval: Nanos, next: Nanos },
    Closed(usize),
}

impl Pacer {
    fn new(pace: Pace, now: Nanos) -> Self {
        match pace {
            Pace::Rate(rate) => {
                let interval = (1e9 / rate.max(0.001)) as Nanos;
                Pacer::Open { interval: interval.max(1), next: now }
            }
            Pace::Window(window) => Pacer::Closed(window),
        }
    }

    fn next(&self) -> Option<Nanos> {
        match self {
            Pacer::Open { next, .. } => Some(*next),
            Pacer::Closed(_) => None,
        }
    }

    /// Begins what is due; says how late the oldest still missing one is.
    fn start_due(
        &mut self,
        unit: &mut impl Unit,
        desk: &mut Desk,
        script: &Script,
        active_max: usize,
    ) -> Nanos {
        match self {
            Pacer::Closed(window) => {
                let room = (*window).min(active_max).saturating_sub(unit.active());
                for _ in 0..room {
                    if !unit.start(desk, script) {
                        break;
                    }
                }
                0
            }
            Pacer::Open { interval, next } => {
                for _ in 0..STARTS_PER_TURN {
                    if *next > desk.now || unit.active() >= active_max {
                        break;
                    }
                    if !unit.start(desk, script) {
                        break;
                    }
                    *next += *interval;
                }
                desk.now.saturating_sub(*next)
            }
        }
    }
}

pub(super) fn reasons(tally: &Tally) -> String {
    let mut text = String::new();
    for (failure, count) in &tally.failures {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(&format!("{count} x {failure}"));
    }
    if let Some(error) = &tally.send_error {
        text.push_str(&format!(" (sending failed: {error})"));
    }
    text
}
