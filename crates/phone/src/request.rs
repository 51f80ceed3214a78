//! `options` and `message`: one request outside calls and its answer (RFC 3261 §11, RFC 3428), and the messages that come.

use std::time::Duration;

use sip_core::flow::Flow;
use sip_core::ua::{Body, Command, Event};

use crate::engine::Engine;
use crate::failure::Trouble;
use crate::interrupt::Interrupt;
use crate::register::Outcome;

#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// `message to bob@example.com`, for a failure.
    pub what: String,
    pub method: &'a str,
    pub to: String,
    pub body: Option<Body>,
    pub headers: Vec<Box<str>>,
    pub timeout: Duration,
}

/// A final answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub reason: Box<str>,
    pub headers: Vec<(Box<str>, Box<str>)>,
    pub from: Flow,
    pub took: Duration,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }

    /// An answer of 300 or more, in words.
    pub fn refusal(&self, what: &str) -> Trouble {
        let explanation = self.header("warning").or_else(|| self.header("reason"));
        let retry_after = self.header("retry-after").and_then(|value| {
            let digits = value.split(|c: char| !c.is_ascii_digit()).next();
            digits.and_then(|digits| digits.parse().ok()).map(Duration::from_secs)
        });
        Trouble::status(what, self.status, &self.reason, explanation, retry_after)
    }
}

/// Asks once. `None`: interrupted.
pub async fn ask(
    engine: &mut Engine,
    question: &Question<'_>,
    interrupt: &mut Interrupt,
) -> Result<Option<Answer>, Trouble> {
    let request = engine.new_request();
    engine.command(Command::Request {
        request,
        method: question.method.into(),
        to: question.to.as_str().into(),
        body: question.body.clone(),
        headers: question.headers.clone(),
    });
    let patience = tokio::time::sleep(question.timeout);
    tokio::pin!(patience);
    loop {
        let event = tokio::select! {
            event = engine.next() => event,
            () = interrupt.next() => return Ok(None),
            () = &mut patience => {
                let waited = format!("{:?}", question.timeout);
                return Err(Trouble::silence(&question.what, &question.to, &waited));
            }
        };
        match event {
            Event::Response { request: of, status, reason, headers, from, took, .. }
                if of == request && status >= 200 =>
            {
                return Ok(Some(Answer { status, reason, headers, from, took }));
            }
            Event::RequestFailed { request: of, why } if of == request => {
                return Err(Trouble::of(&question.what, &why, engine));
            }
            _ => {}
        }
    }
}

/// A text that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub from: Box<str>,
    pub content_type: Box<str>,
    pub text: String,
    pub call_id: Box<str>,
}

/// Hands over what comes until `count` texts have come, `wait` has passed, or somebody interrupts. Calls are refused.
pub async fn listen(
    engine: &mut Engine,
    count: Option<u32>,
    wait: Option<Duration>,
    interrupt: &mut Interrupt,
    heard: &mut dyn FnMut(&Text),
) -> (u32, Outcome) {
    let mut texts = 0;
    let end = async {
        match wait {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    while count.is_none_or(|count| texts < count) {
        let event = tokio::select! {
            event = engine.next() => event,
            () = interrupt.next() => return (texts, Outcome::Interrupted),
            () = &mut end => break,
        };
        match event {
            Event::MessageReceived { from, body, call_id, .. } => {
                texts += 1;
                let body = body.unwrap_or(Body::new("text/plain", ""));
                let text = String::from_utf8_lossy(&body.bytes).into_owned();
                let from = crate::target::address(&from).into();
                heard(&Text { from, content_type: body.content_type, text, call_id });
            }
            Event::Incoming { call, .. } => {
                engine.command(Command::Reject { call, status: 488, headers: Vec::new() });
            }
            _ => {}
        }
    }
    (texts, Outcome::Done)
}
