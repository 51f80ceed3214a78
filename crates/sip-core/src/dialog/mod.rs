//! `Dialog`: what two user agents know of each other (RFC 3261 §12): names, route set, remote target and sequence numbers.
//! It sends nothing, knows no transaction and no session, and never outlives the call that owns it.

mod addressing;
#[cfg(test)]
mod tests;

use sip_message::{CSeq, Contacts, Head, NameAddr, Request, Response, Uri};

pub use addressing::Addressing;
pub(crate) use addressing::request_uri;

use crate::rejection::Rejection;

/// RFC 3261 §12: Call-ID and both tags. Ours is always the local one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogId {
    pub call_id: Box<[u8]>,
    pub local_tag: Box<[u8]>,
    /// Empty when the peer gave none, as RFC 2543 allowed (§12.1.1).
    pub remote_tag: Box<[u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Made by a provisional response.
    Early,
    /// Made or confirmed by a 2xx.
    Confirmed,
}

/// Why a message makes no dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDialog {
    /// From, To, Call-ID or CSeq cannot be read.
    Unreadable,
    /// RFC 3261 §12.1.1: without a Contact there is nowhere to send requests to.
    NoContact,
    /// RFC 3261 §12.1: a response without To tag makes none.
    NoTag,
}

#[derive(Clone, Debug)]
pub struct Dialog {
    id: DialogId,
    state: State,
    /// Our address and the peer's, as they go into From and To, without tags.
    local: Box<[u8]>,
    remote: Box<[u8]>,
    /// The peer's Contact URI.
    remote_target: Box<[u8]>,
    /// In the order a request of ours visits them, whole Route values.
    route_set: Vec<Box<[u8]>>,
    local_cseq: u32,
    /// `None`: no request of the peer yet (§12.1.2: empty).
    remote_cseq: Option<u32>,
}

impl Dialog {
    /// RFC 3261 §12.1.2: the caller's side. `request` as it was sent, and a response above 100 to it.
    pub fn of_uac(request: &Request, response: &Response) -> Result<Self, NoDialog> {
        let (from, to) = (readable(request.from())?, readable(response.to())?);
        let tag = to.tag().ok_or(NoDialog::NoTag)?;
        let dialog = Self {
            id: DialogId {
                call_id: readable(request.call_id())?.into(),
                local_tag: from.tag().unwrap_or_default().into(),
                remote_tag: tag.into(),
            },
            state: if response.status() < 200 { State::Early } else { State::Confirmed },
            local: party(&from),
            remote: party(&to),
            remote_target: contact(response).ok_or(NoDialog::NoContact)?,
            route_set: routes_reversed(response),
            local_cseq: readable(request.cseq())?.number,
            remote_cseq: None,
        };
        Ok(dialog)
    }

    /// RFC 3261 §12.1.1: the callee's side. `local_tag` is what our responses carry.
    pub fn of_uas(request: &Request, local_tag: &[u8]) -> Result<Self, NoDialog> {
        let (from, to) = (readable(request.from())?, readable(request.to())?);
        Ok(Self {
            id: DialogId {
                call_id: readable(request.call_id())?.into(),
                local_tag: local_tag.into(),
                remote_tag: from.tag().unwrap_or_default().into(),
            },
            state: State::Early,
            local: party(&to),
            remote: party(&from),
            remote_target: contact(request).ok_or(NoDialog::NoContact)?,
            route_set: routes(request),
            // §12.1.1: ours is empty; the first request of ours sets it.
            local_cseq: 0,
            remote_cseq: Some(readable(request.cseq())?.number),
        })
    }

    pub const fn id(&self) -> &DialogId {
        &self.id
    }

    pub const fn state(&self) -> State {
        self.state
    }

    pub const fn remote_target(&self) -> &[u8] {
        &self.remote_target
    }

    pub const fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// The callee has sent its 2xx.
    pub const fn confirm(&mut self) {
        self.state = State::Confirmed;
    }

    /// RFC 3261 §13.2.2.4: a 2xx confirms the dialog and computes its route set anew; the remote target with it.
    pub fn confirm_with(&mut self, response: &Response) {
        self.state = State::Confirmed;
        self.route_set = routes_reversed(response);
        self.refresh_target(response);
    }

    /// RFC 3261 §12.2.1.2, §12.2.2: a target refresh request or its 2xx brings a new remote target, never a new route set.
    pub fn refresh_target(&mut self, head: &Head) {
        if let Some(contact) = contact(head) {
            self.remote_target = contact;
        }
    }

    /// Whether a message with these is of this dialog. Ours comes first.
    pub fn is(&self, call_id: &[u8], local_tag: &[u8], remote_tag: &[u8]) -> bool {
        *self.id.call_id == *call_id
            && *self.id.local_tag == *local_tag
            && *self.id.remote_tag == *remote_tag
    }

    /// RFC 3261 §12.2.1.1: the number of the next request of ours.
    pub const fn next_cseq(&mut self) -> u32 {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.local_cseq
    }

    /// RFC 3261 §12.2.2: takes a request of the peer, or refuses it as out of order. An ACK or a CANCEL has the number of
    /// its INVITE and is not to be shown here.
    pub fn receive(&mut self, cseq: CSeq<'_>) -> Result<(), Rejection> {
        if self.remote_cseq.is_some_and(|last| cseq.number < last) {
            return Err(Rejection::out_of_order());
        }
        self.remote_cseq = Some(cseq.number);
        Ok(())
    }

    /// From of our next request, tag included.
    pub fn from(&self) -> Box<[u8]> {
        tagged(&self.local, &self.id.local_tag)
    }

    /// To of our next request, tag included if the peer has one.
    pub fn to(&self) -> Box<[u8]> {
        tagged(&self.remote, &self.id.remote_tag)
    }

    /// The peer's address without the tag.
    pub const fn remote(&self) -> &[u8] {
        &self.remote
    }

    /// Where requests of ours go.
    pub fn addressing(&self) -> Addressing {
        Addressing::new(&self.remote_target, &self.route_set)
    }
}

fn readable<T>(read: Result<T, sip_message::ParseError>) -> Result<T, NoDialog> {
    read.map_err(|_| NoDialog::Unreadable)
}

/// The address alone, in brackets, with its display name: what From and To take over into a dialog (§12.2.1.1).
fn party(address: &NameAddr<'_>) -> Box<[u8]> {
    let uri = address.uri_bytes();
    match address.display() {
        b"" => [b"<", uri, b">"].concat().into(),
        display => [b"\"", display, b"\" <", uri, b">"].concat().into(),
    }
}

fn tagged(party: &[u8], tag: &[u8]) -> Box<[u8]> {
    if tag.is_empty() { party.into() } else { [party, b";tag=", tag].concat().into() }
}

/// The URI of the first Contact, if it is one requests can be sent to.
fn contact(head: &Head) -> Option<Box<[u8]>> {
    let Ok(Contacts::List(mut contacts)) = head.contacts() else { return None };
    let contact = contacts.next()?.ok()?;
    Uri::parse(contact.uri_bytes()).ok()?;
    Some(contact.uri_bytes().into())
}

fn routes(head: &Head) -> Vec<Box<[u8]>> {
    head.record_routes().map_while(Result::ok).map(|route| route.raw().into()).collect()
}

/// RFC 3261 §12.1.2: the caller visits them in reverse.
fn routes_reversed(head: &Head) -> Vec<Box<[u8]>> {
    let mut routes = routes(head);
    routes.reverse();
    routes
}
