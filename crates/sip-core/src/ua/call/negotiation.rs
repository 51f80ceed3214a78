//! Who owes whom a session description in one dialog (RFC 3264 §4, RFC 3261 §14, RFC 3311 §5.2, RFC 6337 §2.2): one offer
//! at a time, and what is answered to a second one. It never sees a description.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum State {
    /// No offer is open.
    Stable,
    /// We offered and wait for the answer.
    Sent,
    /// The peer offered and waits for ours.
    Received,
    /// The peer sent an INVITE without an offer and waits for ours.
    Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Event {
    WeOffer,
    WeAnswer,
    PeerOffers,
    /// INVITE without an offer.
    PeerAsks,
    PeerAnswers,
    /// The open offer was refused, or its transaction came to nothing.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ua) enum Verdict {
    Go,
    /// 491: our own offer is open.
    Pending,
    /// 500 with Retry-After: theirs is.
    Busy,
    /// It does not fit: nothing is to be done.
    Misfit,
}

impl State {
    pub const fn on_event(self, event: Event) -> (Self, Verdict) {
        use Event::*;
        use State::*;
        use Verdict::*;
        match (self, event) {
            (Stable | Asked, WeOffer) => (Sent, Go),
            (Stable, PeerOffers) => (Received, Go),
            (Stable, PeerAsks) => (Asked, Go),
            (Received, WeAnswer) => (Stable, Go),
            (Sent, PeerAnswers) => (Stable, Go),
            (Sent | Received | Asked, Refused) => (Stable, Go),
            // RFC 3261 §14.2: "A UAS that receives an INVITE on a dialog while an INVITE it had sent on that dialog is in
            // progress MUST return a 491 (Request Pending)"; RFC 3311 §5.2 for UPDATE.
            (Sent, PeerOffers | PeerAsks) => (Sent, Pending),
            // RFC 3261 §14.2: "A UAS that receives a second INVITE before it sends the final response to a first INVITE
            // [...] MUST return a 500 (Server Internal Error) response to the second INVITE and MUST include a
            // Retry-After header field with a randomly chosen value of between 0 and 10 seconds."
            (Received | Asked, PeerOffers | PeerAsks) => (self, Busy),
            (state, _) => (state, Misfit),
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
        let events = [WeOffer, WeAnswer, PeerOffers, PeerAsks, PeerAnswers, Refused];
        insta::assert_snapshot!(table::of(
            &[Stable, Sent, Received, Asked],
            &events,
            |state, event| {
                let (next, verdict) = state.on_event(event);
                let verdict = if verdict == Verdict::Misfit { vec![] } else { vec![verdict] };
                (next, verdict)
            }
        ));
    }
}
