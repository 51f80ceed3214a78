//! The three that are measured: started on the first core, spoken to by `ringway load` from the second, ended again.
//! Each has a port and a folder of its own; nothing of Debian's own Kamailio (its daemon, its files) is touched.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{Pace, Row, Sample, Size};
use crate::cargo;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opponent {
    /// First: its highest rate sets the moderate rate of the row.
    Kamailio,
    Ringway,
    Relay,
}

const DOMAIN: &str = "bench.invalid";
/// `www_challenge` in the Kamailio configuration knows the same.
const PASSWORD: &str = "secret";

impl Opponent {
    pub const ALL: [Opponent; 3] = [Opponent::Kamailio, Opponent::Ringway, Opponent::Relay];

    pub const fn name(self) -> &'static str {
        match self {
            Opponent::Kamailio => "Kamailio",
            Opponent::Ringway => "Ringway",
            Opponent::Relay => "bare relay",
        }
    }
}

/// The release build of what is measured.
pub fn build(root: &Path) -> Result<()> {
    let build = |arguments: &[&str]| -> Result<()> {
        let good = cargo(root)
            .args(["build", "--release", "--locked", "--quiet"])
            .args(arguments)
            .status()?;
        if good.success() { Ok(()) } else { bail!("cargo build {} failed", arguments.join(" ")) }
    };
    build(&["-p", "server"])?;
    build(&["-p", "udp", "--example", "relay"])
}

/// A started opponent. Dropping it ends it.
pub struct Running {
    child: Child,
    port: u16,
    /// The caller's port; the callee has the next one.
    phones: u16,
    folder: PathBuf,
    ringway: PathBuf,
    /// Row (e): who answers behind it.
    _core: Option<Core>,
}

/// The relay as a callee that answers every OPTIONS, on the load's core.
struct Core(Child);

impl Core {
    fn start(root: &Path, port: u16, phones: u16) -> Result<Self> {
        let mut command = on_core(1, &root.join("target/release/examples/relay"));
        command.args([port, phones, phones + 1].map(|port| port.to_string()));
        Ok(Self(command.stdin(Stdio::null()).spawn().context("the answering core")?))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM, so that Kamailio's main process takes its children along.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                let _ = fs::remove_dir_all(&self.folder);
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Programs pinned to a core, where there are two.
fn on_core(core: usize, program: &Path) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// `count` free ports in a row.
fn free_ports(count: u16) -> Result<u16> {
    for _ in 0..100 {
        let first = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let free = |offset| UdpSocket::bind(("127.0.0.1", first.saturating_add(offset))).is_ok();
        if (0..count).all(free) {
            return Ok(first);
        }
    }
    bail!("no {count} free ports in a row on 127.0.0.1")
}

impl Running {
    pub fn start(root: &Path, opponent: Opponent, row: Row, users: u32) -> Result<Self> {
        let port = free_ports(4)?;
        let core = match row {
            Row::Stateless => Some(Core::start(root, port + 3, port + 1)?),
            _ => None,
        };
        let folder = root.join("target/bench").join(format!("{}-{port}", row.token()));
        fs::create_dir_all(&folder)?;
        let ringway = root.join("target/release/ringway");
        let mut command = match opponent {
            Opponent::Kamailio => kamailio(root, &folder, row, port),
            Opponent::Ringway => ringway_run(&ringway, &folder, row, port)?,
            Opponent::Relay => {
                let mut command = on_core(0, &root.join("target/release/examples/relay"));
                let callee = if row == Row::Stateless { port + 3 } else { port + 2 };
                command.args([port, port + 1, callee].map(|port| port.to_string()));
                command.args((row == Row::Stateless).then_some("plain"));
                command
            }
        };
        let log = fs::File::create(folder.join("log"))?;
        let child = command
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} could not be started", opponent.name()))?;
        let mut running = Self { child, port, phones: port + 1, folder, ringway, _core: core };
        running.wait_until_it_answers(opponent == Opponent::Relay && row == Row::Stateless)?;
        if opponent == Opponent::Ringway && row.needs_passwords() {
            add_accounts(&running.folder, users)?;
        }
        Ok(running)
    }

    /// `as_caller`: it passes answers on to the caller's port and to nobody else.
    fn wait_until_it_answers(&mut self, as_caller: bool) -> Result<()> {
        let port = if as_caller { self.phones } else { 0 };
        let socket = UdpSocket::bind(("127.0.0.1", port))?;
        let here = socket.local_addr()?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let begin = Instant::now();
        let mut buffer = [0; 2_048];
        for n in 0.. {
            if self.child.try_wait()?.is_some() || begin.elapsed() > Duration::from_secs(120) {
                let mut log = fs::File::open(self.folder.join("log"))?;
                let length = log.metadata()?.len();
                log.seek(std::io::SeekFrom::Start(length.saturating_sub(2_000)))?;
                let mut text = String::new();
                let _ = log.read_to_string(&mut text);
                bail!("it does not answer; the end of its log:\n{text}");
            }
            let text = format!(
                "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {here};rport;branch=z9hG4bKw{n}\r\n\
                 From: <sip:w@{DOMAIN}>;tag=w\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: w{n}\r\nCSeq: 1 OPTIONS\r\n\
                 Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            );
            socket.send_to(text.as_bytes(), ("127.0.0.1", self.port))?;
            // A 401 is an answer too.
            if socket.recv(&mut buffer).is_ok() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Bytes now, its children included.
    pub fn memory(&self) -> Result<f64> {
        let report = self.ask(&[
            "--scenario",
            "options",
            "--rate",
            "20",
            "--for",
            "200ms",
            "--warm-up",
            "0s",
        ])?;
        report["server"]["memory"].as_f64().context("no memory in the report")
    }

    /// Row (h).
    pub fn stream(&self, root: &Path, size: &Size) -> Result<Sample> {
        super::stream::load(root, &self.folder, self.child.id(), self.port, size)
    }

    pub fn load(&self, row: Row, size: &Size, pace: &Pace, time: Duration) -> Result<Sample> {
        let users = match row {
            Row::Call => size.population.min(1_000),
            _ => size.population,
        };
        let scenario = match row {
            Row::Call => "call",
            Row::Options | Row::Stateless => "options",
            Row::Register | Row::Digest | Row::Challenge => "register",
            // SIPp's: see `stream`.
            Row::Stream => "call",
        };
        let pace = match pace {
            Pace::Highest if row == Row::Call => ["--window".to_owned(), "1024".to_owned()],
            Pace::Highest => ["--window".to_owned(), "128".to_owned()],
            Pace::Rate(rate) => ["--rate".to_owned(), format!("{rate:.0}")],
        };
        let (users, time) = (users.to_string(), format!("{}ms", time.as_millis()));
        let mut arguments =
            vec!["--scenario", scenario, "--users", &users, "--for", &time, "--keep-registered"];
        arguments.extend(pace.iter().map(String::as_str));
        if size.quick {
            arguments.extend(["--warm-up", "100ms"]);
        }
        if row == Row::Call {
            // A 180 and a 200 at the same instant make Kamailio's two children fight for one transaction: a third more
            // CPU a call, which no real phone would cause.
            arguments.extend(["--ring", "20ms", "--hold", "20ms"]);
        }
        if row.needs_passwords() {
            arguments.extend(["--password-env", "RINGWAY_BENCH_PASSWORD", "--algorithm", "MD5"]);
        }
        if row == Row::Challenge {
            arguments.push("--challenge-each");
        }
        sample(row, &self.ask(&arguments)?).context("a report without figures")
    }

    fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let output = on_core(1, &self.ringway)
            .arg("load")
            .arg(format!("127.0.0.1:{}", self.port))
            .args(["--domain", DOMAIN, "--json", "--bind", &format!("127.0.0.1:{}", self.phones)])
            .args(["--server-pid", &self.child.id().to_string()])
            .args(arguments)
            .env("RINGWAY_BENCH_PASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .output()
            .context("`ringway load` could not be started")?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("`ringway load` failed: {}", String::from_utf8_lossy(&output.stderr))
        })
    }
}

fn sample(row: Row, report: &Value) -> Option<Sample> {
    let latency = if row == Row::Call { &report["pass_ms"] } else { &report["setup_ms"] };
    let units = &report["units"];
    Some(Sample {
        rate: report["rate"].as_f64()?,
        micros: report["server"]["us_per_unit"].as_f64()?,
        p50: latency["p50"].as_f64().unwrap_or(f64::NAN),
        p99: latency["p99"].as_f64().unwrap_or(f64::NAN),
        memory_before: report["server"]["memory_before"].as_f64()?,
        memory_peak: report["server"]["memory_peak"]
            .as_f64()?
            .max(report["server"]["memory"].as_f64()?),
        ok: units["ok"].as_u64()?,
        failed: units["failed"].as_u64()?,
        unexpected: report["unexpected"].as_u64()?,
        registered: report["registered"].as_u64()?,
        sender_limited: report["sender"]["limited"].as_bool()?,
    })
}

/// Two children, the allocator that is not 2-5 times slower than the default one, and a receive buffer like ours.
fn kamailio(root: &Path, folder: &Path, row: Row, port: u16) -> Command {
    let mut command = on_core(0, Path::new("/usr/sbin/kamailio"));
    command.arg("-f").arg(root.join("xtask/bench/kamailio.cfg"));
    command.args(["-A", &format!("PORT={port}"), "-x", "tlsf", "-X", "tlsf", "-m", "2048"]);
    command.args(["-b", "4194304", "-DD", "-E"]);
    command.arg("-w").arg(folder).arg("-Y").arg(folder).arg("-P").arg(folder.join("pid"));
    if row.needs_passwords() {
        command.args(["-A", "WITH_AUTH"]);
    }
    if row == Row::Stream {
        command.args(["-A", "WITH_TCP"]);
    }
    if row == Row::Stateless {
        command.args(["-A", "WITH_FORWARD", "-A", &format!("CORE={}", port + 3)]);
    }
    command
}

/// One worker, like the one core it gets; the rest as a newcomer would have it, but for passwords where none are asked.
/// Bindings are in memory, as Kamailio's are; the accounts come through the admin socket.
fn ringway_run(ringway: &Path, folder: &Path, row: Row, port: u16) -> Result<Command> {
    let (mode, domain, gateway) = match row {
        Row::Stateless => (
            "mode = \"stateless\"",
            "edge.invalid",
            format!(
                "\n[[gateway]]\nname = \"core\"\nset = \"core\"\nuri = \"sip:127.0.0.1:{}\"\n",
                port + 3
            ),
        ),
        // The callee is no user of ours: its address is in the Request-URI.
        Row::Stream => ("allow_outbound = true", DOMAIN, String::new()),
        _ => ("", DOMAIN, String::new()),
    };
    let tcp =
        if row == Row::Stream { format!(", \"tcp://127.0.0.1:{port}\"") } else { String::new() };
    let text = format!(
        "[sip]\nlisten = [\"udp://127.0.0.1:{port}\"{tcp}]\ndomains = [\"{domain}\"]\nworkers = 1\n{mode}\n{}\n\
         [auth]\nenabled = {}\n\n[store]\nurl = \"memory:\"\n\n[admin]\nsocket = \"admin.sock\"\n\n\
         [log]\nlevel = \"error\"\n{gateway}",
        // For trying a setting; the table is made without.
        std::env::var("RINGWAY_BENCH_SIP").unwrap_or_default(),
        row.needs_passwords(),
    );
    fs::write(folder.join("ringway.toml"), text)?;
    let mut command = on_core(0, ringway);
    command.args(["run", "--config", "ringway.toml"]);
    Ok(command)
}

/// All accounts of the population, through the admin socket: a thousand requests, then their answers.
fn add_accounts(folder: &Path, users: u32) -> Result<()> {
    let mut socket = UnixStream::connect(folder.join("admin.sock")).context("the admin socket")?;
    let mut answers = BufReader::new(socket.try_clone()?);
    let mut line = String::new();
    for first in (0..users).step_by(500) {
        let some = first..users.min(first + 500);
        let mut text = String::new();
        for user in some.clone() {
            let name = format!("u{user:07}");
            let ask = json!({ "v": 1, "ask": "user-add", "name": name, "password": PASSWORD });
            text.push_str(&format!("{ask}\n"));
        }
        socket.write_all(text.as_bytes())?;
        for _ in some {
            line.clear();
            answers.read_line(&mut line)?;
            if !line.contains("\"ok\":true") {
                bail!("an account was not added: {line}");
            }
        }
    }
    Ok(())
}
