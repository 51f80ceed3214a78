//! Random worlds: each seed turns features on and off (loss, doubling, reordering, forks, passwords, a slow or failing
//! store, streams, several nodes) and lets phones do what they like. What must hold is in `check`; here is only chaos,
//! reproducible to the last packet. `cargo xtask sim SEED` shows one with its ladder.

use std::fmt::Write as _;

use sip_core::flow::Transport;
use sip_core::time::Duration;

use crate::check;
use crate::network::Link;
use crate::phone::Phone;
use crate::phone::plan::{Answer, Call};
use crate::random::{Dice, mix};
use crate::scenario::difference;
use crate::server::Store;
use crate::world::World;
use crate::{ms, secs};

/// What this seed's world is like.
#[derive(Clone, Debug)]
pub struct Features {
    pub link: Link,
    pub nodes: usize,
    pub passwords: bool,
    pub store: Option<Store>,
    pub users: u64,
    pub devices_max: u64,
    pub streams: bool,
    pub segment: usize,
    pub calls: u64,
    pub registrations: u64,
    pub requests: u64,
    /// Phones that die, never ACK, ignore CANCEL, send garbage.
    pub rude: bool,
    pub old_phones: bool,
    /// Users behind NATs, users with IPv6 only, callers of other domains.
    pub natted: u64,
    pub ipv6: u64,
    pub strangers: u64,
    pub inbound: bool,
    /// How often somebody's streams break.
    pub cuts: u64,
    /// Devices of different q, accounts that forward, redirections that are followed, callers with wishes.
    pub search: bool,
    /// Servers behind the name `example.org`, which some call.
    pub servers: u64,
    /// What its name server takes for an answer; more than patience: it is dead.
    pub dns_delay: Duration,
}

impl Features {
    pub fn of(seed: u64) -> Self {
        let mut d = Dice::new(mix(seed));
        let mut some =
            |chance: u32, most: u64| if d.chance(chance) { d.between(1, most) } else { 0 };
        let weather = |n: u64| u32::try_from(n).unwrap_or(0);
        Self {
            link: Link {
                latency: ms(1 + some(500, 60)),
                jitter: ms(some(500, 80)),
                loss: weather(some(500, 300)),
                duplicate: weather(some(300, 150)),
                reorder: weather(some(300, 100)),
                ..Link::default()
            },
            nodes: 1 << some(700, 4),
            passwords: some(400, 1) == 1,
            store: (some(300, 1) == 1)
                .then(|| Store { delay: ms(some(800, 900)), failure: weather(some(400, 500)) }),
            users: 2 + some(800, 4),
            devices_max: 1 + some(400, 3),
            streams: some(300, 1) == 1,
            segment: usize::try_from(some(400, 700)).unwrap_or(0),
            calls: 1 + some(900, 7),
            registrations: some(500, 4),
            requests: some(500, 4),
            rude: some(300, 1) == 1,
            old_phones: some(150, 1) == 1,
            natted: some(250, 2),
            ipv6: some(250, 2),
            strangers: some(200, 2),
            inbound: some(500, 1) == 1,
            cuts: some(300, 3),
            search: some(400, 1) == 1,
            servers: some(400, 3),
            dns_delay: ms(some(500, 4_000)),
        }
    }
}

/// One finished random world and what is wrong with it.
pub struct Outcome {
    pub features: Features,
    pub world: World,
    pub wrong: Vec<String>,
}

impl Outcome {
    /// What a person needs to see: the seed, the features, the ladder, the faults.
    pub fn report(&self, with_ladder: bool) -> String {
        let mut text = format!("seed {}: {:?}\n", self.world.seed, self.features);
        if with_ladder {
            text.push_str(&self.world.ladder());
        }
        for wrong in &self.wrong {
            let _ = writeln!(text, "WRONG: {wrong}");
        }
        if !self.wrong.is_empty() {
            let _ = writeln!(text, "replay: cargo xtask sim {}", self.world.seed);
        }
        text
    }
}

/// Runs the world of `seed`, with its number of nodes and, if that is not one, with one.
pub fn run(seed: u64) -> Outcome {
    let features = Features::of(seed);
    let (world, mut wrong) = play(seed, &features, 1);
    if features.nodes > 1 {
        let (many, also_wrong) = play(seed, &features, features.nodes);
        wrong.extend(also_wrong.into_iter().map(|w| format!("with {} nodes: {w}", features.nodes)));
        if let Some(difference) = difference(&world, &many) {
            wrong.push(format!(
                "with {} nodes the ladder is another one:\n{difference}",
                features.nodes
            ));
        }
    }
    Outcome { features, world, wrong }
}

fn play(seed: u64, features: &Features, nodes: usize) -> (World, Vec<String>) {
    let mut world = World::new(seed, nodes);
    world.network.usual = features.link;
    world.segment = features.segment;
    world.allowed.push("was sent to nobody".to_owned());
    if features.passwords {
        world.require_passwords();
    }
    world.configure(|c| c.allow_inbound = features.inbound);
    if let Some(store) = features.store {
        world.store(store);
    }
    let mut dice = Dice::new(seed);
    let (users, phones) = people(&mut world, features, &mut dice);
    if features.search {
        search(&mut world, &users, &phones, &mut Dice::new(mix(seed)));
    }
    for phone in &phones {
        attitude(phone, features, &mut dice);
    }
    for _ in 0..features.calls {
        if let (Some(phone), Some(whom)) = (pick(&phones, &mut dice), pick(&users, &mut dice)) {
            call(phone, whom, features, &mut dice);
        }
    }
    for _ in 0..features.registrations {
        if let Some(phone) = pick(&phones, &mut dice) {
            if phone.name().starts_with("stranger") {
                continue;
            }
            let plan = phone.register().at(ms(dice.below(20_000)));
            match dice.below(6) {
                0 => drop(plan.fetch()),
                1 => drop(plan.expires(0)),
                2 => drop(plan.remove_all()),
                _ => drop(plan.expires(u32::try_from(dice.between(30, 4000)).unwrap_or(60))),
            }
        }
    }
    for _ in 0..features.requests {
        if let (Some(phone), Some(whom)) = (pick(&phones, &mut dice), pick(&users, &mut dice)) {
            let method = dice.one_of(&["OPTIONS", "MESSAGE", "INFO", "SUBSCRIBE", "XYZZY"]);
            drop(
                phone
                    .request(method.unwrap_or("OPTIONS"), &format!("{whom}@example.com"))
                    .at(ms(dice.below(20_000))),
            );
        }
    }
    names(&mut world, seed, features, (&users, &phones));
    for _ in 0..features.cuts {
        world.run_for(ms(dice.between(500, 8_000)));
        if let Some(phone) = pick(&phones, &mut dice) {
            world.cut(phone);
        }
    }
    world.run();
    let mut wrong = check::all(&world);
    if world.elapsed() > secs(600) {
        wrong.push(format!("it took {:?} until all was quiet", world.elapsed()));
    }
    (world, wrong)
}

/// Where calls go on when they are not answered at once.
fn search(world: &mut World, users: &[String], phones: &[Phone], dice: &mut Dice) {
    let (timeout, recurse) = (secs(dice.between(1, 12)), dice.chance(500));
    world.configure(|c| (c.forking.timeout, c.forking.recurse) = (timeout, recurse));
    for phone in phones {
        let q = u16::try_from(dice.between(0, 2) * 400).unwrap_or(0);
        world.prefer(phone, q);
        if let Some(whom) = pick(users, dice)
            && dice.chance(150)
        {
            let contact = format!("Contact: <sip:{whom}@example.com>");
            drop(phone.reject_after(ms(dice.below(2_000)), 302).header(&contact));
        }
    }
    for user in users {
        let mut target = |chance: u32| {
            let to = pick(users, dice).filter(|_| dice.chance(chance))?;
            Some(format!("sip:{to}@example.com").into_boxed_str())
        };
        let (always, busy) = (target(80), target(300));
        let (no_answer, unreachable) = (target(300), target(300));
        let ring = secs(1 + timeout.as_secs() / 2);
        world.forward(user, |f| {
            (f.always, f.busy, f.unreachable) = (always, busy, unreachable);
            f.no_answer = no_answer.map(|uri| (uri, ring));
        });
    }
}

/// Calls to a name, and how its servers take them: like any phone, or not at all.
fn names(
    world: &mut World,
    seed: u64,
    features: &Features,
    (users, phones): (&[String], &[Phone]),
) {
    let mut dice = Dice::new(mix(seed ^ 3263));
    world.dns.delay = features.dns_delay;
    for number in 0..features.servers {
        let server = world.stranger(&format!("server{number}"));
        let (priority, weight) = (dice.below(2), dice.below(3));
        let host = format!("host{number}.example.org");
        world.dns.add(&format!("_sip._udp.example.org SRV {priority} {weight} 5060 {host}"));
        world.dns.add(&format!("{host} A {}", server.address().ip()));
        attitude(&server, features, &mut dice);
        match dice.below(4) {
            0 => server.dies_after(ms(dice.below(15_000))),
            1 => {
                server.dies_after(ms(0));
                world.refusing.push(server.address());
            }
            _ => {}
        }
    }
    for user in users.iter().filter(|_| features.search && features.servers > 0) {
        if dice.chance(200) {
            let there = || Some("sip:bob@example.org".into());
            world.forward(user, |f| (f.busy, f.unreachable) = (there(), there()));
        }
    }
    for _ in 0..features.servers * 2 {
        let at = ms(dice.below(20_000));
        let Some(phone) = pick(phones, &mut dice) else { continue };
        if dice.chance(200) {
            drop(phone.request("MESSAGE", "bob@example.org").at(at));
            continue;
        }
        let mut call = phone.invite("bob@example.org").at(at);
        if dice.chance(600) {
            call = call.hang_up_after(ms(dice.below(12_000)));
        }
        if dice.chance(300) {
            call = call.cancel_after(ms(dice.below(12_000)));
        }
        drop(call);
    }
}

fn people(world: &mut World, features: &Features, dice: &mut Dice) -> (Vec<String>, Vec<Phone>) {
    let mut users = Vec::new();
    let mut phones = Vec::new();
    for user in 0..features.users {
        let user = format!("user{user}");
        for device in 0..dice.between(1, features.devices_max) {
            let stream = features.streams && dice.chance(500);
            let transport = if stream { Transport::Tcp } else { Transport::Udp };
            let name =
                format!("{user}{}", ["", "b", "c", "d"].get(device as usize).unwrap_or(&"x"));
            phones.push(world.phone_of(&name, &user, transport, 0, !dice.chance(100)));
        }
        users.push(user);
    }
    for number in 0..features.natted {
        let user = format!("nat{number}");
        phones.push(world.natted_phone(&user));
        users.push(user);
    }
    for number in 0..features.ipv6 {
        let user = format!("six{number}");
        phones.push(world.ipv6_phone(&user));
        users.push(user);
    }
    for number in 0..features.strangers {
        phones.push(world.stranger(&format!("stranger{number}")));
    }
    users.push("nobody".to_owned());
    (users, phones)
}

fn pick<'a, T>(list: &'a [T], dice: &mut Dice) -> Option<&'a T> {
    list.get(usize::try_from(dice.below(list.len() as u64)).ok()?)
}

/// How a phone treats its calls.
fn attitude(phone: &Phone, features: &Features, dice: &mut Dice) {
    if features.old_phones && dice.chance(400) {
        phone.speaks_rfc2543();
    }
    if dice.chance(200) {
        phone.knows_only_md5();
    }
    if dice.chance(300) {
        phone.forgets_nonces();
    }
    if features.rude && dice.chance(200) {
        phone.dies_after(ms(dice.below(30_000)));
    }
    for _ in 0..dice.between(1, 3) {
        let mut answer: Answer = phone.incoming();
        if dice.chance(200) {
            answer = answer.say_after(ms(dice.below(300)), 100);
        }
        for _ in 0..dice.below(4) {
            let status = dice.one_of(&[180, 183, 182]).unwrap_or(180);
            answer = answer.say_after(ms(dice.below(3_000)), status);
        }
        let final_status =
            dice.one_of(&[200, 200, 200, 200, 486, 480, 404, 503, 500, 603, 401, 407]);
        if !(features.rude && dice.chance(200)) {
            answer = answer.say_after(ms(dice.below(9_000)), final_status.unwrap_or(200));
        }
        if dice.chance(400) {
            answer = answer.hang_up_after(ms(dice.below(10_000)));
        }
        if dice.chance(150) {
            answer = answer.reinvite_after(ms(dice.below(3_000)));
        }
        if features.rude && dice.chance(150) {
            answer = answer.deaf_to_cancel();
        }
        if features.rude && dice.chance(150) {
            answer = answer.never_487();
        }
        if features.rude && dice.chance(80) {
            answer = answer.answers_ack();
        }
        if features.rude && dice.chance(80) {
            answer = answer.ring_after(ms(20)).reject_after(ms(20), 486).insists();
        }
        if features.rude && dice.chance(50) {
            answer = answer.tampers("Via: SIP/2.0/UDP 10.0.0.1", "Via: SIP/2.0/UDP 10.0.0.9");
        }
        drop(answer);
    }
}

fn call(phone: &Phone, whom: &str, features: &Features, dice: &mut Dice) {
    let mut call: Call = phone.invite(&format!("{whom}@example.com")).at(ms(dice.below(20_000)));
    if dice.chance(600) {
        call = call.hang_up_after(ms(dice.below(12_000)));
    }
    if dice.chance(300) {
        call = call.cancel_after(ms(dice.below(12_000)));
    }
    if dice.chance(100) {
        call = call.sdp_in_ack();
    }
    if dice.chance(100) {
        call = call.reinvite_after(ms(dice.below(3_000)));
    }
    if dice.chance(50) {
        call = call.max_forwards(u32::try_from(dice.below(4)).unwrap_or(0));
    }
    if features.rude && dice.chance(100) {
        call = call.never_ack();
    }
    if features.rude && dice.chance(100) && !phone.uses_streams() {
        call = call.repeat_invite(&[ms(3), ms(4), ms(7), ms(20), secs(2)]);
    }
    if features.rude && dice.chance(100) {
        call = call.cancel_blindly_after(ms(dice.below(200)));
    }
    drop(call);
}
