//! Media without sockets, clock, threads, files or randomness: what a phone says about its audio, and the audio itself.
//!
//! ```text
//! sdp                  RFC 8866: a session description, read and written
//! offer                RFC 3264: offer and answer for one audio stream
//! codec                G.711 and telephone-event (RFC 4733)
//! rtp  rtcp            RFC 3550: packets, what a receiver counts, reports
//! jitter               packets in, frames out, at the pace of the listener
//! tone                 a sine made, a sine found
//! stream               sending and receiving one RTP stream, and how good it was
//! ```
//!
//! Time is an argument: `now` is a `Duration` since any origin that does not change while the stream lives. A shell
//! whose origin is the Unix epoch gets true NTP times in its sender reports.
//! Audio is 8000 samples a second, mono, `i16`, everywhere.
#![forbid(unsafe_code)]

pub mod codec;
pub mod jitter;
pub mod offer;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod stream;
pub mod tone;
