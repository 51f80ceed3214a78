//! Inside a dialog with an odd peer (RFC 3261 §12.2, §14, RFC 3311, RFC 3515): order, clashes, forgeries, challenges.

use super::caller::{call, offer};
use super::*;

/// A call that bob placed and we answered; the To of his further requests.
fn answered(lab: &mut Lab, lines: &str) -> (CallId, String) {
    let lines = format!("{CONTACT}{lines}{SDP}");
    lab.hear(&request("INVITE", "1", "<sip:alice@192.0.2.1>", 10, &lines, "offer"));
    let Some(Event::Incoming { call, .. }) = lab.events.first() else { panic!("{:?}", lab.events) };
    let call = *call;
    lab.command(Command::Answer { call, body: Some(Body::sdp(&b"answer"[..])) });
    let to = header(&lab.last(), Name::To);
    lab.hear(&request("ACK", "a", &to, 10, "", ""));
    lab.said();
    (call, to)
}

/// §12.2.2: a lower CSeq is 500; the dialog goes on.
#[test]
fn out_of_order() {
    let mut lab = Lab::new(settings());
    let (_, to) = answered(&mut lab, "");
    lab.hear(&request("INFO", "2", &to, 9, "", ""));
    lab.hear(&request("INFO", "3", &to, 11, "", ""));
    assert_eq!(lab.said(), ["SIP/2.0 500 CSeq Out Of Order", "SIP/2.0 200 OK"]);
}

/// Wrong tags are another dialog: 481.
#[test]
fn a_guessed_bye() {
    let mut lab = Lab::new(settings());
    let (_, to) = answered(&mut lab, "");
    let bye = request("BYE", "2", &to, 11, "", "");
    lab.hear(&bye.replace(";tag=bobs", ";tag=guess"));
    lab.hear(&request("BYE", "3", "<sip:alice@192.0.2.1>;tag=guess", 11, "", ""));
    assert_eq!(lab.said(), ["SIP/2.0 481 Call/Transaction Does Not Exist"; 2]);
    lab.hear(&bye.replace("z9hG4bK2", "z9hG4bK4"));
    assert_eq!(lab.said(), ["SIP/2.0 200 OK"]);
}

/// §14.2: a second re-INVITE before the first has its answer is 500 with a Retry-After of 0 to 10 s.
#[test]
fn two_reinvites() {
    let mut lab = Lab::new(settings());
    let (call, to) = answered(&mut lab, "");
    let lines = format!("{CONTACT}{SDP}");
    lab.hear(&request("INVITE", "2", &to, 11, &lines, "offer"));
    lab.hear(&request("INVITE", "3", &to, 12, &lines, "offer"));
    let whole = lab.last();
    let seconds: u32 = header(&whole, Name::RetryAfter).parse().unwrap();
    assert!(whole.starts_with("SIP/2.0 500 ") && seconds <= 10, "{whole}");
    lab.command(Command::AnswerOffer { call, body: Body::sdp(&b"answer"[..]) });
    assert!(lab.last().starts_with("SIP/2.0 200 OK"), "{}", lab.last());
}

/// RFC 3311 §5.2: UPDATE over UPDATE is 500, UPDATE over our own offer 491; without an offer it refreshes the target.
#[test]
fn updates() {
    let mut lab = Lab::new(settings());
    let (call, to) = answered(&mut lab, "Allow: UPDATE\r\n");
    let lines = format!("{CONTACT}{SDP}");
    lab.hear(&request("UPDATE", "2", &to, 11, &lines, "offer"));
    lab.hear(&request("UPDATE", "3", &to, 12, "", ""));
    assert_eq!(lab.said(), ["SIP/2.0 500 Server Internal Error"]);
    lab.command(Command::AnswerOffer { call, body: Body::sdp(&b"answer"[..]) });
    lab.hear(&request("UPDATE", "4", &to, 13, "Contact: <sip:bob@192.0.2.9>\r\n", ""));
    assert_eq!(lab.said(), ["SIP/2.0 200 OK"; 2]);
    lab.command(Command::Offer { call, body: Body::sdp(&b"offer"[..]), by: By::Update });
    assert_eq!(lab.sent.last().unwrap().0.remote, "192.0.2.9:5060".parse().unwrap());
    lab.hear(&request("UPDATE", "5", &to, 14, &lines, "offer"));
    assert!(lab.last().starts_with("SIP/2.0 491 "), "{}", lab.last());
}

/// §14.2: a re-INVITE without an offer asks for ours; the answer is in the ACK.
#[test]
fn a_reinvite_without_an_offer() {
    let mut lab = Lab::new(settings());
    let (call, to) = answered(&mut lab, "");
    lab.hear(&request("INVITE", "2", &to, 11, CONTACT, ""));
    assert_eq!(lab.events.last(), Some(&Event::Offered { call, body: None }));
    lab.command(Command::AnswerOffer { call, body: Body::sdp(&b"ours"[..]) });
    assert!(lab.last().ends_with("\r\n\r\nours"), "{}", lab.last());
    lab.hear(&request("ACK", "b", &to, 11, SDP, "theirs"));
    let Some(Event::OfferAnswered { body, .. }) = lab.events.last() else { panic!() };
    assert_eq!(&body.bytes[..], b"theirs");
    lab.said();
    lab.pass(Duration::from_secs(10));
    assert!(lab.said().is_empty(), "the 200 is repeated though its ACK came");
}

/// A re-INVITE that our user does not answer at once gets its 100 after 200 ms (§17.2.1).
#[test]
fn a_slow_answer_to_a_reinvite() {
    let mut lab = Lab::new(settings());
    let (_, to) = answered(&mut lab, "");
    let lines = format!("{CONTACT}{SDP}");
    lab.hear(&request("INVITE", "2", &to, 11, &lines, "offer"));
    lab.pass(Duration::from_millis(200));
    assert_eq!(lab.said(), ["SIP/2.0 100 Trying"]);
}

/// RFC 3262 §3: a PRACK that fits nothing is 481; §7.2: RAck names response and request.
#[test]
fn pracks() {
    let mut lab = Lab::new(settings());
    let lines = format!("{CONTACT}Supported: 100rel\r\n{SDP}");
    lab.hear(&request("INVITE", "1", "<sip:alice@192.0.2.1>", 10, &lines, "offer"));
    let Some(Event::Incoming { call, .. }) = lab.events.first() else { panic!() };
    let call = *call;
    let body = Some(Body::sdp(&b"answer"[..]));
    lab.command(Command::Ring { call, status: 183, body });
    let rseq: u32 = header(&lab.last(), Name::RSeq).parse().unwrap();
    let to = header(&lab.last(), Name::To);
    lab.said();
    // The 200 waits for the PRACK of the answer in the 183.
    lab.command(Command::Answer { call, body: None });
    assert!(lab.said().is_empty());
    let mut prack = |branch: &str, cseq, rack: String| {
        lab.hear(&request("PRACK", branch, &to, cseq, &format!("RAck: {rack}\r\n"), ""));
        lab.said()
    };
    let none = "SIP/2.0 481 Call/Transaction Does Not Exist";
    assert_eq!(prack("2", 11, format!("{} 10 INVITE", rseq + 1)), [none]);
    assert_eq!(prack("3", 12, format!("{rseq} 11 INVITE")), [none]);
    assert_eq!(prack("4", 13, format!("{rseq} 10 BYE")), [none]);
    assert_eq!(prack("5", 14, format!("{rseq} 10 INVITE")), ["SIP/2.0 200 OK"; 2]);
    assert_eq!(prack("6", 15, format!("{rseq} 10 INVITE")), [none]);
}

/// A challenge from the peer of a dialog, for our realm, is not answered: no digest leaves (RFC 3261 §22).
#[test]
fn a_peer_asks_for_our_password() {
    let mut lab = Lab::new(Settings { aor: "sip:alice@example.com".into(), ..settings() });
    let call = call(&mut lab, offer());
    lab.answer("INVITE", 200, "b", CONTACT, "answer");
    lab.command(Command::Offer { call, body: Body::sdp(&b"hold"[..]), by: By::Reinvite });
    for (name, status) in [("WWW", 401), ("Proxy", 407)] {
        let lines =
            format!("{name}-Authenticate: Digest realm=\"example.com\", nonce=\"evil\"\r\n");
        lab.answer("INVITE", status, "b", &lines, "");
    }
    lab.command(Command::HangUp { call });
    lab.answer(
        "BYE",
        407,
        "b",
        "Proxy-Authenticate: Digest realm=\"example.com\", nonce=\"x\"\r\n",
        "",
    );
    assert!(lab.sent.iter().all(|(_, text)| !text.contains("uthorization:")), "{:?}", lab.sent);
    let why = Failure::ChallengeNotTrusted { realm: "example.com".into(), flow: flow_of(PEER) };
    assert!(lab.events.contains(&Event::OfferRefused { call, why }), "{:?}", lab.events);
    assert!(matches!(lab.events.last(), Some(Event::Ended { .. })));
}

/// A proxy that asked for the INVITE may ask for the BYE: with the next number of the dialog (§8.1.3.5, §12.2.1.1).
#[test]
fn our_proxy_asks_again() {
    let proxy = NextHop::address(Transport::Udp, PEER.parse().unwrap());
    let mut lab = Lab::new(Settings { proxy: Some(proxy), ..settings() });
    let call = call(&mut lab, offer());
    let asks = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"1\", qop=\"auth\"\r\n";
    lab.answer("INVITE", 407, "p", asks, "");
    assert!(lab.last().contains("\r\nCSeq: 2 INVITE\r\n"), "{}", lab.last());
    lab.answer("INVITE", 200, "b", CONTACT, "answer");
    lab.command(Command::HangUp { call });
    assert!(lab.last().contains("\r\nCSeq: 3 BYE\r\n"), "{}", lab.last());
    lab.answer("BYE", 407, "b", &asks.replace("\"1\"", "\"2\""), "");
    let bye = lab.last();
    assert!(bye.contains("\r\nCSeq: 4 BYE\r\n") && bye.contains("nonce=\"2\""), "{bye}");
    lab.answer("BYE", 200, "b", "", "");
    lab.pass(Duration::from_secs(40));
    assert!(lab.is_empty(), "{:?}", lab.ua.sizes());
}

/// RFC 3515 §2.4.1, RFC 3265 §3.1.4.4: Refer-To is needed once; NOTIFYs need a REFER.
#[test]
fn odd_referrals() {
    let mut lab = Lab::new(settings());
    let (_, to) = answered(&mut lab, "");
    lab.hear(&request("REFER", "2", &to, 11, CONTACT, ""));
    let lines = "Event: refer\r\nSubscription-State: active\r\nContent-Type: message/sipfrag\r\n";
    lab.hear(&request("NOTIFY", "3", &to, 12, lines, "SIP/2.0 200 OK"));
    lab.hear(&request("NOTIFY", "4", &to, 13, "Event: presence\r\n", ""));
    assert_eq!(
        lab.said(),
        [
            "SIP/2.0 400 exactly one Refer-To is needed",
            "SIP/2.0 481 Call/Transaction Does Not Exist",
            "SIP/2.0 489 Bad Event"
        ]
    );
}

/// INFO both ways, and its refusal.
#[test]
fn digits() {
    let mut lab = Lab::new(settings());
    let (call, to) = answered(&mut lab, "");
    lab.hear(&request(
        "INFO",
        "2",
        &to,
        11,
        "Content-Type: application/dtmf-relay\r\n",
        "Signal=5",
    ));
    let Some(Event::InfoReceived { body: Some(body), .. }) = lab.events.last() else { panic!() };
    assert_eq!(&body.bytes[..], b"Signal=5");
    lab.command(Command::Info {
        call,
        body: Body::new("application/dtmf-relay", &b"Signal=6"[..]),
    });
    lab.answer("INFO", 415, "", "", "");
    let Some(Event::InfoAnswered { outcome: Err(why), .. }) = lab.events.last() else { panic!() };
    assert_eq!(why.to_string(), "415 Said");
}

/// A re-INVITE that the peer only ever answers 100 does not outlive the call: it is cancelled (RFC 3261 §9.1).
#[test]
fn hung_up_over_our_own_offer() {
    let mut lab = Lab::new(settings());
    let (call, _) = answered(&mut lab, "");
    lab.command(Command::Offer { call, body: Body::sdp(&b"hold"[..]), by: By::Reinvite });
    lab.answer("INVITE", 100, "", "", "");
    lab.said();
    lab.command(Command::HangUp { call });
    let said = lab.said();
    assert!(said[0].starts_with("CANCEL ") && said[1].starts_with("BYE "), "{said:?}");
    lab.pass(Duration::from_secs(80));
    assert!(lab.is_empty(), "{:?}", lab.ua.sizes());
}
