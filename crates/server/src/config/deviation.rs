//! Where a configuration is less careful than the defaults. None of it is a mistake, and all of it may be meant; `check` says
//! it so that nobody finds out otherwise. What is dangerous whatever the operator means is a warning, in `meaning.rs`.

use std::time::Duration;

use sip_core::config::{Ban, Dns, Registrar, SourceRate};

use super::file::Written;
use super::meaning::Settings;
use super::mistake::Mistake;

struct Rule {
    code: &'static str,
    section: &'static str,
    key: &'static str,
    /// Whether the settings are less careful than the defaults.
    is_looser: fn(&Settings) -> bool,
    /// What follows, and the default.
    says: &'static str,
    label: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        code: "foreign-callers",
        section: "sip",
        key: "allow_inbound",
        is_looser: |s| s.allow_inbound,
        says: "foreign From allowed: strangers may call the users of this server",
        label: "the default is false: only who has proven an account may call",
    },
    Rule {
        code: "foreign-targets",
        section: "sip",
        key: "allow_outbound",
        is_looser: |s| s.allow_outbound,
        says: "foreign targets allowed: users, and who has stolen a password, may call any domain",
        label: "the default is false: only users of this server can be called",
    },
    Rule {
        code: "recursion",
        section: "proxy",
        key: "recurse",
        is_looser: |s| s.forking.recurse,
        says: "redirections are followed here: a phone may send its callers to another user",
        label: "the default is false: they are the caller's to follow",
    },
    Rule {
        code: "loose-expiry",
        section: "registrar",
        key: "expires",
        is_looser: |s| {
            let usual = Registrar::default();
            s.registrar.expires_min < usual.expires_min
                || s.registrar.expires_max > usual.expires_max
        },
        says: "registrations may be refreshed more often, or outlive their phones for longer",
        label: "the default is 60s to 2h",
    },
    Rule {
        code: "many-contacts",
        section: "registrar",
        key: "contacts_per_user",
        is_looser: |s| s.registrar.contacts_per_user > Registrar::default().contacts_per_user,
        says: "one user may have more devices: each is one more INVITE per call",
        label: "the default is 10",
    },
    Rule {
        code: "long-nonce",
        section: "auth",
        key: "nonce_lifetime",
        is_looser: |s| s.auth.nonce_lifetime > Duration::from_secs(300),
        says: "challenges live longer, and so does what was overheard of their answers",
        label: "the default is 5m",
    },
    Rule {
        code: "lenient-ban",
        section: "auth",
        key: "ban",
        is_looser: |s| {
            let (ban, usual) = (&s.auth.ban, Ban::default());
            ban.after == 0
                || ban.after > usual.after
                || ban.within < usual.within
                || ban.lasts < usual.lasts
        },
        says: "who guesses passwords may try more often",
        label: "the default is { after = 20, within = \"1m\", for = \"1h\" }",
    },
    Rule {
        code: "more-strangers",
        section: "limits",
        key: "per_source",
        is_looser: |s| {
            let usual = SourceRate::default();
            s.per_source.per_second > usual.per_second || s.per_source.burst > usual.burst
        },
        says: "an address that has proven nothing may ask more than by default",
        label: "the default is { requests = \"20/s\", burst = 60 }",
    },
    Rule {
        code: "slow-names",
        section: "dns",
        key: "timeout",
        is_looser: |s| s.dns.patience > Dns::default().patience,
        says: "a request may wait longer for names, and holds its place meanwhile",
        label: "the default is 5s",
    },
    Rule {
        code: "more-connections",
        section: "limits",
        key: "connections",
        is_looser: |s| s.connections_max > 20_000,
        says: "more connections than by default, each with its buffers",
        label: "the default is 20000",
    },
];

/// In the order of the list above; `Findings::sort` puts them in that of the file.
pub fn of(written: &Written<'_>, settings: &Settings) -> Vec<Mistake> {
    let looser = RULES.iter().filter(|rule| (rule.is_looser)(settings));
    let told = looser.map(|rule| {
        let place = written.value(rule.section, rule.key).map(|value| value.span());
        Mistake::deviation(rule.code, rule.says).at(place).label(rule.label)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::super::file::SETTINGS;
    use super::super::{Flags, read};
    use super::*;

    fn codes(source: &str) -> Vec<&'static str> {
        let loaded = read("ringway.toml", source, &Flags::default(), None);
        assert_eq!(loaded.findings.errors(), 0, "{}", loaded.findings.human(false));
        assert!(loaded.deviations.iter().all(|deviation| deviation.span.is_some()));
        loaded.deviations.iter().map(|deviation| deviation.code).collect()
    }

    #[test]
    fn the_defaults_are_the_measure() {
        assert_eq!(codes(""), [""; 0]);
        let written = "[sip]\nallow_inbound = false\n[proxy]\nrecurse = false\n[auth]\nnonce_lifetime = \"5m\"\n\
                       ban = { after = 20, within = \"1m\", for = \"1h\" }\n[limits]\nconnections = 20000\n\
                       per_source = { requests = \"20/s\", burst = 60 }\n[registrar]\ncontacts_per_user = 10\n";
        assert_eq!(codes(written), [""; 0]);
        let tighter = "[auth]\nnonce_lifetime = \"1m\"\nban = { after = 3, for = \"1d\" }\n[limits]\n\
                       per_source = { requests = \"1/s\" }\n[registrar]\nexpires = { min = \"2m\", max = \"1h\" }\n";
        assert_eq!(codes(tighter), [""; 0]);
    }

    #[test]
    fn whatever_is_looser_is_told() {
        for (source, code) in [
            ("[sip]\nallow_inbound = true\n", "foreign-callers"),
            ("[sip]\nallow_outbound = true\n", "foreign-targets"),
            ("[proxy]\nrecurse = true\n", "recursion"),
            ("[registrar]\nexpires = { min = \"5s\" }\n", "loose-expiry"),
            ("[registrar]\nexpires = { max = \"1d\" }\n", "loose-expiry"),
            ("[registrar]\ncontacts_per_user = 11\n", "many-contacts"),
            ("[auth]\nnonce_lifetime = \"6m\"\n", "long-nonce"),
            ("[auth]\nban = { after = 0 }\n", "lenient-ban"),
            ("[auth]\nban = { after = 21 }\n", "lenient-ban"),
            ("[auth]\nban = { within = \"10s\" }\n", "lenient-ban"),
            ("[auth]\nban = { for = \"1m\" }\n", "lenient-ban"),
            ("[limits]\nper_source = { requests = \"21/s\", burst = 60 }\n", "more-strangers"),
            ("[limits]\nper_source = { burst = 61 }\n", "more-strangers"),
            ("[dns]\ntimeout = \"6s\"\n", "slow-names"),
            ("[limits]\nconnections = 20001\n", "more-connections"),
        ] {
            assert_eq!(codes(source), [code], "{source}");
        }
    }

    #[test]
    fn rules_speak_of_settings() {
        for rule in RULES {
            let section = SETTINGS.iter().find(|(section, _)| *section == rule.section);
            assert!(section.is_some_and(|(_, keys)| keys.contains(&rule.key)), "{}", rule.code);
        }
    }
}
