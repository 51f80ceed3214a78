//! The caller's side of a call as a machine (RFC 3261 §13.2, §9.1, §15). It holds no message and no clock; dialogs beyond
//! the first that was accepted never come here: they are acknowledged and ended by themselves (§13.2.2.4).
//!
//! ```text
//!  Calling -> Proceeding -> Answered -> Confirmed -> Terminating -> Ended
//!      |          |             (the 200 was an offer)    ^
//!      +----------+-----> Cancelling ---------------------+
//! ```

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum State {
    Calling,
    Proceeding,
    /// CANCEL was sent, or will be after the first provisional response (§9.1).
    Cancelling,
    /// The 2xx was an offer: its ACK waits for our answer.
    Answered,
    Confirmed,
    /// BYE was sent.
    Terminating,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Event {
    /// 101 to 199.
    Progress,
    /// The first 2xx, with an answer or nothing to answer.
    Accepted,
    /// The first 2xx, with an offer.
    AcceptedWithOffer,
    /// 300 to 699, timeout, transport error.
    Refused,
    /// From our user.
    Acknowledge,
    HangUp,
    /// The session has to end: its timer, a dialog the peer has lost.
    Over,
    PeerBye,
    /// Our BYE has its answer, or none.
    ByeDone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Action {
    TellRinging,
    TellAnswered,
    TellFailed,
    TellEnded,
    SendCancel,
    SendAck,
    SendBye,
}

impl State {
    pub const fn on_event(self, event: Event) -> (Self, &'static [Action]) {
        use Action::*;
        use Event::*;
        use State::*;
        match (self, event) {
            (Calling | Proceeding, Progress) => (Proceeding, &[TellRinging]),
            // RFC 3261 §13.2.2.4: "The UAC core MUST generate an ACK request for each 2xx received".
            (Calling | Proceeding, Accepted) => (Confirmed, &[SendAck, TellAnswered]),
            // "If the 2xx contains an offer [...], the ACK MUST carry an answer in its body."
            (Calling | Proceeding, AcceptedWithOffer) => (Answered, &[TellAnswered]),
            (Calling | Proceeding, Refused) => (Ended, &[TellFailed]),
            // §15: "the caller's UA MAY send [...] CANCEL on early dialogs".
            (Calling | Proceeding, HangUp | Over) => (Cancelling, &[SendCancel]),
            // §9.1: the 200 crossed the CANCEL; the call stands, and is ended by BYE (§15).
            (Cancelling, Accepted | AcceptedWithOffer) => (Terminating, &[SendAck, SendBye]),
            (Cancelling, Refused) => (Ended, &[TellEnded]),
            (Answered, Acknowledge) => (Confirmed, &[SendAck]),
            // "the UAC core MUST generate a valid answer in the ACK and then send a BYE immediately": there is no answer,
            // and the BYE comes all the same.
            (Answered, HangUp | Over) => (Terminating, &[SendAck, SendBye]),
            (Answered, PeerBye) => (Ended, &[SendAck, TellEnded]),
            (Confirmed, HangUp | Over) => (Terminating, &[SendBye]),
            // §15.1.2: the 200 to the BYE is on its way.
            (Confirmed, PeerBye) => (Ended, &[TellEnded]),
            // §15.1.1: "If the response for the BYE is a 481 or a 408 or no response at all is received for the BYE [...],
            // the UAC MUST consider the session and the dialog terminated." A crossing BYE changes nothing.
            (Terminating, ByeDone) => (Ended, &[TellEnded]),
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
        let states = [Calling, Proceeding, Cancelling, Answered, Confirmed, Terminating, Ended];
        let events = [
            Progress,
            Accepted,
            AcceptedWithOffer,
            Refused,
            Acknowledge,
            HangUp,
            Over,
            PeerBye,
            ByeDone,
        ];
        insta::assert_snapshot!(table::of(&states, &events, |state, event| {
            let (next, actions) = state.on_event(event);
            (next, actions.to_vec())
        }));
    }
}
