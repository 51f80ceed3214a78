//! Whose turn it is (RFC 3264 §4): at any time at most one offer waits for its answer.

use super::OutOfOrder;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No offer is outstanding: before the first, and after every answer.
    Stable,
    /// Ours waits for the peer's answer.
    OfferSent,
    /// The peer's waits for our answer.
    OfferReceived,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    SendOffer,
    ReceiveOffer,
    SendAnswer,
    ReceiveAnswer,
    /// The request that carried the offer was refused or came to nothing: what was agreed before holds.
    Withdraw,
}

impl State {
    /// # Errors
    /// The event is not allowed now; the error knows which response that earns.
    pub const fn on_event(self, event: Event) -> Result<Self, OutOfOrder> {
        use Event::*;
        use State::*;
        match (self, event) {
            (Stable, SendOffer) => Ok(OfferSent),
            (Stable, ReceiveOffer) => Ok(OfferReceived),
            // RFC 3264 §4: an offer is answered or rejected; either ends the exchange.
            (OfferSent, ReceiveAnswer) => Ok(Stable),
            (OfferReceived, SendAnswer) => Ok(Stable),
            // RFC 3261 §14.1: the session goes on as if the offer had never been made.
            (OfferSent | OfferReceived, Withdraw) => Ok(Stable),
            // RFC 3264 §4: "it MUST NOT generate a new offer if it has received an offer which it has not yet answered
            // or rejected", nor "if it has generated a prior offer for which it has not yet received an answer".
            // A received one is glare: RFC 3261 §14.2 (491), or 500 when the peer offers twice.
            (state, event) => Err(OutOfOrder { state, event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn every_state_and_event() {
        use Event::*;
        let mut table = String::new();
        for state in [State::Stable, State::OfferSent, State::OfferReceived] {
            for event in [SendOffer, ReceiveOffer, SendAnswer, ReceiveAnswer, Withdraw] {
                let next = match state.on_event(event) {
                    Ok(next) => format!("{next:?}"),
                    Err(error) => format!("refused, {:?}: {error}", error.status()),
                };
                writeln!(table, "{:<14} {:<14} {next}", format!("{state:?}"), format!("{event:?}"))
                    .unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }
}
