//! The RTCP beside one stream: reports out when they are due, reports in, the round trip they give. It holds no socket
//! and no timer; the owner asks for the deadline.

use std::time::Duration;

use super::{Receiver, Sender};
use crate::rtcp::{self, Compound, Ntp, Packet, ReportBlock, Reports, SenderInformation};

/// What a datagram said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Report,
    /// The peer's source leaves.
    Bye,
    Malformed,
}

#[derive(Clone, Debug)]
pub struct Control {
    ssrc: u32,
    cname: String,
    next: Duration,
    /// Packets sent when we reported last.
    sent_before: u64,
    last_sender_report: Option<SenderReport>,
    round_trip: Option<Duration>,
    /// What the peer said last about our stream.
    of_us: Option<ReportBlock>,
    malformed: u64,
}

#[derive(Clone, Copy, Debug)]
struct SenderReport {
    ssrc: u32,
    middle: u32,
    at: Duration,
}

impl Control {
    /// `random` is between 0 and 1. The CNAME is to stay the same for all streams of a call (RFC 3550 §6.5.1); one that
    /// names no person and no host is best (RFC 7022 §4.2).
    pub fn new(ssrc: u32, cname: &str, now: Duration, random: f64) -> Self {
        Self {
            ssrc,
            cname: cname.to_owned(),
            next: now + rtcp::interval(true, random),
            sent_before: 0,
            last_sender_report: None,
            round_trip: None,
            of_us: None,
            malformed: 0,
        }
    }

    /// When [`Self::write`] is due.
    pub const fn next_deadline(&self) -> Duration {
        self.next
    }

    /// The newest measurement, of our reports and the peer's.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What the peer reported last about what we send.
    pub const fn of_us(&self) -> Option<ReportBlock> {
        self.of_us
    }

    /// Datagrams dropped.
    pub const fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Writes the report that is due into `out`, in place of what was there, and sets the next deadline.
    pub fn write(
        &mut self,
        now: Duration,
        random: f64,
        sender: &Sender,
        receiver: &mut Receiver,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        self.report(now, sender, receiver, out);
        self.next = now + rtcp::interval(false, random);
    }

    /// The same, with a BYE: the stream ends (RFC 3550 §6.3.7). There is no next report.
    pub fn write_bye(
        &mut self,
        now: Duration,
        sender: &Sender,
        receiver: &mut Receiver,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        self.report(now, sender, receiver, out);
        rtcp::write_bye(out, self.ssrc, "");
        self.next = Duration::MAX;
    }

    fn report(
        &mut self,
        now: Duration,
        sender: &Sender,
        receiver: &mut Receiver,
        out: &mut Vec<u8>,
    ) {
        // RFC 3550 §6.4: an SR from one who has sent since its last report, else an RR.
        let info = (sender.packets() > self.sent_before).then(|| SenderInformation {
            ntp: Ntp::at(now),
            timestamp: sender.timestamp(),
            // The counts of RFC 3550 §6.4.1 wrap.
            packets: sender.packets() as u32,
            octets: sender.octets() as u32,
        });
        self.sent_before = sender.packets();
        let block = receiver.source_mut().map(|source| {
            let heard = self.last_sender_report.filter(|r| r.ssrc == source.ssrc());
            ReportBlock {
                ssrc: source.ssrc(),
                fraction_lost: source.fraction_lost(),
                cumulative_lost: source.cumulative_lost(),
                highest: source.highest(),
                jitter: source.jitter(),
                last_sender_report: heard.map_or(0, |r| r.middle),
                delay: heard.map_or(0, |r| rtcp::units(now.saturating_sub(r.at))),
            }
        });
        rtcp::write_report(out, self.ssrc, info, block.as_slice());
        rtcp::write_source_description(out, self.ssrc, &self.cname);
    }

    /// Takes a datagram from the RTCP port. A malformed one is counted and dropped whole.
    pub fn on_datagram(&mut self, now: Duration, datagram: &[u8]) -> Heard {
        let Ok(compound) = Compound::parse(datagram) else {
            self.malformed += 1;
            return Heard::Malformed;
        };
        let mut heard = Heard::Report;
        for packet in compound {
            match packet {
                Packet::SenderReport { ssrc, info, reports } => {
                    self.last_sender_report =
                        Some(SenderReport { ssrc, middle: info.ntp.middle(), at: now });
                    self.on_reports(now, reports);
                }
                Packet::ReceiverReport { reports, .. } => self.on_reports(now, reports),
                Packet::Bye { .. } => heard = Heard::Bye,
                Packet::SourceDescription(_) | Packet::Other { .. } => {}
            }
        }
        heard
    }

    fn on_reports(&mut self, now: Duration, mut reports: Reports<'_>) {
        let Some(block) = reports.find(|r| r.ssrc == self.ssrc) else { return };
        self.of_us = Some(block);
        if let Some(trip) = rtcp::round_trip(now, block.last_sender_report, block.delay) {
            self.round_trip = Some(trip);
        }
    }
}
