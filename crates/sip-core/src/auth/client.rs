//! The phone's side of digest authentication (RFC 3261 §22, RFC 7616, RFC 8760): reads challenges, answers those it may,
//! counts the uses of each nonce. It checks nothing, and never offers credentials twice that were refused once.
//!
//! **Whom it answers** (RFC 3261 §22.1, §22.3): outside a dialog our own proxy and registrar; inside a dialog only who
//! asked before, outside of it, for the same realm from the same place. A peer who answers our BYE with a challenge of its
//! own making would get a hash of our password to guess at.

use std::borrow::Cow;
use std::collections::VecDeque;

use core::fmt::Write as _;
use core::net::SocketAddr;

use sip_message::{Credentials as Parameters, Name, Response};
use smallvec::SmallVec;

use super::Role;
use super::digest::{self, Answer};
use crate::config::Algorithm;
use crate::flow::{Flow, Transport};

/// Realms whose nonces are kept; the oldest goes first.
const PROTECTIONS_MAX: usize = 16;
/// Challenges that one request may have answered before it is given up, stale nonces included.
const ROUNDS_MAX: usize = 5;

/// A name and what proves it, for one realm.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: Box<str>,
    /// Empty: any realm of our own domain or our outbound proxy.
    pub realm: Box<str>,
    pub secret: Secret,
}

#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    Password(Box<str>),
    /// `H(user:realm:password)` in hexadecimal, per algorithm; good for the one realm it was made for.
    Ha1 {
        sha256: Option<Box<str>>,
        md5: Option<Box<str>>,
    },
}

impl core::fmt::Debug for Credentials {
    /// Without the secret: settings get printed.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Credentials({:?} in {:?})", self.user, self.realm)
    }
}

impl Credentials {
    fn ha1(&self, algorithm: Algorithm, realm: &str) -> Option<Cow<'_, str>> {
        match (&self.secret, algorithm) {
            (Secret::Password(password), _) => {
                Some(Cow::Owned(digest::ha1(algorithm, &self.user, realm, password)))
            }
            (Secret::Ha1 { sha256, .. }, Algorithm::Sha256) => sha256.as_deref().map(Cow::Borrowed),
            (Secret::Ha1 { md5, .. }, Algorithm::Md5) => md5.as_deref().map(Cow::Borrowed),
        }
    }
}

/// How far the place that challenges is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Our proxy or our registrar: any realm for which there are credentials.
    Ours,
    /// A stranger at this host: only a realm of that very name.
    Host(&'a [u8]),
    /// Inside a dialog: only who asked before.
    Known,
}

/// Why a challenge was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The same credentials were offered to a fresh nonce and not accepted.
    Refused {
        realm: Box<str>,
        user: Box<str>,
    },
    NoCredentials {
        realm: Box<str>,
    },
    NotTrusted {
        realm: Box<str>,
    },
    /// Neither SHA-256 nor MD5, or no digest at all.
    Unknown,
}

/// A realm that wants proof, and what we know of it.
#[derive(Debug)]
struct Protection {
    realm: Box<str>,
    role: Role,
    place: (Transport, SocketAddr),
    algorithm: Algorithm,
    /// As they stand between the quotes.
    nonce: Box<str>,
    opaque: Option<Box<str>>,
    qop: bool,
    user: Box<str>,
    ha1: Box<str>,
    /// RFC 7616 §3.4: `nc`, the requests sent with this nonce.
    uses: u32,
}

/// A challenge that was answered: what the user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub realm: Box<str>,
    pub algorithm: Algorithm,
}

/// What one request has been asked for so far. It travels with the request through all its tries.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    realms: SmallVec<[(Box<str>, Role); 1]>,
    rounds: usize,
}

impl Asked {
    pub const fn rounds(&self) -> usize {
        self.rounds
    }

    fn has(&self, realm: &str, role: Role) -> bool {
        self.realms.iter().any(|(known, other)| **known == *realm && *other == role)
    }
}

/// A request that needs proof.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    pub method: &'a [u8],
    pub uri: &'a [u8],
    /// Where it goes.
    pub flow: &'a Flow,
    /// Outside a dialog what was asked for before is given unasked (RFC 3261 §22.3), so that a refresh costs one round
    /// trip; `Authorization` only to the registrar.
    pub unasked: bool,
}

/// All credentials, and the nonces they are used with.
pub struct Keyring {
    credentials: Vec<Credentials>,
    protections: VecDeque<Protection>,
}

/// One WWW-Authenticate or Proxy-Authenticate value that we could answer.
struct Challenge {
    realm: String,
    role: Role,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    qop: bool,
    stale: bool,
}

impl Keyring {
    pub const fn new(credentials: Vec<Credentials>) -> Self {
        Self { credentials, protections: VecDeque::new() }
    }

    /// Takes in a 401 or 407. `Ok`: the request is worth sending again, with what `authorize` then writes.
    pub fn challenged(
        &mut self,
        response: &Response,
        flow: &Flow,
        trust: Trust<'_>,
        asked: &mut Asked,
    ) -> Result<SmallVec<[Accepted; 1]>, Refusal> {
        let mut accepted: SmallVec<[Accepted; 1]> = SmallVec::new();
        let mut refusal = Refusal::Unknown;
        let challenges = challenges(response);
        for challenge in &challenges {
            let is_done = |a: &Accepted| *a.realm == challenge.realm;
            // RFC 8760 §2.4: of one realm the topmost challenge that we can answer.
            if accepted.iter().any(is_done) {
                continue;
            }
            match self.accept(challenge, flow, trust, asked) {
                Ok(taken) => accepted.push(taken),
                Err(why) => refusal = why,
            }
        }
        // RFC 3261 §22.1: the same credentials against the same realm are not tried again.
        if accepted.is_empty() {
            return Err(refusal);
        }
        if asked.rounds >= ROUNDS_MAX {
            // A nonce that is stale whenever it is used proves nothing, and never will.
            let realm = accepted.swap_remove(0).realm;
            let user = self.protections.iter().find(|p| p.realm == realm);
            return Err(Refusal::Refused {
                user: user.map_or("".into(), |p| p.user.clone()),
                realm,
            });
        }
        asked.rounds += 1;
        Ok(accepted)
    }

    fn accept(
        &mut self,
        challenge: &Challenge,
        flow: &Flow,
        trust: Trust<'_>,
        asked: &mut Asked,
    ) -> Result<Accepted, Refusal> {
        let Challenge { realm, role, algorithm, .. } = challenge;
        let place = (flow.transport, flow.remote);
        let known = self.protections.iter().position(|p| *p.realm == **realm && p.role == *role);
        let before = known.and_then(|known| self.protections.get(known));
        match trust {
            Trust::Ours => {}
            Trust::Host(host) if realm.as_bytes().eq_ignore_ascii_case(host) => {}
            Trust::Known if before.is_some_and(|p| p.place == place) => {}
            Trust::Host(_) | Trust::Known => {
                return Err(Refusal::NotTrusted { realm: realm.as_str().into() });
            }
        }
        let is_exact = |c: &&Credentials| *c.realm == **realm;
        let found = self.credentials.iter().find(is_exact).or_else(|| {
            let is_password = |c: &Credentials| matches!(c.secret, Secret::Password(_));
            self.credentials.iter().find(|c| c.realm.is_empty() && is_password(c))
        });
        let missing = || Refusal::NoCredentials { realm: realm.as_str().into() };
        let credentials = found.ok_or_else(missing)?;
        // RFC 7616 §3.3: a stale nonce says nothing against the password.
        if asked.has(realm, *role) && !challenge.stale {
            let (realm, user) = (realm.as_str().into(), credentials.user.clone());
            return Err(Refusal::Refused { realm, user });
        }
        let ha1 = credentials.ha1(*algorithm, realm).ok_or_else(missing)?;
        let protection = Protection {
            realm: realm.as_str().into(),
            role: *role,
            place,
            algorithm: *algorithm,
            nonce: challenge.nonce.as_str().into(),
            opaque: challenge.opaque.as_deref().map(Into::into),
            qop: challenge.qop,
            user: credentials.user.clone(),
            ha1: ha1.into(),
            uses: 0,
        };
        match known.and_then(|known| self.protections.get_mut(known)) {
            Some(place) => *place = protection,
            None => {
                if self.protections.len() >= PROTECTIONS_MAX {
                    self.protections.pop_front();
                }
                self.protections.push_back(protection);
            }
        }
        if !asked.has(realm, *role) {
            asked.realms.push((realm.as_str().into(), *role));
        }
        Ok(Accepted { realm: realm.as_str().into(), algorithm: *algorithm })
    }

    /// Appends the Authorization and Proxy-Authorization lines of a request. `cnonce` is asked for one token per line.
    pub fn authorize(
        &mut self,
        subject: &Subject<'_>,
        asked: &Asked,
        mut cnonce: impl FnMut() -> String,
        out: &mut Vec<u8>,
    ) {
        let place = (subject.flow.transport, subject.flow.remote);
        for protection in &mut self.protections {
            let by_role = match protection.role {
                Role::Proxy => true,
                Role::Registrar => subject.method == b"REGISTER",
            };
            let unasked = subject.unasked && by_role && protection.place == place;
            if unasked || asked.has(&protection.realm, protection.role) {
                protection.write(subject, &cnonce(), out);
            }
        }
    }

    /// RFC 7616 §3.5: Authentication-Info may bring the nonce for the next request.
    pub fn informed(&mut self, response: &Response, flow: &Flow) {
        let Some(value) = response.header(Name::AuthenticationInfo) else { return };
        let line = [b"Digest ", value].concat();
        let Ok(parameters) = Parameters::parse(&line) else { return };
        let Some(next) = parameters.param("nextnonce").and_then(text) else { return };
        let place = (flow.transport, flow.remote);
        let is_it = |p: &&mut Protection| p.role == Role::Registrar && p.place == place;
        if let Some(protection) = self.protections.iter_mut().find(is_it) {
            protection.nonce = escaped(&next).into();
            protection.uses = 0;
        }
    }

    /// The algorithm that a REGISTER was answered with: of the realm that asked for it, or that was answered unasked.
    pub fn algorithm(&self, asked: &Asked, flow: Option<&Flow>) -> Option<Algorithm> {
        let place = flow.map(|flow| (flow.transport, flow.remote));
        let is_it = |p: &&Protection| match asked.realms.first() {
            Some((realm, role)) => p.realm == *realm && p.role == *role,
            None => p.role == Role::Registrar && Some(p.place) == place,
        };
        self.protections.iter().find(is_it).map(|p| p.algorithm)
    }
}

impl Protection {
    /// RFC 3261 §22.4, RFC 7616 §3.4.
    fn write(&mut self, subject: &Subject<'_>, cnonce: &str, out: &mut Vec<u8>) {
        self.uses = self.uses.saturating_add(1);
        let nc = format!("{:08x}", self.uses);
        let answer = Answer {
            nonce: self.nonce.as_bytes(),
            nc: nc.as_bytes(),
            cnonce: cnonce.as_bytes(),
            qop: if self.qop { b"auth" } else { b"" },
            uri: subject.uri,
            method: subject.method,
        };
        let response = answer.response(self.algorithm, &self.ha1);
        let name = match self.role {
            Role::Registrar => "Authorization",
            Role::Proxy => "Proxy-Authorization",
        };
        let mut line = format!(
            "{name}: Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\", algorithm={}",
            escaped(&self.user),
            escaped(&self.realm),
            self.nonce,
            String::from_utf8_lossy(subject.uri),
            self.algorithm.token(),
        );
        if let Some(opaque) = &self.opaque {
            // Writing into a String cannot fail.
            let _ = write!(line, ", opaque=\"{opaque}\"");
        }
        if self.qop {
            let _ = write!(line, ", qop=auth, nc={nc}, cnonce=\"{cnonce}\"");
        }
        line.push_str("\r\n");
        out.extend_from_slice(line.as_bytes());
    }
}

/// Every challenge that we could answer, 401's and 407's, in order.
fn challenges(response: &Response) -> SmallVec<[Challenge; 2]> {
    let mut found = SmallVec::new();
    for (name, role) in
        [(Name::WwwAuthenticate, Role::Registrar), (Name::ProxyAuthenticate, Role::Proxy)]
    {
        found.extend(response.headers(name).filter_map(|value| challenge(value, role)));
    }
    found
}

fn challenge(value: &[u8], role: Role) -> Option<Challenge> {
    let parameters = Parameters::parse(value).ok().filter(Parameters::is_digest)?;
    let read = |name: &str| parameters.param(name).and_then(text);
    let qop = read("qop");
    let offers = |list: &String| list.split(',').any(|word| word.trim() == "auth");
    // RFC 7616 §3.3: `auth-int` alone is not for us.
    if qop.as_ref().is_some_and(|list| !offers(list)) {
        return None;
    }
    Some(Challenge {
        realm: read("realm")?,
        role,
        nonce: escaped(&read("nonce")?),
        opaque: read("opaque").map(|opaque| escaped(&opaque)),
        algorithm: Algorithm::from_token(parameters.param("algorithm").as_deref())?,
        qop: qop.is_some(),
        stale: read("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
    })
}

/// Not what could end the line it is written into.
fn text(value: Cow<'_, [u8]>) -> Option<String> {
    let text = String::from_utf8(value.into_owned()).ok()?;
    (!text.bytes().any(|byte| byte.is_ascii_control())).then_some(text)
}

/// As it stands between quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
