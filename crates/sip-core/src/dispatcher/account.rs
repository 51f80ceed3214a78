//! What we are to a provider: a user of his, who registers with him perhaps (RFC 3261 §10.2) and proves to be it when
//! asked (§22.3). The proof is for one realm, and for the gateway it belongs to; nobody else ever gets one, whatever he
//! says he is.

use sip_message::Response;

use crate::auth::client::{Asked, Credentials, Keyring, Secret, Subject, Trust};
use crate::flow::Flow;
use crate::seal::{Purpose, Seal};
use crate::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub user: Box<str>,
    /// His domain: that of our address of record, and what REGISTER asks.
    pub domain: Box<str>,
    /// The only realm that gets a proof.
    pub realm: Box<str>,
    pub password: Password,
    /// How long a registration is to last; `None`: we do not register.
    pub register: Option<Duration>,
}

/// It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub Box<str>);

impl core::fmt::Debug for Password {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Account {
    /// What proves us: nothing but this realm opens it.
    pub fn keyring(&self) -> Keyring {
        Keyring::new(vec![Credentials {
            user: self.user.clone(),
            realm: self.realm.clone(),
            secret: Secret::Password(self.password.0.clone()),
        }])
    }

    /// The header lines that answer the challenge of `response`, which came by `flow` for `uri`. `None`: it is not our
    /// realm that asks.
    pub fn answer(
        &self,
        seal: &Seal,
        response: &Response,
        flow: &Flow,
        (method, uri): (&[u8], &[u8]),
    ) -> Option<Vec<u8>> {
        let (mut keyring, mut asked) = (self.keyring(), Asked::default());
        keyring.challenged(response, flow, Trust::Ours, &mut asked).ok()?;
        let mut lines = Vec::new();
        let subject = Subject { method, uri, flow, unasked: false };
        let call_id = response.call_id().unwrap_or_default();
        keyring.authorize(&subject, &asked, || cnonce(seal, call_id, uri), &mut lines);
        Some(lines)
    }
}

/// RFC 7616 §3.4: nobody can choose it for us.
pub fn cnonce(seal: &Seal, call_id: &[u8], more: &[u8]) -> String {
    format!("{:016x}", seal.mac(Purpose::Nonce, &[b"cnonce", call_id, more]))
}
