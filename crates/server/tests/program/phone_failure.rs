//! Every failure a person meets with our phones, provoked for real: the exit code of `help exit-codes`, and a sentence
//! with what did not work, which, why, and what to do next.

use std::net::{TcpListener, UdpSocket};

use crate::fake::{Fake, audio_of, burst, report_reception, sdp};
use crate::world::{Folder, Line, Server};

struct Case<'a> {
    name: &'a str,
    words: Vec<String>,
    code: i32,
    kind: &'a str,
    /// What and which, why, what next.
    says: [&'a str; 3],
}

fn case<'a>(name: &'a str, words: &str, code: i32, kind: &'a str, says: [&'a str; 3]) -> Case<'a> {
    Case { name, words: words.split(' ').map(str::to_owned).collect(), code, kind, says }
}

fn check(folder: &Folder, cases: &[Case<'_>]) {
    for case in cases {
        let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
        let done = folder.run(&words, "");
        assert_eq!(done.code, case.code, "{}: {done:?}", case.name);
        let sentence = done.err.lines().last().unwrap_or_default();
        assert!(sentence.starts_with("ringway: "), "{}: {done:?}", case.name);
        for part in case.says {
            assert!(sentence.contains(part), "{}: no {part:?} in {sentence:?}", case.name);
        }
        // The same as an object.
        let done = folder.run(&[&words[..], &["--json"]].concat(), "");
        assert_eq!(done.code, case.code, "{}: {done:?}", case.name);
        let last = done.out.lines().last().unwrap_or_default();
        let object: serde_json::Value = serde_json::from_str(last).expect(case.name);
        assert_eq!(object["ok"], false, "{}: {object}", case.name);
        assert_eq!(object["kind"], case.kind, "{}: {object}", case.name);
        assert_eq!(object["exit"], case.code, "{}: {object}", case.name);
    }
}

/// A port nobody listens at, for UDP and TCP.
fn closed() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("bound").to_string()
}

#[test]
fn nobody_there() {
    let folder = Folder::new();
    let closed = closed();
    let what = format!("call to bob@{closed}");
    let refused_udp = format!("connection refused by udp:{closed}");
    let refused_tcp = format!("connection refused by tcp:{closed}");
    let hint = "is the server running";
    let tcp = format!("call sip:bob@{closed};transport=tcp");
    let register = format!("register alice@{closed} --password-env PW");
    let message = format!("message bob@{closed} hello");
    let refused = "connection-refused";
    let registering = "registration of alice@127.0.0.1";
    check(
        &folder,
        &[
            case("UDP", &format!("call bob@{closed}"), 4, refused, [&what, &refused_udp, hint]),
            case("TCP", &tcp, 4, refused, [&what, &refused_tcp, hint]),
            case("REGISTER", &register, 4, refused, [registering, &refused_udp, hint]),
            case("MESSAGE", &message, 4, refused, ["message to bob@", &refused_udp, hint]),
        ],
    );
}

#[test]
fn on_the_way_there() {
    let folder = Folder::new();
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let silent = silent.local_addr().expect("bound").to_string();
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let taken_port = taken.local_addr().expect("bound").port().to_string();
    let silence = format!("no answer from udp:{silent} in 300ms");
    let bound = format!("udp 127.0.0.1:{taken_port}: Address already in use");
    check(
        &folder,
        &[
            case(
                "no such host",
                "options nosuch.invalid",
                4,
                "unresolvable",
                ["OPTIONS to nosuch.invalid: ", "no such host nosuch.invalid", "check the name"],
            ),
            case(
                "no such host of a call",
                "call bob@nosuch.invalid",
                4,
                "unresolvable",
                ["call to bob@nosuch.invalid: ", "no such host nosuch.invalid", "--proxy HOST"],
            ),
            case(
                "silence",
                &format!("call bob@{silent} --timeout 300ms"),
                3,
                "no-answer",
                ["call to bob@", &silence, "a longer --timeout"],
            ),
            case(
                "silence of a registrar",
                &format!("register alice@{silent} --password-env PW --timeout 300ms"),
                3,
                "no-answer",
                ["registration of alice@", &silence, "a longer --timeout"],
            ),
            case(
                "port in use",
                &format!("call --listen {taken_port} --bind 127.0.0.1"),
                4,
                "port-in-use",
                ["--listen", &bound, "choose another port"],
            ),
        ],
    );
}

#[test]
fn before_anything_is_sent() {
    let folder = Folder::new();
    folder.write("bad.wav", "this is no sound");
    check(
        &folder,
        &[
            case(
                "TLS by name",
                "options tls:127.0.0.1",
                2,
                "usage",
                ["transport tls", "not in this build yet", "use udp:HOST or tcp:HOST"],
            ),
            case(
                "TLS by scheme",
                "call sips:bob@127.0.0.1",
                2,
                "usage",
                ["transport sips (tls)", "not in this build yet", "use udp:HOST or tcp:HOST"],
            ),
            case(
                "WebSocket",
                "register sip:alice@127.0.0.1;transport=wss --password-env PW",
                2,
                "usage",
                ["transport wss", "not in this build yet", "use udp:HOST or tcp:HOST"],
            ),
            case(
                "no address",
                "call bob@127.0.0.1:99999",
                2,
                "usage",
                ["`bob@127.0.0.1:99999`", "the port is no number", "write HOST"],
            ),
            case(
                "unreadable WAV",
                "call bob@127.0.0.1 --play bad.wav",
                2,
                "file",
                ["--play bad.wav", "no sound we can read", "it must be a WAV file"],
            ),
            case(
                "no WAV at all",
                "call bob@127.0.0.1 --play none.wav",
                2,
                "file",
                ["--play none.wav", "No such file", "it must be a WAV file"],
            ),
            case(
                "a recording nowhere",
                "call bob@127.0.0.1 --record none/a.wav",
                2,
                "file",
                ["--record none/a.wav", "cannot be written", "choose a folder"],
            ),
        ],
    );
}

#[test]
fn nobody_to_be() {
    let folder = Folder::new();
    check(
        &folder,
        &[
            case(
                "no such variable",
                "register alice@127.0.0.1 --password-env NOBODY_SET_THIS",
                2,
                "usage",
                ["the password from $NOBODY_SET_THIS", "it is not set", "--help"],
            ),
            case(
                "no server and no store",
                "register --as alice",
                6,
                "no-server",
                ["--as alice", "no server runs here", "ringway run"],
            ),
            case(
                "listening as nobody",
                "message --listen",
                2,
                "usage",
                ["--listen", "nobody would know where we are", "--as USER"],
            ),
        ],
    );
    assert!(!folder.path("ringway-data").exists(), "a failure must leave nothing behind");
}

/// A server with Alice and Bob, who have no phones.
fn house() -> (Folder, Server, String) {
    let folder = Folder::new();
    let server = Server::start(&folder, &[]);
    for user in ["alice", "bob"] {
        folder.ok(&["user", "add", user, "--generate"]);
    }
    let place = server.address("udp").to_string();
    (folder, server, place)
}

#[test]
fn passwords_that_are_not_taken() {
    let (folder, _server, place) = house();
    let register = format!("register alice@127.0.0.1 --proxy {place} --password-env PW");
    let call = format!("call bob@127.0.0.1 --proxy {place} --from alice --password-env PW");
    let bare = format!("call bob@127.0.0.1 --proxy {place} --from alice");
    let refused = "credentials-refused";
    let hint = "check name and password";
    let (register_says, call_says) = (
        ["registration of alice@127.0.0.1", "401 again", hint],
        ["call to bob@127.0.0.1", "refused the password of alice", hint],
    );
    check(
        &folder,
        &[
            case("401 twice", &register, 5, refused, register_says),
            case("407 twice", &call, 5, refused, call_says),
            case(
                "no password",
                &bare,
                5,
                "no-credentials",
                ["call to bob@127.0.0.1", "asks for a password", "--password-env NAME"],
            ),
        ],
    );
}

#[test]
fn what_our_server_says_no_to() {
    let (folder, server, _) = house();
    let no_user = "there is no user carol";
    let carol = ["--as carol", no_user, "ringway user add carol"];
    let nobody = ["call to nobody@127.0.0.1", "404", "ringway user list"];
    let no_message = ["message to nobody@127.0.0.1", "404", "ringway user list"];
    let away = ["call to bob@127.0.0.1", "480", "ringway regs list"];
    let foreign = ["call to bob@elsewhere.example", "403", "the server's log names the rule"];
    check(
        &folder,
        &[
            case("404", "call nobody@127.0.0.1 --as alice", 1, "refused", nobody),
            case("404 of a message", "message nobody hello --as alice", 1, "refused", no_message),
            case("480", "call bob --as alice", 1, "refused", away),
            case("403", "call bob@elsewhere.example --as alice", 5, "forbidden", foreign),
            case("no such user", "register --as carol", 1, "no-user", carol),
        ],
    );
    drop(server);
    // The store says the same without a server.
    check(&folder, &[case("no such user, offline", "register --as carol", 1, "no-user", carol)]);
}

#[test]
fn what_the_other_phone_says_no_to() {
    let folder = Folder::new();
    let forbidden = Fake::with("403 Forbidden", "");
    let no_codec = Fake::with("488 Not Acceptable Here", "Warning: 305 fake \"only G.729\"\r\n");
    let overloaded = Fake::with("503 Service Unavailable", "Retry-After: 30\r\n");
    let mut busy = Line::start(
        &folder,
        &["call", "--listen", "--bind", "127.0.0.1", "--answer", "486", "--count", "2"],
    );
    let line = busy.wait_for("waiting for a call");
    let place =
        line.split_whitespace().nth(3).expect("an address").trim_end_matches(',').to_owned();
    check(
        &folder,
        &[
            case(
                "486",
                &format!("call {place}"),
                1,
                "refused",
                ["call to ", "486 Busy Here: the other side is busy", "try later"],
            ),
            case(
                "403",
                &format!("message bob@{} hello", forbidden.name()),
                5,
                "forbidden",
                [
                    "message to bob@",
                    "403 Forbidden: the server knows the request and forbids it",
                    "--as USER",
                ],
            ),
            case(
                "488",
                &format!("call bob@{}", no_codec.name()),
                1,
                "refused",
                ["call to bob@", "only G.729", "its settings must allow G.711"],
            ),
            case(
                "503",
                &format!("call bob@{}", overloaded.name()),
                1,
                "refused",
                ["call to bob@", "503 Service Unavailable", "left alone for 30 s"],
            ),
            case(
                "not what was expected",
                &format!("call bob@{} --expect 486", no_codec.name()),
                1,
                "unexpected",
                ["call with bob@", "488 came, and 486 was expected", "G.711"],
            ),
        ],
    );
    assert_eq!(busy.end().code, 0);
    let expected =
        folder.run(&["call", &format!("bob@{}", no_codec.name()), "--expect", "488"], "");
    assert_eq!(expected.code, 0, "{expected:?}");
}

#[test]
fn sound_that_does_not_come() {
    let folder = Folder::new();
    // Listens, and says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let silent_port = silent.local_addr().expect("bound").port();
    let mute = Fake::callee(move |_| sdp(silent_port));
    let closed_port =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let deaf = Fake::callee(move |invite| {
        burst(audio_of(invite));
        sdp(closed_port)
    });
    // Says nothing, and reports that it hears us.
    let one_ear = Fake::callee(move |invite| {
        let ear = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let (audio, port) = (audio_of(invite), ear.local_addr().expect("bound").port());
        std::thread::spawn(move || report_reception(&ear, audio));
        sdp(port)
    });
    let nowhere = Fake::callee(move |_| sdp(closed_port));
    let sent = format!("to 127.0.0.1:{silent_port}, and none came back");
    let refuses = format!("127.0.0.1:{closed_port} refuses our RTP");
    check(
        &folder,
        &[
            case(
                "no RTP",
                &format!("call bob@{} --for 1s --expect-audio", mute.name()),
                1,
                "no-audio",
                ["call with bob@", &sent, "a firewall between us"],
            ),
            case(
                "no RTP, and ours refused",
                &format!("call bob@{} --for 1s --expect-audio", nowhere.name()),
                1,
                "no-audio",
                ["call with bob@", "no RTP: nothing came", "where nobody listens"],
            ),
            case(
                "one-way RTP",
                &format!("call bob@{} --for 1s --expect-audio", deaf.name()),
                1,
                "one-way-audio",
                ["call with bob@", &refuses, "where nobody listens"],
            ),
            case(
                "one-way RTP, the other way",
                &format!("call bob@{} --for 1s --expect-audio", one_ear.name()),
                1,
                "one-way-audio",
                [
                    "call with bob@",
                    "hears us, and none of its RTP came",
                    "a firewall or NAT on our side",
                ],
            ),
        ],
    );
    // Without being asked it is a warning only.
    let done = folder.run(&["call", &format!("bob@{}", mute.name()), "--for", "1100ms"], "");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("warning: no RTP"), "{done:?}");
}
