//! The first minutes: an empty folder, two commands, a phone.

use crate::world::{Folder, Phone, Server};

#[test]
fn an_empty_folder_two_commands_and_a_phone() {
    let folder = Folder::empty();
    let server = Server::start(&folder, &["--domain", "127.0.0.1"]);
    let added: serde_json::Value =
        serde_json::from_str(&folder.ok(&["user", "add", "alice", "--json"])).expect("one object");
    assert_eq!(added["aor"], "alice@127.0.0.1");
    let password = added["password"].as_str().expect("made").to_owned();

    let mut alice = Phone::new(&server, "alice");
    assert_eq!(alice.ask("OPTIONS", "sip:127.0.0.1", "").0, 200);
    assert_eq!(alice.register("wrong"), 401);
    assert_eq!(alice.register(&password), 200);
    let listed = folder.ok(&["regs", "list"]);
    assert!(
        listed.starts_with(&format!("alice@127.0.0.1\tsip:alice@{}\t", alice.local())),
        "{listed}"
    );
    assert_eq!(folder.ok(&["regs", "list", "--json"]).lines().count(), 1);

    let status: serde_json::Value =
        serde_json::from_str(&folder.ok(&["status", "--json"])).expect("one object");
    assert_eq!((status["users"].as_u64(), status["bindings"].as_u64()), (Some(1), Some(1)));
    assert!(folder.ok(&["status"]).contains("1 of 1 users, 1 devices"));
    assert_eq!(server.stop().code, 0);
}

#[test]
fn a_registration_outlives_the_server() {
    let folder = Folder::new();
    folder.write("pw", "secret\n");
    assert!(
        folder.ok(&["user", "add", "alice@127.0.0.1", "--password-file", "pw"]).contains("added")
    );
    let server = Server::start(&folder, &[]);
    assert_eq!(server.ready["accounts"], 1);
    let mut alice = Phone::new(&server, "alice");
    assert_eq!(alice.register("secret"), 200);
    drop(server); // SIGKILL: what was acknowledged is on disk
    let server = Server::start(&folder, &[]);
    assert_eq!(server.ready["bindings"], 1);
    assert!(folder.ok(&["regs", "list"]).contains("alice@127.0.0.1"));
    assert_eq!(server.stop().code, 0);
}

#[test]
fn in_memory_nothing_is_left_behind() {
    let folder = Folder::new();
    let words = ["--store", "memory:", "--admin", "a.sock"];
    let server = Server::start(&folder, &words);
    folder.write("pw", "secret\n");
    let add = ["user", "add", "alice", "--password-file", "pw", "--admin", "a.sock"];
    assert!(folder.ok(&add).contains("added"));
    let mut alice = Phone::new(&server, "alice");
    assert_eq!(alice.register("secret"), 200);
    assert_eq!(server.stop().code, 0);
    assert!(!folder.path("ringway-data").exists() && !folder.path("a.sock").exists());
}

#[test]
fn the_first_lines_say_what_is_in_force() {
    let folder = Folder::empty();
    let mut command = folder.command(&["run", "--listen", "udp://127.0.0.1:0", "--log", "off"]);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = child.spawn().expect("starts");
    let mut lines = Vec::new();
    let out = std::io::BufReader::new(child.stdout.take().expect("piped"));
    for line in std::io::BufRead::lines(out) {
        lines.push(line.expect("text"));
        if lines.last().is_some_and(|line| line.starts_with("ready in ")) {
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    let firsts: Vec<&str> =
        lines.iter().filter_map(|line| line.split_whitespace().next()).collect();
    let wanted = ["ringway", "data", "domain", "listen", "policy", "admin", "users", "ready"];
    assert_eq!(firsts, wanted, "{lines:#?}");
    assert!(lines[1].ends_with("(new)") && lines[3].contains("udp 127.0.0.1:"), "{lines:#?}");
}
