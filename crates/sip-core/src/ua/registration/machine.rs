//! The registration as a machine (RFC 3261 §10.2): one REGISTER at a time, refreshed until it is not wanted any more. It
//! holds no message and no clock.
//!
//! ```text
//!          Register            Accepted               RefreshDue, FlowLost
//!   Idle ------------> Registering ---> Registered ----------------------> Refreshing
//!    ^                  |      ^           ^  |  ^                            |   |
//!    |          Failed  v      | RetryDue  |  |  +--------- Accepted ---------+   |
//!    |               Waiting --+           |  | Unregister                        | Failed -> Waiting
//!    +----- Accepted, Refused -- Leaving <----+
//! ```

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Idle,
    Registering,
    Registered,
    /// Registered, and a REGISTER is under way that renews it.
    Refreshing,
    /// It failed in a way that may pass.
    Waiting,
    /// A REGISTER is under way, and its end is to be followed by a removal.
    LeavingSoon,
    /// The removal is under way.
    Leaving,
    /// The removal is under way, and a registration is wanted again.
    ReturningSoon,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Register,
    Unregister,
    /// 2xx.
    Accepted,
    /// 423 with an interval that we can do.
    Brief,
    /// A refusal that will not pass by itself.
    Refused,
    /// Timeout, transport error, 5xx and the like.
    Failed,
    /// Time to refresh, or to try again.
    Due,
    /// The stream that the registration came in by is gone (RFC 5626 §4.2).
    FlowLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send,
    SendRemoval,
    /// Refresh in time.
    ArmRefresh,
    /// Try again, later each time (RFC 5626 §4.5).
    ArmRetry,
    Disarm,
    TellRegistered,
    TellFailed,
    TellUnregistered,
}

impl State {
    pub const fn on_event(self, event: Event) -> (Self, &'static [Action]) {
        use Action::*;
        use Event::*;
        use State::*;
        match (self, event) {
            (Idle | Waiting, Register) => (Registering, &[Disarm, Send]),
            (Registered, Register) => (Refreshing, &[Disarm, Send]),
            // RFC 3261 §10.2: "UAs MUST NOT send a new registration (that is, containing new Contact header field
            // values, as opposed to a retransmission) until they have received a final response from the registrar for
            // the previous one or the previous REGISTER request has timed out."
            (LeavingSoon, Register) => (Registering, &[]),
            (Leaving, Register) => (ReturningSoon, &[]),
            (Registering | Refreshing, Unregister) => (LeavingSoon, &[]),
            (ReturningSoon, Unregister) => (Leaving, &[]),
            // §10.2.2: also of what somebody else may have registered.
            (Idle | Waiting | Registered, Unregister) => (Leaving, &[Disarm, SendRemoval]),
            // §10.2.4: "SHOULD refresh its own bindings".
            (Registering | Refreshing, Accepted) => (Registered, &[ArmRefresh, TellRegistered]),
            // §10.2.8: "MAY retry the registration after making the expiration interval [...] equal to or greater than
            // the expiration interval within the Min-Expires header field".
            (Registering | Refreshing, Brief) => (self, &[Send]),
            (Registering | Refreshing, Refused) => (Idle, &[Disarm, TellFailed]),
            (Registering | Refreshing, Failed) => (Waiting, &[ArmRetry, TellFailed]),
            (LeavingSoon, Accepted | Brief | Refused | Failed) => (Leaving, &[SendRemoval]),
            (Leaving, Accepted) => (Idle, &[TellUnregistered]),
            (Leaving, Brief | Refused | Failed) => (Idle, &[TellFailed]),
            (ReturningSoon, Accepted | Brief | Refused | Failed) => (Registering, &[Send]),
            (Registered, Due) => (Refreshing, &[Send]),
            (Waiting, Due) => (Registering, &[Send]),
            // RFC 5626 §4.2: a flow that failed is replaced at once; the binding would lead nowhere.
            (Registered, FlowLost) => (Refreshing, &[Disarm, Send]),
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
        let states = [
            Idle,
            Registering,
            Registered,
            Refreshing,
            Waiting,
            LeavingSoon,
            Leaving,
            ReturningSoon,
        ];
        let events = [Register, Unregister, Accepted, Brief, Refused, Failed, Due, FlowLost];
        insta::assert_snapshot!(table::of(&states, &events, |state, event| {
            let (next, actions) = state.on_event(event);
            (next, actions.to_vec())
        }));
    }
}
