//! The folders under `examples`, started as their README says, on other ports, and used.

use std::path::Path;
use std::thread;

use crate::world::{Folder, Phone, Server, header, status};

/// A server on the configuration of that folder, with these accounts; the password of each is `secret`.
fn start(name: &str, users: &[&str]) -> (Folder, Server) {
    let folder = Folder::new();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    let text = std::fs::read_to_string(path.join("ringway.toml")).expect("an example");
    folder.write("ringway.toml", &text);
    assert_eq!(folder.run(&["check"], "").code, 0);
    folder.write("pw", "secret\n");
    for user in users {
        folder.ok(&["user", "add", user, "--password-file", "pw"]);
    }
    let server = Server::start(&folder, &[]);
    (folder, server)
}

fn registered(server: &Server, name: &str) -> Phone {
    let mut phone = Phone::new(server, name);
    assert_eq!(phone.register("secret"), 200);
    phone
}

/// A call by alice: the final answer, while `called` does what is asked of it with the INVITE that reaches it. On a socket of
/// her own each time: she acknowledges nothing.
fn call(server: &Server, uri: &str, called: &Phone, answer: &str) -> (u16, String) {
    let mut caller = Phone::new(server, "alice");
    thread::scope(|scope| {
        let ringing = scope.spawn(|| {
            let invite = called.wait_for(|m| m.starts_with("INVITE "));
            called.send(&reply(&invite, answer));
            invite
        });
        let (code, _) = caller.ask_as("INVITE", uri, "secret", "");
        (code, ringing.join().expect("it was called"))
    })
}

fn reply(request: &str, status: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines() {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if ["via", "record-route", "from", "call-id", "cseq"].contains(&name.as_str()) {
            text.push_str(&format!("{line}\r\n"));
        } else if name == "to" {
            text.push_str(&format!("{line};tag=called\r\n"));
        }
    }
    text + "Content-Length: 0\r\n\r\n"
}

#[test]
fn redirect() {
    let (folder, server) = start("redirect", &["alice", "bob", "carol"]);
    let mut bob = Phone::new(&server, "bob");
    let local = bob.local();
    let second = format!("Contact: <sip:mobile@{local}>;q=0.5\r\nExpires: 600\r\n");
    assert_eq!(bob.ask_as("REGISTER", "sip:127.0.0.1", "secret", &second).0, 200);
    let mut alice = registered(&server, "alice");
    let (code, answer) = alice.ask_as("INVITE", "sip:bob@127.0.0.1", "secret", "");
    assert_eq!(code, 302, "{answer}");
    let contacts: Vec<&str> =
        answer.lines().filter_map(|line| line.strip_prefix("Contact: ")).collect();
    let first = format!("<sip:bob@{local}>");
    assert_eq!(contacts, [first, format!("<sip:mobile@{local}>;q=0.500")]);
    assert_eq!(alice.ask_as("INVITE", "sip:carol@127.0.0.1", "secret", "").0, 480);
    assert_eq!(alice.ask_as("INVITE", "sip:nobody@127.0.0.1", "secret", "").0, 404);
    let elsewhere = "sip:carol@192.0.2.99";
    folder.ok(&["user", "forward", "carol", "--always", elsewhere]);
    let (code, answer) = alice.ask_as("INVITE", "sip:carol@127.0.0.1", "secret", "");
    assert_eq!((code, header(&answer, "contact")), (302, Some("<sip:carol@192.0.2.99>")));
}

#[test]
fn forwarding() {
    let (folder, server) = start("forwarding", &["alice", "bob", "carol"]);
    let (bob, carol) = (registered(&server, "bob"), registered(&server, "carol"));
    let uri = "sip:bob@127.0.0.1";
    assert_eq!(call(&server, uri, &bob, "480 Not Now").0, 480);
    folder.ok(&["user", "forward", "bob", "--always", "carol"]);
    let (code, invite) = call(&server, uri, &carol, "200 OK");
    assert_eq!(code, 200);
    let diversion = "<sip:bob@127.0.0.1>;reason=unconditional;counter=1";
    assert_eq!(header(&invite, "diversion"), Some(diversion));
    assert!(invite.contains("History-Info: <sip:carol@127.0.0.1;cause=302>;index=1.1;mp=1\r\n"));

    folder.ok(&["user", "forward", "bob", "--off"]);
    folder.ok(&["user", "forward", "bob", "--busy", "--no-answer", "1s", "sip:carol@127.0.0.1"]);
    thread::scope(|scope| {
        scope.spawn(|| {
            let invite = bob.wait_for(|m| m.starts_with("INVITE "));
            bob.send(&reply(&invite, "486 Busy Here"));
        });
        let (code, invite) = call(&server, uri, &carol, "200 OK");
        assert_eq!(code, 200);
        assert!(header(&invite, "diversion").is_some_and(|d| d.contains("user-busy")), "{invite}");
    });
    thread::scope(|scope| {
        scope.spawn(|| {
            let invite = bob.wait_for(|m| m.starts_with("INVITE "));
            bob.send(&reply(&invite, "180 Ringing"));
            let cancel = bob.wait_for(|m| m.starts_with("CANCEL "));
            bob.send(&reply(&cancel, "200 OK"));
            bob.send(&reply(&invite, "487 Request Terminated"));
        });
        let (code, invite) = call(&server, uri, &carol, "200 OK");
        assert_eq!(code, 200);
        assert!(header(&invite, "diversion").is_some_and(|d| d.contains("no-answer")), "{invite}");
    });

    assert_eq!(server.stop().code, 0);
    let server = Server::start(&folder, &[]);
    let mut alice = Phone::new(&server, "alice");
    folder.ok(&["user", "forward", "carol", "--always", "bob"]);
    folder.ok(&["user", "forward", "bob", "--always", "carol"]);
    let (code, answer) = alice.ask_as("INVITE", uri, "secret", "");
    assert_eq!((code, status(&answer)), (482, 482), "{answer}");
}
