//! `ringway load HOST`: generates load and says what the server can do and what it costs.
//! It only turns flags into a `Plan` and a `Report` into words; it refuses to aim at strangers.

use std::io::{IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use phone::digest::Algorithm;
use phone::load::{FailIf, LoadError, Pace, Phase, Plan, Progress, Scenario, Secret, Users, run};

const DONE: u8 = 0;
const NO: u8 = 1;
const USAGE: u8 = 2;
const TIMEOUT: u8 = 3;
const CANNOT_SEND: u8 = 4;
const CREDENTIALS: u8 = 5;
const INTERRUPTED: u8 = 130;

/// Generate load and measure what the server does with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway load 127.0.0.1 --rate 100 --for 30s\n  \
    ringway load 127.0.0.1 --scenario register --users 200000 --window 256\n  \
    ringway load 127.0.0.1 --users alice,bob --password-env PW --fail-if 'failed>0.1%'")]
pub struct Args {
    /// HOST or HOST:PORT, over UDP.
    #[arg(default_value = "127.0.0.1:5060")]
    host: String,
    /// What to do again and again.
    #[arg(long, value_enum, default_value = "call")]
    scenario: ScenarioName,
    /// Begin so many units a second, whatever the server does [default: 10].
    #[arg(long, value_parser = rate, conflicts_with = "window")]
    rate: Option<f64>,
    /// Keep so many units going, the next one when one ends.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    window: Option<u32>,
    /// How long to begin new units, after the warm-up.
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = time)]
    duration: Duration,
    /// Units begun in this time are not measured.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    warm_up: Duration,
    /// How many users (u0000000, u0000001 ...), or their names: alice,bob.
    #[arg(long, default_value = "100")]
    users: String,
    /// Before the number in a user's name.
    #[arg(long, default_value = "u")]
    user_prefix: String,
    /// Host part of the users' addresses [default: HOST].
    #[arg(long)]
    domain: Option<String>,
    /// The users' common password, from an environment variable.
    #[arg(long, value_name = "NAME", group = "secret")]
    password_env: Option<String>,
    /// The same from the first line of a file.
    #[arg(long, value_name = "FILE", group = "secret")]
    password_file: Option<PathBuf>,
    /// The same from standard input.
    #[arg(long, group = "secret")]
    password_stdin: bool,
    /// Answer only challenges of this algorithm: SHA-256 or MD5 [default: the first offered].
    #[arg(long, value_parser = algorithm)]
    algorithm: Option<Algorithm>,
    /// Forget the nonce after each answer, so that every unit is challenged.
    #[arg(long)]
    challenge_each: bool,
    /// How long the callee rings.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    ring: Duration,
    /// How long a call lasts after its ACK.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    hold: Duration,
    /// Seconds asked for in REGISTER.
    #[arg(long, default_value = "3600")]
    expires: u32,
    /// Our address; callees use the next port [default: any port].
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = bind)]
    bind: Option<SocketAddr>,
    /// Units at the same time, at most.
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u32).range(1..))]
    active_max: u32,
    /// Leave the bindings on the server.
    #[arg(long)]
    keep_registered: bool,
    /// Measure this process and its children (may be repeated).
    #[arg(long, value_name = "PID")]
    server_pid: Vec<u32>,
    /// Without a terminal: a line of progress so often.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    every: Duration,
    /// One JSON object on standard output instead of words.
    #[arg(long)]
    json: bool,
    /// Exit 1 when this holds: 'failed>0.1%', 'setup.p99>50ms' (may be repeated).
    #[arg(long, value_name = "CONDITION")]
    fail_if: Vec<FailIf>,
    /// Needed for a HOST that is not this machine; repeat its name to show that it is meant.
    #[arg(long, value_name = "HOST")]
    i_may_load_test: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ScenarioName {
    Options,
    Register,
    Call,
}

/// What ends a run before it began: exit code and sentence.
type Refusal = (u8, String);

/// Runs the command; the result is the exit code of `ringway help exit-codes`.
pub fn execute(args: &Args) -> u8 {
    match plan(args).and_then(|plan| load(args, &plan)) {
        Ok(code) => code,
        Err((code, sentence)) => {
            let _ = writeln!(std::io::stderr(), "ringway load: {sentence}");
            code
        }
    }
}

fn load(args: &Args, plan: &Plan) -> Result<u8, Refusal> {
    let stop = Arc::new(AtomicU32::new(0));
    count_interruptions(stop.clone());
    let mut watcher = Watcher::new(plan, args.every);
    let report = run(plan, &stop, |progress| watcher.show(progress)).map_err(|error| {
        let code = match &error {
            LoadError::Bind { .. } | LoadError::Receive(_) => CANNOT_SEND,
            LoadError::NobodyRegistered(why) if why.contains("credentials") => CREDENTIALS,
            LoadError::NobodyRegistered(why) if why.contains("timeout") => TIMEOUT,
            LoadError::NobodyRegistered(_) => NO,
        };
        (code, format!("{error}; nothing was measured at {}", plan.target))
    })?;
    watcher.end();
    let broken: Vec<String> =
        args.fail_if.iter().filter_map(|condition| condition.broken_by(&report)).collect();
    let text = if args.json { format!("{}\n", report.to_json()) } else { report.to_text() };
    // A reader that went away (SIGPIPE) is no failure of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    for sentence in &broken {
        let _ = writeln!(std::io::stderr(), "fail-if {sentence}");
    }
    let failed = args.fail_if.is_empty() && report.tally.failed > 0;
    Ok(if report.interrupted {
        INTERRUPTED
    } else if !broken.is_empty() || failed {
        NO
    } else if report.tally.ok == 0 {
        TIMEOUT
    } else {
        DONE
    })
}

fn plan(args: &Args) -> Result<Plan, Refusal> {
    let target = target(args)?;
    let users = match args.users.parse::<u32>() {
        Ok(0) => return Err((USAGE, "--users 0: nobody to call".to_owned())),
        Ok(count) => Users::numbered(&args.user_prefix, count),
        Err(_) => {
            let names = args.users.split(',').map(str::trim).filter(|name| !name.is_empty());
            Users::listed(names.map(str::to_owned).collect())
                .ok_or_else(|| (USAGE, "--users: neither a number nor names".to_owned()))?
        }
    };
    let pace = match (args.rate, args.window) {
        (_, Some(window)) => Pace::Window(window as usize),
        (rate, None) => Pace::Rate(rate.unwrap_or(10.0)),
    };
    let any = if target.is_ipv6() {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let bind = match args.bind {
        Some(bind) => bind,
        None => SocketAddr::new(source_for(target).unwrap_or(any), 0),
    };
    let host_only = split_port(&args.host).0;
    Ok(Plan {
        target,
        domain: args.domain.clone().unwrap_or_else(|| host_only.to_owned()),
        scenario: match args.scenario {
            ScenarioName::Options => Scenario::Options,
            ScenarioName::Register => Scenario::Register,
            ScenarioName::Call => Scenario::Call,
        },
        pace,
        duration: args.duration,
        warm_up: args.warm_up,
        users,
        secret: secret(args)?,
        ring: args.ring,
        hold: args.hold,
        expires: args.expires,
        bind: bind.ip(),
        port: bind.port(),
        active_max: args.active_max as usize,
        keep_registered: args.keep_registered,
        server_pids: args.server_pid.clone(),
    })
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
        .map_err(|error| (CANNOT_SEND, format!("cannot find {name}: {error}")))?
        .collect();
    let target = found.iter().find(|a| a.is_ipv4()).or_else(|| found.first()).copied();
    let target = target.ok_or_else(|| (CANNOT_SEND, format!("{name} has no address")))?;
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

fn count_interruptions(stop: Arc<AtomicU32>) {
    let listen = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                stop.fetch_add(1, Ordering::Relaxed);
            }
        });
    };
    // Without it Ctrl-C simply ends the program, as it always did.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(listen);
}

/// Progress on standard error: one line that is rewritten on a terminal, a line now and then otherwise.
struct Watcher {
    terminal: bool,
    every: Duration,
    whole: Duration,
    shown: Option<(Phase, Duration)>,
    ok_then: u64,
}

impl Watcher {
    fn new(plan: &Plan, every: Duration) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { terminal, every, whole: plan.warm_up + plan.duration, shown: None, ok_then: 0 }
    }

    fn show(&mut self, progress: &Progress<'_>) {
        let pause = if self.terminal { Duration::from_millis(200) } else { self.every };
        let since = match self.shown {
            Some((phase, then)) if phase == progress.phase || !self.terminal => {
                progress.elapsed.checked_sub(then).unwrap_or(pause)
            }
            _ => pause,
        };
        if since < pause {
            return;
        }
        let t = progress.tally;
        let rate = t.ok.saturating_sub(self.ok_then) as f64 / since.as_secs_f64().max(1e-3);
        let rate = if self.shown.is_none() { 0.0 } else { rate };
        let phase = match progress.phase {
            Phase::Registering => "registering",
            Phase::WarmUp => "warming up",
            Phase::Measuring => "measuring",
            Phase::Finishing => "finishing",
            Phase::Unregistering => "unregistering",
        };
        let line = format!(
            "{phase} {:.0}/{:.0} s  {rate:.0}/s  active {}  started {}  ok {}  failed {}  retrans {}  p99 {:.1} ms",
            progress.elapsed.as_secs_f64(),
            self.whole.as_secs_f64(),
            progress.active,
            t.started,
            t.ok,
            t.failed,
            t.retransmissions,
            t.setup.quantile(990).as_secs_f64() * 1e3,
        );
        let mut err = std::io::stderr();
        let _ = if self.terminal { write!(err, "\r\x1b[K{line}") } else { writeln!(err, "{line}") };
        self.shown = Some((progress.phase, progress.elapsed));
        self.ok_then = t.ok;
    }

    fn end(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.trim_end_matches("/s").parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 10_000_000.0 => Ok(rate),
        _ => Err("a number of units a second, such as 100".to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..split].parse().map_err(|_| "a time, such as 30s or 5m".to_owned())?;
    let seconds = match &text[split..] {
        "ms" => number / 1e3,
        "s" | "" => number,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        unit => return Err(format!("`{unit}` is not a unit of time; use ms, s, m or h")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    Algorithm::from_token(text.as_bytes()).ok_or_else(|| "SHA-256 or MD5".to_owned())
}

fn bind(text: &str) -> Result<SocketAddr, String> {
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, 0));
    }
    text.parse().map_err(|_| "an address, with or without a port".to_owned())
}
