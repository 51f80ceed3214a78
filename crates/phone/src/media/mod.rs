//! Sound: from files and tones into RTP, and from RTP into files (RFC 3550). Formats and what travels are crate `media`'s;
//! here are the sockets, the files and the 20 ms. No sound card is used.

pub mod port;
pub mod session;
pub mod sound;
pub mod stream;
pub mod wav;
