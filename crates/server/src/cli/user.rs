//! `ringway user`: accounts. While the server runs it is asked to make the change; while it does not, the change is made in
//! the store. No password is kept or logged, and none has to be an argument.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde_json::{Value, json};
use sip_core::config::Domains;
use store::{Directory, Home, Store, StoreError, Subscriber};

use super::{Global, exit, fail, forward, password, print, table};
use crate::address;
use crate::admin::alias::may_be;
use crate::admin::client::{self, ClientError, Reply};
use crate::admin::forward::{Change, lines, to_json};
use crate::admin::request::{Name, Request, check_password};
use crate::admin::server::{credential_item, user_item};
use crate::config::Settings;
use crate::start;

/// Accounts: add, list, show, passwd, forward, alias, rm.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ringway user add alice\n  \
    ringway user list\n  \
    ringway user passwd alice --generate")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add an account; without a password, one is made and shown once.
    #[command(after_help = "Examples:\n  \
        ringway user add alice\n  \
        ringway user add bob@sip.example.com --generate\n  \
        ringway user add carol --password-stdin < secret")]
    Add {
        /// alice, or alice@sip.example.com.
        name: String,
        #[command(flatten)]
        secret: Secret,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// All accounts.
    #[command(after_help = "Examples:\n  \
        ringway user list\n  \
        ringway user list --json | jq -r .aor")]
    List {
        /// One JSON object per account, one per line.
        #[arg(long)]
        json: bool,
    },
    /// One account, and how many devices it has.
    #[command(after_help = "Examples:\n  \
        ringway user show alice\n  \
        ringway user show alice@sip.example.com --json")]
    Show {
        /// alice, or alice@sip.example.com.
        name: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Change a password; without one, one is made and shown once.
    #[command(after_help = "Examples:\n  \
        ringway user passwd alice\n  \
        ringway user passwd alice --generate\n  \
        ringway user passwd bob@sip.example.com --password-stdin < secret")]
    Passwd {
        /// alice, or alice@sip.example.com.
        name: String,
        #[command(flatten)]
        secret: Secret,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Say where calls to an account go instead: always, when busy, unanswered or unreachable.
    Forward(forward::Args),
    /// Give an account another name, such as a telephone number, or take it away.
    #[command(after_help = "Examples:\n  \
        ringway user alias alice +4930123456\n  \
        ringway user alias alice 42@sip.example.com\n  \
        ringway user alias alice +4930123456 --rm")]
    Alias {
        /// alice, or alice@sip.example.com.
        name: String,
        /// The other name: a number or a word, of the first domain or with one.
        alias: String,
        /// It is no name of the account any more.
        #[arg(long)]
        rm: bool,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Remove an account and what its phones have registered.
    #[command(after_help = "Examples:\n  \
        ringway user rm alice\n  \
        ringway user rm bob@sip.example.com")]
    Rm {
        /// alice, or alice@sip.example.com.
        name: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Secret {
    /// Make a password and show it once.
    #[arg(long)]
    generate: bool,
    /// Take the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
    /// Take the first line of a file.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Take an environment variable.
    #[arg(long, value_name = "NAME")]
    password_env: Option<String>,
    /// Take this word; better not, others can read it.
    #[arg(long, value_name = "WORD")]
    password: Option<String>,
}

/// Exit code and sentence.
pub type Refusal = (u8, String);

pub fn execute(global: &Global, args: &Args) -> u8 {
    let settings = match global.find() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    match run(global, &settings, &args.command) {
        Ok(()) => exit::YES,
        Err((code, sentence)) => fail(code, &sentence),
    }
}

fn run(global: &Global, settings: &Settings, command: &Command) -> Result<(), Refusal> {
    let ask = |request: &Request| ask(global, settings, request);
    match command {
        Command::Add { name, secret, json } => {
            let (password, made) = secret.password(name)?;
            let request = Request::UserAdd { name: name.clone(), password: password.clone() };
            let last = ask(&request)?.last;
            show_change(settings, &last, made.then_some(&password), *json, "added");
        }
        Command::Passwd { name, secret, json } => {
            let (password, made) = secret.password(name)?;
            let request = Request::UserPassword { name: name.clone(), password: password.clone() };
            let last = ask(&request)?.last;
            show_change(settings, &last, made.then_some(&password), *json, "password changed");
        }
        Command::Forward(args) => {
            let last = ask(&args.request()?)?.last;
            print(&args.report(&last));
        }
        Command::Alias { name, alias, rm, json } => {
            let request =
                Request::UserAlias { name: name.clone(), alias: alias.clone(), remove: *rm };
            let last = ask(&request)?.last;
            if *json {
                print(&format!("{last}\n"));
            } else {
                let names = names_of(&last);
                let names = if names.is_empty() { "no other name".to_owned() } else { names };
                print(&format!("{}   {names}\n", last["aor"].as_str().unwrap_or_default()));
            }
        }
        Command::Rm { name, json } => {
            let last = ask(&Request::UserRemove { name: name.clone() })?.last;
            let devices = last.get("bindings").and_then(Value::as_u64).unwrap_or(0);
            let aor = text(&last, "aor");
            print(&match json {
                true => format!("{}\n", json!({"v": 1, "aor": aor, "devices": devices})),
                false => format!("{aor}   removed, with {devices} registered devices\n"),
            });
        }
        Command::List { json } => list(&ask(&Request::Users)?.items, *json),
        Command::Show { name, json } => show(&ask(&Request::Users)?.items, name, *json)?,
    }
    Ok(())
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn show_change(settings: &Settings, last: &Value, made: Option<&String>, json: bool, what: &str) {
    let (aor, user, domain) = (text(last, "aor"), text(last, "user"), text(last, "domain"));
    if json {
        print(&format!("{}\n", json!({"v": 1, "aor": aor, "password": made})));
        return;
    }
    let mut page = match made {
        Some(password) => format!("{aor}   password  {password}   (shown once)\n"),
        None => format!("{aor}   {what}\n"),
    };
    if what == "added" {
        let transports: Vec<&str> =
            settings.listen.iter().map(|listen| listen.transport.uri_token()).collect();
        let transport = if transports.contains(&"udp") { "udp" } else { "tcp" };
        page.push_str(&format!(
            "phone settings: server {domain}, user {user}, transport {transport}\n"
        ));
    }
    print(&page);
}

fn list(items: &[Value], json: bool) {
    if json {
        print(&items.iter().map(|item| format!("{item}\n")).collect::<String>());
        return;
    }
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    print(&table(&["USER", "DIGESTS", "DEVICES"], &rows));
}

fn row(item: &Value) -> Vec<String> {
    let algorithms: Vec<&str> = item
        .get("algorithms")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let devices = item.get("devices").and_then(Value::as_u64);
    // Only the running server knows them.
    let devices = devices.map_or_else(|| "-".to_owned(), |n| n.to_string());
    vec![text(item, "aor"), algorithms.join(","), devices]
}

fn show(items: &[Value], name: &str, json: bool) -> Result<(), Refusal> {
    let bare = name.strip_prefix("sip:").unwrap_or(name);
    let named = |item: &&Value| {
        if bare.contains('@') {
            text(item, "aor").eq_ignore_ascii_case(bare)
        } else {
            text(item, "user") == bare
        }
    };
    let found: Vec<&Value> = items.iter().filter(named).collect();
    if found.is_empty() {
        return Err((exit::NO, format!("there is no user {bare}; see ringway user list")));
    }
    for item in found {
        if json {
            print(&format!("{item}\n"));
            continue;
        }
        let cells = row(item);
        let [aor, algorithms, devices] = cells.as_slice() else { continue };
        print(&format!(
            "{aor}\n  digests  {algorithms}\n  devices  {devices}\n  phone    server {}, user {}\n",
            text(item, "domain"),
            text(item, "user")
        ));
        for line in lines(item.get("forwards").unwrap_or(&Value::Null)) {
            print(&format!("  forward  {line}\n"));
        }
    }
    Ok(())
}

/// Asks the running server; if there is none, the store itself.
pub(super) fn ask(
    global: &Global,
    settings: &Settings,
    request: &Request,
) -> Result<Reply, Refusal> {
    let not_running = match client::ask(settings.admin.as_deref(), request) {
        Ok(reply) => return Ok(reply),
        Err(ClientError::Refused { message, .. }) => return Err((exit::NO, message)),
        Err(error @ ClientError::Broken { .. }) => {
            return Err((exit::NOT_RUNNING, error.to_string()));
        }
        Err(error) => error,
    };
    let Home::Directory(path) = &settings.store else {
        return Err((exit::NOT_RUNNING, not_running.to_string()));
    };
    // Where the store is and which domains it serves is what the file says: a file with mistakes does not say it.
    global.sound().map_err(|findings| (exit::NO, findings))?;
    if matches!(request, Request::Users) && !path.exists() {
        // Looking makes nothing.
        return Ok(Reply { items: Vec::new(), last: Value::Null });
    }
    let directory = Directory::lock(path).map_err(|error| match error {
        StoreError::InUse { .. } => {
            // It holds the store and does not answer: it starts, ends, or has its socket elsewhere.
            (exit::NOT_RUNNING, format!("{error}, but {not_running}"))
        }
        error => (exit::NO, error.to_string()),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| (exit::NO, error.to_string()))?;
    runtime.block_on(async {
        let failed = |error: StoreError| (exit::NO, error.to_string());
        let mut store = Store::open(Some(directory)).await.map_err(failed)?;
        let reply = offline(settings, &mut store, request).await;
        store.close().await.map_err(failed)?;
        reply
    })
}

async fn offline(
    settings: &Settings,
    store: &mut Store,
    request: &Request,
) -> Result<Reply, Refusal> {
    let failed = |error: StoreError| (exit::NO, error.to_string());
    let domains = served(settings, store).await.map_err(failed)?;
    let canonical = |host: &str| domains.canonical(host.as_bytes()).map(str::to_owned);
    let name =
        |text: &str| Name::read(text, &domains.served, canonical).map_err(|why| (exit::NO, why));
    let unknown = |name: &Name| (exit::NO, format!("there is no user {}", name.aor()));
    let (mut items, mut last) = (Vec::new(), json!({"ok": true}));
    let mut named = |name: &Name| {
        last = json!({"ok": true, "aor": name.aor(), "user": name.user, "domain": name.domain});
    };
    match request {
        Request::Users => {
            let subscribers = store.subscribers().await.map_err(failed)?;
            let forwards = store.forwards().await.map_err(failed)?;
            let forwards = |aor: String| {
                let found = forwards.iter().find(|(of, _)| *of == aor);
                found.map(|(_, forwards)| forwards.clone()).unwrap_or_default()
            };
            let item = |s: &Subscriber| user_item(s, None, &forwards(s.aor()));
            items = subscribers.iter().map(item).collect();
        }
        Request::UserAdd { name: text, password } => {
            let name = name(text)?;
            check_password(password).map_err(|why| (exit::NO, why))?;
            let subscriber = Subscriber::with_password(&name.user, &name.domain, password);
            if !store.add_subscriber(&subscriber).await.map_err(failed)? {
                return Err((exit::NO, format!("there is already a user {}", name.aor())));
            }
            named(&name);
        }
        Request::UserPassword { name: text, password } => {
            let name = name(text)?;
            check_password(password).map_err(|why| (exit::NO, why))?;
            let subscriber = Subscriber::with_password(&name.user, &name.domain, password);
            if !store.change_subscriber(&subscriber).await.map_err(failed)? {
                return Err(unknown(&name));
            }
            named(&name);
        }
        Request::UserRemove { name: text } => {
            let name = name(text)?;
            if !store.remove_subscriber(&name.user, &name.domain).await.map_err(failed)? {
                return Err(unknown(&name));
            }
            let bindings = store.remove_bindings(&name.aor()).await.map_err(failed)?;
            last = json!({"ok": true, "aor": name.aor(), "bindings": bindings});
        }
        Request::UserAlias { name: text, alias, remove } => {
            last = offline_alias(store, &name(text)?, &name(alias)?, *remove).await?;
        }
        Request::UserForward { name: text, change } => {
            last = offline_forward(store, &name(text)?, change).await?;
        }
        Request::Credential { name: text } => {
            last = credential(store, &name(text)?).await?;
        }
        _ => {} // only a running server has those
    }
    Ok(Reply { items, last })
}

/// Changes where calls go, as the running server would.
async fn offline_forward(
    store: &mut Store,
    name: &Name,
    change: &Change,
) -> Result<Value, Refusal> {
    let failed = |error: StoreError| (exit::NO, error.to_string());
    let mut all = store.forwards().await.map_err(failed)?.into_iter();
    let before = all.find(|(aor, _)| *aor == name.aor()).map(|(_, f)| f).unwrap_or_default();
    let after = change.apply(name, &before).map_err(|why| (exit::NO, why))?;
    if !store.set_forwards(&name.user, &name.domain, &after).await.map_err(failed)? {
        return Err((exit::NO, format!("there is no user {}", name.aor())));
    }
    Ok(json!({"ok": true, "aor": name.aor(), "forwards": to_json(&after)}))
}

/// Gives or takes another name, as the running server would.
async fn offline_alias(
    store: &mut Store,
    name: &Name,
    alias: &Name,
    remove: bool,
) -> Result<Value, Refusal> {
    let failed = |error: StoreError| (exit::NO, error.to_string());
    if remove {
        let is_it = (alias.aor(), name.aor());
        if !store.aliases().await.map_err(failed)?.contains(&is_it) {
            return Err((exit::NO, format!("{} is no other name of {}", is_it.0, is_it.1)));
        }
        store.remove_alias(&alias.user, &alias.domain).await.map_err(failed)?;
    } else {
        let users = store.subscribers().await.map_err(failed)?;
        let is_user = users.iter().any(|user| user.aor() == alias.aor());
        may_be(name, alias, is_user).map_err(|why| (exit::NO, why))?;
        let names = ((&*alias.user, &*alias.domain), (&*name.user, &*name.domain));
        if !store.add_alias(names.0, names.1).await.map_err(failed)? {
            return Err((exit::NO, format!("there is no user {}", name.aor())));
        }
    }
    let all = store.aliases().await.map_err(failed)?;
    let mine = all.iter().filter(|(_, user)| *user == name.aor());
    let mine: Vec<&str> = mine.map(|(alias, _)| &**alias).collect();
    Ok(json!({"v": 1, "ok": true, "aor": name.aor(), "aliases": mine}))
}

/// Other names, for people.
fn names_of(last: &Value) -> String {
    let names = last.get("aliases").and_then(Value::as_array).cloned().unwrap_or_default();
    let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
    if names.is_empty() { String::new() } else { format!("is also {}", names.join(", ")) }
}

async fn credential(store: &mut Store, name: &Name) -> Result<Value, Refusal> {
    let all = store.subscribers().await.map_err(|error| (exit::NO, error.to_string()))?;
    let found = all.iter().find(|s| s.username == name.user && s.domain == name.domain);
    let unknown = || (exit::NO, format!("there is no user {}", name.aor()));
    Ok(credential_item(found.ok_or_else(unknown)?, &[]))
}

/// The domains as the server would serve them.
async fn served(settings: &Settings, store: &mut Store) -> Result<Domains, StoreError> {
    let own = address::own();
    let listened = settings.listen.iter().flat_map(|l| address::expand(l.address, &own));
    let listened: Vec<_> = listened.map(|address| address.ip()).collect();
    start::domains(settings, listened, store).await
}

impl Secret {
    /// The password, and whether it was made here and must be shown.
    fn password(&self, name: &str) -> Result<(String, bool), Refusal> {
        let wrong = |sentence: String| (exit::USAGE, sentence);
        let given = if self.password_stdin {
            first_line(std::io::stdin().lock())
                .map_err(|e| wrong(format!("standard input: {e}")))?
        } else if let Some(path) = &self.password_file {
            let file = std::fs::File::open(path);
            let line = file.and_then(|file| first_line(std::io::BufReader::new(file)));
            line.map_err(|error| wrong(format!("{}: {error}", path.display())))?
        } else if let Some(variable) = &self.password_env {
            std::env::var(variable).map_err(|_| wrong(format!("${variable} is not set")))?
        } else if let Some(word) = &self.password {
            let why = "a password on the command line stays in the shell's history and shows in the list of processes";
            fail(exit::YES, &format!("warning: {why}; --password-stdin does not"));
            word.clone()
        } else if !self.generate && std::io::stdin().is_terminal() {
            prompt(name).map_err(|error| wrong(format!("the terminal: {error}")))?
        } else {
            String::new()
        };
        let asked = self.password_stdin
            || self.password_file.is_some()
            || self.password_env.is_some()
            || self.password.is_some();
        if given.is_empty() && !asked {
            let made = password::make()
                .map_err(|error| (exit::NO, format!("no random bytes: {error}")))?;
            return Ok((made, true));
        }
        check_password(&given).map_err(wrong)?;
        Ok((given, false))
    }
}

fn first_line(input: impl std::io::BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    input.take(4_096).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks without showing what is typed.
fn prompt(name: &str) -> std::io::Result<String> {
    use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    eprint!("password for {name} [enter = make one]: ");
    std::io::stderr().flush()?;
    tcsetattr(&stdin, SetArg::TCSANOW, &silent)?;
    let line = first_line(stdin.lock());
    tcsetattr(&stdin, SetArg::TCSANOW, &before)?;
    eprintln!();
    line
}
