//! Bytes -> `Description`. One pass over the lines, each checked as it is met; bounded by `BODY_MAX` and `MEDIA_MAX`.

use super::attribute::{RtpMap, payload_type_number};
use super::error::{ParseError, ParseErrorKind};
use super::{Attribute, BODY_MAX, Connection, Description, Line, MEDIA_MAX, Media, Origin, Text};

/// What is known when the lines have been read so far.
#[derive(Default)]
struct Draft {
    version: bool,
    origin: Option<Origin>,
    name: Option<Text>,
    connection: Option<Connection>,
    others: Vec<Line>,
    attributes: Vec<Attribute>,
    media: Vec<Media>,
}

pub(super) fn description(body: &[u8]) -> Result<Description, ParseError> {
    if body.len() > BODY_MAX {
        return Err(ParseErrorKind::TooLarge.at(1));
    }
    let mut draft = Draft::default();
    let mut last = 0;
    for (index, line) in body.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A blank line says nothing; some put one at the end.
        if line.is_empty() {
            continue;
        }
        last = index + 1;
        read(&mut draft, line).map_err(|kind| kind.at(last))?;
    }
    if last == 0 {
        return Err(ParseErrorKind::Empty.at(1));
    }
    let origin = draft.origin.ok_or(ParseErrorKind::OriginMissing.at(last))?;
    Ok(Description {
        origin,
        name: draft.name.unwrap_or_else(|| "-".into()),
        connection: draft.connection,
        others: draft.others,
        attributes: draft.attributes,
        media: draft.media,
    })
}

fn read(draft: &mut Draft, line: &[u8]) -> Result<(), ParseErrorKind> {
    if line.iter().any(|b| matches!(b, 0 | b'\r')) {
        return Err(ParseErrorKind::Control);
    }
    let [letter, b'=', value @ ..] = line else { return Err(ParseErrorKind::Form) };
    if !letter.is_ascii_alphabetic() {
        return Err(ParseErrorKind::Form);
    }
    // RFC 8866 §5: the version comes first.
    if !draft.version && *letter != b'v' {
        return Err(ParseErrorKind::Version);
    }
    match letter {
        b'v' if draft.version => return Err(ParseErrorKind::Repeated('v')),
        b'v' => {
            if value.trim_ascii() != b"0" {
                return Err(ParseErrorKind::Version);
            }
            draft.version = true;
        }
        b'o' if draft.origin.is_some() => return Err(ParseErrorKind::Repeated('o')),
        b'o' => draft.origin = Some(origin(value)?),
        b's' if draft.name.is_some() => return Err(ParseErrorKind::Repeated('s')),
        b's' => draft.name = Some(value.into()),
        b'c' => read_connection(draft, value)?,
        b'm' => {
            if draft.origin.is_none() {
                return Err(ParseErrorKind::OriginMissing);
            }
            if draft.media.len() >= MEDIA_MAX {
                return Err(ParseErrorKind::MediaTooMany);
            }
            draft.media.push(media(value)?);
        }
        b'a' => {
            let attribute = attribute(value)?;
            draft
                .media
                .last_mut()
                .map_or(&mut draft.attributes, |m| &mut m.attributes)
                .push(attribute);
        }
        _ => keep(draft, *letter, value),
    }
    Ok(())
}

fn keep(draft: &mut Draft, letter: u8, value: &[u8]) {
    let line = Line { letter: char::from(letter), value: value.into() };
    draft.media.last_mut().map_or(&mut draft.others, |m| &mut m.others).push(line);
}

/// A second `c=` of one media description is legal (layered multicast) and kept; the session may have one.
fn read_connection(draft: &mut Draft, value: &[u8]) -> Result<(), ParseErrorKind> {
    let connection = connection(value)?;
    match draft.media.last_mut() {
        None if draft.connection.is_some() => return Err(ParseErrorKind::Repeated('c')),
        None => draft.connection = Some(connection),
        Some(media) if media.connection.is_none() => media.connection = Some(connection),
        Some(_) => keep(draft, b'c', value),
    }
    Ok(())
}

/// The words of a line that the grammar keeps to UTF-8 without blanks.
fn words<const N: usize>(value: &[u8]) -> Option<[String; N]> {
    let text = std::str::from_utf8(value).ok()?;
    let words: Vec<String> = text.split_ascii_whitespace().take(N + 1).map(str::to_owned).collect();
    words.try_into().ok()
}

fn origin(value: &[u8]) -> Result<Origin, ParseErrorKind> {
    let [username, session_id, version, net_type, address_type, address] =
        words(value).ok_or(ParseErrorKind::Origin)?;
    if ![&session_id, &version].into_iter().all(|w| w.bytes().all(|b| b.is_ascii_digit())) {
        return Err(ParseErrorKind::Origin);
    }
    Ok(Origin { username, session_id, version, net_type, address_type, address })
}

fn connection(value: &[u8]) -> Result<Connection, ParseErrorKind> {
    let [net_type, address_type, address] = words(value).ok_or(ParseErrorKind::Connection)?;
    Ok(Connection { net_type, address_type, address })
}

/// RFC 8866 §5.14: `m=<media> <port>[/<number of ports>] <proto> <fmt> ...`.
fn media(value: &[u8]) -> Result<Media, ParseErrorKind> {
    let text = std::str::from_utf8(value).map_err(|_| ParseErrorKind::Media)?;
    let mut words = text.split_ascii_whitespace().map(str::to_owned);
    let (Some(kind), Some(port), Some(transport)) = (words.next(), words.next(), words.next())
    else {
        return Err(ParseErrorKind::Media);
    };
    let (port, count) = match port.split_once('/') {
        Some((port, count)) => (number(port)?, Some(number(count)?)),
        None => (number(&port)?, None),
    };
    let media = Media {
        kind,
        port,
        port_count: count,
        transport,
        formats: words.collect(),
        connection: None,
        others: Vec::new(),
        attributes: Vec::new(),
    };
    if media.formats.is_empty() {
        return Err(ParseErrorKind::Media);
    }
    if media.is_rtp() && media.formats.iter().any(|f| payload_type_number(f).is_none()) {
        return Err(ParseErrorKind::PayloadType);
    }
    Ok(media)
}

fn number(text: &str) -> Result<u16, ParseErrorKind> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(ParseErrorKind::Port)
}

fn attribute(value: &[u8]) -> Result<Attribute, ParseErrorKind> {
    let colon = value.iter().position(|b| *b == b':');
    let (name, value) = match colon {
        Some(at) => (value.get(..at).unwrap_or_default(), value.get(at + 1..)),
        None => (value.trim_ascii_end(), None),
    };
    if name.is_empty() || !name.iter().copied().all(is_token) {
        return Err(ParseErrorKind::AttributeName);
    }
    let name = std::str::from_utf8(name).map_err(|_| ParseErrorKind::AttributeName)?.to_owned();
    let attribute = Attribute { name, value: value.map(Text::from) };
    let text = attribute.value_str();
    match attribute.name.as_str() {
        "rtpmap" if !text.is_some_and(RtpMap::is_named) => Err(ParseErrorKind::RtpMap),
        "fmtp" if text.is_none_or(|t| t.trim().is_empty()) => Err(ParseErrorKind::FormatParameters),
        _ => Ok(attribute),
    }
}

/// RFC 8866 §9 `token-char`.
const fn is_token(b: u8) -> bool {
    matches!(b, 0x21 | 0x23..=0x27 | 0x2a | 0x2b | 0x2d | 0x2e | 0x30..=0x39 | 0x41..=0x5a | 0x5e..=0x7e)
}
