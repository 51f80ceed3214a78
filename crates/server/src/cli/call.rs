//! `ringway call`: places a call or answers calls, with sound. Flags become a plan here; what happens becomes words in
//! `call/words.rs`.

mod words;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use phone::call::{Action, Answering, Audio, Done, Outgoing, Phone, Plan, Says};
use phone::engine::{self, Engine};
use phone::failure::{Kind, Trouble};
use phone::interrupt::Interrupt;
use phone::media::{sound, wav};
use phone::profile::Profile;
use phone::register;
use phone::target::Target;
use serde_json::json;

use super::keyboard::Keyboard;
use super::who::{self, Who};
use super::{Global, exit, message, print};
use crate::config::duration;
use words::Printer;

/// Between two lines of figures on a terminal.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// A transfer without a time of its own.
const TRANSFER_AT: Duration = Duration::from_secs(1);

/// Place a call, or answer calls.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway call bob@192.0.2.10 --as alice --for 3s\n  \
    ringway call bob --as alice --play hello.wav --record answer.wav\n  \
    ringway call 600 --as alice --for 3s --expect 200 --expect-audio --json\n  \
    ringway call --listen --as bob --answer 200 --echo\n  \
    ringway call --listen 5062 --answer 486\n\n\
    Keys on a terminal: h hold, t transfer, 0-9 * # digits, q hang up.")]
pub struct Args {
    /// Whom: USER@DOMAIN, HOST:PORT; a word alone is a user of our domain.
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    to: Option<String>,
    /// Wait for calls, registered with --as or --from, else at this port.
    #[arg(long, value_name = "PORT", num_args = 0..=1)]
    listen: Option<Option<u16>>,
    /// Answer with this code: 200, or a refusal from 300 to 699.
    #[arg(long, value_name = "CODE", default_value = "200", requires = "listen", value_parser = answer_code)]
    answer: u16,
    /// Ring so long before answering.
    #[arg(long, value_name = "TIME", default_value = "0s", requires = "listen", value_parser = duration::parse)]
    delay: Duration,
    /// With --listen: leave after so many calls.
    #[arg(long, value_name = "N", requires = "listen")]
    count: Option<u32>,
    /// Hang up so long after the answer.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    talk: Option<Duration>,
    /// One JSON object; with --listen one per call, one per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sound: SoundFlags,
    #[command(flatten)]
    script: Script,
    /// Fail unless the final answer has this code.
    #[arg(long, value_name = "CODE", help_heading = "What is right", value_parser = clap::value_parser!(u16).range(200..700))]
    expect: Option<u16>,
    /// Fail unless sound comes, and ours is not refused.
    #[arg(long, help_heading = "What is right")]
    expect_audio: bool,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sound")]
struct SoundFlags {
    /// Say this WAV file, once.
    #[arg(long, value_name = "FILE", group = "says")]
    play: Option<PathBuf>,
    /// Say what is heard.
    #[arg(long, group = "says")]
    echo: bool,
    /// Say a tone of so many Hz [default: 440].
    #[arg(long, value_name = "HZ", group = "says", value_parser = clap::value_parser!(u32).range(50..=3500))]
    tone: Option<u32>,
    /// Keep what is heard in this WAV file.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "By the clock, from the answer on")]
struct Script {
    /// Put the peer on hold (may be repeated).
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    hold_at: Vec<Duration>,
    /// Go on (may be repeated).
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    resume_at: Vec<Duration>,
    /// Press keys, as in 1s:123# (may be repeated).
    #[arg(long, value_name = "TIME:KEYS", value_parser = dtmf)]
    dtmf_at: Vec<(Duration, String)>,
    /// Transfer the peer there.
    #[arg(long, value_name = "USER")]
    transfer: Option<String>,
    /// When to transfer [default: 1s].
    #[arg(long, value_name = "TIME", requires = "transfer", value_parser = duration::parse)]
    transfer_at: Option<Duration>,
    /// Call there first, and hand over that call.
    #[arg(long, requires = "transfer")]
    attended: bool,
}

fn answer_code(text: &str) -> Result<u16, &'static str> {
    match text.parse() {
        Ok(code) if code == 200 || (300..700).contains(&code) => Ok(code),
        _ => Err("200, or a refusal from 300 to 699"),
    }
}

fn dtmf(text: &str) -> Result<(Duration, String), &'static str> {
    let (at, keys) = text.split_once(':').ok_or("a time and keys, as in 1s:123#")?;
    if keys.is_empty() || !keys.chars().all(|c| "0123456789*#ABCDabcd".contains(c)) {
        return Err("the keys are 0-9 * # A-D");
    }
    Ok((duration::parse(at)?, keys.to_owned()))
}

pub fn execute(global: &Global, args: &Args) -> u8 {
    let done = prepare(global, args).and_then(|(audio, role)| {
        engine::run(async {
            match role {
                Role::Caller(profile, to) => place(args, &profile, &to, audio).await,
                Role::Registered(home) => listen_at_home(args, home, audio).await,
                Role::AtPort(profile) => listen_at_port(args, profile, audio).await,
            }
        })
        .unwrap_or_else(|error| Err(who::no_loop(&error)))
    });
    done.unwrap_or_else(|trouble| who::report(&trouble, args.json))
}

/// What we are to be.
enum Role {
    Caller(Profile, Target),
    Registered((Profile, Target)),
    AtPort(Profile),
}

/// What can be known before the loop begins: a file that is no sound is found before anybody's phone rings.
fn prepare(global: &Global, args: &Args) -> Result<(Audio, Role), Trouble> {
    let audio = args.sound.audio()?;
    let role = match &args.to {
        Some(to) => {
            let (profile, to) = who::at(global, &args.who, to)?;
            Role::Caller(profile, to)
        }
        None if args.who.is_somebody() => {
            Role::Registered(super::register::home(global, &args.who, None)?)
        }
        None => Role::AtPort(args.who.profile(global, None)?),
    };
    Ok((audio, role))
}

async fn place(args: &Args, profile: &Profile, to: &Target, audio: Audio) -> Result<u8, Trouble> {
    let home = profile.domain.as_deref().unwrap_or("127.0.0.1").to_owned();
    let hop = profile.proxy.as_ref().unwrap_or(to);
    let call = Outgoing {
        uri: to.uri(),
        name: to.to_string(),
        whom: format!("{}:{}", hop.transport(), hop.place()),
    };
    let what = format!("call to {to}");
    let plan = Plan { call: Some(call), ..args.plan(audio, &home)? };
    let mut engine = profile.open(&what, Some(to), args.who.witness()).await?;
    let mut interrupt = Interrupt::listen().map_err(|error| who::no_loop(&error))?;
    finish(args, &mut engine, plan, &home, &mut interrupt, false).await
}

async fn listen_at_home(args: &Args, home: (Profile, Target), audio: Audio) -> Result<u8, Trouble> {
    let mut interrupt = Interrupt::listen().map_err(|error| who::no_loop(&error))?;
    let (who, port) = (&args.who, args.listen.flatten());
    let found = message::at_home(home, who, port, args.json, "a call", &mut interrupt).await?;
    let Some(mut engine) = found else { return Ok(exit::INTERRUPTED) };
    listen(args, &mut engine, audio, &mut interrupt, true).await
}

async fn listen_at_port(args: &Args, profile: Profile, audio: Audio) -> Result<u8, Trouble> {
    let mut interrupt = Interrupt::listen().map_err(|error| who::no_loop(&error))?;
    let mut engine = open_port(args, profile, args.listen.flatten()).await?;
    listen(args, &mut engine, audio, &mut interrupt, false).await
}

async fn listen(
    args: &Args,
    engine: &mut Engine,
    audio: Audio,
    interrupt: &mut Interrupt,
    registered: bool,
) -> Result<u8, Trouble> {
    let domain = home_of(engine);
    let answering =
        Answering { code: args.answer, delay: args.delay, count: args.count, headers: Vec::new() };
    let plan = Plan { answer: Some(answering), ..args.plan(audio, &domain)? };
    finish(args, engine, plan, &domain, interrupt, registered).await
}

fn home_of(engine: &Engine) -> String {
    let aor = &engine.settings().aor;
    aor.rsplit_once('@').map_or("127.0.0.1", |(_, domain)| domain).to_owned()
}

/// Listens without being registered anywhere.
async fn open_port(args: &Args, profile: Profile, port: Option<u16>) -> Result<Engine, Trouble> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let mut bind = profile.bind.unwrap_or(any);
    if let Some(port) = port {
        bind.set_port(port);
    }
    let profile = Profile { bind: Some(bind), proxy: None, ..profile };
    let engine = profile.open("--listen", None, args.who.witness()).await?;
    let address = engine.settings().listeners.first().map(|listener| listener.address);
    let address = address.map(|address| address.to_string()).unwrap_or_default();
    if args.json {
        print(&format!("{}\n", json!({"v": 1, "event": "listening", "listen": address})));
    } else {
        print(&format!("listening on udp+tcp {address}, waiting for a call\n"));
    }
    Ok(engine)
}

/// The program itself, and its exit code.
async fn finish(
    args: &Args,
    engine: &mut Engine,
    plan: Plan,
    home: &str,
    interrupt: &mut Interrupt,
    registered: bool,
) -> Result<u8, Trouble> {
    let home = home.to_owned();
    let transfer = move |text: &str| {
        let to = Target::read(text, Some(&home)).ok()?.uri();
        Some(Action::Transfer { to, attended: false })
    };
    let (keyboard, mut actions) = Keyboard::open(!args.json, transfer);
    let mut printer = Printer::new(args.json, args.listen.is_some(), keyboard.is_open());
    let mut notes = |note: &phone::call::Note| printer.note(note);
    let done = Phone::new(engine, &plan, &mut notes).run(&mut actions, interrupt).await?;
    if registered {
        register::farewell(engine, interrupt).await;
    }
    drop(keyboard);
    Ok(outcome(args, &done))
}

fn outcome(args: &Args, done: &Done) -> u8 {
    if args.json && args.to.is_some() {
        words::object(done);
    } else if let Some(trouble) = &done.trouble {
        who::report(trouble, false);
    }
    match &done.trouble {
        _ if done.interrupted => exit::INTERRUPTED,
        Some(trouble) => trouble.exit_code(),
        None => exit::YES,
    }
}

impl Args {
    fn plan(&self, audio: Audio, home: &str) -> Result<Plan, Trouble> {
        Ok(Plan {
            call: None,
            answer: None,
            audio,
            talk: self.talk,
            script: self.script.actions(home)?,
            expect: self.expect,
            expect_audio: self.expect_audio,
            timeout: self.who.timeout,
            show_every: words::draws(self.json).then_some(SHOW_EVERY),
        })
    }
}

impl SoundFlags {
    fn audio(&self) -> Result<Audio, Trouble> {
        let sound = if let Some(path) = &self.play {
            let samples = wav::read(path).map_err(|error| {
                let what = format!("--play {}", path.display());
                let next = "it must be a WAV file with PCM samples, of any rate";
                Trouble::new(
                    Kind::File,
                    what,
                    format!("this is no sound we can read: {error}"),
                    next,
                )
            })?;
            Says::File(samples.into())
        } else if self.echo {
            Says::Echo
        } else {
            Says::Tone(self.tone.map_or(sound::TONE_HZ, f64::from))
        };
        if let Some(path) = &self.record {
            // Found now, not after the call.
            wav::Recording::create(path).and_then(wav::Recording::finish).map_err(|error| {
                let what = format!("--record {}", path.display());
                let next = "choose a folder that can be written to";
                Trouble::new(Kind::File, what, format!("it cannot be written: {error}"), next)
            })?;
        }
        Ok(Audio { sound, record: self.record.clone() })
    }
}

impl Script {
    /// In order of time; at the same time in the order of this list.
    fn actions(&self, home: &str) -> Result<Vec<(Duration, Action)>, Trouble> {
        let mut script: Vec<(Duration, Action)> = Vec::new();
        script.extend(self.hold_at.iter().map(|at| (*at, Action::Hold)));
        script.extend(self.resume_at.iter().map(|at| (*at, Action::Resume)));
        script.extend(self.dtmf_at.iter().map(|(at, keys)| (*at, Action::Digits(keys.clone()))));
        if let Some(to) = &self.transfer {
            let to = who::target(to, Some(home))?.uri();
            let at = self.transfer_at.unwrap_or(TRANSFER_AT);
            script.push((at, Action::Transfer { to, attended: self.attended }));
        }
        script.sort_by_key(|(at, _)| *at);
        Ok(script)
    }
}
