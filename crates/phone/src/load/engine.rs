//! The loop of a run: begin what is due, fire timers, send, receive, wait. Phases: register the population, warm up,
//! measure, let the last calls end, take the bindings away again.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use udp::{BATCH_MAX, Inbox, Options, Socket};

use super::Unit;
use super::call::Calls;
use super::control::{Control, Stop};
use super::desk::{Desk, SOUND};
use super::knee::LATE;
use super::message::Letters;
use super::observe;
use super::options::Pings;
use super::pacer::Pacer;
use super::plan::{Pace, Plan, Scenario};
use super::register::Registrations;
use super::report::{Report, Window};
use super::scan::Message;
use super::script::{Script, Side};
use super::step::Steps;
use super::tally::Tally;
use super::text::reasons;
use super::timer::{Nanos, Pauses, T1, Timers};
use super::wallet::Wallet;

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
    /// Units a second that are asked for now; None in a closed loop.
    pub asked: Option<f64>,
    pub tally: &'a Tally,
}

/// How many may be registering at the same time before the calls begin.
const REGISTERING_WINDOW: usize = 64;
const PROGRESS_EVERY: Nanos = 100_000_000;
/// Batches of RTP read in one turn.
const HEARD_MAX: usize = 16;
/// Reading a page map takes the server's locks: twice a second is plenty.
const PROBE_EVERY: Nanos = 500_000_000;

/// Runs the plan, as far as `control` lets it.
pub fn run(
    plan: &Plan,
    control: &Control,
    mut watch: impl FnMut(&Progress<'_>),
) -> Result<Report, LoadError> {
    let mut engine = Engine::new(plan, control)?;
    let users = plan.users.count();
    let wallet = || Wallet::new(users, plan.secret.clone());
    let mut registrations = Registrations::new(users, wallet());
    let storm = plan.scenario == Scenario::RegisterStorm;
    let registers = plan.scenario != Scenario::Options;
    if registers && !storm {
        engine.register_everybody(&mut registrations, plan, Phase::Registering, &mut watch)?;
    }
    let idle = observe::usage(&plan.server_pids);
    let registration = std::mem::take(&mut engine.desk.tally);
    let now = engine.tick();
    match plan.pace {
        _ if storm => registrations.storm(now),
        Pace::Refresh(every) => registrations.refresh(now, every.as_nanos() as Nanos),
        _ => {}
    }
    let mut report = match plan.scenario {
        Scenario::Register | Scenario::ReRegister | Scenario::RegisterStorm => {
            engine.measure(&mut registrations, plan, &mut watch)?
        }
        Scenario::Options => engine.measure(&mut Pings::new(plan.active_max), plan, &mut watch)?,
        Scenario::Call => {
            let mut calls = Calls::new(plan.active_max, plan.sound, wallet());
            engine.measure(&mut calls, plan, &mut watch)?
        }
        Scenario::Message => {
            let mut letters = Letters::new(plan.active_max, plan.sizes, wallet());
            engine.measure(&mut letters, plan, &mut watch)?
        }
    };
    report.registered = registration.whole.ok;
    report.memory_before = idle.map(|usage| usage.memory);
    report.storm = registrations.storm_end();
    if registers && !plan.keep_registered && control.stop() < Stop::Now {
        registrations.leave();
        engine.register_everybody(&mut registrations, plan, Phase::Unregistering, &mut watch)?;
    }
    report.interrupted = control.interrupted();
    Ok(report)
}

/// A socket for RTP: "an even destination port number" (RFC 3550 §11), unless the system gives odd ones only.
fn sound(ip: IpAddr) -> Result<(SocketAddr, Socket), LoadError> {
    const ATTEMPTS: usize = 16;
    let address = SocketAddr::new(ip, 0);
    let bind = || {
        Socket::bind(address, &Options::default())
            .and_then(|socket| Ok((socket.local_addr()?, socket)))
            .map_err(|source| LoadError::Bind { address, source })
    };
    let mut odd = Vec::new();
    loop {
        let (at, socket) = bind()?;
        if at.port() % 2 == 0 || odd.len() == ATTEMPTS {
            return Ok((at, socket));
        }
        odd.push(socket);
    }
}

struct Engine<'a> {
    desk: Desk,
    script: Script,
    inbox: Inbox,
    began: Instant,
    control: &'a Control,
    last_progress: Nanos,
}

impl<'a> Engine<'a> {
    fn new(plan: &Plan, control: &'a Control) -> Result<Self, LoadError> {
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
        let (mut sockets, mut script) = (
            vec![caller, callee],
            Script::new(run, &plan.domain, plan.users.clone(), sides, plan.expires)
                .with_text(plan.sizes.1),
        );
        if plan.sound {
            let ((caller_at, caller), (callee_at, callee)) = (sound(plan.bind)?, sound(plan.bind)?);
            script = script.with_sound([caller_at, callee_at]);
            sockets.extend([caller, callee]);
        }
        Ok(Self {
            desk: Desk::new(sockets, plan.target, Timers::new(pauses)),
            script,
            inbox: Inbox::new(BATCH_MAX),
            began: Instant::now(),
            control,
            last_progress: 0,
        })
    }

    fn tick(&mut self) -> Nanos {
        self.desk.now = self.began.elapsed().as_nanos() as Nanos;
        self.desk.now
    }

    /// One REGISTER for every user whose turn it is, a few at a time.
    fn register_everybody(
        &mut self,
        registrations: &mut Registrations,
        plan: &Plan,
        phase: Phase,
        watch: &mut impl FnMut(&Progress<'_>),
    ) -> Result<(), LoadError> {
        let begin = self.tick();
        let mut left = plan.users.count();
        loop {
            self.tick();
            let whole = &self.desk.tally.whole;
            // A server that refuses or ignores the first hundred will not like the rest.
            let hopeless = whole.failed >= 100 && whole.ok == 0;
            let stopped = phase == Phase::Registering && self.control.stop() > Stop::Not;
            if stopped || hopeless {
                left = 0;
            }
            while left > 0 && registrations.active() < REGISTERING_WINDOW {
                let begun = registrations.start(&mut self.desk, &self.script);
                left = if begun { left - 1 } else { 0 };
            }
            if hopeless || (left == 0 && registrations.active() == 0) {
                break;
            }
            if self.control.stop() == Stop::Now {
                return Ok(());
            }
            self.turn(registrations, None)?;
            self.progress(phase, begin, registrations.active(), None, watch);
        }
        let stopped = self.control.stop() > Stop::Not;
        if self.desk.tally.whole.ok == 0 && phase == Phase::Registering && !stopped {
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
        let mut pacer = Pacer::new(plan, begin, warm_end);
        let mut window = None;
        let (mut late, mut peak, mut probe) = (0, None, begin);
        loop {
            let now = self.tick();
            if window.is_none() && now >= warm_end {
                window = Some(self.open_window(plan, warm_end));
            }
            if now >= end || unit.is_over() || self.control.stop() > Stop::Not {
                break;
            }
            if now >= probe {
                probe = now + PROBE_EVERY;
                let usage = observe::usage(&plan.server_pids);
                peak = peak.max(usage.map(|usage| usage.memory));
            }
            pacer.obey(self.control, unit, &mut self.desk);
            // What counts is the backlog that is left: a stall that was made up for did no harm.
            late = pacer.start_due(unit, &mut self.desk, &self.script, plan.active_max);
            self.note_step(late, pacer.crowded());
            self.turn(unit, pacer.next(unit))?;
            let phase = if window.is_some() { Phase::Measuring } else { Phase::WarmUp };
            let asked = pacer.rate(&self.desk);
            self.progress(phase, begin, unit.active(), asked, watch);
        }
        let asked = pacer.rate(&self.desk);
        let window = window.unwrap_or_else(|| self.open_window(plan, warm_end)).close(
            &self.desk.tally,
            self.desk.now,
            &plan.server_pids,
        );
        self.finish(unit, begin, watch)?;
        unit.abandon(&mut self.desk);
        let tally = std::mem::take(&mut self.desk.tally);
        let mut report = Report::new(plan, tally, window);
        report.asked = asked;
        report.crowded = late > LATE && pacer.crowded();
        report.sender_limited |= late > LATE;
        report.drops = self.desk.drops();
        report.sender_limited |= report.drops > 0;
        report.stopped = self.control.stop() > Stop::Not;
        report.memory_peak = peak;
        Ok(report)
    }

    fn open_window(&mut self, plan: &Plan, begin: Nanos) -> Window {
        if let Pace::Ramp(ramp) = plan.pace {
            self.desk.tally.steps = Some(Steps::new(ramp, begin));
        }
        Window::open(&mut self.desk.tally, self.desk.now, &plan.server_pids)
    }

    /// On a ramp each step knows whether the sender kept up in it.
    fn note_step(&mut self, late: Nanos, crowded: bool) {
        if let Some(steps) = &mut self.desk.tally.steps {
            steps.turn(self.desk.now, late, crowded, self.desk.scale, observe::own_cpu);
        }
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
            if self.control.stop() == Stop::Now {
                break;
            }
            self.turn(unit, None)?;
            self.tick();
            self.progress(Phase::Finishing, begin, unit.active(), None, watch);
        }
        Ok(())
    }

    /// Timers, sending, one batch from each socket; sleeps when there was nothing.
    fn turn(&mut self, unit: &mut impl Unit, next_start: Option<Nanos>) -> Result<(), LoadError> {
        while let Some(alarm) = self.desk.timers.pop(self.desk.now) {
            unit.alarm(alarm, &mut self.desk, &self.script);
        }
        unit.tick(&mut self.desk);
        let blocked = self.desk.flush();
        let mut received = 0;
        for side in [Side::Caller, Side::Callee] {
            // Sound first: what arrived before the answer to a BYE belongs to its call.
            received += self.hear(side, unit)? + self.receive(side, unit)?;
        }
        if received > 0 || blocked {
            return Ok(());
        }
        let mut until = self.desk.now + PROGRESS_EVERY;
        let deadline = self.desk.timers.next_deadline();
        for earlier in [next_start, deadline, unit.next_tick()].into_iter().flatten() {
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
                None => self.desk.tally.unexpected(self.desk.now),
            }
        }
        Ok(self.inbox.len())
    }

    /// RTP, if there is any, as far as a stall may have let it pile up.
    fn hear(&mut self, side: Side, unit: &mut impl Unit) -> Result<usize, LoadError> {
        let mut heard = 0;
        for _ in 0..HEARD_MAX {
            let Some(socket) = self.desk.sockets.get(SOUND + side as usize) else { break };
            match socket.receive(&mut self.inbox) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(LoadError::Receive(error)),
            }
            self.desk.now = self.began.elapsed().as_nanos() as Nanos;
            for datagram in self.inbox.datagrams() {
                unit.hear(side, datagram.bytes, &mut self.desk);
            }
            heard += self.inbox.len();
            if self.inbox.len() < self.inbox.capacity() {
                break;
            }
        }
        Ok(heard)
    }

    fn progress(
        &mut self,
        phase: Phase,
        begin: Nanos,
        active: usize,
        asked: Option<f64>,
        watch: &mut impl FnMut(&Progress<'_>),
    ) {
        let now = self.desk.now;
        if now.saturating_sub(self.last_progress) >= PROGRESS_EVERY {
            self.last_progress = now;
            let elapsed = Duration::from_nanos(now.saturating_sub(begin));
            watch(&Progress { phase, elapsed, active, asked, tally: &self.desk.tally });
        }
    }
}
