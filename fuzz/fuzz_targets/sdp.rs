//! A body: as a session description, and as an offer to a phone and an answer to its offer. What was read is written and
//! read again; what the phone says can be read.
#![no_main]

use media::offer::{Capability, Negotiation};
use media::sdp::Description;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let Ok(description) = Description::parse(body) else { return };
    let once = description.write();
    let again = Description::parse(&once).expect("what we write can be read");
    assert_eq!(again.write(), once);

    let address = std::net::IpAddr::from([192, 0, 2, 1]);
    let mut phone = Negotiation::new(1, Capability::new(address, 4000));
    if phone.apply_offer(&description).is_ok() {
        let answer = phone.answer().expect("an offer that was taken is answered");
        assert_eq!(answer.media.len(), description.media.len());
        Description::parse(&answer.write()).expect("our answer can be read");
        if let Ok(offer) = phone.offer() {
            Description::parse(&offer.write()).expect("our offer can be read");
            let _ = phone.apply_answer(&description);
        }
    }
    let mut phone = Negotiation::new(1, Capability::new(address, 4000));
    phone.offer().expect("the first offer");
    let _ = phone.apply_answer(&description);
});
