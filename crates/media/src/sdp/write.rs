//! `Description` -> bytes, in the order of RFC 8866 §5. It writes what it is given and decides nothing.

use super::{Attribute, Connection, Description, Line, Media};

pub(super) fn description(description: &Description) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let origin = &description.origin;
    line(&mut out, 'v', b"0");
    words(
        &mut out,
        'o',
        &[
            &origin.username,
            &origin.session_id,
            &origin.version,
            &origin.net_type,
            &origin.address_type,
            &origin.address,
        ],
    );
    line(&mut out, 's', description.name.as_bytes());
    // `i= u= e= p=` stand before `c=`, everything else after it.
    others(&mut out, &description.others, |letter| "iuep".contains(letter));
    connection(&mut out, description.connection.as_ref());
    if !description.others.iter().any(|l| l.letter == 't') {
        line(&mut out, 't', b"0 0");
    }
    others(&mut out, &description.others, |letter| !"iuep".contains(letter));
    attributes(&mut out, &description.attributes);
    for one in &description.media {
        media(&mut out, one);
    }
    out
}

fn media(out: &mut Vec<u8>, media: &Media) {
    let port = match media.port_count {
        Some(count) => format!("{}/{count}", media.port),
        None => media.port.to_string(),
    };
    let mut list: Vec<&str> = vec![&media.kind, &port, &media.transport];
    list.extend(media.formats.iter().map(String::as_str));
    words(out, 'm', &list);
    others(out, &media.others, |letter| letter == 'i');
    connection(out, media.connection.as_ref());
    others(out, &media.others, |letter| letter != 'i');
    attributes(out, &media.attributes);
}

fn line(out: &mut Vec<u8>, letter: char, value: &[u8]) {
    let mut utf8 = [0; 4];
    out.extend_from_slice(letter.encode_utf8(&mut utf8).as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn words(out: &mut Vec<u8>, letter: char, words: &[&str]) {
    line(out, letter, words.join(" ").as_bytes());
}

fn connection(out: &mut Vec<u8>, connection: Option<&Connection>) {
    if let Some(c) = connection {
        words(out, 'c', &[&c.net_type, &c.address_type, &c.address]);
    }
}

fn others(out: &mut Vec<u8>, lines: &[Line], wanted: impl Fn(char) -> bool) {
    for one in lines.iter().filter(|l| wanted(l.letter)) {
        line(out, one.letter, one.value.as_bytes());
    }
}

fn attributes(out: &mut Vec<u8>, attributes: &[Attribute]) {
    for attribute in attributes {
        let mut text = attribute.name.clone().into_bytes();
        if let Some(value) = &attribute.value {
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
        }
        line(out, 'a', &text);
    }
}
