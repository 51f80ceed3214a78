//! A panic while a message was handled is a bug of ours, and costs that message only. What is kept of it: the bytes, for
//! replaying, one log line, one count, and a 500 (RFC 3261 §21.5.1) to whoever sent it.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use sip_core::flow::Flow;
use sip_core::rejection::Rejection;
use sip_core::route::nat;
use sip_core::time::Instant;
use sip_message::{Message, Method, write};

use crate::config::LogLevel;
use crate::observe::Observer;

/// Messages saved per run: a bug that a peer can repeat must not fill the disk.
const SAVED_MAX: u32 = 64;

thread_local! {
    /// Message and place of this thread's last panic.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Instead of writing to standard error in the middle of everything: remember, and let the shell log one line.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let words = panic.payload_as_str().unwrap_or("a panic without words");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        LAST.with(|last| *last.borrow_mut() = format!("{words} ({place})"));
    }));
}

/// What the last panic of this thread said.
pub fn last() -> String {
    LAST.with(|last| last.borrow().clone())
}

/// Where inputs that made us panic are kept.
pub struct CrashFolder {
    folder: Option<PathBuf>,
    saved: AtomicU32,
}

impl CrashFolder {
    /// `None` keeps nothing.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, saved: AtomicU32::new(0) }
    }

    /// Counts, logs and saves; returns the 500, if there is somebody to send it to.
    pub fn report(
        &self,
        observer: &Observer,
        now: Instant,
        flow: &Flow,
        raw: &[u8],
    ) -> Option<Bytes> {
        let saved = self.save(now, raw);
        observer.counters.panics.one();
        let (why, from) = (last(), flow.to_string());
        let saved = saved.map(|path| path.display().to_string()).unwrap_or_default();
        let fields =
            [("why", (&*why).into()), ("from", (&*from).into()), ("saved", (&*saved).into())];
        observer.log.line(now, LogLevel::Error, "panic", &fields);
        // Reading it may be what panicked.
        catch_unwind(AssertUnwindSafe(|| answer(flow, raw))).ok().flatten()
    }

    /// A panic without a message: a timer or an answer of the store.
    pub fn note(&self, observer: &Observer, now: Instant) {
        observer.counters.panics.one();
        observer.log.line(now, LogLevel::Error, "panic", &[("why", (&*last()).into())]);
    }

    fn save(&self, now: Instant, bytes: &[u8]) -> Option<PathBuf> {
        let folder = self.folder.as_ref()?;
        let number = self.saved.fetch_add(1, Ordering::Relaxed);
        if number >= SAVED_MAX {
            return None;
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).ok()?;
        let path = folder.join(format!("{}-{number}.sip", now.0));
        let mut file = fs::OpenOptions::new();
        let mut file = file.write(true).create_new(true).mode(0o600).open(&path).ok()?;
        std::io::Write::write_all(&mut file, bytes).ok()?;
        Some(path)
    }
}

fn answer(flow: &Flow, raw: &[u8]) -> Option<Bytes> {
    let message = Message::parse(Bytes::copy_from_slice(raw));
    let Ok(Message::Request(mut request)) = message else { return None };
    if request.method() == Method::Ack {
        return None;
    }
    nat::stamp(&mut request, flow);
    let Rejection { status, reason, headers, .. } = Rejection::internal_error();
    let mut wire = Vec::new();
    write::response(
        &request,
        status,
        reason.as_bytes(),
        Some(b"500"),
        headers.as_bytes(),
        b"",
        &mut wire,
    );
    Some(wire.into())
}

/// For the test that panics cost one message only: a debug build panics on a message that carries this header.
#[cfg(debug_assertions)]
pub fn test_hook(message: &[u8]) {
    const LINE: &[u8] = b"\nX-Ringway-Panic: now";
    if message.windows(LINE.len()).any(|window| window == LINE) {
        std::panic::panic_any("asked to by X-Ringway-Panic");
    }
}

#[cfg(not(debug_assertions))]
pub fn test_hook(_: &[u8]) {}
