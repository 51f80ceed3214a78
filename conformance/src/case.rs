//! What a case is, and the list of all of them.

use anyhow::{Result, bail};

use crate::world::World;
use crate::{peer, security, ua};

pub struct Case {
    pub name: &'static str,
    pub group: Group,
    pub about: &'static str,
    /// After so many seconds the case has failed.
    pub limit: u64,
    /// Measures something, so nothing else may run meanwhile.
    pub alone: bool,
    /// Needs knowledge of Ringway's own files or options.
    pub ringway_only: bool,
    /// Why Debian's Kamailio is known not to pass; its miss is listed and fails nothing.
    pub kamailio_misses: Option<&'static str>,
    /// The reason it passed, or why it did not.
    pub run: fn(&mut World) -> Result<String>,
}

impl Case {
    pub const fn new(
        name: &'static str,
        group: Group,
        about: &'static str,
        run: fn(&mut World) -> Result<String>,
    ) -> Self {
        Self {
            name,
            group,
            about,
            limit: 60,
            alone: false,
            ringway_only: false,
            kamailio_misses: None,
            run,
        }
    }

    pub const fn limit(mut self, seconds: u64) -> Self {
        self.limit = seconds;
        self
    }

    pub const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub const fn ringway_only(mut self) -> Self {
        self.ringway_only = true;
        self
    }

    pub const fn kamailio_misses(mut self, why: &'static str) -> Self {
        self.kamailio_misses = Some(why);
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Other people's programs talk to the subject.
    Peers,
    /// The named tests of attacks and faults.
    Security,
}

impl Group {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Security => "security",
        }
    }
}

impl std::str::FromStr for Group {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "peers" => Ok(Self::Peers),
            "security" => Ok(Self::Security),
            other => bail!("`{other}` is not a group: peers or security"),
        }
    }
}

pub fn all() -> Vec<Case> {
    let mut cases = peer::cases();
    cases.extend(ua::cases());
    cases.extend(security::cases());
    cases
}
