//! What a user agent answers to requests it cannot or need not serve (RFC 3261 §8.2, §9.2, §11.2).

use super::*;

const TO: &str = "<sip:alice@192.0.2.1>";

fn first_answer(text: &str) -> (String, String) {
    let mut lab = Lab::new(settings());
    lab.hear(text);
    let whole = lab.last();
    (lab.said().join(" | "), whole)
}

/// §8.2.1, §8.2.2, §8.2.3, in their order.
#[test]
fn what_is_refused() {
    let invite = |lines: &str, body: &str| request("INVITE", "1", TO, 1, lines, body);
    for (text, line, words) in [
        (request("PLAY", "1", TO, 1, "", ""), "SIP/2.0 501 Not Implemented", "\r\nAllow: INVITE"),
        (request("PUBLISH", "1", TO, 1, "", ""), "SIP/2.0 405 Method Not Allowed", "\r\nAllow: "),
        (request("REFER", "1", TO, 1, "", ""), "SIP/2.0 403 Forbidden", ""),
        (
            request("BYE", "1", "<sip:alice@192.0.2.1>;tag=x", 1, "", ""),
            "SIP/2.0 481 Call/Transaction Does Not Exist",
            "",
        ),
        (request("CANCEL", "1", TO, 1, "", ""), "SIP/2.0 481 Call/Transaction Does Not Exist", ""),
        (
            invite("Require: 100rel, x-a\r\nRequire: x-b\r\n", ""),
            "SIP/2.0 420 Bad Extension",
            "\r\nUnsupported: x-a, x-b\r\n",
        ),
        (
            invite("Content-Type: text/plain\r\n", "hello"),
            "SIP/2.0 415 Unsupported Media Type",
            "\r\nAccept: application/sdp\r\n",
        ),
        (
            invite("Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "hello"),
            "SIP/2.0 415 Unsupported Media Type",
            "\r\nAccept-Encoding: identity\r\n",
        ),
        (invite("", ""), "SIP/2.0 400 an INVITE needs a Contact", ""),
        (
            invite(CONTACT, "").replacen("sip:alice", "sips:alice", 1),
            "SIP/2.0 416 Unsupported URI Scheme",
            "",
        ),
        (invite(CONTACT, "").replace("CSeq: 1", "CSeq: x"), "SIP/2.0 400 ", ""),
        (invite("Contact: <sip:b@b>\r\nReplaces: a;to-tag=b\r\n", ""), "SIP/2.0 400 Replaces", ""),
    ] {
        let (said, whole) = first_answer(&text);
        assert!(said.starts_with(line) && whole.contains(words), "{said}\n{whole}\nto\n{text}");
    }
}

/// §8.2.3: what is marked as optional is no reason to refuse.
#[test]
fn an_optional_body() {
    let lines = "Content-Type: text/plain\r\nContent-Disposition: alert;handling=optional\r\n";
    let mut lab = Lab::new(settings());
    lab.hear(&request("INVITE", "1", TO, 1, &format!("{CONTACT}{lines}"), "hello"));
    assert!(matches!(lab.events[..], [Event::Incoming { .. }]), "{:?}", lab.events);
}

/// §8.2.2.2: the same request by another way.
#[test]
fn merged() {
    let mut lab = Lab::new(settings());
    lab.hear(&request("INVITE", "1", TO, 1, CONTACT, ""));
    lab.hear(&request("INVITE", "2", TO, 1, CONTACT, ""));
    assert_eq!(lab.said(), ["SIP/2.0 482 Merged Request"]);
    assert_eq!(lab.events.len(), 1);
}

/// §9.2: a CANCEL counts from where the INVITE came, and from nowhere else.
#[test]
fn a_forged_cancel() {
    let mut lab = Lab::new(settings());
    lab.hear(&request("INVITE", "1", TO, 1, CONTACT, ""));
    let cancel = request("CANCEL", "1", TO, 1, "", "");
    lab.hear_from("198.51.100.66:5060", &cancel);
    assert_eq!(lab.said(), ["SIP/2.0 481 Call/Transaction Does Not Exist"]);
    lab.hear(&cancel);
    assert_eq!(lab.said(), ["SIP/2.0 200 OK", "SIP/2.0 487 Request Terminated"]);
    assert!(matches!(lab.events[..], [Event::Incoming { .. }, Event::Ended { .. }]));
}

/// §11.2: as an INVITE would be answered.
#[test]
fn options_when_busy() {
    let mut lab = Lab::new(Settings { calls_max: 1, ..settings() });
    lab.hear(&request("OPTIONS", "1", TO, 1, "", ""));
    assert!(lab.last().contains("\r\nSupported: 100rel, timer, replaces\r\n"), "{}", lab.last());
    lab.hear(&request("INVITE", "2", TO, 2, CONTACT, ""));
    lab.hear(&request("OPTIONS", "3", TO, 3, "", ""));
    assert_eq!(lab.said(), ["SIP/2.0 200 OK", "SIP/2.0 486 Busy Here"]);
}

/// RFC 5626 §3.5.1: a double CRLF is answered with one; nothing else comes of blank lines and of noise.
#[test]
fn blank_lines_and_noise() {
    let mut lab = Lab::new(settings());
    lab.hear("\r\n\r\n");
    assert_eq!(lab.sent.pop().map(|(_, text)| text).as_deref(), Some("\r\n"));
    for noise in ["", "\r\n", "noise", "SIP/2.0 200 OK\r\n\r\n", "ACK sip:x SIP/2.0\r\n\r\n"] {
        lab.hear(noise);
    }
    assert!(lab.sent.is_empty() && lab.is_empty(), "{:?}", lab.sent);
}
