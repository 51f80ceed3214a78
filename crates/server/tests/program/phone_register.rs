//! `ringway register` against our server: UDP, TCP, IPv6, refreshes, removal, JSON.

use serde_json::Value;

use crate::world::{Done, Folder, Line, Server};

fn devices(folder: &Folder) -> Vec<Value> {
    let listed = folder.ok(&["regs", "list", "--json"]);
    listed.lines().map(|line| serde_json::from_str(line).expect("one object")).collect()
}

fn with_alice(words: &[&str]) -> (Folder, Server) {
    let folder = Folder::new();
    let server = Server::start(&folder, words);
    let done = folder.run(&["user", "add", "alice", "--password-stdin"], "secret\n");
    assert_eq!(done.code, 0, "{done:?}");
    (folder, server)
}

#[test]
fn over_udp_tcp_and_ipv6_by_store_and_by_password() {
    let (folder, server) = with_alice(&["--listen", "udp://[::1]:0"]);
    let (udp, tcp) = (server.address("udp").to_string(), format!("tcp:{}", server.address("tcp")));
    let six =
        server.ready["listen"].as_array().expect("listeners").iter().filter_map(Value::as_str);
    let six = six.filter_map(|line| line.strip_prefix("udp [")).next().expect("IPv6");
    let six = format!("[{six}");
    for (proxy, source) in
        [(&udp, "udp:127.0.0.1:"), (&tcp, "tcp:127.0.0.1:"), (&six, "udp:[::1]:")]
    {
        for who in [
            &["--as", "alice"][..],
            &["alice@127.0.0.1", "--password-env", "PW"],
            &["--from", "alice@127.0.0.1", "--password", "secret"],
        ] {
            let words = [&["register", "--proxy", proxy][..], who].concat();
            let done = folder.run(&words, "");
            assert_eq!(done.code, 0, "{words:?}: {done:?}");
            let first = done.out.lines().next().unwrap_or_default();
            assert!(
                first.starts_with(
                    "registered alice@127.0.0.1 for 3600 s (challenge SHA-256, 2 round trips, "
                ),
                "{first}"
            );
            assert!(done.out.contains("no NAT"), "{}", done.out);
            assert_eq!(
                done.err.contains("--password-env"),
                who.contains(&"--password"),
                "{done:?}"
            );
            let found = devices(&folder);
            let of = |row: &Value| row["source"].as_str().expect("text").starts_with(source);
            assert!(found.iter().any(of), "{source} in {found:?}");
            assert_eq!(
                folder.ok(&["register", "--as", "alice", "--unregister"]),
                "unregistered alice@127.0.0.1: no device is left\n"
            );
            assert!(devices(&folder).is_empty());
        }
    }
}

#[test]
fn others_are_listed_and_all_are_removed() {
    let (folder, server) = with_alice(&[]);
    folder.ok(&["register", "--as", "alice"]);
    let second = folder.ok(&["register", "--as", "alice"]);
    assert!(second.contains("other    1 binding: sip:alice@127.0.0.1:"), "{second}");
    assert_eq!(devices(&folder).len(), 2);
    folder.ok(&["register", "--as", "alice", "--unregister"]);
    assert!(devices(&folder).is_empty());
    assert_eq!(server.stop().code, 0);
}

#[test]
fn staying_refreshes_and_leaving_removes() {
    let folder = Folder::new();
    folder.write(
        "ringway.toml",
        "[sip]\ndomains = [\"127.0.0.1\"]\n[registrar]\nexpires = { min = \"1s\" }\n",
    );
    let _server = Server::start(&folder, &[]);
    folder.ok(&["user", "add", "alice"]);
    let mut phone =
        Line::start(&folder, &["register", "--as", "alice", "--stay", "--expires", "4"]);
    phone.wait_for("registered alice@127.0.0.1 for 4 s");
    for _ in 0..2 {
        phone.wait_for("refreshed alice@127.0.0.1 for 4 s");
    }
    assert_eq!(devices(&folder).len(), 1);
    phone.signal("INT");
    let done = phone.end();
    assert_eq!(done.code, 130, "{done:?}");
    assert!(done.out.ends_with("unregistered alice@127.0.0.1\n"), "{done:?}");
    assert!(devices(&folder).is_empty());
}

#[test]
fn messages_are_shown_without_the_proof() {
    let (folder, _server) = with_alice(&[]);
    let done = folder.run(&["register", "--as", "alice", "-v", "-H", "X-Test: yes"], "");
    assert_eq!(done.code, 0, "{done:?}");
    for shown in
        ["REGISTER sip:127.0.0.1 SIP/2.0", "SIP/2.0 401", "X-Test: yes", "response=\"***\""]
    {
        assert!(done.err.contains(shown), "{shown}: {}", done.err);
    }
}

#[test]
fn as_an_object_and_for_a_monitor() {
    let (folder, _server) = with_alice(&[]);
    let object: Value = serde_json::from_str(&folder.ok(&["register", "--as", "alice", "--json"]))
        .expect("one object");
    insta::assert_snapshot!("register", crate::world::shape(&object));
    let line = folder.ok(&["register", "--as", "alice", "--nagios"]);
    assert!(line.starts_with("SIP OK - registered in ") && line.contains(" | time="), "{line}");
    let Done { code, out, .. } =
        folder.run(&["register", "alice@127.0.0.1:9", "--password-env", "PW", "--nagios"], "");
    assert_eq!((code, out.starts_with("SIP CRITICAL - ")), (2, true), "{out}");
}

#[test]
fn a_domain_that_nobody_can_resolve() {
    let folder = Folder::new();
    folder.write("ringway.toml", "[sip]\ndomains = [\"example.invalid\"]\n");
    let server = Server::start(&folder, &[]);
    let done = folder.run(&["user", "add", "alice", "--password-stdin"], "secret\n");
    assert_eq!(done.code, 0, "{done:?}");
    let place = server.address("udp").to_string();
    let words = ["register", "alice@example.invalid", "--proxy", &place, "--password-env", "PW"];
    let done = folder.run(&words, "");
    assert!(done.code == 0 && done.out.starts_with("registered alice@example.invalid"), "{done:?}");
    // The local server is found by itself.
    assert!(
        folder.ok(&["register", "--as", "alice"]).starts_with("registered alice@example.invalid")
    );
    let done = folder.run(&["message", "nobody", "hello", "--as", "alice"], "");
    assert!(done.err.contains("message to nobody@example.invalid: 404"), "{done:?}");
}
