//! `ringway message`: a text to somebody, or what others send (RFC 3428).

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use phone::clock::{millis, time_of_day};
use phone::engine::{self, Engine};
use phone::failure::{Kind, Trouble};
use phone::interrupt::Interrupt;
use phone::profile::Profile;
use phone::register::{Outcome, farewell, register as register_first};
use phone::request::{self, Answer, Question, Text};
use phone::target::Target;
use serde_json::json;
use sip_core::ua::Body;

use super::who::{self, Who};
use super::{Global, exit, print, register};
use crate::config::duration;

/// RFC 3428 §8: larger ones need a way that controls congestion. We send what one UDP datagram carries.
const TEXT_MAX: usize = 60_000;

/// Send or receive text.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway message bob@192.0.2.10 hello --as alice\n  \
    echo hello | ringway message bob@192.0.2.10 - --as alice\n  \
    ringway message --listen --as bob\n  \
    ringway message --listen --from bob@192.0.2.10 --password-env PW --count 1")]
pub struct Args {
    /// To whom: USER@DOMAIN; a word alone is a user of our domain.
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    to: Option<String>,
    /// The text; - reads standard input.
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    text: Option<String>,
    /// Register and print what comes, until interrupted.
    #[arg(long)]
    listen: bool,
    /// With --listen: leave after so many texts.
    #[arg(long, value_name = "N", requires = "listen")]
    count: Option<u32>,
    /// With --listen: leave after this time.
    #[arg(long = "for", value_name = "TIME", requires = "listen", value_parser = duration::parse)]
    wait: Option<Duration>,
    /// One JSON object; with --listen one per text, one per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    who: Who,
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let done = match (&args.to, &args.text) {
        (Some(to), Some(text)) => who::at(global, &args.who, to).and_then(|(profile, to)| {
            engine::run(send(args, &profile, &to, text))
                .unwrap_or_else(|error| Err(who::no_loop(&error)))
        }),
        _ => register::home(global, &args.who, None).and_then(|home| {
            engine::run(listen(args, home)).unwrap_or_else(|error| Err(who::no_loop(&error)))
        }),
    };
    done.unwrap_or_else(|trouble| who::report(&trouble, args.json))
}

async fn send(args: &Args, profile: &Profile, to: &Target, text: &str) -> Result<u8, Trouble> {
    let what = format!("message to {to}");
    let body = Body::new("text/plain;charset=UTF-8", words(text, &what)?);
    let mut engine = profile.open(&what, Some(to), args.who.witness()).await?;
    let mut interrupt = Interrupt::listen().map_err(|error| who::no_loop(&error))?;
    let question = Question {
        what,
        method: "MESSAGE",
        to: to.uri(),
        body: Some(body),
        headers: Vec::new(),
        timeout: args.who.timeout,
    };
    let Some(answer) = request::ask(&mut engine, &question, &mut interrupt).await? else {
        return Ok(exit::INTERRUPTED);
    };
    if answer.status >= 300 {
        return Err(answer.refusal(&question.what));
    }
    show(args, &to.to_string(), &answer);
    Ok(exit::YES)
}

fn words(text: &str, what: &str) -> Result<String, Trouble> {
    let mut given = text.to_owned();
    if text == "-" {
        given.clear();
        let read = std::io::stdin().take(TEXT_MAX as u64 + 1).read_to_string(&mut given);
        read.map_err(|error| {
            Trouble::new(
                Kind::Usage,
                what,
                format!("standard input: {error}"),
                "it must be UTF-8 text",
            )
        })?;
    }
    if given.len() > TEXT_MAX {
        let why = format!("the text has more than {TEXT_MAX} bytes");
        return Err(Trouble::new(Kind::Usage, what, why, "send it in pieces"));
    }
    Ok(given)
}

fn show(args: &Args, to: &str, answer: &Answer) {
    if args.json {
        let line = json!({
            "v": 1, "ok": true, "code": answer.status, "reason": answer.reason, "to": to,
            "ms": millis(answer.took), "server": answer.header("server"),
        });
        print(&format!("{line}\n"));
        return;
    }
    let meaning = match answer.status {
        202 => format!("stored for {to}"),
        _ => format!("delivered to {to}"),
    };
    print(&format!("{} {meaning} in {:.1} ms\n", answer.status, millis(answer.took)));
}

async fn listen(args: &Args, home: (Profile, Target)) -> Result<u8, Trouble> {
    let mut interrupt = Interrupt::listen().map_err(|error| who::no_loop(&error))?;
    let Some(mut engine) =
        at_home(home, &args.who, None, args.json, "a message", &mut interrupt).await?
    else {
        return Ok(exit::INTERRUPTED);
    };
    let clock = *engine.clock();
    let mut heard = |text: &Text| {
        let Text { from, content_type, text, call_id } = text;
        if args.json {
            let line = json!({
                "v": 1, "event": "message", "from": from, "content_type": content_type, "text": text,
                "call_id": call_id,
            });
            print(&format!("{line}\n"));
        } else {
            print(&format!("{}Z  {from}  {}\n", time_of_day(clock.now()), text.trim_end()));
        }
    };
    let (count, outcome) =
        request::listen(&mut engine, args.count, args.wait, &mut interrupt, &mut heard).await;
    farewell(&mut engine, &mut interrupt).await;
    Ok(match outcome {
        Outcome::Interrupted => exit::INTERRUPTED,
        // Somebody was waited for, and did not come.
        Outcome::Done if args.count.is_some_and(|wanted| count < wanted) => exit::NO_ANSWER,
        Outcome::Done => exit::YES,
    })
}

/// Registers as somebody and says so. `None`: interrupted.
pub async fn at_home(
    (mut profile, place): (Profile, Target),
    who: &Who,
    port: Option<u16>,
    json: bool,
    waiting_for: &str,
    interrupt: &mut Interrupt,
) -> Result<Option<Engine>, Trouble> {
    if profile.user.is_none() {
        let next = "say who you are: --as USER, or --from USER@DOMAIN with --password-env NAME";
        return Err(Trouble::new(Kind::Usage, "--listen", "nobody would know where we are", next));
    }
    if let Some(port) = port {
        // The address is that of the way to the server.
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        profile.bind.get_or_insert(any).set_port(port);
    }
    let plan = register::plan(&profile, &place, 600);
    let mut engine = profile.open(&plan.what, Some(&place), who.witness()).await?;
    if register_first(&mut engine, &plan, interrupt).await?.is_none() {
        return Ok(None);
    }
    let aor = engine.settings().aor.trim_start_matches("sip:").to_owned();
    if json {
        print(&format!("{}\n", json!({"v": 1, "event": "registered", "aor": aor})));
    } else {
        print(&format!("registered {aor}, waiting for {waiting_for}\n"));
    }
    Ok(Some(engine))
}
