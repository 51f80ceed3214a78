//! Log lines: for people on a terminal, JSON otherwise. One event, one line, whatever a peer has written into it. Lines
//! go to a thread of their own through a bounded queue; when it is full, lines are dropped and counted, calls are not.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use sip_core::flow::Flow;
use sip_core::time::Instant;

use crate::config::{LogFormat, LogLevel};

const LINES_MAX: usize = 16_384;

/// How late a line may be written.
const GATHER: Duration = Duration::from_millis(20);

/// Longest value of a field; what a peer wrote beyond it is cut.
const VALUE_MAX: usize = 512;

pub struct Log {
    /// A `LogLevel` as a number.
    level: AtomicU8,
    json: bool,
    color: bool,
    lines: SyncSender<Entry>,
    dropped: AtomicU64,
}

enum Entry {
    Line(String),
    /// Everything before this has been written when the sender hears back.
    Flush(SyncSender<()>),
}

/// One field of a line.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Text(&'a str),
    Number(u64),
    /// Seconds, to the millisecond.
    Seconds(f64),
    /// As `udp:192.0.2.1:5060`.
    Flow(Flow),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Value::Number(number)
    }
}

impl Log {
    pub fn start(level: LogLevel, format: LogFormat) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let json = match format {
            LogFormat::Json => true,
            LogFormat::Human => false,
            LogFormat::Auto => !terminal,
        };
        let (sender, receiver) = sync_channel(LINES_MAX);
        // Without the thread lines are dropped and counted: the server is worth more than its log.
        let _ = thread::Builder::new().name("log".into()).spawn(move || write_lines(&receiver));
        let color = terminal && std::env::var_os("NO_COLOR").is_none();
        let level = AtomicU8::new(level as u8);
        Self { level, json, color, lines: sender, dropped: AtomicU64::new(0) }
    }

    /// From the next line on.
    pub fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
    }

    pub fn wants(&self, level: LogLevel) -> bool {
        level as u8 <= self.level.load(Ordering::Relaxed)
    }

    /// Ask [`wants`](Self::wants) first where making the fields costs something.
    pub fn line(&self, now: Instant, level: LogLevel, event: &str, fields: &[(&str, Value<'_>)]) {
        if !self.wants(level) {
            return;
        }
        let line = if self.json {
            json_line(now, level, event, fields)
        } else {
            human_line(now, level, event, fields, self.color)
        };
        if let Err(TrySendError::Full(_)) = self.lines.try_send(Entry::Line(line)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that found the queue full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything logged so far is written.
    pub fn flush(&self) {
        let (sender, receiver) = sync_channel(1);
        if self.lines.send(Entry::Flush(sender)).is_ok() {
            let _ = receiver.recv();
        }
    }
}

fn write_lines(lines: &Receiver<Entry>) {
    let mut batch = String::new();
    while let Ok(first) = lines.recv() {
        let mut flushes = Vec::new();
        if matches!(first, Entry::Line(_)) {
            // Under load each wake-up of this thread would cost a worker more than the line: let lines gather.
            thread::sleep(GATHER);
        }
        for entry in std::iter::once(first).chain(lines.try_iter().take(LINES_MAX)) {
            match entry {
                Entry::Line(line) => batch.push_str(&line),
                Entry::Flush(sender) => flushes.push(sender),
            }
        }
        // A log that nobody reads any more is no reason to stop.
        let _ = std::io::stderr().write_all(batch.as_bytes());
        batch.clear();
        for flush in flushes {
            let _ = flush.send(());
        }
    }
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Off | LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    }
}

/// ISO 8601 with milliseconds, UTC.
pub fn timestamp(at: Instant) -> String {
    let mut text = store::moment::text(Instant::from_secs(at.as_secs()));
    text.replace_range(10..11, "T");
    let _ = write!(text, ".{:03}Z", at.as_millis() % 1_000);
    text
}

fn json_line(now: Instant, level: LogLevel, event: &str, fields: &[(&str, Value<'_>)]) -> String {
    let mut line = String::with_capacity(256);
    let _ = write!(
        line,
        r#"{{"ts":"{}","level":"{}","event":"{event}""#,
        timestamp(now),
        level_name(level)
    );
    for (name, value) in fields {
        let _ = write!(line, r#","{name}":"#);
        match value {
            Value::Text(text) => quote(&mut line, text),
            Value::Number(number) => line.push_str(&number.to_string()),
            Value::Seconds(seconds) => line.push_str(&format!("{seconds:.3}")),
            Value::Flow(flow) => line.push_str(&format!("\"{flow}\"")),
        }
    }
    line.push_str("}\n");
    line
}

fn human_line(
    now: Instant,
    level: LogLevel,
    event: &str,
    fields: &[(&str, Value<'_>)],
    color: bool,
) -> String {
    let mut line = String::with_capacity(256);
    let (paint, plain) = match level {
        _ if !color => ("", ""),
        LogLevel::Off | LogLevel::Error => ("\x1b[31m", "\x1b[0m"),
        LogLevel::Warn => ("\x1b[33m", "\x1b[0m"),
        LogLevel::Info => ("\x1b[32m", "\x1b[0m"),
        LogLevel::Debug => ("\x1b[2m", "\x1b[0m"),
    };
    let words = event.replace('_', " ");
    let _ = write!(line, "{} {paint}{:5}{plain} {words}", timestamp(now), level_name(level));
    for (name, value) in fields {
        let _ = write!(line, "  {name}=");
        match value {
            Value::Text(text) if text.is_empty() || text.bytes().any(needs_quotes) => {
                quote(&mut line, text);
            }
            Value::Text(text) => line.push_str(cut(text)),
            Value::Number(number) => line.push_str(&number.to_string()),
            Value::Seconds(seconds) => line.push_str(&format!("{seconds:.3}s")),
            Value::Flow(flow) => line.push_str(&flow.to_string()),
        }
    }
    line.push('\n');
    line
}

fn needs_quotes(byte: u8) -> bool {
    !byte.is_ascii_graphic() || byte == b'"' || byte == b'\\'
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(VALUE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A JSON string. Control characters, also those of Unicode, never reach a terminal or start a new line.
fn quote(line: &mut String, text: &str) {
    line.push('"');
    for c in cut(text).chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}') =>
            {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Instant = Instant(1_795_473_067_123_456);

    #[test]
    fn one_line_whatever_is_in_it() {
        let evil = "a\"b\\c\nlevel=error\r\u{1b}[2J\u{2028}\u{202e}é";
        let fields = [("user", Value::from(evil)), ("status", Value::from(200))];
        for line in [
            json_line(AT, LogLevel::Info, "call_ended", &fields),
            human_line(AT, LogLevel::Info, "call_ended", &fields, false),
        ] {
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(!line.contains('\u{1b}') && !line.contains('\u{202e}'), "{line:?}");
        }
        let json = json_line(AT, LogLevel::Warn, "x", &fields);
        let read: serde_json::Value = serde_json::from_str(&json).expect("valid");
        assert_eq!(read["user"], evil);
        assert_eq!(read["ts"], "2026-11-23T22:31:07.123Z");
    }

    #[test]
    fn plain_values_stay_plain_and_long_ones_are_cut() {
        let long = "é".repeat(VALUE_MAX);
        let fields = [("to", Value::from("sip:bob@example.com")), ("x", Value::from(&*long))];
        let line = human_line(AT, LogLevel::Info, "call_ended", &fields, false);
        assert!(
            line.starts_with("2026-11-23T22:31:07.123Z info  call ended  to=sip:bob@example.com"),
            "{line}"
        );
        assert!(line.len() < VALUE_MAX + 200);
    }
}
