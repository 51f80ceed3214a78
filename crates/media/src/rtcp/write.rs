//! RTCP packets written one behind the other: a report first, then who speaks, then perhaps BYE (RFC 3550 §6.1).

use super::{ReportBlock, SenderInformation, item, kind};

/// Appends a sender report, or a receiver report from one who sent nothing (RFC 3550 §6.4).
pub fn write_report(
    out: &mut Vec<u8>,
    ssrc: u32,
    sender: Option<SenderInformation>,
    reports: &[ReportBlock],
) {
    let reports = reports.get(..reports.len().min(31)).unwrap_or_default();
    let kind = if sender.is_some() { kind::SENDER_REPORT } else { kind::RECEIVER_REPORT };
    let start = open(out, reports.len(), kind);
    word(out, ssrc);
    if let Some(info) = sender {
        out.extend_from_slice(&info.ntp.0.to_be_bytes());
        word(out, info.timestamp);
        word(out, info.packets);
        word(out, info.octets);
    }
    for report in reports {
        word(out, report.ssrc);
        let lost = report.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0x00ff_ffff;
        word(out, u32::from(report.fraction_lost) << 24 | lost);
        word(out, report.highest);
        word(out, report.jitter);
        word(out, report.last_sender_report);
        word(out, report.delay);
    }
    close(out, start);
}

/// Appends the CNAME, without which no compound packet is complete (RFC 3550 §6.1, §6.5.1). At most 255 bytes of it.
pub fn write_source_description(out: &mut Vec<u8>, ssrc: u32, cname: &str) {
    let start = open(out, 1, kind::SOURCE_DESCRIPTION);
    word(out, ssrc);
    out.push(item::CNAME);
    text(out, cname);
    out.push(item::END);
    close(out, start);
}

/// Appends a BYE (RFC 3550 §6.6).
pub fn write_bye(out: &mut Vec<u8>, ssrc: u32, reason: &str) {
    let start = open(out, 1, kind::BYE);
    word(out, ssrc);
    if !reason.is_empty() {
        text(out, reason);
    }
    close(out, start);
}

fn word(out: &mut Vec<u8>, word: u32) {
    out.extend_from_slice(&word.to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..bytes.len().min(255)).unwrap_or_default();
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

/// The header with an open length; returns where it stands.
fn open(out: &mut Vec<u8>, count: usize, kind: u8) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0x80 | (count as u8 & 0x1f), kind, 0, 0]);
    start
}

/// Fills the packet to a word and writes its length down.
fn close(out: &mut Vec<u8>, start: usize) {
    while !(out.len() - start).is_multiple_of(4) {
        out.push(0);
    }
    let words = ((out.len() - start) / 4 - 1) as u16;
    if let Some(length) = out.get_mut(start + 2..start + 4) {
        length.copy_from_slice(&words.to_be_bytes());
    }
}
