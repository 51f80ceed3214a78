//! OPTIONS to the server itself: the smallest question it answers alone (RFC 3261 §11).
//! Any final answer below 300 is a success.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::Unit;
use super::desk::Desk;
use super::scan::{Message, Start};
use super::script::{Id, Script, Side};
use super::tally::Failure;
use super::timer::{Alarm, Kind, Nanos};

#[derive(Clone, Default)]
struct Ping {
    /// Counts the slot's tenants; odd while one is waiting.
    generation: u32,
    waiting: bool,
    attempt: u8,
    began: Nanos,
}

pub struct Pings {
    pings: Vec<Ping>,
    free: VecDeque<u32>,
}

impl Pings {
    pub fn new(active_max: usize) -> Self {
        let count = u32::try_from(active_max).unwrap_or(u32::MAX);
        Self { pings: vec![Ping::default(); active_max], free: (0..count).collect() }
    }

    fn send(&mut self, slot: u32, desk: &mut Desk, script: &Script) {
        let Some(ping) = self.pings.get(slot as usize) else { return };
        let id = Id { slot, generation: ping.generation };
        let mut out = desk.buffer();
        script.options(id, &mut out);
        desk.send(Side::Caller, desk.target, out);
        let (attempt, generation, began) = (ping.attempt, ping.generation, ping.began);
        let alarm = Alarm { slot, generation, kind: Kind::Request, attempt, cseq: 1 };
        if !desk.timers.arm_retry(desk.now, alarm) {
            desk.tally.fail(began, Failure::Timeout);
            self.finish(slot);
        }
    }

    fn finish(&mut self, slot: u32) {
        if let Some(ping) = self.pings.get_mut(slot as usize) {
            ping.waiting = false;
            self.free.push_back(slot);
        }
    }

    fn waiting(&mut self, id: Id) -> Option<&mut Ping> {
        let ping = self.pings.get_mut(id.slot as usize)?;
        (ping.waiting && ping.generation == id.generation).then_some(ping)
    }
}

impl Unit for Pings {
    fn active(&self) -> usize {
        self.pings.len() - self.free.len()
    }

    fn start(&mut self, desk: &mut Desk, script: &Script) -> bool {
        let Some(slot) = self.free.pop_front() else { return false };
        if let Some(ping) = self.pings.get_mut(slot as usize) {
            let generation = ping.generation.wrapping_add(1);
            *ping = Ping { generation, waiting: true, attempt: 0, began: desk.now };
        }
        desk.tally.begin(desk.now);
        self.send(slot, desk, script);
        true
    }

    fn receive(
        &mut self,
        _side: Side,
        _source: SocketAddr,
        message: &Message<'_>,
        desk: &mut Desk,
        script: &Script,
    ) {
        let (Start::Response(status), Some(id)) = (message.start, script.id(message.call_id))
        else {
            desk.tally.unexpected(desk.now);
            return;
        };
        let Some(ping) = self.waiting(id) else {
            desk.tally.repeats += 1;
            return;
        };
        let began = ping.began;
        match status {
            100..200 => return,
            200..300 => {
                desk.tally.succeed(began);
                desk.tally.set_up(began, desk.now.saturating_sub(began));
            }
            status => desk.tally.fail(began, Failure::Status(status)),
        }
        self.finish(id.slot);
    }

    fn alarm(&mut self, alarm: Alarm, desk: &mut Desk, script: &Script) {
        let id = Id { slot: alarm.slot, generation: alarm.generation };
        let Some(ping) = self.waiting(id) else { return };
        ping.attempt += 1;
        desk.tally.repeat(ping.began);
        self.send(alarm.slot, desk, script);
    }
}
