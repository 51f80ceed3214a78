//! One table of exit codes (`ringway help exit-codes`), the same for every command.

use std::net::UdpSocket;

use crate::world::{Folder, Server};

#[test]
fn the_table() {
    let folder = Folder::new();
    let code = |words: &[&str]| folder.run(words, "").code;
    assert_eq!(code(&[]), 0);
    assert_eq!(code(&["help"]), 0);
    assert_eq!(code(&["help", "run"]), 0);
    assert_eq!(code(&["--version"]), 0);
    assert!(folder.ok(&["help", "exit-codes"]).contains("  7  the server will not start"));
    for wrong in [&["dance"][..], &["run", "--dance"], &["user"], &["help", "dance"], &["call"]] {
        assert_eq!(code(wrong), 2, "{wrong:?}");
    }
    for not_running in [&["status"][..], &["regs", "list"]] {
        let done = folder.run(not_running, "");
        assert_eq!(done.code, 6, "{not_running:?}");
        assert!(done.err.contains("ringway-data/admin.sock"), "{done:?}");
    }
    assert_eq!(code(&["status", "--nagios"]), 2);
    folder.write("bad.toml", "[sip]\nlisten = 7\n");
    assert_eq!(code(&["run", "-c", "bad.toml"]), 7);
    assert_eq!(code(&["check", "-c", "bad.toml"]), 1);
    assert_eq!(code(&["run", "--listen", "udp://192.0.2.1:5060", "--store", "memory:"]), 7);
}

#[test]
fn of_options() {
    let folder = Folder::new();
    // Bound and silent.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("bound").to_string();
    let done = folder.run(&["options", &silent, "--timeout", "50ms"], "");
    assert_eq!(done.code, 3, "{done:?}");
    let closed = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        socket.local_addr().expect("bound").to_string()
    };
    assert_eq!(folder.run(&["options", &format!("tcp:{closed}")], "").code, 4);
    assert_eq!(folder.run(&["options", "name.invalid"], "").code, 4);
    assert_eq!(folder.run(&["options", &silent, "--timeout", "50ms", "--nagios"], "").code, 2);

    let server = Server::start(&folder, &["--store", "memory:"]);
    let udp = server.address("udp").to_string();
    let text = folder.ok(&["options", &udp]);
    assert!(text.starts_with(&format!("200 OK from {udp} (udp) in ")), "{text}");
    let text = folder.ok(&["options", &udp, "-n", "3"]);
    assert!(text.contains("3 sent, 3 answered, 0 % lost"), "{text}");
    assert!(folder.ok(&["options", &udp, "--nagios"]).starts_with("SIP OK - 200 in "));
    let tcp = format!("tcp:{}", server.address("tcp"));
    let answer: serde_json::Value =
        serde_json::from_str(&folder.ok(&["options", &tcp, "--json"])).expect("one object");
    assert_eq!((answer["code"].as_u64(), answer["transport"].as_str()), (Some(200), Some("tcp")));
}

#[test]
fn two_servers_do_not_share() {
    let folder = Folder::new();
    let server = Server::start(&folder, &[]);
    let listen = format!("udp://{}", server.address("udp"));
    let done = folder.run(&["run", "--listen", &listen, "--store", "memory:"], "");
    assert_eq!(done.code, 4, "{done:?}");
    assert!(done.err.contains("somebody else has this port"), "{done:?}");
    let done = folder.run(&["run", "--listen", "udp://127.0.0.1:0"], "");
    assert_eq!(done.code, 7, "{done:?}");
    assert!(done.err.contains("another ringway is using"), "{done:?}");
}
