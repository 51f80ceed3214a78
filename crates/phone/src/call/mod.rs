//! `call`: places a call, or waits for calls and answers them, with audio, hold, keys and transfers, by hand or by the
//! clock. One loop; the calls of one program are its legs.
//!
//! ```text
//! plan note     what is to be done; what happened
//! leg           one call: its offers, its audio, its times
//! phone         the loop: what is due, what the agent says
//! event         what follows from each event
//! action        what a key or the clock asks for
//! verdict       whether it went as it should
//! ```

mod action;
mod event;
mod leg;
mod note;
mod phone;
mod plan;
mod verdict;

pub use leg::{Audio, Says};
pub use note::{Note, Report, What};
pub use phone::{Done, Phone};
pub use plan::{Action, Answering, Outgoing, Plan};
