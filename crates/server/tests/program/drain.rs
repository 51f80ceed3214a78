//! SIGTERM: what was begun is finished, what is new is sent elsewhere.

use crate::world::{Folder, Phone, Server, header};

/// Two registered phones and an INVITE from alice that rings at bob; the INVITE as bob got it.
pub fn ringing(folder: &Folder) -> (Server, Phone, Phone, String) {
    folder.write("pw", "secret\n");
    for name in ["alice@127.0.0.1", "bob@127.0.0.1"] {
        folder.ok(&["user", "add", name, "--password-file", "pw"]);
    }
    let server = Server::start(folder, &[]);
    let (mut alice, mut bob) = (Phone::new(&server, "alice"), Phone::new(&server, "bob"));
    assert_eq!((alice.register("secret"), bob.register("secret")), (200, 200));
    invite(&mut alice);
    let invite = bob.wait_for(|m| m.starts_with("INVITE "));
    (server, alice, bob, invite)
}

/// Up to the INVITE with credentials.
fn invite(alice: &mut Phone) {
    use phone::digest::{Challenge, Credential};
    let uri = "sip:bob@127.0.0.1";
    let (code, answer) = alice.ask("INVITE", uri, "");
    assert_eq!(code, 407, "{answer}");
    let value = header(&answer, "proxy-authenticate").expect("a challenge");
    let challenge = Challenge::read(value.as_bytes()).expect("readable");
    let mut credential = Credential::new(&challenge, b"alice", b"secret");
    let (nc, mut line) = (credential.next_use(), b"Proxy-Authorization: ".to_vec());
    credential.write(nc, b"INVITE", uri.as_bytes(), b"c0ffee", &mut line);
    let line = String::from_utf8(line).expect("text") + "\r\n";
    let request = alice.request("INVITE", uri, "<sip:bob@127.0.0.1>", &line);
    alice.send(&request);
}

pub fn answer(invite: &str, status: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in invite.lines() {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if ["via", "record-route", "from", "call-id", "cseq"].contains(&name.as_str()) {
            text.push_str(&format!("{line}\r\n"));
        } else if name == "to" {
            text.push_str(&format!("{line};tag=tbob\r\n"));
        }
    }
    text + "Content-Length: 0\r\n\r\n"
}

#[test]
fn an_idle_server_ends_at_once() {
    let folder = Folder::new();
    let done = Server::start(&folder, &[]).stop();
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.err.contains("\"event\":\"stopped\""), "{done:?}");
}

#[test]
fn a_call_being_set_up_is_finished_and_new_ones_are_refused() {
    let folder = Folder::new();
    let (mut server, alice, bob, invite) = ringing(&folder);
    bob.send(&answer(&invite, "180 Ringing"));
    alice.wait_for(|m| m.starts_with("SIP/2.0 180"));
    server.signal("TERM");
    server.wait_for_log("draining");
    let (code, text) = Phone::new(&server, "alice").ask("INVITE", "sip:bob@127.0.0.1", "");
    assert_eq!(code, 503, "{text}");
    assert!(header(&text, "retry-after").is_some(), "{text}");
    assert!(server.is_running());
    bob.send(&answer(&invite, "200 OK"));
    alice.wait_for(|m| m.starts_with("SIP/2.0 200") && m.contains("INVITE"));
    assert_eq!(server.end().code, 0);
}

#[test]
fn a_second_signal_means_now() {
    let folder = Folder::new();
    let (mut server, _alice, bob, invite) = ringing(&folder);
    bob.send(&answer(&invite, "180 Ringing"));
    server.signal("TERM");
    while server.is_running() {
        server.signal("TERM");
        std::thread::yield_now();
    }
    assert_eq!(server.end().code, 0);
}
