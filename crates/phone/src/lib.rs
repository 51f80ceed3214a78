//! The user agent as programs: what a phone does, without a person at it.
//!
//! ```text
//! target resolve transport    whom people mean, where that is, and the sockets to it
//! engine clock                one loop that drives `sip_core::ua::UserAgent`
//! profile register request    who we are; registering; one request and its answer
//! call                        placing and answering calls, hold, keys, transfers
//! media                       RTP sockets, WAV files, tone, echo, digits
//! failure                     what a person reads when it did not work, and the exit code
//! load digest                 the load generator, on its own
//! ```
//!
//! The load generator never uses the server's parser or transaction code on its hot path: a tool that shares the code
//! under test shares its bugs, and it must be cheaper than what it measures. The phone does: it shall behave as we say a
//! phone should. Neither prints anything; the command line does.

pub mod call;
pub mod clock;
pub mod digest;
pub mod engine;
pub mod failure;
pub mod interrupt;
pub mod load;
pub mod media;
pub mod profile;
pub mod register;
pub mod request;
pub mod resolve;
pub mod target;
pub mod transport;
