//! RFC 3261 §16.11: a stateless proxy sends at once, once for each message that arrives, and nothing by itself.

use crate::wire::Wire;
use crate::world::World;

pub(super) fn at_once(world: &World, wrong: &mut Vec<String>) {
    for server in world.servers().iter().filter(|server| server.is_stateless()) {
        let mut arrived: Vec<(sip_core::time::Instant, &Wire)> = Vec::new();
        for wire in world.trace.wires.iter().filter(|w| w.to == Some(server.place)) {
            arrived.extend(wire.arrivals.iter().map(|at| (*at, wire)));
        }
        for sent in world.trace.wires.iter().filter(|w| w.from == server.place) {
            let m = &sent.message;
            let follows = |(at, from): &(sip_core::time::Instant, &Wire)| {
                let f = &from.message;
                let vias = if m.is_request() { f.vias.len() + 1 } else { f.vias.len() - 1 };
                *at == sent.sent
                    && (&f.method, f.status, &f.call_id, f.cseq)
                        == (&m.method, m.status, &m.call_id, m.cseq)
                    && vias == m.vias.len()
                    && body(from) == body(sent)
                    && (!m.is_request() || f.max_forwards.map(|hops| hops - 1) == m.max_forwards)
            };
            match arrived.iter().position(follows) {
                Some(cause) => drop(arrived.remove(cause)),
                None => wrong.push(format!(
                    "{} was sent without state and without a cause (call {})",
                    m.label(),
                    m.call_id
                )),
            }
        }
    }
}

fn body(wire: &Wire) -> &[u8] {
    let text = &wire.bytes;
    text.windows(4).position(|w| w == b"\r\n\r\n").map_or(&[], |at| &text[at + 4..])
}
