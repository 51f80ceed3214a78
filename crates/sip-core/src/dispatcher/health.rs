//! Whether a gateway is there, as its probes tell: a machine that counts. One lost answer proves nothing, and one answer
//! does not make a gateway well; how many do is the operator's. It sends nothing and has no clock.

/// How many answers in a row, or missing ones, change a mind. At least 1 each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub down_after: u32,
    pub up_after: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { down_after: 2, up_after: 2 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nothing speaks against it.
    #[default]
    Up,
    /// The last probe failed; it is used until more of them have.
    Probing,
    Down,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Up, Self::Probing, Self::Down];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Probing => "probing",
            Self::Down => "down",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// With one of the answers that are good.
    Answered,
    /// With another, or not at all.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    /// Calls go to it again.
    ReportUp,
    /// No more calls go to it.
    ReportDown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    pub state: State,
    /// Answers in a row that speak for the other state.
    count: u32,
}

impl Health {
    /// As it was left: a restart does not make a gateway well.
    pub const fn starting(state: State) -> Self {
        Self { state, count: 0 }
    }

    pub fn on_event(&mut self, event: Event, thresholds: Thresholds) -> Action {
        use Action::{Nothing, ReportDown, ReportUp};
        use Event::{Answered, Failed};
        use State::{Down, Probing, Up};
        let enough = |needed: u32| self.count.saturating_add(1) >= needed;
        let (state, count, action) = match (self.state, event) {
            (Up | Probing, Answered) => (Up, 0, Nothing),
            (Up | Probing, Failed) if enough(thresholds.down_after) => (Down, 0, ReportDown),
            (Up | Probing, Failed) => (Probing, self.count + 1, Nothing),
            (Down, Answered) if enough(thresholds.up_after) => (Up, 0, ReportUp),
            (Down, Answered) => (Down, self.count + 1, Nothing),
            (Down, Failed) => (Down, 0, Nothing),
        };
        *self = Self { state, count };
        action
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write as _;

    use super::*;

    #[test]
    fn every_state_and_event() {
        let thresholds = Thresholds { down_after: 2, up_after: 3 };
        let mut table = String::new();
        for state in State::ALL {
            for count in 0..3 {
                for event in [Event::Answered, Event::Failed] {
                    // Up counts nothing; Probing is Down before it counts to two.
                    if matches!((state, count), (State::Up, 1..) | (State::Probing, 0 | 2)) {
                        continue;
                    }
                    let mut health = Health { state, count };
                    let action = health.on_event(event, thresholds);
                    let Health { state: then, count: counted } = health;
                    writeln!(
                        table,
                        "{state:?} {count}  {event:?}  ->  {then:?} {counted}  {action:?}"
                    )
                    .unwrap();
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn one_is_enough_when_the_operator_says_so() {
        let quick = Thresholds { down_after: 1, up_after: 1 };
        let mut health = Health::default();
        assert_eq!(health.on_event(Event::Failed, quick), Action::ReportDown);
        assert_eq!(health.on_event(Event::Answered, quick), Action::ReportUp);
    }
}
