//! Room "limit": who is heard at all. A source that has proved nothing gets a small budget, and silence above it: an answer
//! would make us the amplifier of whoever forged its address. What no phone would ask costs a stranger more. Who was
//! banned is not heard; only an operator bans, or somebody who guesses passwords and has proven to be at his address.
//! When the server is behind with its work, new work is refused: what was begun goes on (RFC 3261 §21.5.4).

use sip_message::{Method, Name, Request};

use crate::ban::Reason;
use crate::flow::Flow;
use crate::output::{Event, Fault};
use crate::overload;
use crate::rejection::Rejection;
use crate::seal::Purpose;
use crate::source::Admission;
use crate::turn::Turn;

/// The counters of what was dropped or refused here.
pub const UNVERIFIED: &str = "unverified_source";
pub const BANNED: &str = "banned_source";
pub const OVERLOAD: &str = "overload";

/// A refusal costs a stranger as much as so many requests: twelve at once, then four a second.
const REFUSAL_COST: u32 = 4;

/// RFC 3261 §20.33: seconds until whoever was turned away may try again; at random between, so that they do not all come
/// back at once.
const RETRY_AFTER: core::ops::Range<u64> = 5..31;

/// Whether anything from here is heard: requests, and responses too.
pub fn hears(turn: &mut Turn<'_>, flow: &Flow) -> bool {
    !kept_out(turn, flow)
}

pub(super) fn kept_out(turn: &mut Turn<'_>, flow: &Flow) -> bool {
    let heard = match turn.shared.bans.find(turn.now, flow.remote.ip()) {
        None => true,
        Some(Reason::Operator) => false,
        // Others may share the address: who has proven an account goes on.
        Some(Reason::Guessing) => turn.shared.sources.has_proven(turn.now, flow),
    };
    if !heard {
        turn.out.events.push(Event::LimitHit { limit: BANNED, flow: Some(*flow) });
    }
    !heard
}

/// Whether one more request from here is heard.
pub fn admits(turn: &mut Turn<'_>, flow: &Flow) -> bool {
    let limits = &turn.config.limits;
    if turn.shared.sources.admit(turn.now, flow, limits) != Admission::Over {
        return true;
    }
    turn.out.events.push(Event::LimitHit { limit: UNVERIFIED, flow: Some(*flow) });
    false
}

/// A request was refused: what that says about its source.
pub fn refused(turn: &mut Turn<'_>, flow: &Flow, why: &Rejection) {
    let is_guess = why.refused.as_ref().is_some_and(|refused| refused.is_guess);
    let is_odd = is_guess || matches!(why.status, 403 | 404 | 480);
    if is_odd && why.fault != Fault::Ours {
        turn.shared.sources.charge(turn.now, flow, &turn.config.limits, REFUSAL_COST);
    }
    let ip = flow.remote.ip();
    if is_guess && !turn.config.limits.trusts(ip) {
        let ban = turn.shared.bans.failed(turn.now, ip, &turn.config.auth.ban);
        turn.out.events.extend(ban.map(|row| Event::Banned { row, flow: *flow }));
    }
}

/// Whether this datagram can be thrown away unread: its source is far over its budget, and it begins something new. Asked
/// only while strangers are asking too much.
pub fn floods(turn: &mut Turn<'_>, flow: &Flow, message: &[u8]) -> bool {
    const OTHERS: [&[u8]; 4] = [b"SIP/2.0", b"ACK ", b"CANCEL ", b"BYE "];
    let sources = &turn.shared.sources;
    if !sources.are_flooding(turn.now)
        || OTHERS.iter().any(|start| message.starts_with(start))
        || !sources.is_over(turn.now, flow, &turn.config.limits)
    {
        return false;
    }
    turn.out.events.push(Event::LimitHit { limit: UNVERIFIED, flow: Some(*flow) });
    true
}

/// Whether there is time for this request. What belongs to something begun is let through, and so are phones that
/// register again: a call that is turned away can be made again, one that is cut off cannot.
pub fn has_time(turn: &mut Turn<'_>, flow: &Flow, request: &Request) -> Result<(), Rejection> {
    let share = turn.shared.overload.share();
    if share == 0 || is_spared(turn, flow, request) {
        return Ok(());
    }
    let call_id = request.call_id().unwrap_or_default();
    let Some(seconds) = turned_away(turn, flow, share, call_id) else { return Ok(()) };
    turn.out.events.push(Event::LimitHit { limit: OVERLOAD, flow: Some(*flow) });
    Err(Rejection::overloaded(seconds))
}

/// Whether a call is of the share that is turned away, and the seconds until it may be made again.
pub(super) fn turned_away(turn: &Turn<'_>, flow: &Flow, share: u32, call_id: &[u8]) -> Option<u32> {
    // Strangers first: not before all of theirs is any call of somebody known turned away.
    let doubled = share.saturating_mul(2);
    let share = if is_known(turn, flow) {
        doubled.saturating_sub(overload::ALL)
    } else {
        doubled.min(overload::ALL)
    };
    // The same call gets the same answer however often it is repeated, for half a minute.
    let minute = (turn.now.as_secs() / 32).to_be_bytes();
    let dice = turn.shared.seal.mac(Purpose::Table, &[b"overload", call_id, &minute]);
    if u64::from(share) <= dice % u64::from(overload::ALL) {
        return None;
    }
    let seconds = RETRY_AFTER.start + (dice >> 32) % (RETRY_AFTER.end - RETRY_AFTER.start);
    u32::try_from(seconds).ok()
}

/// Of a trusted network, or proven to have an account or a call here.
pub(super) fn is_known(turn: &Turn<'_>, flow: &Flow) -> bool {
    turn.config.limits.trusts(flow.remote.ip()) || turn.shared.sources.has_proven(turn.now, flow)
}

fn is_spared(turn: &Turn<'_>, flow: &Flow, request: &Request) -> bool {
    if request.to().is_ok_and(|to| to.tag().is_some()) {
        return true;
    }
    match request.method() {
        Method::Ack | Method::Cancel => true,
        Method::Register => is_known(turn, flow),
        // RFC 3261 §20.26. Anybody can write it, so only of those who are known it means something.
        _ => {
            request.header(Name::Priority).is_some_and(|p| p.eq_ignore_ascii_case(b"emergency"))
                && is_known(turn, flow)
        }
    }
}
