//! A request of our own to a gateway, sent again and again: a probe, a registration. It has a Call-ID whose owner is the
//! node that sends it, so that the answers come back there (RFC 3261 §8.1.1.4 lets it be the same each time), and finds
//! out the address if the gateway is a name (RFC 3263). It neither decides when to send nor what an answer means.

use std::sync::Arc;

use super::gateway::{Gateway, Way};
use crate::config::Listener;
use crate::flow::Flow;
use crate::locate::{Needs, Query, Resolution, Search};
use crate::output::{Ask, AskId, Question};
use crate::proxy::forward::push_via;
use crate::seal::Purpose;
use crate::shard;
use crate::time::{Duration, Instant};
use crate::transaction::{ClientId, ContextId, Kind, TransactionLayer};
use crate::turn::Turn;

/// Names that are tried until one belongs to this node.
const NAMES_MAX: u32 = 1 << 16;

/// Which node this is, and how many there are.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub node: u16,
    pub nodes: usize,
}

#[derive(Debug)]
pub struct Chore {
    pub gateway: Arc<Gateway>,
    pub call_id: Box<str>,
    pub tag: Box<str>,
    pub cseq: u32,
    context: ContextId,
    /// The request under way, and when it was sent.
    asked: Option<(ClientId, Instant)>,
    /// An address is looked for.
    looking: Option<(AskId, Query, Box<Search>)>,
}

/// What became of the wish to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Sent,
    /// The DNS is asked, and answers by then.
    Looking(Instant),
    /// Its name leads nowhere, or there is no room for one more transaction.
    Nowhere,
}

/// The text of a request, given its top Via.
pub type Letter<'l> = &'l mut dyn FnMut(&Chore, &Listener, &Flow, &str) -> String;

impl Chore {
    pub fn new(turn: &Turn<'_>, gateway: &Arc<Gateway>, what: &str, place: Place) -> Self {
        let seal = &turn.shared.seal;
        let started = turn.now.0.to_be_bytes();
        let parts = |n: u32| {
            seal.mac(
                Purpose::Table,
                &[what.as_bytes(), gateway.name.as_bytes(), &n.to_be_bytes(), &started],
            )
        };
        let one = |n: u32| format!("{what}-{:016x}", parts(n));
        let is_ours = |call_id: &String| {
            shard::owner(seal, call_id.as_bytes(), place.nodes) == usize::from(place.node)
        };
        let call_id = (0..NAMES_MAX).map(one).find(is_ours).unwrap_or_default();
        let tag = format!("{:016x}", seal.mac(Purpose::Tag, &[call_id.as_bytes()]));
        Self {
            gateway: Arc::clone(gateway),
            call_id: call_id.into(),
            tag: tag.into(),
            cseq: 0,
            context: ContextId(0),
            asked: None,
            looking: None,
        }
    }

    /// By which name its transactions report.
    pub const fn set_context(&mut self, context: ContextId) {
        self.context = context;
    }

    pub const fn is_asked(&self) -> bool {
        self.asked.is_some() || self.looking.is_some()
    }

    /// Sends it, or begins to look where to.
    pub fn begin(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        letter: Letter<'_>,
    ) -> Progress {
        match self.gateway.way.clone() {
            Way::Flow(flow) => self.send(turn, transactions, flow, letter),
            Way::Name(sought) => {
                let key = turn.shared.seal.mac(Purpose::Path, &[self.call_id.as_bytes()]);
                let mut search = Box::new(Search::new(&sought, key, turn.config));
                let needs = search.next(turn.now, turn.config, &turn.shared.hops);
                self.look(turn, transactions, (search, needs), letter)
            }
        }
    }

    /// The DNS has spoken; `None`: to somebody else.
    pub fn resolved(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        (ask, resolution): (AskId, &Resolution),
        letter: Letter<'_>,
    ) -> Option<Progress> {
        let (_, query, mut search) = self.looking.take_if(|(id, ..)| *id == ask)?;
        let hops = &turn.shared.hops;
        let is_silent = *resolution == Resolution::Failed;
        let found = hops.store(turn.now, query, resolution.clone());
        let needs = search.answer(turn.now, turn.config, hops, (&found, is_silent));
        Some(self.look(turn, transactions, (search, needs), letter))
    }

    fn look(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        (mut search, mut needs): (Box<Search>, Needs),
        letter: Letter<'_>,
    ) -> Progress {
        loop {
            needs = match needs {
                Needs::Query(query, until) => {
                    let id = AskId(ASKS | turn.now.0 << 12 | u64::from(self.context.0 & 0xfff));
                    let question = Question::Resolve { query: query.clone(), until };
                    turn.out.asks.push(Ask { id, question });
                    self.looking = Some((id, query, search));
                    return Progress::Looking(until.max(turn.now + Duration::from_millis(1)));
                }
                Needs::Try(to) => match turn.config.flow_to(to.transport, to.address) {
                    Some(flow) => return self.send(turn, transactions, flow, letter),
                    None => search.next(turn.now, turn.config, &turn.shared.hops),
                },
                Needs::End(_) => return Progress::Nowhere,
            };
        }
    }

    fn send(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
        flow: Flow,
        letter: Letter<'_>,
    ) -> Progress {
        let Some(listener) = turn.config.listener(flow.listener) else { return Progress::Nowhere };
        let reserved = transactions.reserve(Kind::NonInvite, self.context, 0, 0);
        let Ok((client, branch)) = reserved else { return Progress::Nowhere };
        self.cseq = self.cseq % 0x7fff_ffff + 1;
        let mut via = Vec::new();
        push_via(listener, &branch, &mut via);
        let wire = letter(self, listener, &flow, &String::from_utf8_lossy(&via));
        transactions.send(turn.now, client, flow, wire.into(), turn.out);
        self.asked = Some((client, turn.now));
        Progress::Sent
    }

    /// What was sent has an answer, or will get none; when it was sent. `None`: that is about another one. `client`: whose
    /// answer it is.
    pub fn ended(&mut self, client: Option<ClientId>) -> Option<Instant> {
        let is_it = |asked: &ClientId| client.is_none_or(|client| client == *asked);
        self.asked.take_if(|(asked, _)| is_it(asked)).map(|(_, at)| at)
    }

    /// Waits no longer: what was sent is not repeated. When it was sent, if it was.
    pub fn give_up(
        &mut self,
        turn: &mut Turn<'_>,
        transactions: &mut TransactionLayer,
    ) -> Option<Instant> {
        self.looking = None;
        let (client, at) = self.asked.take()?;
        transactions.give_up(turn.now, client, turn.out);
        Some(at)
    }
}

/// Questions to the DNS with this bit are those of chores.
pub const ASKS: u64 = 1 << 63;
