//! One call of ours: its offers and answers (RFC 3264), its audio, and when what happened. It sends no SIP; whoever owns
//! it does.

use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;

use media::codec::event::Key;
use media::offer::{Agreement, Capability, Negotiation, OfferError};
use media::sdp::Description;
use sip_core::time::Instant;
use sip_core::ua::{Body, CallId};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::media::port::Ports;
use crate::media::session::{Keys, Lingering, Session, since_epoch};
use crate::media::sound::Sound;
use crate::media::stream::{Figures, Stream};
use crate::media::wav::{Recording, WavError};
use crate::resolve;

/// What a call says and keeps.
#[derive(Clone, Debug)]
pub struct Audio {
    pub sound: Says,
    pub record: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub enum Says {
    /// A tone of so many Hz.
    Tone(f64),
    /// A file, once.
    File(Rc<[i16]>),
    /// What it hears.
    Echo,
}

impl Audio {
    /// The same for the call with this number: a second one must not write over the recording of the first.
    pub fn numbered(mut self, call: usize) -> Self {
        if let Some(path) = self.record.as_mut().filter(|_| call > 0) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let suffix =
                path.extension().map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
            path.set_file_name(format!("{stem}-{}{suffix}", call + 1));
        }
        self
    }
}

impl Says {
    fn sound(&self) -> Sound {
        match self {
            Self::Tone(hz) => Sound::tone(*hz),
            Self::File(samples) => Sound::File { samples: Rc::clone(samples), at: 0 },
            Self::Echo => Sound::Echo,
        }
    }
}

/// Why there is no audio.
#[derive(Debug, thiserror::Error)]
pub enum LegError {
    #[error("RTP ports: {0}")]
    Ports(io::Error),
    #[error("the session description cannot be read: {0}")]
    Sdp(#[from] media::sdp::ParseError),
    #[error("{0}")]
    Offer(#[from] media::offer::OfferError),
    #[error("{0}")]
    Answer(#[from] media::offer::AnswerError),
    #[error("{path}: {error}")]
    Recording { path: String, error: WavError },
    #[error("there is no session description in it")]
    NoBody,
}

impl LegError {
    /// How a request with this in it is refused: a status, and a Warning (RFC 3261 §20.43) that says why.
    pub fn refusal(&self) -> (u16, Vec<Box<str>>) {
        let code = match self {
            Self::Offer(OfferError::Refused(refusal)) => refusal.warning(),
            Self::Sdp(_) | Self::Offer(_) => 399,
            _ => return (500, Vec::new()),
        };
        let words = self.to_string().replace(['"', '\\'], "'");
        (488, vec![format!("Warning: {code} ringway \"{words}\"").into()])
    }
}

/// When what happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    pub begun: Instant,
    pub ringing: Option<Instant>,
    pub answered: Option<Instant>,
    pub ended: Option<Instant>,
}

pub struct Leg {
    pub id: CallId,
    /// Whom, or who.
    pub peer: String,
    pub moments: Moments,
    /// The Call-ID header, for those who look for it elsewhere.
    pub call_id: String,
    /// The final status, ours or theirs.
    pub code: Option<u16>,
    /// What happens at its own times is done up to here.
    pub script_at: usize,
    /// Keys that came.
    pub keys: String,
    /// The URI we called.
    pub uri: String,
    /// Our answer to an incoming call's offer, until it is sent.
    pub answer: Option<Body>,
    /// Whether a person was told that we hold.
    pub said_holding: bool,
    /// Hold or resume once the offer under way is answered (RFC 3264 §4: one at a time).
    pub hold_next: Option<bool>,
    negotiation: Negotiation,
    ports: Option<Ports>,
    session: Option<Session>,
    audio: Audio,
    last: Option<Figures>,
    /// Open until the peer knows that the call is over.
    lingering: Option<Lingering>,
    /// Answers that came early, by dialog.
    early: Vec<(usize, Body)>,
}

impl Leg {
    /// `local` is where the ports are bound, `advertised` what the peer is told.
    pub fn new(
        id: CallId,
        peer: &str,
        now: Instant,
        local: IpAddr,
        advertised: IpAddr,
        audio: Audio,
    ) -> Result<Self, LegError> {
        let ports = Ports::open(local).map_err(LegError::Ports)?;
        let capability = Capability::new(advertised, ports.port);
        Ok(Self {
            id,
            peer: peer.to_owned(),
            moments: Moments { begun: now, ..Moments::default() },
            call_id: String::new(),
            code: None,
            script_at: 0,
            keys: String::new(),
            uri: String::new(),
            answer: None,
            said_holding: false,
            hold_next: None,
            // RFC 8866 §5.2 suggests a time.
            negotiation: Negotiation::new(now.as_secs(), capability),
            ports: Some(ports),
            session: None,
            audio,
            last: None,
            lingering: None,
            early: Vec::new(),
        })
    }

    /// Our offer: the first, or after `hold`.
    pub fn offer(&mut self) -> Result<Body, LegError> {
        Ok(Body::sdp(self.negotiation.offer()?.write()))
    }

    pub const fn set_hold(&mut self, hold: bool) {
        self.negotiation.set_hold(hold);
    }

    pub const fn is_holding(&self) -> bool {
        self.negotiation.is_holding()
    }

    pub fn is_held(&self) -> bool {
        self.negotiation.is_held()
    }

    /// Our offer came to nothing.
    pub fn withdraw(&mut self) {
        self.negotiation.withdraw();
    }

    /// The peer's offer, and our answer to it.
    pub fn answer(&mut self, offer: &Body) -> Result<Body, LegError> {
        let offer = Description::parse(&offer.bytes)?;
        self.negotiation.apply_offer(&offer)?;
        let answer = self.negotiation.answer()?.write();
        Ok(Body::sdp(answer))
    }

    /// An answer in a provisional response: it holds once the call is answered in that dialog.
    pub fn keep_early(&mut self, early: usize, body: Body) {
        const EARLY_MAX: usize = 16;
        self.early.retain(|(known, _)| *known != early);
        if self.early.len() < EARLY_MAX {
            self.early.push((early, body));
        }
    }

    /// The answer that holds: the one of the 200, or the one that came early in the same dialog.
    pub fn answer_of(&mut self, body: Option<Body>, early: usize) -> Option<Body> {
        let before = self.early.iter().find(|(known, _)| *known == early).map(|(_, b)| b.clone());
        self.early.clear();
        body.or(before)
    }

    /// The peer's answer to our offer.
    pub fn answered(&mut self, answer: &Body) -> Result<(), LegError> {
        let answer = Description::parse(&answer.bytes)?;
        self.negotiation.apply_answer(&answer)?;
        Ok(())
    }

    /// Whether an offer of ours waits for its answer.
    pub fn awaits_answer(&self) -> bool {
        self.negotiation.state() == media::offer::State::OfferSent
    }

    pub fn agreement(&self) -> Option<&Agreement> {
        self.negotiation.agreement()
    }

    /// Starts the audio, or goes on as agreed now.
    pub fn run_audio(
        &mut self,
        clock: Clock,
        keys: &mpsc::Sender<(CallId, Key)>,
    ) -> Result<(), LegError> {
        let Some(agreement) = self.negotiation.agreement().cloned() else { return Ok(()) };
        if let Some(session) = &self.session {
            session.with(|stream| stream.agree(agreement));
            return Ok(());
        }
        let Some(ports) = self.ports.take() else { return Ok(()) };
        let recording = self.audio.record.as_ref().map(|path| {
            let named = |error| LegError::Recording { path: path.display().to_string(), error };
            Recording::create(path).map_err(named)
        });
        let recording = recording.transpose()?;
        let now = since_epoch(clock.now());
        let seed = random().map_err(LegError::Ports)?;
        let stream = Stream::new(now, agreement, self.audio.sound.sound(), recording, seed);
        let keys = Keys { call: self.id, sender: keys.clone() };
        let session = Session::start(ports, stream, clock, keys).map_err(LegError::Ports)?;
        self.session = Some(session);
        Ok(())
    }

    pub const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The numbers so far, or the last ones.
    pub fn figures(&self) -> Option<Figures> {
        self.session.as_ref().map(Session::figures).or(self.last)
    }

    /// The call is over. What the recording says about its end is in words.
    pub fn finish(&mut self, now: Instant) -> Result<(), String> {
        self.moments.ended.get_or_insert(now);
        self.ports = None;
        let Some(session) = self.session.take() else { return Ok(()) };
        let finished = session.finish();
        self.last = Some(finished.figures);
        self.lingering = Some(finished.sockets);
        finished.recorded
    }
}

/// What to call ourselves where we listen at every address: as the way to the peer's audio says, or the default route.
pub fn address_towards(wildcard: IpAddr, offer: Option<&Body>) -> IpAddr {
    let offer = offer.and_then(|offer| Description::parse(&offer.bytes).ok());
    let remote = offer.as_ref().and_then(|offer| {
        let connection = offer.media.iter().find_map(|media| offer.connection_of(media));
        connection.and_then(|connection| connection.ip())
    });
    let source = remote.and_then(|remote| resolve::source_towards((remote, 9).into()).ok());
    source.unwrap_or_else(|| resolve::source_of_default_route(wildcard.is_ipv6()))
}

/// A seed nobody can guess.
fn random() -> io::Result<u64> {
    let mut seed = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(u64::from_le_bytes(seed))
}
