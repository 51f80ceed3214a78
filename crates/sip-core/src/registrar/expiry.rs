//! How long a binding is granted for (RFC 3261 §10.3 step 7, §10.2.1.1). Arithmetic only.

use crate::config::Registrar;
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
