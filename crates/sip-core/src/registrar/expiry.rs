//! How long a binding is granted for (RFC 3261 §10.3 step 7, §10.2.1.1). Arithmetic only.

use crate::config::{Nat, Registrar};
use crate::flow::Flow;
use crate::rejection::Rejection;
use crate::time::Duration;

/// Above one hour even a minimum of the registrar does not refuse (RFC 3261 §10.3 step 7).
const NEVER_TOO_BRIEF: u64 = 3600;

/// The expiry for one Contact: its own `expires` parameter, else the Expires header, else our default; all in seconds,
/// a malformed one having been read as 3600 (§20.10). Longer than our maximum is shortened, shorter than our minimum
/// is refused with 423, zero means removal and stays zero.
pub fn granted(
    param: Option<u32>,
    header: Option<u32>,
    rules: &Registrar,
) -> Result<Duration, Rejection> {
    let Some(asked) = param.or(header) else { return Ok(rules.expires_default) };
    let (asked, min) = (u64::from(asked), rules.expires_min.as_secs());
    if asked > 0 && asked < min && asked < NEVER_TOO_BRIEF {
        return Err(Rejection::interval_too_brief(min));
    }
    Ok(Duration::from_secs(asked).min(rules.expires_max))
}

/// A phone behind a NAT is unreachable from the moment its NAT forgets it (a restart, another address of the line) until
/// it registers again, and only the registrar can make it come back sooner (§10.3 step 7: it may shorten). A stream
/// tells the phone itself when it is broken.
pub fn behind_nat(granted: Duration, natted: bool, flow: &Flow, rules: &Nat) -> Duration {
    if natted && !flow.transport.is_reliable() { granted.min(rules.expires_max) } else { granted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(param: Option<u32>, header: Option<u32>) -> Result<u64, u16> {
        let rules =
            Registrar { expires_default: Duration::from_secs(1800), ..Registrar::default() };
        granted(param, header, &rules).map(|d| d.as_secs()).map_err(|r| r.status)
    }

    /// RFC 3261 §10.3 step 7.
    #[test]
    fn parameter_then_header_then_default() {
        assert_eq!(seconds(Some(100), Some(200)), Ok(100));
        assert_eq!(seconds(None, Some(200)), Ok(200));
        assert_eq!(seconds(None, None), Ok(1800));
        assert_eq!(seconds(Some(0), Some(200)), Ok(0));
    }

    #[test]
    fn behind_a_nat_it_is_shorter() {
        use crate::flow::{ConnectionId, ListenerId, Transport};
        let flow = |transport| {
            let (listener, connection) = (ListenerId(0), ConnectionId::NONE);
            Flow { transport, listener, connection, remote: ([192, 0, 2, 7], 5060).into() }
        };
        let rules = Nat { expires_max: Duration::from_secs(90), ..Nat::default() };
        let given = |asked, natted, transport| {
            behind_nat(Duration::from_secs(asked), natted, &flow(transport), &rules).as_secs()
        };
        assert_eq!(given(3600, true, Transport::Udp), 90);
        assert_eq!(given(60, true, Transport::Udp), 60);
        assert_eq!(given(0, true, Transport::Udp), 0);
        assert_eq!(given(3600, true, Transport::Tcp), 3600);
        assert_eq!(given(3600, false, Transport::Udp), 3600);
    }

    #[test]
    fn bounds() {
        assert_eq!(seconds(Some(u32::MAX), None), Ok(7200));
        assert_eq!(seconds(Some(60), None), Ok(60));
        assert_eq!(seconds(Some(59), None), Err(423));
        assert_eq!(seconds(Some(1), Some(3600)), Err(423));
    }

    #[test]
    fn an_hour_is_never_too_brief() {
        let strict = Registrar { expires_min: Duration::from_secs(7200), ..Registrar::default() };
        assert_eq!(granted(Some(3600), None, &strict).map(|d| d.as_secs()), Ok(3600));
        assert_eq!(
            granted(Some(3599), None, &strict).map_err(|r| r.headers),
            Err("Min-Expires: 7200\r\n".into())
        );
    }
}
