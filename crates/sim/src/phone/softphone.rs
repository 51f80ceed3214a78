//! `Softphone`: a real `sip-core` user agent as a party of a world, beside the scripted phones. Scenarios give it commands at
//! moments and reactions to events; everything it sends goes over the same network and before the same checks.

use std::collections::BTreeMap;

use core::net::SocketAddr;

use bytes::Bytes;
use sip_core::config::Listener;
use sip_core::flow::{ConnectionId, Flow, ListenerId, Transport};
use sip_core::output::ClientToken;
use sip_core::time::{Duration, Instant};
use sip_core::ua::{
    self, Body, By, CallId, CallOptions, Command, Credentials, Event, Input, NextHop,
    ResolveFailure, Secret, Settings, Sizes, UserAgent,
};

use super::Phone;
use super::agent::Out;
use super::draft::Target;

/// What an event makes the user do: commands, each after a while.
pub type Reaction = Box<dyn FnMut(&Event, &mut Desk)>;

/// Where a reaction puts its commands.
#[derive(Default)]
pub struct Desk {
    commands: Vec<(Duration, Command)>,
    calls: u32,
}

impl Desk {
    pub fn after(&mut self, after: Duration, command: Command) {
        self.commands.push((after, command));
    }

    /// A name for one more call: far from those that the user agent gives.
    pub const fn new_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(1_000_000 + self.calls)
    }
}

pub(crate) struct Mind {
    settings: Settings,
    ua: Option<UserAgent>,
    outbox: ua::Outbox,
    desk: Desk,
    plans: BTreeMap<(Instant, u64), Command>,
    planned: u64,
    reactions: Vec<Reaction>,
    /// What names lead to.
    names: BTreeMap<String, Vec<SocketAddr>>,
    pub events: Vec<(Instant, Event)>,
    pub closes: Vec<ConnectionId>,
}

impl Mind {
    pub fn new(user: &str, domain: &str, contact: &str, address: SocketAddr, hop: NextHop) -> Self {
        let listener =
            |transport| Listener { transport, address, advertised: address.to_string().into() };
        let listeners = vec![listener(Transport::Udp), listener(Transport::Tcp)];
        let aor = format!("sip:{user}@{domain}");
        let mut settings = Settings::new(&aor, contact, listeners, Some(hop));
        settings.credentials = vec![Credentials {
            user: user.into(),
            realm: "".into(),
            secret: Secret::Password(user.into()),
        }];
        Self {
            settings,
            ua: None,
            outbox: ua::Outbox::default(),
            desk: Desk::default(),
            plans: BTreeMap::new(),
            planned: 0,
            reactions: Vec::new(),
            names: BTreeMap::new(),
            events: Vec::new(),
            closes: Vec::new(),
        }
    }

    fn ua(&mut self) -> &mut UserAgent {
        let seed = sip_core::seal::Seal::new([3; 16])
            .mac(sip_core::seal::Purpose::Tag, &[self.settings.contact.as_bytes()]);
        self.ua.get_or_insert_with(|| {
            let mut key = [7; 16];
            key[..8].copy_from_slice(&seed.to_le_bytes());
            UserAgent::new(self.settings.clone(), key)
        })
    }

    /// Puts new plans on the clock.
    pub fn adopt(&mut self, now: Instant) {
        for (after, command) in std::mem::take(&mut self.desk.commands) {
            self.planned += 1;
            self.plans.insert((now + after, self.planned), command);
        }
    }

    pub fn next_plan(&self) -> Option<Instant> {
        self.plans.keys().next().map(|(at, _)| *at)
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.ua.as_ref()?.next_deadline()
    }

    pub fn sizes(&self) -> Sizes {
        self.ua.as_ref().map(UserAgent::sizes).unwrap_or_default()
    }

    /// Everything that is due by now.
    pub fn wake(&mut self, now: Instant, out: &mut Vec<Out>) {
        while let Some(entry) = self.plans.first_entry().filter(|e| e.key().0 <= now) {
            let command = entry.remove();
            self.handle(now, Input::Command(command), out);
        }
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.handle(now, Input::Tick, out);
        }
    }

    pub fn receive(&mut self, now: Instant, bytes: &Bytes, from: Target, out: &mut Vec<Out>) {
        let listener = ListenerId(u16::from(from.transport.is_reliable()));
        let (transport, connection, remote) = (from.transport, from.connection, from.address);
        let flow = Flow { transport, listener, connection, remote };
        self.handle(now, Input::Message { flow, bytes: bytes.clone() }, out);
    }

    pub fn send_failed(&mut self, now: Instant, token: ClientToken, out: &mut Vec<Out>) {
        self.handle(now, Input::SendFailed { token }, out);
    }

    pub fn flow_closed(&mut self, now: Instant, connection: ConnectionId, out: &mut Vec<Out>) {
        self.handle(now, Input::FlowClosed { connection }, out);
    }

    fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Out>) {
        let mut outbox = std::mem::take(&mut self.outbox);
        self.ua().handle(now, input, &mut outbox);
        for transmit in outbox.transmits.drain(..) {
            let Flow { transport, connection, remote, .. } = transmit.flow;
            let target = Target { address: remote, transport, connection };
            out.push(Out { target, bytes: transmit.bytes, token: transmit.token });
        }
        self.closes.append(&mut outbox.closes);
        for event in outbox.events.drain(..) {
            let mut reactions = std::mem::take(&mut self.reactions);
            for reaction in &mut reactions {
                reaction(&event, &mut self.desk);
            }
            self.reactions = reactions;
            self.events.push((now, event));
        }
        self.adopt(now);
        let resolves = std::mem::take(&mut outbox.resolves);
        outbox.clear();
        self.outbox = outbox;
        for ua::Resolve { ask, hop } in resolves {
            let flow = |address: &SocketAddr| {
                let transport = hop.transport.unwrap_or(Transport::Udp);
                let listener = ListenerId(u16::from(transport.is_reliable()));
                Flow { transport, listener, connection: ConnectionId::NONE, remote: *address }
            };
            let found = self.names.get(&*hop.host).map(|list| list.iter().map(flow).collect());
            let flows = found.ok_or(ResolveFailure { why: "no such name".into() });
            self.handle(now, Input::Resolved { ask, flows }, out);
        }
    }
}

/// The handle a scenario holds.
#[derive(Clone)]
pub struct Softphone {
    pub phone: Phone,
}

impl Softphone {
    fn mind<T>(&self, act: impl FnOnce(&mut Mind) -> T) -> Option<T> {
        self.phone.agent.borrow_mut().mind.as_deref_mut().map(act)
    }

    /// Before the first call is named.
    ///
    /// # Panics
    /// When it would have no effect any more: a mistake in the scenario.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) -> &Self {
        self.mind(|mind| {
            assert!(mind.ua.is_none(), "the user agent lives already");
            change(&mut mind.settings);
        });
        self
    }

    /// Talks to peers directly: no outbound proxy.
    pub fn without_proxy(&self) -> &Self {
        self.configure(|settings| settings.proxy = None)
    }

    pub fn knows(&self, name: &str, addresses: &[SocketAddr]) -> &Self {
        self.mind(|mind| mind.names.insert(name.to_owned(), addresses.to_vec()));
        self
    }

    pub fn after(&self, after: Duration, command: Command) -> &Self {
        self.mind(|mind| mind.desk.after(after, command));
        self
    }

    pub fn on(&self, reaction: impl FnMut(&Event, &mut Desk) + 'static) -> &Self {
        self.mind(|mind| mind.reactions.push(Box::new(reaction)));
        self
    }

    /// A name for a call that a scenario places with a command of its own.
    pub fn new_call(&self) -> CallId {
        self.mind(|mind| mind.ua().new_call()).unwrap_or(CallId(0))
    }

    /// Calls somebody, with an offer, now.
    pub fn call(&self, to: &str) -> CallId {
        self.call_after(Duration::ZERO, to)
    }

    pub fn call_after(&self, after: Duration, to: &str) -> CallId {
        let call = self.new_call();
        let body = Some(sdp("offer"));
        self.after(
            after,
            Command::Call { call, to: to.into(), body, with: CallOptions::default() },
        );
        call
    }

    pub fn hang_up_after(&self, after: Duration, call: CallId) -> &Self {
        self.after(after, Command::HangUp { call })
    }

    pub fn register(&self, seconds: u64) -> &Self {
        self.after(Duration::ZERO, Command::Register { expires: Duration::from_secs(seconds) })
    }

    /// 180 and 200 to every incoming call, after these times; and an answer to every offer.
    pub fn answers(&self, ring: Duration, answer: Duration) -> &Self {
        self.on(move |event, desk| {
            if let Event::Incoming { call, body, .. } = event {
                let call = *call;
                let kind = if body.is_some() { "answer" } else { "offer" };
                desk.after(ring, Command::Ring { call, status: 180, body: None });
                desk.after(answer, Command::Answer { call, body: Some(sdp(kind)) });
            }
        })
        .agrees()
    }

    /// Answers every offer and every demand for one.
    pub fn agrees(&self) -> &Self {
        self.on(|event, desk| match event {
            Event::Offered { call, body } => {
                let kind = if body.is_some() { "answer" } else { "offer" };
                let body = sdp(kind);
                desk.after(Duration::ZERO, Command::AnswerOffer { call: *call, body });
            }
            Event::Answered { call, acknowledge: true, .. } => {
                let body = Some(sdp("answer"));
                desk.after(Duration::ZERO, Command::Acknowledge { call: *call, body });
            }
            _ => {}
        })
    }

    /// Hangs up its side of every call this long after it was established.
    pub fn hangs_up(&self, after: Duration) -> &Self {
        self.on(move |event, desk| {
            if let Event::Established { call } = event {
                desk.after(after, Command::HangUp { call: *call });
            }
        })
    }

    /// Accepts every REFER, and calls whom it is told to.
    pub fn obeys_referrals(&self) -> &Self {
        self.on(|event, desk| {
            if let Event::Referred { call, to, .. } = event {
                desk.after(Duration::ZERO, Command::AcceptRefer { call: *call });
                let with = CallOptions { referred_by: Some(*call), ..CallOptions::default() };
                let (new, body) = (desk.new_call(), Some(sdp("offer")));
                let to = to.clone();
                desk.after(Duration::ZERO, Command::Call { call: new, to, body, with });
            }
        })
    }

    pub fn offer_after(&self, after: Duration, call: CallId, by: By) -> &Self {
        self.after(after, Command::Offer { call, body: sdp("offer"), by })
    }

    /// Everything it told its user.
    pub fn events(&self) -> Vec<(Instant, Event)> {
        self.mind(|mind| mind.events.clone()).unwrap_or_default()
    }

    /// The same in words: `Trying Ringing/180 Answered Ended/Us`.
    pub fn told(&self) -> String {
        let words: Vec<String> = self.events().iter().map(|(_, event)| word(event)).collect();
        words.join(" ")
    }

    /// What arrived, in order, repetitions left out.
    pub fn heard(&self) -> String {
        self.phone.heard()
    }
}

/// A description nobody reads.
pub fn sdp(what: &str) -> Body {
    Body::sdp(format!("v=0\r\ns={what}\r\n").into_bytes())
}

fn word(event: &Event) -> String {
    match event {
        Event::Incoming { replaces: Some(_), .. } => "Incoming/replacing".to_owned(),
        Event::Incoming { .. } => "Incoming".to_owned(),
        Event::Trying { .. } => "Trying".to_owned(),
        Event::Ringing { status, body, early, .. } => {
            let early = if *early > 0 { format!("#{early}") } else { String::new() };
            let body = if body.is_some() { "+sdp" } else { "" };
            format!("Ringing/{status}{body}{early}")
        }
        Event::Answered { acknowledge: true, .. } => "Answered/offer".to_owned(),
        Event::Answered { early, .. } if *early > 0 => format!("Answered#{early}"),
        Event::Answered { .. } => "Answered".to_owned(),
        Event::Challenged { code, algorithm, .. } => {
            format!("Challenged/{code}/{}", algorithm.token())
        }
        Event::Redirected { to, .. } => format!("Redirected/{to}"),
        Event::Established { .. } => "Established".to_owned(),
        Event::Failed { why, .. } => format!("Failed({why})"),
        Event::Ended { by, .. } => format!("Ended/{by:?}"),
        Event::Offered { body, .. } => if body.is_some() { "Offered" } else { "Asked" }.to_owned(),
        Event::OfferAnswered { .. } => "OfferAnswered".to_owned(),
        Event::OfferRefused { why, .. } => format!("OfferRefused({why})"),
        Event::Referred { attended: true, .. } => "Referred/attended".to_owned(),
        Event::Referred { .. } => "Referred".to_owned(),
        Event::ReferProgress { status, .. } => format!("ReferProgress/{status}"),
        Event::ReferDone { outcome: Ok(status), .. } => format!("ReferDone/{status}"),
        Event::ReferDone { outcome: Err(why), .. } => format!("ReferDone({why})"),
        Event::InfoReceived { .. } => "InfoReceived".to_owned(),
        Event::InfoAnswered { outcome: Ok(()), .. } => "InfoAnswered".to_owned(),
        Event::InfoAnswered { outcome: Err(why), .. } => format!("InfoAnswered({why})"),
        Event::SessionTimer { interval, ours, .. } => {
            let who = if *ours { "ours" } else { "theirs" };
            format!("SessionTimer/{}/{who}", interval.as_secs())
        }
        Event::Registered(report) => {
            let again = if report.again { "again" } else { "Registered" };
            format!(
                "{again}/{}/{} contacts/{} sent",
                report.expires.as_secs(),
                report.contacts.len(),
                report.round_trips
            )
        }
        Event::RegistrationFailed { why, retry } => match retry {
            Some(_) => format!("RegistrationFailed({why}), again later"),
            None => format!("RegistrationFailed({why})"),
        },
        Event::Unregistered => "Unregistered".to_owned(),
        Event::MessageReceived { .. } => "MessageReceived".to_owned(),
        Event::Response { status, .. } => format!("Response/{status}"),
        Event::RequestFailed { why, .. } => format!("RequestFailed({why})"),
    }
}
