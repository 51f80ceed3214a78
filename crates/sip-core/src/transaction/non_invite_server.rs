//! The non-INVITE server transaction (RFC 3261 §17.2.2 Figure 8, changed by RFC 6026 §8.8).
//!
//! It holds no message, no key and no clock: it decides, the layer acts.
//!
//! ```text
//!                          | Request received
//!                          | pass to TU
//!                          V
//!                    +------------+
//!                    |  Trying    |-------------+
//!                    +------------+             |
//!                          | 1xx from TU        | 200-699 from TU
//!       Request            | send response      | send response
//!       send response      V                    |
//!            +-------+------------+             |
//!            |       | Proceeding |---+ 1xx from TU
//!            +------>+------------+<--+ send response
//!                          | 200-699 from TU    |
//!                          | send response      |
//!       Request            V                    |
//!       send response +------------+            |
//!            +--------| Completed  |<-----------+
//!            +------->+------------+
//!                          | Timer J fires
//!                          V
//!                      Terminated
//! ```

use crate::timer::Timer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A retransmission of the request.
    Request,
    /// From the TU: 1xx.
    Provisional,
    /// From the TU: 200-699.
    Final,
    TransportError,
    Timer(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep this response: retransmissions are answered with it.
    Remember,
    /// Keep of this response what the request does not say itself.
    RememberFinal,
    /// Send the response at hand, or else the remembered one.
    SendResponse,
    Start(Timer),
    ReportTransportError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonInviteServer {
    state: State,
    reliable: bool,
}

impl NonInviteServer {
    /// The arc into Trying: a request was passed to the TU.
    pub const fn start(reliable: bool) -> Self {
        Self { state: State::Trying, reliable }
    }

    pub const fn state(self) -> State {
        self.state
    }

    pub fn on_event(&mut self, event: Event) -> &'static [Action] {
        use Action::*;
        use Event::*;
        use State::*;
        let (state, actions): (State, &'static [Action]) = match (self.state, event) {
            // RFC 3261 §17.2.2: "Once in the "Trying" state, any further request retransmissions are discarded."
            (Trying, Request) => (Trying, &[]),
            // "While in the "Trying" state, if the TU passes a provisional response to the server transaction, the
            // server transaction MUST enter the "Proceeding" state. The response MUST be passed to the transport".
            (Trying | Proceeding, Provisional) => (Proceeding, &[Remember, SendResponse]),
            // "If a retransmission of the request is received while in the "Proceeding" state, the most recently
            // sent provisional response MUST be passed to the transport layer for retransmission."
            (Proceeding, Request) => (Proceeding, &[SendResponse]),
            // "If the TU passes a final response (status codes 200-699) [...], the transaction MUST enter the
            // "Completed" state". Timer J is 64*T1 for unreliable transports, and zero seconds for reliable ones.
            (Trying | Proceeding, Final) if self.reliable => (Terminated, &[SendResponse]),
            (Trying | Proceeding, Final) => {
                (Completed, &[SendResponse, RememberFinal, Start(self::Timer::J)])
            }
            // "While in the "Completed" state, the server transaction MUST pass the final response to the transport
            // layer for retransmission whenever a retransmission of the request is received."
            (Completed, Request) => (Completed, &[SendResponse]),
            (Completed, Timer(self::Timer::J)) => (Terminated, &[]),
            // RFC 6026 §8.8: the TU is told that a response could not be sent, and the state stays.
            (Proceeding | Completed, TransportError) => (self.state, &[ReportTransportError]),
            // "Any other final responses passed by the TU to the server transaction MUST be discarded while in the
            // "Completed" state"; so is a stray.
            (state, _) => (state, &[]),
        };
        self.state = state;
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::Doubling;
    use crate::transaction::table;

    #[test]
    fn every_state_and_event() {
        use Event::*;
        use State::*;
        let events = [Request, Provisional, Final, TransportError, Timer(super::Timer::J)];
        let mut table = table::Table::new();
        for reliable in [false, true] {
            table.section(reliable);
            let machine = NonInviteServer::start(reliable);
            table.row::<Action>("-", "Request", machine.state, &[], Doubling(0));
            for state in [Trying, Proceeding, Completed, Terminated] {
                for event in events {
                    let mut machine = NonInviteServer { state, reliable };
                    let actions = machine.on_event(event);
                    table.row(state, event, machine.state, actions, Doubling(0));
                }
            }
        }
        insta::assert_snapshot!(table.text());
    }
}
