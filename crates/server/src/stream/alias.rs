//! RFC 5923: a peer that connects to us says in its Via (`alias`) that it also listens, and that what we send to there may
//! come by this connection. The RFC wants TLS and a certificate that names the peer; over plain TCP whoever can connect from
//! an address could take its traffic, so here it counts only from networks that the operator trusts, and only for the
//! address the connection comes from. It decides nothing else about a message.

use std::net::SocketAddr;

use bytes::Bytes;
use sip_message::Message;

const PORT_DEFAULT: u16 = 5060;

/// The address that the top Via of this request asks to be reached at by its own connection.
pub fn asked(message: &Bytes, remote: SocketAddr) -> Option<SocketAddr> {
    if !message.windows(6).any(|window| window.eq_ignore_ascii_case(b";alias")) {
        return None;
    }
    let Ok(Message::Request(request)) = Message::parse(message.clone()) else { return None };
    let via = request.via().ok()?;
    via.param("alias")?;
    let address = SocketAddr::new(via.host.ip()?, via.port.unwrap_or(PORT_DEFAULT));
    (address.ip() == remote.ip()).then_some(address)
}

#[cfg(test)]
mod tests {

    #[test]
    fn only_for_where_it_comes_from() {
        let asked = |via: &str| {
            let text = format!(
                "OPTIONS sip:x@y SIP/2.0\r\nVia: SIP/2.0/TCP {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
                 Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            );
            super::asked(&text.into(), ([192, 0, 2, 7], 40_000).into()).map(|a| a.to_string())
        };
        assert_eq!(
            asked("192.0.2.7:5070;branch=z9hG4bK1;alias").as_deref(),
            Some("192.0.2.7:5070")
        );
        assert_eq!(asked("192.0.2.7;Alias;branch=z9hG4bK1").as_deref(), Some("192.0.2.7:5060"));
        assert_eq!(asked("192.0.2.8:5070;branch=z9hG4bK1;alias"), None);
        assert_eq!(asked("sip.example:5070;branch=z9hG4bK1;alias"), None);
        assert_eq!(asked("192.0.2.7:5070;branch=z9hG4bK1"), None);
        assert_eq!(asked("192.0.2.7:5070;branch=z9hG4bK1;aliases"), None);
    }
}
