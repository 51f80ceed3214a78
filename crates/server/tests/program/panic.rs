//! R-6 `panic_task`, small: a panic costs the message that caused it. Only a debug build has the header that asks for one.

use crate::world::{Folder, Phone, Server};

#[test]
#[cfg(debug_assertions)]
fn a_panic_costs_one_message() {
    let folder = Folder::new();
    folder.ok(&["user", "add", "alice@127.0.0.1", "--generate"]);
    let mut server = Server::start(&folder, &[]);
    let (pid, mut phone) = (server.id(), Phone::new(&server, "alice"));
    for _ in 0..20 {
        let (code, text) = phone.ask("OPTIONS", "sip:127.0.0.1", "X-Ringway-Panic: now\r\n");
        assert_eq!(code, 500, "{text}");
        assert_eq!(phone.ask("OPTIONS", "sip:127.0.0.1", "").0, 200);
    }
    assert!(server.is_running());
    assert_eq!(server.id(), pid);
    let done = folder.run(&["status", "--json"], "");
    let status: serde_json::Value = serde_json::from_str(&done.out).expect("one object");
    assert_eq!((done.code, status["counters"]["panics"].as_u64()), (1, Some(20)));
    let saved = std::fs::read_dir(folder.path("ringway-data/crash")).expect("there").count();
    assert_eq!(saved, 20);
    let done = server.stop();
    assert_eq!(done.err.matches("\"event\":\"panic\"").count(), 20, "{done:?}");
}
