//! `ringway message` through our server, both ways.

use serde_json::Value;

use crate::world::{Folder, Line, Server};

#[test]
fn a_text_and_its_answer() {
    let folder = Folder::new();
    let _server = Server::start(&folder, &[]);
    for user in ["alice", "bob"] {
        folder.ok(&["user", "add", user]);
    }
    let listen = ["message", "--listen", "--count", "2", "--as"];
    let mut bob = Line::waiting(&folder, &[&listen[..], &["bob"]].concat());
    let alice = Line::waiting(&folder, &[&listen[..], &["alice", "--json"]].concat());
    let sent = folder.ok(&["message", "bob@127.0.0.1", "hello, Bob", "--as", "alice"]);
    assert!(sent.starts_with("200 delivered to bob@127.0.0.1 in "), "{sent}");
    let heard = bob.wait_for("hello, Bob");
    assert!(heard.contains("  alice@127.0.0.1  "), "{heard}");
    // A word alone is a user at home; the text may come from a pipe.
    let done = folder.run(&["message", "bob", "-", "--as", "alice"], "two\nlines\n");
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(bob.end().code, 0);

    for text in ["hello, Alice", "again"] {
        let object: Value =
            serde_json::from_str(&folder.ok(&["message", "alice", text, "--as", "bob", "--json"]))
                .expect("one object");
        assert_eq!((object["ok"].as_bool(), object["code"].as_u64()), (Some(true), Some(200)));
    }
    let done = alice.end();
    assert_eq!(done.code, 0, "{done:?}");
    let shapes: Vec<String> = done
        .out
        .lines()
        .map(|line| crate::world::shape(&serde_json::from_str(line).expect("one object")))
        .collect();
    insta::assert_snapshot!("message_listen", shapes.join("\n"));
}

#[test]
fn waiting_in_vain() {
    let folder = Folder::new();
    let _server = Server::start(&folder, &[]);
    folder.ok(&["user", "add", "bob"]);
    let words = ["message", "--listen", "--as", "bob", "--count", "1", "--for", "50ms"];
    assert_eq!(folder.run(&words, "").code, 3);
    let bob = Line::waiting(&folder, &["message", "--listen", "--as", "bob"]);
    bob.signal("INT");
    assert_eq!(bob.end().code, 130);
    assert_eq!(folder.ok(&["regs", "list"]), "");
}
