//! What a scenario tells a phone to do: plans for calls it makes, calls it receives, registrations and single
//! requests. Plans are only words; `agent` carries them out.

use std::cell::RefCell;
use std::rc::Rc;

use sip_core::time::Duration;

/// A call this phone makes.
#[derive(Clone, Debug, Default)]
pub struct CallPlan {
    pub at: Duration,
    /// Request-URI and To.
    pub uri: String,
    pub to: Option<String>,
    pub cancel_after: Option<Duration>,
    /// CANCEL although no provisional response came: what RFC 3261 §9.1 forbids.
    pub cancel_blindly: bool,
    pub cancel_on: Option<u16>,
    pub hang_up_after: Option<Duration>,
    pub reinvite_after: Option<Duration>,
    /// UPDATE, this long after the first reliable provisional response or the answer (RFC 3311).
    pub update_after: Option<Duration>,
    pub ack: Acks,
    pub sdp: bool,
    /// More copies of the INVITE, this long after the first.
    pub repeats: Vec<Duration>,
    pub headers: Vec<String>,
    pub routes: Vec<String>,
    pub max_forwards: Option<u32>,
    pub call_id: Option<String>,
    pub from: Option<String>,
    /// In-dialog requests are written the way a strict router before the server would (RFC 3261 §16.4).
    pub strict_requests: bool,
    /// Where to send the INVITE instead of the outbound proxy, one after the other when nobody answers.
    pub proxies: Vec<core::net::SocketAddr>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    #[default]
    AtOnce,
    After(Duration),
    Never,
}

/// How this phone treats a call that comes in.
#[derive(Clone, Debug, Default)]
pub struct AnswerPlan {
    /// Responses in order; each waits after the one before.
    pub steps: Vec<Say>,
    pub hang_up_after: Option<Duration>,
    pub reinvite_after: Option<Duration>,
    pub deaf_to_cancel: bool,
    pub never_487: bool,
    /// BYE repeats at these times after the first instead of by Timer E.
    pub bye_repeats: Vec<Duration>,
    /// Text replaced in every response: a phone that gets something wrong.
    pub tampers: Vec<(String, String)>,
    /// Goes on with its steps although it has sent a final response.
    pub insists: bool,
    /// Requests of this side are written the way a strict router before the server would (RFC 3261 §16.4).
    pub strict_requests: bool,
    /// Answers ACKs with 200.
    pub answers_ack: bool,
    /// Sends every request it receives straight back.
    pub reflects: bool,
    /// Provisional responses must be acknowledged (RFC 3262).
    pub reliable: bool,
    /// Header lines of every response but 100.
    pub headers: Vec<String>,
    /// Record-Route lines to put above those of the request.
    pub record_routes: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Say {
    pub after: Duration,
    pub status: u16,
    pub sdp: bool,
    /// With another To tag than before: as if a downstream proxy had forked.
    pub as_other: bool,
    /// The same bytes once more.
    pub again: bool,
}

/// A REGISTER, or any single request outside a dialog.
#[derive(Clone, Debug, Default)]
pub struct RequestPlan {
    pub at: Duration,
    pub method: String,
    pub uri: String,
    pub to: String,
    pub to_tag: Option<String>,
    pub headers: Vec<String>,
    pub max_forwards: Option<u32>,
    pub cseq: Option<u32>,
    pub call_id: Option<String>,
    pub routes: Vec<String>,
    pub body: Option<String>,
    pub repeats: Vec<Duration>,
}

/// Handle on a call plan: `alice.invite("bob").cancel_after(ms(30))`.
#[derive(Clone, Debug)]
pub struct Call(pub(crate) Rc<RefCell<CallPlan>>);

/// Handle on an answer plan: `bob.ring_after(ms(50)).answer_after(secs(2))`.
#[derive(Clone, Debug)]
pub struct Answer(pub(crate) Rc<RefCell<AnswerPlan>>);

/// Handle on a single request: `alice.register().expires(600)`.
#[derive(Clone, Debug)]
pub struct Request(pub(crate) Rc<RefCell<RequestPlan>>);

impl Call {
    fn with(self, change: impl FnOnce(&mut CallPlan)) -> Self {
        change(&mut self.0.borrow_mut());
        self
    }

    /// Start this long from now.
    pub fn at(self, after: Duration) -> Self {
        self.with(|p| p.at = after)
    }

    /// Give up this long after the INVITE; waits for a provisional response as RFC 3261 §9.1 asks.
    pub fn cancel_after(self, after: Duration) -> Self {
        self.with(|p| p.cancel_after = Some(after))
    }

    /// CANCEL this long after the INVITE whether or not anybody answered.
    pub fn cancel_blindly_after(self, after: Duration) -> Self {
        self.with(|p| {
            p.cancel_after = Some(after);
            p.cancel_blindly = true;
        })
    }

    /// CANCEL when this response arrives.
    pub fn cancel_on(self, status: u16) -> Self {
        self.with(|p| p.cancel_on = Some(status))
    }

    /// BYE this long after the answer.
    pub fn hang_up_after(self, after: Duration) -> Self {
        self.with(|p| p.hang_up_after = Some(after))
    }

    /// A second INVITE in the dialog, this long after the answer.
    pub fn reinvite_after(self, after: Duration) -> Self {
        self.with(|p| p.reinvite_after = Some(after))
    }

    /// UPDATE in the dialog, early or not, with the header lines of the INVITE, this long after it began.
    pub fn update_after(self, after: Duration) -> Self {
        self.with(|p| p.update_after = Some(after))
    }

    pub fn never_ack(self) -> Self {
        self.with(|p| p.ack = Acks::Never)
    }

    pub fn ack_after(self, after: Duration) -> Self {
        self.with(|p| p.ack = Acks::After(after))
    }

    /// The INVITE carries no offer; the ACK does.
    pub fn sdp_in_ack(self) -> Self {
        self.with(|p| p.sdp = false)
    }

    /// More copies of the same INVITE, this long after the first: a phone gone mad.
    pub fn repeat_invite(self, after: &[Duration]) -> Self {
        self.with(|p| p.repeats = after.to_vec())
    }

    /// One more header line in the INVITE.
    pub fn header(self, line: &str) -> Self {
        self.with(|p| p.headers.push(line.to_owned()))
    }

    /// A preloaded Route.
    pub fn route(self, value: &str) -> Self {
        self.with(|p| p.routes.push(value.to_owned()))
    }

    pub fn max_forwards(self, hops: u32) -> Self {
        self.with(|p| p.max_forwards = Some(hops))
    }

    pub fn call_id(self, value: &str) -> Self {
        self.with(|p| p.call_id = Some(value.to_owned()))
    }

    /// Another From URI than the phone's own.
    pub fn from_uri(self, uri: &str) -> Self {
        self.with(|p| p.from = Some(uri.to_owned()))
    }

    /// Another To URI than the Request-URI.
    pub fn to_uri(self, uri: &str) -> Self {
        self.with(|p| p.to = Some(uri.to_owned()))
    }

    /// ACK and BYE arrive as a strict router would have rewritten them.
    pub fn through_strict_router(self) -> Self {
        self.with(|p| p.strict_requests = true)
    }

    /// Try these proxies in turn.
    pub fn via_proxies(self, proxies: &[core::net::SocketAddr]) -> Self {
        self.with(|p| p.proxies = proxies.to_vec())
    }
}

impl Answer {
    fn with(self, change: impl FnOnce(&mut AnswerPlan)) -> Self {
        change(&mut self.0.borrow_mut());
        self
    }

    /// Any response, this long after the one before.
    pub fn say_after(self, after: Duration, status: u16) -> Self {
        let sdp = status == 183 || (200..300).contains(&status);
        self.with(|p| p.steps.push(Say { after, status, sdp, as_other: false, again: false }))
    }

    pub fn ring_after(self, after: Duration) -> Self {
        self.say_after(after, 180)
    }

    /// 183 with SDP.
    pub fn progress_after(self, after: Duration) -> Self {
        self.say_after(after, 183)
    }

    /// The response before, byte for byte.
    pub fn repeat_after(self, after: Duration) -> Self {
        self.with(|p| {
            p.steps.push(Say { after, status: 0, sdp: false, as_other: false, again: true })
        })
    }

    pub fn answer_after(self, after: Duration) -> Self {
        self.say_after(after, 200)
    }

    /// A response of another phone behind the same forking downstream proxy: other To tag.
    pub fn other_says_after(self, after: Duration, status: u16) -> Self {
        let sdp = (200..300).contains(&status);
        self.with(|p| p.steps.push(Say { after, status, sdp, as_other: true, again: false }))
    }

    pub fn busy(self) -> Self {
        self.say_after(Duration::ZERO, 486)
    }

    pub fn reject_after(self, after: Duration, status: u16) -> Self {
        self.say_after(after, status)
    }

    /// BYE this long after the ACK.
    pub fn hang_up_after(self, after: Duration) -> Self {
        self.with(|p| p.hang_up_after = Some(after))
    }

    pub fn reinvite_after(self, after: Duration) -> Self {
        self.with(|p| p.reinvite_after = Some(after))
    }

    /// A phone with an idea of its own about Timer E: its BYE repeats at these times after the first.
    pub fn bye_again_after(self, times: &[Duration]) -> Self {
        self.with(|p| p.bye_repeats = times.to_vec())
    }

    /// CANCEL gets no answer at all.
    pub fn deaf_to_cancel(self) -> Self {
        self.with(|p| p.deaf_to_cancel = true)
    }

    /// CANCEL gets its 200 but the INVITE no 487.
    pub fn never_487(self) -> Self {
        self.with(|p| p.never_487 = true)
    }

    /// A phone that gets this wrong in every response.
    pub fn tampers(self, from: &str, to: &str) -> Self {
        self.with(|p| p.tampers.push((from.to_owned(), to.to_owned())))
    }

    /// Goes on with its steps after a final response, which no phone may.
    pub fn insists(self) -> Self {
        self.with(|p| p.insists = true)
    }

    /// Answers ACKs, which nobody may.
    pub fn answers_ack(self) -> Self {
        self.with(|p| p.answers_ack = true)
    }

    /// Sends the INVITE straight back instead of answering it.
    pub fn reflects(self) -> Self {
        self.with(|p| p.reflects = true)
    }

    /// What this side sends arrives as a strict router would have rewritten it.
    pub fn through_strict_router(self) -> Self {
        self.with(|p| p.strict_requests = true)
    }

    /// Rings reliably (RFC 3262).
    pub fn reliable(self) -> Self {
        self.with(|p| p.reliable = true)
    }

    /// One more header line in every response.
    pub fn header(self, line: &str) -> Self {
        self.with(|p| p.headers.push(line.to_owned()))
    }

    /// The responses claim that one more proxy recorded itself between the server and this phone.
    pub fn record_route(self, value: &str) -> Self {
        self.with(|p| p.record_routes.push(value.to_owned()))
    }
}

impl Request {
    fn with(self, change: impl FnOnce(&mut RequestPlan)) -> Self {
        change(&mut self.0.borrow_mut());
        self
    }

    pub fn at(self, after: Duration) -> Self {
        self.with(|p| p.at = after)
    }

    pub fn header(self, line: &str) -> Self {
        self.with(|p| p.headers.push(line.to_owned()))
    }

    /// Seconds, in an Expires header.
    pub fn expires(self, seconds: u32) -> Self {
        self.header(&format!("Expires: {seconds}"))
    }

    /// Replaces the phone's own Contact; several calls add several.
    pub fn contact(self, value: &str) -> Self {
        self.with(|p| {
            p.headers.retain(|h| !h.ends_with("#own"));
            p.headers.push(format!("Contact: {value}"));
        })
    }

    /// No Contact: asks what is registered (RFC 3261 §10.2.3).
    pub fn fetch(self) -> Self {
        self.with(|p| p.headers.retain(|h| !h.starts_with("Contact:")))
    }

    /// `Contact: *` with `Expires: 0` (RFC 3261 §10.2.2).
    pub fn remove_all(self) -> Self {
        self.contact("*").expires(0)
    }

    pub fn cseq(self, number: u32) -> Self {
        self.with(|p| p.cseq = Some(number))
    }

    pub fn call_id(self, value: &str) -> Self {
        self.with(|p| p.call_id = Some(value.to_owned()))
    }

    pub fn to_uri(self, uri: &str) -> Self {
        self.with(|p| uri.clone_into(&mut p.to))
    }

    /// Claims to be inside a dialog.
    pub fn to_tag(self, tag: &str) -> Self {
        self.with(|p| p.to_tag = Some(tag.to_owned()))
    }

    pub fn request_uri(self, uri: &str) -> Self {
        self.with(|p| uri.clone_into(&mut p.uri))
    }

    pub fn route(self, value: &str) -> Self {
        self.with(|p| p.routes.push(value.to_owned()))
    }

    pub fn max_forwards(self, hops: u32) -> Self {
        self.with(|p| p.max_forwards = Some(hops))
    }

    pub fn repeat(self, after: &[Duration]) -> Self {
        self.with(|p| p.repeats = after.to_vec())
    }
}
