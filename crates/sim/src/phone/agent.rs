//! The state of a phone and its clock: what it sent, what it was asked, what it will do next. Its transaction logic
//! is written from RFC 3261 alone and shares no code with the server: a second opinion.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use core::net::SocketAddr;

use bytes::Bytes;
use sip_core::flow::{ConnectionId, Transport};
use sip_core::output::ClientToken;
use sip_core::time::{Duration, Instant};

use super::CallTimes;
use super::digest::Challenge;
use super::draft::{Draft, Target};
use super::plan::{AnswerPlan, CallPlan, RequestPlan};
use super::softphone::Mind;
use crate::heard::Heard;

/// RFC 3261 Table 4, written down again on purpose.
pub(super) const T1: Duration = Duration::from_millis(500);
pub(super) const T2: Duration = Duration::from_secs(4);
pub(super) const GIVE_UP: Duration = Duration::from_secs(32);

#[derive(Clone, Debug)]
pub struct Out {
    pub target: Target,
    pub bytes: Bytes,
    /// Of a request of a real user agent: it wants to hear when that cannot be sent.
    pub token: Option<ClientToken>,
}

impl Out {
    pub const fn new(target: Target, bytes: Bytes) -> Self {
        Self { target, bytes, token: None }
    }
}

pub struct Agent {
    pub name: String,
    pub user: String,
    pub domain: String,
    /// Where it is reached.
    pub address: SocketAddr,
    /// Where it believes to be: what it writes into Via, Contact and SDP.
    pub claimed: SocketAddr,
    /// Ports it listens on besides.
    pub ports: Vec<u16>,
    pub transport: Transport,
    /// Where out-of-dialog requests go.
    pub proxy: SocketAddr,
    pub password: Option<String>,
    /// Branches without the magic cookie (RFC 3261 §17.2.3, second half).
    pub rfc2543: bool,
    /// Keeps a challenge for the next request and counts nc.
    pub remembers_nonce: bool,
    /// Prefers the MD5 challenge.
    pub only_md5: bool,
    /// Answer to a request that is neither INVITE, ACK, CANCEL nor BYE.
    pub other_status: u16,
    /// Receives nothing and sends nothing.
    pub dead: bool,
    /// A real user agent does everything; the script below is not used.
    pub(crate) mind: Option<Box<Mind>>,
    pub out: Vec<Out>,
    /// Everything heard: label and whether it was a repetition.
    pub heard: Vec<(String, bool)>,
    pub answers: Vec<Rc<RefCell<AnswerPlan>>>,
    pub(super) fresh: Vec<Fresh>,
    pub(super) challenges: Vec<(Challenge, u32)>,
    pub(super) clients: Vec<Client>,
    pub(super) servers: Vec<Server>,
    pub(super) calls: Vec<Call>,
    pub(super) calls_received: usize,
    pub(super) registration: (String, u32),
    pub(super) heard_bytes: HashSet<Bytes>,
    serial: u64,
    alarms: BTreeMap<(Instant, u64), Alarm>,
    alarms_set: u64,
}

/// Plans not yet put on the clock.
pub(super) enum Fresh {
    Call(Rc<RefCell<CallPlan>>),
    Request(Rc<RefCell<RequestPlan>>),
    Raw(Duration, String),
    Die(Duration),
}

pub(super) enum Alarm {
    StartCall(Rc<RefCell<CallPlan>>),
    StartRequest(Rc<RefCell<RequestPlan>>),
    Send(Out),
    Die,
    /// Timer A or E.
    Resend {
        client: usize,
        epoch: u32,
    },
    /// Timer B or F.
    GiveUp {
        client: usize,
        epoch: u32,
    },
    Ack {
        client: usize,
        tag: String,
    },
    Cancel {
        call: usize,
    },
    HangUp {
        call: usize,
    },
    Reinvite {
        call: usize,
    },
    /// In the dialog that this response began.
    Update {
        call: usize,
        dialog: Rc<Heard>,
    },
    Say {
        call: usize,
        step: usize,
    },
    /// Timer G.
    RepeatFinal {
        server: usize,
    },
    /// RFC 3261 §13.3.1.4.
    RepeatAccepted {
        call: usize,
        which: usize,
    },
    NeverAcked {
        call: usize,
        which: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Calling,
    Proceeding,
    Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite(usize),
    Reinvite(usize),
    Bye,
    Cancel,
    Single,
}

/// A request this phone sent.
pub(super) struct Client {
    pub branch: String,
    pub draft: Draft,
    pub via: String,
    pub wire: Bytes,
    pub target: Target,
    pub progress: Progress,
    pub gap: Duration,
    pub epoch: u32,
    pub purpose: Purpose,
    pub attempts: u32,
    /// ACK per To tag, to repeat when the response is repeated.
    pub acks: HashMap<String, Out>,
    pub cancel_sent: bool,
}

/// A request this phone received.
pub(super) struct Server {
    pub key: String,
    pub request: Rc<Heard>,
    pub reply: Target,
    pub last: Option<Bytes>,
    pub final_status: u16,
    pub final_sent: Instant,
    pub gap: Duration,
    pub acked: bool,
    pub call: Option<usize>,
}

/// One side of a call: a dialog and what is planned for it.
pub(super) struct Call {
    pub call_id: String,
    /// Header values with tags, as this side writes them.
    pub local: String,
    pub remote: String,
    pub remote_tag: String,
    pub routes: Vec<String>,
    /// Remote target (RFC 3261 §12.1).
    pub target: String,
    pub cseq: u32,
    pub up: bool,
    pub over: bool,
    /// None: this phone did not make the call.
    pub times: Option<CallTimes>,
    pub cancel_wanted: bool,
    /// Index of the INVITE among clients (caller) or servers (callee).
    pub invite: usize,
    pub plan: CallPlan,
    pub answer: AnswerPlan,
    pub accepted: Vec<Accepted>,
    pub proxy_tried: usize,
}

/// A 2xx this phone sent and repeats until its ACK.
pub(super) struct Accepted {
    pub server: usize,
    pub tag: String,
    pub cseq: u32,
    pub wire: Bytes,
    pub gap: Duration,
    pub acked: bool,
}

impl Agent {
    pub fn new(
        name: &str,
        user: &str,
        domain: &str,
        address: SocketAddr,
        proxy: SocketAddr,
    ) -> Self {
        Self {
            name: name.to_owned(),
            user: user.to_owned(),
            domain: domain.to_owned(),
            address,
            claimed: address,
            ports: Vec::new(),
            transport: Transport::Udp,
            proxy,
            password: None,
            rfc2543: false,
            remembers_nonce: true,
            only_md5: false,
            other_status: 200,
            dead: false,
            mind: None,
            out: Vec::new(),
            heard: Vec::new(),
            answers: Vec::new(),
            fresh: Vec::new(),
            challenges: Vec::new(),
            clients: Vec::new(),
            servers: Vec::new(),
            calls: Vec::new(),
            calls_received: 0,
            registration: (format!("reg-{name}"), 0),
            heard_bytes: HashSet::new(),
            serial: 0,
            alarms: BTreeMap::new(),
            alarms_set: 0,
        }
    }

    pub(super) fn alarm(&mut self, at: Instant, alarm: Alarm) {
        self.alarms_set += 1;
        self.alarms.insert((at, self.alarms_set), alarm);
    }

    /// Puts new plans on the clock.
    pub fn adopt(&mut self, now: Instant) {
        if let Some(mind) = &mut self.mind {
            mind.adopt(now);
        }
        for fresh in std::mem::take(&mut self.fresh) {
            match fresh {
                Fresh::Call(plan) => {
                    let at = now + plan.borrow().at;
                    self.alarm(at, Alarm::StartCall(plan));
                }
                Fresh::Request(plan) => {
                    let at = now + plan.borrow().at;
                    self.alarm(at, Alarm::StartRequest(plan));
                }
                Fresh::Raw(after, text) => {
                    let target = Target::new(self.proxy, self.transport);
                    self.alarm(now + after, Alarm::Send(Out::new(target, Bytes::from(text))));
                }
                Fresh::Die(after) => self.alarm(now + after, Alarm::Die),
            }
        }
    }

    pub fn call_times(&self) -> Vec<CallTimes> {
        self.calls.iter().filter_map(|c| c.times).collect()
    }

    /// The call is over, however it ended.
    pub(super) fn finish(&mut self, now: Instant, call: usize) {
        let Some(c) = self.calls.get_mut(call) else { return };
        c.over = true;
        if let Some(times) = &mut c.times {
            times.over.get_or_insert(now);
        }
    }

    pub fn next_alarm(&self) -> Option<Instant> {
        let plan = self.mind.as_ref().filter(|_| !self.dead).and_then(|mind| mind.next_plan());
        self.alarms.keys().next().map(|(at, _)| *at).into_iter().chain(plan).min()
    }

    /// When a real user agent has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.mind.as_ref().filter(|_| !self.dead)?.next_deadline()
    }

    /// What a real user agent sent could not be sent, or its stream is gone.
    pub fn send_failed(&mut self, now: Instant, token: ClientToken) {
        if let Some(mind) = self.mind.as_mut().filter(|_| !self.dead) {
            mind.send_failed(now, token, &mut self.out);
        }
    }

    pub fn flow_closed(&mut self, now: Instant, connection: ConnectionId) {
        if let Some(mind) = self.mind.as_mut().filter(|_| !self.dead) {
            mind.flow_closed(now, connection, &mut self.out);
        }
    }

    /// Runs every alarm that is due.
    pub fn wake(&mut self, now: Instant) {
        if let Some(mind) = self.mind.as_mut().filter(|_| !self.dead) {
            mind.wake(now, &mut self.out);
        }
        while let Some(entry) = self.alarms.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let alarm = entry.remove();
            if !self.dead {
                self.ring(now, alarm);
            }
        }
    }

    fn ring(&mut self, now: Instant, alarm: Alarm) {
        match alarm {
            Alarm::StartCall(plan) => {
                let plan = plan.borrow().clone();
                self.start_call(now, plan);
            }
            Alarm::StartRequest(plan) => {
                let plan = plan.borrow().clone();
                self.start_request(now, &plan);
            }
            Alarm::Send(out) => self.out.push(out),
            Alarm::Die => self.dead = true,
            Alarm::Resend { client, epoch } => self.resend(now, client, epoch),
            Alarm::GiveUp { client, epoch } => self.give_up(now, client, epoch),
            Alarm::Ack { client, tag } => self.send_ack(client, &tag),
            Alarm::Cancel { call } => self.cancel(now, call),
            Alarm::HangUp { call } => self.hang_up(now, call),
            Alarm::Reinvite { call } => self.reinvite(now, call),
            Alarm::Update { call, dialog } => self.update(now, call, &dialog),
            Alarm::Say { call, step } => self.say(now, call, step),
            Alarm::RepeatFinal { server } => self.repeat_final(now, server),
            Alarm::RepeatAccepted { call, which } => self.repeat_accepted(now, call, which),
            Alarm::NeverAcked { call, which } => self.never_acked(now, call, which),
        }
    }

    /// A message arrives. `from` is where it came from, with the connection for streams.
    pub fn receive(&mut self, now: Instant, message: &Rc<Heard>, bytes: &Bytes, from: Target) {
        if self.dead {
            return;
        }
        let again = !self.heard_bytes.insert(bytes.clone());
        self.heard.push((message.label(), again));
        if let Some(mind) = &mut self.mind {
            return mind.receive(now, bytes, from, &mut self.out);
        }
        if message.is_request() {
            self.receive_request(now, message, bytes, from);
        } else {
            self.receive_response(now, message);
        }
    }

    pub(super) fn unique(&mut self, prefix: &str) -> String {
        self.serial += 1;
        format!("{prefix}{}{}", self.name, self.serial)
    }

    pub fn contact(&self) -> String {
        let param = if self.transport == Transport::Tcp { ";transport=tcp" } else { "" };
        format!("sip:{}@{}{param}", self.user, self.claimed)
    }

    pub(super) fn contact_line(&self) -> String {
        format!("Contact: <{}>", self.contact())
    }

    pub(super) fn aor(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }
}
