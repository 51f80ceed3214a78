//! What the tests are made of: a folder, a server in it, a phone that speaks just enough SIP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use phone::digest::{Challenge, Credential};
use serde_json::Value;

/// Longer than anything may take on a busy machine; reached only by a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An empty folder, gone at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ringway-test-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        let folder = Self(path);
        // The phones here know the server by its address.
        folder.write("ringway.toml", "[sip]\ndomains = [\"127.0.0.1\"]\n");
        folder
    }

    /// Without any configuration.
    pub fn empty() -> Self {
        let folder = Self::new();
        std::fs::remove_file(folder.path("ringway.toml")).expect("removed");
        folder
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).expect("written");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.current_dir(&self.0).args(words).env_remove("RINGWAY_CONFIG").env("NO_COLOR", "1");
        command
    }

    /// Runs a command to its end, with `input` on its standard input.
    pub fn run(&self, words: &[&str], input: &str) -> Done {
        let mut child = self
            .command(words)
            .env("PW", "secret")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        // A command that does not read it is fine.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        Done::from(child.wait_with_output().expect("ends"))
    }

    /// The same for `status`, whose answer may be that something needs attention.
    pub fn ok_or_attention(&self, words: &[&str]) -> String {
        let done = self.run(words, "");
        assert!(done.code <= 1, "{words:?}: {}", done.err);
        done.out
    }

    pub fn ok(&self, words: &[&str]) -> String {
        let done = self.run(words, "");
        assert_eq!(done.code, 0, "{words:?}: {}", done.err);
        done.out
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

/// A server that has said it is ready.
pub struct Server {
    child: Option<Child>,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
    pub ready: Value,
}

impl Server {
    /// On ports of the kernel's choosing, one for UDP and one for TCP.
    pub fn start(folder: &Folder, words: &[&str]) -> Self {
        let listen =
            ["run", "--json", "--listen", "udp://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0"];
        Self::spawn(folder.command(&[&listen, words].concat()))
    }

    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("readable");
        if line.is_empty() {
            let done = Done::from(child.wait_with_output().expect("ends"));
            panic!("it did not start: {done:?}");
        }
        let ready = serde_json::from_str(&line).expect("one object");
        let err = BufReader::new(child.stderr.take().expect("piped"));
        Self { child: Some(child), out, err, ready }
    }

    /// Reads its log up to a line with this event: that line.
    pub fn wait_for_log(&mut self, event: &str) -> String {
        let (wanted, mut line) = (format!("\"event\":\"{event}\""), String::new());
        while !line.contains(&wanted) {
            line.clear();
            assert_ne!(self.err.read_line(&mut line).expect("text"), 0, "it ended without {event}");
        }
        line
    }

    pub fn address(&self, transport: &str) -> SocketAddr {
        let listen = self.ready["listen"].as_array().expect("listeners");
        let found = listen.iter().filter_map(Value::as_str).find_map(|line| {
            line.strip_prefix(transport).and_then(|rest| rest.trim().parse().ok())
        });
        found.expect("a listener")
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("asked").is_none())
    }

    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let done = Command::new("kill").args(["-s", name, &id]).status().expect("kill runs");
        assert!(done.success());
    }

    /// Waits for the end; its exit code and what it logged.
    pub fn end(mut self) -> Done {
        let child = self.child.take().expect("running");
        let (mut out, mut err) = (String::new(), String::new());
        self.err.read_to_string(&mut err).expect("text");
        self.out.read_to_string(&mut out).expect("text");
        let done = Done::from(child.wait_with_output().expect("ends"));
        Done { code: done.code, out, err }
    }

    pub fn stop(self) -> Done {
        self.signal("TERM");
        self.end()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// One of our own phones at work: a command that goes on.
pub struct Line {
    child: Option<Child>,
    out: BufReader<ChildStdout>,
    /// What it has said so far.
    pub said: String,
    /// Ends a phone that never comes to its end: dropping this calls it off.
    _watchdog: std::sync::mpsc::Sender<()>,
}

impl Line {
    pub fn start(folder: &Folder, words: &[&str]) -> Self {
        let mut command = folder.command(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (watchdog, called_off) = std::sync::mpsc::channel();
        let id = child.id().to_string();
        std::thread::spawn(move || {
            if called_off.recv_timeout(3 * PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = Command::new("kill").args(["-s", "KILL", &id]).status();
            }
        });
        Self { child: Some(child), out, said: String::new(), _watchdog: watchdog }
    }

    /// Starts it and waits until it has said that it waits.
    pub fn waiting(folder: &Folder, words: &[&str]) -> Self {
        let mut line = Self::start(folder, words);
        let wanted = if words.contains(&"--json") { "\"event\":" } else { "waiting for" };
        line.wait_for(wanted);
        line
    }

    /// Reads up to a line with this in it.
    pub fn wait_for(&mut self, wanted: &str) -> String {
        loop {
            let mut line = String::new();
            let n = self.out.read_line(&mut line).expect("text");
            if n == 0 {
                let child = self.child.take().expect("running");
                let done = Done::from(child.wait_with_output().expect("ends"));
                panic!("it ended without {wanted:?}: {}{done:?}", self.said);
            }
            self.said.push_str(&line);
            if line.contains(wanted) {
                return line;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.as_ref().map_or(0, Child::id).to_string();
        assert!(
            Command::new("kill").args(["-s", name, &id]).status().expect("kill runs").success()
        );
    }

    /// Waits for the end; everything it said.
    pub fn end(mut self) -> Done {
        let child = self.child.take().expect("running");
        self.out.read_to_string(&mut self.said).expect("text");
        let done = Done::from(child.wait_with_output().expect("ends"));
        Done { out: std::mem::take(&mut self.said), ..done }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A phone on UDP.
pub struct Phone {
    socket: UdpSocket,
    server: SocketAddr,
    pub name: String,
    /// The address in its Contact, if it is not its own: it is behind a NAT.
    pub claimed: Option<&'static str>,
    cseq: u32,
}

impl Phone {
    pub fn new(server: &Server, name: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        Self {
            socket,
            server: server.address("udp"),
            name: name.to_owned(),
            claimed: None,
            cseq: 0,
        }
    }

    pub fn local(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// A request with a transaction of its own. `extra` are whole lines.
    pub fn request(&mut self, method: &str, uri: &str, to: &str, extra: &str) -> String {
        self.cseq += 1;
        let (local, name, cseq) = (self.local(), &self.name, self.cseq);
        let contact = self.claimed.map_or_else(|| local.to_string(), str::to_owned);
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{name}{cseq};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{name}@127.0.0.1>;tag=t{name}\r\nTo: {to}\r\n\
             Call-ID: c-{name}-{local}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{name}@{contact}>\r\n\
             {extra}Content-Length: 0\r\n\r\n"
        )
    }

    /// The server was started again, at another port.
    pub fn moves_to(&mut self, server: &Server) {
        self.server = server.address("udp");
    }

    pub fn send(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.server).expect("sent");
    }

    /// The next message of any kind.
    pub fn next(&self) -> String {
        let mut buffer = [0; 65_536];
        let n = loop {
            match self.socket.recv(&mut buffer) {
                // A signal meant for another test of this process.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read.expect("a message in time"),
            }
        };
        String::from_utf8(buffer[..n].to_vec()).expect("text")
    }

    /// What has come, if anything has.
    pub fn take(&self) -> Option<String> {
        let mut buffer = [0; 65_536];
        self.socket.set_nonblocking(true).expect("set");
        let read = self.socket.recv(&mut buffer).ok();
        self.socket.set_nonblocking(false).expect("set");
        read.map(|n| String::from_utf8(buffer[..n].to_vec()).expect("text"))
    }

    /// The next message for which `wanted` holds; others are thrown away.
    pub fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let message = self.next();
            if wanted(&message) {
                return message;
            }
        }
        panic!("it never came")
    }

    /// Sends and returns the status of the final answer.
    pub fn ask(&mut self, method: &str, uri: &str, extra: &str) -> (u16, String) {
        // A REGISTER is about its To (RFC 3261 §10.2), everything else about its Request-URI.
        let to = match method {
            "REGISTER" => format!("<sip:{}@127.0.0.1>", self.name),
            _ => format!("<{uri}>"),
        };
        let request = self.request(method, uri, &to, extra);
        self.send(&request);
        let answer = self.wait_for(|m| m.starts_with("SIP/2.0 ") && !m.starts_with("SIP/2.0 1"));
        (status(&answer), answer)
    }

    /// Asks, answers the challenge, and returns the final status.
    pub fn ask_as(
        &mut self,
        method: &str,
        uri: &str,
        password: &str,
        extra: &str,
    ) -> (u16, String) {
        let (code, answer) = self.ask(method, uri, extra);
        let (field, reply) = match code {
            401 => ("www-authenticate", "Authorization"),
            407 => ("proxy-authenticate", "Proxy-Authorization"),
            _ => return (code, answer),
        };
        let value = header(&answer, field).expect("a challenge");
        let challenge = Challenge::read(value.as_bytes()).expect("readable");
        let mut credential = Credential::new(&challenge, self.name.as_bytes(), password.as_bytes());
        let (nc, mut line) = (credential.next_use(), format!("{reply}: ").into_bytes());
        credential.write(nc, method.as_bytes(), uri.as_bytes(), b"c0ffee", &mut line);
        let line = String::from_utf8(line).expect("text");
        self.ask(method, uri, &format!("{extra}{line}\r\n"))
    }

    pub fn register(&mut self, password: &str) -> u16 {
        self.ask_as("REGISTER", "sip:127.0.0.1", password, "Expires: 600\r\n").0
    }
}

pub fn status(message: &str) -> u16 {
    message.get(8..11).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// The first header of this name, in lower case.
pub fn header<'m>(message: &'m str, name: &str) -> Option<&'m str> {
    message.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// An object with what differs from run to run masked.
pub fn shape(object: &Value) -> String {
    const VOLATILE: &[&str] = &[
        "ms",
        "ring_ms",
        "answer_ms",
        "talk_s",
        "call_id",
        "contact",
        "seen",
        "tx",
        "rx",
        "lost",
        "late",
        "loss_percent",
        "jitter_ms",
        "rtt_ms",
        "mos",
        "sound_s",
        "target",
        "listen",
        "expires_s",
    ];
    fn mask(value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| {
                    let masked = match value {
                        Value::Number(_) if VOLATILE.contains(&name.as_str()) => "<number>".into(),
                        Value::String(_) if VOLATILE.contains(&name.as_str()) => "<text>".into(),
                        Value::Null if VOLATILE.contains(&name.as_str()) => "<null>".into(),
                        other => mask(other),
                    };
                    (name.clone(), masked)
                })
                .collect(),
            Value::Array(items) => items.iter().map(mask).collect(),
            other => other.clone(),
        }
    }
    serde_json::to_string_pretty(&mask(object)).expect("text")
}
