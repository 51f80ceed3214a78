//! Digest authentication of requests (RFC 3261 §22, RFC 7616, RFC 8760), and who owns which address. It learns no
//! password, keeps no state for anybody who has not proven an account, and takes as long for an unknown user as for a
//! wrong password. What a user may do, other than be who they are, is decided in the rooms (`route`).

pub mod account;
mod challenge;
pub mod client;
#[cfg(test)]
mod client_tests;
mod digest;
pub mod nonce;

use std::borrow::Cow;
use std::sync::Arc;

use sip_message::{Credentials, Name, ParseError, ParseErrorKind, Request, Uri, uri};
use smallvec::SmallVec;

use crate::config::{Algorithm, Config, Domains};
use crate::flow::Flow;
use crate::rejection::{RefusedCredentials, Rejection};
use crate::shared::Shared;
use crate::time::Instant;

use account::{DOMAIN_MAX, Ha1, USER_MAX};
use nonce::{Answered, Nonce, Use};

pub use digest::ha1;

/// On whose behalf is asked: decides between 401 and 407 and which header answers (RFC 3261 §22.2, §22.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Registrar or any other UAS: WWW-Authenticate and Authorization.
    Registrar,
    Proxy,
}

/// Somebody who has proven to be the owner of an account.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// `None` with `auth.enabled = false`: everybody is believed.
    account: Option<Arc<str>>,
}

impl Authenticated {
    /// The proven address of record; `None` when nobody has to prove anything.
    pub fn aor(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Whether `uri` (From, or To of a REGISTER) is this user's own address (RFC 3261 §10.3 step 4).
    pub fn owns(&self, uri: &Uri<'_>, domains: &Domains) -> bool {
        match &self.account {
            None => true,
            Some(account) => domains.aor(uri).is_some_and(|aor| *aor == **account),
        }
    }

    /// RFC 3261 §10.3 step 4: one registers oneself and nobody else.
    pub fn must_own_to(&self, to: &Uri<'_>, domains: &Domains) -> Result<(), Rejection> {
        if self.owns(to, domains) { Ok(()) } else { Err(Rejection::forbidden("To Is Not Yours")) }
    }

    /// RFC 3261 §22.1 leaves it open; here a proven user may only speak in their own name.
    pub fn must_own_from(&self, from: &Uri<'_>, domains: &Domains) -> Result<(), Rejection> {
        if self.owns(from, domains) {
            Ok(())
        } else {
            Err(Rejection::forbidden("From Is Not Yours"))
        }
    }
}

/// The parameters of one answer (RFC 7616 §3.4), as text between the quotes.
#[derive(Default)]
struct Params<'a> {
    realm: Option<Cow<'a, [u8]>>,
    username: Option<Cow<'a, [u8]>>,
    nonce: Option<Cow<'a, [u8]>>,
    uri: Option<Cow<'a, [u8]>>,
    response: Option<Cow<'a, [u8]>>,
    algorithm: Option<Cow<'a, [u8]>>,
    qop: Option<Cow<'a, [u8]>>,
    nc: Option<Cow<'a, [u8]>>,
    cnonce: Option<Cow<'a, [u8]>>,
    userhash: Option<Cow<'a, [u8]>>,
}

impl<'a> Params<'a> {
    fn read(credentials: &Credentials<'a>) -> Result<Self, ParseError> {
        let mut params = Self::default();
        for param in credentials.params() {
            let (name, value) = param?;
            let Some(place) = params.place(name) else { continue };
            // One of them twice would let two readers see two things.
            if place.replace(value).is_some() {
                return Err(ParseError { kind: ParseErrorKind::ParamRepeated, offset: 0 });
            }
        }
        Ok(params)
    }

    /// Names are nearly always written in lower case; comparing without case is tried only after that.
    fn place(&mut self, name: &[u8]) -> Option<&mut Option<Cow<'a, [u8]>>> {
        Some(match name {
            b"nc" => &mut self.nc,
            b"uri" => &mut self.uri,
            b"qop" => &mut self.qop,
            b"realm" => &mut self.realm,
            b"nonce" => &mut self.nonce,
            b"cnonce" => &mut self.cnonce,
            b"username" => &mut self.username,
            b"response" => &mut self.response,
            b"userhash" => &mut self.userhash,
            b"algorithm" => &mut self.algorithm,
            _ if name.iter().any(u8::is_ascii_uppercase) => {
                return self.place(&name.to_ascii_lowercase());
            }
            _ => return None,
        })
    }
}

/// Who sent this? `Err` is the challenge, or 400 for credentials nobody can read. A right answer to a nonce of ours also
/// verifies the flow it came by.
pub fn check(
    now: Instant,
    request: &Request,
    flow: &Flow,
    realm: &str,
    role: Role,
    config: &Config,
    shared: &Shared,
) -> Result<Authenticated, Rejection> {
    if !config.auth.enabled {
        return Ok(Authenticated { account: None });
    }
    let desk = Desk { now, request, flow, realm, role, config, shared };
    let Some(params) = desk.params()? else { return Err(desk.challenge(false)) };
    desk.verify(params)
}

/// One request at the desk.
struct Desk<'a> {
    now: Instant,
    request: &'a Request,
    flow: &'a Flow,
    realm: &'a str,
    role: Role,
    config: &'a Config,
    shared: &'a Shared,
}

impl<'a> Desk<'a> {
    /// The Digest credentials for our realm; those for other realms are for other servers (RFC 3261 §22.3).
    fn params(&self) -> Result<Option<Params<'a>>, Rejection> {
        let name = match self.role {
            Role::Registrar => Name::Authorization,
            Role::Proxy => Name::ProxyAuthorization,
        };
        let malformed = |e: ParseError| Rejection::bad_request(e.kind.words());
        for value in self.request.headers(name) {
            let credentials = Credentials::scheme_of(value).map_err(malformed)?;
            if credentials.is_digest() {
                let params = Params::read(&credentials).map_err(malformed)?;
                if params.realm.as_deref() == Some(self.realm.as_bytes()) {
                    return Ok(Some(params));
                }
            }
        }
        Ok(None)
    }

    fn verify(&self, params: Params<'_>) -> Result<Authenticated, Rejection> {
        let (Some(username), Some(nonce), Some(uri), Some(response)) =
            (params.username, params.nonce, params.uri, params.response)
        else {
            return Err(Rejection::bad_request("Incomplete Credentials"));
        };
        let offered = |a: &Algorithm| self.config.auth.algorithms.contains(a);
        let Some(algorithm) = Algorithm::from_token(params.algorithm.as_deref()).filter(offered)
        else {
            return Err(self.refuse(&username, "an algorithm that was not offered", false));
        };
        // RFC 7616 §3.4: without qop there is no count, and without a count a replay cannot be told.
        let (Some(qop), Some(nc), Some(cnonce)) = (params.qop, params.nc, params.cnonce) else {
            return Err(self.refuse(&username, "no qop", false));
        };
        if !qop.eq_ignore_ascii_case(b"auth")
            || params.userhash.is_some_and(|h| h.eq_ignore_ascii_case(b"true"))
        {
            return Err(self.refuse(&username, "an option that was not offered", false));
        }
        let Some(count) = read_count(&nc) else {
            return Err(Rejection::bad_request("Malformed Nonce Count"));
        };
        if !self.is_for_this_request(&uri) {
            return Err(Rejection::bad_request("Digest URI Does Not Match"));
        }
        let answer = digest::Answer {
            nonce: &nonce,
            nc: &nc,
            cnonce: &cnonce,
            qop: &qop,
            uri: &uri,
            method: self.request.method().as_bytes(),
        };
        let Some((owner, account)) = self.account(&username, algorithm, &answer, &response) else {
            return Err(self.refuse_guess(&username, &nonce));
        };
        let Some(nonce) = self.shared.nonces.mint.read(self.realm, &nonce) else {
            return Err(self.refuse(&username, "a nonce that is not ours", true));
        };
        match self.redeem(nonce, count, owner) {
            Use::Fresh | Use::Retransmission => {
                self.shared.sources.verify(self.now, self.flow);
                Ok(Authenticated { account: Some(account) })
            }
            // Nothing wrong and nothing to tell: the phone was away for a while.
            Use::Stale => Err(self.challenge(true)),
            Use::Replay => Err(self.refuse(&username, "a nonce count used before", true)),
        }
    }

    /// The account whose secret makes this response. The same hashes are computed whether the user exists or not.
    fn account(
        &self,
        username: &[u8],
        algorithm: Algorithm,
        answer: &digest::Answer<'_>,
        response: &[u8],
    ) -> Option<(u32, Arc<str>)> {
        let mut aor = SmallVec::<[u8; USER_MAX + 1 + DOMAIN_MAX]>::new();
        aor.extend_from_slice(username.get(..USER_MAX + 1).unwrap_or(username));
        aor.push(b'@');
        aor.extend_from_slice(self.realm.as_bytes());
        let (hash, account) = self.shared.accounts.find(&aor);
        let ha1 = account.as_ref().and_then(|a| a.ha1.for_algorithm(algorithm));
        let known = ha1.is_some();
        let expected = answer.expected(&ha1.unwrap_or_else(|| Ha1::nobody(algorithm)));
        let right = digest::matches(&expected, response);
        account.filter(|_| known && right).map(|a| (hash as u32, a.aor))
    }

    /// RFC 7616 §3.4.6 wants the `uri` of the answer to be the target of the request. Proxies rewrite Request-URIs and
    /// phones write their registrar instead, so any address of this realm will do; what the answer is good for is
    /// bounded by its nonce count.
    fn is_for_this_request(&self, text: &[u8]) -> bool {
        if text == self.request.uri_bytes() {
            return true;
        }
        let (Ok(named), Ok(target)) = (Uri::parse(text), self.request.uri()) else { return false };
        self.config.domains.canonical(named.host_bytes) == Some(self.realm)
            || uri::equivalent(&named, &target)
    }

    fn redeem(&self, nonce: Nonce, count: u32, owner: u32) -> Use {
        let request =
            self.shared.nonces.fingerprint(&self.flow.remote, self.request.bytes()) as u32;
        let lifetime = self.config.auth.nonce_lifetime;
        self.shared.nonces.redeem(self.now, lifetime, nonce, Answered { count, owner, request })
    }

    fn challenge(&self, stale: bool) -> Rejection {
        let request = self.shared.nonces.fingerprint(&self.flow.remote, self.request.bytes());
        let nonce = self.shared.nonces.mint.issue(
            self.now,
            self.realm,
            &[&request.to_be_bytes()],
            self.flow.remote.ip(),
        );
        challenge::challenge(self.role, &self.config.auth.algorithms, self.realm, &nonce, stale)
    }

    /// A challenge that is also an event.
    fn refuse(&self, username: &[u8], why: &'static str, stale: bool) -> Rejection {
        let user = String::from_utf8_lossy(username.get(..USER_MAX).unwrap_or(username));
        let refused = RefusedCredentials { user: user.into(), why, is_guess: false };
        Rejection { refused: Some(Box::new(refused)), ..self.challenge(stale) }
    }

    /// The password is wrong. Only of somebody who answers from where our nonce went is it known who that was.
    fn refuse_guess(&self, username: &[u8], nonce: &[u8]) -> Rejection {
        let mut refusal = self.refuse(username, "wrong user name or password", false);
        let mint = &self.shared.nonces.mint;
        let is_there = self.flow.transport.is_reliable()
            || mint
                .read(self.realm, nonce)
                .is_some_and(|nonce| mint.was_sent_to(&nonce, self.flow.remote.ip()));
        if let Some(refused) = &mut refusal.refused {
            refused.is_guess = is_there;
        }
        refusal
    }
}

/// RFC 7616 §3.4: eight hexadecimal digits, counting from 1.
fn read_count(text: &[u8]) -> Option<u32> {
    let digits = core::str::from_utf8(text).ok().filter(|t| t.len() == 8 && !t.starts_with('+'))?;
    u32::from_str_radix(digits, 16).ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests;
