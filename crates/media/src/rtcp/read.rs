//! A compound RTCP packet, checked whole before any of it is believed (RFC 3550 §A.2), then read without copying.

use super::{Ntp, ReportBlock, SenderInformation, item, kind};

const BLOCK: usize = 24;

/// Why a datagram is no RTCP packet. All of it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("not a whole number of words, or empty")]
    Length,
    #[error("a packet in it is cut off")]
    Cut,
    #[error("not RTP version 2")]
    Version,
    #[error("the first packet is neither a sender nor a receiver report")]
    First,
    #[error("padding before the last packet, or more than the packet")]
    Padding,
    #[error("a report is shorter than its count says")]
    Report,
    #[error("a source description is cut off")]
    SourceDescription,
    #[error("a BYE is shorter than its count says, or its reason is cut off")]
    Bye,
}

/// A datagram that passed all checks.
#[derive(Clone, Copy, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

/// One packet of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    SenderReport {
        ssrc: u32,
        info: SenderInformation,
        reports: Reports<'a>,
    },
    ReceiverReport {
        ssrc: u32,
        reports: Reports<'a>,
    },
    SourceDescription(SourceDescription<'a>),
    /// The sources that leave, four bytes each, and why.
    Bye {
        sources: &'a [u8],
        reason: &'a [u8],
    },
    /// APP, feedback, extended reports: passed over.
    Other {
        kind: u8,
    },
}

/// The report blocks of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reports<'a>(&'a [u8]);

impl Reports<'_> {
    pub const NONE: Reports<'static> = Reports(&[]);
}

/// The chunks of an SDES packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceDescription<'a>(&'a [u8]);

impl<'a> Compound<'a> {
    /// # Errors
    /// The first thing wrong with it.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        if datagram.is_empty() || !datagram.len().is_multiple_of(4) {
            return Err(Malformed::Length);
        }
        let mut rest = datagram;
        while !rest.is_empty() {
            let (header, body, after) = split(rest)?;
            if header.first >> 6 != 2 {
                return Err(Malformed::Version);
            }
            if rest.len() == datagram.len()
                && ![kind::SENDER_REPORT, kind::RECEIVER_REPORT].contains(&header.kind)
            {
                return Err(Malformed::First);
            }
            // RFC 3550 §6.4.1: "padding is only required on one individual packet", the last.
            if header.first & 0x20 != 0 && !after.is_empty() {
                return Err(Malformed::Padding);
            }
            packet(header, body)?;
            rest = after;
        }
        Ok(Self { rest: datagram })
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let (header, body, after) = split(self.rest).ok()?;
        self.rest = after;
        packet(header, body).ok()
    }
}

#[derive(Clone, Copy)]
struct Header {
    first: u8,
    kind: u8,
}

/// The first packet of `bytes`: its header, its body, what comes after it.
fn split(bytes: &[u8]) -> Result<(Header, &[u8], &[u8]), Malformed> {
    let ([first, kind, l0, l1], rest) = bytes.split_first_chunk::<4>().ok_or(Malformed::Cut)?;
    let length = usize::from(u16::from_be_bytes([*l0, *l1])) * 4;
    let (body, after) = rest.split_at_checked(length).ok_or(Malformed::Cut)?;
    Ok((Header { first: *first, kind: *kind }, body, after))
}

fn packet(header: Header, body: &[u8]) -> Result<Packet<'_>, Malformed> {
    let body = if header.first & 0x20 == 0 {
        body
    } else {
        let count = body.last().copied().filter(|c| *c > 0).ok_or(Malformed::Padding)?;
        let end = body.len().checked_sub(usize::from(count)).ok_or(Malformed::Padding)?;
        body.get(..end).unwrap_or_default()
    };
    let count = usize::from(header.first & 0x1f);
    match header.kind {
        kind::SENDER_REPORT => {
            let (ssrc, rest) = word(body).ok_or(Malformed::Report)?;
            let (info, rest) = sender_information(rest).ok_or(Malformed::Report)?;
            Ok(Packet::SenderReport { ssrc, info, reports: reports(rest, count)? })
        }
        kind::RECEIVER_REPORT => {
            let (ssrc, rest) = word(body).ok_or(Malformed::Report)?;
            Ok(Packet::ReceiverReport { ssrc, reports: reports(rest, count)? })
        }
        kind::SOURCE_DESCRIPTION => source_description(body, count),
        kind::BYE => bye(body, count),
        kind => Ok(Packet::Other { kind }),
    }
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*word), rest))
}

fn sender_information(bytes: &[u8]) -> Option<(SenderInformation, &[u8])> {
    let (ntp, rest) = bytes.split_first_chunk::<8>()?;
    let (timestamp, rest) = word(rest)?;
    let (packets, rest) = word(rest)?;
    let (octets, rest) = word(rest)?;
    Some((
        SenderInformation { ntp: Ntp(u64::from_be_bytes(*ntp)), timestamp, packets, octets },
        rest,
    ))
}

/// What follows the blocks is a profile's extension (RFC 3550 §6.4.3) and not read.
fn reports(bytes: &[u8], count: usize) -> Result<Reports<'_>, Malformed> {
    bytes.get(..count * BLOCK).map(Reports).ok_or(Malformed::Report)
}

impl Iterator for Reports<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (ssrc, rest) = word(self.0)?;
        let (lost, rest) = word(rest)?;
        let (highest, rest) = word(rest)?;
        let (jitter, rest) = word(rest)?;
        let (last_sender_report, rest) = word(rest)?;
        let (delay, rest) = word(rest)?;
        self.0 = rest;
        Some(ReportBlock {
            ssrc,
            fraction_lost: (lost >> 24) as u8,
            // Shifted up and down again: the 24 bits keep their sign.
            cumulative_lost: ((lost << 8) as i32) >> 8,
            highest,
            jitter,
            last_sender_report,
            delay,
        })
    }
}

/// RFC 3550 §6.5: chunks of an SSRC and items, each ended by a zero byte and filled to a word.
fn source_description(body: &[u8], count: usize) -> Result<Packet<'_>, Malformed> {
    let mut rest = body;
    for _ in 0..count {
        let (_, items) = word(rest).ok_or(Malformed::SourceDescription)?;
        let mut at = 0;
        loop {
            match items.get(at..).unwrap_or_default() {
                [] => return Err(Malformed::SourceDescription),
                [item::END, ..] => break,
                [_, length, text @ ..] if text.len() >= usize::from(*length) => {
                    at += 2 + usize::from(*length);
                }
                _ => return Err(Malformed::SourceDescription),
            }
        }
        // The end and its filling: up to the next word.
        rest = items.get(at / 4 * 4 + 4..).ok_or(Malformed::SourceDescription)?;
    }
    let read = body.len() - rest.len();
    Ok(Packet::SourceDescription(SourceDescription(body.get(..read).unwrap_or_default())))
}

impl<'a> SourceDescription<'a> {
    /// The CNAME of the first chunk, and whose it is.
    pub fn cname(self) -> Option<(u32, &'a [u8])> {
        let (ssrc, mut items) = word(self.0)?;
        while let [number, length, text @ ..] = items
            && *number != item::END
        {
            let (text, rest) = text.split_at_checked(usize::from(*length))?;
            if *number == item::CNAME {
                return Some((ssrc, text));
            }
            items = rest;
        }
        None
    }
}

fn bye(body: &[u8], count: usize) -> Result<Packet<'_>, Malformed> {
    let (sources, rest) = body.split_at_checked(count * 4).ok_or(Malformed::Bye)?;
    let reason = match rest {
        [] => &[],
        [length, text @ ..] => text.get(..usize::from(*length)).ok_or(Malformed::Bye)?,
    };
    Ok(Packet::Bye { sources, reason })
}
