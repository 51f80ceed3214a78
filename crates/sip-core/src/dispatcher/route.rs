//! A route: when it is taken, and what is then done. Words only: `route::dispatch` asks the questions and carries out
//! the answers.

use std::sync::Arc;

use super::hours::Hours;
use super::number::{Pattern, Template};
use super::set::{Failover, Set};
use crate::config::{Aor, Network};
use crate::time::Duration;

#[derive(Debug)]
pub struct Route {
    pub name: Box<str>,
    pub when: When,
    pub action: Action,
    /// The line of the file, for `explain`; 0: unknown.
    pub line: u32,
}

/// All of these must hold; of a list, one. An empty list asks nothing.
#[derive(Clone, Debug, Default)]
pub struct When {
    pub from: Vec<Who>,
    pub to: Vec<Whom>,
    pub numbers: Vec<Pattern>,
    pub sources: Vec<Source>,
    pub methods: Vec<Box<str>>,
    pub headers: Vec<(Box<str>, Pattern)>,
    pub hours: Vec<Hours>,
    /// Served domains the request is for.
    pub domains: Vec<Box<str>>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// One of our users, proved.
    User,
    ThisUser(Aor),
    Gateway,
    ThisGateway(Box<str>),
    Any,
}

/// Who is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    User,
    ThisUser(Aor),
    /// Another name of a user.
    Alias,
    /// The Request-URI names one of our gateways.
    Gateway,
    Any,
}

impl core::fmt::Display for Who {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Gateway => "gateway",
            Self::Any => "any",
            Self::ThisUser(name) | Self::ThisGateway(name) => name,
        })
    }
}

impl core::fmt::Display for Whom {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Alias => "alias",
            Self::Gateway => "gateway",
            Self::Any => "any",
            Self::ThisUser(name) => name,
        })
    }
}

impl core::fmt::Display for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Trusted => f.write_str("trusted"),
            Self::Network(network) => network.fmt(f),
            Self::Gateway(name) => f.write_str(name),
        }
    }
}

/// Where the packet came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `limits.trusted`.
    Trusted,
    Network(Network),
    Gateway(Box<str>),
}

#[derive(Clone, Debug)]
pub enum Action {
    Ring(Box<Ring>),
    Gateways(Box<Gateways>),
    Redirect(Option<Template>),
    Answer(Box<Answer>),
}

/// A user's devices.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// `None`: the user who is asked for.
    pub user: Option<Aor>,
    pub strategy: Option<Strategy>,
    pub timeout: Option<Duration>,
    /// A SIP URI.
    pub on_no_answer: Option<Box<str>>,
    /// What a caller hears who asks for nobody of ours.
    pub otherwise: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// By preference, equal ones together.
    ByQ,
    Parallel,
    Serial,
}

#[derive(Clone, Debug)]
pub struct Gateways {
    pub set: Arc<Set>,
    /// What the number becomes.
    pub number: Option<Template>,
    pub caller_id: CallerId,
    /// An emergency: RFC 3261 §20.26. It may use what is full or seems down.
    pub urgent: bool,
    /// In place of the set's.
    pub failover: Option<Failover>,
}

impl Gateways {
    pub fn failover(&self) -> &Failover {
        self.failover.as_ref().unwrap_or(&self.set.failover)
    }
}

/// RFC 3325: whom we assert to a trusted gateway as the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CallerId {
    /// Who a trusted gateway says it is; of others nothing.
    #[default]
    Keep,
    Nobody,
    /// The user, as he has proved.
    User,
    /// The first other name of the user.
    Alias,
    /// Always this number, at the default domain.
    Number(Box<str>),
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub reason: Box<str>,
}
