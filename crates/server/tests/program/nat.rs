//! A phone behind a NAT, as an operator sees it: pinged, listed with its health, and pinged again after a restart.

use serde_json::Value;

use crate::world::{Folder, Phone, Server, header, status};

const CONFIG: &str =
    "[sip]\ndomains = [\"127.0.0.1\"]\n[nat]\nkeepalive = \"1s\"\n[auth]\nenabled = false\n";

fn listed(folder: &Folder) -> Value {
    serde_json::from_str(&folder.ok(&["regs", "list", "--json"])).expect("one device")
}

/// What a phone says to a request: its Via lines, From, To, Call-ID and CSeq, with a status.
fn answer(request: &str) -> String {
    let copied = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        ["Via", "From", "To", "Call-ID", "CSeq"].contains(&name)
    };
    let lines: Vec<&str> = request.lines().filter(copied).collect();
    format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"))
}

fn answer_ping(phone: &Phone) {
    let ping = phone.wait_for(|m| m.starts_with("OPTIONS sip:alice@10.0.0.5 "));
    phone.send(&answer(&ping));
}

#[test]
fn pinged_listed_and_pinged_again_after_a_restart() {
    let folder = Folder::new();
    folder.write("ringway.toml", CONFIG);
    let server = Server::start(&folder, &[]);
    let mut alice = Phone::new(&server, "alice");
    alice.claimed = Some("10.0.0.5");
    let to = "<sip:alice@127.0.0.1>";
    let request = alice.request("REGISTER", "sip:127.0.0.1", to, "Expires: 3600\r\n");
    alice.send(&request);
    let granted = alice.wait_for(|m| m.starts_with("SIP/2.0 "));
    assert_eq!(status(&granted), 200);
    assert_eq!(header(&granted, "contact"), Some("<sip:alice@10.0.0.5>;expires=120"));
    let item = listed(&folder);
    assert_eq!((&item["nat"], &item["health"]), (&Value::Bool(true), &Value::from("unknown")));

    answer_ping(&alice);
    // The next one is sent after the answer has been taken in.
    let ping = alice.wait_for(|m| m.starts_with("OPTIONS "));
    let item = listed(&folder);
    assert_eq!(item["health"], "answers", "{item}");
    assert!(item["rtt_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{item}");
    assert!(item["heard_at"].is_string() && item["pings_answered"] == 1, "{item}");
    let table = folder.ok(&["regs", "list", "alice"]);
    assert!(table.contains("\tyes\t") && table.contains("\tanswers"), "{table}");
    alice.send(&answer(&ping));
    drop(server); // SIGKILL

    let server = Server::start(&folder, &[]);
    let mut again = alice;
    again.moves_to(&server);
    answer_ping(&again);
    // Without passwords `status` has something to say, which is no success.
    let report = folder.run(&["status", "--json"], "").out;
    let report: Value = serde_json::from_str(&report).expect("one object");
    assert!(report["counters"]["pings_sent"].as_u64() >= Some(1), "{report}");
    assert_eq!(server.stop().code, 0);
}

/// What phones send to keep their own NATs open gets no answer and is nobody's mistake.
#[test]
fn keep_alives_of_phones_are_swallowed() {
    let folder = Folder::new();
    let server = Server::start(&folder, &[]);
    let mut phone = Phone::new(&server, "alice");
    for keep_alive in ["\r\n\r\n", "\r\n", "\0\0\0\0", ""] {
        phone.send(keep_alive);
    }
    let (code, answer) = phone.ask("OPTIONS", "sip:127.0.0.1", "");
    assert_eq!(code, 200, "the first thing that is answered: {answer}");
    let report: Value =
        serde_json::from_str(&folder.ok(&["status", "--json"])).expect("one object");
    let count = |name: &str| report["counters"][name].as_u64();
    assert_eq!((count("malformed"), count("messages_received")), (Some(0), Some(1)), "{report}");
}
