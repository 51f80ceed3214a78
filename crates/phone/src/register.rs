//! `register`: one registration, kept for as long as somebody wants, or removed (RFC 3261 §10.2). Refreshing, digest and
//! 423 are the agent's.

use std::time::Duration;

use sip_core::ua::{Command, Event, Registration};

use crate::engine::Engine;
use crate::failure::Trouble;
use crate::interrupt::Interrupt;

/// How long leaving politely may take.
pub const FAREWELL: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct Plan {
    /// `registration of alice@example.com`, for a failure.
    pub what: String,
    /// Whom we wait for, for a failure.
    pub whom: String,
    pub expires: Duration,
    /// Refresh until interrupted, then remove it.
    pub stay: bool,
    pub timeout: Duration,
}

/// What happened, as it happens.
#[derive(Debug)]
pub enum Note<'a> {
    Registered(&'a Registration),
    /// A refresh failed and will be tried again.
    RefreshFailed {
        why: Trouble,
        retry: Duration,
    },
    Unregistered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    Interrupted,
}

/// Registers, and stays if that is the plan.
pub async fn run(
    engine: &mut Engine,
    plan: &Plan,
    interrupt: &mut Interrupt,
    note: &mut dyn FnMut(Note<'_>),
) -> Result<Outcome, Trouble> {
    let Some(first) = register(engine, plan, interrupt).await? else {
        return Ok(Outcome::Interrupted);
    };
    note(Note::Registered(&first));
    if !plan.stay {
        return Ok(Outcome::Done);
    }
    loop {
        let event = tokio::select! {
            event = engine.next() => event,
            () = interrupt.next() => {
                if farewell(engine, interrupt).await {
                    note(Note::Unregistered);
                }
                return Ok(Outcome::Interrupted);
            }
        };
        match event {
            Event::Registered(registration) => note(Note::Registered(&registration)),
            Event::RegistrationFailed { why, retry } => {
                let why = Trouble::of(&plan.what, &why, engine);
                let Some(retry) = retry else { return Err(why) };
                note(Note::RefreshFailed { why, retry });
            }
            // Whoever only registers takes no calls.
            Event::Incoming { call, .. } => {
                engine.command(Command::Reject { call, status: 480, headers: Vec::new() });
            }
            _ => {}
        }
    }
}

/// The first registration. `None`: interrupted.
pub async fn register(
    engine: &mut Engine,
    plan: &Plan,
    interrupt: &mut Interrupt,
) -> Result<Option<Registration>, Trouble> {
    engine.command(Command::Register { expires: plan.expires });
    let patience = tokio::time::sleep(plan.timeout);
    tokio::pin!(patience);
    loop {
        let event = tokio::select! {
            event = engine.next() => event,
            () = interrupt.next() => return Ok(None),
            () = &mut patience => return Err(silence(plan)),
        };
        match event {
            Event::Registered(registration) => return Ok(Some(*registration)),
            Event::RegistrationFailed { why, .. } => {
                return Err(Trouble::of(&plan.what, &why, engine));
            }
            _ => {}
        }
    }
}

/// Removes every binding of the address of record.
pub async fn unregister(
    engine: &mut Engine,
    plan: &Plan,
    interrupt: &mut Interrupt,
) -> Result<Outcome, Trouble> {
    engine.command(Command::Unregister { all: true });
    let patience = tokio::time::sleep(plan.timeout);
    tokio::pin!(patience);
    loop {
        let event = tokio::select! {
            event = engine.next() => event,
            () = interrupt.next() => return Ok(Outcome::Interrupted),
            () = &mut patience => return Err(silence(plan)),
        };
        match event {
            Event::Unregistered => return Ok(Outcome::Done),
            Event::RegistrationFailed { why, .. } => {
                return Err(Trouble::of(&plan.what, &why, engine));
            }
            _ => {}
        }
    }
}

/// Takes our own binding back, without insisting. Whether the registrar said yes.
pub async fn farewell(engine: &mut Engine, interrupt: &mut Interrupt) -> bool {
    engine.command(Command::Unregister { all: false });
    let gone = async {
        loop {
            match engine.next().await {
                Event::Unregistered => return true,
                Event::RegistrationFailed { .. } => return false,
                _ => {}
            }
        }
    };
    tokio::select! {
        gone = gone => gone,
        () = interrupt.next() => false,
        () = tokio::time::sleep(FAREWELL) => false,
    }
}

fn silence(plan: &Plan) -> Trouble {
    Trouble::silence(&plan.what, &plan.whom, &format!("{:?}", plan.timeout))
}
