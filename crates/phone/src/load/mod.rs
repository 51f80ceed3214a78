//! The load generator: many phones in one thread, to find out what a server can do and what it costs.
//!
//! `run` takes a `Plan` and gives a `Report`. One thread, two sockets (callers, callees), batches both ways; a call is
//! found by its number, which its Call-ID carries. It never measures itself into the result without saying so: when it
//! could not keep up, the report names the sender as the limit.

mod call;
mod desk;
mod engine;
mod histogram;
mod observe;
mod options;
mod plan;
mod register;
mod report;
mod scan;
mod script;
mod tally;
mod timer;
mod verdict;

use std::net::SocketAddr;

pub use engine::{LoadError, Phase, Progress, run};
pub use histogram::Histogram;
pub use observe::{Usage, usage};
pub use plan::{Pace, Plan, Scenario, Secret, Users};
pub use report::{Report, ServerCost};
pub use tally::{Failure, Tally};
pub use verdict::{FailIf, FailIfError};

use desk::Desk;
use scan::Message;
use script::{Script, Side};
use timer::Alarm;

/// A scenario: something that can be begun again and again.
trait Unit {
    /// Begun and not ended.
    fn active(&self) -> usize;
    /// Begins one. False: everybody is busy.
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
}

#[cfg(test)]
mod tests;
