//! What an operator should know about a configuration that is good: nothing to mend, nothing that makes `check` fail.

use std::net::IpAddr;

use sip_core::nat::detect::is_private;

use super::meaning::{DomainChoice, Settings};
use super::mistake::Mistake;

/// Top-level names that lead nowhere on the internet (RFC 6761, RFC 6762, RFC 8375, and custom).
const AT_HOME: &[&str] =
    &["local", "localhost", "localdomain", "lan", "home", "internal", "arpa", "test", "invalid"];

pub fn of(settings: &Settings) -> Vec<Mistake> {
    media(settings).into_iter().collect()
}

/// Phones that reach us by an internet name or address are mostly behind NATs; and there is no media relay yet.
fn media(settings: &Settings) -> Option<Mistake> {
    let named = match &settings.domains {
        DomainChoice::Auto => None,
        DomainChoice::Named(names) => names.iter().find(|name| is_internet_name(name)).cloned(),
    };
    let mut listened = settings.listen.iter().map(|listen| listen.address.ip());
    let is_public = |ip: &IpAddr| !ip.is_unspecified() && !is_private(*ip);
    let place = named.or_else(|| listened.find(is_public).map(|ip| ip.to_string()))?;
    let text = format!("phones of {place} behind NATs can call, but may not hear each other");
    let help = "there is no media relay yet: sound flows only where the networks let it, as between phones with ICE or in \
                one network; docs/nat.md says more";
    Some(Mistake::note("nat-media", text).help(help))
}

fn is_internet_name(name: &str) -> bool {
    match name.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => !is_private(ip),
        Err(_) => name.rsplit_once('.').is_some_and(|(_, last)| !AT_HOME.contains(&last)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, read};
    use super::*;

    fn notes(source: &str) -> usize {
        of(&read("ringway.toml", source, &Flags::default(), None).settings).len()
    }

    #[test]
    fn only_where_phones_come_from_the_internet() {
        assert_eq!(notes(""), 0, "nobody knows yet");
        for domain in ["office.lan", "pbx", "10.0.0.5", "sip.home.arpa", "[fd00::1]"] {
            assert_eq!(notes(&format!("[sip]\ndomains = [\"{domain}\"]\n")), 0, "{domain}");
        }
        for domain in ["example.com", "203.0.113.9", "[2001:db8::1]"] {
            assert_eq!(notes(&format!("[sip]\ndomains = [\"{domain}\"]\n")), 1, "{domain}");
        }
        assert_eq!(notes("[sip]\nlisten = [\"udp://0.0.0.0:5060\"]\n"), 0);
        assert_eq!(notes("[sip]\nlisten = [\"udp://203.0.113.9:5060\"]\n"), 1);
    }
}
