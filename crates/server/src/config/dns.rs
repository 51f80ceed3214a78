//! What `[dns]` means: whom to ask for names, how long to wait, and what a name may lead to (RFC 3263).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use sip_core::config::Dns;

use super::file::Written;
use super::meaning::{period, wrong};
use super::mistake::Mistake;
use crate::resolver::{PORT, Rules};

/// Beyond this a resolver would be asked by turns that nobody waits for.
const SERVERS_MAX: usize = 8;

pub fn read(written: &mut Written<'_>) -> (Dns, Rules) {
    let (mut dns, mut rules) = (Dns::default(), Rules::default());
    if let Some(entries) = written.texts("dns", "servers") {
        for at in &entries.value {
            match address(&at.value) {
                Some(address) => rules.servers.push(address),
                None => {
                    let message = format!("`{}` is not a name server", at.value);
                    let label = "an address, as in 192.0.2.53 or [2001:db8::53]:5353";
                    wrong(written, "bad-address", message, at, label);
                }
            }
        }
        if rules.servers.len() > SERVERS_MAX {
            let message = format!("`dns.servers` has {} entries", rules.servers.len());
            let mistake = Mistake::error("too-many", message).at(entries.span);
            written.mistakes.push(mistake.label(format!("at most {SERVERS_MAX}")));
        }
    }
    if let Some(at) = written.text("dns", "hosts", "a path, or \"\" for none") {
        rules.hosts = (!at.value.is_empty()).then(|| PathBuf::from(at.value));
    }
    let range = Duration::from_millis(100)..=Duration::from_secs(30);
    if let Some(timeout) = period(written, "dns", "query_timeout", range.clone()) {
        rules.query_timeout = timeout;
    }
    if let Some(timeout) = period(written, "dns", "timeout", range) {
        dns.patience = timeout;
    }
    if let Some(allowed) = written.boolean("dns", "allow_local") {
        dns.allow_local = allowed.value;
        if allowed.value {
            let text = "a name may lead callers to services of this machine";
            let mistake = Mistake::warning("local-names", text)
                .at(allowed.span)
                .label("for laboratories only");
            written.mistakes.push(mistake);
        }
    }
    (dns, rules)
}

fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        let host = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, PORT))
    })
}
