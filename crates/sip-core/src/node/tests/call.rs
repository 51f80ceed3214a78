//! One call to one phone: RFC 3665 §3.1 through the node, and everything that must hold on the way.

use sip_message::Name;

use super::world::*;
use crate::output::{EndedBy, Event};
use crate::time::Duration;

/// INVITE, 100, forwarded copy: what RFC 3261 §16.6 says about each header.
#[test]
fn an_invite_is_forwarded_and_tried() {
    let mut world = World::open();
    world.register("bob", "sip:bob@192.0.2.20:5060", BOB);
    let sent = world.from(ALICE, &invite("a1"));
    assert_eq!(lines(&sent), ["100 192.0.2.10:5060", "INVITE 192.0.2.20:5060"]);
    let copy = sent[1].request();
    assert_eq!(copy.uri_bytes(), b"sip:bob@192.0.2.20:5060", "§16.6 step 2");
    assert_eq!(copy.max_forwards(), Ok(Some(69)), "§16.6 step 3");
    let route = sent[1].header(Name::RecordRoute);
    assert!(route.starts_with("<sip:192.0.2.1:5060;lr;rw="), "§16.6 step 4: {route}");
    assert_eq!(copy.vias().count(), 2, "§16.6 step 8");
    assert!(copy.via().unwrap().has_cookie());
    assert_eq!(copy.max_breadth(), Ok(Some(60)), "RFC 5393 §5.3");
}
