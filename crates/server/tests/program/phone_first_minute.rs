//! The first minute: an empty folder, a server, two accounts, a call with sound both ways. Each step waits for the outcome
//! of the one before; how long it took is printed.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Instant;

use crate::world::{Folder, Line};

#[test]
fn from_an_empty_folder_to_a_call() {
    let begun = Instant::now();
    let folder = Folder::empty();
    // As a person would, but for the port: two tests may run at once.
    let listen = ["run", "--listen", "udp://127.0.0.1:0", "--listen", "tcp://127.0.0.1:0"];
    let mut server = folder.command(&listen);
    let mut server = server
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut page = String::new();
    let out = BufReader::new(server.stdout.take().expect("piped"));
    for line in out.lines() {
        let line = line.expect("text");
        page.push_str(&line);
        page.push('\n');
        if line.starts_with("ready in ") {
            break;
        }
    }
    assert!(page.contains("no configuration found, using defaults"), "{page}");
    assert!(page.contains("ringway-data (new)"), "{page}");
    assert!(
        page.lines().count() <= 12 && page.contains("then call: ringway call bob --as alice"),
        "{page}"
    );

    let alice = folder.ok(&["user", "add", "alice"]);
    assert!(
        alice.contains("(shown once)") && alice.contains("phone settings: server 127.0.0.1"),
        "{alice}"
    );
    folder.ok(&["user", "add", "bob", "--generate"]);

    let mut bob =
        Line::start(&folder, &["call", "--listen", "--as", "bob", "--answer", "200", "--echo"]);
    assert_eq!(bob.wait_for("waiting for"), "registered bob@127.0.0.1, waiting for a call\n");

    let call = folder
        .run(&["call", "bob@127.0.0.1", "--as", "alice", "--for", "3s", "--expect-audio"], "");
    assert_eq!(call.code, 0, "{call:?}");
    for line in [
        "180 Ringing\n",
        "200 OK   PCMU, 127.0.0.1:",
        "talking 0:03  sent 1",
        "loss 0 %",
        "ended: we hung up, 3.",
    ] {
        assert!(call.out.contains(line), "{line:?}: {}", call.out);
    }
    assert!(folder.ok(&["status"]).contains("1 of 2 users"));
    bob.signal("INT");
    assert_eq!(bob.end().code, 130);
    assert!(folder.ok(&["status"]).contains("0 of 2 users"));
    let id = server.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-s", "TERM", &id])
            .status()
            .expect("kill")
            .success()
    );
    assert_eq!(server.wait().expect("ends").code(), Some(0));
    println!("the first minute took {:.1} s, 3 of them talk", begun.elapsed().as_secs_f64());
}
