//! The flags of `ringway load`: their words, their defaults, and how each is read.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use phone::digest::Algorithm;
use phone::load::{FailIf, Ramp, Scenario};

/// Generate load and measure what the server does with it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway load 127.0.0.1 --rate 100 --for 30s\n  \
    ringway load 127.0.0.1 --ramp 10..500/60s        # where does it break?\n  \
    ringway load 127.0.0.1 --media --callers 200 --for 1m --fail-if 'rtp.loss>1%'\n  \
    ringway load 127.0.0.1 --scenario register --users 200000 --window 256\n  \
    ringway load 127.0.0.1 --scenario re-register --users 100000 --expires 120\n  \
    ringway load 127.0.0.1 --scenario register-storm --users 50000\n  \
    ringway load 127.0.0.1 --scenario message --size 20..1000 --rate 200\n  \
    ringway load 127.0.0.1 --users alice,bob --password-env PW \\\n      \
    --fail-if 'failed>0.1%'\n\n\
    Keys on a terminal: + and - change the rate by 10 %, p pauses, q finishes\n\
    what is begun and stops, Q stops now. Ctrl-C is q the first time and Q the\n\
    second; SIGUSR1 is q.")]
pub struct Args {
    /// HOST or HOST:PORT, over UDP.
    #[arg(default_value = "127.0.0.1:5060")]
    pub host: String,
    /// What to do again and again.
    #[arg(long, value_enum, default_value = "call")]
    pub scenario: ScenarioName,
    /// Begin so many units a second, whatever the server does [default: 10].
    #[arg(long, value_parser = rate, conflicts_with = "window")]
    pub rate: Option<f64>,
    /// Keep so many units going, the next one when one ends.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub window: Option<u32>,
    /// Keep so many callers in a call: --window in the words of a call.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with_all = ["rate", "window", "ramp"])]
    pub callers: Option<u32>,
    /// Both phones of each call send and receive RTP (PCMU, 50 packets a
    /// second each way), and what is lost is counted.
    #[arg(long)]
    pub media: bool,
    /// Let the rate rise evenly, FROM..TO/TIME, and find the knee: the last
    /// rate before a --fail-if held for two seconds running [without one:
    /// failed>0.1%, or the p99 of the set-up above 20 ms and above four times
    /// that of the ramp's first tenth].
    #[arg(long, value_name = "FROM..TO/TIME", value_parser = ramp)]
    #[arg(conflicts_with_all = ["rate", "window", "duration"])]
    pub ramp: Option<Ramp>,
    /// How long to begin new units, after the warm-up [default: 10s; for a
    /// storm 10m, it ends when all are back].
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub duration: Option<Duration>,
    /// Units begun in this time are not measured.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub warm_up: Duration,
    /// How many users (u0000000, u0000001 ...), or their names: alice,bob.
    #[arg(long, default_value = "100")]
    pub users: String,
    /// Before the number in a user's name.
    #[arg(long, default_value = "u")]
    pub user_prefix: String,
    /// Host part of the users' addresses [default: HOST].
    #[arg(long)]
    pub domain: Option<String>,
    /// The users' common password, from an environment variable.
    #[arg(long, value_name = "NAME", group = "secret")]
    pub password_env: Option<String>,
    /// The same from the first line of a file.
    #[arg(long, value_name = "FILE", group = "secret")]
    pub password_file: Option<PathBuf>,
    /// The same from standard input.
    #[arg(long, group = "secret")]
    pub password_stdin: bool,
    /// Answer only challenges of this algorithm: SHA-256 or MD5 [default: the first offered].
    #[arg(long, value_parser = algorithm)]
    pub algorithm: Option<Algorithm>,
    /// Forget the nonce after each answer, so that every unit is challenged.
    #[arg(long)]
    pub challenge_each: bool,
    /// How long the callee rings.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = time)]
    pub ring: Duration,
    /// How long a call lasts after its ACK [default: 0s; with --media 5s].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub hold: Option<Duration>,
    /// Bytes in a MESSAGE: 300, or 20..1000 [default: 100]. Above some 900
    /// RFC 3428 wants another transport than UDP.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    pub size: Option<(usize, usize)>,
    /// Seconds asked for in REGISTER. In re-register everybody comes again
    /// after half of it, give or take a fifth.
    #[arg(long, default_value = "3600", value_parser = clap::value_parser!(u32).range(1..))]
    pub expires: u32,
    /// Our address; callees use the next port [default: any port].
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = bind)]
    pub bind: Option<SocketAddr>,
    /// Units at the same time, at most.
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u32).range(1..))]
    pub active_max: u32,
    /// Leave the bindings on the server.
    #[arg(long)]
    pub keep_registered: bool,
    /// Measure this process and its children (may be repeated).
    #[arg(long, value_name = "PID")]
    pub server_pid: Vec<u32>,
    /// Without a terminal: a line of progress so often.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    pub every: Duration,
    /// One JSON object on standard output instead of words, whatever happens.
    #[arg(long)]
    pub json: bool,
    /// Exit 1 when this holds: 'failed>0.1%', 'setup.p99>50ms', 'rtp.loss>1%',
    /// 'knee<300', 'storm.time>30s' (may be repeated). On a ramp a condition on units is
    /// what the knee is made of and does not decide the exit code.
    #[arg(long, value_name = "CONDITION")]
    pub fail_if: Vec<FailIf>,
    /// Needed for a HOST that is not this machine; repeat its name to show that it is meant.
    #[arg(long, value_name = "HOST")]
    pub i_may_load_test: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ScenarioName {
    /// OPTIONS to the server itself.
    Options,
    /// Everybody refreshes, one after the other, at the pace asked for.
    Register,
    /// Everybody refreshes at its own time, as phones do; --users and
    /// --expires make the rate.
    ReRegister,
    /// Everybody registers at once, as after a restart, until all are back.
    RegisterStorm,
    /// INVITE, 180, 200, ACK, BYE, 200 from one user to the next.
    Call,
    /// MESSAGE from one user to the next.
    Message,
}

impl From<ScenarioName> for Scenario {
    fn from(name: ScenarioName) -> Self {
        match name {
            ScenarioName::Options => Scenario::Options,
            ScenarioName::Register => Scenario::Register,
            ScenarioName::ReRegister => Scenario::ReRegister,
            ScenarioName::RegisterStorm => Scenario::RegisterStorm,
            ScenarioName::Call => Scenario::Call,
            ScenarioName::Message => Scenario::Message,
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.trim_end_matches("/s").parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 10_000_000.0 => Ok(rate),
        _ => Err("a number of units a second, such as 100".to_owned()),
    }
}

fn ramp(text: &str) -> Result<Ramp, String> {
    const WANTED: &str = "a ramp is FROM..TO/TIME, such as 10..500/60s";
    let (rates, over) = text.split_once('/').ok_or(WANTED)?;
    let (from, to) = rates.split_once("..").ok_or(WANTED)?;
    let (from, to) = (rate(from)?, rate(to)?);
    if from >= to {
        return Err(format!("a ramp rises: {to} is not above {from}"));
    }
    let over = time(over)?;
    if over < Duration::from_secs(1) || over > Duration::from_secs(86_400) {
        return Err("a ramp takes from one second to one day".to_owned());
    }
    Ok(Ramp { from, to, over })
}

/// What fits into one datagram beside the headers.
const SIZE_MAX: usize = 60_000;

fn size(text: &str) -> Result<(usize, usize), String> {
    let wanted = || format!("bytes, up to {SIZE_MAX}: 300, or 20..1000");
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    match (least.parse(), most.parse()) {
        (Ok(least), Ok(most)) if least <= most && most <= SIZE_MAX => Ok((least, most)),
        _ => Err(wanted()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ramps_and_sizes_are_read() {
        let read = ramp("10..500/60s").expect("a ramp");
        let seconds = Duration::from_secs(60);
        assert_eq!(read, Ramp { from: 10.0, to: 500.0, over: seconds });
        for wrong in ["", "10..500", "500/60s", "500..10/60s", "1..2/0s", "1..2/90x", "0..2/5s"] {
            assert!(ramp(wrong).is_err(), "{wrong}");
        }
        assert_eq!((size("300"), size("20..1000")), (Ok((300, 300)), Ok((20, 1_000))));
        for wrong in ["", "x", "9..3", "60001", "1..99999"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
