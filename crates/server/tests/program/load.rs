//! `ringway load` against a real server: units are counted, never timed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::world::{Done, Folder, Server};

/// A server that believes everybody, and its address.
fn open(folder: &Folder) -> (Server, String) {
    folder.write("ringway.toml", "[sip]\ndomains = [\"127.0.0.1\"]\n\n[auth]\nenabled = false\n");
    let server = Server::start(folder, &[]);
    let address = server.address("udp").to_string();
    (server, address)
}

fn object(done: &Done) -> Value {
    assert_eq!(done.out.lines().count(), 1, "one object: {done:?}");
    let object: Value = serde_json::from_str(&done.out).expect("an object");
    assert_eq!(object["v"], 1);
    assert_eq!(object["exit"], done.code, "{done:?}");
    assert_eq!(object["ok"], done.code == 0, "{done:?}");
    object
}

fn load(folder: &Folder, address: &str, words: &str) -> Done {
    let words: Vec<&str> = ["load", address, "--warm-up", "0s", "--json"]
        .into_iter()
        .chain(words.split(' ').filter(|word| !word.is_empty()))
        .collect();
    folder.run(&words, "")
}

#[test]
fn every_scenario_adds_up() {
    let folder = Folder::new();
    let (_server, address) = open(&folder);
    for words in [
        "--scenario options --rate 100 --for 200ms",
        "--scenario register --window 4 --for 200ms",
        "--scenario re-register --users 600 --expires 60 --for 500ms",
        "--scenario register-storm --users 300",
        "--scenario call --rate 50 --for 200ms",
        "--scenario message --size 20..1000 --rate 100 --for 200ms",
        "--scenario call --ramp 20..60/1s",
    ] {
        let done = load(&folder, &address, words);
        let report = object(&done);
        // A machine that stalls may make the sender the limit of a ramp.
        let ours = report["knee"]["breach"]["by"] == "sender";
        assert!(done.code == 0 || ours, "{words}: {done:?}");
        let units = &report["units"];
        assert!(units["ok"].as_u64().is_some_and(|ok| ok > 0), "{words}: {report}");
        assert_eq!(
            (&units["started"], &units["failed"]),
            (&units["ok"], &Value::from(0)),
            "{words}"
        );
        assert_eq!(report["unexpected"], 0, "{words}");
        assert_eq!((&report["stopped"], &report["interrupted"]), (&false.into(), &false.into()));
        assert_eq!(
            report["storm"]["back"],
            if words.contains("storm") { 300.into() } else { Value::Null }
        );
        assert_eq!(report["knee"].is_object(), words.contains("--ramp"), "{words}");
    }
    // Everybody has gone again.
    assert_eq!(folder.ok(&["regs", "list"]), "");
}

#[test]
fn callers_hear_each_other() {
    let folder = Folder::new();
    let (_server, address) = open(&folder);
    let words =
        "--media --callers 4 --hold 300ms --for 250ms --fail-if rtp.loss>0% --fail-if rtp.silent>0";
    let done = load(&folder, &address, words);
    let report = object(&done);
    assert_eq!(done.code, 0, "{done:?}");
    let (units, rtp) = (&report["units"], &report["rtp"]);
    assert_eq!((&units["started"], &units["ok"]), (&4.into(), &4.into()), "{report}");
    assert!(rtp["sent"].as_u64().is_some_and(|sent| sent >= 8), "{report}");
    assert_eq!(
        (&rtp["received"], &rtp["lost"], &rtp["stray"]),
        (&rtp["sent"], &0.into(), &0.into())
    );
    assert_eq!(rtp["jitter_ms"]["count"], 8, "two streams a call");
}

#[test]
fn a_ramp_says_where_it_broke() {
    let folder = Folder::new();
    let (_server, address) = open(&folder);
    // Nobody answers within no time: the first step breaks.
    let done =
        load(&folder, &address, "--scenario options --ramp 50..60/1s --fail-if setup.min>0us");
    let report = object(&done);
    assert_eq!((done.code, &report["knee"]["rate"]), (1, &Value::Null), "{done:?}");
    let breach = &report["knee"]["breach"];
    assert_eq!(breach["step"], 1, "{report}");
    // A machine that stalls may make the sender late in it.
    let why = breach["why"].as_str().expect("a reason");
    assert!(breach["by"] == "sender" || why.starts_with("setup.min>0us: it was "), "{report}");
    let rows = report["steps"]["rows"].as_array().expect("steps");
    let started: u64 = rows.iter().filter_map(|row| row["started"].as_u64()).sum();
    assert_eq!((rows.len(), Value::from(started)), (10, report["units"]["started"].clone()));
    // A condition on the knee decides, whatever the steps say.
    let done = load(
        &folder,
        &address,
        "--scenario options --ramp 50..60/1s --fail-if knee<1000000 --fail-if failed>100%",
    );
    let report = object(&done);
    assert_eq!(done.code, 1, "{done:?}");
    assert_eq!(report["broken"].as_array().map(Vec::len), Some(1), "{report}");
    assert!(done.err.contains("fail-if knee<1000000: it was "), "{done:?}");
}

#[test]
fn passwords_are_answered_and_wrong_ones_are_no_answer() {
    let folder = Folder::new();
    for name in ["alice", "bob"] {
        assert_eq!(folder.run(&["user", "add", name, "--password-stdin"], "secret\n").code, 0);
    }
    let server = Server::start(&folder, &[]);
    let address = server.address("udp").to_string();
    folder.write("secret", "secret\n");
    folder.write("wrong", "wrong\n");
    for scenario in ["call", "message", "register-storm"] {
        let with = |file: &str| {
            let words = format!(
                "--scenario {scenario} --users alice,bob --window 1 --for 300ms --password-file {file}"
            );
            load(&folder, &address, &words)
        };
        let done = with("secret");
        let report = object(&done);
        assert_eq!((done.code, &report["units"]["failed"]), (0, &0.into()), "{scenario}: {done:?}");
        let done = with("wrong");
        assert_eq!(done.code, 5, "{scenario}: {done:?}");
        object(&done);
    }
}

#[test]
fn a_refusal_is_an_object_too() {
    let folder = Folder::new();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("bound").to_string();
    let bind = format!("--bind {taken}");
    for (code, words, why) in [
        (2, "--dance", "--dance"),
        (2, "--ramp 5..2/10s", "a ramp rises"),
        (2, "--ramp 1..2/1s --rate 5", "cannot be used with"),
        (2, "--users 0", "nobody to call"),
        (2, "--size 5", "only --scenario message"),
        (2, "--media --scenario message", "only --scenario call"),
        (2, "--callers 5 --ramp 1..2/1s", "cannot be used with"),
        (2, "--fail-if rtp.loss>1%", "only calls with --media"),
        (2, "--scenario re-register --rate 5", "--expires make the rate"),
        (2, "--scenario re-register", "nothing would happen"),
        (2, "--scenario register-storm --rate 5", "--window"),
        (2, "--password-env NOT_THERE", "NOT_THERE is not set"),
        (2, "--fail-if knee<5", "only a --ramp has a knee"),
        (2, "--fail-if loss>5%", "is not a condition"),
        (4, &bind, "cannot use the local address"),
    ] {
        let done = load(&folder, "127.0.0.1:9", words);
        assert_eq!(done.code, code, "{words}: {done:?}");
        let report = object(&done);
        assert!(report["error"].as_str().is_some_and(|text| text.contains(why)), "{report}");
        assert!(done.err.contains(why), "{done:?}");
    }
    let stranger = load(&folder, "192.0.2.1", "");
    assert!(object(&stranger)["error"].to_string().contains("--i-may-load-test 192.0.2.1"));
}

/// Started, and measuring.
struct Running {
    child: Child,
    err: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(folder: &Folder, address: &str, words: &[&str]) -> Self {
        let always =
            ["load", address, "--warm-up", "0s", "--for", "1h", "--every", "20ms", "--json"];
        let mut child = folder
            .command(&[&always, words].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let err = BufReader::new(child.stderr.take().expect("piped"));
        let mut running = Self { child, err };
        running.wait_for("measuring");
        running
    }

    /// Reads its progress up to this phase, in which something was begun.
    fn wait_for(&mut self, phase: &str) {
        let mut line = String::new();
        while !line.starts_with(phase) || line.contains(" started 0 ") {
            line.clear();
            assert_ne!(self.err.read_line(&mut line).expect("text"), 0, "it ended");
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args(["-s", name, &id]).status().expect("kill runs").success());
    }

    fn end(mut self) -> Done {
        let (mut out, mut err) = (String::new(), String::new());
        self.err.read_to_string(&mut err).expect("text");
        self.child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
        let code = self.child.wait().expect("ends").code().unwrap_or(-1);
        Done { code, out, err }
    }
}

#[test]
fn signals_finish_or_leave() {
    let folder = Folder::new();
    let (_server, address) = open(&folder);
    for (signals, hold, code) in [
        (&["USR1"][..], "0s", 0),
        (&["INT"], "0s", 130),
        (&["TERM"], "1h", 130),
        (&["INT", "INT"], "1h", 130),
    ] {
        let mut running = Running::start(&folder, &address, &["--rate", "50", "--hold", hold]);
        for (count, signal) in signals.iter().enumerate() {
            if count > 0 {
                // Two signals of a kind at once are one.
                running.wait_for("finishing");
            }
            running.signal(signal);
        }
        let done = running.end();
        assert_eq!(done.code, code, "{signals:?}: {done:?}");
        let report = object(&done);
        assert_eq!(report["stopped"], true);
        assert_eq!(report["interrupted"], code == 130);
        let units = &report["units"];
        let (started, ok) = (units["started"].as_u64(), units["ok"].as_u64());
        assert!(
            if hold == "0s" { ok == started && ok > Some(0) } else { ok == Some(0) },
            "{report}"
        );
        assert!(!done.err.contains('\x1b'), "no cursor movement in a pipe: {done:?}");
    }
}

/// What a person at a terminal sees: `script` makes one. The keys work and the terminal is put back.
#[test]
fn keys_on_a_terminal() {
    let folder = Folder::new();
    let (_server, address) = open(&folder);
    for (keys, codes, ended) in
        [("+-pp\u{3}", "code 130", true), ("Q", "code 130", false), ("q", "code 0", true)]
    {
        let hold = if ended { "0s" } else { "1h" };
        let program = env!("CARGO_BIN_EXE_ringway");
        let line = format!(
            "trap : INT; stty -g; {program} load {address} --warm-up 0s --rate 50 --for 1h --hold {hold}; echo code $?; stty -g"
        );
        let mut child = std::process::Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .current_dir(folder.path("."))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script is part of every Linux");
        let mut screen = Vec::new();
        let mut out = child.stdout.take().expect("piped");
        let mut read_until = |word: &str| {
            let mut some = [0; 1_024];
            while !String::from_utf8_lossy(&screen).contains(word) {
                let n = out.read(&mut some).expect("readable");
                assert_ne!(n, 0, "it ended: {}", String::from_utf8_lossy(&screen));
                screen.extend_from_slice(&some[..n]);
            }
            String::from_utf8_lossy(&screen).into_owned()
        };
        read_until("measuring");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(keys.as_bytes()).expect("typed");
        stdin.flush().expect("typed");
        let end = read_until(codes);
        let rest = read_until_end(&mut out, end);
        assert!(child.wait().expect("ends").success());
        assert!(rest.contains("[+]/[-] rate  [p]ause"), "{rest}");
        assert!(rest.contains("--- result ---"), "{rest}");
        assert_eq!(rest.contains("not ended"), !ended, "{rest}");
        let modes: Vec<&str> =
            rest.lines().map(str::trim).filter(|line| line.matches(':').count() > 20).collect();
        assert_eq!(modes.len(), 2, "{rest}");
        assert_eq!(modes[0], modes[1], "the terminal is as it was");
        let (off, on) = (rest.matches("\x1b[?7l").count(), rest.matches("\x1b[?7h").count());
        assert!(off > 0 && off == on, "lines wrap again");
    }
}

fn read_until_end(out: &mut impl std::io::Read, mut text: String) -> String {
    let mut rest = Vec::new();
    // A terminal that is gone reads as an error.
    let _ = out.read_to_end(&mut rest);
    text.push_str(&String::from_utf8_lossy(&rest));
    text
}
