//! The life of a request: the server's policy, one room per file (RFC 3261 §16.3-§16.5). Each room lets the request
//! pass or turns it into a [`Rejection`]. Rooms never send anything and keep nothing; what they decided is the
//! [`Verdict`], and others serve it.
//!
//! Before the first room the source was noted in the top Via ([`nat`]) and retransmissions, ACKs and CANCELs of known
//! transactions were taken out.

pub mod authenticate;
pub mod classify;
pub mod limit;
pub mod locate;
pub mod nat;
pub mod own;
pub mod screen;
pub mod within;

use sip_message::{Method, Request};

use crate::flow::Flow;
use crate::proxy::{Kind, Plan};
use crate::rejection::Rejection;
use crate::turn::Turn;
use classify::Place;
use within::Course;

/// What is done with a request that passed.
#[derive(Debug)]
pub enum Verdict {
    /// RFC 3261 §10.3: for the registrar.
    Register,
    /// RFC 3261 §8.2: for the server itself.
    Answer,
    /// RFC 3261 §16.6: forwarded, with a transaction; an ACK without one.
    Forward(Plan),
    /// Silence is the answer.
    Drop,
}

pub fn route(
    turn: &mut Turn<'_>,
    flow: &Flow,
    request: &mut Request,
) -> Result<Verdict, Rejection> {
    if !limit::admits(turn, flow) {
        return Ok(Verdict::Drop); //                                  silence: more than an unproven source may ask
    }
    let own_routes = within::own_routes(turn, request)?;
    let loop_hash = screen::check(turn, request, own_routes)?; //     400 416 420 482 483 503 505
    match within::follow(turn, flow, request, own_routes)? {
        //                                                            403 478 481: only along a Route we sealed
        Course::Dialog(plan) => return Ok(Verdict::Forward(Plan { loop_hash, ..plan })),
        Course::Drop => return Ok(Verdict::Drop),
        Course::New => {}
    }
    let caller = authenticate::caller(turn, flow, request)?; //       401 403 407
    match classify::place(turn, request, &caller)? {
        //                                                            403: no open relay
        Place::Registrar => Ok(Verdict::Register),
        Place::Server => Ok(Verdict::Answer),
        Place::User(aor) => {
            let targets = locate::targets(turn, &aor, &caller)?; //   404 480
            Ok(Verdict::Forward(Plan { targets, own_routes, kind: kind(request), loop_hash }))
        }
        Place::Elsewhere => {
            let targets = locate::elsewhere(turn, request)?; //       478
            Ok(Verdict::Forward(Plan { targets, own_routes, kind: kind(request), loop_hash }))
        }
    }
}

fn kind(request: &Request) -> Kind {
    match request.method() {
        Method::Invite => Kind::Call,
        Method::Subscribe | Method::Refer => Kind::Dialog,
        _ => Kind::Single,
    }
}
