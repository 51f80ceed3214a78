//! Session descriptions: the RFC's examples, what other servers crashed on, the bodies of the corpus, and noise.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Description, ParseError> {
    Description::parse(text.as_bytes())
}

/// The line and the words of what is wrong.
fn wrong(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

fn with(media: &str) -> String {
    format!("{HEAD}{media}")
}

/// RFC 8866 §5, the example description; every line of it comes back as it was.
#[test]
fn the_example_of_the_rfc() {
    let text = "v=0\r\no=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\ns=Call to John Smith\r\n\
         i=SDP Offer #1\r\nu=http://www.jdoe.example.com/home.html\r\ne=Jane Doe <jane@jdoe.example.com>\r\n\
         p=+1 617 555-6011\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n\
         m=audio 49180 RTP/AVP 0\r\nm=video 51372 RTP/AVP 99\r\nc=IN IP6 2001:db8::2\r\n\
         a=rtpmap:99 h263-1998/90000\r\n";
    let description = parse(text).unwrap();
    assert_eq!(String::from_utf8(description.write()).unwrap(), text);
    let video = &description.media[2];
    assert_eq!(description.connection_of(video).unwrap().address, "2001:db8::2");
    assert_eq!(description.connection_of(&description.media[0]).unwrap().address, "198.51.100.1");
    let map = video.rtp_map(99).unwrap();
    assert_eq!((map.encoding, map.clock_rate, map.channels), ("h263-1998", 90_000, 1));
}

#[test]
fn lines_may_end_in_lf_or_in_nothing() {
    let text = with("m=audio 9 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n");
    let described = parse(&text).unwrap();
    assert_eq!(parse(&text.replace("\r\n", "\n")).unwrap(), described);
    assert_eq!(parse(text.trim_end()).unwrap(), described);
    assert_eq!(parse(&format!("{text}\r\n\n")).unwrap(), described);
}

#[test]
fn unknown_lines_and_foreign_bytes_are_kept() {
    let mut body =
        with("m=audio 9 RTP/AVP 0\r\nb=AS:64\r\nx=who knows\r\na=X-nat:0\r\n").into_bytes();
    let at = body.windows(4).position(|w| w == b"s=-\r").unwrap() + 2;
    body[at] = 0xe9;
    let description = Description::parse(&body).unwrap();
    assert_eq!(description.name.as_bytes(), [0xe9]);
    assert_eq!(description.name.as_str(), None);
    assert_eq!(description.write(), body);
}

#[test]
fn what_a_phone_reads() {
    let text = with(
        "a=recvonly\r\nm=audio 4000/2 RTP/AVP 0 97\r\na=rtpmap:97 opus/48000/2\r\na=fmtp:97 useinbandfec=1; x\r\n\
         a=ptime:30\r\na=rtcp:53020 IN IP6 2001:db8::9\r\nm=audio 1 RTP/AVP 0\r\na=sendonly \r\n",
    );
    let description = parse(&text).unwrap();
    let [first, second] = &description.media[..] else { panic!() };
    assert_eq!((first.port, first.port_count), (4000, Some(2)));
    assert_eq!(first.payload_types().collect::<Vec<_>>(), [0, 97]);
    assert_eq!(first.rtp_map(97).unwrap().channels, 2);
    assert_eq!(first.rtp_map(0), None);
    assert_eq!(first.format_parameters("97"), Some("useinbandfec=1; x"));
    assert_eq!(first.ptime(), Some(30));
    let rtcp = first.rtcp().unwrap();
    assert_eq!((rtcp.port, rtcp.connection.unwrap().address.as_str()), (53020, "2001:db8::9"));
    // RFC 8866 §6.7: the session's direction holds where the media has none.
    assert_eq!(description.direction_of(first), Direction::RecvOnly);
    assert_eq!(description.direction_of(second), Direction::SendOnly);
}

/// Each thing that can be wrong, with its line.
#[test]
fn what_can_be_wrong() {
    let cases: Vec<String> = vec![
        String::new(),
        "\r\n\r\n".to_owned(),
        "v=1\r\n".to_owned(),
        "o=- 1 1 IN IP4 192.0.2.1\r\nv=0\r\n".to_owned(),
        "v=0\r\n".to_owned(),
        "v=0\r\nm=audio 9 RTP/AVP 0\r\n".to_owned(),
        "v=0\r\no=- 1 1 IN IP4\r\n".to_owned(),
        "v=0\r\no=- one 1 IN IP4 192.0.2.1\r\n".to_owned(),
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1 x\r\n".to_owned(),
        format!("{HEAD}o=- 1 1 IN IP4 192.0.2.1\r\n"),
        format!("{HEAD}s=-\r\n"),
        format!("{HEAD}c=IN IP4 192.0.2.1\r\n"),
        with("c=IN IP4\r\n"),
        with("nonsense\r\n"),
        with("m =audio 9 RTP/AVP 0\r\n"),
        with("=\r\n"),
        with("a=x\ry\r\n"),
        with("m=audio\r\n"),
        with("m=audio 9 RTP/AVP\r\n"),
        with("m=audio 65536 RTP/AVP 0\r\n"),
        with("m=audio -1 RTP/AVP 0\r\n"),
        with("m=audio +1 RTP/AVP 0\r\n"),
        with("m=audio 9/x RTP/AVP 0\r\n"),
        with("m=audio 9 RTP/AVP 128\r\n"),
        with("m=audio 9 RTP/AVP 0 zero\r\n"),
        with("a=: value\r\n"),
        with("a=two words:x\r\n"),
        with("a=rtpmap:PCMU/8000\r\n"),
        with("a=rtpmap:0 /8000\r\n"),
        with("a=rtpmap:200 PCMU/8000\r\n"),
    ];
    let table: Vec<String> = cases.iter().map(|text| wrong(text)).collect();
    insta::assert_snapshot!(table.join("\n"));
}

/// What other servers crashed on: bodies that end in the middle of an attribute, numbers beyond their type, NUL.
#[test]
fn what_others_crashed_on() {
    let audio = "m=audio 9999 RTP/AVP 0\r\n";
    let line = |text: &str| parse(&with(text)).unwrap_err();
    // The last line without its end is a line.
    let whole =
        parse(&with("m=audio 9999 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000")).unwrap();
    assert_eq!(whole.media[0].rtp_map(101).unwrap().encoding, "telephone-event");
    assert_eq!(line(&format!("{audio}a=")), ParseErrorKind::AttributeName.at(7));
    assert_eq!(line(&format!("{audio}a=rtpmap:101")), ParseErrorKind::RtpMap.at(7));
    assert_eq!(line(&format!("{audio}a=fmtp:")), ParseErrorKind::FormatParameters.at(7));
    assert_eq!(line(&format!("{audio}a=fmtp\0:101")), ParseErrorKind::Control.at(7));
    assert_eq!(line("m=audio 17000 RTP/AVP 4294967296"), ParseErrorKind::PayloadType.at(6));
    assert_eq!(wrong("v=\nv=0"), "SDP line 1: the description does not begin with v=0");
    // No media at all can be read; there is nothing in it to accept.
    assert!(parse(HEAD).unwrap().media.is_empty());
    assert_eq!(line(&"m=audio 9 RTP/AVP 0\r\n".repeat(33)), ParseErrorKind::MediaTooMany.at(38));
    assert_eq!(parse(&with(&"m=audio 9 RTP/AVP 0\r\n".repeat(32))).unwrap().media.len(), MEDIA_MAX);
    let thousand = with(&"m=audio 9 RTP/AVP 0\r\n".repeat(1000));
    assert_eq!(parse(&thousand).unwrap_err().kind, ParseErrorKind::TooLarge);
    assert_eq!(
        parse(&with(&"m=a 9 x y\n".repeat(1000))).unwrap_err(),
        ParseErrorKind::MediaTooMany.at(38)
    );
}

#[test]
fn the_size_is_bounded() {
    let mut text = with("a=");
    text.push_str(&"x".repeat(BODY_MAX - text.len()));
    assert!(parse(&text).is_ok());
    text.push('x');
    assert_eq!(parse(&text).unwrap_err(), ParseErrorKind::TooLarge.at(1));
}

/// `a=rtpmap:31 LPC`, as RFC 4475 has it: readable, and a format nobody knows; PCMU needs no map at all.
#[test]
fn a_map_without_its_rate() {
    let text = with("m=audio 9 RTP/AVP 0 97\r\na=rtpmap:0 PCMU\r\na=rtpmap:97 iLBC\r\n");
    let media = parse(&text).unwrap().media.remove(0);
    assert_eq!((media.rtp_map(0), media.rtp_map(97)), (None, None));
}

/// Text of ours cannot break out of its line.
#[test]
fn nothing_is_smuggled_into_a_line() {
    assert_eq!(Text::from("a\r\nm=audio\0").as_bytes(), b"am=audio");
}

/// Every prefix of a description is read or refused.
#[test]
fn every_prefix() {
    let text = with(
        "m=audio 9 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n",
    );
    for end in 0..text.len() {
        if let Ok(description) = parse(&text[..end]) {
            read_all(&description);
        }
    }
}

/// Calls every accessor, and writes and reads again.
fn read_all(description: &Description) {
    for media in &description.media {
        let _ = (media.ptime(), media.rtcp(), media.is_rtp(), description.direction_of(media));
        let _ = description.connection_of(media).map(Connection::ip);
        for format in &media.formats {
            let _ = media.format_parameters(format);
        }
        for payload_type in media.payload_types() {
            let _ = media.rtp_map(payload_type);
        }
    }
    let once = description.write();
    let again = Description::parse(&once).unwrap();
    assert_eq!(again.write(), once);
}

/// The part of a SIP message, or of a file of them, from each `v=` at the start of a line.
fn bodies(bytes: &[u8]) -> Vec<&[u8]> {
    let starts = (0..bytes.len())
        .filter(|&at| bytes[at..].starts_with(b"v=") && (at == 0 || bytes[at - 1] == b'\n'));
    starts
        .map(|start| {
            let rest = &bytes[start..];
            let end = rest.windows(4).position(|w| w == b"\r\n\r\n").map(|end| end + 2);
            let bare = rest.windows(2).position(|w| w == b"\n\n").map(|end| end + 1);
            &rest[..end.into_iter().chain(bare).min().unwrap_or(rest.len())]
        })
        .collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Every body of the corpus is read or refused; of each RFC folder and each crash it is known which.
#[test]
fn the_bodies_of_the_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus");
    let mut all = Vec::new();
    files(&corpus, &mut all);
    all.sort();
    let mut table = String::new();
    for path in all {
        // The flows are YAML with the messages indented: taken out of it, line by line.
        let mut bytes = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|e| e == "yaml") {
            let text = String::from_utf8(bytes).unwrap();
            bytes = text
                .lines()
                .map(|l| format!("{}\n", l.strip_prefix("  ").unwrap_or("")))
                .collect::<String>()
                .into();
        }
        let (mut good, mut bad) = (0, Vec::new());
        for body in bodies(&bytes) {
            match Description::parse(body) {
                Ok(description) => {
                    read_all(&description);
                    good += 1;
                }
                Err(error) => bad.push(error.to_string()),
            }
        }
        bad.dedup();
        let name = path.strip_prefix(&corpus).unwrap().to_str().unwrap();
        if good > 0 || !bad.is_empty() {
            table += &format!(
                "{name}: {good} read; {}\n",
                if bad.is_empty() { "none refused".to_owned() } else { bad.join("; ") }
            );
        }
    }
    insta::assert_snapshot!(table);
}

proptest! {
    #[test]
    fn noise_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Description::parse(&bytes);
    }

    /// Lines that look like SDP.
    #[test]
    fn almost_sdp(lines in prop::collection::vec(
        ("[vosctmabik ]", "=?", r"(rtpmap|fmtp|rtcp|ptime|sendonly|audio|IN|IP4|RTP/AVP|[ -~]{0,6}|[0-9]{0,11}|[:/ \r\x00é]){0,7}"),
        0..20,
    )) {
        let tail: String = lines.iter().map(|(a, b, c)| format!("{a}{b}{c}\n")).collect();
        if let Ok(description) = parse(&with(&tail)) {
            read_all(&description);
        }
        let _ = parse(&tail);
    }
}
