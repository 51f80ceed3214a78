//! Room "nat": the packet's source goes into the top Via, so that answers return the way the request came
//! (RFC 3261 §18.2.1, RFC 3581 §4). Always: no setting, no guess about private networks. It happens before matching,
//! because a repeated answer is written from the repeated request.

use bytes::Bytes;
use core::net::SocketAddr;
use sip_message::{Message, Request};

use crate::flow::{ConnectionId, Flow};

pub fn stamp(request: &mut Request, flow: &Flow) {
    request.stamp_source(flow.remote);
}

/// RFC 3261 §18.2.2: the connection of a request is gone, and there is a response: it goes by a new one to the same host,
/// at the port that the request's sender named. `response` is as it would have been sent; `None` if it is none.
pub fn way_back(response: &[u8], gone: &Flow) -> Option<Flow> {
    const PORT_DEFAULT: u16 = 5060;
    if !gone.transport.is_reliable() || !response.starts_with(b"SIP/2.0 ") {
        return None;
    }
    let Ok(Message::Response(response)) = Message::parse(Bytes::copy_from_slice(response)) else {
        return None;
    };
    let port = response.via().ok()?.port.unwrap_or(PORT_DEFAULT);
    let remote = SocketAddr::new(gone.remote.ip(), port);
    (remote != gone.remote).then_some(Flow { remote, connection: ConnectionId::NONE, ..*gone })
}
