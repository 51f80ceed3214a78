//! `ringway reload` and SIGHUP: another configuration while calls run, or none of it.

use serde_json::Value;

use crate::drain::{answer, ringing};
use crate::stateless::{Core, arrival, configure};
use crate::world::{Folder, Phone, Server, header, status};

const GOOD: &str = "[sip]\ndomains = [\"127.0.0.1\"]\n";
const BAD: &str = "[sip]\ndomains = [\"127.0.0.1\"]\nallow_inbuond = true\n[limits]\nburst = 3\n";

/// A call that stands: both phones, the way in the dialog, and bob's Contact.
struct Call {
    alice: Phone,
    bob: Phone,
    route: String,
    contact: String,
}

fn talking(folder: &Folder) -> (Server, Call) {
    let (server, mut alice, bob, invite) = ringing(folder);
    let contact = format!("sip:bob@{}", bob.local());
    let with_contact = answer(&invite, "200 OK")
        .replace("Content-Length", &format!("Contact: <{contact}>\r\nContent-Length"));
    bob.send(&with_contact);
    let ok = alice.wait_for(|m| m.starts_with("SIP/2.0 200") && m.contains("INVITE"));
    let route = format!("Route: {}\r\n", header(&ok, "record-route").expect("on the path"));
    let ack = alice.request("ACK", &contact, "<sip:bob@127.0.0.1>;tag=tbob", &route);
    alice.send(&ack);
    bob.wait_for(|m| m.starts_with("ACK "));
    (server, Call { alice, bob, route, contact })
}

impl Call {
    /// The one asks in the dialog, the other answers.
    fn goes_on(&mut self, method: &str) {
        let to = "<sip:bob@127.0.0.1>;tag=tbob";
        let text = self.alice.request(method, &self.contact, to, &self.route);
        self.alice.send(&text);
        let heard = self.bob.wait_for(|m| m.starts_with(method));
        self.bob.send(&answer(&heard, "200 OK").replace(";tag=tbob;tag=tbob", ";tag=tbob"));
        let ok = self.alice.wait_for(|m| m.starts_with("SIP/2.0 ") && m.contains(method));
        assert_eq!(status(&ok), 200, "{ok}");
    }
}

/// Somebody we do not know wants to call bob: the status of the answer, or 0 if bob hears it.
fn stranger(server: &Server, bob: &Phone, n: u32) -> u16 {
    let mut phone = Phone::new(server, &format!("stranger{n}"));
    let text = phone.request("MESSAGE", "sip:bob@127.0.0.1", "<sip:bob@127.0.0.1>", "");
    phone.send(&text.replace("@127.0.0.1>;tag=t", "@elsewhere.example>;tag=t"));
    let answered = std::thread::scope(|scope| {
        let answer = scope.spawn(|| phone.next());
        loop {
            if answer.is_finished() {
                break Some(answer.join().expect("an answer"));
            }
            if let Some(heard) = bob.take() {
                assert!(heard.starts_with("MESSAGE "), "{heard}");
                bob.send(&crate::drain::answer(&heard, "200 OK"));
                answer.join().expect("bob's answer");
                break None;
            }
            std::thread::yield_now();
        }
    });
    answered.map_or(0, |answer| status(&answer))
}

fn json(folder: &Folder, words: &[&str]) -> Value {
    serde_json::from_str(&folder.ok_or_attention(words)).expect("one object")
}

#[test]
fn bad_bad_good_in_the_middle_of_a_call() {
    let folder = Folder::new();
    let (server, mut call) = talking(&folder);
    let refused = stranger(&server, &call.bob, 1);
    assert!(refused >= 400, "{refused}");
    for n in 2..4 {
        folder.write("ringway.toml", BAD);
        let done = folder.run(&["reload"], "");
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
        assert!(done.err.contains("did you mean `allow_inbound`?"), "{done:?}");
        assert!(done.err.contains("--> ringway.toml:3:1"), "{done:?}");
        assert!(done.err.contains("2 errors; the configuration in force stays"), "{done:?}");
        assert_eq!(stranger(&server, &call.bob, n), refused, "nothing of it is in force");
        call.goes_on("INFO");
        let told = json(&folder, &["status", "--json"])["attention"].to_string();
        assert!(told.contains("the last reload was refused: 2 errors"), "{told}");
    }
    folder.write("ringway.toml", &format!("{GOOD}allow_inbound = true\n"));
    let done = folder.run(&["reload"], "");
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.out, "changed\tsip.allow_inbound\tfalse\ttrue\n");
    assert!(done.err.starts_with("ringway.toml is in force: 1 changed, "), "{done:?}");
    assert!(done.err.contains("2 registered devices"), "{done:?}");
    assert_eq!(stranger(&server, &call.bob, 4), 0, "bob hears strangers now");
    let told = json(&folder, &["status", "--json"])["attention"].to_string();
    assert!(!told.contains("reload"), "{told}");
    call.goes_on("BYE");
    assert_eq!(server.stop().code, 0);
}

#[test]
fn a_domain_comes_and_goes_while_a_call_stands() {
    let folder = Folder::new();
    let (server, mut call) = talking(&folder);
    let place = server.address("udp").to_string();
    let register = |who: &str| folder.run(&["register", "--as", who, "--proxy", &place], "").code;
    let add = ["user", "add", "carol@example.org", "--password-file", "pw"];
    assert_eq!(folder.run(&add, "").code, 1, "not a domain of this server");

    folder.write("ringway.toml", "[sip]\ndomains = [\"127.0.0.1\", \"example.org\"]\n");
    let told = folder.ok(&["reload"]);
    assert_eq!(told, "changed\tsip.domains\t127.0.0.1\t127.0.0.1, example.org\n");
    folder.ok(&add);
    assert_eq!((register("carol@example.org"), register("alice@127.0.0.1")), (0, 0));
    call.goes_on("INFO");

    folder.write("ringway.toml", "[sip]\ndomains = [\"example.org\"]\n");
    folder.ok(&["reload"]);
    assert_eq!(register("carol@example.org"), 0);
    assert_ne!(call.alice.register("secret"), 200, "127.0.0.1 is a name of example.org now");
    call.goes_on("INFO");

    folder.write("ringway.toml", GOOD);
    folder.ok(&["reload"]);
    assert_ne!(register("carol@example.org"), 0);
    assert_eq!(call.alice.register("secret"), 200, "the accounts are where they were");
    call.goes_on("BYE");
    server.stop();
}

#[test]
fn what_needs_a_restart_is_named_and_waits() {
    let folder = Folder::new();
    let server = Server::start(&folder, &[]);
    folder.write(
        "ringway.toml",
        "[sip]\ndomains = [\"127.0.0.1\"]\nlisten = [\"udp://127.0.0.1:9\"]\nworkers = 200\n\
         drain_timeout = \"1s\"\n[log]\nformat = \"human\"\n[limits]\nconnections = 7\n",
    );
    let workers = json(&folder, &["status", "--json"])["workers"].to_string();
    let done = folder.run(&["reload"], "");
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(
        done.out,
        format!(
            "changed\tsip.drain_timeout\t30s\t1s\nchanged\tlimits.connections\t20000\t7\n\
             needs restart\tsip.workers\t{workers}\t200\nneeds restart\tlog.format\tauto\thuman\n"
        )
    );
    let end = "Not read, because flags of `run` say otherwise: sip.listen.\n";
    assert!(done.err.ends_with(end), "{done:?}");
    let again = json(&folder, &["reload", "--json"]);
    assert_eq!(again["changed"], serde_json::json!([]));
    let waits = |item: &Value| item["setting"].as_str().expect("text").to_owned();
    let waiting: Vec<String> =
        again["needs_restart"].as_array().expect("a list").iter().map(waits).collect();
    assert_eq!(waiting, ["sip.workers", "log.format"]);
    assert!(again["kept"].as_array().expect("a list").contains(&"sip.domains".into()));
    assert!(again["shown"].is_null());
    let screen = folder.ok(&["status"]);
    assert!(screen.contains("not in force: sip.workers, log.format"), "{screen}");
    assert_eq!(json(&folder, &["status", "--json"])["workers"].to_string(), workers);
    server.stop();
}

#[test]
fn the_signal_does_the_same() {
    let folder = Folder::new();
    let mut server = Server::start(&folder, &[]);
    folder.write("ringway.toml", BAD);
    server.signal("HUP");
    let line = server.wait_for_log("reload_refused");
    assert!(line.contains("\"by\":\"SIGHUP\"") && line.contains("2 errors"), "{line}");
    let line = server.wait_for_log("config_mistake");
    assert!(
        line.contains("\"file\":\"ringway.toml\",\"line\":3,\"code\":\"unknown-key\""),
        "{line}"
    );
    folder.write("ringway.toml", &format!("{GOOD}[auth]\nnonce_lifetime = \"1m\"\n"));
    server.signal("HUP");
    let line = server.wait_for_log("reloaded");
    assert!(line.contains("\"changed\":\"auth.nonce_lifetime\""), "{line}");
    assert!(line.contains("\"needs_restart\":\"nothing\""), "{line}");
    server.stop();
}

#[test]
fn limits_and_the_level_of_the_log_follow() {
    let folder = Folder::new();
    let server = Server::start(&folder, &[]);
    let dropped = || {
        let all = json(&folder, &["status", "--json"]);
        all["counters"]["dropped_unverified"].as_u64().expect("a number")
    };
    let mut phone = Phone::new(&server, "x");
    for _ in 0..200 {
        assert_eq!(phone.ask("OPTIONS", "sip:127.0.0.1", "").0, 200);
    }
    let tight = "[limits]\ntrusted = []\nper_source = { requests = \"1/s\", burst = 1 }\n";
    folder.write("ringway.toml", &format!("{GOOD}{tight}[log]\nlevel = \"error\"\n"));
    folder.ok(&["reload"]);
    while dropped() == 0 {
        let text = phone.request("OPTIONS", "sip:127.0.0.1", "<sip:127.0.0.1>", "");
        phone.send(&text);
    }
    folder.write("ringway.toml", GOOD);
    folder.ok(&["reload"]);
    let mut other = Phone::new(&server, "y");
    for _ in 0..200 {
        assert_eq!(other.ask("OPTIONS", "sip:127.0.0.1", "").0, 200);
    }
    let log = server.stop().err;
    let reloads = log.matches("\"event\":\"reloaded\"").count();
    assert_eq!(reloads, 1, "the first one silenced itself: {log}");
}

#[test]
fn a_missing_file_is_no_wish_for_the_defaults() {
    let folder = Folder::new();
    let server = Server::start(&folder, &[]);
    std::fs::remove_file(folder.path("ringway.toml")).expect("removed");
    let done = folder.run(&["reload"], "");
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("cannot read ringway.toml"), "{done:?}");
    assert_eq!(json(&folder, &["status", "--json"])["domains"], serde_json::json!(["127.0.0.1"]));
    server.stop();

    let folder = Folder::empty();
    let server = Server::start(&folder, &[]);
    let done = folder.run(&["reload"], "");
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    assert!(done.err.starts_with("No file was found; the defaults are in force: 0 changed"));
    folder.write("ringway.toml", "[sip]\ndomains = [\"example.org\"]\n");
    assert_eq!(folder.ok(&["reload"]), "changed\tsip.domains\tauto\texample.org\n");
    folder.write("ringway.toml", "[sip]\ndomains = [\"auto\"]\n");
    folder.ok(&["reload"]);
    let domains = &json(&folder, &["status", "--json"])["domains"];
    assert_eq!(*domains, serde_json::json!(["127.0.0.1"]), "the one that the store has kept");
    server.stop();
}

#[test]
fn a_balancer_gets_other_cores() {
    let cores: Vec<Core> = (0..2).map(|_| Core::new()).collect();
    let folder = Folder::new();
    configure(&folder, &cores[..1], "");
    let server = Server::start(&folder, &[]);
    let mut phone = Phone::new(&server, "alice");
    let mut place = |cores: &[Core]| {
        let text = phone.request("MESSAGE", "sip:bob@example.com", "<sip:bob@example.com>", "");
        phone.send(&text);
        arrival(cores).0
    };
    assert_eq!(place(&cores), 0);
    let second = format!("sip:{}", cores[1].address());
    let text = std::fs::read_to_string(folder.path("ringway.toml")).expect("readable");
    folder.write("ringway.toml", &text.replace(&format!("sip:{}", cores[0].address()), &second));
    let first = format!("sip:{}", cores[0].address());
    assert_eq!(
        folder.ok(&["reload"]),
        format!("changed\tgateway core-0\turi = \"{first}\"\turi = \"{second}\"\n")
    );
    assert_eq!(place(&cores), 1);
    server.stop();
}

/// They were not asked whether they are there; now they are, and one is not.
#[test]
fn a_balancer_learns_to_probe() {
    let cores = [Core::new()];
    let folder = Folder::new();
    configure(&folder, &cores, "");
    let mut server = Server::start(&folder, &[]);
    let text = std::fs::read_to_string(folder.path("ringway.toml")).expect("readable");
    let probe = "[set.core]\nprobe = { every = \"1s\", timeout = \"100ms\", down_after = 1 }\n";
    folder.write("ringway.toml", &(text + probe));
    folder.ok(&["reload"]);
    let line = server.wait_for_log("gateway");
    assert!(line.contains("core-0") && line.contains("down"), "{line}");
    server.stop();
}

/// What the file says about listeners is in force at the next start only: a gateway that needs them must wait as well.
#[test]
fn all_or_nothing_also_where_the_file_is_good() {
    let cores = [Core::new()];
    let folder = Folder::new();
    let listen = "listen = [\"udp://127.0.0.1:0\"]\n";
    configure(&folder, &cores, listen);
    let server = Server::spawn(folder.command(&["run", "--json"]));
    let text = std::fs::read_to_string(folder.path("ringway.toml")).expect("readable");
    let both = "listen = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]\nrecord_route = true\n";
    let text = text.replace(listen, both);
    let uri = format!("sip:{}", cores[0].address());
    folder.write("ringway.toml", &text.replace(&uri, &format!("{uri};transport=tcp")));
    assert_eq!(folder.run(&["check"], "").code, 0);
    let done = folder.run(&["reload"], "");
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{done:?}");
    assert!(done.err.contains("can reach gateway core-0 by tcp"), "{done:?}");
    assert!(done.err.contains("(what it says now needs a restart)"), "{done:?}");
    let mut phone = Phone::new(&server, "alice");
    let ask = phone.request("MESSAGE", "sip:bob@example.com", "<sip:bob@example.com>", "");
    phone.send(&ask);
    assert_eq!(arrival(&cores).0, 0, "the old one by the old way");
    server.stop();
}

#[test]
fn nobody_to_ask() {
    let folder = Folder::new();
    let done = folder.run(&["reload"], "");
    assert_eq!(done.code, 6, "{done:?}");
    let server = Server::start(&folder, &[]);
    folder.write("ringway.toml", "[sip\n");
    let done = folder.run(&["reload"], "");
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("was not asked, and keeps what it has"), "{done:?}");
    let refused = folder.run(&["reload", "--admin", "ringway-data/admin.sock"], "");
    assert_eq!(refused.code, 1, "{refused:?}");
    folder.write("ringway.toml", BAD);
    let done = folder.run(&["reload", "--json"], "");
    let told: Value = serde_json::from_str(&done.out).expect("one object");
    assert_eq!((done.code, &told["ok"], &told["code"]), (1, &false.into(), &"refused".into()));
    assert_eq!(told["findings"][0]["code"], "unknown-key");
    assert_eq!(folder.run(&["status", "-q"], "").code, 1);
    server.stop();
}
