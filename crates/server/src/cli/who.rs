//! Who a phone is and how it gets there: the flags that `register`, `call`, `message` and `options` share, what they mean,
//! and how a failure of the phone is told. No password is kept, and only `--password` shows one to `ps`.

use std::io::{BufRead, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use phone::clock::time_of_day;
use phone::engine::{Sight, Witness};
use phone::failure::{Kind, Trouble};
use phone::profile::Profile;
use phone::target::Target;
use serde_json::{Value, json};
use sip_core::flow::Transport;
use sip_core::ua::{Credentials, Secret};
use store::Home;

use super::{Global, exit, fail, print, user};
use crate::admin::request::Request;
use crate::config::{Settings, duration};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Who we are, and the way there")]
pub struct Who {
    /// Be this user of the local server, with the credential from its store.
    #[arg(long = "as", value_name = "USER", conflicts_with = "from")]
    account: Option<String>,
    /// Be this user: USER, or USER@DOMAIN.
    #[arg(long, value_name = "USER")]
    from: Option<String>,
    /// The name in the credentials, if it is another one.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The password, from an environment variable.
    #[arg(long, value_name = "NAME", group = "secret", conflicts_with = "account")]
    password_env: Option<String>,
    /// The password, from the first line of a file.
    #[arg(long, value_name = "FILE", group = "secret", conflicts_with = "account")]
    password_file: Option<PathBuf>,
    /// The password, from the first line of standard input.
    #[arg(long, group = "secret", conflicts_with = "account")]
    password_stdin: bool,
    /// The password itself; others on this machine can read it.
    #[arg(long, value_name = "WORD", group = "secret", conflicts_with = "account")]
    password: Option<String>,
    /// Send everything there: HOST[:PORT], tcp:HOST. Domains need not resolve.
    #[arg(long, value_name = "HOST")]
    proxy: Option<String>,
    /// Our side [default: the address that leads there, any port].
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = address)]
    bind: Option<SocketAddr>,
    /// Put this line into every request (may be repeated).
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<String>,
    /// Wait so long for a first answer.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration::parse)]
    pub timeout: Duration,
    /// Show every message, on standard error.
    #[arg(short, long)]
    pub verbose: bool,
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let ip = text.trim_matches(['[', ']']).parse::<IpAddr>();
    let whole = text.parse::<SocketAddr>();
    match (ip, whole) {
        (_, Ok(address)) => Ok(address),
        (Ok(ip), _) => Ok(SocketAddr::new(ip, 0)),
        _ => Err("an ADDRESS or ADDRESS:PORT, as in 192.0.2.10:5062 or [::1]:0"),
    }
}

fn header(text: &str) -> Result<String, &'static str> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
    match text.split_once(':') {
        Some((name, _))
            if !name.is_empty() && name.bytes().all(token) && !text.contains(['\r', '\n']) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("a header is NAME: VALUE, as in 'X-Test: 1'"),
    }
}

/// The first thing a reader of addresses needs: is it one?
pub fn target(text: &str, home: Option<&str>) -> Result<Target, Trouble> {
    Target::read(text, home).map_err(|error| Trouble::target(&error))
}

/// Who we are and whom we want: a word alone is a user of our domain, which is this machine if nobody says.
pub fn at(global: &Global, who: &Who, to: &str) -> Result<(Profile, Target), Trouble> {
    const HERE: &str = "127.0.0.1";
    // Only its transport is wanted before our domain is known.
    let hint = target(to, Some(HERE))?;
    let profile = who.profile(global, Some(&hint))?;
    let to = target(to, Some(profile.domain.as_deref().unwrap_or(HERE)))?;
    Ok((profile, to))
}

impl Who {
    /// What the flags mean. Not to be called inside the loop: the store has one of its own.
    pub fn profile(&self, global: &Global, peer: Option<&Target>) -> Result<Profile, Trouble> {
        let mut profile = Profile {
            user: None,
            domain: None,
            credentials: Vec::new(),
            proxy: self.proxy.as_deref().map(|text| target(text, None)).transpose()?,
            bind: self.bind,
            headers: self.headers.iter().map(|line| line.as_str().into()).collect(),
            timeout: self.timeout,
        };
        if let Some(account) = &self.account {
            self.account(global, account, peer, &mut profile)?;
        } else if let Some(from) = &self.from {
            let from = from.strip_prefix("sip:").unwrap_or(from);
            let (user, domain) =
                from.split_once('@').map_or((from, None), |(user, domain)| (user, Some(domain)));
            profile.user = Some(user.into());
            profile.domain = domain.map(Into::into);
        }
        let asked = self.password()?;
        if let Some(password) = asked {
            let name = self.user.as_deref().or(profile.user.as_deref());
            let name = name.or_else(|| peer.and_then(|peer| peer.user.as_deref()));
            profile.credentials = vec![Credentials {
                user: name.unwrap_or_default().into(),
                realm: "".into(),
                secret: Secret::Password(password.into()),
            }];
        }
        Ok(profile)
    }

    /// Whether anybody was named to be.
    pub const fn is_somebody(&self) -> bool {
        self.account.is_some() || self.from.is_some()
    }

    /// From the store of the local server: through the server while it runs.
    fn account(
        &self,
        global: &Global,
        name: &str,
        peer: Option<&Target>,
        profile: &mut Profile,
    ) -> Result<(), Trouble> {
        let settings = global.find().map_err(|_| {
            let next = "see ringway check";
            Trouble::new(
                Kind::Usage,
                format!("--as {name}"),
                "the configuration cannot be read",
                next,
            )
        })?;
        let found = credential(global, &settings, name)?;
        let text = |key: &str| found.get(key).and_then(Value::as_str).map(Box::<str>::from);
        let (user, domain) = (text("user").unwrap_or_default(), text("domain").unwrap_or_default());
        profile.credentials = vec![Credentials {
            user: self.user.as_deref().map_or_else(|| user.clone(), Into::into),
            realm: domain.clone(),
            secret: Secret::Ha1 { sha256: text("ha1_sha256"), md5: text("ha1") },
        }];
        profile.user = Some(user);
        profile.domain = Some(domain);
        if profile.proxy.is_none() {
            let wanted = peer.and_then(|peer| peer.transport);
            let ipv6 = self.bind.map(|bind| bind.is_ipv6());
            profile.proxy = found.get("listen").and_then(|all| local_server(all, wanted, ipv6));
        }
        Ok(())
    }

    fn password(&self) -> Result<Option<String>, Trouble> {
        let wrong = |which: &str, why: String| {
            Trouble::new(
                Kind::Usage,
                format!("the password from {which}"),
                why,
                "see --help for the other ways",
            )
        };
        let given = if let Some(password) = &self.password {
            fail(
                exit::YES,
                "warning: everybody on this machine can read --password; use --password-env",
            );
            password.clone()
        } else if let Some(variable) = &self.password_env {
            let missing = |_| wrong(&format!("${variable}"), "it is not set".to_owned());
            std::env::var(variable).map_err(missing)?
        } else if let Some(path) = &self.password_file {
            let line = std::fs::File::open(path)
                .and_then(|file| first_line(std::io::BufReader::new(file)));
            line.map_err(|error| wrong(&path.display().to_string(), error.to_string()))?
        } else if self.password_stdin {
            let line = first_line(std::io::stdin().lock());
            line.map_err(|error| wrong("standard input", error.to_string()))?
        } else {
            return Ok(None);
        };
        if given.is_empty() {
            return Err(wrong("where it was said to be", "it is empty".to_owned()));
        }
        Ok(Some(given))
    }

    /// Somebody who shows the messages, if that was asked for.
    pub fn witness(&self) -> Option<Witness> {
        self.verbose.then(|| Box::new(show) as Witness)
    }
}

/// Asks the running server, or opens its store.
fn credential(global: &Global, settings: &Settings, name: &str) -> Result<Value, Trouble> {
    let what = format!("--as {name}");
    let socket = settings.admin.as_deref();
    let runs = socket.is_some_and(|path| std::os::unix::net::UnixStream::connect(path).is_ok());
    if !runs
        && let Home::Directory(path) = &settings.store
        && !path.exists()
    {
        let why = format!("no server runs here, and there is no store in {}", path.display());
        let next = "start one (ringway run), or say who you are with --from and --password-env";
        return Err(Trouble::new(Kind::NoServer, what, why, next));
    }
    let request = Request::Credential { name: name.to_owned() };
    user::ask(global, settings, &request).map(|reply| reply.last).map_err(|(code, sentence)| {
        let bare = name.split('@').next().unwrap_or(name);
        match code {
            exit::NO => {
                let next = format!("see ringway user list, or add it: ringway user add {bare}");
                Trouble::new(Kind::NoUser, what, sentence, next)
            }
            _ => Trouble::new(Kind::NoServer, what, sentence, "see ringway status"),
        }
    })
}

/// The local server as an outbound proxy, from what it says it listens to: `udp+tcp 192.0.2.10:5060`.
fn local_server(listen: &Value, wanted: Option<Transport>, ipv6: Option<bool>) -> Option<Target> {
    let places = listen.as_array()?.iter().filter_map(|line| {
        let (transports, address) = line.as_str()?.split_once(' ')?;
        Some((transports, address.parse::<SocketAddr>().ok()?))
    });
    let places: Vec<_> =
        places.filter(|(_, address)| ipv6.is_none_or(|six| address.is_ipv6() == six)).collect();
    let order = match wanted {
        Some(transport) => vec![transport],
        None => vec![Transport::Udp, Transport::Tcp],
    };
    order.into_iter().find_map(|transport| {
        let speaks = |transports: &str| transports.split('+').any(|t| t == transport.uri_token());
        let (_, address) = places.iter().find(|(transports, _)| speaks(transports))?;
        Target::read(&format!("{transport}:{address}"), None).ok()
    })
}

fn first_line(input: impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    input.take(4_096).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// One message, with its digest response hidden: it could be guessed against.
fn show(sight: &Sight<'_>) {
    let arrow = if sight.sent { "->" } else { "<-" };
    let text = String::from_utf8_lossy(sight.bytes);
    if text.trim().is_empty() {
        return;
    }
    let mut page = format!("{} {arrow} {}\n", time_of_day(sight.at), sight.flow);
    for line in text.lines() {
        page.push_str(&format!("  {}\n", masked(line)));
    }
    let _ = std::io::stderr().write_all(page.as_bytes());
}

fn masked(line: &str) -> String {
    const MARK: &str = "response=\"";
    let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
    if !name.ends_with("authorization") {
        return line.to_owned();
    }
    let Some((before, after)) = line.split_once(MARK) else { return line.to_owned() };
    let rest = after.split_once('"').map_or("", |(_, rest)| rest);
    format!("{before}{MARK}***\"{rest}")
}

/// Tells of a failure, in words or as one object, and gives its exit code.
pub fn report(trouble: &Trouble, json: bool) -> u8 {
    if !json {
        return fail(trouble.exit_code(), &trouble.to_string());
    }
    let line = json!({
        "v": 1, "ok": false, "exit": trouble.exit_code(), "kind": trouble.kind.name(),
        "code": trouble.code, "error": trouble.to_string(),
    });
    print(&format!("{line}\n"));
    trouble.exit_code()
}

/// The loop could not be made, or signals cannot be listened to.
pub fn no_loop(error: &std::io::Error) -> Trouble {
    Trouble::system("the phone", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_server_is_found_by_what_it_says() {
        let listen = json!(["tcp 192.0.2.1:5070", "udp+tcp [::1]:5060", "udp 127.0.0.1:5060"]);
        let found = |wanted, ipv6| local_server(&listen, wanted, ipv6).map(|t| t.to_string());
        assert_eq!(found(None, Some(false)).as_deref(), Some("127.0.0.1:5060"));
        assert_eq!(found(None, None).as_deref(), Some("[::1]:5060"));
        assert_eq!(found(Some(Transport::Tcp), None).as_deref(), Some("tcp:192.0.2.1:5070"));
        assert_eq!(local_server(&json!([]), None, None), None);
    }

    #[test]
    fn the_proof_is_not_shown() {
        let line = "Authorization: Digest username=\"a\", response=\"abc\", nc=00000001";
        assert_eq!(
            masked(line),
            "Authorization: Digest username=\"a\", response=\"***\", nc=00000001"
        );
        assert_eq!(masked("Subject: response=\"abc\""), "Subject: response=\"abc\"");
    }

    #[test]
    fn the_phone_and_the_command_line_agree_on_exit_codes() {
        for (kind, code) in [
            (Kind::Refused, exit::NO),
            (Kind::Usage, exit::USAGE),
            (Kind::NoAnswer, exit::NO_ANSWER),
            (Kind::Unresolvable, exit::NOT_SENT),
            (Kind::CredentialsRefused, exit::REFUSED),
            (Kind::NoServer, exit::NOT_RUNNING),
        ] {
            assert_eq!(kind.exit_code(), code, "{kind:?}");
        }
    }
}
