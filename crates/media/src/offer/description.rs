//! The media descriptions we write. They say what the negotiation decided.

use super::format::{Encoding, Format};
use crate::codec::{CLOCK_RATE, FRAME_MS};
use crate::sdp::{Attribute, Description, Direction, Media};

/// What of a media description has to be said again (RFC 3264 §8).
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub kind: String,
    pub transport: String,
    pub formats: Vec<String>,
}

impl From<&Media> for Slot {
    fn from(media: &Media) -> Self {
        Self {
            kind: media.kind.clone(),
            transport: media.transport.clone(),
            formats: media.formats.clone(),
        }
    }
}

/// The media description of our audio.
pub(super) fn audio(slot: &Slot, port: u16, formats: &[Format], direction: Direction) -> Media {
    let mut attributes: Vec<Attribute> = Vec::new();
    for one in formats {
        let name = one.encoding_name();
        attributes
            .push(Attribute::new("rtpmap", &format!("{} {name}/{CLOCK_RATE}", one.payload_type)));
        if one.encoding == Encoding::TelephoneEvent {
            // RFC 4733 §2.4.1: the events we understand.
            attributes.push(Attribute::new("fmtp", &format!("{} 0-15", one.payload_type)));
        }
    }
    attributes.push(Attribute::new("ptime", &FRAME_MS.to_string()));
    attributes.push(Attribute::flag(direction.name()));
    Media {
        kind: slot.kind.clone(),
        port,
        port_count: None,
        transport: slot.transport.clone(),
        formats: formats.iter().map(|f| f.payload_type.to_string()).collect(),
        connection: None,
        others: Vec::new(),
        attributes,
    }
}

/// RFC 3264 §6: "To reject an offered stream, the port number in the corresponding stream in the answer MUST be set
/// to zero. Any media formats listed are ignored. At least one MUST be present".
pub(super) fn refused(slot: &Slot) -> Media {
    Media {
        kind: slot.kind.clone(),
        port: 0,
        port_count: None,
        transport: slot.transport.clone(),
        formats: slot.formats.clone(),
        connection: None,
        others: Vec::new(),
        attributes: Vec::new(),
    }
}

/// The media of a description in words, for a person.
pub(super) fn words(description: &Description) -> String {
    if description.media.is_empty() {
        return "no media at all".to_owned();
    }
    let words: Vec<String> = description
        .media
        .iter()
        .map(|m| format!("{}{}", m.kind, if m.port == 0 { " (port 0)" } else { "" }))
        .collect();
    words.join(", ")
}
