//! Gateways, sets and routes together: what is named must exist, what is written must be reachable, and nobody shall find
//! a way to somebody else's money by accident.

use sip_core::dispatcher::hash::MEMBERS_MAX;
use sip_core::dispatcher::route::{Source, Who, Whom};
use sip_core::dispatcher::set::{Algorithm, Key};
use sip_core::locate::Place;

use super::file::{At, Written};
use super::gateway::{self, Gateway};
use super::meaning::{DomainChoice, Listen};
use super::mistake::{Mistake, nearest};
use super::route::{self, Action, Route};
use super::set::{self, Set};

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Dispatch {
    pub gateways: Vec<Gateway>,
    pub sets: Vec<Set>,
    pub routes: Vec<Route>,
    /// Seconds east of Greenwich.
    pub utc_offset: i32,
}

/// What a stateless proxy forwards to.
#[derive(Clone, Debug)]
pub struct Balance {
    pub set: String,
    /// Where requests may come from; everywhere, if empty.
    pub sources: Vec<Source>,
    pub record_route: bool,
}

impl Dispatch {
    pub fn members(&self, set: &str) -> impl Iterator<Item = &Gateway> {
        self.gateways.iter().filter(move |gateway| gateway.set == set)
    }

    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}

/// What the rest of the file has to say about it.
pub struct Around<'s> {
    pub listen: &'s [Listen],
    pub domains: &'s DomainChoice,
    pub auth_enabled: bool,
}

pub fn read(written: &mut Written<'_>, around: &Around<'_>) -> (Dispatch, Option<Balance>) {
    let mode = mode(written);
    let record_route = written.boolean("sip", "record_route");
    let gateways = gateway::read(written);
    let sets = set::read(written);
    let routes = route::read(written);
    let utc_offset = utc_offset(written);
    if gateways.len() > MEMBERS_MAX {
        let message = format!("{} gateways, and {MEMBERS_MAX} are possible", gateways.len());
        written.mistakes.push(Mistake::error("too-many", message));
    }
    for gateway in &gateways {
        gateway::check_way(written, gateway, around.listen);
    }
    check_names(written, around, &gateways, &sets, &routes);
    check_order(written, &routes);
    let mut dispatch = Dispatch {
        gateways: gateways.into_iter().map(|at| at.value).collect(),
        sets: sets.into_iter().map(|at| at.value).collect(),
        routes,
        utc_offset,
    };
    for gateway in &dispatch.gateways {
        if !dispatch.sets.iter().any(|set| set.name == gateway.set) {
            dispatch.sets.push(Set::unwritten(&gateway.set));
        }
    }
    let Some(mode) = mode else {
        check_relay(written, around, &dispatch.routes);
        if let Some(at) = record_route {
            let mistake =
                Mistake::warning("needs-stateless", "`sip.record_route` changes nothing here")
                    .at(at.span)
                    .label("a stateful proxy always stays on the path of a call");
            written.mistakes.push(mistake);
        }
        return (dispatch, None);
    };
    needs_state(written, &dispatch);
    let balance = balance(written, &mode, &mut dispatch);
    let record_route = record_route.is_some_and(|at| at.value);
    (dispatch, balance.map(|balance| Balance { record_route, ..balance }))
}

/// `None`: the usual one.
fn mode(written: &mut Written<'_>) -> Option<At<String>> {
    let mode = written.text("sip", "mode", "\"stateful\" or \"stateless\"")?;
    match mode.value.as_str() {
        "stateful" => None,
        "stateless" => Some(mode),
        other => {
            let near = nearest(other, &["stateful", "stateless"]);
            let label =
                near.map_or("stateful or stateless".to_owned(), |n| format!("did you mean `{n}`?"));
            let message = format!("`sip.mode` cannot be `{other}`");
            let mistake = Mistake::error("unknown-word", message).at(mode.span).label(label);
            written.mistakes.push(mistake);
            None
        }
    }
}

/// `"+01:00"`.
fn utc_offset(written: &mut Written<'_>) -> i32 {
    let Some(at) = written.text("sip", "utc_offset", "a string such as \"+01:00\"") else {
        return 0;
    };
    let offset = || {
        let sign = match at.value.get(..1)? {
            "+" => 1,
            "-" => -1,
            _ => return None,
        };
        let (hours, minutes) = at.value.get(1..)?.split_once(':')?;
        let two = |digits: &str| {
            let is_two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<i32>().ok().filter(|_| is_two)
        };
        let (hours, minutes) = (two(hours)?, two(minutes)?);
        (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    };
    offset().unwrap_or_else(|| {
        let message = format!("`sip.utc_offset` cannot be `{}`", at.value);
        let mistake = Mistake::error("bad-offset", message).at(at.span.clone());
        written.mistakes.push(mistake.label("hours and minutes east of Greenwich, as in +01:00"));
        0
    })
}

/// What is named must exist.
fn check_names(
    written: &mut Written<'_>,
    around: &Around<'_>,
    gateways: &[At<Gateway>],
    sets: &[At<Set>],
    routes: &[Route],
) {
    let mut used: Vec<(&str, u32)> =
        gateways.iter().map(|at| (at.value.set.as_str(), at.value.line)).collect();
    used.sort_unstable();
    used.dedup_by_key(|(name, _)| *name);
    let names: Vec<&str> = used.iter().map(|(name, _)| *name).collect();
    let mut unknown_set = |name: &str, message: String, at: &gateway::Span| {
        if names.contains(&name) {
            return;
        }
        let places: Vec<String> =
            used.iter().map(|(name, line)| format!("{name} (line {line})")).collect();
        let label = match nearest(name, &names) {
            Some(near) => format!("did you mean `{near}`? sets here: {}", places.join(", ")),
            None if places.is_empty() => "no gateway names a set".to_owned(),
            None => format!("sets here: {}", places.join(", ")),
        };
        let mistake = Mistake::error("unknown-set", message).at(at.clone()).label(label);
        written.mistakes.push(mistake);
    };
    for at in sets {
        let name = &at.value.name;
        unknown_set(name, format!("the set `{name}` has no gateway"), &at.span);
    }
    for route in routes {
        if let Action::Gateways { set, .. } = &route.action {
            let name = &route.name;
            let message = format!("route \"{name}\" sends to set `{set}`, which does not exist");
            unknown_set(set, message, &route.set_at);
        }
    }
    let known: Vec<&str> = gateways.iter().map(|at| at.value.name.as_str()).collect();
    for (route, at) in routes.iter().flat_map(|r| r.gateways.iter().map(move |at| (r, at))) {
        if !known.contains(&at.value.as_str()) {
            let label = match nearest(&at.value, &known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("gateways here: {}", known.join(", ")),
            };
            let message = format!("route \"{}\" asks for gateway `{}`", route.name, at.value);
            let mistake = Mistake::error("unknown-gateway", message + ", which does not exist");
            written.mistakes.push(mistake.at(at.span.clone()).label(label));
        }
    }
    let DomainChoice::Named(served) = around.domains else { return };
    for at in routes.iter().flat_map(|route| &route.domains) {
        if !served.iter().any(|name| name.eq_ignore_ascii_case(&at.value)) {
            let message = format!("`{}` is not a domain of ours", at.value);
            let mistake = Mistake::error("unknown-domain", message).at(at.span.clone());
            written.mistakes.push(mistake.label(format!("sip.domains: {}", served.join(", "))));
        }
    }
}

/// Behind a route that takes everything there is nothing.
fn check_order(written: &mut Written<'_>, routes: &[Route]) {
    let mut before: Option<&Route> = None;
    for route in routes {
        if let Some(before) = before {
            let message = format!("route \"{}\" can never be reached", route.name);
            let label = format!("\"{}\" (line {}) takes everything", before.name, before.line);
            let mistake = Mistake::error("unreachable", message).at(route.span.clone());
            written.mistakes.push(mistake.label(label));
        } else if takes_everything(route) {
            before = Some(route);
        }
    }
}

fn takes_everything(route: &Route) -> bool {
    let when = &route.when;
    let is_for_all = when.from.is_empty() || when.from.contains(&Who::Any);
    is_for_all
        && (when.to.is_empty() || when.to.contains(&Whom::Any))
        && when.numbers.is_empty()
        && when.sources.is_empty()
        && when.methods.is_empty()
        && when.headers.is_empty()
        && when.hours.is_empty()
        && when.domains.is_empty()
}

/// A stolen minute to a premium number is somebody's bill.
fn check_relay(written: &mut Written<'_>, around: &Around<'_>, routes: &[Route]) {
    for route in routes {
        if !matches!(route.action, Action::Gateways { .. }) || !route.when.sources.is_empty() {
            continue;
        }
        let says_so = route.when.from.contains(&Who::Any);
        if !says_so && around.auth_enabled {
            continue;
        }
        let why = if says_so { "from = \"any\"" } else { "auth.enabled = false" };
        let message = format!("anybody may call by route \"{}\", at your expense", route.name);
        let mistake = Mistake::warning("open-relay", message).at(route.span.clone());
        let mistake = mistake.label(format!("{why}, and no `source`"));
        written.mistakes.push(mistake.help("write from = \"user\", or source = \"trusted\""));
    }
}

/// What a proxy without memory cannot do.
fn needs_state(written: &mut Written<'_>, dispatch: &Dispatch) {
    let mut note = |at: &gateway::Span, message: &str, label: &str| {
        let mistake = Mistake::error("needs-state", message).at(at.clone()).label(label);
        let help = "a stateless proxy knows no calls: sip.mode = \"stateful\" for that";
        written.mistakes.push(mistake.help(help));
    };
    let failovers = dispatch.sets.iter().map(|set| &set.failover_at);
    let failovers = failovers.chain(dispatch.routes.iter().map(|route| &route.failover_at));
    for at in failovers.filter(|at| at.is_some()) {
        let message = "a stateless proxy cannot turn to another gateway within a call";
        note(at, message, "the probes of the set move the next call");
    }
    for gateway in &dispatch.gateways {
        if let Place::Name(_) = gateway.place {
            let message = format!("gateway `{}` has a name", gateway.name);
            note(&gateway.span, &message, "an address: a stateless proxy finds no names out");
        }
    }
    for set in &dispatch.sets {
        if set.algorithm_at.is_some() && set.algorithm != Algorithm::Hash(Key::CallId) {
            let message = format!("the algorithm {} needs memory", set.algorithm.word());
            note(&set.algorithm_at, &message, "hash:call-id is the one that needs none");
        }
    }
    for route in &dispatch.routes {
        if !matches!(&route.action, Action::Gateways { number: None, .. }) {
            let message = format!("route \"{}\" does more than name a set", route.name);
            note(&route.span, &message, "a stateless proxy only forwards");
        } else if !takes_everything(&Route { when: asked(route), ..route.clone() }) {
            let message = format!("route \"{}\" asks for more than a source", route.name);
            note(&route.span, &message, "a stateless proxy reads nothing else");
        }
    }
}

/// Its conditions but for the source.
fn asked(route: &Route) -> sip_core::dispatcher::route::When {
    sip_core::dispatcher::route::When { sources: Vec::new(), ..route.when.clone() }
}

/// The set that everything goes to: the first route's, or the only one there is.
fn balance(
    written: &mut Written<'_>,
    mode: &At<String>,
    dispatch: &mut Dispatch,
) -> Option<Balance> {
    for set in &mut dispatch.sets {
        set.algorithm = Algorithm::Hash(Key::CallId);
    }
    if let Some(route) = dispatch.routes.get(1) {
        let message = format!("route \"{}\" can never be reached", route.name);
        if !written.mistakes.iter().any(|m| m.code == "unreachable") {
            let mistake = Mistake::error("unreachable", message).at(route.span.clone());
            written.mistakes.push(mistake.label("a stateless proxy has one set"));
        }
    }
    let first = dispatch.routes.first().and_then(|route| match &route.action {
        Action::Gateways { set, .. } => Some((set.clone(), route.when.sources.clone())),
        _ => None,
    });
    let (set, sources) = match (first, dispatch.sets.as_slice()) {
        (Some(first), _) => first,
        (None, [only]) => (only.name.clone(), Vec::new()),
        (None, sets) => {
            let message = "a stateless proxy must know where to".to_owned();
            let label = match sets {
                [] => "write a `[[gateway]]` with name, set and uri".to_owned(),
                _ => "write a `[[route]]` with do = { set = \"NAME\" }".to_owned(),
            };
            let span = mode.span.clone();
            written.mistakes.push(Mistake::error("no-route", message).at(span).label(label));
            return None;
        }
    };
    Some(Balance { set, sources, record_route: false })
}
