//! Reliable provisional responses (RFC 3262): the callee's side as a machine, which repeats one until its PRACK and keeps
//! the next back until then; and the caller's side, which is one number. It sends nothing.

use bytes::Bytes;
use sip_message::{Head, Name};

use std::collections::VecDeque;

use crate::time::Duration;

use super::super::command::Body;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ua) enum State {
    #[default]
    Idle,
    /// One is out, and its PRACK has not come.
    Waiting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Event {
    /// From our user.
    Send,
    /// A PRACK for the one that is out.
    Prack,
    Repeat,
    /// 64*T1.
    GiveUp,
    /// A final response was sent.
    Final,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Action {
    Transmit,
    Enqueue,
    Again,
    Disarm,
    TransmitNext,
    Reject,
}

impl State {
    pub const fn on_event(self, event: Event) -> (Self, &'static [Action]) {
        use Action::*;
        use Event::*;
        use State::*;
        match (self, event) {
            // RFC 3262 §3: "retransmitted with an interval that starts at T1 seconds and doubles for each retransmission".
            (Idle, Send) => (Waiting, &[Transmit]),
            // "The UAS MUST NOT send a second reliable provisional response until the first is acknowledged."
            (Waiting, Send) => (Waiting, &[Enqueue]),
            (Waiting, Prack) => (Idle, &[Disarm, TransmitNext]),
            (Waiting, Repeat) => (Waiting, &[Again]),
            // "If a reliable provisional response is retransmitted for 64*T1 seconds without reception of a corresponding
            // PRACK, the UAS SHOULD reject the original request with a 5xx response."
            (Waiting, GiveUp) => (Idle, &[Disarm, Reject]),
            // "the UAS [...] SHOULD NOT continue to retransmit the unacknowledged reliable provisional responses".
            (Waiting, Final) => (Idle, &[Disarm]),
            (state, _) => (state, &[]),
        }
    }
}

/// What the callee has sent and not seen acknowledged.
#[derive(Debug, Default)]
pub(in crate::ua) struct Reliable {
    pub state: State,
    /// RFC 3262 §3: "chosen uniformly between 1 and 2**31 - 1", then one more each time. 0: none yet.
    pub rseq: u32,
    pub wire: Option<(u16, Bytes)>,
    pub gap: Duration,
    /// It carried a description: a 2xx has to wait for its PRACK.
    pub has_body: bool,
    /// The RSeq a PRACK is still good for, also after the final response.
    pub open: Option<u32>,
    pub queue: VecDeque<(u16, Option<Body>)>,
}

/// RFC 3262 §7.2: response number and CSeq number of an RAck.
pub(in crate::ua) fn rack(head: &Head) -> Option<(u32, u32)> {
    let value = core::str::from_utf8(head.header(Name::RAck)?).ok()?;
    let mut words = value.split_ascii_whitespace();
    let numbers = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    words.next()?.eq("INVITE").then_some(numbers)
}

/// RFC 3262 §4: whether a reliable provisional response is the next one of its dialog. One that is out of order "MUST NOT
/// be acknowledged with a PRACK, and MUST NOT be processed further".
pub(in crate::ua) const fn is_next(last: Option<u32>, rseq: u32) -> bool {
    match last {
        None => rseq > 0,
        Some(last) => rseq == last.wrapping_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ua::table;

    #[test]
    fn every_state_and_event() {
        use Event::*;
        use State::*;
        insta::assert_snapshot!(table::of(
            &[Idle, Waiting],
            &[Send, Prack, Repeat, GiveUp, Final],
            |state, event| {
                let (next, actions) = state.on_event(event);
                (next, actions.to_vec())
            }
        ));
    }

    #[test]
    fn the_order_of_rseq() {
        assert!(is_next(None, 77) && is_next(Some(77), 78));
        assert!(!is_next(None, 0) && !is_next(Some(77), 77) && !is_next(Some(77), 79));
    }
}
