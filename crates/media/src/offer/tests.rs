//! Offers and answers: RFC 3264's rules and the examples of its §10, as a table and as exchanges.

use super::*;
use crate::codec::Codec;
use crate::sdp::Description;

fn description(text: &str) -> Description {
    Description::parse(text.as_bytes()).unwrap()
}

fn offer(media: &str) -> Description {
    description(&format!("v=0\no=- 1 1 IN IP4 192.0.2.9\ns=-\nc=IN IP4 192.0.2.9\nt=0 0\n{media}"))
}

fn phone() -> Negotiation {
    Negotiation::new(7, Capability::new("192.0.2.1".parse().unwrap(), 4000))
}

fn text(description: &Description) -> String {
    String::from_utf8(description.write()).unwrap().replace("\r\n", "\n")
}

#[test]
fn an_offer_lists_all_we_can() {
    insta::assert_snapshot!(text(&phone().offer().unwrap()));
}

#[test]
fn two_phones_agree() {
    let (mut a, mut b) = (phone(), phone());
    let offered = a.offer().unwrap();
    b.apply_offer(&offered).unwrap();
    let answered = b.answer().unwrap();
    let agreement = a.apply_answer(&answered).unwrap();
    assert_eq!(agreement.codec, Codec::Pcmu);
    assert_eq!(agreement.telephone_event, Some(101));
    assert_eq!(agreement.remote.to_string(), "192.0.2.1:4000");
    assert_eq!(agreement.remote_rtcp.port, 4001);
    assert_eq!(a.agreement(), b.agreement());
    assert_eq!((a.state(), b.state()), (State::Stable, State::Stable));
}

/// What the answer to an offer says about the audio, without the lines that are always the same.
fn answer(phone: &mut Negotiation, offered: &Description) -> Description {
    phone.apply_offer(offered).unwrap();
    phone.answer().unwrap()
}

fn refusal(offered: &Description) -> Refusal {
    let mut phone = phone();
    let error = phone.apply_offer(offered).unwrap_err();
    assert_eq!(phone.state(), State::Stable);
    assert_eq!(error.status(), Some(488));
    match error {
        OfferError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

/// RFC 3264 §6.1: what may be answered to each direction, for each wish of ours; §8.4 is the same with hold.
#[test]
fn every_pair_of_directions() {
    let mut table = String::from("offered    we want   we answer  (they answer what we offer)\n");
    for offered in Direction::ALL {
        for wish in Direction::ALL {
            let mut phone = phone();
            phone.capability_mut().direction = wish;
            let text = format!("m=audio 9 RTP/AVP 0\na={offered}\n");
            let answered = answer(&mut phone, &self::offer(&text));
            let ours = answered.media[0].direction().unwrap();
            assert_eq!(phone.agreement().unwrap().direction, ours);
            // Never more than was offered: we send only to one who receives.
            assert!(!ours.sends() || offered.receives());
            assert!(!ours.receives() || offered.sends());
            // As the offerer, with the same words as the answer.
            let mut offerer = self::phone();
            offerer.capability_mut().direction = wish;
            offerer.offer().unwrap();
            let agreed = offerer.apply_answer(&self::offer(&text)).unwrap().direction;
            table += &format!(
                "{:<10} {:<9} {:<10} {agreed}\n",
                offered.name(),
                wish.name(),
                ours.name()
            );
        }
    }
    insta::assert_snapshot!(table);
}

/// RFC 3264 §10.1: the basic exchange, seen from Bob. The audio stream is taken, both video streams are refused in their
/// places.
#[test]
fn the_basic_exchange_of_the_rfc() {
    let offered = description(
        "v=0\no=alice 2890844526 2890844526 IN IP4 host.anywhere.com\ns=\nc=IN IP4 192.0.2.50\nt=0 0\n\
         m=audio 49170 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n\
         m=video 51372 RTP/AVP 31\na=rtpmap:31 H261/90000\n\
         m=video 53000 RTP/AVP 32\na=rtpmap:32 MPV/90000\n",
    );
    let mut bob = phone();
    let answered = answer(&mut bob, &offered);
    insta::assert_snapshot!(text(&answered));
    let agreement = bob.agreement().unwrap();
    assert_eq!(agreement.codec, Codec::Pcmu);
    assert_eq!(agreement.telephone_event, None);
    assert_eq!(agreement.remote.to_string(), "192.0.2.50:49170");

    // §10.1 goes on: Bob re-offers. Our Bob may change the port, the places stay, the version moves by one.
    bob.capability_mut().port = 4100;
    let again = bob.offer().unwrap();
    assert_eq!(again.origin.version, "8");
    assert_eq!(again.media.iter().map(|m| m.port).collect::<Vec<_>>(), [4100, 0, 0]);
    assert_eq!(again.media[1].formats, ["31"]);
}

/// RFC 3264 §10.2: one of N codecs, and telephone-event under a number of the offerer's choice.
#[test]
fn one_of_several_codecs() {
    let offered = offer(
        "m=audio 62986 RTP/AVP 18 96 8 0 97\na=rtpmap:96 opus/48000/2\na=rtpmap:97 telephone-event/8000\n\
         a=fmtp:97 0-16\na=ptime:30\n",
    );
    let mut phone = phone();
    let answered = answer(&mut phone, &offered);
    assert_eq!(answered.media[0].formats, ["8", "0", "97"]);
    assert_eq!(answered.media[0].format_parameters("97"), Some("0-15"));
    let agreement = phone.agreement().unwrap();
    assert_eq!((agreement.codec, agreement.payload_type), (Codec::Pcma, 8));
    assert_eq!((agreement.telephone_event, agreement.ptime), (Some(97), Some(30)));
    // §8.3.2: the number keeps its meaning when it is our turn to offer.
    let again = phone.offer().unwrap();
    assert_eq!(again.media[0].formats, ["0", "8", "97"]);
}

#[test]
fn each_end_may_have_its_own_payload_types() {
    let mut phone = phone();
    phone.offer().unwrap();
    let answered = offer(
        "m=audio 9 RTP/AVP 112 100\na=rtpmap:112 pcma/8000/1\na=rtpmap:100 Telephone-Event/8000\n",
    );
    let agreement = phone.apply_answer(&answered).unwrap();
    assert_eq!((agreement.codec, agreement.payload_type), (Codec::Pcma, 112));
    assert_eq!(agreement.telephone_event, Some(100));
    // What arrives has the numbers we offered.
    assert_eq!(agreement.received_as(8), Some(Encoding::Audio(Codec::Pcma)));
    assert_eq!(agreement.received_as(101), Some(Encoding::TelephoneEvent));
    assert_eq!(agreement.received_as(100), None);
}

#[test]
fn an_answer_without_rtpmap_means_what_was_offered() {
    let mut phone = phone();
    phone.offer().unwrap();
    let agreement = phone.apply_answer(&offer("m=audio 9 RTP/AVP 0 101\n")).unwrap();
    assert_eq!(agreement.telephone_event, Some(101));
}

/// A telephone-event number of ours must not mean anything else to the peer (RFC 3264 §8.3.2).
#[test]
fn a_taken_number_is_not_offered() {
    let mut phone = phone();
    answer(
        &mut phone,
        &offer("m=audio 9 RTP/AVP 0 101 96\na=rtpmap:101 opus/48000/2\na=rtpmap:96 X/1\n"),
    );
    let again = phone.offer().unwrap();
    assert_eq!(again.media[0].formats, ["0", "8", "97"]);
    assert_eq!(again.media[0].rtp_map(97).unwrap().encoding, "telephone-event");
}

/// Wideband telephone-event is not ours: a key of 48000 Hz has other durations.
#[test]
fn other_clock_rates_are_other_formats() {
    let mut phone = phone();
    let offered = offer(
        "m=audio 9 RTP/AVP 0 101 102\na=rtpmap:101 telephone-event/48000\na=rtpmap:102 telephone-event/8000\n",
    );
    assert_eq!(answer(&mut phone, &offered).media[0].formats, ["0", "102"]);
    let wide = offer("m=audio 9 RTP/AVP 96\na=rtpmap:96 PCMU/16000\n");
    assert!(matches!(refusal(&wide), Refusal::NoCommonCodec { .. }));
}

/// RFC 3264 §8.4, with what each side may do at every step.
#[test]
fn hold_and_resume() {
    use Direction::*;
    let (mut a, mut b) = (phone(), phone());
    let mut step = |holds: (bool, bool), from_a: bool| {
        a.set_hold(holds.0);
        b.set_hold(holds.1);
        let (from, to) = if from_a { (&mut a, &mut b) } else { (&mut b, &mut a) };
        let offered = from.offer().unwrap();
        let answered = answer(to, &offered);
        from.apply_answer(&answered).unwrap();
        let said = (offered.media[0].direction().unwrap(), answered.media[0].direction().unwrap());
        let held = (a.is_held(), b.is_held());
        (said, a.agreement().unwrap().direction, b.agreement().unwrap().direction, held)
    };
    assert_eq!(
        step((false, false), true),
        ((SendRecv, SendRecv), SendRecv, SendRecv, (false, false))
    );
    // A holds B.
    assert_eq!(
        step((true, false), true),
        ((SendOnly, RecvOnly), SendOnly, RecvOnly, (false, true))
    );
    // B holds too: what it could only receive becomes inactive.
    assert_eq!(step((true, true), false), ((Inactive, Inactive), Inactive, Inactive, (true, true)));
    // A resumes, B still holds.
    assert_eq!(
        step((false, true), true),
        ((SendRecv, SendOnly), RecvOnly, SendOnly, (true, false))
    );
    // B resumes.
    assert_eq!(
        step((false, false), false),
        ((SendRecv, SendRecv), SendRecv, SendRecv, (false, false))
    );
}

/// RFC 3264 §8.4: hold as RFC 2543 had it.
#[test]
fn hold_by_the_address_zero() {
    let mut phone = phone();
    answer(&mut phone, &offer("m=audio 9 RTP/AVP 0\n"));
    let held = offer("m=audio 9 RTP/AVP 0\nc=IN IP4 0.0.0.0\n");
    let answered = answer(&mut phone, &held);
    assert_eq!(answered.media[0].direction(), Some(Direction::RecvOnly));
    assert!(phone.is_held());
    answer(&mut phone, &offer("m=audio 9 RTP/AVP 0\n"));
    assert!(!phone.is_held());
}

/// RFC 3264 §8: the version says whether anything changed.
#[test]
fn the_version_moves_with_the_content() {
    let mut phone = phone();
    let version = |d: &Description| d.origin.version.parse::<u64>().unwrap();
    let first = phone.offer().unwrap();
    phone.apply_answer(&offer("m=audio 9 RTP/AVP 0\n")).unwrap();
    let refresh = phone.offer().unwrap();
    assert_eq!(refresh, first);
    phone.withdraw();
    phone.set_hold(true);
    let held = phone.offer().unwrap();
    assert_eq!(version(&held), version(&first) + 1);
    phone.withdraw();
    // Refused: the session goes on as it was, and the next description is the third.
    assert_eq!(phone.agreement().unwrap().direction, Direction::SendRecv);
    phone.set_hold(false);
    let resumed = phone.offer().unwrap();
    assert_eq!(version(&resumed), version(&first) + 2);
    // A new address changes c= and never the rest of o=.
    phone.withdraw();
    phone.capability_mut().address = "192.0.2.77".parse().unwrap();
    let moved = phone.offer().unwrap();
    assert_eq!(moved.origin.address, "192.0.2.1");
    assert_eq!(moved.connection.unwrap().address, "192.0.2.77");
}

/// RFC 3264 §8.2: the peer may end the stream, and §8.1: the place can be used again.
#[test]
fn a_stream_ended_and_begun_again() {
    let mut phone = phone();
    answer(&mut phone, &offer("m=audio 9 RTP/AVP 0\n"));
    let answered = answer(&mut phone, &offer("m=audio 0 RTP/AVP 0\n"));
    assert_eq!(answered.media[0].port, 0);
    assert!(phone.agreement().is_none());
    let again = phone.offer().unwrap();
    assert_eq!((again.media.len(), again.media[0].port), (1, 4000));
}

/// Every cause of 488, in the words a person gets.
#[test]
fn why_an_offer_is_refused() {
    let cases = [
        ("", 304),
        ("m=video 9 RTP/AVP 31\nm=audio 0 RTP/AVP 0\n", 304),
        ("m=audio 9 RTP/SAVP 0\n", 302),
        ("m=audio 9 RTP/APV 0\n", 302),
        ("m=audio 9 RTP/AVP 9 18 96\na=rtpmap:96 opus/48000/2\n", 305),
        ("m=audio 9 RTP/AVP 101\na=rtpmap:101 telephone-event/8000\n", 305),
        ("m=audio 9 RTP/AVP 0\nc=IN IP6 2001:db8::1\n", 301),
    ];
    let mut table = String::new();
    for (media, warning) in cases {
        let refusal = refusal(&offer(media));
        assert_eq!(refusal.warning(), warning, "{media}");
        table += &format!("488, warning {warning}: {refusal}\n");
    }
    let bare = description("v=0\no=- 1 1 IN IP4 192.0.2.9\ns=-\nm=audio 9 RTP/AVP 0\n");
    assert_eq!(refusal(&bare), Refusal::NoConnection);
    insta::assert_snapshot!(table);
}

#[test]
fn an_offer_takes_no_media_back() {
    let mut phone = phone();
    answer(&mut phone, &offer("m=audio 9 RTP/AVP 0\nm=video 9 RTP/AVP 31\n"));
    let error = phone.apply_offer(&offer("m=audio 9 RTP/AVP 0\n")).unwrap_err();
    assert_eq!(error, Refusal::MediaRemoved { offered: 1, before: 2 }.into());
    // The session is as it was.
    assert!(phone.agreement().is_some());
    assert_eq!(phone.state(), State::Stable);
}

#[test]
fn the_audio_that_fits_is_taken() {
    let mut phone = phone();
    let media = "m=audio 10 RTP/SAVP 0\nm=audio 12 RTP/AVP 18\nm=audio 14 RTP/AVP 0\n";
    let answered = answer(&mut phone, &offer(media));
    assert_eq!(answered.media.iter().map(|m| m.port).collect::<Vec<_>>(), [0, 0, 4000]);
    // It keeps its place although an earlier one would fit now.
    let media = "m=audio 10 RTP/AVP 0\nm=audio 12 RTP/AVP 0\nm=audio 14 RTP/AVP 0\n";
    let answered = answer(&mut phone, &offer(media));
    assert_eq!(answered.media.iter().map(|m| m.port).collect::<Vec<_>>(), [0, 0, 4000]);
}

#[test]
fn why_an_answer_does_not_fit() {
    let cases = [
        "",
        "m=audio 9 RTP/AVP 0\nm=audio 9 RTP/AVP 0\n",
        "m=video 9 RTP/AVP 31\n",
        "m=audio 0 RTP/AVP 0\n",
        "m=audio 9 RTP/AVP 18 101\n",
        "m=audio 9 RTP/AVP 0\nc=IN IP6 2001:db8::1\n",
    ];
    let mut table = String::new();
    for media in cases {
        let mut phone = phone();
        phone.offer().unwrap();
        let error = phone.apply_answer(&offer(media)).unwrap_err();
        table += &format!("{error}\n");
        assert_eq!((phone.state(), phone.agreement()), (State::Stable, None));
    }
    insta::assert_snapshot!(table);
}

#[test]
fn out_of_turn() {
    let mut phone = phone();
    assert!(phone.answer().is_err());
    phone.offer().unwrap();
    let glare = phone.apply_offer(&offer("m=audio 9 RTP/AVP 0\n")).unwrap_err();
    assert_eq!(glare.status(), Some(491));
    phone.apply_answer(&offer("m=audio 9 RTP/AVP 0\n")).unwrap();
    phone.apply_offer(&offer("m=audio 9 RTP/AVP 0\n")).unwrap();
    let twice = phone.apply_offer(&offer("m=audio 9 RTP/AVP 0\n")).unwrap_err();
    assert_eq!(twice.status(), Some(500));
    assert_eq!(phone.offer().unwrap_err().status(), None);
}

#[test]
fn where_reports_go() {
    let mut phone = phone();
    answer(&mut phone, &offer("m=audio 9000 RTP/AVP 0\na=rtcp:53020 IN IP4 192.0.2.66\n"));
    assert_eq!(phone.agreement().unwrap().remote_rtcp.to_string(), "192.0.2.66:53020");
    answer(&mut phone, &offer("m=audio 9000 RTP/AVP 0\nc=IN IP4 media.example.com\n"));
    let agreement = phone.agreement().unwrap();
    assert_eq!(agreement.remote.socket(), None);
    assert_eq!(agreement.remote_rtcp.to_string(), "media.example.com:9001");
}

proptest::proptest! {
    /// Any two descriptions that can be read, in any order of events: nothing panics, and our descriptions can be
    /// read back.
    #[test]
    fn any_exchange(steps in proptest::collection::vec((0..6u8, ".{0,40}", 0..4usize), 0..12)) {
        let mut phone = phone();
        for (step, junk, count) in steps {
            let media: String = (0..count)
                .map(|n| format!("m=audio {n} RTP/AVP 0 {}\na=rtpmap:{} {}\n", 96 + n, 96 + n, "telephone-event/8000"))
                .collect();
            let text = format!("v=0\no=- 1 1 IN IP4 192.0.2.9\ns={junk}\nc=IN IP4 192.0.2.9\n{media}");
            let Ok(peer) = Description::parse(text.as_bytes()) else { continue };
            let said = match step {
                0 => phone.offer().ok(),
                1 => phone.apply_offer(&peer).ok().and_then(|()| phone.answer().ok()),
                2 => phone.answer().ok(),
                3 => { let _ = phone.apply_answer(&peer); None }
                4 => { phone.withdraw(); None }
                _ => { phone.set_hold(count % 2 == 0); None }
            };
            if let Some(said) = said {
                assert_eq!(Description::parse(&said.write()).as_ref(), Ok(&said_with_time(&said)));
            }
        }
    }
}

/// As it is read back: with the `t=` that every description has on the wire.
fn said_with_time(said: &Description) -> Description {
    let mut said = said.clone();
    said.others.push(crate::sdp::Line { letter: 't', value: "0 0".into() });
    said
}
