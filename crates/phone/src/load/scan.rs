//! Finds in a message what the load generator needs: the start line, our Call-ID, the CSeq, and lines to copy.
//! Not a parser: it trusts the server to write one header per line, unfolded, and counts what it cannot read.
//! RFC 3261 §7.3.1 (names in any case, blanks before the colon, compact forms).

use std::net::SocketAddr;

use memchr::memchr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    Response(u16),
    Request(&'a [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Via,
    From,
    To,
    CallId,
    CSeq,
    Contact,
    RecordRoute,
    /// `WWW-Authenticate` or `Proxy-Authenticate`.
    Challenge,
    RetryAfter,
    Other,
}

fn name(bytes: &[u8]) -> Name {
    let is = |word: &[u8]| bytes.eq_ignore_ascii_case(word);
    match bytes.len() {
        1 => match bytes[0].to_ascii_lowercase() {
            b'v' => Name::Via,
            b'f' => Name::From,
            b't' => Name::To,
            b'i' => Name::CallId,
            b'm' => Name::Contact,
            _ => Name::Other,
        },
        2 if is(b"To") => Name::To,
        3 if is(b"Via") => Name::Via,
        4 if is(b"From") => Name::From,
        4 if is(b"CSeq") => Name::CSeq,
        7 if is(b"Call-ID") => Name::CallId,
        7 if is(b"Contact") => Name::Contact,
        11 if is(b"Retry-After") => Name::RetryAfter,
        12 if is(b"Record-Route") => Name::RecordRoute,
        16 if is(b"WWW-Authenticate") => Name::Challenge,
        18 if is(b"Proxy-Authenticate") => Name::Challenge,
        _ => Name::Other,
    }
}

/// One header: its name, its value without blanks around it, and the whole line with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub name: Name,
    pub value: &'a [u8],
    pub whole: &'a [u8],
}

/// The header lines, up to the empty one.
pub struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let end = memchr(b'\n', self.0)?;
        let (whole, rest) = self.0.split_at(end + 1);
        self.0 = rest;
        let colon = memchr(b':', whole)?;
        let (left, right) = (&whole[..colon], &whole[colon + 1..]);
        Some(Line { name: name(left.trim_ascii_end()), value: right.trim_ascii(), whole })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub start: Start<'a>,
    pub call_id: &'a [u8],
    pub cseq: u32,
    pub method: &'a [u8],
    head: &'a [u8],
}

impl<'a> Message<'a> {
    /// None when the start line, the Call-ID or the CSeq cannot be found.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (first, head) = bytes.split_at_checked(memchr(b'\n', bytes)? + 1)?;
        let start = match first.strip_prefix(b"SIP/2.0 ") {
            Some(rest) => Start::Response(number(rest.get(..3)?)?.try_into().ok()?),
            None => Start::Request(&first[..memchr(b' ', first)?]),
        };
        let (mut call_id, mut cseq) = (None, None);
        for line in Lines(head) {
            match line.name {
                Name::CallId => call_id = Some(line.value),
                Name::CSeq => cseq = Some(line.value),
                _ => continue,
            }
            if let (Some(call_id), Some(cseq)) = (call_id, cseq) {
                let blank = memchr(b' ', cseq)?;
                let (digits, method) = (&cseq[..blank], cseq[blank..].trim_ascii());
                return Some(Self { start, call_id, cseq: number(digits)?, method, head });
            }
        }
        None
    }

    /// Seconds, without the comment and the parameters that may follow (RFC 3261 §20.33).
    pub fn retry_after(&self) -> Option<u32> {
        let line = self.lines().find(|line| line.name == Name::RetryAfter)?;
        let digits = line.value.iter().take_while(|b| b.is_ascii_digit()).count();
        number(&line.value[..digits])
    }

    pub fn body(&self) -> &'a [u8] {
        let end = memchr::memmem::find(self.head, b"\r\n\r\n");
        end.and_then(|end| self.head.get(end + 4..)).unwrap_or_default()
    }

    pub fn lines(&self) -> Lines<'a> {
        Lines(self.head)
    }
}

/// Where an SDP wants PCMU (RFC 8866 §5.7, §5.14, RFC 3551 §6): the first audio stream that is not refused, its own
/// `c=` or the session's. None for anything else, a name instead of an address included.
pub fn pcmu(sdp: &[u8]) -> Option<SocketAddr> {
    let (mut ip, mut port) = (None, None);
    for line in sdp.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end) {
        if let Some(media) = line.strip_prefix(b"m=") {
            if port.is_some() {
                break;
            }
            port = audio_port(media);
        } else if let Some(address) =
            line.strip_prefix(b"c=IN IP4 ").or(line.strip_prefix(b"c=IN IP6 "))
            && (ip.is_none() || port.is_some())
        {
            ip = std::str::from_utf8(address).ok().and_then(|text| text.parse().ok());
        }
    }
    Some(SocketAddr::new(ip?, port?))
}

/// `audio 30000 RTP/AVP 8 0`.
fn audio_port(media: &[u8]) -> Option<u16> {
    let mut words = media.split(|b| *b == b' ');
    let audio = words.next()? == b"audio";
    let port = number(words.next()?)?;
    let known = words.next()? == b"RTP/AVP" && words.any(|format| format == b"0");
    u16::try_from(port).ok().filter(|port| audio && known && *port > 0)
}

fn number(digits: &[u8]) -> Option<u32> {
    let fold = |n: u32, b: &u8| {
        let digit = b.is_ascii_digit().then(|| u32::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, fold) }
}

/// The URI in angle brackets, or the bare one up to its parameters.
pub fn uri(value: &[u8]) -> &[u8] {
    match memchr(b'<', value) {
        Some(open) => {
            let rest = &value[open + 1..];
            &rest[..memchr(b'>', rest).unwrap_or(rest.len())]
        }
        None => &value[..memchr(b';', value).unwrap_or(value.len())],
    }
}

/// The elements of a comma list of name-addrs; a comma inside angle brackets does not split.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut inside = false;
    let split = move |byte: &u8| {
        match byte {
            b'<' => inside = true,
            b'>' => inside = false,
            _ => {}
        }
        *byte == b',' && !inside
    };
    value.split(split).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_and_its_lines() {
        let text = b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a;branch=1\r\nRecord-Route : <sip:a;lr>\r\n\
            i: 42@load\r\ncseq: 7  INVITE\r\nContact: \"x\" <sip:b@c>;q=1\r\n\r\nContact: no";
        let m = Message::read(text).expect("a message");
        assert_eq!((m.start, m.call_id, m.cseq), (Start::Response(200), &b"42@load"[..], 7));
        assert_eq!(m.method, b"INVITE");
        let names: Vec<Name> = m.lines().map(|line| line.name).collect();
        use Name::*;
        assert_eq!(names, [Via, RecordRoute, CallId, CSeq, Contact]);
        let contact = m.lines().last().expect("a line");
        assert_eq!(uri(contact.value), b"sip:b@c");
        assert_eq!(contact.whole, b"Contact: \"x\" <sip:b@c>;q=1\r\n");
    }

    #[test]
    fn a_time_to_come_back() {
        let after = |value: &str| {
            let text = format!(
                "SIP/2.0 503 No\r\nCall-ID: x\r\nCSeq: 2 A\r\nRetry-After: {value}\r\n\r\n"
            );
            Message::read(text.as_bytes()).expect("a message").retry_after()
        };
        assert_eq!(after("120 (in a meeting);duration=3600"), Some(120));
        assert_eq!((after("soon"), after("99999999999")), (None, None));
    }

    #[test]
    fn requests_and_rubbish() {
        let m = Message::read(b"BYE sip:a SIP/2.0\r\nCSeq: 2 BYE\r\nCall-ID: x\r\n\r\n").unwrap();
        assert_eq!((m.start, m.cseq), (Start::Request(b"BYE"), 2));
        for rubbish in [
            &b""[..],
            b"\r\n\r\n",
            b"SIP/2.0 20",
            b"SIP/2.0 2x0 OK\r\nCall-ID: a\r\nCSeq: 1 A\r\n\r\n",
            b"BYE sip:a SIP/2.0\r\nCall-ID: x\r\n\r\n",
            b"BYE sip:a SIP/2.0\r\nCall-ID: x\r\nCSeq: 99999999999 BYE\r\n\r\n",
        ] {
            assert_eq!(Message::read(rubbish), None);
        }
    }

    #[test]
    fn where_the_sound_goes() {
        let session = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
        let at = |media: &str| pcmu(format!("{session}{media}").as_bytes()).map(|a| a.to_string());
        let found = |address: &str| Some(address.to_owned());
        assert_eq!(at("m=audio 30000 RTP/AVP 8 0 101\r\n"), found("192.0.2.1:30000"));
        assert_eq!(at("m=audio 7 RTP/AVP 0\r\nc=IN IP6 2001:db8::7\r\n"), found("[2001:db8::7]:7"));
        let second = "m=video 5 RTP/AVP 31\r\nc=IN IP4 192.0.2.9\r\nm=audio 6 RTP/AVP 0\r\n";
        assert_eq!(at(second), found("192.0.2.1:6"));
        assert_eq!(
            at("m=audio 8 RTP/AVP 0\r\nm=video 5 RTP/AVP 31\r\nc=IN IP4 192.0.2.9\r\n"),
            found("192.0.2.1:8")
        );
        for none in [
            "",
            "m=audio 0 RTP/AVP 0\r\n",
            "m=audio 5 RTP/AVP 8\r\n",
            "m=audio 5 RTP/SAVP 0\r\n",
            "m=audio 5 RTP/AVP 0\r\nc=IN IP4 phone.example\r\n",
            "m=audio 99999 RTP/AVP 0\r\n",
        ] {
            assert_eq!(at(none), None, "{none}");
        }
        let message =
            Message::read(b"BYE a SIP/2.0\r\nCall-ID: x\r\nCSeq: 1 BYE\r\n\r\nv=0\r\n\r\n");
        assert_eq!(message.expect("a message").body(), b"v=0\r\n\r\n");
    }

    #[test]
    fn lists_split_outside_brackets() {
        let list: Vec<&[u8]> = elements(b"<sip:a,b;lr>, <sip:c>").collect();
        assert_eq!(list, [&b"<sip:a,b;lr>"[..], b"<sip:c>"]);
        assert_eq!(uri(b"sip:a@b;x=1"), b"sip:a@b");
    }
}
