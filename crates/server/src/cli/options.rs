//! `ringway options HOST`: is a server there, and how fast does it answer? An OPTIONS request (RFC 3261 §11) and its
//! answer, over UDP or TCP.

use std::time::Duration;

use phone::clock::millis;
use phone::engine;
use phone::failure::Trouble;
use phone::interrupt::Interrupt;
use phone::profile::Profile;
use phone::request::{self, Answer, Question};
use phone::target::Target;
use serde_json::json;

use super::who::{self, Who};
use super::{Global, exit, print};

/// Slower than this is a warning for --nagios; no answer within a second's grace more, critical.
pub const NAGIOS_WARN: Duration = Duration::from_millis(500);
pub const NAGIOS_CRITICAL: Duration = Duration::from_secs(1);

/// Ask a server whether it is there (SIP OPTIONS).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway options sip.example.com\n  \
    ringway options tcp:192.0.2.10:5070\n  \
    ringway options 127.0.0.1 -n 5\n  \
    ringway options 127.0.0.1 --nagios")]
pub struct Args {
    /// HOST, HOST:PORT, udp:HOST, tcp:HOST, USER@HOST.
    #[arg(default_value = "127.0.0.1:5060")]
    host: String,
    /// Ask so many times.
    #[arg(short, long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    n: u32,
    /// One line and the exit codes of a monitoring plug-in.
    #[arg(long, conflicts_with = "json")]
    nagios: bool,
    /// One JSON object per answer, one per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    who: Who,
}

type Asked = Result<Answer, Trouble>;

pub fn execute(global: &Global, args: &Args) -> u8 {
    let done = who::target(&args.host, None).and_then(|target| {
        let profile = args.who.profile(global, Some(&target))?;
        engine::run(run(args, &profile, &target)).unwrap_or_else(|error| Err(who::no_loop(&error)))
    });
    match done {
        Ok(code) => code,
        Err(trouble) if args.nagios => nagios_failed(trouble.exit_code(), &trouble.to_string()),
        Err(trouble) => who::report(&trouble, args.json),
    }
}

async fn run(args: &Args, profile: &Profile, target: &Target) -> Result<u8, Trouble> {
    let question = Question {
        what: format!("OPTIONS to {target}"),
        method: "OPTIONS",
        to: target.uri(),
        body: None,
        headers: Vec::new(),
        timeout: args.who.timeout,
    };
    let mut engine = profile.open(&question.what, Some(target), args.who.witness()).await?;
    let mut interrupt = Interrupt::listen().map_err(|error| who::no_loop(&error))?;
    let mut results = Vec::new();
    for number in 1..=args.n {
        let result = match request::ask(&mut engine, &question, &mut interrupt).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => return Ok(exit::INTERRUPTED),
            Err(trouble) => Err(trouble),
        };
        if !args.nagios {
            show(args, target, number, &result);
        }
        results.push(result);
    }
    if args.nagios {
        return Ok(nagios(&results));
    }
    if args.n > 1 && !args.json {
        print(&summary(&results));
    }
    let worst = results.iter().map(code).max_by_key(|code| (*code != exit::YES, *code));
    Ok(worst.unwrap_or(exit::YES))
}

fn code(result: &Asked) -> u8 {
    match result {
        Ok(answer) if answer.status < 300 => exit::YES,
        Ok(answer) => answer.refusal("").exit_code(),
        Err(trouble) => trouble.exit_code(),
    }
}

fn ms(took: Duration) -> String {
    format!("{:.1} ms", millis(took))
}

fn show(args: &Args, target: &Target, number: u32, result: &Asked) {
    match result {
        Ok(answer) if args.json => {
            let line = json!({
                "v": 1, "ok": answer.status < 300, "code": answer.status, "reason": answer.reason,
                "ms": millis(answer.took), "target": answer.from.remote,
                "transport": answer.from.transport.uri_token(),
                "server": answer.header("server"), "allow": answer.header("allow"),
            });
            print(&format!("{line}\n"));
        }
        Ok(answer) if args.n > 1 => {
            print(&format!("{number}  {} {}  {}\n", answer.status, answer.reason, ms(answer.took)));
        }
        Ok(answer) => print_answer(target, answer),
        Err(trouble) => drop(who::report(trouble, args.json)),
    }
}

fn print_answer(target: &Target, answer: &Answer) {
    let (transport, address) = (answer.from.transport, answer.from.remote);
    let place = if target.place() == address.to_string() {
        format!("{address} ({transport})")
    } else {
        format!("{} ({address}, {transport})", target.place())
    };
    let Answer { status, reason, took, .. } = answer;
    let mut page = format!("{status} {reason} from {place} in {}\n", ms(*took));
    let details: Vec<String> = ["server", "allow"]
        .into_iter()
        .filter_map(|name| Some(format!("{name}  {}", answer.header(name)?)))
        .collect();
    if !details.is_empty() {
        page.push_str(&format!("  {}\n", details.join("    ")));
    }
    print(&page);
}

fn summary(results: &[Asked]) -> String {
    let times: Vec<f64> = results.iter().flatten().map(|answer| millis(answer.took)).collect();
    let lost = 100.0 * (results.len() - times.len()) as f64 / results.len().max(1) as f64;
    let mut text = format!("{} sent, {} answered, {lost:.0} % lost", results.len(), times.len());
    if !times.is_empty() {
        let sum: f64 = times.iter().sum();
        let least = times.iter().copied().fold(f64::INFINITY, f64::min);
        let most = times.iter().copied().fold(0.0, f64::max);
        text.push_str(&format!(
            ", min/avg/max {least:.1}/{:.1}/{most:.1} ms",
            sum / times.len() as f64
        ));
    }
    text + "\n"
}

pub fn nagios_failed(code: u8, sentence: &str) -> u8 {
    let (state, code) = if code == exit::USAGE { ("UNKNOWN", 3) } else { ("CRITICAL", 2) };
    print(&format!("SIP {state} - {sentence}\n"));
    code
}

fn nagios(results: &[Asked]) -> u8 {
    if let Some(Err(trouble)) = results.iter().find(|result| result.is_err()) {
        return nagios_failed(trouble.exit_code(), &trouble.to_string());
    }
    let Some(worst) = results.iter().flatten().max_by_key(|answer| (answer.status, answer.took))
    else {
        return 3;
    };
    let (state, code) = if worst.status >= 300 || worst.took >= NAGIOS_CRITICAL {
        ("CRITICAL", 2)
    } else if worst.took >= NAGIOS_WARN {
        ("WARNING", 1)
    } else {
        ("OK", 0)
    };
    let seconds = worst.took.as_secs_f64();
    print(&format!(
        "SIP {state} - {} in {} | time={seconds:.4}s;{};{};0\n",
        worst.status,
        ms(worst.took),
        NAGIOS_WARN.as_secs_f64(),
        NAGIOS_CRITICAL.as_secs_f64()
    ));
    code
}
