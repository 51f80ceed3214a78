//! Whether a call went as it should: the answer that was expected, sound both ways. It looks at figures only.

use media::offer::Agreement;
use sip_core::time::Duration;

use super::note::Report;
use super::plan::Plan;
use crate::failure::{Kind, Trouble};

/// Shorter calls may end before a packet has come.
const TALK_MIN: Duration = Duration::from_secs(1);

/// What is wrong with a call that is over.
pub fn of(
    plan: &Plan,
    report: &Report,
    agreement: Option<&Agreement>,
    failed: Option<Trouble>,
) -> Option<Trouble> {
    let what = format!("call with {}", report.peer);
    if let Some(expected) = plan.expect {
        match report.code {
            Some(code) if code == expected => {}
            Some(code) => {
                let why = format!("{code} came, and {expected} was expected");
                let next = failed.map_or("--expect says what is right".to_owned(), |f| f.next);
                let trouble = Trouble::new(Kind::Unexpected, what, why, next);
                return Some(Trouble { code: Some(code), ..trouble });
            }
            None if failed.is_some() => return failed,
            None => {
                let why = format!("it ended without an answer, and {expected} was expected");
                return Some(Trouble::new(Kind::Unexpected, what, why, "call again with -v"));
            }
        }
    } else if failed.is_some() {
        return failed;
    }
    if plan.expect_audio && report.code.is_some_and(|code| code < 300) {
        return audio(&what, report, agreement);
    }
    None
}

/// What is missing in the sound, both ways.
fn audio(what: &str, report: &Report, agreement: Option<&Agreement>) -> Option<Trouble> {
    let remote = agreement.map_or("the peer".to_owned(), |a| a.remote.to_string());
    let Some(figures) = report.figures else {
        let why = "no audio was agreed on";
        return Some(Trouble::new(Kind::NoAudio, what, why, "-v shows both session descriptions"));
    };
    let quality = figures.quality;
    let (kind, why, next) = match (quality.received, figures.reported, figures.refused) {
        (0, true, _) => (
            Kind::OneWayAudio,
            format!("one-way audio: {remote} hears us, and none of its RTP came here"),
            "a firewall or NAT on our side, or a wrong address in our session description (--bind)",
        ),
        (0, false, Some(refused)) => (
            Kind::NoAudio,
            format!("no RTP: nothing came, and {refused} refuses ours"),
            "its session description names a port where nobody listens",
        ),
        (0, false, None) => (
            Kind::NoAudio,
            format!("no RTP: sent {} packets to {remote}, and none came back", quality.sent),
            "a firewall between us and that address, or a phone that does not send",
        ),
        (_, _, Some(refused)) => (
            Kind::OneWayAudio,
            format!("one-way audio: we hear {remote}, and {refused} refuses our RTP"),
            "its session description names a port where nobody listens",
        ),
        _ if quality.sent == 0 => (
            Kind::OneWayAudio,
            format!("one-way audio: we hear {remote}, and sent nothing"),
            "it asked us not to send (hold?): -v shows its session description",
        ),
        _ if figures.sound_frames == 0 => (
            Kind::NoAudio,
            format!(
                "only silence: {} RTP packets came from {remote}, all silent",
                quality.received
            ),
            "is the other side muted, or playing an empty file?",
        ),
        _ => return None,
    };
    Some(Trouble::new(kind, what, why, next))
}

/// The same for a person who did not ask: worth a line, no failure.
pub fn doubt(report: &Report, agreement: Option<&Agreement>) -> Option<String> {
    if report.talk.is_none_or(|talk| talk < TALK_MIN) {
        return None;
    }
    let trouble = audio("the audio", report, agreement)?;
    Some(format!("{}; {}", trouble.why, trouble.next))
}
