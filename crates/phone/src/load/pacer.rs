//! When the next unit begins: at a rate, at a rate that rises, as many as a window holds, or when the units themselves
//! want to. It is told the time and knows no clock.

use super::Unit;
use super::control::Control;
use super::desk::Desk;
use super::plan::{Pace, Plan, Ramp};
use super::script::Script;
use super::timer::Nanos;

/// Units begun in one turn of the loop; more would be a burst that no real population makes.
const STARTS_PER_TURN: u64 = 32;

pub struct Pacer {
    rule: Rule,
    /// The next unit of an open loop is due.
    next: Nanos,
    /// Since when nothing is begun because a person wants it so.
    paused: Option<Nanos>,
    /// Something is due and nobody is free to begin it.
    crowded: bool,
}

enum Rule {
    Open(f64),
    /// From `begin` on; before it the lowest rate.
    Rising {
        ramp: Ramp,
        begin: Nanos,
    },
    Closed(usize),
    /// The units say when; together so many a second.
    Own(f64),
}

impl Pacer {
    /// A ramp begins to rise at `rise`; everything else begins at `now`.
    pub fn new(plan: &Plan, now: Nanos, rise: Nanos) -> Self {
        let rule = match plan.pace {
            Pace::Rate(rate) => Rule::Open(rate),
            Pace::Ramp(ramp) => Rule::Rising { ramp, begin: rise },
            Pace::Window(window) => Rule::Closed(window),
            Pace::Refresh(_) => Rule::Own(plan.refresh_rate().unwrap_or_default()),
        };
        Self { rule, next: now, paused: None, crowded: false }
    }

    /// What a person wants now.
    pub fn obey(&mut self, control: &Control, unit: &mut impl Unit, desk: &mut Desk) {
        desk.scale = control.scale();
        match (self.paused, control.paused()) {
            (None, true) => self.paused = Some(desk.now),
            (Some(since), false) => {
                self.paused = None;
                // What was not begun in the pause is not made up for.
                let pause = desk.now.saturating_sub(since);
                self.next = self.next.saturating_add(pause);
                unit.postpone(pause);
            }
            _ => {}
        }
    }

    /// Units a second that are asked for now; None in a closed loop.
    pub fn rate(&self, desk: &Desk) -> Option<f64> {
        let rate = match self.rule {
            Rule::Open(rate) | Rule::Own(rate) => rate,
            Rule::Rising { ramp, begin } => ramp.rate(desk.now.saturating_sub(begin)),
            Rule::Closed(_) => return None,
        };
        Some(rate * desk.scale)
    }

    /// Nobody is free: a larger population, or more units at the same time, would begin more.
    pub fn crowded(&self) -> bool {
        self.crowded
    }

    /// When to look again, if nothing is heard before.
    pub fn next(&self, unit: &impl Unit) -> Option<Nanos> {
        let waits = self.paused.is_some() || self.crowded;
        self.due(unit).filter(|_| !waits)
    }

    fn due(&self, unit: &impl Unit) -> Option<Nanos> {
        match self.rule {
            Rule::Open(_) | Rule::Rising { .. } => Some(self.next),
            Rule::Closed(_) | Rule::Own(_) => unit.due(),
        }
    }

    /// Begins what is due; says how late the oldest still missing one is.
    pub fn start_due(
        &mut self,
        unit: &mut impl Unit,
        desk: &mut Desk,
        script: &Script,
        active_max: usize,
    ) -> Nanos {
        self.crowded = false;
        if self.paused.is_some() {
            return 0;
        }
        if let Rule::Closed(window) = self.rule {
            let window = ((window as f64 * desk.scale) as usize).clamp(1, active_max);
            while unit.active() < window && unit.start(desk, script) {}
            self.crowded = unit.active() >= window;
            return 0;
        }
        for _ in 0..STARTS_PER_TURN {
            let Some(due) = self.due(unit).filter(|due| *due <= desk.now) else { return 0 };
            if unit.active() >= active_max || !unit.start(desk, script) {
                self.crowded = true;
                break;
            }
            self.next = self.after(due, desk.scale);
        }
        self.due(unit).map_or(0, |due| desk.now.saturating_sub(due))
    }

    /// When the unit after one that was due at `at` is due.
    fn after(&self, at: Nanos, scale: f64) -> Nanos {
        let interval = match self.rule {
            Rule::Open(rate) => 1.0 / (rate * scale),
            Rule::Rising { ramp, begin } => ramp.interval(at.saturating_sub(begin), scale),
            Rule::Closed(_) | Rule::Own(_) => return at,
        };
        at.saturating_add(((interval * 1e9) as Nanos).max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use udp::{Options, Socket};

    use super::super::plan::{Scenario, Users};
    use super::super::scan::Message;
    use super::super::script::Side;
    use super::super::timer::{Alarm, MILLI, Pauses, Timers};
    use super::*;

    /// Counts; never has more than `room` under way, all of which end when the test says so.
    #[derive(Default)]
    struct Counter {
        begun: usize,
        active: usize,
        room: usize,
    }

    impl Unit for Counter {
        fn active(&self) -> usize {
            self.active
        }

        fn start(&mut self, _: &mut Desk, _: &Script) -> bool {
            if self.active >= self.room {
                return false;
            }
            self.begun += 1;
            self.active += 1;
            true
        }

        fn receive(&mut self, _: Side, _: SocketAddr, _: &Message<'_>, _: &mut Desk, _: &Script) {}

        fn alarm(&mut self, _: Alarm, _: &mut Desk, _: &Script) {}
    }

    struct World {
        pacer: Pacer,
        unit: Counter,
        desk: Desk,
        script: Script,
        control: Control,
    }

    impl World {
        fn new(pace: Pace, room: usize) -> Self {
            let local: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
            let socket = || Socket::bind(local, &Options::default()).expect("a socket");
            let users = Users::numbered("u", 1);
            let plan = Plan {
                target: local,
                domain: String::new(),
                scenario: Scenario::Options,
                pace,
                duration: Duration::ZERO,
                warm_up: Duration::ZERO,
                users: users.clone(),
                secret: None,
                ring: Duration::ZERO,
                hold: Duration::ZERO,
                sound: false,
                sizes: (0, 0),
                expires: 60,
                bind: local.ip(),
                port: 0,
                active_max: 50,
                keep_registered: false,
                server_pids: Vec::new(),
                limits: Vec::new(),
            };
            Self {
                pacer: Pacer::new(&plan, 0, 0),
                unit: Counter { room, ..Counter::default() },
                desk: Desk::new(vec![socket(), socket()], local, Timers::new(Pauses::default())),
                script: Script::new(1, "example.com", users, [local, local], 60),
                control: Control::default(),
            }
        }

        /// A turn in each millisecond up to `until`; everything that was begun ends with its turn if `ends`.
        fn turns(&mut self, until: Nanos, ends: bool) -> Nanos {
            let mut late = 0;
            while self.desk.now < until * MILLI {
                self.desk.now += MILLI;
                self.pacer.obey(&self.control, &mut self.unit, &mut self.desk);
                late = self.pacer.start_due(&mut self.unit, &mut self.desk, &self.script, 50);
                if ends {
                    self.unit.active = 0;
                }
            }
            late
        }
    }

    #[test]
    fn a_rate_a_faster_one_and_a_pause() {
        let mut world = World::new(Pace::Rate(1_000.0), 1_000);
        assert!(world.turns(100, true) < MILLI);
        assert_eq!(world.unit.begun, 101);
        world.control.faster();
        world.turns(200, true);
        assert!((210..=212).contains(&world.unit.begun), "{}", world.unit.begun);
        assert!(world.pacer.rate(&world.desk).is_some_and(|rate| (rate - 1_100.0).abs() < 1e-6));
        world.control.toggle_pause();
        let before = world.unit.begun;
        assert_eq!(world.turns(700, true), 0);
        assert_eq!((world.unit.begun, world.pacer.next(&world.unit)), (before, None));
        world.control.toggle_pause();
        world.turns(701, true);
        assert!(world.unit.begun <= before + 3, "nothing is made up for");
    }

    #[test]
    fn who_has_nobody_left_says_so_and_waits() {
        let mut world = World::new(Pace::Rate(1_000.0), 10);
        assert!(world.turns(100, false) > 80 * MILLI);
        assert_eq!((world.unit.begun, world.pacer.crowded()), (10, true));
        assert_eq!(world.pacer.next(&world.unit), None, "only an end can help");
        let mut world = World::new(Pace::Rate(10_000.0), 1_000);
        world.turns(100, false);
        assert_eq!((world.unit.begun, world.pacer.crowded()), (50, true), "--active-max");
    }

    #[test]
    fn a_window_is_kept_full_and_grows_by_tenths() {
        let mut world = World::new(Pace::Window(20), 1_000);
        world.turns(1, false);
        assert_eq!(world.unit.begun, 20);
        world.unit.active -= 3;
        world.turns(2, false);
        assert_eq!(world.unit.begun, 23);
        world.control.faster();
        world.turns(3, false);
        assert_eq!((world.unit.begun, world.unit.active), (25, 22));
        assert_eq!(world.pacer.rate(&world.desk), None);
        (0..50).for_each(|_| world.control.faster());
        world.turns(4, false);
        assert_eq!(world.unit.active, 50, "--active-max");
    }

    #[test]
    fn a_ramp_rises() {
        let ramp =
            super::super::plan::Ramp { from: 100.0, to: 1_100.0, over: Duration::from_secs(1) };
        let mut world = World::new(Pace::Ramp(ramp), 1_000);
        world.turns(500, true);
        let half = world.unit.begun;
        world.turns(1_000, true);
        assert!((175..=177).contains(&half), "{half}");
        assert!((599..=602).contains(&world.unit.begun), "{}", world.unit.begun);
    }
}
