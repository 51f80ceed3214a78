//! The challenge (RFC 7616 §3.3, RFC 8760 §2.4): one line per algorithm, the strongest first, as a client takes the
//! first it knows. It says the same to everybody, known or not.

use crate::config::Algorithm;
use crate::rejection::Rejection;

use super::Role;
use super::nonce::NONCE_LENGTH;

/// Bytes of one line without the realm, generously.
const LINE: usize = 128;

/// The 401 or 407. `stale`: the answer was right and only the nonce too old, so no human need be asked again
/// (RFC 7616 §3.3).
pub(super) fn challenge(
    role: Role,
    algorithms: &[Algorithm],
    realm: &str,
    nonce: &[u8; NONCE_LENGTH],
    stale: bool,
) -> Rejection {
    let mut lines = String::with_capacity(algorithms.len() * (LINE + realm.len()));
    let nonce = core::str::from_utf8(nonce).unwrap_or_default();
    for algorithm in algorithms {
        lines.push_str(match role {
            Role::Registrar => "WWW-Authenticate: Digest realm=\"",
            Role::Proxy => "Proxy-Authenticate: Digest realm=\"",
        });
        // A realm is a served domain: the configuration admits no quotes in it.
        for part in
            [realm, "\", nonce=\"", nonce, "\", algorithm=", algorithm.token(), ", qop=\"auth\""]
        {
            lines.push_str(part);
        }
        lines.push_str(if stale { ", stale=true\r\n" } else { "\r\n" });
    }
    match role {
        Role::Registrar => Rejection::unauthorized(lines),
        Role::Proxy => Rejection::proxy_authentication_required(lines),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strongest_first_one_line_each() {
        let both = [Algorithm::Sha256, Algorithm::Md5];
        let rejection = challenge(Role::Registrar, &both, "example.com", &[b'n'; 28], false);
        assert_eq!(rejection.status, 401);
        assert_eq!(
            rejection.headers,
            "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"nnnnnnnnnnnnnnnnnnnnnnnnnnnn\", \
             algorithm=SHA-256, qop=\"auth\"\r\n\
             WWW-Authenticate: Digest realm=\"example.com\", nonce=\"nnnnnnnnnnnnnnnnnnnnnnnnnnnn\", \
             algorithm=MD5, qop=\"auth\"\r\n"
        );
    }

    #[test]
    fn a_proxy_says_407_and_stale() {
        let rejection = challenge(Role::Proxy, &[Algorithm::Md5], "example.com", &[b'n'; 28], true);
        assert_eq!(rejection.status, 407);
        assert!(rejection.headers.starts_with("Proxy-Authenticate: Digest "));
        assert!(rejection.headers.ends_with(", stale=true\r\n"));
    }
}
