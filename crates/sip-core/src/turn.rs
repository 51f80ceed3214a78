//! `Turn`: what every room may use while one input is handled. It decides nothing and outlives nothing.

use crate::config::Config;
use crate::output::Outbox;
use crate::shared::Shared;
use crate::time::Instant;

pub struct Turn<'a> {
    pub now: Instant,
    pub config: &'a Config,
    pub shared: &'a Shared,
    /// New calls are refused; what is under way is finished.
    pub draining: bool,
    pub out: &'a mut Outbox,
}
