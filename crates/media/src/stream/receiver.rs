//! RTP packets -> frames and keys. It believes one source at a time, and another once two of its packets came in a
//! row; what is not RTP or not of that source is counted and dropped.

use std::time::Duration;

use crate::codec::event::{Key, Reception, Report};
use crate::codec::{CLOCK_RATE, Codec};
use crate::jitter::{self, Buffer, Playout};
use crate::offer::{Encoding, Format};
use crate::rtp::{Arrival, Packet, Source};

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    Sound,
    /// A key was pressed; told once.
    Key(Key),
    /// More of a key that was told before, or an event that is no key.
    Event,
    Ignored(Ignored),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    Malformed,
    /// Of another source, perhaps the next one.
    Foreign,
    Duplicate,
    /// Far from the packets before it.
    Jump,
    /// A payload type that was not agreed.
    PayloadType,
}

/// Datagrams that were not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    pub malformed: u64,
    pub foreign: u64,
    pub jumps: u64,
    pub payload_type: u64,
}

#[derive(Clone, Debug)]
pub struct Receiver {
    formats: Vec<Format>,
    source: Option<Source>,
    /// A source that may follow: its SSRC, and the sequence number that would prove it.
    next_source: Option<(u32, u16)>,
    /// Expected, received, duplicates of the sources before.
    past: (u64, u64, u64),
    keys: Reception,
    buffer: Option<Buffer>,
    codec: Option<Codec>,
    strays: Strays,
}

impl Receiver {
    /// Counts and plays; `depth` is how long the first packet waits.
    pub fn new(formats: Vec<Format>, depth: Duration) -> Self {
        Self { buffer: Some(Buffer::new(depth)), ..Self::counting(formats) }
    }

    /// Counts and finds keys, but keeps no sound: a few hundred bytes a stream.
    pub const fn counting(formats: Vec<Format>) -> Self {
        Self {
            formats,
            source: None,
            next_source: None,
            past: (0, 0, 0),
            keys: Reception::new(),
            buffer: None,
            codec: None,
            strays: Strays { malformed: 0, foreign: 0, jumps: 0, payload_type: 0 },
        }
    }

    /// What may arrive after a re-INVITE.
    pub fn set_formats(&mut self, formats: Vec<Format>) {
        self.formats = formats;
    }

    /// Takes a datagram from the RTP port.
    pub fn on_datagram(&mut self, now: Duration, datagram: &[u8]) -> Received {
        let received = match Packet::parse(datagram) {
            Ok(packet) => self.on_packet(now, &packet),
            Err(_) => Received::Ignored(Ignored::Malformed),
        };
        match received {
            Received::Ignored(Ignored::Malformed) => self.strays.malformed += 1,
            Received::Ignored(Ignored::Foreign) => self.strays.foreign += 1,
            Received::Ignored(Ignored::Jump) => self.strays.jumps += 1,
            Received::Ignored(Ignored::PayloadType) => self.strays.payload_type += 1,
            _ => {}
        }
        received
    }

    fn on_packet(&mut self, now: Duration, packet: &Packet<'_>) -> Received {
        if !self.believe(packet) {
            return Received::Ignored(Ignored::Foreign);
        }
        let Some(source) = &mut self.source else { return Received::Ignored(Ignored::Foreign) };
        match source.on_sequence(packet.sequence) {
            Arrival::Newest | Arrival::Reordered => {}
            Arrival::Duplicate => return Received::Ignored(Ignored::Duplicate),
            Arrival::Jump => return Received::Ignored(Ignored::Jump),
            Arrival::Restarted => {
                self.keys = Reception::new();
                if let Some(buffer) = &mut self.buffer {
                    buffer.reset();
                }
            }
        }
        // Counted above whatever it carries: comfort noise is no loss.
        let format = self.formats.iter().find(|f| f.payload_type == packet.payload_type);
        match format.map(|f| f.encoding) {
            None => Received::Ignored(Ignored::PayloadType),
            Some(Encoding::TelephoneEvent) => {
                // Its packets repeat one timestamp; they say nothing about jitter.
                source.forget_transit();
                let Some(report) = Report::parse(packet.payload) else {
                    return Received::Ignored(Ignored::Malformed);
                };
                self.keys.on_report(packet.timestamp, report).map_or(Received::Event, Received::Key)
            }
            Some(Encoding::Audio(codec)) => {
                if packet.marker {
                    source.forget_transit();
                }
                source.on_timestamp(now, packet.timestamp);
                self.codec = Some(codec);
                if let Some(buffer) = &mut self.buffer {
                    let samples = packet.payload.iter().map(|b| codec.decode_sample(*b));
                    buffer.push(now, packet.timestamp, samples);
                }
                Received::Sound
            }
        }
    }

    /// Whether a packet is of the source we listen to. RFC 3550 §8.2, §A.1: a peer may change its SSRC; one stray packet
    /// is no change.
    fn believe(&mut self, packet: &Packet<'_>) -> bool {
        if self.source.as_ref().is_some_and(|s| s.ssrc() == packet.ssrc) {
            self.next_source = None;
            return true;
        }
        let proven = self.next_source == Some((packet.ssrc, packet.sequence));
        if self.source.is_some() && !proven {
            self.next_source = Some((packet.ssrc, packet.sequence.wrapping_add(1)));
            return false;
        }
        self.past = (self.expected(), self.received(), self.duplicates());
        self.source = Some(Source::new(packet.ssrc, packet.sequence, CLOCK_RATE));
        self.next_source = None;
        self.keys = Reception::new();
        if let Some(buffer) = &mut self.buffer {
            buffer.reset();
        }
        true
    }

    /// The next frame to be heard, of `out.len()` samples; silence where there is none. Once each 20 ms for 160.
    pub fn play(&mut self, now: Duration, out: &mut [i16]) -> Playout {
        match &mut self.buffer {
            Some(buffer) => buffer.pop(now, out),
            None => {
                out.fill(0);
                Playout::Empty
            }
        }
    }

    pub const fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    pub(super) const fn source_mut(&mut self) -> Option<&mut Source> {
        self.source.as_mut()
    }

    /// The codec of the newest sound.
    pub const fn codec(&self) -> Option<Codec> {
        self.codec
    }

    pub const fn strays(&self) -> Strays {
        self.strays
    }

    /// Packets that should have come, of all sources.
    pub fn expected(&self) -> u64 {
        self.past.0 + self.source.as_ref().map_or(0, Source::expected)
    }

    /// Packets that came, each counted once.
    pub fn received(&self) -> u64 {
        self.past.1 + self.source.as_ref().map_or(0, Source::received)
    }

    pub fn duplicates(&self) -> u64 {
        self.past.2 + self.source.as_ref().map_or(0, |s| u64::from(s.duplicates()))
    }

    pub fn jitter_ms(&self) -> f64 {
        self.source.as_ref().map_or(0.0, Source::jitter_ms)
    }

    /// What the jitter buffer counted; `None` for one that keeps no sound.
    pub fn playout(&self) -> Option<jitter::Counters> {
        self.buffer.as_ref().map(Buffer::counters)
    }

    /// How long sound waits here.
    pub fn delay(&self) -> Duration {
        self.buffer.as_ref().map_or(Duration::ZERO, Buffer::depth)
    }
}
