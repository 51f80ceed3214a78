//! How good a call was, in the numbers a person asks for.
//!
//! The MOS is the E-model of ITU-T G.107 with all but two of its terms at their defaults:
//!
//! ```text
//! R   = 93.2 - Id - Ie_eff
//! Id  = 0.024 d + 0.11 (d - 177.3) H(d - 177.3)     d: one-way delay in ms; H(x) = 1 for x > 0, else 0
//! Ie_eff = Ie + (95 - Ie) P / (P + Bpl)             P: loss in percent; G.711: Ie = 0, Bpl = 4.3 without concealment
//! MOS = 1 + 0.035 R + R (R - 60) (100 - R) 7e-6     for 0 < R < 100; 1 below, 4.5 above
//! ```
//!
//! `Ie` and `Bpl` are those of G.113 appendix I, random loss. `d` is half the round trip, one frame and the jitter buffer.
//! It is rough: it knows nothing of echo, level or bursts.

use std::time::Duration;

use super::{Control, Receiver, Sender};
use crate::codec::FRAME_MS;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    pub sent: u64,
    pub received: u64,
    pub lost: u64,
    /// Of what was expected, 0 to 100.
    pub loss_percent: f64,
    /// Packets that came too late to be played.
    pub late: u64,
    pub duplicates: u64,
    pub jitter_ms: f64,
    /// `None`: the peer sent no report that measures it.
    pub rtt_ms: Option<f64>,
    /// Packets of ours the peer missed, by its last report.
    pub lost_by_peer: Option<i32>,
    /// `None`: nothing arrived.
    pub mos: Option<f64>,
}

impl Quality {
    pub fn new(sender: &Sender, receiver: &Receiver, control: &Control) -> Self {
        let (expected, received) = (receiver.expected(), receiver.received());
        let lost = expected.saturating_sub(received);
        let late = receiver.playout().map_or(0, |counters| counters.late);
        let rtt = control.round_trip();
        let heard = percent(lost.saturating_add(late), expected);
        let delay = rtt.unwrap_or_default() / 2
            + Duration::from_millis(u64::from(FRAME_MS))
            + receiver.delay();
        Self {
            sent: sender.packets(),
            received,
            lost,
            loss_percent: percent(lost, expected),
            late,
            duplicates: receiver.duplicates(),
            jitter_ms: receiver.jitter_ms(),
            rtt_ms: rtt.map(|t| t.as_secs_f64() * 1000.0),
            lost_by_peer: control.of_us().map(|report| report.cumulative_lost),
            mos: (received > 0).then(|| mos(delay, heard)),
        }
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 * 100.0 / whole as f64).min(100.0) }
}

/// The mean opinion score of G.711 with this one-way delay and loss: 1 (bad) to 4.5.
pub fn mos(delay: Duration, loss_percent: f64) -> f64 {
    const BPL: f64 = 4.3;
    let d = delay.as_secs_f64() * 1000.0;
    let id = 0.024 * d + 0.11 * (d - 177.3).max(0.0);
    let ie_eff = 95.0 * loss_percent / (loss_percent + BPL);
    let r = 93.2 - id - ie_eff;
    if r <= 0.0 {
        return 1.0;
    }
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}
