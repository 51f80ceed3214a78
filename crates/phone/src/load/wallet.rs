//! The population's credentials: who was challenged with what, and how often each nonce was used.
//! RFC 3261 §22.2, RFC 7616 §3.4. A password is the same for everybody; a nonce belongs to one user.

use super::plan::{Secret, Users};
use super::scan::{Message, Name};
use crate::digest::{Challenge, Credential};

const CNONCE: &[u8] = b"7a6f";

pub struct Wallet {
    secret: Option<Secret>,
    credentials: Vec<Option<Box<Credential>>>,
}

impl Wallet {
    pub fn new(users: u32, secret: Option<Secret>) -> Self {
        Self { secret, credentials: (0..users).map(|_| None).collect() }
    }

    /// The next use of the nonce this user has; 0: begin without credentials.
    pub fn reuse(&mut self, user: u32) -> u32 {
        let wanted = self.secret.as_ref().is_some_and(|secret| secret.reuse_nonce);
        let kept = self.credentials.get_mut(user as usize).and_then(Option::as_mut);
        kept.filter(|_| wanted).map_or(0, |credential| credential.next_use())
    }

    pub fn forget(&mut self, user: u32) {
        if let Some(place) = self.credentials.get_mut(user as usize) {
            *place = None;
        }
    }

    /// Takes up the challenge, and says the first use of its nonce; None when it cannot be answered: no password, no
    /// algorithm we know, or the password was refused. `answered` counts the challenges of this request so far: a nonce
    /// may be stale once, a password wrong never.
    pub fn answer(
        &mut self,
        user: u32,
        answered: u32,
        message: &Message<'_>,
        users: &Users,
        name: &mut Vec<u8>,
    ) -> Option<u32> {
        let secret = self.secret.as_ref()?;
        let challenge = choose(message, secret);
        let refused = answered > 1 || (answered == 1 && !challenge.is_some_and(|c| c.stale));
        let Some(challenge) = challenge.filter(|_| !refused) else {
            self.forget(user);
            return None;
        };
        name.clear();
        users.push_name(user, name);
        let mut credential = Credential::new(&challenge, name, secret.password.as_bytes());
        let first = credential.next_use();
        *self.credentials.get_mut(user as usize)? = Some(Box::new(credential));
        Some(first)
    }

    /// A whole `field` line; nothing for use 0.
    pub fn write(
        &self,
        user: u32,
        nc: u32,
        field: &[u8],
        method: &[u8],
        uri: &[u8],
        out: &mut Vec<u8>,
    ) {
        let credential = self.credentials.get(user as usize).and_then(Option::as_ref);
        if let (Some(credential), 1..) = (credential, nc) {
            out.extend_from_slice(field);
            credential.write(nc, method, uri, CNONCE, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The first challenge that we can answer, of the wanted algorithm if one is wanted.
fn choose<'a>(message: &Message<'a>, secret: &Secret) -> Option<Challenge<'a>> {
    message
        .lines()
        .filter(|line| line.name == Name::Challenge)
        .filter_map(|line| Challenge::read(line.value))
        .find(|challenge| secret.algorithm.is_none_or(|wanted| wanted == challenge.algorithm))
}
