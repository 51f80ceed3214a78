//! What we are to a provider: `register = { user = "4930123456", password = { file = "/run/secrets/trunk" } }`, or `auth`
//! with the same keys, which proves us and does not register. A password is in the file only if somebody insists.

use std::time::Duration;

use sip_core::dispatcher::account::{Account, Password};
use sip_core::locate::Place;

use super::file::{At, Written};
use super::meaning::{HOUR, read_period};
use super::mistake::Mistake;
use super::part::Part;

/// What is written of it.
pub struct Login {
    user: At<String>,
    password: String,
    realm: Option<At<String>>,
    domain: Option<At<String>>,
    register: Option<Duration>,
}

const KEYS: [&str; 5] = ["user", "password", "realm", "domain", "expires"];

pub fn read<'a>(written: &mut Written<'a>, gateway: &Part<'a>) -> Option<Login> {
    let wanted = "a table such as { user = \"4930123456\", password = { env = \"TRUNK\" } }";
    let register = written.inner(gateway, "register", &KEYS, wanted);
    let registers = register.is_some();
    let auth = written.inner(gateway, "auth", &KEYS, wanted);
    if let (true, Some(auth)) = (registers, &auth) {
        let mistake = Mistake::error("twice", "`register` proves us as `auth` does");
        written.mistakes.push(mistake.at(Some(auth.span.clone())).label("remove one"));
    }
    let part = register.or(auth)?;
    let missing = |written: &mut Written<'a>, key: &str| {
        let message = format!("this account has no `{key}`");
        let mistake = Mistake::error("missing", message).at(Some(part.span.clone()));
        written.mistakes.push(mistake.label(format!("add {key} = ...")));
    };
    let user = written.part_text(&part, "user", "a string");
    if user.is_none() && !part.has("user") {
        missing(written, "user");
    }
    let password = password(written, &part);
    if password.is_none() && !part.has("password") {
        missing(written, "password");
    }
    let expires = written.part_text(&part, "expires", "a duration such as \"1h\"").and_then(|at| {
        let range = Duration::from_secs(60)..=24 * HOUR;
        read_period(written, "register.expires", &at, range)
    });
    let realm = written.part_text(&part, "realm", "a string");
    let domain = written.part_text(&part, "domain", "a string");
    let register = registers.then(|| expires.unwrap_or(HOUR));
    let user = user.filter(|at| is_user(written, at));
    Some(Login { user: user?, password: password?, realm, domain, register })
}

/// It is written into From, To and Contact as it is.
fn is_user(written: &mut Written<'_>, at: &At<String>) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&b);
    let is_good = !at.value.is_empty() && at.value.bytes().all(is_plain);
    if !is_good {
        let message = format!("`{}` is no user", at.value);
        let mistake = Mistake::error("bad-user", message).at(at.span.clone());
        written.mistakes.push(mistake.label("letters, digits and -_.!~*'()&=+$,"));
    }
    is_good
}

/// `{ env = "TRUNK" }`, `{ file = "/run/secrets/trunk" }`, or the password itself.
fn password<'a>(written: &mut Written<'a>, part: &Part<'a>) -> Option<String> {
    if !part.has("password") {
        return None;
    }
    if part.is_table("password") {
        let wanted = "{ env = \"NAME\" } or { file = \"PATH\" }";
        let place = written.inner(part, "password", &["env", "file"], wanted)?;
        let env = written.part_text(&place, "env", "the name of a variable");
        let file = written.part_text(&place, "file", "a path");
        let (at, read) = match (env, file) {
            (Some(at), None) => {
                let read =
                    std::env::var(&at.value).map_err(|_| format!("${} is not set", at.value));
                (at, read)
            }
            (None, Some(at)) => {
                let read = std::fs::read_to_string(&at.value);
                let read = read.map_err(|error| format!("{}: {error}", at.value));
                (at, read)
            }
            _ => {
                let message = "a password comes from one place".to_owned();
                let mistake = Mistake::error("no-secret", message).at(Some(place.span));
                written.mistakes.push(mistake.label(wanted));
                return None;
            }
        };
        return match read {
            Ok(text) => Some(text.lines().next().unwrap_or_default().to_owned()),
            Err(why) => {
                let mistake = Mistake::error("no-secret", "the password cannot be read");
                written.mistakes.push(mistake.at(at.span).label(why));
                None
            }
        };
    }
    let at = written.part_text(part, "password", "a string, { env = ... } or { file = ... }")?;
    let mistake = Mistake::warning("plain-password", "this password is for everybody to read");
    let mistake = mistake.at(at.span.clone()).label("whoever may read this file knows it");
    written
        .mistakes
        .push(mistake.help("write { file = \"/run/secrets/trunk\" } or { env = \"TRUNK\" }"));
    Some(at.value)
}

impl Login {
    /// With what the gateway's URI says about it.
    pub fn account(
        self,
        written: &mut Written<'_>,
        place: &Place,
        uri: &At<String>,
    ) -> Option<Account> {
        let host = match place {
            Place::Name(sought) => Some(sought.host.to_string()),
            Place::Address(_) => None,
        };
        let realm = self.realm.map(|at| at.value);
        let domain = self.domain.map(|at| at.value);
        let domain = domain.or_else(|| host.clone()).or_else(|| realm.clone());
        let Some(realm) = realm.or(host).or_else(|| domain.clone()) else {
            let message = "who may ask for the password is not known".to_owned();
            let mistake = Mistake::error("missing", message).at(uri.span.clone());
            let mistake =
                mistake.label("an address has no realm: add realm = \"...\" to the account");
            written.mistakes.push(mistake);
            return None;
        };
        Some(Account {
            user: self.user.value.into(),
            domain: domain.unwrap_or_else(|| realm.clone()).into(),
            realm: realm.into(),
            password: Password(self.password.into()),
            register: self.register,
        })
    }
}
