//! The INVITE server transaction (RFC 3261 §17.2.1 Figure 7, changed by RFC 6026 §8.5 and §8.7).
//!
//! It holds no message, no key and no clock: it decides, the layer acts. The 100 Trying of §17.2.1 is the TU's: a
//! proxy sends one at once.
//!
//! ```text
//!                            | INVITE
//!                            V pass INVITE to TU
//!       INVITE            +------------+  1xx from TU
//!       send response +---|            |---+ send response
//!                     +-->| Proceeding |<--+
//!                         +------------+
//!       300-699 from TU    |          |   2xx from TU
//!       send response      |          |   send response
//!          +---------------+          +-----------------+
//!          V                                            V
//!     +-----------+  INVITE, Timer G    INVITE      +----------+  2xx from TU
//!     | Completed |--+ send response        - +-----| Accepted |--+ send response
//!     +-----------+<-+                        +---->+----------+<-+
//!      |  | Timer H fires                      ACK     |    |
//!      |  | inform TU                    ACK to TU +---+    | Timer L fires
//!      |  +-----------------------------> Terminated <------+
//!      | ACK                                  ^
//!      V                                      |
//!     +-----------+  ACK, -                   |
//!     | Confirmed |--+       Timer I fires    |
//!     +-----------+<-+------------------------+
//! ```

use crate::timer::{Doubling, Timer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A retransmission of the INVITE.
    Invite,
    Ack,
    /// From the TU: 1xx.
    Provisional,
    /// From the TU: 2xx.
    Success,
    /// From the TU: 300-699.
    Failure,
    TransportError,
    Timer(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Keep this response: retransmissions are answered with it.
    Remember,
    /// Send the response at hand, or else the remembered one.
    SendResponse,
    /// Only the fact that there was a transaction matters from here on.
    Forget,
    /// Pass the ACK to the TU.
    DeliverAck,
    StopTimers,
    Start(Timer),
    ReportTimeout,
    ReportTransportError,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InviteServer {
    state: State,
    reliable: bool,
    /// Interval of Timer G.
    doubling: Doubling,
}

impl InviteServer {
    /// The arc into Proceeding: an INVITE was passed to the TU.
    pub const fn start(reliable: bool) -> Self {
        Self { state: State::Proceeding, reliable, doubling: Doubling(0) }
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
            // RFC 3261 §17.2.1: "If a request retransmission is received while in the "Proceeding" state, the most
            // recent provisional response that was received from the TU MUST be passed to the transport layer".
            (Proceeding, Invite) => (Proceeding, &[SendResponse]),
            // "The TU passes any number of provisional responses to the server transaction."
            (Proceeding, Provisional) => (Proceeding, &[Remember, SendResponse]),
            // RFC 6026 §8.5: a 2xx from the TU moves to Accepted; Timer L starts at 64*T1, on any transport.
            (Proceeding, Success) => (Accepted, &[SendResponse, Forget, Start(self::Timer::L)]),
            // "the server transaction [...] MUST enter the "Completed" state": G retransmits over unreliable
            // transports, H bounds the wait for the ACK.
            (Proceeding, Failure) if self.reliable => {
                (Completed, &[Remember, SendResponse, Start(self::Timer::H)])
            }
            (Proceeding, Failure) => {
                (Completed, &[Remember, SendResponse, Start(self::Timer::G), Start(self::Timer::H)])
            }
            // "while in the "Completed" state, if a request retransmission is received, the server SHOULD pass the
            // response to the transport for retransmission."
            (Completed, Invite) => (Completed, &[SendResponse]),
            // "If timer G fires, the response is passed to the transport layer once more for retransmission, and
            // timer G is set to fire in MIN(2*T1, T2) seconds."
            (Completed, Timer(self::Timer::G)) => {
                self.doubling = self.doubling.next();
                (Completed, &[SendResponse, Start(self::Timer::G)])
            }
            // "If an ACK is received while the server transaction is in the "Completed" state, the server
            // transaction MUST transition to the "Confirmed" state." Timer I is zero on reliable transports.
            (Completed, Ack) if self.reliable => (Terminated, &[StopTimers, Forget]),
            (Completed, Ack) => (Confirmed, &[StopTimers, Forget, Start(self::Timer::I)]),
            // "If timer H fires while in the "Completed" state, it implies that the ACK was never received. In this
            // case, the server transaction MUST transition to the "Terminated" state, and MUST indicate to the TU
            // that a transaction failure has occurred."
            (Completed, Timer(self::Timer::H)) => {
                (Terminated, &[StopTimers, Forget, ReportTimeout])
            }
            // "The purpose of the "Confirmed" state is to absorb any additional ACK messages that arrive".
            (Confirmed, Ack) => (Confirmed, &[]),
            (Confirmed, Timer(self::Timer::I)) => (Terminated, &[]),
            // RFC 6026 §7.1: in Accepted a retransmitted INVITE is absorbed without an answer; the 2xx belongs to
            // the TU, whose further 2xx responses pass through.
            (Accepted, Invite) => (Accepted, &[]),
            (Accepted, Success) => (Accepted, &[SendResponse]),
            // RFC 6026 §8.7: "any ACKs received from the network while in the "Accepted" state MUST be passed
            // directly to the TU and not absorbed."
            (Accepted, Ack) => (Accepted, &[DeliverAck]),
            (Accepted, Timer(self::Timer::L)) => (Terminated, &[]),
            // RFC 6026 §8.8: the TU is told that a response could not be sent, and the state stays.
            (Proceeding | Completed | Accepted, TransportError) => {
                (self.state, &[ReportTransportError])
            }
            // "Any other final responses passed by the TU to the server transaction MUST be discarded"; so is a stray.
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
        let events = [Invite, Ack, Provisional, Success, Failure, TransportError]
            .into_iter()
            .chain([super::Timer::G, super::Timer::H, super::Timer::I, super::Timer::L].map(Timer));
        let events: Vec<Event> = events.collect();
        let mut table = table::Table::new();
        for reliable in [false, true] {
            table.section(reliable);
            let machine = InviteServer::start(reliable);
            table.row::<Action>("-", "INVITE", machine.state, &[], machine.doubling);
            for state in [Proceeding, Completed, Confirmed, Accepted, Terminated] {
                for &event in &events {
                    let mut machine = InviteServer { state, reliable, doubling: Doubling(0) };
                    let actions = machine.on_event(event);
                    table.row(state, event, machine.state, actions, machine.doubling);
                }
            }
        }
        insta::assert_snapshot!(table.text());
    }
}
