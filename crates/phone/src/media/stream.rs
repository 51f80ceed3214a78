//! One call's audio between its sockets and its files, 20 ms at a time: what is played, what is heard, what is counted
//! (RFC 3550, RFC 3551 §4.2). It holds no socket: `session` moves the datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use media::codec::event::Key;
use media::codec::{Codec, FRAME};
use media::jitter::DEPTH;
use media::offer::Agreement;
use media::stream::{Control, KeyError, Quality, Received, Receiver, Sender};

use super::sound::{Frame, Sound, is_sound};
use super::wav::Recording;

/// How long a key is held.
const KEY_MS: u16 = 100;

/// Refused for less, our packets met a port that was not open yet, or not any more: who hangs up closes it before its BYE is here.
const REFUSED_MIN: Duration = Duration::from_millis(500);

/// Where our packets are refused (ICMP), since when and until when.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    remote: SocketAddr,
    first: Duration,
    last: Duration,
}

/// Random numbers of one stream (RFC 3550 §5.1), from a seed nobody can guess.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Rtp,
    Rtcp,
}

pub struct Stream {
    agreement: Agreement,
    sender: Sender,
    receiver: Receiver,
    control: Control,
    random: Random,
    sound: Sound,
    recording: Option<Recording>,
    /// A recording that could not go on, and why.
    recording_failed: Option<String>,
    /// Frames that were more than silence.
    sound_frames: u64,
    refused: Option<Refusal>,
    heard: Frame,
}

/// The numbers of a call, so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    pub codec: Codec,
    pub quality: Quality,
    /// Frames of 20 ms that were more than silence.
    pub sound_frames: u64,
    /// Where our packets are refused, if that is no passing thing.
    pub refused: Option<SocketAddr>,
    /// What the peer's last report says of our packets: lost, of all; `None`: it sent no report about us.
    pub reported: bool,
}

impl Stream {
    pub fn new(
        now: Duration,
        agreement: Agreement,
        sound: Sound,
        recording: Option<Recording>,
        seed: u64,
    ) -> Self {
        let mut random = Random::new(seed);
        let bits = random.next();
        let (ssrc, sequence) = (bits as u32, (bits >> 32) as u16);
        let mut sender = Sender::new(agreement.codec, ssrc, sequence, random.next() as u32);
        sender.set_format(agreement.codec, agreement.payload_type, agreement.telephone_event);
        // RFC 7022 §4.2: a name of nobody, for this call only.
        let name = format!("{:016x}", random.next());
        let control = Control::new(ssrc, &name, now, random.share());
        let receiver = Receiver::new(agreement.receive.clone(), DEPTH);
        Self {
            agreement,
            sender,
            receiver,
            control,
            random,
            sound,
            recording,
            recording_failed: None,
            sound_frames: 0,
            refused: None,
            heard: [0; FRAME],
        }
    }

    /// After a new offer and its answer.
    pub fn agree(&mut self, agreement: Agreement) {
        self.sender.set_format(agreement.codec, agreement.payload_type, agreement.telephone_event);
        self.receiver.set_formats(agreement.receive.clone());
        self.agreement = agreement;
    }

    pub const fn agreement(&self) -> &Agreement {
        &self.agreement
    }

    pub fn press(&mut self, key: Key) -> Result<(), KeyError> {
        self.sender.press(key, KEY_MS)
    }

    /// True while keys are being sent or wait.
    pub fn is_pressing(&self) -> bool {
        self.sender.is_pressing()
    }

    /// Takes a datagram. A key that was pressed is told once.
    pub fn on_datagram(&mut self, now: Duration, port: Port, datagram: &[u8]) -> Option<Key> {
        match port {
            Port::Rtp => match self.receiver.on_datagram(now, datagram) {
                Received::Key(key) => Some(key),
                _ => None,
            },
            Port::Rtcp => {
                self.control.on_datagram(now, datagram);
                None
            }
        }
    }

    pub fn on_refusal(&mut self, now: Duration, remote: SocketAddr) {
        match &mut self.refused {
            Some(refusal) if refusal.remote == remote => refusal.last = now,
            _ => self.refused = Some(Refusal { remote, first: now, last: now }),
        }
    }

    /// One step of 20 ms: what was heard goes to the file, what we say into `out`. Where it goes, or nowhere.
    pub fn step(&mut self, now: Duration, out: &mut Vec<u8>) -> Option<SocketAddr> {
        self.receiver.play(now, &mut self.heard);
        if is_sound(&self.heard) {
            self.sound_frames += 1;
        }
        if let Some(recording) = &mut self.recording
            && let Err(error) = recording.write(&self.heard)
        {
            self.recording_failed = Some(error.to_string());
            self.recording = None;
        }
        let mut said = [0; FRAME];
        self.sound.fill(&self.heard, &mut said);
        let remote = self.agreement.remote.socket().filter(|remote| {
            self.agreement.direction.sends() && remote.port() != 0 && !remote.ip().is_unspecified()
        });
        match remote {
            Some(_) => self.sender.frame(&said, out),
            None => self.sender.pass(FRAME as u32),
        }
        remote
    }

    /// The report that is due, if one is.
    pub fn report(&mut self, now: Duration, out: &mut Vec<u8>) -> Option<SocketAddr> {
        if now < self.control.next_deadline() {
            return None;
        }
        let share = self.random.share();
        self.control.write(now, share, &self.sender, &mut self.receiver, out);
        self.remote_rtcp()
    }

    /// The last report.
    pub fn bye(&mut self, now: Duration, out: &mut Vec<u8>) -> Option<SocketAddr> {
        self.control.write_bye(now, &self.sender, &mut self.receiver, out);
        self.remote_rtcp()
    }

    fn remote_rtcp(&self) -> Option<SocketAddr> {
        self.agreement.remote_rtcp.socket().filter(|r| r.port() != 0 && !r.ip().is_unspecified())
    }

    pub fn figures(&self) -> Figures {
        Figures {
            codec: self.sender.codec(),
            quality: Quality::new(&self.sender, &self.receiver, &self.control),
            sound_frames: self.sound_frames,
            refused: self
                .refused
                .filter(|refusal| refusal.last.saturating_sub(refusal.first) >= REFUSED_MIN)
                .map(|refusal| refusal.remote),
            reported: self.control.of_us().is_some(),
        }
    }

    /// Ends the recording. The error is in words.
    pub fn finish(&mut self) -> Result<(), String> {
        if let Some(recording) = self.recording.take() {
            recording.finish().map_err(|error| error.to_string())?;
        }
        self.recording_failed.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use media::offer::{Capability, Negotiation};
    use media::sdp::{Description, Direction};

    use super::*;
    use crate::media::sound::TONE_HZ;

    /// What two phones at these ports agree on; the second wants this direction.
    fn agreement(direction: Direction) -> Agreement {
        let local = [127, 0, 0, 1].into();
        let mut ours = Negotiation::new(1, Capability::new(local, 4000));
        let mut theirs =
            Negotiation::new(2, Capability { direction, ..Capability::new(local, 5000) });
        let offer = ours.offer().unwrap();
        theirs.apply_offer(&Description::parse(&offer.write()).unwrap()).unwrap();
        let answer = theirs.answer().unwrap();
        ours.apply_answer(&answer).unwrap().clone()
    }

    fn stream(direction: Direction, sound: Sound) -> Stream {
        Stream::new(Duration::from_secs(1), agreement(direction), sound, None, 7)
    }

    #[test]
    fn a_port_that_closes_at_the_end_has_not_refused() {
        let mut stream = stream(Direction::SendRecv, Sound::tone(TONE_HZ));
        let (remote, start) = (([127, 0, 0, 1], 5000).into(), Duration::from_secs(1));
        stream.on_refusal(start, remote);
        stream.on_refusal(start + REFUSED_MIN - Duration::from_millis(1), remote);
        assert_eq!(stream.figures().refused, None);
        stream.on_refusal(start + REFUSED_MIN, remote);
        assert_eq!(stream.figures().refused, Some(remote));
        // Another port after a new offer begins anew.
        stream.on_refusal(start + 2 * REFUSED_MIN, ([127, 0, 0, 1], 5002).into());
        assert_eq!(stream.figures().refused, None);
    }

    #[test]
    fn what_one_says_the_other_hears_and_counts() {
        let mut a = stream(Direction::SendRecv, Sound::tone(TONE_HZ));
        let mut b = stream(Direction::SendRecv, Sound::Echo);
        let (mut now, mut out) = (Duration::from_secs(1), Vec::new());
        for _ in 0..100 {
            let to = a.step(now, &mut out);
            assert_eq!(to, Some("127.0.0.1:5000".parse().unwrap()));
            assert_eq!(b.on_datagram(now, Port::Rtp, &out), None);
            b.step(now, &mut out);
            a.on_datagram(now, Port::Rtp, &out);
            now += Duration::from_millis(20);
        }
        for figures in [a.figures(), b.figures()] {
            assert_eq!((figures.quality.sent, figures.quality.received), (100, 100));
            assert!(figures.sound_frames > 85, "{figures:?}");
        }
    }

    #[test]
    fn nothing_is_sent_to_a_peer_that_holds_us() {
        let mut held = stream(Direction::SendOnly, Sound::tone(TONE_HZ));
        assert_eq!(held.step(Duration::from_secs(1), &mut Vec::new()), None);
        held.agree(agreement(Direction::SendRecv));
        assert!(held.step(Duration::from_secs(1), &mut Vec::new()).is_some());
        held.agree(agreement(Direction::Inactive));
        assert_eq!(held.step(Duration::from_secs(1), &mut Vec::new()), None);
        assert_eq!(held.figures().quality.sent, 1);
    }

    #[test]
    fn a_key_is_heard_once() {
        let mut a = stream(Direction::SendRecv, Sound::tone(TONE_HZ));
        let mut b = stream(Direction::SendRecv, Sound::Echo);
        for key in ['5', '#'] {
            a.press(Key::of_char(key).unwrap()).unwrap();
        }
        let (mut now, mut out, mut heard) = (Duration::from_secs(1), Vec::new(), String::new());
        while a.is_pressing() {
            a.step(now, &mut out);
            heard.extend(b.on_datagram(now, Port::Rtp, &out).map(Key::char));
            now += Duration::from_millis(20);
        }
        assert_eq!(heard, "5#");
    }
}
