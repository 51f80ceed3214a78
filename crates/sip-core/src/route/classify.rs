//! Room "classify" (RFC 3261 §16.5): for the registrar, for the server itself, for one of our users, or for somebody
//! else's. The last only when one of our users asks and the operator allows it: this is no open relay.

use sip_message::{Method, Request};

use crate::config::AorBuf;
use crate::registrar;
use crate::rejection::Rejection;
use crate::route::authenticate::Caller;
use crate::route::screen::{Screened, require};
use crate::turn::Turn;

#[derive(Debug, PartialEq, Eq)]
pub enum Place<'a> {
    Registrar,
    Server,
    User(&'a AorBuf),
    /// Not ours: one of our users calls out, and the Request-URI alone says where.
    Elsewhere,
}

pub fn place<'a>(
    turn: &Turn<'_>,
    request: &Request,
    screened: &'a Screened<'_>,
    caller: &Caller,
) -> Result<Place<'a>, Rejection> {
    if !screened.is_ours {
        let calls_out = matches!(caller, Caller::User) && request.method() != Method::Register;
        return match (calls_out, turn.config.allow_outbound) {
            (true, true) => Ok(Place::Elsewhere),
            // A stolen password must not become somebody's toll fraud: calling out is the operator's decision.
            (true, false) => Err(Rejection::forbidden("Calls To Other Domains Are Off")),
            (false, _) => Err(Rejection::forbidden("Relaying Denied")),
        };
    }
    if request.method() == Method::Register {
        require(request, registrar::EXTENSIONS)?;
        return Ok(Place::Registrar);
    }
    if screened.uri.user.is_none() {
        require(request, &[])?;
        return Ok(Place::Server);
    }
    if matches!(caller, Caller::Foreign) && !turn.config.allow_inbound {
        return Err(Rejection::forbidden("Inbound Calls Not Allowed"));
    }
    match &screened.aor {
        Some(aor) => Ok(Place::User(aor)),
        None => Err(caller.unknown_user()),
    }
}
