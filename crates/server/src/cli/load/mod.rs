//! `ringway load HOST`: generates load and says what the server can do and what it costs.
//! It only turns flags into a `Plan` and a `Report` into words; it refuses to aim at strangers.

mod flag;
mod key;
mod watch;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

pub use flag::Args;
use flag::ScenarioName;
use key::{Keys, listen_to_signals};
use phone::load::{Control, Failure, LoadError, Pace, Plan, Report, Secret, Users, run};
use serde_json::json;
use watch::Watcher;

use super::exit::{self, USAGE};

const INTERRUPTED: u8 = 130;
const RATE: f64 = 10.0;
const DURATION: Duration = Duration::from_secs(10);
/// A storm ends when all are back, but it ends.
const STORM_MAX: Duration = Duration::from_secs(600);
const STORM_WINDOW: u32 = 256;
/// A call with sound lasts as long as it takes to hear something.
const TALK: Duration = Duration::from_secs(5);
const MESSAGE_SIZE: (usize, usize) = (100, 100);

/// What ends a run before it began: exit code and sentence.
type Refusal = (u8, String);

/// Runs the command; the result is the exit code of `ringway help exit-codes`.
pub fn execute(args: &Args) -> u8 {
    match plan(args).and_then(|plan| load(args, &plan)) {
        Ok(code) => code,
        Err((code, sentence)) => {
            let _ = writeln!(std::io::stderr(), "ringway load: {sentence}");
            if args.json {
                print_refusal(code, &sentence);
            }
            code
        }
    }
}

/// Flags that could not even be read: with `--json` there is an object all the same.
pub fn refuse_words(error: &clap::Error) {
    const TAKE_A_VALUE: [&str; 4] = ["-c", "--config", "--admin", "--color"];
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut before = "";
    let command = words.iter().find(|word| {
        let value = TAKE_A_VALUE.contains(&before);
        before = word;
        !value && !word.starts_with('-')
    });
    let ours = command.is_some_and(|word| word == "load");
    if ours && error.use_stderr() && words.iter().any(|word| word == "--json") {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        print_refusal(exit::USAGE, first.trim_start_matches("error: "));
    }
}

fn print_refusal(code: u8, sentence: &str) {
    super::print(&format!("{}\n", json!({ "v": 1, "ok": false, "exit": code, "error": sentence })));
}

fn load(args: &Args, plan: &Plan) -> Result<u8, Refusal> {
    let control = Arc::new(Control::default());
    listen_to_signals(control.clone());
    let keys = Keys::listen(&control);
    let mut watcher = Watcher::new(plan, &control, args.every, keys.is_some());
    let result = run(plan, &control, |progress| watcher.show(progress));
    let terminal = watcher.end();
    drop(keys);
    let report = result.map_err(|error| {
        let code = match &error {
            LoadError::Bind { .. } | LoadError::Receive(_) => exit::NOT_SENT,
            LoadError::NobodyRegistered(why) if why.contains("credentials") => exit::REFUSED,
            LoadError::NobodyRegistered(why) if why.contains("timeout") => exit::NO_ANSWER,
            LoadError::NobodyRegistered(_) => exit::NO,
        };
        (code, format!("{error}; nothing was measured at {}", plan.target))
    })?;
    let broken: Vec<String> = args
        .fail_if
        .iter()
        .filter(|condition| report.knee.is_none() || !condition.is_of_units())
        .filter_map(|condition| condition.broken_by(&report))
        .collect();
    let code = verdict(&report, args.fail_if.is_empty(), &broken);
    if args.json {
        let mut object = report.to_json();
        object["ok"] = json!(code == exit::YES);
        object["exit"] = json!(code);
        object["broken"] = json!(broken);
        super::print(&format!("{object}\n"));
    } else {
        let line = format!("--- result {}\n", "-".repeat(62));
        super::print(&format!("{}{}", if terminal { &line } else { "" }, report.to_text()));
    }
    for sentence in &broken {
        let _ = writeln!(std::io::stderr(), "fail-if {sentence}");
    }
    Ok(code)
}

/// The exit code of a run that took place. Without conditions no unit may fail; in a storm some may, as long as all are
/// back in the end. A ramp is good as soon as some of it held.
fn verdict(report: &Report, unconditional: bool, broken: &[String]) -> u8 {
    let whole = &report.tally.whole;
    let only = |failure: Failure| report.tally.failures.get(&failure) == Some(&whole.finished());
    if report.interrupted || (report.stopped && whole.started == 0) {
        return INTERRUPTED;
    }
    let failed = match (report.storm, &report.knee) {
        (Some(storm), _) => unconditional && storm.missing() > 0,
        (_, Some(knee)) => knee.rate.is_none(),
        _ => unconditional && whole.failed > 0,
    };
    match whole.ok {
        0 if whole.failed == 0 || only(Failure::Timeout) => exit::NO_ANSWER,
        0 if only(Failure::Credentials) => exit::REFUSED,
        _ if !broken.is_empty() || failed => exit::NO,
        _ => exit::YES,
    }
}

fn plan(args: &Args) -> Result<Plan, Refusal> {
    let target = target(args)?;
    let users = users(args)?;
    let pace = pace(args)?;
    let any = if target.is_ipv6() {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let bind = match args.bind {
        Some(bind) => bind,
        None => SocketAddr::new(source_for(target).unwrap_or(any), 0),
    };
    if (args.media || args.callers.is_some()) && args.scenario != ScenarioName::Call {
        return Err((USAGE, "--media and --callers: only --scenario call has calls".to_owned()));
    }
    if args.size.is_some() && args.scenario != ScenarioName::Message {
        return Err((USAGE, "--size: only --scenario message has a body of any size".to_owned()));
    }
    let storm = args.scenario == ScenarioName::RegisterStorm;
    let duration = match (args.ramp, args.duration) {
        (Some(ramp), _) => ramp.over,
        (None, Some(duration)) => duration,
        (None, None) if storm => STORM_MAX,
        (None, None) => DURATION,
    };
    let plan = Plan {
        target,
        domain: args.domain.clone().unwrap_or_else(|| split_port(&args.host).0.to_owned()),
        scenario: args.scenario.into(),
        pace,
        duration,
        warm_up: if storm { Duration::ZERO } else { args.warm_up },
        users,
        secret: secret(args)?,
        ring: args.ring,
        hold: args.hold.unwrap_or(if args.media { TALK } else { Duration::ZERO }),
        sound: args.media,
        sizes: args.size.unwrap_or(MESSAGE_SIZE),
        expires: args.expires,
        bind: bind.ip(),
        port: bind.port(),
        active_max: args.active_max as usize,
        keep_registered: args.keep_registered,
        server_pids: args.server_pid.clone(),
        limits: args.fail_if.clone(),
    };
    for condition in &args.fail_if {
        condition.fits(&plan).map_err(|error| (USAGE, format!("--fail-if {error}")))?;
    }
    match plan.refresh_rate() {
        Some(rate) if rate * plan.duration.as_secs_f64() < 1.0 => Err((
            USAGE,
            format!(
                "{} users who ask for {} s refresh {rate:.3} times a second: nothing would happen in {:.0} s. \
                 Take more --users, a shorter --expires, or a longer --for",
                plan.users.count(),
                plan.expires,
                plan.duration.as_secs_f64()
            ),
        )),
        _ => Ok(plan),
    }
}

fn users(args: &Args) -> Result<Users, Refusal> {
    match args.users.parse::<u32>() {
        Ok(0) => Err((USAGE, "--users 0: nobody to call".to_owned())),
        Ok(count) => Ok(Users::numbered(&args.user_prefix, count)),
        Err(_) => {
            let names = args.users.split(',').map(str::trim).filter(|name| !name.is_empty());
            Users::listed(names.map(str::to_owned).collect())
                .ok_or_else(|| (USAGE, "--users: neither a number nor names".to_owned()))
        }
    }
}

fn pace(args: &Args) -> Result<Pace, Refusal> {
    let open = args.rate.is_some() || args.ramp.is_some();
    match (args.scenario, args.window.or(args.callers)) {
        (ScenarioName::ReRegister, window) if open || window.is_some() => Err((
            USAGE,
            "re-register: --users and half of --expires make the rate; leave --rate, --window and --ramp out"
                .to_owned(),
        )),
        (ScenarioName::RegisterStorm, _) if open => Err((
            USAGE,
            "register-storm: everybody comes at once; --window says how many at the same time".to_owned(),
        )),
        (ScenarioName::ReRegister, _) => {
            Ok(Pace::Refresh(Duration::from_secs(args.expires.into()) / 2))
        }
        (ScenarioName::RegisterStorm, window) => {
            Ok(Pace::Window(window.unwrap_or(STORM_WINDOW) as usize))
        }
        (_, Some(window)) => Ok(Pace::Window(window as usize)),
        (_, None) => Ok(match (args.ramp, args.rate) {
            (Some(ramp), _) => Pace::Ramp(ramp),
            (None, rate) => Pace::Rate(rate.unwrap_or(RATE)),
        }),
    }
}
/// The address of ours that a packet to `target` would leave from: what goes into Via and Contact.
fn source_for(target: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if target.is_ipv6() {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    // Connecting a datagram socket sends nothing; it only asks the routing table.
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, with an optional `udp:` in front.
fn split_port(host: &str) -> (&str, Option<&str>) {
    let host = host.strip_prefix("udp:").unwrap_or(host);
    match host.rsplit_once(':') {
        Some((name, port)) if name.ends_with(']') || !name.contains(':') => (name, Some(port)),
        _ => (host, None),
    }
}

fn target(args: &Args) -> Result<SocketAddr, Refusal> {
    let (name, port) = split_port(&args.host);
    let port = match port {
        None => 5060,
        Some(port) => {
            port.parse().map_err(|_| (USAGE, format!("`{port}` is not a port number")))?
        }
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<SocketAddr> = (bare, port)
        .to_socket_addrs()
        .map_err(|error| (exit::NOT_SENT, format!("cannot find {name}: {error}")))?
        .collect();
    let target = found.iter().find(|a| a.is_ipv4()).or_else(|| found.first()).copied();
    let target = target.ok_or_else(|| (exit::NOT_SENT, format!("{name} has no address")))?;
    if !target.ip().is_loopback() && args.i_may_load_test.as_deref() != Some(name) {
        return Err((
            USAGE,
            format!(
                "{name} ({}) is not this machine. Load against a server that is not yours is an attack. \
                 If you may do it, add: --i-may-load-test {name}",
                target.ip()
            ),
        ));
    }
    Ok(target)
}

fn secret(args: &Args) -> Result<Option<Secret>, Refusal> {
    let text = if let Some(name) = &args.password_env {
        std::env::var(name).map_err(|_| (USAGE, format!("--password-env: {name} is not set")))?
    } else if let Some(file) = &args.password_file {
        std::fs::read_to_string(file)
            .map_err(|error| (USAGE, format!("--password-file {}: {error}", file.display())))?
    } else if args.password_stdin {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| (USAGE, format!("--password-stdin: {error}")))?;
        text
    } else {
        return Ok(None);
    };
    let password = text.lines().next().unwrap_or_default().to_owned();
    Ok(Some(Secret { password, algorithm: args.algorithm, reuse_nonce: !args.challenge_each }))
}
