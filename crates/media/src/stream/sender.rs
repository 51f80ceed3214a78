//! Frames -> RTP packets (RFC 3550 §5.1, RFC 3551 §4.1, RFC 4733 §2.5.1). One packet a frame, a key instead of sound
//! while one is pressed.

use std::collections::VecDeque;

use crate::codec::event::{Key, Transmission};
use crate::codec::{CLOCK_RATE, Codec, FRAME};
use crate::rtp::Packet;

/// Keys that may wait to be sent.
pub const KEYS_MAX: usize = 64;
/// Frames of sound between two keys. With the two repeated ends that is a pause of 80 ms.
const PAUSE: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the peer takes no keys: its SDP has no telephone-event/8000")]
    NotAgreed,
    #[error("{KEYS_MAX} keys are waiting already")]
    Full,
}

#[derive(Clone, Debug)]
pub struct Sender {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    codec: Codec,
    payload_type: u8,
    telephone_event: Option<u8>,
    /// The next packet begins a talkspurt.
    marker: bool,
    packets: u64,
    octets: u64,
    /// Keys to come, each with how long it is held in samples.
    keys: VecDeque<(Key, u16)>,
    key: Option<Transmission>,
    pause: u8,
}

impl Sender {
    /// `ssrc`, `sequence` and `timestamp` are to be random (RFC 3550 §5.1).
    pub const fn new(codec: Codec, ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            ssrc,
            sequence,
            timestamp,
            codec,
            payload_type: codec.payload_type(),
            telephone_event: None,
            marker: true,
            packets: 0,
            octets: 0,
            keys: VecDeque::new(),
            key: None,
            pause: 0,
        }
    }

    /// What was agreed, at first and after each re-INVITE.
    pub const fn set_format(
        &mut self,
        codec: Codec,
        payload_type: u8,
        telephone_event: Option<u8>,
    ) {
        self.codec = codec;
        self.payload_type = payload_type;
        self.telephone_event = telephone_event;
    }

    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The timestamp of the next frame.
    pub const fn timestamp(&self) -> u32 {
        self.timestamp
    }

    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Payload bytes sent (RFC 3550 §6.4.1).
    pub const fn octets(&self) -> u64 {
        self.octets
    }

    /// Sends a key, after those before it, held for so many milliseconds.
    ///
    /// # Errors
    /// The peer takes none, or too many wait.
    pub fn press(&mut self, key: Key, milliseconds: u16) -> Result<(), KeyError> {
        if self.telephone_event.is_none() {
            return Err(KeyError::NotAgreed);
        }
        if self.keys.len() >= KEYS_MAX {
            return Err(KeyError::Full);
        }
        self.keys.push_back((key, milliseconds.saturating_mul((CLOCK_RATE / 1000) as u16)));
        Ok(())
    }

    /// True while a key is being sent or waits.
    pub fn is_pressing(&self) -> bool {
        self.key.is_some() || !self.keys.is_empty()
    }

    /// Writes the packet of the next frame into `out`, in place of what was there. While a key is down it is a report
    /// of the key, and the samples go unheard.
    pub fn frame(&mut self, samples: &[i16], out: &mut Vec<u8>) {
        if self.key_frame(samples.len() as u32, out) {
            return;
        }
        let codec = self.codec;
        self.sound(samples.len() as u32, out, |out| codec.encode(samples, out));
    }

    /// The same with a payload that is encoded already, one byte a sample: for many streams with the same sound.
    pub fn encoded_frame(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        if self.key_frame(payload.len() as u32, out) {
            return;
        }
        self.sound(payload.len() as u32, out, |out| out.extend_from_slice(payload));
    }

    /// So many samples pass unsent: on hold, or muted. The next packet begins a talkspurt (RFC 3551 §4.1).
    pub const fn pass(&mut self, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.marker = true;
    }

    fn sound(&mut self, samples: u32, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
        self.pause = self.pause.saturating_sub(1);
        out.clear();
        let marker = std::mem::take(&mut self.marker);
        let header = Packet::new(self.payload_type, self.sequence, self.timestamp, self.ssrc);
        Packet { marker, ..header }.write(out);
        let before = out.len();
        payload(out);
        self.count(out.len() - before, samples);
    }

    /// Writes a report if there is one to send.
    fn key_frame(&mut self, samples: u32, out: &mut Vec<u8>) -> bool {
        if self.key.is_none() && self.pause == 0 {
            let next = self.keys.pop_front();
            self.key = next.map(|(key, hold)| Transmission::start(key, self.timestamp, hold));
        }
        let (Some(key), Some(payload_type)) = (&mut self.key, self.telephone_event) else {
            self.key = None;
            return false;
        };
        let first = key.is_first();
        let timestamp = key.timestamp;
        let Some(report) = key.advance(samples.min(u32::from(u16::MAX)) as u16) else {
            self.key = None;
            self.pause = PAUSE;
            return false;
        };
        out.clear();
        let header = Packet::new(payload_type, self.sequence, timestamp, self.ssrc);
        Packet { marker: first, payload: &report.to_bytes(), ..header }.write(out);
        self.count(crate::codec::event::Report::LENGTH, samples);
        true
    }

    const fn count(&mut self, octets: usize, samples: u32) {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.packets += 1;
        self.octets += octets as u64;
    }
}

/// Room for the packet of one frame.
pub const PACKET: usize = crate::rtp::HEADER + FRAME;
