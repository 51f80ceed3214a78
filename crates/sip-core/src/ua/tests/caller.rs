//! The caller against odd callees (RFC 3261 §13.2, §12.1, RFC 3262 §4).

use super::*;

pub fn call(lab: &mut Lab, body: Option<Body>) -> CallId {
    let call = lab.ua.new_call();
    lab.command(Command::Call {
        call,
        to: "sip:bob@192.0.2.2".into(),
        body,
        with: CallOptions::default(),
    });
    call
}

pub fn offer() -> Option<Body> {
    Some(Body::sdp(&b"offer"[..]))
}

/// RFC 3261 §12.2.1.1: through strict routers the ACK and the BYE go to the first of them.
#[test]
fn a_strict_router_in_the_route_set() {
    let mut lab = Lab::new(settings());
    let call = call(&mut lab, offer());
    let lines = format!(
        "{CONTACT}Record-Route: <sip:192.0.2.7;lr>\r\nRecord-Route: <sip:192.0.2.8:5070>\r\n"
    );
    lab.answer("INVITE", 200, "b", &lines, "answer");
    lab.command(Command::HangUp { call });
    for (flow, text) in &lab.sent[1..] {
        assert_eq!(flow.remote, "192.0.2.8:5070".parse().unwrap(), "{text}");
        assert!(text.contains(" sip:192.0.2.8:5070 SIP/2.0\r\n"), "{text}");
        let routes = "Route: <sip:192.0.2.7;lr>\r\nRoute: <sip:bob@192.0.2.2:5060>\r\n";
        assert!(text.contains(routes), "{text}");
    }
    assert_eq!(lab.sent.len(), 3);
}

/// A 200 without Contact cannot be acknowledged: the call fails, and says why.
#[test]
fn a_200_without_contact() {
    let mut lab = Lab::new(settings());
    call(&mut lab, offer());
    lab.answer("INVITE", 200, "b", "", "answer");
    assert!(matches!(lab.events[..], [Event::Failed { why: Failure::NotPossible { .. }, .. }]));
    lab.pass(Duration::from_secs(40));
    assert!(lab.is_empty(), "{:?}", lab.ua.sizes());
}

/// RFC 3262 §4: out of order is neither acknowledged nor told.
#[test]
fn reliable_responses_out_of_order() {
    let mut lab = Lab::new(settings());
    call(&mut lab, offer());
    let reliable = |rseq| format!("{CONTACT}Require: 100rel\r\nRSeq: {rseq}\r\n");
    lab.said();
    call(&mut lab, offer());
    let invite = lab.last();
    for (rseq, pracks) in [(5, 1), (7, 0), (5, 0), (6, 1), (7, 1)] {
        lab.said();
        lab.answer_to(&invite, 183, "b", &reliable(rseq), "");
        assert_eq!(lab.sent.len(), pracks, "{rseq}: {:?}", lab.sent);
        if pracks > 0 {
            assert!(lab.last().contains(&format!("\r\nRAck: {rseq} 1 INVITE\r\n")));
        }
    }
    assert_eq!(lab.events.len(), 3);
}

/// Each fork counts for itself.
#[test]
fn reliable_responses_of_two_forks() {
    let mut lab = Lab::new(settings());
    call(&mut lab, offer());
    let invite = lab.last();
    lab.said();
    for tag in ["b", "c"] {
        let lines = format!("{CONTACT}Require: 100rel\r\nRSeq: 1\r\n");
        lab.answer_to(&invite, 183, tag, &lines, "answer");
        assert!(lab.last().contains(&format!(";tag={tag}\r\n")), "{}", lab.last());
    }
    let early = |event: &Event| match event {
        Event::Ringing { early, .. } => *early,
        _ => usize::MAX,
    };
    assert_eq!(lab.events.iter().map(early).collect::<Vec<_>>(), [0, 1]);
}

/// As many dialogs as forks, and no more (`limits::DIALOGS`).
#[test]
fn a_hundred_forks() {
    let mut lab = Lab::new(settings());
    call(&mut lab, offer());
    let invite = lab.last();
    for tag in 0..100 {
        lab.answer_to(&invite, 200, &format!("t{tag}"), CONTACT, "answer");
    }
    let byes = lab.sent.iter().filter(|(_, text)| text.starts_with("BYE")).count();
    assert_eq!(byes, crate::limits::DIALOGS.max - 1);
}

/// RFC 3261 §13.2.2.4: repeated, the 200 gets the very same ACK; also when our user has not yet given the answer.
#[test]
fn a_repeated_200_with_an_offer() {
    let mut lab = Lab::new(settings());
    let call = call(&mut lab, None);
    let invite = lab.last();
    lab.said();
    lab.answer_to(&invite, 200, "b", CONTACT, "offer");
    lab.answer_to(&invite, 200, "b", CONTACT, "offer");
    assert!(lab.said().is_empty());
    lab.command(Command::Acknowledge { call, body: Some(Body::sdp(&b"answer"[..])) });
    let ack = lab.last();
    assert!(ack.starts_with("ACK sip:bob@192.0.2.2:5060 ") && ack.ends_with("\r\n\r\nanswer"));
    lab.answer_to(&invite, 200, "b", CONTACT, "offer");
    assert_eq!(lab.last(), ack);
    let branch = |text: &str| header(text, Name::Via);
    assert_ne!(branch(&ack), branch(&invite));
}

/// What comes from the command line adds no lines of its own.
#[test]
fn headers_of_the_user() {
    let mut settings = settings();
    settings.headers = vec!["X-Mine: 1\r\nVia: evil".into()];
    settings.display = Some("Al \"ice\"\r\nVia: evil".into());
    let mut lab = Lab::new(settings);
    call(&mut lab, offer());
    let invite = lab.last();
    assert!(invite.contains("\r\nX-Mine: 1\r\n") && !invite.contains("\r\nVia: evil"), "{invite}");
}

/// Hung up while a challenge is on its way: the INVITE is not tried again (RFC 3261 §9.1, §22.1).
#[test]
fn hung_up_over_a_challenge() {
    let mut lab = Lab::new(settings());
    let call = call(&mut lab, offer());
    let invite = lab.last();
    lab.answer_to(&invite, 100, "p", "", "");
    lab.command(Command::HangUp { call });
    assert!(lab.last().starts_with("CANCEL "), "{}", lab.last());
    let asks = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"1\", qop=\"auth\"\r\n";
    lab.answer_to(&invite, 407, "p", asks, "");
    assert_eq!(lab.said().last().map(String::as_str), Some("ACK sip:bob@192.0.2.2 SIP/2.0"));
    assert!(matches!(lab.events.last(), Some(Event::Ended { by: EndedBy::Us, .. })));
    lab.pass(Duration::from_secs(40));
    assert!(lab.is_empty(), "{:?}", lab.ua.sizes());
}

/// RFC 3261 §12.3: the final response ends the early dialogs; those of the next INVITE are counted anew.
#[test]
fn early_dialogs_end_with_their_invite() {
    let mut lab = Lab::new(settings());
    call(&mut lab, offer());
    for tag in ["b", "c"] {
        lab.answer("INVITE", 180, tag, CONTACT, "");
    }
    lab.answer("INVITE", 302, "p", "Contact: <sip:carol@192.0.2.2>\r\n", "");
    lab.answer("INVITE", 180, "d", CONTACT, "");
    let early = |event: &Event| match event {
        Event::Ringing { early, .. } => Some(*early),
        _ => None,
    };
    assert_eq!(lab.events.iter().filter_map(early).collect::<Vec<_>>(), [0, 1, 0]);
}
