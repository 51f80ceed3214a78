//! The callee's side of a call as a machine (RFC 3261 §13.3, §9.2, §15). It holds no message and no clock. What happens to
//! reliable provisional responses is `reliable`'s.
//!
//! ```text
//!  Ringing -> Accepted -> Confirmed -> Terminating -> Ended
//!     |          |   (ACK)                 ^
//!     |          +-----> Leaving ----------+
//!     +--------------------------------------------> Ended
//! ```

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum State {
    /// The INVITE waits for our final response.
    Ringing,
    /// 2xx was sent and is repeated until its ACK comes.
    Accepted,
    /// The same, and the call is to end as soon as that is allowed.
    Leaving,
    Confirmed,
    /// BYE was sent.
    Terminating,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Event {
    Ring,
    Answer,
    Reject,
    /// A CANCEL for the INVITE.
    Cancelled,
    /// The Expires of the INVITE has passed (§13.3.1).
    Expired,
    /// RFC 3262 §3: 64*T1 without PRACK.
    NoPrack,
    Ack,
    /// 64*T1 without ACK.
    NoAck,
    HangUp,
    /// The session has to end: its timer, a dialog the peer has lost, another call in its place.
    Over,
    PeerBye,
    ByeDone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Action {
    SendProgress,
    SendOk,
    SendRefusal,
    /// 603.
    SendDecline,
    /// 487.
    SendTerminated,
    /// 504.
    SendTimeout,
    StopRepeating,
    SendBye,
    TellEstablished,
    TellEnded,
}

impl State {
    pub const fn on_event(self, event: Event) -> (Self, &'static [Action]) {
        use Action::*;
        use Event::*;
        use State::*;
        match (self, event) {
            (Ringing, Ring) => (Ringing, &[SendProgress]),
            // RFC 3261 §13.3.1.4: the 2xx is passed "to the transport with an interval that starts at T1 seconds and
            // doubles for each retransmission until it reaches T2 seconds".
            (Ringing, Answer) => (Accepted, &[SendOk]),
            (Ringing, Reject) => (Ended, &[SendRefusal, TellEnded]),
            (Ringing, HangUp | Over) => (Ended, &[SendDecline, TellEnded]),
            // §9.2: "If the UAS has not issued a final response for the original request, [...] it SHOULD immediately
            // respond to the INVITE with a 487". §15.1.2 for a BYE of an early dialog; §13.3.1 for Expires.
            (Ringing, Cancelled | PeerBye | Expired) => (Ended, &[SendTerminated, TellEnded]),
            // RFC 3262 §3: "If a reliable provisional response is retransmitted for 64*T1 seconds without reception of a
            // corresponding PRACK, the UAS SHOULD reject the original request with a 5xx response."
            (Ringing, NoPrack) => (Ended, &[SendTimeout, TellEnded]),
            (Accepted, Ack) => (Confirmed, &[StopRepeating, TellEstablished]),
            // RFC 3261 §15: "the callee's UA MUST NOT send a BYE on a confirmed dialog until it has received an ACK for
            // its 2xx response or until the server transaction times out."
            (Accepted, HangUp | Over) => (Leaving, &[]),
            (Leaving, Ack) => (Terminating, &[StopRepeating, SendBye]),
            // §13.3.1.4: "If the server retransmits the 2xx response for 64*T1 seconds without receiving an ACK, the
            // dialog is confirmed, but the session SHOULD be terminated. This is accomplished with a BYE".
            (Accepted | Leaving, NoAck) => (Terminating, &[StopRepeating, SendBye]),
            (Accepted | Leaving, PeerBye) => (Ended, &[StopRepeating, TellEnded]),
            (Confirmed, HangUp | Over) => (Terminating, &[SendBye]),
            (Confirmed, PeerBye) => (Ended, &[TellEnded]),
            // §15.1.1, and a crossing BYE changes nothing.
            (Terminating, ByeDone) => (Ended, &[TellEnded]),
            // §9.2: a CANCEL after the final response "has no effect on the processing of the original request".
            (state, _) => (state, &[]),
        }
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
        let states = [Ringing, Accepted, Leaving, Confirmed, Terminating, Ended];
        let events = [
            Ring, Answer, Reject, Cancelled, Expired, NoPrack, Ack, NoAck, HangUp, Over, PeerBye,
            ByeDone,
        ];
        insta::assert_snapshot!(table::of(&states, &events, |state, event| {
            let (next, actions) = state.on_event(event);
            (next, actions.to_vec())
        }));
    }
}
