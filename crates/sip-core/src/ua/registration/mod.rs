//! Registration (RFC 3261 §10.2) with everything that keeps it: refresh, 423, retries that come later each time
//! (RFC 5626 §4.5), CRLF keep-alive of the stream it came by (§4.4.1), and a new one when that stream is gone. `machine`
//! decides, this file acts.

pub(crate) mod machine;

use sip_message::{Contacts, Name, NameAddr, Response, Uri, uri};

use core::net::{IpAddr, SocketAddr};

use crate::flow::{ConnectionId, Flow};
use crate::time::{Duration, Instant};

use super::draft::{Draft, Lines, name_addr};
use super::event::{self, Failure, RegisteredContact};
use super::exchange::{ExchangeId, Outcome, Owner};
use super::outcome::failure;
use super::stack::Turn;
use machine::{Action, Event, State};

/// RFC 5626 §4.5: the first wait after a failure, and the longest.
const RETRY_FIRST: Duration = Duration::from_secs(30);
const RETRY_LAST: Duration = Duration::from_secs(1800);
/// A refresh is sent this long before the binding ends: it may time out once and be sent again.
const MARGIN: Duration = Duration::from_secs(40);
/// RFC 5626 §4.4.1: how long the answer to a keep-alive may take.
const PONG: Duration = Duration::from_secs(10);
/// 423s in a row that are believed.
const BRIEF_MAX: u32 = 3;
const PING: &[u8] = b"\r\n\r\n";

#[derive(Default)]
pub(super) struct Registration {
    state: State,
    /// Of every REGISTER from here (RFC 3261 §10.2: "SHOULD use the same Call-ID").
    call_id: Box<str>,
    tag: Box<str>,
    cseq: u32,
    wanted: Duration,
    granted: Duration,
    /// The removal is of all bindings.
    is_all: bool,
    briefs: u32,
    failures: u32,
    /// When to refresh or to try again.
    due: Option<Instant>,
    exchange: Option<ExchangeId>,
    was_registered: bool,
    /// The REGISTERs and the time that the present attempt has taken before its last exchange.
    tries: u32,
    began: Option<Instant>,
    flow: Option<Flow>,
    ping_at: Option<Instant>,
    pong_by: Option<Instant>,
    /// The registrar's side has answered a keep-alive once: from then on it must.
    answers_pings: bool,
}

impl Registration {
    pub fn register(&mut self, turn: &mut Turn<'_>, expires: Duration) {
        self.wanted = expires;
        self.step(turn, Event::Register, None);
    }

    pub fn unregister(&mut self, turn: &mut Turn<'_>, is_all: bool) {
        self.is_all = is_all;
        self.step(turn, Event::Unregister, None);
    }

    /// RFC 3261 §10.2.3: "a REGISTER request without a Contact header field".
    pub fn query(&mut self, turn: &mut Turn<'_>) {
        let mut draft = self.draft(turn, Lines::default());
        draft.call_id = turn.stack.mint.call_id().as_bytes().into();
        send(turn, draft, Owner::Query);
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        [self.due, self.ping_at, self.pong_by].into_iter().flatten().min()
    }

    pub fn tick(&mut self, turn: &mut Turn<'_>) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= turn.now);
        let (due, pong, ping) = (is_due(self.due), is_due(self.pong_by), is_due(self.ping_at));
        if due {
            self.due = None;
            self.step(turn, Event::Due, None);
        }
        if pong {
            // RFC 5626 §4.4.1: "If the client does not receive a "pong" in response to its "ping" within 10 seconds [...]
            // it MUST treat the flow as failed."
            self.pong_by = None;
            if let Some(flow) = self.flow {
                turn.out.closes.push(flow.connection);
                self.flow_closed(turn, flow.connection);
            }
        } else if ping {
            self.ping(turn);
        }
    }

    fn ping(&mut self, turn: &mut Turn<'_>) {
        self.ping_at = None;
        let Some(flow) = self.flow else { return };
        turn.stack.wire.send(flow, bytes::Bytes::from_static(PING));
        if self.answers_pings {
            self.pong_by = Some(turn.now + PONG);
        }
        self.arm_ping(turn);
    }

    /// RFC 5626 §4.4.1: at a random moment of the last fifth of the interval.
    fn arm_ping(&mut self, turn: &mut Turn<'_>) {
        let every = turn.settings.keep_alive;
        let is_stream = self.flow.is_some_and(|f| f.connection != ConnectionId::NONE);
        self.ping_at = (is_stream && !every.is_zero())
            .then(|| turn.now + turn.stack.mint.between(every * 4 / 5, every));
    }

    /// Only CRLFs came: the answer to a keep-alive, or one to be answered (RFC 5626 §3.5.1).
    pub fn blank(&mut self, turn: &mut Turn<'_>, flow: &Flow, bytes: &[u8]) {
        if bytes == PING {
            turn.stack.wire.send(*flow, bytes::Bytes::from_static(b"\r\n"));
        } else if flow.connection != ConnectionId::NONE
            && self.flow.is_some_and(|ours| ours.connection == flow.connection)
        {
            self.answers_pings = true;
            self.pong_by = None;
        }
    }

    pub fn flow_closed(&mut self, turn: &mut Turn<'_>, connection: ConnectionId) {
        let is_ours = |flow: &Flow| flow.connection == connection;
        if connection != ConnectionId::NONE && self.flow.as_ref().is_some_and(is_ours) {
            self.flow = None;
            (self.ping_at, self.pong_by, self.answers_pings) = (None, None, false);
            self.step(turn, Event::FlowLost, None);
        }
    }

    /// What became of a REGISTER, `from` where its answer came.
    pub fn answered(
        &mut self,
        turn: &mut Turn<'_>,
        id: ExchangeId,
        outcome: Outcome<'_>,
        from: Option<&Flow>,
    ) {
        if self.exchange != Some(id) {
            return;
        }
        if let Outcome::Response(response) = outcome
            && response.status() < 200
        {
            return;
        }
        self.exchange = None;
        if let Some(exchange) = turn.stack.exchanges.get(&id) {
            self.cseq = exchange.draft.cseq;
            self.tries += exchange.tries;
        }
        let (event, why) = match outcome {
            Outcome::Response(response) if response.status() < 300 => {
                return self.accepted(turn, id, response, from);
            }
            Outcome::Response(response) if response.status() == 423 && self.lengthen(response) => {
                (Event::Brief, None)
            }
            Outcome::Response(response) => (severity(response), Some(failure(response))),
            Outcome::Failure(why @ (Failure::Timeout { .. } | Failure::Transport { .. })) => {
                (Event::Failed, Some(why.clone()))
            }
            Outcome::Failure(why @ Failure::Unresolvable { .. }) => {
                (Event::Failed, Some(why.clone()))
            }
            Outcome::Failure(why) => (Event::Refused, Some(why.clone())),
        };
        self.step(turn, event, why);
    }

    /// RFC 3261 §10.2.8: the registrar wants longer intervals.
    fn lengthen(&mut self, response: &Response) -> bool {
        let least = response.header(Name::MinExpires).and_then(|v| core::str::from_utf8(v).ok());
        let Some(least) = least.and_then(|v| v.trim().parse().ok()).map(Duration::from_secs) else {
            return false;
        };
        self.briefs += 1;
        let is_longer = least > self.wanted && self.briefs <= BRIEF_MAX;
        if is_longer {
            self.wanted = least;
        }
        is_longer
    }

    fn accepted(
        &mut self,
        turn: &mut Turn<'_>,
        id: ExchangeId,
        response: &Response,
        from: Option<&Flow>,
    ) {
        self.flow = from.copied();
        (self.briefs, self.failures) = (0, 0);
        let report = report(turn, id, response, from, self.wanted);
        if let Some(mut report) = report {
            self.granted = report.expires;
            report.round_trips = self.tries;
            report.again = self.was_registered;
            if let Some(began) = self.began {
                report.took = turn.now.since(began);
            }
            self.act(turn, Event::Accepted, None, Some(report));
        }
        if self.state == State::Registered {
            self.was_registered = true;
            self.arm_ping(turn);
        } else {
            self.flow = None;
            self.was_registered = false;
            (self.ping_at, self.pong_by) = (None, None);
        }
        (self.tries, self.began) = (0, None);
    }

    fn step(&mut self, turn: &mut Turn<'_>, event: Event, why: Option<Failure>) {
        self.act(turn, event, why, None);
    }

    fn act(
        &mut self,
        turn: &mut Turn<'_>,
        event: Event,
        mut why: Option<Failure>,
        mut report: Option<Box<event::Registration>>,
    ) {
        let (state, actions) = self.state.on_event(event);
        self.state = state;
        for action in actions {
            match action {
                Action::Send => {
                    let lines = self.contact(turn, self.wanted);
                    self.send(turn, lines);
                }
                Action::SendRemoval => {
                    let lines = self.removal(turn);
                    self.send(turn, lines);
                }
                Action::Disarm => self.due = None,
                Action::ArmRefresh => {
                    let early = MARGIN.min(self.granted / 2);
                    self.due = Some(turn.now + self.granted.saturating_sub(early));
                }
                Action::ArmRetry => {
                    let asked = match why {
                        Some(Failure::Status { retry_after, .. }) => retry_after,
                        _ => None,
                    };
                    self.due = Some(turn.now + asked.unwrap_or_else(|| self.retry(turn)));
                    self.failures += 1;
                }
                Action::TellRegistered => {
                    if let Some(report) = report.take() {
                        turn.tell(event::Event::Registered(report));
                    }
                }
                Action::TellFailed => {
                    (self.tries, self.began, self.was_registered) = (0, None, false);
                    if let Some(why) = why.take() {
                        let retry = self.due.map(|due| due.since(turn.now));
                        turn.tell(event::Event::RegistrationFailed { why, retry });
                    }
                }
                Action::TellUnregistered => turn.tell(event::Event::Unregistered),
            }
        }
    }

    /// RFC 5626 §4.5: between half and all of an interval that doubles.
    fn retry(&self, turn: &mut Turn<'_>) -> Duration {
        let longest = RETRY_LAST.min(RETRY_FIRST * (1 << self.failures.min(6)));
        turn.stack.mint.between(longest / 2, longest)
    }

    fn contact(&self, turn: &Turn<'_>, expires: Duration) -> Lines {
        let mut lines = Lines::default();
        let seconds = expires.as_secs();
        let contact = &turn.settings.contact;
        match &turn.settings.instance {
            Some(instance) => {
                lines.push(
                    "Contact",
                    format_args!(
                        "<{contact}>;expires={seconds};+sip.instance=\"{instance}\";reg-id=1"
                    ),
                );
                lines.push("Supported", "outbound, path");
            }
            None => lines.push("Contact", format_args!("<{contact}>;expires={seconds}")),
        }
        lines.push("Expires", seconds);
        lines
    }

    /// RFC 3261 §10.2.2: `*` "MUST NOT" come without an Expires of zero.
    fn removal(&self, turn: &Turn<'_>) -> Lines {
        if !self.is_all {
            return self.contact(turn, Duration::ZERO);
        }
        let mut lines = Lines::default();
        lines.push("Contact", "*");
        lines.push("Expires", 0);
        lines
    }

    fn send(&mut self, turn: &mut Turn<'_>, lines: Lines) {
        self.began.get_or_insert(turn.now);
        self.cseq = self.cseq.saturating_add(1);
        let draft = self.draft(turn, lines);
        self.exchange = Some(send(turn, draft, Owner::Registration));
    }

    /// RFC 3261 §10.2.
    fn draft(&mut self, turn: &mut Turn<'_>, mut lines: Lines) -> Draft {
        if self.call_id.is_empty() {
            (self.call_id, self.tag) = (turn.stack.mint.call_id(), turn.stack.mint.tag());
        }
        let settings = turn.settings;
        let home = Uri::parse(settings.aor.as_bytes()).ok();
        let home = home.map(|aor| String::from_utf8_lossy(aor.host_bytes).into_owned());
        let registrar = settings.registrar.as_deref().map(str::to_owned);
        let uri = registrar.unwrap_or_else(|| format!("sip:{}", home.unwrap_or_default()));
        let party = name_addr(settings.display.as_deref(), &settings.aor);
        lines.push("Allow", super::admit::ALLOW);
        super::headers::usual(settings, &mut lines);
        Draft {
            method: "REGISTER".into(),
            uri: uri.into_bytes().into(),
            routes: Vec::new(),
            from: format!("{party};tag={}", self.tag).into_bytes().into(),
            to: party.into_bytes().into(),
            call_id: self.call_id.as_bytes().into(),
            cseq: self.cseq.max(1),
            lines,
            body: None,
        }
    }
}

fn send(turn: &mut Turn<'_>, draft: Draft, owner: Owner) -> ExchangeId {
    let next = draft.uri.clone();
    turn.send(draft, &next, owner)
}

/// Whether a refusal may pass by itself.
fn severity(response: &Response) -> Event {
    match response.status() {
        408 | 480 | 500..=504 | 513..=599 => Event::Failed,
        _ => Event::Refused,
    }
}

/// What a query found, or a REGISTER achieved.
pub(super) fn report(
    turn: &Turn<'_>,
    id: ExchangeId,
    response: &Response,
    from: Option<&Flow>,
    wanted: Duration,
) -> Option<Box<event::Registration>> {
    let exchange = turn.stack.exchanges.get(&id)?;
    let contacts = contacts(turn, response);
    let ours = contacts.iter().find(|contact| contact.ours).map(|contact| contact.expires);
    // §10.2.4: without an own value, that of the Expires header, or what was asked for.
    let general = response.expires().map(|seconds| Duration::from_secs(seconds.into()));
    Some(Box::new(event::Registration {
        expires: ours.or(general).unwrap_or(wanted),
        contacts,
        seen: seen(response),
        flow: from.copied().or(exchange.flow)?,
        round_trips: exchange.tries,
        took: turn.now.since(exchange.began),
        algorithm: turn.stack.keyring.algorithm(&exchange.asked, exchange.flow.as_ref()),
        again: false,
    }))
}

/// RFC 3261 §10.3 step 8: the 200 lists every binding.
fn contacts(turn: &Turn<'_>, response: &Response) -> Vec<RegisteredContact> {
    let Ok(Contacts::List(list)) = response.contacts() else { return Vec::new() };
    let general = response.expires().unwrap_or(3600);
    let own = Uri::parse(turn.settings.contact.as_bytes()).ok();
    let read = |contact: NameAddr<'_>| RegisteredContact {
        uri: String::from_utf8_lossy(contact.uri_bytes()).into_owned().into(),
        expires: Duration::from_secs(contact.expires().unwrap_or(general).into()),
        ours: match (&own, contact.uri()) {
            (Some(own), Ok(found)) => uri::equivalent(own, &found),
            _ => false,
        },
    };
    list.map_while(Result::ok).map(read).collect()
}

/// RFC 3581 §4: the address and port that the first hop wrote into our Via.
fn seen(response: &Response) -> Option<SocketAddr> {
    let via = response.via().ok()?;
    let received = via.received.and_then(|ip| core::str::from_utf8(ip).ok());
    let ip: Option<IpAddr> = received.and_then(|ip| ip.trim_matches(['[', ']']).parse().ok());
    let ip = ip.or_else(|| via.host.ip())?;
    let port = via.rport.flatten().or(via.port)?;
    Some(SocketAddr::new(ip, port))
}
