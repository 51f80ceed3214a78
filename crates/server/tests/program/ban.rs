//! `ringway ban`, and bans that the server makes itself; both outlive it.

use std::io::Read as _;
use std::net::TcpStream;

use crate::world::{Folder, PATIENCE, Phone, Server, status};

/// A server on which the loopback network is nobody special.
fn strict(folder: &Folder, more: &str) {
    let text = format!(
        "[sip]\ndomains = [\"127.0.0.1\"]\n[limits]\ntrusted = []\nper_source = {{ requests = \"1000/s\", burst = 1000 }}\n{more}"
    );
    folder.write("ringway.toml", &text);
}

/// The server has read what was sent to it before, and answered nothing.
fn silence(server: &Server, folder: &Folder, phone: &mut Phone) {
    let dropped = |folder: &Folder| {
        let status: serde_json::Value =
            serde_json::from_str(&folder.ok_or_attention(&["status", "--json"]))
                .expect("one object");
        status["counters"]["dropped_banned"].as_u64().expect("a number")
    };
    let before = dropped(folder);
    let request = phone.request("OPTIONS", "sip:127.0.0.1", "<sip:127.0.0.1>", "");
    phone.send(&request);
    let begun = std::time::Instant::now();
    while dropped(folder) == before {
        assert!(begun.elapsed() < PATIENCE, "it was not dropped");
    }
    let mut stream = TcpStream::connect(server.address("tcp")).expect("the kernel accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "closed without a word");
}

#[test]
fn bans_by_hand() {
    let folder = Folder::new();
    strict(&folder, "");
    let server = Server::start(&folder, &[]);
    let mut phone = Phone::new(&server, "x");
    assert_eq!(phone.ask("OPTIONS", "sip:127.0.0.1", "").0, 200);
    assert_eq!(folder.ok(&["ban", "list"]), "");
    assert_eq!(
        folder.ok(&["ban", "add", "127.0.0.0/8", "--for", "30m"]),
        "127.0.0.0/8 is kept out for 1800 s\n"
    );
    silence(&server, &folder, &mut phone);
    server.stop();

    let server = Server::start(&folder, &[]);
    let mut phone = Phone::new(&server, "x");
    silence(&server, &folder, &mut phone);
    let list = folder.ok(&["ban", "list", "--json"]);
    let ban: serde_json::Value = serde_json::from_str(&list).expect("one ban");
    assert_eq!((&ban["network"], &ban["why"]), (&"127.0.0.0/8".into(), &"operator".into()));
    assert!(ban["ends_s"].as_u64().is_some_and(|s| s > 1_000 && s <= 1_800), "{ban}");
    assert_eq!(folder.ok(&["ban", "rm", "127.0.0.0/8"]), "127.0.0.0/8 is let in again\n");
    assert_eq!(phone.ask("OPTIONS", "sip:127.0.0.1", "").0, 200);

    let again = folder.run(&["ban", "rm", "127.0.0.0/8"], "");
    assert_eq!(again.code, 1, "{}", again.err);
    for wrong in ["x", "0.0.0.0/0", "10.0.0.0/33"] {
        assert_eq!(folder.run(&["ban", "add", wrong], "").code, 1, "{wrong}");
    }
    assert_eq!(folder.run(&["ban", "add", "10.0.0.1", "--for", "soon"], "").code, 2);
    server.stop();
    assert_eq!(folder.run(&["ban", "list"], "").code, 6);
}

#[test]
fn guessing_passwords_is_a_ban_until_somebody_lifts_it() {
    let folder = Folder::new();
    strict(&folder, "[auth]\nban = { after = 3, within = \"1m\", for = \"1h\" }\n");
    folder.run(&["user", "add", "alice", "--password-stdin"], "right\n");
    let mut server = Server::start(&folder, &[]);
    let mut alice = Phone::new(&server, "alice");
    assert_eq!(alice.register("right"), 200);
    let mut guesser = Phone::new(&server, "alice");
    for guess in ["a", "b", "c"] {
        assert_eq!(guesser.register(guess), 401);
    }
    server.wait_for_log("banned");
    silence(&server, &folder, &mut guesser);
    // Who has proven an account behind the same address goes on.
    assert_eq!(status(&alice.ask("OPTIONS", "sip:127.0.0.1", "").1), 200);
    server.stop();
    let server = Server::start(&folder, &[]);
    let mut guesser = Phone::new(&server, "alice");
    silence(&server, &folder, &mut guesser);
    assert!(folder.ok(&["ban", "list"]).contains("guessed passwords"));
    folder.ok(&["ban", "rm", "127.0.0.1"]);
    assert_eq!(guesser.register("right"), 200);
}
