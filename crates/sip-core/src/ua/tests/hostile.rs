//! Bytes that nobody should send: a user agent survives them, stays within its bounds, and forgets them.

use super::caller::{call, offer};
use super::*;
use crate::limits;

/// Chance without a random source.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

/// What a whole life consists of, as text.
fn seeds(lab: &mut Lab) -> Vec<String> {
    let call = call(lab, offer());
    let invite = lab.last();
    let reliable = format!("{CONTACT}Require: 100rel\r\nRSeq: 1\r\nAllow: UPDATE\r\n");
    let timer =
        format!("{CONTACT}Session-Expires: 90;refresher=uas\r\nRecord-Route: <sip:p;lr>\r\n");
    let to = header(&invite, Name::To);
    let inside = |method, branch, lines: &str, body| {
        request(method, branch, &format!("{to};tag=x"), 20, lines, body)
            .replace("bobs-call", &header(&invite, Name::CallId))
            .replace(";tag=x", &format!(";tag={}", tag_of(&header(&invite, Name::From))))
            .replace(";tag=bobs", ";tag=b")
    };
    let seeds = vec![
        response(&invite, 183, "b", &reliable, "answer"),
        response(&invite, 200, "b", &timer, "answer"),
        response(&invite, 407, "b", "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n", ""),
        response(&invite, 302, "b", "Contact: <sip:c@192.0.2.3>;q=0.1, <sip:d@192.0.2.4>\r\n", ""),
        response(&invite, 422, "b", "Min-SE: 1000\r\n", ""),
        request("INVITE", "s", "<sip:alice@192.0.2.1>", 1, &format!("{CONTACT}{SDP}"), "offer"),
        request(
            "INVITE",
            "t",
            "<sip:alice@192.0.2.1>",
            1,
            &format!("{CONTACT}Replaces: x;to-tag=1;from-tag=2\r\n"),
            "",
        ),
        inside("INVITE", "1", &format!("{CONTACT}{SDP}"), "offer"),
        inside("UPDATE", "2", &format!("{CONTACT}{SDP}"), "offer"),
        inside("PRACK", "3", "RAck: 1 1 INVITE\r\n", ""),
        inside("REFER", "4", "Refer-To: <sip:c@192.0.2.3?Replaces=a%3Bto-tag=b>\r\n", ""),
        inside("NOTIFY", "5", "Event: refer\r\nSubscription-State: active\r\n", "SIP/2.0 200 OK"),
        inside("BYE", "6", "Reason: SIP;cause=200\r\n", ""),
        inside("ACK", "7", "", ""),
        request("OPTIONS", "u", "<sip:alice@192.0.2.1>", 1, "", ""),
        request("MESSAGE", "v", "<sip:alice@192.0.2.1>", 1, "Content-Type: text/plain\r\n", "hi"),
    ];
    lab.command(Command::HangUp { call });
    seeds
}

fn tag_of(value: &str) -> &str {
    value.split(";tag=").nth(1).unwrap_or_default()
}

/// Thousands of changed messages in the middle of calls, registrations and transfers.
#[test]
fn changed_messages() {
    let mut dice = Dice(1);
    let mut lab = Lab::new(Settings { calls_max: 4, ..settings() });
    lab.command(Command::Register { expires: Duration::from_secs(60) });
    let mut seeds = seeds(&mut lab);
    for round in 0..4_000 {
        if round % 50 == 0 {
            let call = call(&mut lab, offer().filter(|_| round % 100 == 0));
            let invite = lab.last();
            if invite.starts_with("INVITE") {
                seeds[1] = response(&invite, 200, "b", CONTACT, "answer");
                seeds[0] = response(
                    &invite,
                    183,
                    "b",
                    &format!("{CONTACT}Require: 100rel\r\nRSeq: 1\r\n"),
                    "answer",
                );
            }
            let body = Body::sdp(&b"x"[..]);
            for command in [
                Command::Offer { call, body: body.clone(), by: By::Either },
                Command::Refer { call, to: "sip:c@192.0.2.3".into(), replaces: None },
                Command::HangUp { call: CallId(call.0.saturating_sub(2)) },
            ] {
                lab.command(command);
            }
            lab.pass(Duration::from_secs(dice.below(20) as u64));
        }
        let mut text = seeds[dice.below(seeds.len())].clone().into_bytes();
        for _ in 0..dice.below(4) {
            if text.len() < 2 {
                break;
            }
            let at = dice.below(text.len());
            match dice.below(4) {
                0 => text[at] = b" ;:=\"<>@\r\n0a,"[dice.below(13)],
                1 => drop(text.remove(at)),
                2 => text.truncate(at.max(1)),
                _ => text.insert(at, text[dice.below(text.len())]),
            }
        }
        let bytes = Bytes::from(text);
        lab.input(Input::Message { flow: flow_of(PEER), bytes });
        let sizes = lab.ua.sizes();
        assert!(sizes.calls <= 4 && sizes.served <= limits::SERVED.max, "{sizes:?}");
        lab.sent.truncate(1);
        for event in std::mem::take(&mut lab.events) {
            match event {
                Event::Incoming { call, .. } => {
                    lab.command(Command::Answer { call, body: Some(Body::sdp(&b"y"[..])) });
                }
                Event::Offered { call, .. } => {
                    lab.command(Command::AnswerOffer { call, body: Body::sdp(&b"y"[..]) });
                }
                Event::Referred { call, .. } => lab.command(Command::AcceptRefer { call }),
                _ => {}
            }
        }
    }
    for call in 0..2_000_000 {
        if lab.ua.sizes().calls == 0 {
            break;
        }
        lab.command(Command::HangUp { call: CallId(call) });
    }
    lab.command(Command::Unregister { all: false });
    lab.pass(Duration::from_secs(600));
    assert!(lab.is_empty(), "{:?}", lab.ua.sizes());
}

/// A flood of requests is answered 503 when the table is full, and forgotten after 64*T1.
#[test]
fn a_flood() {
    let mut lab = Lab::new(settings());
    for n in 0..limits::SERVED.max + 10 {
        lab.hear(&request("OPTIONS", &format!("f{n}"), "<sip:alice@192.0.2.1>", n as u32, "", ""));
    }
    assert!(lab.last().starts_with("SIP/2.0 503 "), "{}", lab.last());
    assert_eq!(lab.ua.sizes().served, limits::SERVED.max);
    lab.pass(Duration::from_secs(40));
    assert!(lab.is_empty(), "{:?}", lab.ua.sizes());
}
