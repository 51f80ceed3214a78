//! `Phone`: a scripted user agent. Scenarios hold this handle; the world holds the [`Agent`](agent::Agent) behind it.

pub mod agent;
pub mod digest;
pub mod draft;
pub mod plan;
pub mod softphone;
mod uac;
mod uas;

use std::cell::RefCell;
use std::rc::Rc;

use core::net::SocketAddr;

use sip_core::time::{Duration, Instant};

use agent::{Agent, Fresh};
use plan::{Answer, AnswerPlan, Call, CallPlan, Request, RequestPlan};

use crate::network::PlaceId;

/// The life of a call as its caller saw it.
#[derive(Clone, Copy, Debug)]
pub struct CallTimes {
    pub began: Instant,
    pub answered: Option<Instant>,
    /// Refused, cancelled, timed out, or hung up.
    pub over: Option<Instant>,
}

#[derive(Clone)]
pub struct Phone {
    pub(crate) agent: Rc<RefCell<Agent>>,
    pub(crate) place: PlaceId,
}

impl Phone {
    /// A call to `bob` of our own domain, to `bob@example.net`, or to a whole URI.
    pub fn invite(&self, whom: &str) -> Call {
        let plan = CallPlan { uri: self.uri_of(whom), sdp: true, ..CallPlan::default() };
        let plan = Rc::new(RefCell::new(plan));
        self.agent.borrow_mut().fresh.push(Fresh::Call(Rc::clone(&plan)));
        Call(plan)
    }

    /// How the next call is answered, in words: `bob.incoming().ring_after(..).answer_after(..)`. The last plan
    /// stays in force for all further calls.
    pub fn incoming(&self) -> Answer {
        let plan = Rc::new(RefCell::new(AnswerPlan::default()));
        self.agent.borrow_mut().answers.push(Rc::clone(&plan));
        Answer(plan)
    }

    pub fn ring_after(&self, after: Duration) -> Answer {
        self.incoming().ring_after(after)
    }

    pub fn progress_after(&self, after: Duration) -> Answer {
        self.incoming().progress_after(after)
    }

    pub fn answer_after(&self, after: Duration) -> Answer {
        self.incoming().answer_after(after)
    }

    pub fn busy(&self) -> Answer {
        self.incoming().busy()
    }

    pub fn reject_after(&self, after: Duration, status: u16) -> Answer {
        self.incoming().reject_after(after, status)
    }

    /// Receives calls and says nothing.
    pub fn silent(&self) -> Answer {
        self.incoming()
    }

    /// A REGISTER of its own contact.
    pub fn register(&self) -> Request {
        let (uri, to, contact) = {
            let agent = self.agent.borrow();
            let contact = format!("Contact: <{}>#own", agent.contact());
            (
                format!("sip:{}", agent.domain),
                format!("sip:{}@{}", agent.user, agent.domain),
                contact,
            )
        };
        self.single(RequestPlan {
            method: "REGISTER".to_owned(),
            uri,
            to,
            headers: vec![contact],
            ..RequestPlan::default()
        })
    }

    /// One request outside a dialog.
    pub fn request(&self, method: &str, whom: &str) -> Request {
        let uri = self.uri_of(whom);
        let body = (method == "MESSAGE").then(|| "hello".to_owned());
        self.single(RequestPlan {
            method: method.to_owned(),
            to: uri.clone(),
            uri,
            body,
            ..RequestPlan::default()
        })
    }

    fn single(&self, plan: RequestPlan) -> Request {
        let plan = Rc::new(RefCell::new(plan));
        self.agent.borrow_mut().fresh.push(Fresh::Request(Rc::clone(&plan)));
        Request(plan)
    }

    /// These very bytes, later.
    pub fn send_raw_after(&self, after: Duration, text: &str) {
        self.agent.borrow_mut().fresh.push(Fresh::Raw(after, text.to_owned()));
    }

    /// The battery is empty.
    pub fn dies_after(&self, after: Duration) {
        self.agent.borrow_mut().fresh.push(Fresh::Die(after));
    }

    pub fn comes_back(&self) {
        self.agent.borrow_mut().dead = false;
    }

    pub fn password(&self, password: &str) -> &Self {
        self.agent.borrow_mut().password = Some(password.to_owned());
        self
    }

    /// Speaks RFC 2543: no magic cookie, no rport.
    pub fn speaks_rfc2543(&self) -> &Self {
        self.agent.borrow_mut().rfc2543 = true;
        self
    }

    pub fn knows_only_md5(&self) -> &Self {
        self.agent.borrow_mut().only_md5 = true;
        self
    }

    /// Throws every challenge away after one use.
    pub fn forgets_nonces(&self) -> &Self {
        self.agent.borrow_mut().remembers_nonce = false;
        self
    }

    /// Sends out-of-dialog requests here.
    pub fn outbound_proxy(&self, address: SocketAddr) -> &Self {
        self.agent.borrow_mut().proxy = address;
        self
    }

    /// Answers MESSAGE, OPTIONS ... with this; 0 is silence.
    pub fn answers_requests_with(&self, status: u16) -> &Self {
        self.agent.borrow_mut().other_status = status;
        self
    }

    /// Listens on one more port.
    pub fn also_listens_on(&self, port: u16) -> &Self {
        self.agent.borrow_mut().ports.push(port);
        self
    }

    pub(crate) fn listens_on(&self, port: u16) -> bool {
        let agent = self.agent.borrow();
        agent.address.port() == port || agent.ports.contains(&port)
    }

    /// Another address and the proxy that is reached from there.
    pub(crate) fn moves_to(&self, address: SocketAddr, proxy: SocketAddr) {
        let mut agent = self.agent.borrow_mut();
        (agent.address, agent.claimed, agent.proxy) = (address, address, proxy);
    }

    /// Behind a NAT that maps it to another port.
    pub(crate) fn claims(&self, private: SocketAddr) {
        let mut agent = self.agent.borrow_mut();
        agent.claimed = private;
        agent.address.set_port(61_000);
    }

    pub fn address(&self) -> SocketAddr {
        self.agent.borrow().address
    }

    pub fn contact(&self) -> String {
        self.agent.borrow().contact()
    }

    /// What arrived, in order, repetitions left out: `"100 180 200 BYE"`. `timeout`: nobody answered a request.
    pub fn heard(&self) -> String {
        words(self.agent.borrow().heard.iter().filter(|(_, again)| !again))
    }

    /// What arrived, repetitions and all.
    pub fn heard_all(&self) -> String {
        words(self.agent.borrow().heard.iter())
    }

    /// Over a stream nothing is ever repeated.
    pub fn uses_streams(&self) -> bool {
        self.agent.borrow().transport.is_reliable()
    }

    pub fn name(&self) -> String {
        self.agent.borrow().name.clone()
    }

    /// When the calls this phone made began, were answered, were over.
    pub fn call_times(&self) -> Vec<CallTimes> {
        self.agent.borrow().call_times()
    }

    fn uri_of(&self, whom: &str) -> String {
        if whom.contains(':') {
            whom.to_owned()
        } else if whom.contains('@') {
            format!("sip:{whom}")
        } else {
            format!("sip:{whom}@{}", self.agent.borrow().domain)
        }
    }
}

/// Labels without the method of responses.
fn words<'a>(heard: impl Iterator<Item = &'a (String, bool)>) -> String {
    let words: Vec<&str> =
        heard.map(|(label, _)| label.split(' ').next().unwrap_or_default()).collect();
    words.join(" ")
}
