//! Transfers between three of our phones through our server (RFC 5589): blind, attended, and one that fails.

use serde_json::Value;

use crate::world::{Folder, Line, Server};

fn house() -> (Folder, Server) {
    let folder = Folder::new();
    let server = Server::start(&folder, &[]);
    for user in ["alice", "bob", "carol"] {
        folder.ok(&["user", "add", user]);
    }
    (folder, server)
}

fn calls(text: &str) -> Vec<Value> {
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("one object"));
    lines.filter(|line| line.get("event").is_none()).collect()
}

#[test]
fn blind() {
    let (folder, _server) = house();
    let listen = ["call", "--listen", "--expect-audio", "--json", "--as"];
    // Bob is called, and then calls Carol: two calls.
    let bob = Line::waiting(&folder, &[&listen[..], &["bob", "--count", "2"]].concat());
    let carol = Line::waiting(
        &folder,
        &[&listen[..], &["carol", "--count", "1", "--for", "600ms"]].concat(),
    );
    let done = folder.run(
        &["call", "bob", "--as", "alice", "--transfer", "carol", "--transfer-at", "500ms"],
        "",
    );
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("transferred (200)"), "{done:?}");
    let (bob, carol) = (bob.end(), carol.end());
    assert_eq!((bob.code, carol.code), (0, 0), "{bob:?} {carol:?}");
    let (bob, carol) = (calls(&bob.out), calls(&carol.out));
    assert_eq!((bob.len(), carol.len()), (2, 1));
    // The call that Bob was asked to place is Carol's.
    assert_eq!(bob[1]["call_id"], carol[0]["call_id"], "{bob:?} {carol:?}");
    assert_ne!(bob[0]["call_id"], carol[0]["call_id"]);
}

#[test]
fn attended() {
    let (folder, _server) = house();
    let listen = ["call", "--listen", "--json", "--as"];
    let bob = Line::waiting(&folder, &[&listen[..], &["bob", "--count", "2"]].concat());
    // Alice for advice, and then Bob in her place.
    let carol =
        Line::waiting(&folder, &[&listen[..], &["carol", "--count", "2", "--for", "2s"]].concat());
    let done = folder.run(
        &[
            "call",
            "bob",
            "--as",
            "alice",
            "--transfer",
            "carol",
            "--transfer-at",
            "300ms",
            "--attended",
        ],
        "",
    );
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.out.contains("calling there first") && done.out.contains("transferred (200)"),
        "{done:?}"
    );
    let (bob, carol) = (bob.end(), carol.end());
    assert_eq!((bob.code, carol.code), (0, 0), "{bob:?} {carol:?}");
    let (bob, carol) = (calls(&bob.out), calls(&carol.out));
    assert_eq!((bob.len(), carol.len()), (2, 2));
    assert_eq!(bob[1]["call_id"], carol[1]["call_id"], "{bob:?} {carol:?}");
    assert_eq!(carol[0]["ended_by"], "replaced", "{carol:?}");
}

#[test]
fn to_nobody() {
    let (folder, _server) = house();
    let bob = Line::waiting(&folder, &["call", "--listen", "--as", "bob", "--count", "2"]);
    let done = folder.run(
        &[
            "call",
            "bob",
            "--as",
            "alice",
            "--transfer",
            "nobody",
            "--transfer-at",
            "300ms",
            "--for",
            "3s",
        ],
        "",
    );
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("transfer: ") && done.err.contains("404"), "{done:?}");
    // The first call went on.
    assert!(done.out.contains("ended: we hung up, "), "{done:?}");
    assert_eq!(bob.end().code, 1);
}

#[test]
fn attended_to_nobody() {
    let (folder, _server) = house();
    let bob = Line::waiting(&folder, &["call", "--listen", "--as", "bob", "--count", "1"]);
    let call = ["call", "bob", "--as", "alice", "--for", "3s"];
    let transfer = ["--transfer", "nobody", "--transfer-at", "300ms", "--attended"];
    let done = folder.run(&[&call[..], &transfer[..]].concat(), "");
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("404"), "{done:?}");
    // Bob is not left on hold.
    let words = ["on hold", "transfer failed", "resumed", "ended: we hung up, "];
    assert!(words.iter().all(|word| done.out.contains(word)), "{done:?}");
    assert_eq!(bob.end().code, 0);
}
