//! RTCP (RFC 3550 §6): compound packets read and written, the round trip they measure, and when the next is due.

mod interval;
mod ntp;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use interval::interval;
pub(crate) use ntp::units;
pub use ntp::{Ntp, round_trip};
pub use read::{Compound, Malformed, Packet, Reports, SourceDescription};
pub use write::{write_bye, write_report, write_source_description};

/// Packet types (RFC 3550 §12.1).
mod kind {
    pub const SENDER_REPORT: u8 = 200;
    pub const RECEIVER_REPORT: u8 = 201;
    pub const SOURCE_DESCRIPTION: u8 = 202;
    pub const BYE: u8 = 203;
}

/// SDES item types (RFC 3550 §6.5).
mod item {
    pub const END: u8 = 0;
    pub const CNAME: u8 = 1;
}

/// What a sender says about itself (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInformation {
    pub ntp: Ntp,
    /// The same moment in timestamp units of the stream.
    pub timestamp: u32,
    pub packets: u32,
    /// Payload bytes.
    pub octets: u32,
}

/// What a receiver says about one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportBlock {
    pub ssrc: u32,
    /// Lost since the report before, in 256ths.
    pub fraction_lost: u8,
    /// 24 bits with sign.
    pub cumulative_lost: i32,
    pub highest: u32,
    /// In timestamp units.
    pub jitter: u32,
    /// The middle of the NTP time in the source's last sender report; 0: none came.
    pub last_sender_report: u32,
    /// Since that arrived, in 65536ths of a second.
    pub delay: u32,
}
