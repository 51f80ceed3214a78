//! `[[route]]`: when it is taken (`when`), and what is then done (`do`).

use std::time::Duration;

use sip_core::config::Network;
use sip_core::dispatcher::hours::Hours;
use sip_core::dispatcher::number::{Pattern, Template};
use sip_core::dispatcher::route::{Answer, CallerId, Ring, Source, Strategy, When, Who, Whom};
use sip_core::dispatcher::set::Failover;
use sip_core::forwarding;
use sip_core::route::dispatch::phrase;

use super::file::{At, Written};
use super::gateway::{Span, number};
use super::meaning::read_period;
use super::mistake::{Mistake, nearest};
use super::part::Part;
use super::set::failover;

/// One `[[route]]`. Users are as they were written; who they are is known when the domains are.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: String,
    pub when: When,
    pub action: Action,
    pub line: u32,
    pub span: Span,
    /// What it names, to be looked up: sets, gateways, domains.
    pub set_at: Span,
    pub gateways: Vec<At<String>>,
    pub domains: Vec<At<String>>,
    pub failover_at: Span,
}

#[derive(Clone, Debug)]
pub enum Action {
    Ring(Ring),
    Gateways {
        set: String,
        number: Option<Template>,
        caller_id: CallerId,
        urgent: bool,
        failover: Option<Failover>,
    },
    Redirect(Option<Template>),
    Answer(Answer),
}

const WHEN: [&str; 9] =
    ["from", "to", "number", "source", "method", "header", "time", "domain", "from_gateway"];
const DO: [&str; 14] = [
    "ring",
    "strategy",
    "timeout",
    "on_no_answer",
    "user_by_alias",
    "otherwise",
    "set",
    "number",
    "caller_id",
    "priority",
    "failover_on",
    "redirect",
    "answer",
    "reason",
];

pub fn read(written: &mut Written<'_>) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for part in written.parts("route", &["name", "when", "do"]) {
        let Some(mut route) = Reader::new(written, &part).route() else { continue };
        if route.name.is_empty() {
            route.name = format!("route {}", routes.len() + 1);
        } else if let Some(twin) = routes.iter().find(|other| other.name == route.name) {
            let message = format!("two routes are called `{}`", twin.name);
            let mistake = Mistake::error("twice", message).at(Some(part.span)).label("rename one");
            written.mistakes.push(mistake);
        }
        routes.push(route);
    }
    routes
}

struct Reader<'w, 'a> {
    written: &'w mut Written<'a>,
    part: &'w Part<'a>,
    gateways: Vec<At<String>>,
    domains: Vec<At<String>>,
    /// Groups of the pattern with the fewest.
    groups: usize,
}

impl<'w, 'a> Reader<'w, 'a> {
    fn new(written: &'w mut Written<'a>, part: &'w Part<'a>) -> Self {
        Self { written, part, gateways: Vec::new(), domains: Vec::new(), groups: 0 }
    }

    fn route(mut self) -> Option<Route> {
        let part = self.part;
        let name = self.written.part_text(part, "name", "a string");
        let when = "a table such as { to = \"user\" }";
        let when = match self.written.inner(part, "when", &WHEN, when) {
            Some(when) => self.when(&when),
            None if part.has("when") => return None,
            None => When::default(),
        };
        if !part.has("do") {
            let mistake = Mistake::error("missing", "this route does nothing")
                .at(Some(part.span.clone()))
                .label("add do = { set = \"...\" }, or ring, redirect, answer");
            self.written.mistakes.push(mistake);
        }
        let wanted = "a table such as { set = \"pstn\" }";
        let action = self.written.inner(part, "do", &DO, wanted)?;
        let at = |texts: Option<&At<String>>| texts.and_then(|at| at.span.clone());
        let set = self.written.part_text(&action, "set", "the name of a set");
        let failover = self.written.part_texts(&action, "failover_on");
        let failover_at = at(failover.as_ref().and_then(|texts| texts.first()));
        let set_at = at(set.as_ref());
        let action = self.action(&action, set, failover)?;
        Some(Route {
            name: name.map(|at| at.value).unwrap_or_default(),
            when,
            action,
            line: self.written.line(Some(&part.span)),
            span: Some(part.span.clone()),
            set_at,
            gateways: self.gateways,
            domains: self.domains,
            failover_at,
        })
    }

    fn wrong(&mut self, code: &'static str, message: String, at: &Span, label: impl Into<String>) {
        let mistake = Mistake::error(code, message).at(at.clone()).label(label);
        self.written.mistakes.push(mistake);
    }

    fn word(&mut self, key: &str, at: &At<String>, words: &[&str], or: &str) {
        let label = match nearest(&at.value, words) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("{}{or}", words.join(", ")),
        };
        let message = format!("`{key}` cannot be `{}`", at.value);
        self.wrong("unknown-word", message, &at.span, label);
    }

    fn when(&mut self, part: &Part<'a>) -> When {
        let mut when = When::default();
        for at in self.texts(part, "from") {
            when.from.extend(self.who(&at));
        }
        for at in self.texts(part, "from_gateway") {
            when.from.push(Who::ThisGateway(at.value.as_str().into()));
            self.gateways.push(at);
        }
        for at in self.texts(part, "to") {
            when.to.extend(self.whom(&at));
        }
        for at in self.texts(part, "number") {
            when.numbers.extend(self.pattern(&at));
        }
        self.groups = when.numbers.iter().map(Pattern::groups).min().unwrap_or(0);
        for at in self.texts(part, "source") {
            when.sources.push(self.source(at));
        }
        when.methods =
            self.texts(part, "method").iter().map(|at| at.value.as_str().into()).collect();
        for (name, at) in self.written.part_pairs(part, "header") {
            if let Some(pattern) = self.pattern(&at) {
                when.headers.push((name.into(), pattern));
            }
        }
        for at in self.texts(part, "time") {
            match Hours::parse(&at.value) {
                Ok(hours) => when.hours.push(hours),
                Err(why) => {
                    let message = format!("`{}` is no time of the week", at.value);
                    self.wrong("bad-time", message, &at.span, why);
                }
            }
        }
        for at in self.texts(part, "domain") {
            when.domains.push(at.value.to_ascii_lowercase().into());
            self.domains.push(at);
        }
        when
    }

    fn texts(&mut self, part: &Part<'a>, key: &str) -> Vec<At<String>> {
        self.written.part_texts(part, key).unwrap_or_default()
    }

    fn who(&mut self, at: &At<String>) -> Option<Who> {
        match at.value.as_str() {
            "user" => Some(Who::User),
            "gateway" => Some(Who::Gateway),
            "any" => Some(Who::Any),
            user if user.contains('@') => Some(Who::ThisUser(self.user(at)?)),
            _ => {
                self.word("from", at, &["user", "gateway", "any"], "; a user as alice@example.com");
                None
            }
        }
    }

    fn whom(&mut self, at: &At<String>) -> Option<Whom> {
        match at.value.as_str() {
            "user" => Some(Whom::User),
            "alias" => Some(Whom::Alias),
            "gateway" => Some(Whom::Gateway),
            "any" => Some(Whom::Any),
            user if user.contains('@') => Some(Whom::ThisUser(self.user(at)?)),
            _ => {
                let words = ["user", "alias", "gateway", "any"];
                self.word("to", at, &words, "; a user as alice@example.com");
                None
            }
        }
    }

    /// `alice@example.com`, to be looked up among the domains.
    fn user(&mut self, at: &At<String>) -> Option<Box<str>> {
        let (user, domain) = at.value.rsplit_once('@')?;
        let domain = domain.to_ascii_lowercase();
        if user.is_empty() || domain.is_empty() {
            let message = format!("`{}` is no user", at.value);
            self.wrong("bad-user", message, &at.span, "as in alice@example.com");
            return None;
        }
        self.domains.push(At { value: domain.clone(), span: at.span.clone() });
        Some(format!("{user}@{domain}").into())
    }

    fn source(&mut self, at: At<String>) -> Source {
        if at.value == "trusted" {
            return Source::Trusted;
        }
        if let Ok(network) = at.value.parse::<Network>() {
            return Source::Network(network);
        }
        let source = Source::Gateway(at.value.as_str().into());
        self.gateways.push(at);
        source
    }

    /// A pattern that is none is shown at the very letter.
    fn pattern(&mut self, at: &At<String>) -> Option<Pattern> {
        match Pattern::new(&at.value) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                let (span, why) = match place_of_error(&at.value) {
                    Some((offset, why)) => (self.inside(at, offset), why),
                    None => (at.span.clone(), why),
                };
                let message = format!("`{}` is no pattern for a number", at.value);
                self.wrong("bad-pattern", message, &span, why);
                None
            }
        }
    }

    /// A place inside a string, if the file has the string as it is.
    fn inside(&self, at: &At<String>, offset: usize) -> Span {
        let span = at.span.clone()?;
        let text = self.written.text_at(&span);
        let start = text.find(at.value.as_str()).map(|start| span.start + start + offset);
        start.map(|start| start..start + 1).filter(|place| place.end <= span.end).or(Some(span))
    }

    fn action(
        &mut self,
        part: &Part<'a>,
        set: Option<At<String>>,
        failovers: Option<Vec<At<String>>>,
    ) -> Option<Action> {
        const KINDS: [&str; 5] = ["ring", "user_by_alias", "set", "redirect", "answer"];
        let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| part.has(kind)).collect();
        if let [_, _, ..] = kinds.as_slice() {
            let message = "a route does one thing".to_owned();
            let label = format!("this one has {}", kinds.join(" and "));
            self.wrong("contradiction", message, &Some(part.span.clone()), label);
        }
        match *kinds.first()? {
            "ring" | "user_by_alias" => Some(Action::Ring(self.ring(part))),
            "set" => {
                let failover = failovers.map(|texts| failover(self.written, &texts));
                Some(self.gateways(part, set?, failover))
            }
            "redirect" => {
                let at = self.written.part_text_or_true(part, "redirect")?;
                if at.value.is_empty() {
                    return Some(Action::Redirect(None));
                }
                Some(Action::Redirect(Some(self.template(&at)?)))
            }
            _ => {
                let status = number(self.written, part, "answer", 400..=699)?;
                let reason = self.written.part_text(part, "reason", "a string");
                let status = u16::try_from(status).ok()?;
                let reason = match reason {
                    Some(at) if at.value.bytes().any(|b| b.is_ascii_control()) => {
                        let message = "a reason is one line".to_owned();
                        self.wrong("bad-reason", message, &at.span, "no control characters");
                        return None;
                    }
                    Some(at) => at.value,
                    None => phrase(status).to_owned(),
                };
                Some(Action::Answer(Answer { status, reason: reason.into() }))
            }
        }
    }

    fn ring(&mut self, part: &Part<'a>) -> Ring {
        let mut ring = Ring::default();
        let who = self.written.part_text(part, "ring", "\"all-devices\" or a user");
        match who {
            Some(at) if at.value.contains('@') => ring.user = self.user(&at),
            Some(at) if at.value != "all-devices" => {
                self.word("ring", &at, &["all-devices"], ", or a user as alice@example.com");
            }
            _ => {}
        }
        if let Some(at) = self.written.part_text(part, "strategy", "a string") {
            ring.strategy = match at.value.as_str() {
                "parallel" => Some(Strategy::Parallel),
                "serial" => Some(Strategy::Serial),
                "by-q" => Some(Strategy::ByQ),
                _ => {
                    self.word("strategy", &at, &["parallel", "serial", "by-q"], "");
                    None
                }
            };
        }
        if let Some(at) = self.written.part_text(part, "timeout", "a duration such as \"25s\"") {
            let range = Duration::from_secs(1)..=Duration::from_secs(180);
            ring.timeout = read_period(self.written, "timeout", &at, range);
        }
        if let Some(at) = self.written.part_text(part, "on_no_answer", "a user or a SIP URI") {
            let is_uri = at.value.starts_with("sip:");
            let uri = if is_uri { at.value.clone() } else { format!("sip:{}", at.value) };
            match forwarding::check(&uri) {
                Ok(()) if ring.timeout.is_some() => ring.on_no_answer = Some(uri.into()),
                Ok(()) => {
                    let message = "nobody knows when there is no answer".to_owned();
                    self.wrong("missing", message, &at.span, "add timeout = \"25s\"");
                }
                Err(why) => {
                    let message = format!("calls cannot go to `{}`", at.value);
                    self.wrong("bad-uri", message, &at.span, why);
                }
            }
        }
        let otherwise = number(self.written, part, "otherwise", 400..=699);
        ring.otherwise = otherwise.and_then(|status| u16::try_from(status).ok());
        ring
    }

    fn gateways(&mut self, part: &Part<'a>, set: At<String>, failover: Option<Failover>) -> Action {
        let number = self.written.part_text(part, "number", "text such as \"+49$1\"");
        let number = number.and_then(|at| self.template(&at));
        let caller_id = self.written.part_text(part, "caller_id", "a string");
        let caller_id = caller_id.map_or(CallerId::default(), |at| match at.value.as_str() {
            "keep" => CallerId::Keep,
            "none" => CallerId::Nobody,
            "user" => CallerId::User,
            "alias" => CallerId::Alias,
            number if number.bytes().all(|b| b.is_ascii_digit() || b == b'+') => {
                CallerId::Number(number.into())
            }
            _ => {
                self.word("caller_id", &at, &["user", "alias", "keep", "none"], ", or a number");
                CallerId::default()
            }
        });
        let priority = self.written.part_text(part, "priority", "\"emergency\"");
        let urgent = priority.is_some_and(|at| {
            let is_it = at.value == "emergency";
            if !is_it {
                self.word("priority", &at, &["emergency"], "");
            }
            is_it
        });
        Action::Gateways { set: set.value, number, caller_id, urgent, failover }
    }

    fn template(&mut self, at: &At<String>) -> Option<Template> {
        match Template::new(&at.value) {
            Ok(template) if template.groups() <= self.groups => Some(template),
            Ok(template) => {
                let message = format!("nothing becomes `${}`", template.groups());
                let label = match self.groups {
                    0 => "the number of this route has no group, as (.*) is one".to_owned(),
                    groups => format!("the number of this route has {groups}"),
                };
                self.wrong("no-such-group", message, &at.span, label);
                None
            }
            Err(why) => {
                let message = format!("`{}` is no number", at.value);
                self.wrong("bad-template", message, &at.span, why);
                None
            }
        }
    }
}

/// Where a regular expression goes wrong, and how.
fn place_of_error(pattern: &str) -> Option<(usize, String)> {
    let error = regex_syntax::Parser::new().parse(pattern).err()?;
    match error {
        regex_syntax::Error::Parse(error) => {
            Some((error.span().start.offset, error.kind().to_string()))
        }
        regex_syntax::Error::Translate(error) => {
            Some((error.span().start.offset, error.kind().to_string()))
        }
        _ => None,
    }
}
