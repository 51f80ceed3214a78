//! The sound of the calls: each phone of a call sends PCMU every 20 ms and counts what it hears (RFC 3550 §5.1, RFC 3551
//! §4.5.14). All callers share one socket and all callees another; a packet finds its call by its SSRC, which is our
//! own index. It plays and records nothing, and sends no RTCP: both ends are here, so what was sent and what arrived
//! is known exactly, the packets before the first and after the last that arrived included.

use std::net::SocketAddr;
use std::time::Duration;

use media::codec::Codec;
use media::rtp::{Arrival, Packet, Source};
use media::tone::Sine;

use super::desk::Desk;
use super::figure::Sound;
use super::schedule::Random;
use super::script::{Id, Side};
use super::timer::{MILLI, Nanos};

/// Packets of a stream are 20 ms apart: a call sends in one of 20 milliseconds, always the same.
const PHASES: usize = 20;
/// 20 ms of 8 kHz.
const SAMPLES: usize = 160;
/// After a stall so many milliseconds are made up for before something is received again.
const TICKS_PER_TURN: u64 = 20;
/// Later than this a packet is one that the sender, not the network, made late.
const LATE: Nanos = 20 * MILLI;

/// Calls that an SSRC can name.
pub const TALKS_MAX: usize = 1 << 20;

/// What one phone of a call sends and hears.
#[derive(Clone, Default)]
struct Mouth {
    /// Where the other one, or a relay, wants it.
    target: Option<SocketAddr>,
    sequence: u16,
    timestamp: u32,
    sent: u64,
    heard: Option<Source>,
    duplicates: u64,
}

#[derive(Clone, Default)]
struct Talk {
    generation: u32,
    /// Of the caller and the callee.
    mouths: [Mouth; 2],
    /// In which millisecond it sends; None while it does not.
    phase: Option<u8>,
    began: bool,
}

pub struct Talks {
    talks: Vec<Talk>,
    phases: [Vec<u32>; PHASES],
    talking: usize,
    /// The next millisecond in which nothing has been sent yet.
    tick: u64,
    payload: [u8; SAMPLES],
    random: Random,
}

impl Talks {
    pub fn new(active_max: usize) -> Self {
        // 1000 Hz: a whole number of periods in a packet, so one packet repeated is one tone.
        let mut samples = [0; SAMPLES];
        Sine::new(1_000.0, 0.25).fill(&mut samples);
        Self {
            talks: vec![Talk::default(); active_max.min(TALKS_MAX)],
            phases: std::array::from_fn(|_| Vec::new()),
            talking: 0,
            tick: 0,
            payload: samples.map(|sample| Codec::Pcmu.encode_sample(sample)),
            random: Random::default(),
        }
    }

    /// A new call has this slot.
    pub fn reset(&mut self, id: Id) {
        if let Some(talk) = self.talks.get_mut(id.slot as usize) {
            *talk = Talk { generation: id.generation, ..Talk::default() };
        }
    }

    /// Where the phone of `side` shall send to, as the other one's SDP says.
    pub fn aim(&mut self, slot: u32, side: Side, target: Option<SocketAddr>) {
        if let Some(talk) = self.talks.get_mut(slot as usize) {
            talk.mouths[side as usize].target = target;
        }
    }

    /// Both begin to talk. False: one of them does not know where to.
    pub fn begin(&mut self, slot: u32, now: Nanos) -> bool {
        let Some(talk) = self.talks.get_mut(slot as usize) else { return false };
        if talk.mouths.iter().any(|mouth| mouth.target.is_none()) {
            return false;
        }
        if self.talking == 0 {
            self.tick = now / MILLI;
        }
        for mouth in &mut talk.mouths {
            // RFC 3550 §5.1: the first sequence number and timestamp are random.
            mouth.sequence = self.random.below(1 << 16) as u16;
            mouth.timestamp = self.random.below(1 << 32) as u32;
        }
        // Into the emptiest millisecond: calls that begin together shall not talk in bursts.
        let emptiest = (0_u8..).zip(&mut self.phases).min_by_key(|(_, slots)| slots.len());
        if let Some((phase, slots)) = emptiest {
            slots.push(slot);
            talk.phase = Some(phase);
            talk.began = true;
            self.talking += 1;
        }
        true
    }

    /// Both fall silent; what is on its way may still arrive.
    pub fn stop(&mut self, slot: u32) {
        let talk = self.talks.get_mut(slot as usize);
        let Some(phase) = talk.and_then(|talk| talk.phase.take()) else { return };
        if let Some(slots) = self.phases.get_mut(usize::from(phase))
            && let Some(at) = slots.iter().position(|other| *other == slot)
        {
            slots.swap_remove(at);
            self.talking -= 1;
        }
    }

    /// The call is over: what came of it. None when nobody talked. `whole`: everything that was sent has had time to arrive.
    pub fn end(&mut self, slot: u32, whole: bool) -> Option<CallSound> {
        self.stop(slot);
        let talk = self.talks.get_mut(slot as usize).filter(|talk| talk.began)?;
        talk.began = false;
        let [caller, callee] = &talk.mouths;
        Some(CallSound {
            streams: [
                Stream::between(caller, callee, whole),
                Stream::between(callee, caller, whole),
            ],
        })
    }

    /// When somebody talks next.
    pub fn next(&self) -> Option<Nanos> {
        if self.talking == 0 {
            return None;
        }
        let ticks = self.tick..self.tick + PHASES as u64;
        let mut busy =
            ticks.filter(|tick| !self.phases[(tick % PHASES as u64) as usize].is_empty());
        busy.next().map(|tick| tick * MILLI)
    }

    /// Everybody whose millisecond has come talks.
    pub fn talk(&mut self, desk: &mut Desk) {
        if self.talking == 0 {
            return;
        }
        for _ in 0..TICKS_PER_TURN {
            let due = self.tick * MILLI;
            if due > desk.now {
                break;
            }
            let late = desk.now - due > LATE;
            for slot in &self.phases[(self.tick % PHASES as u64) as usize] {
                let Some(talk) = self.talks.get_mut(*slot as usize) else { continue };
                for (side, mouth) in [Side::Caller, Side::Callee].into_iter().zip(&mut talk.mouths)
                {
                    let Some(target) = mouth.target else { continue };
                    let id = Id { slot: *slot, generation: talk.generation };
                    let mut packet =
                        Packet::new(0, mouth.sequence, mouth.timestamp, ssrc(id, side));
                    packet.marker = mouth.sent == 0;
                    packet.payload = &self.payload;
                    let mut out = desk.buffer();
                    packet.write(&mut out);
                    desk.send_sound(side, target, out);
                    mouth.sequence = mouth.sequence.wrapping_add(1);
                    mouth.timestamp = mouth.timestamp.wrapping_add(SAMPLES as u32);
                    mouth.sent += 1;
                    desk.tally.late_sound += u64::from(late);
                }
            }
            self.tick += 1;
        }
    }

    /// A packet reached the phones of `side`.
    pub fn hear(&mut self, side: Side, bytes: &[u8], desk: &mut Desk) {
        let packet = Packet::parse(bytes).ok();
        let found = packet.and_then(|packet| {
            let (id, from) = read_ssrc(packet.ssrc);
            let talk = self.talks.get_mut(id.slot as usize)?;
            let ours = from != side && talk.began && talk.generation & GENERATIONS == id.generation;
            ours.then(|| (packet, &mut talk.mouths[side as usize]))
        });
        let Some((packet, mouth)) = found else {
            desk.tally.stray_sound += 1;
            return;
        };
        let fresh = || Source::new(packet.ssrc, packet.sequence, 8_000);
        let source = mouth.heard.get_or_insert_with(fresh);
        match source.on_sequence(packet.sequence) {
            Arrival::Newest => {
                source.on_timestamp(Duration::from_nanos(desk.now), packet.timestamp);
            }
            Arrival::Duplicate => mouth.duplicates += 1,
            Arrival::Reordered | Arrival::Jump | Arrival::Restarted => {}
        }
    }
}

const SLOT_BITS: u32 = 20;
const GENERATIONS: u32 = (1 << 11) - 1;

/// Side, the low bits of the generation, slot: RFC 3550 §8 wants it unique in a session, and it is.
fn ssrc(id: Id, side: Side) -> u32 {
    (side as u32) << 31 | (id.generation & GENERATIONS) << SLOT_BITS | id.slot
}

fn read_ssrc(ssrc: u32) -> (Id, Side) {
    let side = if ssrc >> 31 == 0 { Side::Caller } else { Side::Callee };
    let id =
        Id { slot: ssrc & ((1 << SLOT_BITS) - 1), generation: ssrc >> SLOT_BITS & GENERATIONS };
    (id, side)
}

/// One direction of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stream {
    sent: u64,
    received: u64,
    lost: u64,
    duplicates: u64,
    jitter: Nanos,
}

impl Stream {
    fn between(mouth: &Mouth, ear: &Mouth, whole: bool) -> Self {
        let source = ear.heard.as_ref();
        let received = source.map_or(0, Source::received);
        let expected = if whole { mouth.sent } else { source.map_or(0, Source::expected) };
        Self {
            sent: mouth.sent,
            received,
            lost: expected.saturating_sub(received),
            duplicates: ear.duplicates,
            jitter: (source.map_or(0.0, Source::jitter_ms) * MILLI as f64) as Nanos,
        }
    }
}

/// Both directions of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallSound {
    streams: [Stream; 2],
}

impl CallSound {
    /// One of them heard nothing.
    pub fn is_one_way(&self) -> bool {
        self.streams.iter().any(|stream| stream.sent > 0 && stream.received == 0)
    }

    pub fn add_to(&self, sound: &mut Sound) {
        let (mut sent, mut lost) = (0, 0);
        for stream in &self.streams {
            sent += stream.sent;
            lost += stream.lost;
            sound.received += stream.received;
            sound.duplicates += stream.duplicates;
            if stream.received > 0 {
                sound.jitter.record(stream.jitter);
            } else if stream.sent > 0 {
                sound.silent += 1;
            }
        }
        sound.sent += sent;
        sound.lost += lost;
        sound.worst = sound.worst.max(lost as f64 / sent.max(1) as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use udp::{Options, Socket};

    use super::super::timer::{Pauses, Timers};
    use super::*;

    const ID: Id = Id { slot: 5, generation: 0x1_0003 };

    /// Calls whose packets all go to one socket, from which the test hands on what it likes.
    struct World {
        talks: Talks,
        desk: Desk,
        network: UdpSocket,
    }

    impl World {
        fn new() -> Self {
            let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let socket = || Socket::bind(local, &Options::default()).expect("a socket");
            let sockets = vec![socket(), socket(), socket(), socket()];
            let network = UdpSocket::bind(local).expect("a socket");
            network.set_nonblocking(true).expect("set");
            let desk = Desk::new(sockets, local, Timers::new(Pauses::default()));
            Self { talks: Talks::new(100), desk, network }
        }

        fn begin(&mut self, id: Id) -> bool {
            self.talks.reset(id);
            let target = self.network.local_addr().ok();
            self.talks.aim(id.slot, Side::Caller, target);
            self.talks.aim(id.slot, Side::Callee, target);
            self.talks.begin(id.slot, self.desk.now)
        }

        /// So many milliseconds go by; what was sent, and by which side.
        fn pass(&mut self, millis: u64) -> Vec<(Side, Vec<u8>)> {
            for _ in 0..millis {
                self.desk.now += MILLI;
                self.talks.talk(&mut self.desk);
            }
            self.desk.flush();
            let mut buffer = [0; 2_048];
            let mut sent = Vec::new();
            while let Ok(n) = self.network.recv(&mut buffer) {
                let packet = Packet::parse(&buffer[..n]).expect("RTP");
                sent.push((read_ssrc(packet.ssrc).1, buffer[..n].to_vec()));
            }
            sent
        }

        fn deliver(&mut self, from: Side, bytes: &[u8]) {
            let to = if from == Side::Caller { Side::Callee } else { Side::Caller };
            self.talks.hear(to, bytes, &mut self.desk);
        }
    }

    #[test]
    fn each_side_sends_fifty_packets_a_second() {
        let mut world = World::new();
        assert!(world.begin(ID));
        let sent = world.pass(999);
        let of = |side| sent.iter().filter(move |(from, _)| *from == side).map(|(_, bytes)| bytes);
        for side in [Side::Caller, Side::Callee] {
            assert_eq!(of(side).count(), 50);
            let packets: Vec<Packet<'_>> =
                of(side).map(|bytes| Packet::parse(bytes).expect("RTP")).collect();
            assert!(packets[0].marker && packets[1..].iter().all(|packet| !packet.marker));
            for pair in packets.windows(2) {
                assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
                assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
                assert_eq!((pair[0].payload_type, pair[0].payload.len()), (0, 160));
            }
        }
        world.talks.stop(ID.slot);
        assert_eq!((world.pass(100).len(), world.talks.next()), (0, None));
    }

    #[test]
    fn what_the_network_takes_is_lost_to_its_call() {
        let mut world = World::new();
        assert!(world.begin(ID));
        let sent = world.pass(199);
        world.talks.stop(ID.slot);
        // The caller hears all but three, the first and the last among them; the callee everything, one of it twice.
        let mut heard = 0;
        for (from, bytes) in &sent {
            let mine = *from == Side::Callee;
            heard += u32::from(mine);
            if !mine || ![1, 5, 10].contains(&heard) {
                world.deliver(*from, bytes);
            }
        }
        let (from, bytes) = sent.iter().find(|(from, _)| *from == Side::Caller).expect("sent");
        world.deliver(*from, bytes);
        let call = world.talks.end(ID.slot, true).expect("they talked");
        let mut sound = Sound::default();
        call.add_to(&mut sound);
        assert_eq!((sound.sent, sound.received, sound.lost), (20, 17, 3));
        assert_eq!((sound.duplicates, sound.silent), (1, 0));
        assert!((sound.worst - 0.15).abs() < 1e-9 && (sound.loss() - 0.15).abs() < 1e-9);
        assert_eq!(sound.jitter.count(), 2);
        assert!(!call.is_one_way());
        assert_eq!(world.talks.end(ID.slot, true), None, "once");
    }

    #[test]
    fn a_side_that_hears_nothing_is_silence() {
        let mut world = World::new();
        assert!(world.begin(ID));
        for (from, bytes) in world.pass(39) {
            if from == Side::Caller {
                world.deliver(from, &bytes);
            }
        }
        let call = world.talks.end(ID.slot, true).expect("they talked");
        let mut sound = Sound::default();
        call.add_to(&mut sound);
        assert!(call.is_one_way());
        assert_eq!((sound.lost, sound.silent), (2, 1));
    }

    #[test]
    fn strangers_and_late_comers_are_counted_apart() {
        let mut world = World::new();
        assert!(world.begin(ID));
        let sent = world.pass(20);
        let (from, bytes) = sent.first().expect("sent");
        // To the side it came from, of another call, of an earlier one in this slot, and no RTP at all.
        world.talks.hear(*from, bytes, &mut world.desk);
        world.deliver(*from, b"hello");
        world.talks.reset(Id { generation: ID.generation + 1, ..ID });
        world.deliver(*from, bytes);
        assert_eq!(world.desk.tally.stray_sound, 3);
        // Without an address nobody talks.
        world.talks.aim(ID.slot, Side::Caller, None);
        assert!(!world.talks.begin(ID.slot, 0));
        assert_eq!(world.talks.end(ID.slot, true), None);
    }

    #[test]
    fn calls_that_begin_together_share_the_milliseconds() {
        let mut world = World::new();
        for slot in 0..40 {
            assert!(world.begin(Id { slot, generation: 1 }));
        }
        assert!(world.talks.phases.iter().all(|slots| slots.len() == 2));
        // A stall of three milliseconds is made up for, in steps.
        world.desk.now += 2 * MILLI;
        assert_eq!(world.pass(1).len(), 4 * 4, "the first millisecond and the three");
        assert_eq!(world.desk.tally.late_sound, 0);
        world.desk.now += 60 * MILLI;
        world.pass(1);
        assert!(world.desk.tally.late_sound > 0);
    }

    #[test]
    fn an_ssrc_is_read_back() {
        for side in [Side::Caller, Side::Callee] {
            let id = Id { slot: (1 << 20) - 1, generation: 0x7ff };
            assert_eq!(read_ssrc(ssrc(id, side)), (id, side));
        }
    }
}
