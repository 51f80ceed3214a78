//! Our phones with other people's, through the subject: what they say to a registrar, hear of each other, and do in a call.

mod call;
mod hold;
mod loss;
mod message;
mod phone;
mod register;
mod reliable;
mod session;
mod transfer;
mod wire;

use anyhow::Result;

use crate::agent::Agent;
use crate::case::{Case, Group};
use crate::peer::sipp::Sipp;
use crate::subject::{DOMAIN, PASSWORD, Server};
use crate::world::{LOCAL, World};

/// What the phones say, in Hz. Between them lies no harmonic of one that is another.
const ALICE_HZ: u32 = 440;
const BOB_HZ: u32 = 1000;
const CAROL_HZ: u32 = 1500;
/// The same as an argument.
const ALICE: &str = "440";
const BOB: &str = "1000";
const CAROL: &str = "1500";

/// Where SIPp is; it echoes RTP a thousand ports below.
const SIPP: u16 = 7000;

pub fn cases() -> Vec<Case> {
    let case = |name, about, run| Case::new(name, Group::Peers, about, run).limit(180);
    vec![
        // The longest waits most: it goes first.
        case("ua_timer", "session timers with SIPp: 422, agreement, refreshes", session::timer),
        case(
            "ua_register",
            "our phone registers over UDP and TCP, or says why not",
            register::register,
        ),
        case("ua_call", "two of our phones hear each other, over UDP and TCP", call::ours),
        case("ua_calls_baresip", "our phone calls baresip, sound both ways", call::to_baresip),
        case("baresip_calls_ua", "baresip calls our phone, sound both ways", call::from_baresip),
        case("ua_calls_sipp", "our phone calls SIPp, which sends the sound back", call::to_sipp),
        case("sipp_calls_ua", "SIPp calls our phone and sends the sound back", call::from_sipp),
        case("ua_prack", "reliable provisional responses with SIPp, each way", reliable::prack),
        case(
            "ua_early",
            "one INVITE, two early dialogs of SIPp, each with an answer of its own",
            reliable::early,
        ),
        case("ua_hold", "hold and resume with SIPp and baresip, each way", hold::hold),
        case("ua_update", "UPDATE with SIPp, each way", session::update),
        case("ua_transfer_blind", "baresip as transferor, transferee and target", transfer::blind),
        case("ua_transfer_attended", "Replaces among our phones", transfer::attended),
        case("ua_rtp_loss", "30 % of RTP dropped, and the summary says so", loss::rtp),
        case("ua_message", "texts to and from SIPp and sipsak", message::message),
    ]
}

/// SIPp as a callee, registered as `user`, for one call.
fn callee(world: &World, server: &Server, user: &str, scenario: &str) -> Result<Sipp> {
    callee_at(world, server, user, scenario, SIPP)
}

fn callee_at(
    world: &World,
    server: &Server,
    user: &str,
    scenario: &str,
    port: u16,
) -> Result<Sipp> {
    let place = Agent::at((LOCAL, port).into(), server.address)?;
    place.register(user, PASSWORD, DOMAIN)?;
    drop(place);
    let mut sipp = sipp(world, scenario, port, &["-s", user])?;
    sipp.listening(port)?;
    Ok(sipp)
}

/// SIPp as alice calls `user` once, without credentials.
fn caller(world: &World, server: &Server, user: &str, scenario: &str) -> Result<Sipp> {
    sipp(world, scenario, SIPP, &[&server.address.to_string(), "-s", user])
}

/// SIPp sends back the RTP it gets.
fn sipp(world: &World, scenario: &str, port: u16, arguments: &[&str]) -> Result<Sipp> {
    let rtp = (port - 1000).to_string();
    let echo = ["-rtp_echo", "-mi", "127.0.0.1", "-mp", &rtp];
    Sipp::start(world, scenario, port, 1, &[arguments, &echo].concat())
}
