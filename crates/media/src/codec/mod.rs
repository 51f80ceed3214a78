//! What the payload of an RTP packet means: G.711 sound (RFC 3551 §4.5.14), or an event (RFC 4733).

pub mod event;
mod g711;

pub use g711::Codec;

/// Samples a second of everything here, and the RTP clock rate of every format we speak (RFC 3551 §6).
pub const CLOCK_RATE: u32 = 8000;
/// Samples of one frame: 20 ms (RFC 3551 §4.2).
pub const FRAME: usize = 160;
/// Milliseconds of one frame.
pub const FRAME_MS: u16 = 20;
