//! REGISTERs that are granted in memory and wait until the store has them (RFC 3261 §10.3 step 8 says 200 only when
//! the update is done). The 200 is written at once and kept; nothing here reads a clock or a disk.

use bytes::Bytes;
use hashbrown::HashMap;
use sip_message::Request;

use crate::flow::Flow;
use crate::input::Answer;
use crate::output::{Ask, AskId, Event, Question};
use crate::registrar::Registered;
use crate::rejection::Rejection;
use crate::turn::Turn;
use crate::ua::reply;

/// How many may wait in one node. A store that is this far behind is a store that is down.
const PENDING_MAX: usize = 8_192;

/// Seconds a phone waits before it tries again when the store is behind.
const RETRY_AFTER: u32 = 5;

#[derive(Debug)]
struct Entry {
    registered: Registered,
    request: Request,
    flow: Flow,
    ok: Bytes,
}

#[derive(Debug, Default)]
pub struct Pending {
    entries: HashMap<u64, Box<Entry>>,
    last_ask: u64,
}

impl Pending {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether one more may wait.
    pub fn admit(&self) -> Result<(), Rejection> {
        if self.entries.len() < PENDING_MAX {
            Ok(())
        } else {
            Err(Rejection::service_unavailable(RETRY_AFTER))
        }
    }

    /// Answers 200 now, or when the rows are stored.
    pub fn grant(
        &mut self,
        turn: &mut Turn<'_>,
        flow: &Flow,
        request: &Request,
        mut registered: Registered,
        scratch: &mut Vec<u8>,
    ) {
        let ok = reply::ok(turn, request, &registered.contacts, scratch);
        if registered.writes.is_empty() {
            turn.out.send(*flow, ok);
            turn.out.events.append(&mut registered.events);
            return;
        }
        self.last_ask += 1;
        let rows = core::mem::take(&mut registered.writes);
        turn.out.asks.push(Ask { id: AskId(self.last_ask), question: Question::Store(rows) });
        let entry = Entry { registered, request: request.clone(), flow: *flow, ok };
        self.entries.insert(self.last_ask, Box::new(entry));
    }

    /// The store has spoken. An answer to a question nobody asked is ignored.
    pub fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        ask: AskId,
        answer: Answer,
        scratch: &mut Vec<u8>,
    ) {
        let Some(entry) = self.entries.remove(&ask.0) else { return };
        let Entry { mut registered, request, flow, ok } = *entry;
        match answer {
            // Of the other kind of question.
            Answer::Resolved(_) => {}
            Answer::Stored => {
                turn.out.send(flow, ok);
                turn.out.events.append(&mut registered.events);
            }
            Answer::StoreFailed(why) => {
                registered.undo(turn.now, turn.shared);
                turn.out.events.push(Event::StoreFailed { why });
                let busy = Rejection::service_unavailable(RETRY_AFTER);
                reply::reject(turn, &request, &flow, &busy, scratch);
            }
        }
    }
}
