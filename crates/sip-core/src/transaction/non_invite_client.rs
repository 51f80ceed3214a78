//! The non-INVITE client transaction (RFC 3261 §17.1.2.2 Figure 6).
//!
//! It holds no message, no key and no clock: it decides, the layer acts.
//!
//! ```text
//!                           | Request from TU
//!           Timer E fires   | send request     Timer F fires
//!           send request    V                  or Transport Err.
//!            +-----------+-----------+         inform TU
//!            |           |  Trying   |------------------------->+
//!            +---------->+-----------+                          |
//!                200-699 |    | 1xx                             |
//!            resp. to TU |    | resp. to TU                     |
//!            +-----------+    V             Timer F fires       |
//!            |           +------------+     or Transport Err.   |
//!            |    1xx +--|            |     inform TU           |
//!            |  to TU +->| Proceeding |------------------------>+
//!            |  Timer E  |            |                         |
//!            |  send req +------------+                         |
//!            |                | 200-699                         |
//!            |                | resp. to TU                     |
//!            +--------------->+                                 |
//!                             V                                 |
//!                        +-----------+                          |
//!                        | Completed |                          |
//!                        +-----------+                          |
//!                             | Timer K fires                   |
//!                             V                                 V
//!                             +---------- Terminated -----------+
//! ```

use crate::timer::{Doubling, Timer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Provisional,
    Final,
    TransportError,
    /// The TU has turned to somebody else.
    GiveUp,
    Timer(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    SendRequest,
    /// Pass the response to the TU.
    Deliver,
    StopTimers,
    Start(Timer),
    ReportTimeout,
    ReportTransportError,
    ReportSilence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NonInviteClient {
    state: State,
    reliable: bool,
    /// Interval of Timer E.
    doubling: Doubling,
}

impl NonInviteClient {
    /// The arc into Trying: the TU sends a request.
    pub const fn start(reliable: bool) -> (Self, &'static [Action]) {
        use Action::{SendRequest, Start};
        let machine = Self { state: State::Trying, reliable, doubling: Doubling(0) };
        // RFC 3261 §17.1.2.2: "set timer F to fire in 64*T1 seconds [...]. If an unreliable transport is in use,
        // the client transaction MUST set timer E to fire in T1 seconds."
        if reliable {
            (machine, &[SendRequest, Start(Timer::F)])
        } else {
            (machine, &[SendRequest, Start(Timer::E), Start(Timer::F)])
        }
    }

    pub const fn state(self) -> State {
        self.state
    }

    pub const fn doubling(self) -> Doubling {
        self.doubling
    }

    pub fn on_event(&mut self, event: Event) -> &'static [Action] {
        use Action::*;
        use Event::*;
        use State::*;
        let (state, actions): (State, &'static [Action]) = match (self.state, event) {
            // RFC 3261 §17.1.2.2: "If timer E fires while still in this state, the timer is reset, but this time
            // with a value of MIN(2*T1, T2)."
            (Trying, Timer(self::Timer::E)) => {
                self.doubling = self.doubling.next();
                (Trying, &[SendRequest, Start(self::Timer::E)])
            }
            // "If Timer F fires while the client transaction is still in the "Trying" state, the client transaction
            // SHOULD inform the TU about the timeout, and then it SHOULD enter the "Terminated" state."
            (Trying | Proceeding, Timer(self::Timer::F)) => {
                (Terminated, &[StopTimers, ReportTimeout])
            }
            // RFC 3263 §4.3: somebody else may be tried long before Timer F; that is the TU's decision.
            (Trying, Timer(self::Timer::Silence)) => (Trying, &[ReportSilence]),
            // What was sent may still be answered, so it is waited for, and repeated no more.
            (Trying, GiveUp) => (Trying, &[StopTimers, Start(self::Timer::F)]),
            // RFC 3261 §17.1.4.
            (Trying | Proceeding, TransportError) => {
                (Terminated, &[StopTimers, ReportTransportError])
            }
            // "If a provisional response is received while in the "Trying" state, the response MUST be passed to the
            // TU, and then the client transaction SHOULD move to the "Proceeding" state." E and F run on.
            (Trying, Provisional) => (Proceeding, &[Deliver]),
            // "If Timer E fires while in the "Proceeding" state, the request MUST be passed to the transport layer
            // for retransmission, and Timer E MUST be reset with a value of T2 seconds."
            (Proceeding, Timer(self::Timer::E)) => {
                self.doubling = Doubling::T2;
                (Proceeding, &[SendRequest, Start(self::Timer::E)])
            }
            // Figure 6: 1xx, resp. to TU.
            (Proceeding, Provisional) => (Proceeding, &[Deliver]),
            // "If a final response (status codes 200-699) is received [...], the response MUST be passed to the TU,
            // and the client transaction MUST transition to the "Completed" state." Timer K is T4 for unreliable
            // transports, and zero seconds for reliable ones.
            (Trying | Proceeding, Final) if self.reliable => (Terminated, &[StopTimers, Deliver]),
            (Trying | Proceeding, Final) => {
                (Completed, &[StopTimers, Deliver, Start(self::Timer::K)])
            }
            // "If Timer K fires while in this state, the client transaction MUST transition to the "Terminated"
            // state." Retransmitted finals are buffered away until then.
            (Completed, Timer(self::Timer::K)) => (Terminated, &[]),
            // A stray: absorbed.
            (state, _) => (state, &[]),
        };
        self.state = state;
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::table;

    #[test]
    fn every_state_and_event() {
        use Event::*;
        use State::*;
        let timers = [super::Timer::E, super::Timer::F, super::Timer::K, super::Timer::Silence];
        let events =
            [Provisional, Final, TransportError, GiveUp].into_iter().chain(timers.map(Timer));
        let events: Vec<Event> = events.collect();
        let mut table = table::Table::new();
        for reliable in [false, true] {
            table.section(reliable);
            let (machine, actions) = NonInviteClient::start(reliable);
            table.row("-", "Request from TU", machine.state, actions, machine.doubling);
            for state in [Trying, Proceeding, Completed, Terminated] {
                for &event in &events {
                    let mut machine = NonInviteClient { state, reliable, doubling: Doubling(0) };
                    let actions = machine.on_event(event);
                    table.row(state, event, machine.state, actions, machine.doubling);
                }
            }
        }
        insta::assert_snapshot!(table.text());
    }
}
