//! What a finished transaction costs, everything counted: its place, its generation, its key in the index at the
//! worst fill, its timer. Half a million of them linger at 15,000 calls a second.

use super::*;
use crate::timer::Mark;
use crate::transaction::{client::ClientSlot, residue, server::ServerSlot};

const TIMER: usize = size_of::<(u32, Mark)>();
const GENERATION: usize = size_of::<u32>();
/// 4 bytes and a control byte, in a table that is at least 7/16 full.
const INDEX: usize = 5 * 16 / 7;

const SERVER: usize = size_of::<Option<ServerSlot>>() + GENERATION + INDEX + TIMER;
const CLIENT: usize = size_of::<Option<ClientSlot>>() + GENERATION + TIMER;
const RESIDUE: usize = size_of::<Option<residue::ResponseResidue>>() + GENERATION;

#[test]
fn an_answered_call_is_small() {
    assert_eq!(SERVER, 59, "INVITE server in Accepted");
    assert_eq!(CLIENT, 48, "INVITE client in Accepted");
}

#[test]
fn a_completed_bye_is_small() {
    let text = request_text("BYE", "z9hG4bKb1", "").replace("com>\r\nCall", "com>;tag=b1\r\nCall");
    let bye = request(&text);
    let plain = residue::ResponseResidue::of(&response_to(&bye, 200, ""), true);
    assert_eq!(plain, None);
    let headers =
        "Contact: <sip:bob@192.0.2.9:5060;transport=UDP>\r\nUser-Agent: some phone 1.2.3\r\n";
    let usual = residue::ResponseResidue::of(&response_to(&bye, 200, headers), true);
    let whole = SERVER + RESIDUE + usual.map_or(0, |residue| residue.heap_size());
    assert!(whole <= 200, "BYE server in Completed: {whole}");
}

#[test]
fn a_refused_invite_is_small() {
    let text = request_text(
        "INVITE",
        "z9hG4bKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "Route: <sip:192.0.2.3:5060;lr>\r\n",
    );
    let invite = request(&text);
    let residue = residue::AckResidue::of(&invite, flow(Transport::Udp, 2)).unwrap();
    let whole = CLIENT + residue.heap_size();
    assert!(whole <= 300, "INVITE client in Completed: {whole}");
}

#[test]
fn finished_transactions_hold_no_message() {
    let mut world = World::new();
    for n in 0..1_000 {
        let branch = format!("z9hG4bKi{n}");
        let invite = request(&request_text("INVITE", &branch, ""));
        let server = world.accept(&invite, Transport::Udp);
        let (_, sent) = world.send("INVITE", Transport::Udp);
        world.answer(&sent, 180);
        world.respond(server, &invite, 180);
        world.answer(&sent, 200);
        world.respond(server, &invite, 200);
    }
    assert_eq!(world.layer.len(), 2_000);
    assert_eq!(world.layer.live_len(), 0);
    // L and M; A and B went with the first response.
    assert_eq!(world.layer.timers_len(), 2_000);
}
