//! The proxy core (RFC 3261 §16): one request, many forks, one answer. A [`ResponseContext`] joins the server
//! transaction of the caller with the client transactions of its forks.
//!
//! ```text
//! forward        §16.6    the copies that go out; ACK without state
//! step           §16.6    one after the other: who is tried next, and when
//! response       §16.7    what comes back
//! best           §16.7    the best of it
//! hop            §16.6    a target that is a name (RFC 3263)
//! search         §16.5    redirections and forwarding: where a search goes on
//! trunk                   calls through gateways, and how many there are
//! cancel         §16.10   giving up, for the caller or for a better answer
//! timer_c        §16.8    ringing too long
//! record_route   §16.12   staying on the path, provably
//! ```
//!
//! It never decides where a request may go (that is `route`), and never looks at a body. Once an INVITE is answered,
//! nothing is left here: its client transactions know where a 2xx that comes again goes.

mod best;
pub mod cancel;
pub mod forward;
mod hop;
pub mod record_route;
pub mod response;
pub mod search;
mod step;
pub mod timer_c;
mod trunk;

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::dispatcher::calls::{Calls, Trunk};
use crate::dispatcher::probe;
use crate::flow::Flow;
use crate::locate::Sought;
use crate::registrar::binding::ContactUri;
use crate::time::{Duration, Instant};
use crate::transaction::{ClientId, ContextId, ServerId};
use best::Best;
use hop::{Hop, Questions, Seeking};
use record_route::Sealed;
use search::Search;
use step::Rest;
use timer_c::{TimerC, TimerId};

/// Seconds after which a caller may try again when our tables are full.
const RETRY_AFTER_FULL: u32 = 5;

/// Where one fork goes.
#[derive(Clone, Debug)]
pub struct Target {
    pub uri: TargetUri,
    pub next: Next,
    /// How much it is preferred, in thousandths (RFC 3261 §16.6: the order of the target set).
    pub q: u16,
}

/// The way to a target (RFC 3261 §16.6 step 7).
#[derive(Clone, Debug)]
pub enum Next {
    Flow(Flow),
    /// Its addresses have to be found out.
    Name(Box<Sought>),
}

/// The Request-URI of one fork (RFC 3261 §16.6 step 2).
#[derive(Clone, Debug)]
pub enum TargetUri {
    /// As it came.
    Unchanged,
    /// The Contact of a binding.
    Contact(ContactUri),
    /// Somebody else's, whole.
    Other(Box<[u8]>),
}

/// RFC 3261 §16.5's target set, or a part of it.
pub type Targets = SmallVec<[Target; 1]>;

/// Targets that are tried at the same time. The next step begins when all forks of this one have ended without an
/// answer that decides, or when its time is over.
#[derive(Clone, Debug)]
pub struct Step {
    pub targets: Targets,
    /// How long an INVITE may ring here before it is cancelled and the next step begins; `None`: until Timer C.
    pub timeout: Option<Duration>,
    pub extra: Extra,
}

/// What the copies of a step have that the request has not.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Whole header lines that tell who passed the request on. They stand in place of its own Diversions.
    pub diversion: Option<Arc<[u8]>>,
    /// More of them.
    pub lines: Option<Arc<[u8]>>,
    /// It goes to a gateway.
    pub trunk: Option<Arc<Trunk>>,
}

impl Extra {
    pub const NOTHING: Self = Self { diversion: None, lines: None, trunk: None };
}

/// In the order in which they are tried.
pub type Steps = SmallVec<[Step; 1]>;

/// What `route` decided about a request that is forwarded.
#[derive(Clone, Debug)]
pub struct Plan {
    pub steps: Steps,
    /// How many of the first Route values named us and are left out.
    pub own_routes: usize,
    pub kind: Kind,
    /// For the branches of the forks (RFC 5393 §4.2).
    pub loop_hash: u32,
    /// How it may go on when nobody of them answers.
    pub search: Option<Box<Search>>,
    /// The first to answer ends the others (RFC 3261 §16.7 step 10; RFC 3841 §9.1 lets the caller say otherwise).
    pub cancels: bool,
}

impl Plan {
    pub const fn new(steps: Steps, own_routes: usize, kind: Kind, loop_hash: u32) -> Self {
        Self { steps, own_routes, kind, loop_hash, search: None, cancels: true }
    }

    /// What the copies of a request need of it.
    fn without_steps(&self) -> Self {
        Self::new(Steps::new(), self.own_routes, self.kind, self.loop_hash)
    }
}

impl Step {
    /// Everybody at once, for as long as it takes.
    pub const fn new(targets: Targets) -> Self {
        Self { targets, timeout: None, extra: Extra::NOTHING }
    }
}

/// What a forwarded request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An INVITE that begins a call.
    Call,
    /// Another request that may begin a dialog: SUBSCRIBE, REFER.
    Dialog,
    /// A request of its own.
    Single,
    /// Inside a dialog whose Route we sealed.
    Within(Sealed),
}

/// One request being forwarded (RFC 3261 §16.2: the response context).
#[derive(Debug)]
struct ResponseContext {
    name: ContextId,
    server: ServerId,
    invite: bool,
    bye: bool,
    kind: Kind,
    /// A 2xx has gone upstream.
    answered: bool,
    /// A phone has rung.
    rang: bool,
    /// The first answer ends the other forks.
    cancels: bool,
    /// The caller does not want it any more.
    cancelled: bool,
    arrived_at: Instant,
    /// As received, for answers of our own; read again when one is needed, which is rare.
    request: Bytes,
    /// Where the request came from.
    flow: Flow,
    forks: SmallVec<[Fork; 1]>,
    /// Forks that have nobody to send to yet: they are to names.
    seeking: Vec<Seeking>,
    /// The first fork of the step under way; those before are of steps whose time is over.
    step_at: u16,
    best: Option<Best>,
    /// The best of those who were asked before the user who is asked now.
    earlier: Option<Box<Best>>,
    /// What is left to try. Nearly always nothing.
    rest: Option<Box<Rest>>,
}

/// One downstream try.
#[derive(Debug)]
struct Fork {
    client: ClientId,
    flow: Flow,
    /// Runs while the fork rings.
    timer_c: Option<TimerId>,
    /// It has had its final response, or will get none.
    ended: bool,
    /// Something has come from there, if only a 100.
    heard: bool,
    /// The gateway has had our proof.
    proved: bool,
    /// It leads to a gateway, and has a seat there until it ends.
    trunk: Option<Arc<Trunk>>,
    /// Its step is over: a 487 says no more than that it did not answer in time.
    timed_out: bool,
    /// How many copies it may become (RFC 5393 §5.3).
    breadth: u8,
    /// Challenge lines of a 401 or 407, to be joined with those of the others (RFC 3261 §16.7 step 7).
    challenges: Option<Box<[u8]>>,
    /// It is to a name,
    is_named: bool,
    /// and may be followed by another.
    hop: Option<Box<Hop>>,
}

impl Fork {
    const fn new(client: ClientId, flow: Flow, timer_c: Option<TimerId>, breadth: u8) -> Self {
        Self {
            client,
            flow,
            timer_c,
            ended: false,
            heard: false,
            proved: false,
            trunk: None,
            timed_out: false,
            breadth,
            challenges: None,
            is_named: false,
            hop: None,
        }
    }
}

/// All that is being forwarded by one node.
#[derive(Debug, Default)]
pub struct Proxy {
    contexts: HashMap<ContextId, Box<ResponseContext>, BuildHasherDefault<SequenceHasher>>,
    /// Names are never used twice while anybody may still hold them: 32 bits of sequence.
    last_name: u32,
    timer_c: TimerC,
    /// When steps are over: one entry for each context whose step has a time.
    deadlines: BTreeSet<(Instant, ContextId)>,
    /// Whose search stands still until policy has spoken, and whether that is for want of an answer in time.
    asking: Vec<(ContextId, bool)>,
    /// Those that stand at gateways.
    calls: Calls,
    questions: Questions,
    /// Outgoing bytes are written here first: their length is known only then.
    scratch: Vec<u8>,
    /// The lines that are new in a copy, before they are put into it.
    pieces: Vec<u8>,
}

impl Proxy {
    pub fn len(&self) -> usize {
        self.contexts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.contexts.is_empty()
    }

    pub fn timers_len(&self) -> usize {
        self.timer_c.len()
    }

    pub fn steps_len(&self) -> usize {
        self.deadlines.len()
    }

    /// Calls that stand at gateways.
    pub fn calls_len(&self) -> usize {
        self.calls.len()
    }

    pub fn questions_len(&self) -> usize {
        self.questions.len()
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let step = self.deadlines.first().map(|(at, _)| *at);
        let deadlines = [self.timer_c.next_deadline(), step, self.calls.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn next_name(&mut self) -> ContextId {
        loop {
            self.last_name = self.last_name.wrapping_add(1);
            let name = ContextId(self.last_name);
            if name.0 < probe::CONTEXTS && !self.contexts.contains_key(&name) {
                return name;
            }
        }
    }

    fn active(&mut self, context: ContextId) -> Option<&mut ResponseContext> {
        self.contexts.get_mut(&context).map(|active| &mut **active)
    }

    /// Forgets a context; what its forks still get is absorbed by their transactions.
    fn forget(&mut self, context: ContextId) {
        if let Some(active) = self.contexts.remove(&context) {
            if let Some(at) = active.rest.as_ref().and_then(|rest| rest.deadline) {
                self.deadlines.remove(&(at, context));
            }
            for fork in &active.forks {
                if let Some(timer) = fork.timer_c {
                    self.timer_c.stop(timer);
                }
            }
        }
    }
}

/// Names are a sequence of ours, not anybody's input: spreading them over the table is all there is to do.
#[derive(Debug, Default)]
pub struct SequenceHasher(u64);

impl Hasher for SequenceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(byte.into());
        }
    }

    fn write_u32(&mut self, name: u32) {
        self.0 = (self.0 ^ u64::from(name)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
