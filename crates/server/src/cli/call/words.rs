//! What happens in a call, in words with the times in the gutter, or as JSON. It decides nothing.

use std::io::{IsTerminal as _, Write as _};

use phone::call::{Done, Note, Report, What};
use phone::clock::{millis, time_of_day};
use phone::media::stream::Figures;
use serde_json::{Value, json};
use sip_core::config::Algorithm;
use sip_core::time::{Duration, Instant};
use sip_core::ua::EndedBy;

use crate::cli::{keyboard, print};

/// Whether a line of figures is drawn again and again.
pub fn draws(json: bool) -> bool {
    !json && std::io::stdout().is_terminal()
}

pub struct Printer {
    json: bool,
    listens: bool,
    keys: bool,
    last: Option<Instant>,
    /// A line of figures stands at the cursor.
    drawn: bool,
}

impl Printer {
    pub const fn new(json: bool, listens: bool, keys: bool) -> Self {
        Self { json, listens, keys, last: None, drawn: false }
    }

    pub fn note(&mut self, note: &Note) {
        if self.json {
            if let (What::Ended(report), true) = (&note.what, self.listens) {
                print(&format!("{}\n", call(report)));
            }
            return;
        }
        match &note.what {
            What::Calling { name, whom } => {
                self.begin(note, &format!("INVITE  \u{2192} {name} ({whom})"))
            }
            What::Incoming { from, replaces } => {
                let taking = if *replaces { ", to take over a call" } else { "" };
                self.begin(note, &format!("INVITE  \u{2190} {from}{taking}"));
            }
            What::Talking { talked, figures } => self.draw(note, *talked, figures),
            What::Trying => {}
            What::Ended(report) => self.ended(note, report),
            what => self.row(note, &row(what)),
        }
    }

    fn begin(&mut self, note: &Note, text: &str) {
        self.clear();
        print(&format!(" {}Z {}{text}\n", time_of_day(note.at), number(note.call)));
        self.last = Some(note.at);
    }

    /// A row with the time since the one before.
    fn row(&mut self, note: &Note, text: &str) {
        self.clear();
        let since = self.last.map_or(0.0, |last| note.at.since(last).as_secs_f64());
        let gutter = format!("+{since:.3}");
        print(&format!("{gutter:>14}  {}{text}\n", number(note.call)));
        self.last = Some(note.at);
    }

    fn draw(&mut self, note: &Note, talked: Duration, figures: &Figures) {
        let keys = if self.keys { keyboard::HELP } else { "" };
        let line = format!(" {}{}   {keys}", number(note.call), talking(talked, figures));
        // Without wrapping: a line broken in two could not be drawn again.
        let _ = write!(std::io::stdout(), "\r\x1b[K\x1b[?7l{line}\x1b[?7h");
        let _ = std::io::stdout().flush();
        self.drawn = true;
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            print("\r\x1b[K");
        }
    }

    fn ended(&mut self, note: &Note, report: &Report) {
        self.clear();
        let name = number(note.call);
        if let (Some(talk), Some(figures)) = (report.talk, &report.figures) {
            print(&format!(" {name}{}\n", talking(talk, figures)));
        }
        if !report.keys.is_empty() {
            print(&format!(" {name}keys heard: {}\n", report.keys));
        }
        // A call that never stood is told by its failure.
        if report.talk.is_some() || report.trouble.is_none() {
            print(&format!(" {name}ended: {}\n", ending(report)));
        }
        self.last = Some(note.at);
    }
}

/// Only where there is more than one call is it said which.
fn number(call: usize) -> String {
    if call == 0 { String::new() } else { format!("[call {}] ", call + 1) }
}

fn row(what: &What) -> String {
    match what {
        What::Challenged { code, algorithm } => {
            format!("{code} challenged, answering with {}", algorithm_words(*algorithm))
        }
        What::Redirected { to } => format!("redirected to {to}"),
        What::Ringing { code, reason } => format!("{code} {reason}"),
        What::Rejected { code } => format!("answered with {code}"),
        What::Answered { codec, remote, ours } => {
            let media = match (codec, remote) {
                (Some(codec), Some(remote)) => format!("   {codec}, {remote}"),
                _ => "   no audio".to_owned(),
            };
            if *ours { format!("200 OK{media}") } else { format!("answered with 200{media}") }
        }
        What::Held { by_us: true } => "on hold".to_owned(),
        What::Held { by_us: false } => "the other side holds".to_owned(),
        What::Resumed { by_us: true } => "resumed".to_owned(),
        What::Resumed { by_us: false } => "the other side goes on".to_owned(),
        What::HoldRefused { why } => format!("hold or resume refused: {why}"),
        What::KeysSent { keys } => format!("pressed {keys}"),
        What::KeyHeard { key } => format!("heard key {key}"),
        What::TransferAsked { to, attended: true } => {
            format!("transfer to {to}: calling there first")
        }
        What::TransferAsked { to, .. } => format!("transfer to {to}"),
        What::TransferProgress { code, reason } => format!("transfer: {code} {reason}"),
        What::TransferDone { code } => format!("transferred ({code})"),
        What::TransferFailed { why } => format!("transfer failed: {why}"),
        What::Referred { to, attended } => {
            let kind = if *attended { ", in place of the caller" } else { "" };
            format!("asked to call {to}{kind}")
        }
        What::Text { from, text } => format!("message from {from}: {}", text.trim_end()),
        What::Warning { words } => format!("warning: {words}"),
        What::Calling { .. }
        | What::Incoming { .. }
        | What::Talking { .. }
        | What::Trying
        | What::Ended(_) => String::new(),
    }
}

const fn algorithm_words(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Sha256 => "SHA-256",
        Algorithm::Md5 => "MD5",
    }
}

/// `talking 0:10  sent 500  got 498  loss 0.4 %  jitter 3 ms  rtt 9 ms  MOS 4.4`
fn talking(talked: Duration, figures: &Figures) -> String {
    let (quality, seconds) = (&figures.quality, talked.as_secs());
    let loss = quality.loss_percent;
    let loss = if loss > 0.0 { format!("{loss:.1}") } else { "0".to_owned() };
    let mut line = format!(
        "talking {}:{:02}  sent {}  got {}  loss {loss} %  jitter {:.0} ms",
        seconds / 60,
        seconds % 60,
        quality.sent,
        quality.received,
        quality.jitter_ms
    );
    if let Some(rtt) = quality.rtt_ms {
        line.push_str(&format!("  rtt {rtt:.0} ms"));
    }
    if let Some(mos) = quality.mos {
        line.push_str(&format!("  MOS {mos:.1}"));
    }
    line
}

fn ending(report: &Report) -> String {
    let who = match report.by {
        Some(EndedBy::Us) => "we hung up",
        Some(EndedBy::Peer) => "the other side hung up",
        Some(EndedBy::SessionTimer) => "nobody refreshed the session in time",
        Some(EndedBy::NoAck) => "our answer was never acknowledged",
        Some(EndedBy::Replaced) => "another call took its place",
        Some(EndedBy::NoPrack) => "our ringing was never acknowledged",
        Some(EndedBy::Lost) => "the other side does not know the call any more",
        None => "over",
    };
    let mut text = match (report.talk, report.code) {
        (None, Some(code)) if code >= 300 => format!("refused with {code}"),
        (Some(talk), _) => format!("{who}, {:.1} s", talk.as_secs_f64()),
        (None, _) => who.to_owned(),
    };
    if let Some(reason) = &report.reason {
        text.push_str(&format!(", {reason}"));
    }
    text
}

/// The call we placed, as one object.
pub fn object(done: &Done) {
    let first = done.reports.iter().min_by_key(|report| report.call);
    let mut line = first.map_or_else(|| json!({"v": 1}), call);
    if let (Some(trouble), Some(fields)) = (&done.trouble, line.as_object_mut()) {
        // Also what went wrong with the transfer, which is of no single call.
        failure(fields, trouble);
    }
    print(&format!("{line}\n"));
}

fn failure(fields: &mut serde_json::Map<String, Value>, trouble: &phone::failure::Trouble) {
    fields.insert("ok".to_owned(), false.into());
    fields.insert("exit".to_owned(), trouble.exit_code().into());
    fields.insert("kind".to_owned(), trouble.kind.name().into());
    fields.insert("error".to_owned(), trouble.to_string().into());
}

fn call(report: &Report) -> Value {
    let ms = |took: Option<Duration>| took.map(|took| millis(took).round());
    let tenths = |x: f64| (x * 10.0).round() / 10.0;
    let rtp = report.figures.map(|figures| {
        let quality = figures.quality;
        json!({
            "tx": quality.sent, "rx": quality.received, "lost": quality.lost,
            "loss_percent": tenths(quality.loss_percent), "late": quality.late,
            "jitter_ms": tenths(quality.jitter_ms), "rtt_ms": quality.rtt_ms.map(tenths),
            "mos": quality.mos.map(tenths), "sound_s": figures.sound_frames as f64 / 50.0,
        })
    });
    let by = report.by.map(|by| match by {
        EndedBy::Us => "us",
        EndedBy::Peer => "peer",
        EndedBy::SessionTimer => "session-timer",
        EndedBy::NoAck => "no-ack",
        EndedBy::Replaced => "replaced",
        EndedBy::NoPrack => "no-prack",
        EndedBy::Lost => "lost",
    });
    let mut line = json!({
        "v": 1, "ok": report.trouble.is_none(), "code": report.code, "peer": report.peer,
        "ring_ms": ms(report.ring), "answer_ms": ms(report.answer),
        "talk_s": report.talk.map(|talk| tenths(talk.as_secs_f64())),
        "codec": report.figures.map(|figures| figures.codec.to_string()), "rtp": rtp,
        "keys": report.keys, "ended_by": by, "call_id": report.call_id,
    });
    if let (Some(trouble), Some(fields)) = (&report.trouble, line.as_object_mut()) {
        failure(fields, trouble);
    }
    line
}
