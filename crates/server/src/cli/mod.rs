//! The command line: one file per subcommand, one table of exit codes, one style of saying what went wrong. Results go to
//! standard output, everything else to standard error.

mod ban;
mod call;
mod check;
mod explain;
mod forward;
mod gateway;
mod keyboard;
mod load;
mod message;
mod options;
mod password;
mod register;
mod regs;
mod reload;
mod run;
mod status;
mod user;
mod who;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{self, Flags, Loaded};

/// The exit codes; `ringway help exit-codes` prints them.
pub mod exit {
    pub const YES: u8 = 0;
    pub const NO: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const NO_ANSWER: u8 = 3;
    pub const NOT_SENT: u8 = 4;
    pub const REFUSED: u8 = 5;
    pub const NOT_RUNNING: u8 = 6;
    pub const NOT_STARTED: u8 = 7;
    pub const INTERRUPTED: u8 = 130;
}

const EXIT_CODES: &str = "\
Exit codes, the same for every command:
    0  done, and the answer was yes (2xx; the configuration is valid)
    1  done, and the answer was no (a final answer of 300 or more, mistakes in
       the configuration, no such object, load beyond --fail-if)
    2  wrong usage
    3  no answer in time
    4  could not send: DNS, connect, port in use
    5  credentials refused (401, 403, 407)
    6  the running server cannot be reached
    7  the server will not start with this configuration
  130  interrupted
With --nagios: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
";

const START_PAGE: &str = "\
ringway - SIP server and test client in one binary

  ringway run                     start here; no configuration needed
  ringway user add alice          then add users
  ringway call bob --as alice     test a call
  ringway regs list               see which phones have registered

More: ringway help (all commands), ringway run --help
";

#[derive(Parser)]
#[command(name = "ringway", version, about = "SIP server and test client in one binary")]
#[command(disable_help_subcommand = true, max_term_width = 80)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Every page: what it is, how it is called, examples; then the flags.
const PAGE: &str = "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\n{all-args}";

/// The command line with its pages laid out.
fn command_line() -> clap::Command {
    fn laid_out(command: clap::Command) -> clap::Command {
        let names: Vec<String> =
            command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
        let command = names.iter().fold(command, |c, name| c.mut_subcommand(name, laid_out));
        command.help_template(PAGE)
    }
    laid_out(Cli::command())
}

#[derive(clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// Configuration file [default: $RINGWAY_CONFIG, ./ringway.toml,
    /// /etc/ringway/ringway.toml, or none].
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The running server's admin socket [default: the configuration's].
    #[arg(long, global = true, value_name = "SOCKET")]
    admin: Option<PathBuf>,
    /// Colors: auto, always, never.
    #[arg(long, global = true, value_enum, default_value = "auto", hide_possible_values = true)]
    color: Color,
    /// Results as JSON, one object or one per line, where there are any.
    #[arg(long, global = true)]
    json: bool,
    /// Results are not printed: the exit code says it.
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server; no configuration needed.
    Run(run::Args),
    /// Check a configuration: every mistake at once, with its place.
    Check(check::Args),
    /// Apply the file to the running server, all or nothing.
    Reload(reload::Args),
    /// One screen about the running server.
    Status(status::Args),
    /// Accounts: add, list, show, passwd, rm.
    User(user::Args),
    /// Registered devices.
    Regs(regs::Args),
    /// Who is kept out: list, add, rm.
    Ban(ban::Args),
    /// Gateways: list, enable, disable, drain, test.
    Gateway(gateway::Args),
    /// What would become of a call, and which line of the configuration says so.
    Explain(explain::Args),
    /// Ask a server whether it is there (SIP OPTIONS).
    Options(Box<options::Args>),
    /// Register, and stay if asked to.
    Register(Box<register::Args>),
    /// Place a call, or answer calls.
    Call(Box<call::Args>),
    /// Send or receive text.
    Message(Box<message::Args>),
    /// Generate load and measure what the server does with it.
    Load(Box<load::Args>),
    /// This page, a command's page, or `exit-codes`.
    Help {
        /// A command, or `exit-codes`.
        topic: Vec<String>,
    },
}

pub fn main() -> u8 {
    let parsed = command_line().try_get_matches();
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            load::refuse_words(&error);
            return if error.use_stderr() { exit::USAGE } else { exit::YES };
        }
    };
    let global = &cli.global;
    QUIET.store(global.quiet, Ordering::Relaxed);
    match cli.command {
        None => print(START_PAGE),
        Some(Command::Run(args)) => run::execute(global, &args),
        Some(Command::Check(args)) => check::execute(global, &args),
        Some(Command::Reload(args)) => reload::execute(global, &args),
        Some(Command::Status(args)) => status::execute(global, &args),
        Some(Command::User(args)) => user::execute(global, &args),
        Some(Command::Regs(args)) => regs::execute(global, &args),
        Some(Command::Ban(args)) => ban::execute(global, &args),
        Some(Command::Gateway(args)) => gateway::execute(global, &args),
        Some(Command::Explain(args)) => explain::execute(global, &args),
        Some(Command::Options(args)) => options::execute(global, &args),
        Some(Command::Register(args)) => register::execute(global, &args),
        Some(Command::Call(args)) => call::execute(global, &args),
        Some(Command::Message(args)) => message::execute(global, &args),
        Some(Command::Load(args)) => load::execute(&args),
        Some(Command::Help { topic }) => help(&topic),
    }
}

fn help(topic: &[String]) -> u8 {
    let mut command = command_line();
    command.build();
    let mut at = &mut command;
    for word in topic {
        if word == "exit-codes" {
            return print(EXIT_CODES);
        }
        if at.find_subcommand(word).is_none() {
            return fail(exit::USAGE, &format!("no help for `{word}`; try `ringway help`"));
        }
        if let Some(next) = at.find_subcommand_mut(word) {
            at = next;
        } else {
            return exit::USAGE;
        }
    }
    let page = at.render_long_help().to_string();
    print(&page)
}

/// `--quiet` was given.
static QUIET: AtomicBool = AtomicBool::new(false);

/// To standard output; a reader that went away is no error.
pub fn print(text: &str) -> u8 {
    if QUIET.load(Ordering::Relaxed) {
        return exit::YES;
    }
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    exit::YES
}

/// What went wrong, to standard error.
pub fn fail(code: u8, sentence: &str) -> u8 {
    let _ = writeln!(std::io::stderr(), "ringway: {sentence}");
    code
}

impl Global {
    fn color(&self) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal()
            }
        }
    }

    /// The configuration, with what the flags say instead.
    fn load(&self, mut flags: Flags) -> Loaded {
        flags.admin = flags.admin.or_else(|| self.admin.clone());
        config::load(self.config.as_deref(), &flags)
    }

    /// The configuration of a command that only needs to find the running server: mistakes elsewhere do not stop it, for the
    /// server goes on with the configuration it started with.
    fn find(&self) -> Result<config::Settings, u8> {
        const WHERE: [&str; 4] = ["unreadable", "syntax", "bad-store", "too-long"];
        let loaded = self.load(Flags::default());
        if loaded.findings.mistakes.iter().any(|m| WHERE.contains(&m.code)) {
            let _ = write!(std::io::stderr(), "{}", loaded.findings.human(self.color()));
            return Err(exit::NO);
        }
        Ok(loaded.settings)
    }

    /// The configuration has no mistake. If it has, they are shown, and what is left to say is returned.
    fn sound(&self) -> Result<(), String> {
        let findings = self.load(Flags::default()).findings;
        if findings.errors() == 0 {
            return Ok(());
        }
        let _ = std::io::stderr().write_all(findings.human(self.color()).as_bytes());
        Err(format!("{}; no account was read or changed", findings.summary()))
    }
}

/// Rows as a table with a header on a terminal, tab-separated without one in a pipe.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    if !std::io::stdout().is_terminal() {
        for row in rows {
            text.push_str(&row.join("\t"));
            text.push('\n');
        }
        return text;
    }
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
            cells.chain([name.len()]).max().unwrap_or(0)
        })
        .collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    };
    line(&mut header.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_fits_a_terminal() {
        let mut cli = command_line();
        cli.clone().debug_assert();
        cli.build();
        check_pages(&mut cli);
    }

    /// Every command that does something shows how, before its flags.
    fn check_pages(command: &mut clap::Command) {
        let name = command.get_name().to_owned();
        let page = command.render_long_help().to_string();
        for line in page.lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
        if !command.has_subcommands() && name != "help" {
            let examples = page.find("\nExamples:\n  ringway").expect("examples");
            assert!(page.find("Options:").is_none_or(|flags| examples < flags), "{page}");
        }
        command.get_subcommands_mut().for_each(check_pages);
    }

    #[test]
    fn pages_name_real_commands() {
        let names: Vec<String> =
            Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
        for line in START_PAGE.lines().filter(|line| line.starts_with("  ringway ")) {
            let name = line.split_whitespace().nth(1).expect("a command");
            assert!(names.iter().any(|n| n == name), "{name}");
        }
    }
}
