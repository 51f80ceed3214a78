//! The folders under `examples`, started as their README says, on other ports, and used.

use std::path::Path;
use std::thread;

use crate::world::{Folder, Line, Phone, Server, header, status};

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
    call_by(&mut Phone::new(server, "alice"), uri, called, answer)
}

fn call_by(caller: &mut Phone, uri: &str, called: &Phone, answer: &str) -> (u16, String) {
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

#[test]
fn nat() {
    let (folder, server) = start("nat", &["alice", "bob"]);
    let (mut bob, mut alice) = (Phone::new(&server, "bob"), Phone::new(&server, "alice"));
    bob.claimed = Some("10.0.0.9:5060");
    alice.claimed = Some("10.0.0.5:5060");
    let (code, granted) = bob.ask_as("REGISTER", "sip:127.0.0.1", "secret", "Expires: 3600\r\n");
    assert_eq!(code, 200);
    assert_eq!(header(&granted, "contact"), Some("<sip:bob@10.0.0.9:5060>;expires=60"));
    let ping = bob.wait_for(|m| m.starts_with("OPTIONS sip:bob@10.0.0.9:5060 "));
    bob.send(&reply(&ping, "200 OK"));
    // The next one is sent after the answer to this one was taken in.
    let ping = bob.wait_for(|m| m.starts_with("OPTIONS "));
    let listed = folder.ok(&["regs", "list", "bob"]);
    assert!(listed.contains("\tyes\t") && listed.contains("\tanswers"), "{listed}");
    bob.send(&reply(&ping, "200 OK"));

    let (code, invite) = call_by(&mut alice, "sip:bob@127.0.0.1", &bob, "200 OK");
    assert_eq!(code, 200);
    assert!(invite.starts_with("INVITE sip:bob@10.0.0.9:5060 "), "{invite}");
    let alias = format!(";alias=127.0.0.1~{}~1;", alice.local().port());
    let contact = header(&invite, "contact").expect("alice's").to_owned();
    assert!(contact.starts_with("<sip:alice@10.0.0.5:5060;"), "{contact}");
    assert!(contact.contains(&alias), "{contact}");
    bob.send(&bye(&bob, &invite, &contact));
    // Alice, who is not registered, hears it with her Contact as she wrote it.
    let heard = alice.wait_for(|m| m.starts_with("BYE "));
    assert!(heard.starts_with("BYE sip:alice@10.0.0.5:5060 SIP/2.0\r\n"), "{heard}");
    alice.send(&reply(&heard, "200 OK"));
    bob.wait_for(|m| m.starts_with("SIP/2.0 200 "));
    assert_eq!(server.stop().code, 0);
}

/// The callee of that INVITE hangs up.
fn bye(callee: &Phone, invite: &str, contact: &str) -> String {
    let take = |name: &str| header(invite, name).expect("there").to_owned();
    format!(
        "BYE {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKbye;rport\r\nMax-Forwards: 70\r\n\
         Route: {}\r\nFrom: {};tag=called\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\n\
         Content-Length: 0\r\n\r\n",
        contact.trim_start_matches('<').trim_end_matches('>'),
        callee.local(),
        take("record-route"),
        take("to"),
        take("from"),
        take("call-id"),
    )
}

/// Its README word for word, with a call in the background that must not notice.
#[test]
fn reload() {
    let (folder, server) = start("reload", &[]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/reload");
    for name in ["mistake.toml", "second-domain.toml"] {
        std::fs::copy(path.join(name), folder.path(name)).expect("copied");
    }
    let readme = std::fs::read_to_string(path.join("README.md")).expect("a page");
    let lines = readme.split("```").skip(1).step_by(2).flat_map(str::lines);
    let (mut done, mut calls) = (Vec::new(), Vec::new());
    for line in lines.filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["cd", "examples/reload"] | ["ringway", "run"] => {}
            ["cp", from, to] => {
                std::fs::copy(folder.path(from), folder.path(to)).expect("copied");
            }
            ["ringway", "call", "--listen", ..] => calls.push(Line::waiting(&folder, &words[1..])),
            ["ringway", "call", ..] => {
                let mut caller = Line::start(&folder, &words[1..]);
                caller.wait_for("200 OK");
                calls.push(caller);
            }
            ["ringway", ref words @ ..] => done.push((line.to_owned(), folder.run(words, ""))),
            _ => panic!("{line}"),
        }
    }
    let codes: Vec<i32> = done.iter().map(|(_, done)| done.code).collect();
    assert_eq!(codes, [0, 0, 1, 1, 0, 0, 0], "{done:?}");
    assert!(done[2].1.err.contains("did you mean `allow_inbound`?"), "{done:?}");
    let told = &done[4].1.out;
    assert!(told.contains("changed\tsip.domains\t127.0.0.1\t127.0.0.1, example.org\n"), "{told}");
    assert!(told.ends_with("needs restart\tsip.nap\t300us\t0s\n"), "{told}");
    let caller = calls.pop().expect("alice");
    caller.signal("INT");
    let ended = caller.end();
    assert!(ended.out.contains("ended: we hung up"), "{ended:?}");
    drop(calls);
    assert_eq!(server.stop().code, 0);
}
