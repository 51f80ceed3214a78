//! Room "nat": the packet's source goes into the top Via, so that answers return the way the request came
//! (RFC 3261 §18.2.1, RFC 3581 §4). Always: no setting, no guess about private networks. It happens before matching,
//! because a repeated answer is written from the repeated request.

use sip_message::Request;

use crate::flow::Flow;

pub fn stamp(request: &mut Request, flow: &Flow) {
    request.stamp_source(flow.remote);
}
