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
