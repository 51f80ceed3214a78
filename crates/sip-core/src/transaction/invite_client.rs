//! The INVITE client transaction (RFC 3261 §17.1.1.2 Figure 5, changed by RFC 6026 §8.4).
//!
//! It holds no message, no key and no clock: it decides, the layer acts.
//!
//! ```text
//!                           | INVITE from TU
//!           Timer A fires   | INVITE sent      Timer B fires
//!           Reset A,        V                  or Transport Err.
//!           INVITE sent  +-----------+         inform TU
//!            +-----------|  Calling  |------------------------->+
//!            +---------->+-----------+                          |
//!                         |   |   | 2xx                         |
//!            300-699      |   |   | 2xx to TU                   |
//!            ACK sent     |   |1xx+--------------------------+  |
//!            resp. to TU  |   |1xx to TU                     |  |
//!            +------------+   V                              |  |
//!            |           +------------+  2xx, 2xx to TU      |  |
//!            |    1xx +--| Proceeding |--------------------->+  |
//!            |  to TU +->+------------+                      |  |
//!            |                |  |  64*T1 after CANCEL        |  |
//!            +<---------------+  +-----------------------------> |
//!            |  300-699, ACK sent, resp. to TU               |  |
//!            V                                               V  |
//!        +-----------+  300-699   +->-+               +----------+
//!        | Completed |  ACK sent  |   |     2xx +-->--| Accepted |
//!        +-----------+------------+   |    to TU +-<--+----------+
//!            | Timer D fires, or Transport Err.          | Timer M
//!            V                                           V fires
//!           +---------------- Terminated ----------------+
//! ```

use crate::timer::{Doubling, Timer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Provisional,
    Success,
    Failure,
    TransportError,
    /// The TU has turned to somebody else.
    GiveUp,
    Timer(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    SendRequest,
    SendAck,
    /// Pass the response to the TU.
    Deliver,
    StopTimers,
    Start(Timer),
    ReportTimeout,
    ReportCancelled,
    ReportTransportError,
    ReportSilence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteClient {
    state: State,
    reliable: bool,
    /// Interval of Timer A.
    doubling: Doubling,
}

impl InviteClient {
    /// The arc into Calling: the TU sends an INVITE.
    pub const fn start(reliable: bool) -> (Self, &'static [Action]) {
        use Action::{SendRequest, Start};
        let machine = Self { state: State::Calling, reliable, doubling: Doubling(0) };
        // RFC 3261 §17.1.1.2: "If an unreliable transport is being used, the client transaction MUST start timer
        // A [...]. For any transport, the client transaction MUST start timer B".
        if reliable {
            (machine, &[SendRequest, Start(Timer::B)])
        } else {
            (machine, &[SendRequest, Start(Timer::A), Start(Timer::B)])
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
            // RFC 3261 §17.1.1.2: "When timer A fires, the client transaction MUST retransmit the request [...] and
            // MUST reset the timer with a value of 2*T1". Only in Calling, only over unreliable transports.
            (Calling, Timer(self::Timer::A)) => {
                self.doubling = self.doubling.next();
                (Calling, &[SendRequest, Start(self::Timer::A)])
            }
            // "If the client transaction is still in the "Calling" state when timer B fires, the client transaction
            // SHOULD inform the TU that a timeout has occurred."
            (Calling, Timer(self::Timer::B)) => (Terminated, &[StopTimers, ReportTimeout]),
            // RFC 3263 §4.3: somebody else may be tried long before Timer B; that is the TU's decision.
            (Calling, Timer(self::Timer::Silence)) => (Calling, &[ReportSilence]),
            // What was sent may still be answered, so it is waited for, and repeated no more.
            (Calling, GiveUp) => (Calling, &[StopTimers, Start(self::Timer::B)]),
            // RFC 3261 §17.1.4: the TU is told, and the transaction ends.
            (Calling, TransportError) => (Terminated, &[StopTimers, ReportTransportError]),
            // "If the client transaction receives a provisional response while in the "Calling" state, it
            // transitions to the "Proceeding" state" and does not retransmit any longer.
            (Calling, Provisional) => (Proceeding, &[StopTimers, Deliver]),
            // "the provisional response MUST be passed to the TU. Any further provisional responses MUST be passed
            // up to the TU while in the "Proceeding" state."
            (Proceeding, Provisional) => (Proceeding, &[Deliver]),
            // RFC 6026 §8.4: a 2xx moves to Accepted, and Timer M starts at 64*T1.
            (Calling | Proceeding, Success) => {
                (Accepted, &[StopTimers, Deliver, Start(self::Timer::M)])
            }
            // "reception of a response with status code from 300-699 MUST cause the client transaction to transition
            // to "Completed"", pass the response up and generate an ACK. Timer D is zero on reliable transports.
            (Calling | Proceeding, Failure) if self.reliable => {
                (Terminated, &[StopTimers, SendAck, Deliver])
            }
            (Calling | Proceeding, Failure) => {
                (Completed, &[StopTimers, SendAck, Deliver, Start(self::Timer::D)])
            }
            // RFC 3261 §9.1: without a final response 64*T1 after the CANCEL "the client SHOULD then consider the
            // original transaction cancelled and SHOULD destroy the client transaction".
            (Proceeding, Timer(self::Timer::Cancel)) => {
                (Terminated, &[StopTimers, ReportCancelled])
            }
            // "Any retransmissions of the final response that are received while in the "Completed" state MUST cause
            // the ACK to be re-passed to the transport layer [...], but the newly received response MUST NOT be
            // passed up to the TU."
            (Completed, Failure) => (Completed, &[SendAck]),
            // The ACK could not be sent: RFC 3261 Figure 5.
            (Completed, TransportError) => (Terminated, &[StopTimers, ReportTransportError]),
            // "If timer D fires while the client transaction is in the "Completed" state, the client transaction
            // MUST move to the terminated state."
            (Completed, Timer(self::Timer::D)) => (Terminated, &[]),
            // RFC 6026 §8.4: every 2xx received in Accepted is passed to the TU, which sends the ACK.
            (Accepted, Success) => (Accepted, &[Deliver]),
            // RFC 6026 §8.4: Timer M ends it.
            (Accepted, Timer(self::Timer::M)) => (Terminated, &[]),
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
        let events = [Provisional, Success, Failure, TransportError, GiveUp].into_iter().chain(
            [
                super::Timer::A,
                super::Timer::B,
                super::Timer::D,
                super::Timer::M,
                super::Timer::Cancel,
                super::Timer::Silence,
            ]
            .map(Timer),
        );
        let events: Vec<Event> = events.collect();
        let mut table = table::Table::new();
        for reliable in [false, true] {
            table.section(reliable);
            let (machine, actions) = InviteClient::start(reliable);
            table.row("-", "INVITE from TU", machine.state, actions, machine.doubling);
            for state in [Calling, Proceeding, Completed, Accepted, Terminated] {
                for &event in &events {
                    let mut machine = InviteClient { state, reliable, doubling: Doubling(0) };
                    let actions = machine.on_event(event);
                    table.row(state, event, machine.state, actions, machine.doubling);
                }
            }
        }
        insta::assert_snapshot!(table.text());
    }
}
