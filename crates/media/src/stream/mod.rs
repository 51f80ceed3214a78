//! One RTP stream each way: frames become packets, packets become frames, and both are counted. The owner moves the
//! bytes and calls once for each 20 ms; nothing here allocates for a packet, so that thousands can run side by side.

mod control;
mod quality;
mod receiver;
mod sender;

#[cfg(test)]
mod tests;

pub use control::{Control, Heard};
pub use quality::{Quality, mos};
pub use receiver::{Ignored, Received, Receiver, Strays};
pub use sender::{KEYS_MAX, KeyError, PACKET, Sender};
