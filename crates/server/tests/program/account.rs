//! `ringway user`, with the server and without it: the same words, the same effect.

use crate::world::{Folder, Phone, Server};

fn walk(folder: &Folder) {
    let done = folder.run(&["user", "add", "alice@127.0.0.1", "--password-stdin"], "one\n");
    assert_eq!(
        (done.code, done.out.lines().next()),
        (0, Some("alice@127.0.0.1   added")),
        "{done:?}"
    );
    assert_eq!(folder.run(&["user", "add", "alice@127.0.0.1"], "").code, 1);
    assert_eq!(folder.run(&["user", "add", "bob@elsewhere.example"], "").code, 1);
    assert_eq!(folder.run(&["user", "add", "a b"], "").code, 1);
    let made = folder.ok(&["user", "add", "bob", "--generate"]);
    assert!(
        made.starts_with("bob@127.0.0.1   password  ") && made.contains("(shown once)"),
        "{made}"
    );
    let listed = folder.ok(&["user", "list"]);
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, ["alice@127.0.0.1", "bob@127.0.0.1"]);
    assert!(folder.ok(&["user", "show", "bob"]).contains("SHA-256,MD5"));
    assert_eq!(folder.run(&["user", "passwd", "alice", "--password-stdin"], "two\n").code, 0);
    let done = folder.run(&["user", "passwd", "alice", "--password", "two"], "");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.err.contains("warning: a password on the command line"), "{done:?}");
    assert_eq!(folder.run(&["user", "passwd", "carol", "--generate"], "").code, 1);
    assert!(folder.ok(&["user", "rm", "bob"]).contains("removed"));
    assert_eq!(folder.run(&["user", "rm", "bob"], "").code, 1);
    assert_eq!(folder.run(&["user", "show", "bob"], "").code, 1);
}

#[test]
fn without_a_server() {
    let folder = Folder::new();
    walk(&folder);
    let server = Server::start(&folder, &[]);
    assert_eq!(Phone::new(&server, "alice").register("two"), 200);
}

#[test]
fn with_a_server_and_at_once() {
    let folder = Folder::new();
    let server = Server::start(&folder, &[]);
    walk(&folder);
    let wherever =
        [["--json", "user", "list"], ["user", "--json", "list"], ["user", "list", "--json"]];
    let said = wherever.map(|words| folder.ok(&words));
    assert!(said[0].starts_with('{') && said.iter().all(|s| *s == said[0]), "{said:?}");
    let mut alice = Phone::new(&server, "alice");
    assert_eq!(folder.ok(&["regs", "list", "alice"]), "", "a user without a device");
    assert_eq!(alice.register("one"), 401);
    assert_eq!(alice.register("two"), 200);
    for words in [
        &["user", "list", "--json"][..],
        &["user", "show", "alice", "--json"],
        &["regs", "list", "--json"],
    ] {
        let line = folder.ok(words);
        let item: serde_json::Value = serde_json::from_str(&line).expect("one object");
        assert_eq!((item["v"].as_u64(), item["aor"].as_str()), (Some(1), Some("alice@127.0.0.1")));
    }
    let removed = folder.ok(&["user", "rm", "alice", "--json"]);
    assert!(removed.contains("\"devices\":1"), "{removed}");
    assert_eq!(folder.ok(&["regs", "list"]), "");
    assert_eq!(folder.run(&["regs", "list", "alice"], "").code, 1, "there is no such user");
    assert_eq!(Phone::new(&server, "alice").register("two"), 401);
}

/// The mistake may be in the name of the place: the account would go where nobody looks.
#[test]
fn no_account_changes_under_a_configuration_with_mistakes() {
    let folder = Folder::new();
    for wrong in
        ["[store]\nurl = \"postgres://db\"\n", "[stroe]\nurl = \"file:./data\"\n", "[sip\n"]
    {
        folder.write("ringway.toml", wrong);
        for words in [&["user", "add", "alice", "--generate"][..], &["user", "list"]] {
            let done = folder.run(words, "");
            assert_eq!((done.code, done.out.as_str()), (1, ""), "{wrong}: {done:?}");
            assert!(done.err.contains("error["), "{done:?}");
        }
        assert!(!folder.path("ringway-data").exists());
    }
}

#[test]
fn looking_makes_nothing() {
    let folder = Folder::new();
    assert_eq!(folder.ok(&["user", "list"]), "");
    assert!(!folder.path("ringway-data").exists());
}

/// `user forward`: the same words with and without the server; what was said with it holds after a restart.
#[test]
fn where_calls_go() {
    let folder = Folder::new();
    folder.ok(&["user", "add", "alice"]);
    folder.ok(&["user", "forward", "alice", "--busy", "bob"]);
    let server = Server::start(&folder, &[]);
    let said = folder.ok(&["user", "forward", "alice", "--no-answer", "15s", "sip:c@192.0.2.9"]);
    let wanted = "alice@127.0.0.1   forwards\n  busy to sip:bob@127.0.0.1\n  no answer for 15s to sip:c@192.0.2.9\n";
    assert_eq!(said, wanted);
    assert_eq!(server.stop().code, 0);
    let shown = folder.ok(&["user", "show", "alice"]);
    assert!(shown.ends_with("  forward  busy to sip:bob@127.0.0.1\n  forward  no answer for 15s to sip:c@192.0.2.9\n"), "{shown}");
    folder.ok(&["user", "forward", "alice", "--off", "--busy"]);
    let json = folder.ok(&["user", "forward", "alice", "--off", "--json"]);
    assert!(json.contains(r#""busy":null"#) && json.contains(r#""no_answer":null"#), "{json}");
    for (words, code) in [
        (&["alice", "bob"][..], 1),
        (&["alice", "--always", "alice"], 1),
        (&["carol", "--always", "bob"], 1),
        (&["alice", "--always"], 2),
        (&["alice", "--no-answer", "soon", "bob"], 2),
    ] {
        let done = folder.run(&[&["user", "forward"][..], words].concat(), "");
        assert_eq!(done.code, code, "{words:?} {}", done.err);
    }
}

#[test]
fn the_password_is_nowhere_on_disk() {
    let folder = Folder::new();
    let server = Server::start(&folder, &[]);
    let done = folder.run(&["user", "add", "alice", "--password-stdin"], "correct horse battery\n");
    assert_eq!(done.code, 0, "{done:?}");
    let log = server.stop();
    assert!(!log.err.contains("correct horse"));
    for entry in std::fs::read_dir(folder.path("ringway-data")).expect("there") {
        let bytes = std::fs::read(entry.expect("readable").path()).expect("readable");
        assert!(!bytes.windows(13).any(|w| w == b"correct horse"));
    }
}
