//! What people type to say whom they mean: `host`, `host:port`, `udp:host:port`, `tcp:host`, `alice@host`,
//! `sip:alice@host;transport=tcp`. It reads words only: no name is looked up here. RFC 3261 §19.1.1.

use std::fmt;
use std::net::IpAddr;

use sip_core::flow::Transport;
use sip_core::ua::NextHop;

/// RFC 3261 §19.1.2.
pub const PORT_DEFAULT: u16 = 5060;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub user: Option<Box<str>>,
    /// A name, or an address; IPv6 in brackets.
    pub host: Box<str>,
    pub port: Option<u16>,
    /// `None`: nobody said, so UDP (RFC 3263 §4.1 for an address).
    pub transport: Option<Transport>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error(
        "{0} is not in this build yet, only udp and tcp are; use udp:HOST or tcp:HOST, or a server in front that speaks {0}"
    )]
    NotBuilt(&'static str),
    #[error(
        "`{text}` is no address: {why}; write HOST, HOST:PORT, tcp:HOST:PORT, USER@HOST or sip:USER@HOST;transport=tcp"
    )]
    Unreadable { text: String, why: &'static str },
}

impl Target {
    /// Reads a target. `home`: the domain of a word that is a user there, as in `ringway call bob`.
    pub fn read(text: &str, home: Option<&str>) -> Result<Self, TargetError> {
        let fail = |why| TargetError::Unreadable { text: text.to_owned(), why };
        let (scheme, rest) = scheme(text)?;
        let (rest, params) =
            rest.split_once(';').map_or((rest, ""), |(rest, params)| (rest, params));
        let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
        let mut transport = scheme;
        for param in params.split(';') {
            match param.split_once('=') {
                Some((name, value)) if name.eq_ignore_ascii_case("transport") => {
                    transport = Some(transport_of(value).ok_or(fail("its transport is unknown"))??);
                }
                _ => {}
            }
        }
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => match home {
                Some(home) if is_user(rest) => (Some(rest), home),
                _ => (None, rest),
            },
        };
        let odd = |c: char| c.is_whitespace() || c.is_control() || "<>\"".contains(c);
        if text.contains(odd) {
            return Err(fail("it contains a blank, a quote or an angle bracket"));
        }
        if user == Some("") {
            return Err(fail("the user before @ is empty"));
        }
        let (host, port) = place_of(place).map_err(fail)?;
        Ok(Self { user: user.map(Into::into), host, port, transport })
    }

    /// The next hop this target is.
    pub fn hop(&self) -> NextHop {
        NextHop { transport: self.transport, host: self.host.clone(), port: self.port }
    }

    /// `host` or `host:port`, as in a URI.
    pub fn place(&self) -> String {
        self.port.map_or_else(|| self.host.to_string(), |port| format!("{}:{port}", self.host))
    }

    pub fn uri(&self) -> String {
        let user = self.user.as_ref().map_or(String::new(), |user| format!("{user}@"));
        let transport = match self.transport {
            Some(Transport::Tcp) => ";transport=tcp",
            _ => "",
        };
        format!("sip:{user}{}{transport}", self.place())
    }

    pub fn transport(&self) -> Transport {
        self.transport.unwrap_or(Transport::Udp)
    }
}

impl fmt::Display for Target {
    /// As a person writes it: `bob@example.com`, `tcp:example.com:5070`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.user, self.transport) {
            (Some(user), _) => write!(f, "{user}@{}", self.place()),
            (None, Some(Transport::Tcp)) => write!(f, "tcp:{}", self.place()),
            (None, _) => f.write_str(&self.place()),
        }
    }
}

/// A word that cannot be a host of the usual kind: no dot, no colon, no bracket. `localhost` is one.
fn is_user(word: &str) -> bool {
    !word.is_empty() && word != "localhost" && !word.contains(['.', ':', '['])
}

fn scheme(text: &str) -> Result<(Option<Transport>, &str), TargetError> {
    let Some((word, rest)) = text.split_once(':') else { return Ok((None, text)) };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    match word.to_ascii_lowercase().as_str() {
        "sip" => Ok((None, rest)),
        "udp" => Ok((Some(Transport::Udp), rest)),
        "tcp" => Ok((Some(Transport::Tcp), rest)),
        "tls" => Err(TargetError::NotBuilt("tls")),
        "sips" => Err(TargetError::NotBuilt("sips (tls)")),
        "ws" => Err(TargetError::NotBuilt("ws")),
        "wss" => Err(TargetError::NotBuilt("wss")),
        _ => Ok((None, text)),
    }
}

fn transport_of(token: &str) -> Option<Result<Transport, TargetError>> {
    match token.to_ascii_lowercase().as_str() {
        "udp" => Some(Ok(Transport::Udp)),
        "tcp" => Some(Ok(Transport::Tcp)),
        "tls" => Some(Err(TargetError::NotBuilt("tls"))),
        "ws" => Some(Err(TargetError::NotBuilt("ws"))),
        "wss" => Some(Err(TargetError::NotBuilt("wss"))),
        _ => None,
    }
}

/// Host and port; an IPv6 address may come without its brackets when it has no port.
fn place_of(place: &str) -> Result<(Box<str>, Option<u16>), &'static str> {
    if let Ok(IpAddr::V6(ip)) = place.parse() {
        return Ok((format!("[{ip}]").into(), None));
    }
    let (host, port) = match place.rsplit_once(':') {
        Some((host, _)) if place.ends_with(']') && host.starts_with('[') => (place, None),
        Some((host, port)) => {
            (host, Some(port.parse().map_err(|_| "the port is no number up to 65535")?))
        }
        None => (place, None),
    };
    match host.strip_prefix('[') {
        Some(inner) => {
            let ip: IpAddr = inner
                .strip_suffix(']')
                .and_then(|ip| ip.parse().ok())
                .ok_or("the brackets hold no address")?;
            Ok((format!("[{ip}]").into(), port))
        }
        None if host.is_empty() => Err("the host is empty"),
        None if host.contains(':') => Err("an IPv6 address with a port needs brackets"),
        None => Ok((host.into(), port)),
    }
}

/// `alice@example.com` out of a From header: a name before it is anybody's to choose.
pub fn address(from: &str) -> &str {
    let uri = match (from.rfind('<'), from.rfind('>')) {
        (Some(open), Some(close)) if open < close => from.get(open + 1..close).unwrap_or(from),
        _ => from.split(';').next().unwrap_or(from),
    };
    let uri = uri.strip_prefix("sip:").unwrap_or(uri);
    uri.split([';', '?']).next().unwrap_or(uri).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let target = Target::read(text, None).map_err(|error| error.to_string())?;
        Ok(format!("{} {}", target.uri(), target.transport()))
    }

    #[test]
    fn every_form_people_type() {
        for (text, meaning) in [
            ("127.0.0.1", "sip:127.0.0.1 udp"),
            ("sip.example.com:5070", "sip:sip.example.com:5070 udp"),
            ("udp:sip.example.com", "sip:sip.example.com udp"),
            ("tcp:192.0.2.1:5070", "sip:192.0.2.1:5070;transport=tcp tcp"),
            ("udp://192.0.2.1:5070", "sip:192.0.2.1:5070 udp"),
            ("sip:bob@example.com;transport=tcp", "sip:bob@example.com;transport=tcp tcp"),
            ("sip:bob@example.com;user=phone", "sip:bob@example.com udp"),
            ("bob@example.com", "sip:bob@example.com udp"),
            ("2001:db8::1", "sip:[2001:db8::1] udp"),
            ("[2001:db8::1]:5070", "sip:[2001:db8::1]:5070 udp"),
            ("tcp:[2001:DB8::1]", "sip:[2001:db8::1];transport=tcp tcp"),
            ("bob@[::1]", "sip:bob@[::1] udp"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(meaning), "{text}");
        }
    }

    #[test]
    fn a_word_is_a_user_at_home() {
        let at_home = |text| Target::read(text, Some("example.com:5070")).map(|t| t.uri());
        assert_eq!(at_home("bob").as_deref(), Ok("sip:bob@example.com:5070"));
        assert_eq!(at_home("600").as_deref(), Ok("sip:600@example.com:5070"));
        assert_eq!(at_home("192.0.2.1:5070").as_deref(), Ok("sip:192.0.2.1:5070"));
        assert_eq!(at_home("localhost").as_deref(), Ok("sip:localhost"));
        assert_eq!(read("bob").as_deref(), Ok("sip:bob udp"));
    }

    #[test]
    fn what_cannot_be_meant_says_why() {
        for (text, why) in [
            ("tls:example.com", "tls is not in this build yet"),
            ("wss://example.com", "wss is not in this build yet"),
            ("sips:bob@example.com", "sips (tls) is not in this build yet"),
            ("sip:bob@example.com;transport=tls", "tls is not in this build yet"),
            ("sip:bob@example.com;transport=sctp", "its transport is unknown"),
            ("example.com:99999", "the port is no number"),
            ("@example.com", "the user before @ is empty"),
            ("bob@", "the host is empty"),
            ("[::1", "the brackets hold no address"),
            ("[zz]:5060", "the brackets hold no address"),
            ("bob smith@example.com", "it contains a blank"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_address_of_a_caller() {
        for (from, wanted) in [
            ("<sip:alice@example.com>;tag=1", "alice@example.com"),
            ("\"A <b> c\" <sip:alice@example.com;x=y>;tag=1", "alice@example.com"),
            ("sip:alice@example.com;tag=1", "alice@example.com"),
            ("tel:+1555", "tel:+1555"),
        ] {
            assert_eq!(address(from), wanted);
        }
    }
}
