//! `Stack` and `Turn`: what every part of a user agent uses while one input is handled. `Stack` owns the transactions and
//! the requests under way; `Turn` is it together with the moment, the settings and the way out. Neither decides anything.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::auth::client::Keyring;
use crate::output;
use crate::seal::Seal;
use crate::time::Instant;
use crate::transaction::{ContextId, TransactionLayer};

use super::alarm::Alarms;
use super::call::Note;
use super::command::CallId;
use super::event::{Event, Failure};
use super::exchange::{Exchange, ExchangeId};
use super::mint::Mint;
use super::outbox::Outbox;
use super::served::Served;
use super::settings::Settings;

pub(super) struct Stack {
    pub transactions: TransactionLayer,
    pub exchanges: BTreeMap<ExchangeId, Exchange>,
    /// Client transactions, and the exchange each works for, if it still does.
    pub clients: HashMap<ContextId, Option<ExchangeId>>,
    /// Server transactions.
    pub served: HashMap<ContextId, Served>,
    pub alarms: Alarms,
    pub mint: Mint,
    pub keyring: Keyring,
    /// What the transactions send.
    pub wire: output::Outbox,
    /// Exchanges that came to nothing, for the end of the turn.
    pub failed: VecDeque<(ExchangeId, Failure)>,
    /// Challenged inside a dialog: to be sent again with that dialog's next number.
    pub renumber: Vec<(CallId, ExchangeId)>,
    /// What one call has to say to another.
    pub notes: Vec<Note>,
    /// Names that the shell resolves, and for which exchange.
    pub resolves: HashMap<output::AskId, ExchangeId>,
    count: u64,
}

impl Stack {
    pub fn new(settings: &Settings, seed: [u8; 16]) -> Self {
        let seal = Seal::new(seed);
        let mint = Mint::new(&seal);
        Self {
            transactions: TransactionLayer::new(0, seal, &settings.timers),
            exchanges: BTreeMap::new(),
            clients: HashMap::new(),
            served: HashMap::new(),
            alarms: Alarms::default(),
            mint,
            keyring: Keyring::new(settings.credentials.clone()),
            wire: output::Outbox::default(),
            failed: VecDeque::new(),
            renumber: Vec::new(),
            notes: Vec::new(),
            resolves: HashMap::new(),
            count: 0,
        }
    }

    /// A number that was not given before.
    pub const fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// A name for a transaction of ours.
    pub const fn context(&mut self) -> ContextId {
        // After 2^32 transactions the first is long gone.
        ContextId(self.number() as u32)
    }
}

pub(super) struct Turn<'a> {
    pub now: Instant,
    pub settings: &'a Settings,
    pub stack: &'a mut Stack,
    pub out: &'a mut Outbox,
}

impl Turn<'_> {
    pub fn tell(&mut self, event: Event) {
        self.out.events.push(event);
    }
}
