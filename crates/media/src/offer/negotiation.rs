//! The offers and answers of one session, in order. It remembers what a later description must repeat: the m= lines
//! that exist, the payload types in use, the version of `o=` (RFC 3264 §8).

use std::net::IpAddr;

use super::agreement::{Agreement, Remote};
use super::description::{self, Slot};
use super::error::{AnswerError, OfferError, Refusal};
use super::format::{self, Encoding, Format};
use super::state::{Event, State};
use crate::codec::{CLOCK_RATE, Codec};
use crate::sdp::{Connection, Description, Direction, MEDIA_MAX, Media, Origin};

const AVP: &str = "RTP/AVP";
/// With RFC 4585's feedback offered too, plain reports are still right.
const AVPF: &str = "RTP/AVPF";

/// What we can do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    pub address: IpAddr,
    /// RTP; RTCP is on the next port.
    pub port: u16,
    /// Most preferred first.
    pub codecs: Vec<Codec>,
    pub telephone_event: bool,
    /// What we want while nobody is on hold.
    pub direction: Direction,
}

impl Capability {
    /// Everything this crate can do, both ways.
    pub fn new(address: IpAddr, port: u16) -> Self {
        Self {
            address,
            port,
            codecs: Codec::ALL.to_vec(),
            telephone_event: true,
            direction: Direction::SendRecv,
        }
    }

    const fn reaches(&self, other: IpAddr) -> bool {
        self.address.to_canonical().is_ipv4() == other.to_canonical().is_ipv4()
    }

    fn has(&self, encoding: Encoding) -> bool {
        match encoding {
            Encoding::Audio(codec) => self.codecs.contains(&codec),
            Encoding::TelephoneEvent => self.telephone_event,
        }
    }

    fn words(&self) -> String {
        let words: Vec<String> = self.codecs.iter().map(|c| format!("{c}/{CLOCK_RATE}")).collect();
        words.join(", ")
    }
}

/// The negotiation of one dialog.
#[derive(Clone, Debug)]
pub struct Negotiation {
    capability: Capability,
    state: State,
    holding: bool,
    /// Stays as it is for good, but for the version, even when our address changes.
    origin: Origin,
    version: u64,
    layout: Layout,
    agreement: Option<Agreement>,
    pending: Option<Pending>,
    sent: Option<Description>,
}

/// The m= lines of the session. They keep their places for good (RFC 3264 §8).
#[derive(Clone, Debug, Default)]
struct Layout {
    slots: Vec<Slot>,
    /// The slot that is our audio.
    audio: Option<usize>,
    /// What the payload types of that slot mean on our side.
    formats: Vec<Format>,
}

/// An offer that waits for its answer.
#[derive(Clone, Debug)]
struct Pending {
    layout: Layout,
    /// Ours as offered, or what the peer's offer leaves us.
    direction: Direction,
    /// For an offer of the peer: what holds once we answer.
    agreement: Option<Agreement>,
}

impl Negotiation {
    /// `session_id` is to be unique for this user and host; RFC 8866 §5.2 suggests a time. The first version is the
    /// same number.
    pub fn new(session_id: u64, capability: Capability) -> Self {
        Self {
            origin: Origin::new(session_id, session_id, capability.address),
            capability,
            state: State::Stable,
            holding: false,
            version: session_id,
            layout: Layout::default(),
            agreement: None,
            pending: None,
            sent: None,
        }
    }

    pub const fn state(&self) -> State {
        self.state
    }

    /// What holds now; `None` before the first answer, and when the peer ended the audio stream.
    pub const fn agreement(&self) -> Option<&Agreement> {
        self.agreement.as_ref()
    }

    /// The description sent last, to send again.
    pub const fn sent(&self) -> Option<&Description> {
        self.sent.as_ref()
    }

    /// For a new address, port or set of codecs; the next description says so.
    pub const fn capability_mut(&mut self) -> &mut Capability {
        &mut self.capability
    }

    /// Whether our next description puts the peer on hold. Nothing is said before one is sent.
    pub const fn set_hold(&mut self, hold: bool) {
        self.holding = hold;
    }

    pub const fn is_holding(&self) -> bool {
        self.holding
    }

    /// The peer does not want to hear us although we would speak.
    pub fn is_held(&self) -> bool {
        let wants = self.capability.direction.sends();
        self.agreement.as_ref().is_some_and(|a| wants && !a.direction.sends())
    }

    /// Makes an offer: the first, a hold, a resume, or a refresh.
    ///
    /// # Errors
    /// Another offer is outstanding.
    pub fn offer(&mut self) -> Result<Description, OfferError> {
        let state = self.state.on_event(Event::SendOffer)?;
        let layout = self.offered_layout()?;
        let direction = self.offered_direction();
        let description = self.describe(&layout, direction);
        self.state = state;
        self.pending = Some(Pending { layout, direction, agreement: None });
        Ok(description)
    }

    /// Takes the peer's offer. What it says holds once [`Self::answer`] was called.
    ///
    /// # Errors
    /// With the response the offer earns; the session stays as it was.
    pub fn apply_offer(&mut self, offer: &Description) -> Result<(), OfferError> {
        let state = self.state.on_event(Event::ReceiveOffer)?;
        let before = self.layout.slots.len();
        if offer.media.len() < before {
            return Err(Refusal::MediaRemoved { offered: offer.media.len(), before }.into());
        }
        let slots = offer.media.iter().map(Slot::from).collect();
        let pending = match self.choose(offer)? {
            Some((index, formats, agreement)) => Pending {
                layout: Layout { slots, audio: Some(index), formats },
                direction: agreement.direction,
                agreement: Some(agreement),
            },
            None => Pending {
                layout: Layout { slots, audio: None, formats: Vec::new() },
                direction: Direction::Inactive,
                agreement: None,
            },
        };
        self.state = state;
        self.pending = Some(pending);
        Ok(())
    }

    /// Answers the offer taken last.
    ///
    /// # Errors
    /// There is none.
    pub fn answer(&mut self) -> Result<Description, OfferError> {
        let state = self.state.on_event(Event::SendAnswer)?;
        let Some(mut pending) = self.pending.take() else {
            return Err(super::OutOfOrder { state: self.state, event: Event::SendAnswer }.into());
        };
        // RFC 3264 §6.1: sendonly is answered with recvonly or inactive, and so on: never more than was offered.
        let direction = pending.direction.and(self.allowed());
        if let Some(agreement) = &mut pending.agreement {
            agreement.direction = direction;
        }
        let description = self.describe(&pending.layout, direction);
        self.state = state;
        self.layout = pending.layout;
        self.agreement = pending.agreement;
        Ok(description)
    }

    /// Takes the peer's answer to our offer.
    ///
    /// # Errors
    /// The answer does not fit. The exchange is over all the same, and what was agreed before still holds.
    pub fn apply_answer(&mut self, answer: &Description) -> Result<&Agreement, AnswerError> {
        self.state = self.state.on_event(Event::ReceiveAnswer)?;
        let Some(pending) = self.pending.take() else {
            return Err(super::OutOfOrder { state: self.state, event: Event::ReceiveAnswer }.into());
        };
        // The peer has seen the offer: its places and payload types are taken, whatever it answers.
        self.layout = pending.layout;
        let agreement = self.agree(answer, pending.direction)?;
        Ok(self.agreement.insert(agreement))
    }

    /// The offer under way came to nothing (488, 491, CANCEL, a lost dialog): what was agreed before still holds.
    pub fn withdraw(&mut self) {
        if let Ok(state) = self.state.on_event(Event::Withdraw) {
            self.state = state;
            self.pending = None;
        }
    }

    /// What we let happen: our wish, less hearing the peer when it is on hold.
    fn allowed(&self) -> Direction {
        let wish = self.capability.direction;
        if self.holding { wish.and(Direction::SendOnly) } else { wish }
    }

    /// RFC 3264 §8.4: a sendrecv stream is put on hold "by marking it as sendonly", one that was recvonly by
    /// "inactive".
    fn offered_direction(&self) -> Direction {
        match &self.agreement {
            Some(agreement) if self.holding => self.allowed().and(agreement.direction),
            _ => self.allowed(),
        }
    }

    fn offered_layout(&self) -> Result<Layout, OfferError> {
        let mut slots = self.layout.slots.clone();
        // RFC 3264 §8.1: a new stream may take the place of an ended one.
        let ended = slots.iter().position(|s| s.kind == "audio");
        let index = self.layout.audio.or(ended).unwrap_or(slots.len());
        if index >= MEDIA_MAX {
            return Err(OfferError::MediaTooMany);
        }
        if index == slots.len() {
            let kind = "audio".to_owned();
            slots.push(Slot { kind, transport: AVP.to_owned(), formats: Vec::new() });
        }
        let formats = self.offered_formats(slots.get(index));
        if let Some(slot) = slots.get_mut(index)
            && self.layout.audio.is_none()
        {
            slot.transport = AVP.to_owned();
        }
        Ok(Layout { slots, audio: Some(index), formats })
    }

    /// All we can do, under the payload types used before.
    fn offered_formats(&self, slot: Option<&Slot>) -> Vec<Format> {
        let used = |encoding| self.layout.formats.iter().find(|f| f.encoding == encoding).copied();
        let mut formats: Vec<Format> = self
            .capability
            .codecs
            .iter()
            .map(|c| used(Encoding::Audio(*c)).unwrap_or(Format::audio(*c)))
            .collect();
        if self.capability.telephone_event {
            let taken = |number: u8| {
                let of_peer = slot.is_some_and(|s| s.formats.contains(&number.to_string()));
                of_peer || self.layout.formats.iter().any(|f| f.payload_type == number)
            };
            let encoding = Encoding::TelephoneEvent;
            let free = || format::free(taken).map(|payload_type| Format { payload_type, encoding });
            formats.extend(used(encoding).or_else(free));
        }
        formats
    }

    /// The media description that becomes our audio: the one that was, else the first that fits. `None`: the peer
    /// ended the stream (RFC 3264 §8.2).
    fn choose(
        &self,
        offer: &Description,
    ) -> Result<Option<(usize, Vec<Format>, Agreement)>, Refusal> {
        let mut refusal = None;
        let first = self.layout.audio.unwrap_or(usize::MAX);
        let mut places: Vec<usize> = (0..offer.media.len()).collect();
        places.sort_by_key(|place| *place != first);
        for place in places {
            let Some(media) = offer.media.get(place) else { continue };
            if media.kind != "audio" || media.port == 0 {
                continue;
            }
            match self.fit(offer, media) {
                Ok((formats, agreement)) => return Ok(Some((place, formats, agreement))),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match refusal {
            Some(refusal) => Err(refusal),
            None if self.layout.slots.is_empty() => {
                Err(Refusal::NoAudio { offered: description::words(offer) })
            }
            None => Ok(None),
        }
    }

    fn fit(&self, offer: &Description, media: &Media) -> Result<(Vec<Format>, Agreement), Refusal> {
        if ![AVP, AVPF].contains(&media.transport.as_str()) {
            return Err(Refusal::Transport { offered: media.transport.clone() });
        }
        let remote = Remote::new(offer, media).ok_or(Refusal::NoConnection)?;
        if let Some(socket) = remote.endpoint.socket()
            && !self.capability.reaches(socket.ip())
        {
            let ours = self.capability.address;
            return Err(Refusal::AddressFamily { offered: socket.ip(), ours });
        }
        let peer = format::understood(media);
        // RFC 3264 §6.1: the answer keeps the order of the offer, and its payload types.
        let mut formats: Vec<Format> = Vec::new();
        for one in peer.iter().filter(|f| self.capability.has(f.encoding)) {
            if formats.iter().all(|f| f.encoding != one.encoding) {
                formats.push(*one);
            }
        }
        let direction = remote.direction.reversed();
        let agreement = Agreement::new(&formats, &peer, remote, direction).ok_or_else(|| {
            Refusal::NoCommonCodec { offered: format::words(media), ours: self.capability.words() }
        })?;
        Ok((formats, agreement))
    }

    fn agree(&self, answer: &Description, offered: Direction) -> Result<Agreement, AnswerError> {
        let count = self.layout.slots.len();
        let media = self.layout.audio.and_then(|index| answer.media.get(index));
        let Some(media) = media.filter(|_| answer.media.len() == count) else {
            return Err(AnswerError::MediaCount { offered: count, answered: answer.media.len() });
        };
        if media.kind != "audio" {
            return Err(AnswerError::MediaKind(media.kind.clone()));
        }
        if media.port == 0 {
            return Err(AnswerError::AudioRefused);
        }
        let remote = Remote::new(answer, media).ok_or(AnswerError::NoConnection)?;
        if let Some(socket) = remote.endpoint.socket()
            && !self.capability.reaches(socket.ip())
        {
            let ours = self.capability.address;
            return Err(AnswerError::AddressFamily { answered: socket.ip(), ours });
        }
        let peer = format::answered(media, &self.layout.formats);
        // A peer that answers more than was offered gets no more than was offered.
        let direction = offered.and(remote.direction.reversed());
        Agreement::new(&self.layout.formats, &peer, remote, direction).ok_or_else(|| {
            AnswerError::NoCommonCodec {
                answered: format::words(media),
                offered: self.capability.words(),
            }
        })
    }

    /// Writes a description down. RFC 3264 §8: the version moves by one when anything else does, and only then.
    fn describe(&mut self, layout: &Layout, direction: Direction) -> Description {
        let media = layout.slots.iter().enumerate().map(|(index, slot)| {
            if layout.audio == Some(index) {
                description::audio(slot, self.capability.port, &layout.formats, direction)
            } else {
                description::refused(slot)
            }
        });
        let version = self.version.to_string();
        let mut description = Description {
            origin: Origin { version, ..self.origin.clone() },
            name: "-".into(),
            connection: Some(Connection::new(self.capability.address)),
            others: Vec::new(),
            attributes: Vec::new(),
            media: media.collect(),
        };
        if self.sent.as_ref().is_some_and(|sent| *sent != description) {
            self.version = self.version.saturating_add(1);
            description.origin.version = self.version.to_string();
        }
        self.sent = Some(description.clone());
        description
    }
}
