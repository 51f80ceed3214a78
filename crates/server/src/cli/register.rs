//! `ringway register`: is this account good, and can its phone be reached? RFC 3261 §10.2, from the phone's side.

use std::net::SocketAddr;
use std::time::Duration;

use phone::clock::millis;
use phone::engine;
use phone::failure::Trouble;
use phone::interrupt::Interrupt;
use phone::profile::Profile;
use phone::register::{self, Note, Outcome, Plan};
use phone::target::Target;
use serde_json::{Value, json};
use sip_core::flow::Transport;
use sip_core::ua::Registration;

use super::options::{NAGIOS_CRITICAL, NAGIOS_WARN, nagios_failed};
use super::who::{self, Who};
use super::{Global, exit, fail, print};

/// Register, and stay if asked to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway register --as alice\n  \
    ringway register alice@sip.example.com --password-env PW\n  \
    ringway register 'sip:alice@192.0.2.10;transport=tcp' --password-file pw --stay\n  \
    ringway register alice@sip.example.com --proxy 192.0.2.10 --unregister")]
pub struct Args {
    /// USER@DOMAIN; may be left out with --as or --from.
    address: Option<String>,
    /// Ask for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = clap::value_parser!(u32).range(1..))]
    expires: u32,
    /// Keep it alive until interrupted, then remove it.
    #[arg(long, conflicts_with_all = ["unregister", "nagios"])]
    stay: bool,
    /// Remove every device of this user.
    #[arg(long)]
    unregister: bool,
    /// One line and the exit codes of a monitoring plug-in.
    #[arg(long, conflicts_with = "json")]
    nagios: bool,
    /// One JSON object; with --stay one per refresh, one per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    who: Who,
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let done = home(global, &args.who, args.address.as_deref()).and_then(|(profile, place)| {
        engine::run(run(args, &profile, &place)).unwrap_or_else(|error| Err(who::no_loop(&error)))
    });
    match done {
        Ok(code) => code,
        Err(trouble) if args.nagios => nagios_failed(trouble.exit_code(), &trouble.to_string()),
        Err(trouble) => who::report(&trouble, args.json),
    }
}

/// Whom to be, and where: the address names both, unless --as or --from do. The store is asked before the loop begins.
pub fn home(
    global: &Global,
    who: &Who,
    address: Option<&str>,
) -> Result<(Profile, Target), Trouble> {
    let typed = address.map(|text| who::target(text, None)).transpose()?;
    let mut profile = who.profile(global, typed.as_ref())?;
    if let Some(typed) = &typed
        && profile.user.is_none()
    {
        profile.user.clone_from(&typed.user);
        profile.domain = Some(typed.host.clone());
    }
    let place = match (&typed, &profile.domain) {
        (Some(typed), _) => typed.clone(),
        (None, Some(domain)) => who::target(domain, None)?,
        (None, None) => who::target("127.0.0.1", None)?,
    };
    Ok((profile, place))
}

/// What to register as, for how long.
pub fn plan(profile: &Profile, place: &Target, expires: u32) -> Plan {
    let name = profile.name(Some(place));
    let hop = profile.proxy.as_ref().unwrap_or(place);
    Plan {
        what: format!("registration of {name}"),
        whom: format!("{}:{}", hop.transport(), hop.place()),
        expires: Duration::from_secs(expires.into()),
        stay: false,
        timeout: profile.timeout,
    }
}

async fn run(args: &Args, profile: &Profile, place: &Target) -> Result<u8, Trouble> {
    let plan = Plan { stay: args.stay, ..plan(profile, place, args.expires) };
    let mut engine = profile.open(&plan.what, Some(place), args.who.witness()).await?;
    let mut interrupt = Interrupt::listen().map_err(|error| who::no_loop(&error))?;
    let (aor, contact) = (
        engine.settings().aor.trim_start_matches("sip:").to_owned(),
        engine.settings().contact.clone(),
    );
    if args.unregister {
        let outcome = register::unregister(&mut engine, &plan, &mut interrupt).await?;
        return Ok(end(outcome, || {
            let line = json!({"v": 1, "ok": true, "aor": aor, "expires_s": 0});
            print(&if args.json {
                format!("{line}\n")
            } else {
                format!("unregistered {aor}: no device is left\n")
            });
        }));
    }
    let mut note = |note: Note<'_>| match note {
        Note::Registered(registration) if args.nagios => nagios(registration),
        Note::Registered(registration) if args.json => {
            print(&format!("{}\n", object(&aor, &contact, registration)));
        }
        Note::Registered(registration) => drop(print(&words(&aor, &contact, registration))),
        Note::RefreshFailed { why, retry } => {
            fail(exit::YES, &format!("{why}; trying again in {} s", retry.as_secs()));
        }
        Note::Unregistered if args.json => {
            print(&format!("{}\n", json!({"v": 1, "ok": true, "aor": aor, "expires_s": 0})));
        }
        Note::Unregistered => drop(print(&format!("unregistered {aor}\n"))),
    };
    let outcome = register::run(&mut engine, &plan, &mut interrupt, &mut note).await?;
    Ok(end(outcome, || ()))
}

fn end(outcome: Outcome, done: impl FnOnce()) -> u8 {
    match outcome {
        Outcome::Done => {
            done();
            exit::YES
        }
        Outcome::Interrupted => exit::INTERRUPTED,
    }
}

pub fn words(aor: &str, contact: &str, registration: &Registration) -> String {
    let Registration { expires, contacts, seen, round_trips, took, algorithm, again, .. } =
        registration;
    if *again {
        return format!("refreshed {aor} for {} s\n", expires.as_secs());
    }
    let challenge = match algorithm {
        Some(algorithm) => format!("challenge {}, ", algorithm_words(*algorithm)),
        None => "not challenged, ".to_owned(),
    };
    let trips = if *round_trips == 1 { "round trip" } else { "round trips" };
    let mut page = format!(
        "registered {aor} for {} s ({challenge}{round_trips} {trips}, {:.1} ms)\n",
        expires.as_secs(),
        millis(*took)
    );
    let seen = match seen {
        Some(seen) if is_nat(contact, registration) => format!("seen as {seen}, behind NAT"),
        Some(seen) => format!("seen as {seen}, no NAT"),
        None => "not told how we are seen".to_owned(),
    };
    page.push_str(&format!("  contact  {contact}  {seen}\n"));
    let others: Vec<String> = contacts
        .iter()
        .filter(|contact| !contact.ours)
        .map(|other| format!("{} (expires {} s)", other.uri, other.expires.as_secs()))
        .collect();
    if !others.is_empty() {
        let count = others.len();
        let noun = if count == 1 { "binding" } else { "bindings" };
        page.push_str(&format!("  other    {count} {noun}: {}\n", others.join(", ")));
    }
    page
}

/// Whether we are seen elsewhere than where we are. A stream we opened has a port of its own.
fn is_nat(contact: &str, registration: &Registration) -> bool {
    registration.seen.is_some_and(|seen| match registration.flow.transport {
        Transport::Udp => !contact.contains(&seen.to_string()),
        Transport::Tcp => !contact
            .contains(&SocketAddr::new(seen.ip(), 0).to_string().trim_end_matches('0').to_owned()),
    })
}

const fn algorithm_words(algorithm: sip_core::config::Algorithm) -> &'static str {
    match algorithm {
        sip_core::config::Algorithm::Sha256 => "SHA-256",
        sip_core::config::Algorithm::Md5 => "MD5",
    }
}

fn object(aor: &str, contact: &str, registration: &Registration) -> Value {
    let others: Vec<Value> = registration
        .contacts
        .iter()
        .filter(|contact| !contact.ours)
        .map(|other| json!({"contact": other.uri, "expires_s": other.expires.as_secs()}))
        .collect();
    json!({
        "v": 1, "ok": true, "aor": aor, "expires_s": registration.expires.as_secs(), "contact": contact,
        "seen": registration.seen,
        "nat": registration.seen.map(|_| is_nat(contact, registration)),
        "challenge": registration.algorithm.map(algorithm_words), "round_trips": registration.round_trips,
        "ms": millis(registration.took), "again": registration.again, "others": others,
    })
}

fn nagios(registration: &Registration) {
    let seconds = registration.took.as_secs_f64();
    print(&format!(
        "SIP OK - registered in {:.1} ms | time={seconds:.4}s;{};{};0\n",
        millis(registration.took),
        NAGIOS_WARN.as_secs_f64(),
        NAGIOS_CRITICAL.as_secs_f64()
    ));
}
