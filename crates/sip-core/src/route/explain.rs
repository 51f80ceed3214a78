//! What would become of a request, room by room, in words: the very rooms are asked, and nothing is sent, counted or
//! remembered. A password is taken to be right.

use core::net::{IpAddr, SocketAddr};
use std::fmt::Write as _;

use bytes::Bytes;
use sip_message::{Message, Request, Uri};

use crate::config::AorBuf;
use crate::dispatcher::route::{Action, CallerId, Gateways, Route, Strategy};
use crate::dispatcher::set::Failover;
use crate::flow::{Flow, ListenerId, Transport};
use crate::rejection::Rejection;
use crate::route::authenticate::Caller;
use crate::route::classify::{self, Place};
use crate::route::condition::{self, Facts, Miss};
use crate::route::screen::{self, Screened};
use crate::route::{dispatch, onward, own};
use crate::turn::Turn;

/// The port of a packet of which only the address is known.
const PORT: u16 = 5060;

/// Which request. `to` and `from` are SIP URIs.
#[derive(Clone, Debug)]
pub struct Question<'q> {
    pub method: &'q str,
    pub to: &'q str,
    /// `None`: somebody elsewhere.
    pub from: Option<&'q str>,
    /// `None`: where `from` is registered, or a gateway is.
    pub source: Option<IpAddr>,
    /// The port, if it counts.
    pub port: Option<u16>,
}

/// One room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub room: &'static str,
    pub text: String,
    /// The line of the file that says so; 0: none does.
    pub line: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    pub steps: Vec<Step>,
    /// What comes of it.
    pub result: String,
    /// It goes somewhere, and is not refused.
    pub goes: bool,
    /// The route that is taken, and the gateway.
    pub route: Option<String>,
    pub gateway: Option<String>,
}

impl Explanation {
    fn step(&mut self, room: &'static str, text: impl Into<String>, line: u32) {
        self.steps.push(Step { room, text: text.into(), line });
    }

    fn refused(mut self, why: &Rejection) -> Self {
        self.result = format!("{} {}", why.status, why.reason);
        self
    }
}

/// The chain for one request; an error if there is no such request.
pub fn explain(turn: &mut Turn<'_>, question: &Question<'_>) -> Result<Explanation, String> {
    let mut told = Explanation::default();
    let flow = arrival(turn, question, &mut told)?;
    let request = request(question, &flow)?;
    let screened = match screen::check(turn, &request) {
        Ok(screened) => screened,
        Err(why) => {
            told.step("screen", why.reason, 0);
            return Ok(told.refused(&why));
        }
    };
    let caller = match caller(turn, &flow, &screened, &mut told) {
        Ok(caller) => caller,
        Err(why) => return Ok(told.refused(&why)),
    };
    if condition::may_route(&request, &screened) {
        let facts = Facts::of(turn, &flow, &request, &screened, caller);
        if let Some(found) = taken(turn, &facts, &mut told) {
            return Ok(carried_out(turn, &facts, found, told));
        }
        let user = facts.user.clone().filter(|_| facts.by_alias);
        return Ok(usual(turn, &facts, user, told));
    }
    let facts = Facts::of(turn, &flow, &request, &screened, caller);
    Ok(usual(turn, &facts, None, told))
}

/// Where it comes in.
fn arrival(
    turn: &Turn<'_>,
    question: &Question<'_>,
    told: &mut Explanation,
) -> Result<Flow, String> {
    let from = question.from.and_then(|from| Uri::parse(from.as_bytes()).ok());
    let aor = from.as_ref().and_then(|from| own::aor(turn.config, from));
    let bindings = aor.as_deref().and_then(|aor| turn.shared.location.lookup(turn.now, aor));
    let registered = bindings.as_ref().and_then(|all| all.iter().next()).map(|b| b.flow());
    let flow = match (question.source, registered) {
        (Some(ip), _) => {
            let remote = SocketAddr::new(ip, question.port.unwrap_or(PORT));
            let listener = turn.config.listener_for(Transport::Udp, remote);
            Flow::udp(listener.unwrap_or(ListenerId(0)), remote)
        }
        (None, Some(flow)) => flow,
        (None, None) => Flow::udp(ListenerId(0), SocketAddr::from(([192, 0, 2, 1], PORT))),
    };
    let listener = turn.config.listener(flow.listener).ok_or("there is no listener")?;
    let mut text = format!("{} {}", flow.transport, listener.address);
    let ip = flow.remote.ip();
    match (question.source, registered) {
        (None, None) => text.push_str(", source unknown (say --source)"),
        _ => {
            let _ = write!(text, ", source {ip}");
        }
    }
    if let (Some(aor), Some(_)) = (&aor, registered.filter(|flow| flow.remote.ip() == ip)) {
        let _ = write!(text, " ({} is registered from here)", &**aor);
    } else if let Some(gateway) =
        turn.config.dispatcher.speaks_from(flow.remote, flow.remote.port())
    {
        let _ = write!(text, " (gateway {})", gateway.name);
    }
    told.step("listener", text, 0);
    Ok(flow)
}

fn request(question: &Question<'_>, flow: &Flow) -> Result<Request, String> {
    let Question { method, to, from, .. } = question;
    let from = from.unwrap_or("sip:somebody@elsewhere.invalid");
    let via = flow.transport.via_token();
    let text = format!(
        "{method} {to} SIP/2.0\r\nVia: SIP/2.0/{via} {};branch=z9hG4bKexplain\r\nMax-Forwards: 70\r\n\
         From: <{from}>;tag=explain\r\nTo: <{to}>\r\nCall-ID: explain\r\nCSeq: 1 {method}\r\n\
         Contact: <{from}>\r\nContent-Length: 0\r\n\r\n",
        flow.remote
    );
    match Message::parse(Bytes::from(text)) {
        Ok(Message::Request(request)) => Ok(request),
        _ => Err(format!("`{to}` is no SIP address")),
    }
}

/// Who asks, as room "authenticate" would find after a right password.
fn caller(
    turn: &Turn<'_>,
    flow: &Flow,
    screened: &Screened<'_>,
    told: &mut Explanation,
) -> Result<Caller, Rejection> {
    if let Some(gateway) = turn.config.dispatcher.speaks_from(flow.remote, flow.remote.port()) {
        let text = format!("not needed: gateway {} is known by its address", gateway.name);
        told.step("auth", text, gateway.line);
        return Ok(Caller::Gateway);
    }
    let Some(aor) = own::aor(turn.config, &screened.head.from_uri) else {
        told.step("auth", "not asked: From is not a domain of ours", 0);
        return Ok(Caller::Foreign);
    };
    if !turn.config.auth.enabled {
        told.step("auth", "off: everybody is believed (auth.enabled = false)", 0);
        return Ok(Caller::User);
    }
    if !turn.shared.accounts.contains(&aor) {
        told.step("auth", format!("needed, and there is no user {}", &*aor), 0);
        return Err(Rejection::proxy_authentication_required(String::new()));
    }
    told.step("auth", format!("needed; {}, if the password is right", &*aor), 0);
    Ok(Caller::User)
}

/// The route that is taken, after those that are not.
fn taken<'c>(turn: &Turn<'c>, facts: &Facts<'_>, told: &mut Explanation) -> Option<&'c Route> {
    for route in turn.config.dispatcher.routes() {
        let asks = asks(route);
        let (verdict, is_it) = match condition::test(turn, route, facts) {
            Ok(_) => ("yes".to_owned(), true),
            Err(why) => (format!("no: {}", because(&why, facts)), false),
        };
        let text = format!("{:?}{asks}  {verdict}", route.name);
        told.step("route", text, route.line);
        if is_it {
            told.route = Some(route.name.to_string());
            return Some(route);
        }
    }
    if turn.config.dispatcher.routes().is_empty() {
        told.step("route", "none: users are called, the rest is refused", 0);
    } else {
        told.step("route", "no other: users are called, the rest is refused", 0);
    }
    None
}

fn because(why: &Miss<'_>, facts: &Facts<'_>) -> String {
    match why {
        Miss::To(_) | Miss::Number => format!("{} is {why}", facts.number),
        _ => why.to_string(),
    }
}

/// What a route asks, shortly.
fn asks(route: &Route) -> String {
    let mut asks = String::new();
    let when = &route.when;
    let mut ask = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            let _ = write!(asks, "  {name} {}", values.join(" or "));
        }
    };
    ask("from =", when.from.iter().map(ToString::to_string).collect());
    ask("to =", when.to.iter().map(ToString::to_string).collect());
    ask("number ~", when.numbers.iter().map(|p| p.as_str().to_owned()).collect());
    ask("source =", when.sources.iter().map(ToString::to_string).collect());
    ask("method =", when.methods.iter().map(|method| method.to_string()).collect());
    ask(
        "header",
        when.headers.iter().map(|(name, p)| format!("{name} ~ {}", p.as_str())).collect(),
    );
    ask("time", if when.hours.is_empty() { vec![] } else { vec!["as written".to_owned()] });
    ask("domain =", when.domains.iter().map(|domain| domain.to_string()).collect());
    asks
}

fn carried_out(
    turn: &Turn<'_>,
    facts: &Facts<'_>,
    route: &Route,
    mut told: Explanation,
) -> Explanation {
    match &route.action {
        Action::Gateways(gateways) => {
            return through(turn, facts, route, gateways, told);
        }
        Action::Ring(ring) => {
            let mut text = match ring.strategy {
                Some(Strategy::Parallel) => "all devices together".to_owned(),
                Some(Strategy::Serial) => "one device after the other".to_owned(),
                _ => "devices by preference".to_owned(),
            };
            if let Some(timeout) = ring.timeout {
                let _ = write!(text, ", for {} s", timeout.as_secs());
            }
            if let Some(uri) = &ring.on_no_answer {
                let _ = write!(text, ", then {uri}");
            }
            told.step("ring", text, route.line);
            let user = ring.user.as_deref().map(AorBuf::from);
            let user = user.or_else(|| facts.user.clone().filter(|_| facts.by_alias));
            if let (None, None, Some(status)) = (&user, &facts.user, ring.otherwise) {
                told.result = format!("{status} {}", dispatch::phrase(status));
                return told;
            }
            return usual(turn, facts, user, told);
        }
        Action::Redirect(Some(template)) => {
            let matched = condition::test(turn, route, facts);
            let to = matched.map(|matched| template.fill(&matched)).unwrap_or_default();
            told.result = format!("302 to {to}");
            told.goes = true;
        }
        Action::Redirect(None) => {
            told.result = "302 to the user's devices".to_owned();
            told.goes = facts.user.is_some();
        }
        Action::Answer(answer) => told.result = format!("{} {}", answer.status, answer.reason),
    }
    told
}

/// Through which gateway, and through which others if it fails.
fn through(
    turn: &Turn<'_>,
    facts: &Facts<'_>,
    route: &Route,
    gateways: &Gateways,
    mut told: Explanation,
) -> Explanation {
    let set = &gateways.set;
    let text = format!("set {}, {}: {}", set.name, set.algorithm.word(), set.describe());
    let line = set
        .members()
        .next()
        .map_or(set.line, |first| if set.line == 0 { first.line } else { set.line });
    told.step("gateways", text, line);
    let Ok(matched) = condition::test(turn, route, facts) else { return told };
    let number = dispatch::number(gateways, &matched);
    let text = match &gateways.number {
        Some(template) => format!("{} becomes {number} ({})", facts.number, template.as_str()),
        None => "none".to_owned(),
    };
    told.step("rewrite", text, route.line);
    let identity = match &gateways.caller_id {
        CallerId::Keep => "what a trusted gateway has said".to_owned(),
        CallerId::Nobody => "nobody is asserted".to_owned(),
        CallerId::User => "the user, to trusted gateways".to_owned(),
        CallerId::Alias => "the user's first other name, to trusted gateways".to_owned(),
        CallerId::Number(number) => format!("{number}, to trusted gateways"),
    };
    told.step("caller id", identity, route.line);
    let key = dispatch::key(set.algorithm, facts);
    let Some(gateway) = set.peek(&key, gateways.urgent) else {
        told.result = format!("{} No Gateway Available", set.all_down.status);
        return told;
    };
    let uri = gateway.uri(number.as_bytes());
    let uri = String::from_utf8_lossy(&uri);
    let method = String::from_utf8_lossy(facts.request.method().as_bytes()).into_owned();
    let others: Vec<&str> = set
        .members()
        .filter(|other| other.name != gateway.name && other.live.is_available())
        .map(|other| &*other.name)
        .collect();
    let next = if others.is_empty() { "no further gateway".into() } else { others.join(", ") };
    let on = occasions(gateways.failover());
    told.result = match on.is_empty() {
        true => format!("{method} {uri} via {}", gateway.name),
        false => format!("{method} {uri} via {}; on {on}: {next}", gateway.name),
    };
    told.goes = true;
    told.gateway = Some(gateway.name.to_string());
    told
}

/// `503, 408 or 2 s silence`.
fn occasions(failover: &Failover) -> String {
    let on = failover.on.to_string();
    let silence = failover.silence.map(|time| format!("{} s silence", time.as_secs_f32()));
    match (on.is_empty(), silence) {
        (_, None) => on,
        (true, Some(silence)) => silence,
        (false, Some(silence)) => format!("{on} or {silence}"),
    }
}

/// As without routes. `user`: somebody else than the Request-URI names.
fn usual(
    turn: &Turn<'_>,
    facts: &Facts<'_>,
    user: Option<AorBuf>,
    mut told: Explanation,
) -> Explanation {
    match classify::place(turn, facts.request, facts.screened, &facts.caller) {
        Err(why) => told.refused(&why),
        Ok(Place::Registrar) => {
            told.result = "to the registrar".to_owned();
            told.goes = true;
            told
        }
        Ok(Place::Server) => {
            told.result = "answered by the server itself".to_owned();
            told.goes = true;
            told
        }
        Ok(Place::Elsewhere) => {
            let uri = String::from_utf8_lossy(facts.screened.uri.raw);
            told.result = format!("to {uri}, as allow_outbound says");
            told.goes = true;
            told
        }
        Ok(Place::User(aor)) => {
            if let Some(user) = &user {
                told.step("alias", format!("{} is {}", &**aor, &**user), 0);
            }
            let aor = user.as_ref().unwrap_or(aor);
            devices(turn, facts, aor, told)
        }
    }
}

/// Where a user is.
fn devices(turn: &Turn<'_>, facts: &Facts<'_>, aor: &str, mut told: Explanation) -> Explanation {
    if let Some(forwards) = turn.shared.accounts.forwards(aor) {
        let mut text = String::from("user's own:");
        for (when, uri) in [
            ("always", &forwards.always),
            ("busy", &forwards.busy),
            ("no answer", &forwards.no_answer.as_ref().map(|(uri, _)| uri.clone())),
            ("unreachable", &forwards.unreachable),
        ] {
            if let Some(uri) = uri {
                let _ = write!(text, " {when} to {uri}");
            }
        }
        told.step("forward", text, 0);
    }
    let bindings = turn.shared.location.lookup(turn.now, aor);
    let contacts: Vec<String> =
        bindings.iter().flat_map(|all| all.iter()).map(|b| b.contact().to_owned()).collect();
    told.step("locate", format!("{aor}: {} devices", contacts.len()), 0);
    let wish = crate::route::disposition::Disposition::of(facts.request);
    if onward::redirects(turn, aor, &facts.caller, wish) {
        told.result = "302 to the user's devices".to_owned();
        told.goes = true;
        return told;
    }
    if contacts.is_empty() {
        let why = if turn.shared.accounts.contains(aor) {
            Rejection::temporarily_unavailable()
        } else {
            facts.caller.unknown_user()
        };
        return told.refused(&why);
    }
    let method = String::from_utf8_lossy(facts.request.method().as_bytes()).into_owned();
    told.result = format!("{method} to {}", contacts.join(", "));
    told.goes = true;
    told
}
