//! Gateways and routes with the real binary: what is listed, ordered and tested, what is kept over a restart, and what
//! `explain` says with the server and without it.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::world::{Folder, Phone, Server, header};

/// A carrier: it answers OPTIONS with 200 while it is awake, INVITE with what it is told, and ACK with nothing.
pub struct Carrier {
    socket: UdpSocket,
    awake: Arc<AtomicBool>,
    /// The status of its answers to INVITE; 0: none.
    answer: Arc<AtomicU32>,
    invites: Arc<std::sync::Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Carrier {
    pub fn new(status: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("set");
        let mut carrier = Self {
            socket: socket.try_clone().expect("cloned"),
            awake: Arc::new(AtomicBool::new(true)),
            answer: Arc::new(AtomicU32::new(status)),
            invites: Arc::default(),
            stop: Arc::default(),
            thread: None,
        };
        let (awake, answer) = (Arc::clone(&carrier.awake), Arc::clone(&carrier.answer));
        let (invites, stop) = (Arc::clone(&carrier.invites), Arc::clone(&carrier.stop));
        let work = move || {
            let mut buffer = [0; 65_536];
            while !stop.load(Ordering::SeqCst) {
                let Ok((n, from)) = socket.recv_from(&mut buffer) else { continue };
                let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
                let status = match text.split(' ').next() {
                    Some("OPTIONS") if awake.load(Ordering::SeqCst) => 200,
                    Some("INVITE") => {
                        invites.lock().expect("whole").push(text.clone());
                        answer.load(Ordering::SeqCst)
                    }
                    Some("BYE" | "CANCEL") => 200,
                    _ => 0,
                };
                if status > 0 {
                    let reply = reply(&text, &format!("{status} As Told"));
                    socket.send_to(reply.as_bytes(), from).expect("sent");
                }
            }
        };
        carrier.thread = Some(std::thread::spawn(work));
        carrier
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub fn invites(&self) -> Vec<String> {
        self.invites.lock().expect("whole").clone()
    }

    fn answers(&self, status: u32) {
        self.answer.store(status, Ordering::SeqCst);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn reply(request: &str, status: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines() {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if ["via", "record-route", "from", "call-id", "cseq"].contains(&name.as_str()) {
            text.push_str(&format!("{line}\r\n"));
        } else if name == "to" {
            text.push_str(&format!("{line};tag=carrier\r\n"));
        }
    }
    text + "Content-Length: 0\r\n\r\n"
}

/// The example, with these carriers in place of its own.
fn example(name: &str, carriers: &[&Carrier]) -> Folder {
    let folder = Folder::new();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let mut text = std::fs::read_to_string(path.join("ringway.toml")).expect("an example");
    for (carrier, port) in carriers.iter().zip(5071..) {
        text = text.replace(&format!("127.0.0.1:{port}"), &carrier.address().to_string());
    }
    folder.write("ringway.toml", &text);
    let done = folder.run(&["check"], "");
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    folder.write("pw", "secret\n");
    for user in ["alice", "bob", "reception"] {
        folder.ok(&["user", "add", user, "--password-file", "pw"]);
    }
    folder
}

fn listed(folder: &Folder, name: &str) -> Value {
    let lines = folder.ok(&["gateway", "list", "--json"]);
    let items = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("an object"));
    let mut items = items.filter(|item| item["name"] == name);
    items.next().expect("a gateway of this name")
}

#[test]
fn orders_are_obeyed_and_kept() {
    let (a, b) = (Carrier::new(486), Carrier::new(486));
    let folder = example("pstn-failover", &[&a, &b]);
    assert_eq!(folder.run(&["gateway", "list"], "").code, 6, "only a server knows");
    let server = Server::start(&folder, &[]);
    let tested = folder.ok(&["gateway", "test", "carrier-a"]);
    assert!(tested.starts_with("carrier-a   200 in ") && tested.ends_with(" ms; up\n"), "{tested}");
    let words = ["gateway", "drain", "carrier-a", "--reason", "new firmware"];
    assert_eq!(folder.ok(&words), "carrier-a   draining, 0 calls\n");
    let row = folder.ok(&["gateway", "list"]);
    let cells: Vec<&str> = row.lines().next().expect("two rows").split('\t').collect();
    assert_eq!(cells[..4], ["carrier-a", "pstn", "draining", "0 of 30"]);
    assert!(cells[5].starts_with("by ") && cells[5].ends_with(": new firmware"), "{cells:?}");
    let done = folder.run(&["gateway", "drain", "carrier-c"], "");
    assert_eq!(done.code, 1);
    assert!(done.err.contains("gateways here: carrier-a, carrier-b"), "{}", done.err);

    let mut alice = Phone::new(&server, "alice");
    assert_eq!(alice.ask_as("INVITE", "sip:030777@127.0.0.1", "secret", "").0, 486);
    assert_eq!((a.invites().len(), b.invites().len()), (0, 1));
    assert_eq!(server.stop().code, 0);

    let server = Server::start(&folder, &[]);
    let item = listed(&folder, "carrier-a");
    assert_eq!(
        (item["state"].as_str(), item["why"].as_str()),
        (Some("draining"), Some("new firmware"))
    );
    assert_eq!(folder.ok(&["gateway", "enable", "carrier-a"]), "carrier-a   up, 0 calls\n");
    let mut alice = Phone::new(&server, "alice");
    assert_eq!(alice.ask_as("INVITE", "sip:030777@127.0.0.1", "secret", "").0, 486);
    assert_eq!(a.invites().len(), 1);
    folder.ok(&["gateway", "disable", "carrier-a"]);
    assert_eq!(folder.run(&["gateway", "test", "carrier-a"], "").code, 1);
    folder.ok(&["gateway", "disable", "carrier-b"]);
    let (code, answer) = alice.ask_as("INVITE", "sip:030777@127.0.0.1", "secret", "");
    assert_eq!((code, header(&answer, "retry-after")), (503, Some("5")), "{answer}");
}

#[test]
fn probes_find_out_and_are_believed_after_a_restart() {
    let (a, b) = (Carrier::new(486), Carrier::new(486));
    let folder = example("pstn-failover", &[&a, &b]);
    a.awake.store(false, Ordering::SeqCst);
    let mut server = Server::start(&folder, &[]);
    server.wait_for_log("gateway");
    let item = listed(&folder, "carrier-a");
    assert_eq!(
        (item["state"].as_str(), item["why"].as_str()),
        (Some("down"), Some("no answer in 1 s"))
    );
    assert_eq!(folder.run(&["gateway", "test", "carrier-a"], "").code, 3);
    let status = folder.run(&["status"], "");
    assert_eq!(status.code, 1, "{}", status.out);
    assert!(status.out.contains("gateway carrier-a is down"), "{}", status.out);
    assert_eq!(server.stop().code, 0);

    let mut server = Server::start(&folder, &[]);
    assert_eq!(listed(&folder, "carrier-a")["state"], "down", "a restart makes nobody well");
    let mut alice = Phone::new(&server, "alice");
    assert_eq!(alice.ask_as("INVITE", "sip:030777@127.0.0.1", "secret", "").0, 486);
    assert_eq!((a.invites().len(), b.invites().len()), (0, 1));
    a.awake.store(true, Ordering::SeqCst);
    server.wait_for_log("gateway");
    assert_eq!(listed(&folder, "carrier-a")["state"], "up");
}

#[test]
fn failover_and_identity() {
    let (a, b) = (Carrier::new(503), Carrier::new(486));
    let folder = example("pstn-failover", &[&a, &b]);
    folder.ok(&["user", "alias", "alice", "+4930123456"]);
    let server = Server::start(&folder, &[]);
    let mut alice = Phone::new(&server, "alice");
    assert_eq!(alice.ask_as("INVITE", "sip:030777@127.0.0.1", "secret", "").0, 486);
    let invite = &b.invites()[0];
    assert!(
        invite.starts_with(&format!("INVITE sip:+4930777@{} SIP/2.0\r\n", b.address())),
        "{invite}"
    );
    assert_eq!(header(invite, "p-asserted-identity"), Some("<sip:+4930123456@127.0.0.1>"));
    assert_eq!(header(invite, "proxy-authorization"), None);
    a.answers(0);
    assert_eq!(
        alice.ask_as("INVITE", "sip:030778@127.0.0.1", "secret", "").0,
        486,
        "after two seconds"
    );
    let (code, answer) = alice.ask_as("INVITE", "sip:0190666@127.0.0.1", "secret", "");
    assert!(code == 403 && answer.starts_with("SIP/2.0 403 No Premium Numbers\r\n"), "{answer}");
    let mut stranger = Phone::new(&server, "mallory");
    assert_eq!(stranger.ask("INVITE", "sip:030777@127.0.0.1", "").0, 407);
}

#[test]
fn an_office() {
    let provider = Carrier::new(486);
    let folder = example("small-office", &[&provider]);
    folder.ok(&["user", "alias", "alice", "+4930123456"]);
    assert_eq!(folder.run(&["user", "alias", "alice", "bob"], "").code, 1, "somebody's own name");
    assert_eq!(folder.run(&["user", "alias", "carol", "7"], "").code, 1);
    let server = Server::start(&folder, &[]);
    assert_eq!(
        folder.ok(&["user", "alias", "bob", "+4930123457"]),
        "bob@127.0.0.1   is also +4930123457@127.0.0.1\n"
    );
    let [mut alice, mut bob, mut reception] =
        ["alice", "bob", "reception"].map(|name| Phone::new(&server, name));
    for phone in [&mut alice, &mut bob, &mut reception] {
        assert_eq!(phone.register("secret"), 200);
    }
    // What comes from the provider comes from its address.
    let call = |number: &str| {
        let address = provider.address();
        let text = format!(
            "INVITE sip:{number}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:1@provider.example>;tag=1\r\nTo: <sip:{number}@127.0.0.1>\r\n\
             Call-ID: {number}\r\nCSeq: 1 INVITE\r\nContact: <sip:1@{address}>\r\nContent-Length: 0\r\n\r\n"
        );
        provider.socket.send_to(text.as_bytes(), server.address("udp")).expect("sent");
    };
    for (number, phone) in [("+4930123457", &bob), ("+4930123499", &reception), ("bob", &reception)]
    {
        call(number);
        let invite = phone.wait_for(|m| m.starts_with("INVITE "));
        phone.send(&reply(&invite, "486 Busy Here"));
    }
    let mut caller = Phone::new(&server, "alice");
    assert_eq!(caller.ask_as("INVITE", "sip:112@127.0.0.1", "secret", "").0, 486);
    assert_eq!(header(&provider.invites()[0], "priority"), Some("emergency"));
}

#[test]
fn explained_with_and_without_a_server() {
    let (a, b) = (Carrier::new(486), Carrier::new(486));
    let folder = example("pstn-failover", &[&a, &b]);
    folder.ok(&["user", "alias", "alice", "+4930123456"]);
    let explained = |words: &[&str], code: i32| {
        let done = folder.run(&[&["explain"], words].concat(), "");
        assert_eq!(done.code, code, "{words:?} {done:?}");
        let text = done.out.replace(&a.address().port().to_string(), "5071");
        // Where it listens is another port with each start.
        text.lines()
            .filter(|line| !line.starts_with("1 listener"))
            .map(|l| format!("{l}\n"))
            .collect::<String>()
    };
    let cases: [(&[&str], i32); 6] = [
        (&["030777", "--from", "alice"], 0),
        (&["0190666", "--from", "alice"], 1),
        (&["+4930123456", "--from", "carrier-a"], 1),
        (&["030777"], 1),
        (&["bob", "--from", "nobody"], 1),
        (&["112", "--from", "alice", "--method", "MESSAGE"], 0),
    ];
    let offline: Vec<String> = cases.iter().map(|(words, code)| explained(words, *code)).collect();
    let wanted = "\
2 auth       needed; alice@127.0.0.1, if the password is right
3 route      \"emergency\"  from = user  number ~ 110 or 112  no: 030777 is another number  ringway.toml:25
4 route      \"premium\"  number ~ ^0(190|900)  no: 030777 is another number                ringway.toml:30
5 route      \"out\"  from = user  number ~ ^0([1-9].*)$  yes                               ringway.toml:35
6 gateways   set pstn, round-robin: carrier-a up (1), carrier-b up (1)                    ringway.toml:20
7 rewrite    030777 becomes +4930777 (+49$1)                                              ringway.toml:35
8 caller id  the user's first other name, to trusted gateways                             ringway.toml:35
=> INVITE sip:+4930777@127.0.0.1:5071 via carrier-a; on 503, 408 or 2 s silence: carrier-b
";
    assert_eq!(offline[0], wanted);
    assert!(offline[1].ends_with("=> 403 No Premium Numbers\n"), "{}", offline[1]);
    assert!(
        offline[2].contains("alias      +4930123456@127.0.0.1 is alice@127.0.0.1"),
        "{}",
        offline[2]
    );
    assert!(offline[2].ends_with("=> 480 Temporarily Unavailable\n"), "{}", offline[2]);
    assert!(offline[3].ends_with("=> 403 Inbound Calls Not Allowed\n"), "{}", offline[3]);
    assert!(offline[4].ends_with("=> 407 Proxy Authentication Required\n"), "{}", offline[4]);
    let server = Server::start(&folder, &[]);
    folder.ok(&["gateway", "test", "carrier-a"]);
    folder.ok(&["gateway", "test", "carrier-b"]);
    let online: Vec<String> = cases.iter().map(|(words, code)| explained(words, *code)).collect();
    assert_eq!(online, offline);
    let json = folder.ok(&["explain", "030777", "--from", "alice", "--json"]);
    let json: Value = serde_json::from_str(&json).expect("one object");
    assert_eq!(
        (json["route"].as_str(), json["gateway"].as_str()),
        (Some("out"), Some("carrier-a"))
    );
    assert_eq!(json["steps"][4]["line"].as_u64(), Some(35));
    drop(server);
}

/// What the operator has ordered and what the probes have found holds for the name, whatever else a reload changes.
#[test]
fn a_reload_keeps_what_is_known() {
    let (a, b, c) = (Carrier::new(486), Carrier::new(486), Carrier::new(486));
    let folder = example("pstn-failover", &[&a, &b]);
    let server = Server::start(&folder, &[]);
    folder.ok(&["gateway", "drain", "carrier-a", "--reason", "new firmware"]);
    let mut alice = Phone::new(&server, "alice");
    let premium = "sip:0190666@127.0.0.1";
    assert_eq!(alice.ask_as("INVITE", premium, "secret", "").0, 403);

    let first = std::fs::read_to_string(folder.path("ringway.toml")).expect("readable");
    folder.write("ringway.toml", &first.replace("^0(190|900)", "^0(190"));
    let done = folder.run(&["reload"], "");
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
    assert_eq!(alice.ask_as("INVITE", premium, "secret", "").0, 403);

    let third = format!(
        "[[gateway]]\nname = \"carrier-c\"\nset = \"pstn\"\nuri = \"sip:{}\"\npriority = 3\n\n[set.pstn]",
        c.address()
    );
    let text = first
        .replace("^0(190|900)", "^0900")
        .replace("priority = 2\nmax_calls = 30", "priority = 2\nmax_calls = 40")
        .replace("[set.pstn]", &third);
    folder.write("ringway.toml", &text);
    let told = folder.ok(&["reload"]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "changed\tgateway carrier-a\tmax_calls = 30\tmax_calls = 40");
    assert_eq!(
        lines[1],
        "changed\troute premium\twhen = { number = \"^0(190|900)\" }\twhen = { number = \"^0900\" }"
    );
    assert!(
        lines[2].starts_with("changed\tgateway carrier-c\t-\tname = \"carrier-c\", "),
        "{told}"
    );
    assert_eq!(lines.len(), 3, "{told}");
    let item = listed(&folder, "carrier-a");
    assert_eq!(
        (item["state"].as_str(), item["why"].as_str()),
        (Some("draining"), Some("new firmware"))
    );
    assert_eq!(folder.ok(&["gateway", "list"]).lines().count(), 3);
    folder.ok(&["gateway", "test", "carrier-c"]);
    assert_eq!(alice.ask_as("INVITE", premium, "secret", "").0, 486);
    assert_eq!((a.invites().len(), b.invites().len(), c.invites().len()), (0, 0, 1));

    // And the next start knows it as well, for the store was told.
    assert_eq!(server.stop().code, 0);
    let _server = Server::start(&folder, &[]);
    assert_eq!(listed(&folder, "carrier-a")["state"], "draining");
    folder.write("ringway.toml", &first);
    folder.ok(&["reload"]);
    let done = folder.run(&["gateway", "drain", "carrier-c"], "");
    assert!(done.err.contains("gateways here: carrier-a, carrier-b\n"), "{done:?}");
}
