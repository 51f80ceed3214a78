//! The load generator: many phones in one thread, to find out what a server can do and what it costs.
//!
//! `run` takes a `Plan` and gives a `Report`. One thread, two sockets (callers, callees), batches both ways; a call is
//! found by its number, which its Call-ID carries. It never measures itself into the result without saying so: when it
//! could not keep up, the report names the sender as the limit.

mod answer;
mod call;
mod control;
mod desk;
mod engine;
mod figure;
mod histogram;
mod knee;
mod message;
mod observe;
mod options;
mod pacer;
mod plan;
mod register;
mod report;
mod scan;
mod schedule;
mod script;
mod step;
mod storm;
mod talk;
mod tally;
mod text;
mod timer;
mod verdict;
mod wallet;

use std::net::SocketAddr;

pub use control::{Control, Stop};
pub use engine::{LoadError, Phase, Progress, run};
pub use figure::{Figures, Sound};
pub use histogram::Histogram;
pub use knee::{Breach, Knee};
pub use observe::{Usage, usage};
pub use plan::{Pace, Plan, Ramp, Scenario, Secret, Users};
pub use report::{Report, ServerCost};
pub use storm::StormEnd;
pub use tally::{Failure, Tally};
pub use text::grouped;
pub use verdict::{FailIf, FailIfError};

use desk::Desk;
use scan::Message;
use script::{Script, Side};
use timer::{Alarm, Nanos};

/// A scenario: something that can be begun again and again.
trait Unit {
    /// Begun and not ended.
    fn active(&self) -> usize;
    /// Begins one. False: nobody is free.
    fn start(&mut self, desk: &mut Desk, script: &Script) -> bool;
    fn receive(
        &mut self,
        side: Side,
        source: SocketAddr,
        message: &Message<'_>,
        desk: &mut Desk,
        script: &Script,
    );
    /// A timer fired; it may mean nothing any more.
    fn alarm(&mut self, alarm: Alarm, desk: &mut Desk, script: &Script);

    /// When the next one wants to begin, for those that have times of their own.
    fn due(&self) -> Option<Nanos> {
        None
    }

    /// A person made a pause: what has times of its own moves by it.
    fn postpone(&mut self, _by: Nanos) {}

    /// Sends what its own clock wants, once a turn.
    fn tick(&mut self, _desk: &mut Desk) {}

    /// When that is again.
    fn next_tick(&self) -> Option<Nanos> {
        None
    }

    /// An RTP packet reached the phones of `side`.
    fn hear(&mut self, _side: Side, _bytes: &[u8], _desk: &mut Desk) {}

    /// The run ends here: what is still going on is counted as far as it came.
    fn abandon(&mut self, _desk: &mut Desk) {}

    /// There is nothing left to begin.
    fn is_over(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
