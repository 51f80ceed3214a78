//! What the payload types of one media description mean (RFC 3264 §5.1, RFC 3551 §6).

use crate::codec::{CLOCK_RATE, Codec};
use crate::sdp::Media;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Audio(Codec),
    TelephoneEvent,
}

/// A payload type and its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub payload_type: u8,
    pub encoding: Encoding,
}

/// The payload type we offer for telephone-event; most peers do the same.
pub const TELEPHONE_EVENT: u8 = 101;
/// RFC 3551 §3: payload types that are bound by SDP.
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

impl Format {
    pub const fn audio(codec: Codec) -> Self {
        Self { payload_type: codec.payload_type(), encoding: Encoding::Audio(codec) }
    }

    pub const fn codec(self) -> Option<Codec> {
        match self.encoding {
            Encoding::Audio(codec) => Some(codec),
            Encoding::TelephoneEvent => None,
        }
    }

    pub const fn encoding_name(self) -> &'static str {
        match self.encoding {
            Encoding::Audio(codec) => codec.name(),
            Encoding::TelephoneEvent => "telephone-event",
        }
    }
}

/// The formats of `media` that we understand, in its order. An `a=rtpmap` decides; without one the static payload
/// types keep their meaning (RFC 3264 §5.1).
pub fn understood(media: &Media) -> Vec<Format> {
    media.payload_types().filter_map(|payload_type| format(media, payload_type)).collect()
}

fn format(media: &Media, payload_type: u8) -> Option<Format> {
    let encoding = match media.rtp_map(payload_type) {
        None => Encoding::Audio(Codec::of_payload_type(payload_type)?),
        Some(map) if map.clock_rate != CLOCK_RATE || map.channels != 1 => return None,
        Some(map) if map.encoding.eq_ignore_ascii_case("telephone-event") => {
            Encoding::TelephoneEvent
        }
        Some(map) => Encoding::Audio(Codec::named(map.encoding)?),
    };
    Some(Format { payload_type, encoding })
}

/// The formats of an answer. Some peers repeat a payload type we offered without its `a=rtpmap`; it means what we said.
pub fn answered(media: &Media, offered: &[Format]) -> Vec<Format> {
    let known = |payload_type| offered.iter().find(|f| f.payload_type == payload_type).copied();
    media
        .payload_types()
        .filter_map(|number| match media.rtp_map(number) {
            Some(_) => format(media, number),
            None => known(number).or_else(|| format(media, number)),
        })
        .collect()
}

/// The formats of `media` in words, for a person: `PCMA/8000, opus/48000, 18`.
pub fn words(media: &Media) -> String {
    let words: Vec<String> = media
        .formats
        .iter()
        .map(|format| {
            let number = format.parse().unwrap_or(u8::MAX);
            match (media.rtp_map(number), Codec::of_payload_type(number)) {
                (Some(map), _) => format!("{}/{}", map.encoding, map.clock_rate),
                (None, Some(codec)) => format!("{codec}/{CLOCK_RATE}"),
                (None, None) => format.clone(),
            }
        })
        .collect();
    words.join(", ")
}

/// A payload type for telephone-event that means nothing else yet: a mapping "MUST NOT change" during a session
/// (RFC 3264 §8.3.2).
pub fn free(taken: impl Fn(u8) -> bool) -> Option<u8> {
    std::iter::once(TELEPHONE_EVENT).chain(DYNAMIC).find(|number| !taken(*number))
}
