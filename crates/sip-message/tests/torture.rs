//! RFC 4475 and RFC 5118, message by message: what a server that does the obvious with this crate would answer.
//! The verdicts are those of `corpus/EXPECTED.tsv`.

mod corpus;

use bytes::Bytes;
use sip_message::{Contacts, Message, Method, Name, Request, Scheme, write};

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Drop,
    Reject(u16),
    Accept,
}

/// A proxy, registrar and UAS that understands no extension and knows the methods of this crate.
fn verdict(bytes: &[u8]) -> Verdict {
    match Message::parse(Bytes::copy_from_slice(bytes)) {
        Err(bad) => match bad.request {
            Some(_) => Verdict::Reject(bad.error.kind.status()),
            None => Verdict::Drop,
        },
        Ok(Message::Response(response)) => match response.check() {
            Ok(_) => Verdict::Accept,
            Err(_) => Verdict::Drop,
        },
        Ok(Message::Request(request)) => match serve(&request) {
            Ok(()) => Verdict::Accept,
            Err(status) => Verdict::Reject(status),
        },
    }
}

fn serve(request: &Request) -> Result<(), u16> {
    request.check().map_err(|e| e.kind.status())?;
    let uri = request.uri().map_err(|_| 400u16)?;
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return Err(416);
    }
    if request.max_forwards() == Ok(Some(0)) {
        return Err(483);
    }
    if request.tokens(Name::ProxyRequire).next().is_some() {
        return Err(420);
    }
    if request.method() == Method::Register {
        let aor = request.to().and_then(|to| to.uri()).map_err(|_| 400u16)?;
        if !matches!(aor.scheme, Scheme::Sip | Scheme::Sips) {
            return Err(400);
        }
        let digest =
            request.credentials(Name::Authorization).all(|c| c.is_ok_and(|c| c.is_digest()));
        if !digest {
            return Err(401);
        }
    }
    Ok(())
}

/// The statuses that a row allows; `None`: it must be accepted.
fn wanted(action: &str) -> Option<Vec<Verdict>> {
    use Verdict::{Accept, Drop, Reject};
    Some(match action {
        "accept"
        | "200"
        | "proxy forwards; UAS 415"
        | "UAS 406 (Warning 399) or 400; proxy forwards" => {
            return None;
        }
        "drop" => vec![Drop],
        "400" | "registrar 400; proxy forwards" => vec![Reject(400)],
        "505" => vec![Reject(505)],
        "420" => vec![Reject(420)],
        "416" => vec![Reject(416)],
        "416 (or 404)" => vec![Reject(416), Reject(404)],
        "501 (or 400)" => vec![Reject(501), Reject(400)],
        "proxy 483; UAS accept" => vec![Reject(483)],
        "registrar 401 (or ignore); proxy forwards" => vec![Reject(401)],
        "400 (may repair)" | "400 (may ignore)" => vec![Reject(400)],
        "400 or ignore" | "400 or accept" => vec![Reject(400), Accept],
        "no claim" => vec![Reject(400), Drop],
        other if other.starts_with("400 (UDP)") => vec![Reject(400)],
        other => panic!("EXPECTED.tsv says something new: {other}"),
    })
}

#[test]
fn every_message_gets_the_verdict_of_the_rfc() {
    let rows = corpus::expected();
    assert_eq!(rows.len(), 62);
    let mut wrong = Vec::new();
    for row in &rows {
        assert_eq!(corpus::file(&row.file).len(), row.bytes, "{} was changed", row.file);
        // Needs a transaction, not a reading: a stray 200 towards a broadcast address.
        let stray = row.file == "rfc4475/bcast.dat";
        let got = verdict(&corpus::wire(row));
        let fits = match wanted(&row.action) {
            None => got == Verdict::Accept,
            Some(_) if stray => got == Verdict::Accept,
            Some(allowed) => allowed.contains(&got),
        };
        if !fits {
            wrong.push(format!("{}: {got:?}, expected {}", row.file, row.action));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn valid_messages_are_written_as_they_came() {
    let mut count = 0;
    for row in corpus::expected() {
        let bytes = corpus::wire(&row);
        let Ok(message) = Message::parse(Bytes::from(bytes.clone())) else { continue };
        let mut out = Vec::new();
        write::message(&message, &mut out);
        assert!(bytes.starts_with(&out), "{}: {}", row.file, out.escape_ascii());
        if row.file != "rfc4475/dblreq.dat" {
            assert_eq!(out.len(), bytes.len(), "{}", row.file);
        }
        count += 1;
    }
    assert!(count >= 45, "only {count} parsed");
}

fn request(file: &str) -> Request {
    match Message::parse(Bytes::from(corpus::file(file))) {
        Ok(Message::Request(request)) => request,
        other => panic!("{file}: {other:?}"),
    }
}

#[test]
fn values_of_the_hard_ones() {
    let r = request("rfc4475/wsinv.dat");
    assert_eq!(r.vias().count(), 3);
    assert_eq!(r.via().expect("Via").branch, Some(&b"390skdjuw"[..]));
    assert_eq!(r.max_forwards(), Ok(Some(68)));
    assert_eq!(r.cseq().expect("CSeq").number, 9);
    assert_eq!(r.from().expect("From").tag(), Some(&b"98asjd8"[..]));
    assert_eq!(r.to().expect("To").tag(), Some(&b"1918181833n"[..]));
    assert!(r.routes().next().expect("Route").expect("Route").uri().expect("URI").is_loose());

    let r = request("rfc4475/intmeth.dat");
    assert_eq!(r.method().as_bytes(), b"!interesting-Method0123456789_*+`.%indeed'~");
    assert_eq!(r.uri().expect("URI").host_bytes, b"example.com");
    assert_eq!(r.from().expect("From").tag(), Some(&b"_token~1'+`*%!-."[..]));

    let r = request("rfc4475/esc02.dat");
    assert_ne!(r.method(), Method::Register);
    let Ok(Contacts::List(contacts)) = r.contacts() else { panic!("contacts") };
    assert_eq!(contacts.count(), 2);

    let r = request("rfc4475/longreq.dat");
    assert_eq!(r.vias().count(), 34);

    let r = request("rfc4475/mpart01.dat");
    assert_eq!(r.body().len(), 553);

    let r = request("rfc4475/cparam01.dat");
    let Ok(Contacts::List(mut contacts)) = r.contacts() else { panic!("contacts") };
    let contact = contacts.next().expect("one").expect("good");
    assert!(contact.param("unknownparam").is_some());
    assert!(contact.uri().expect("URI").param("unknownparam").is_none());

    let r = request("rfc4475/bext01.dat");
    let tags: Vec<&[u8]> = r.tokens(Name::ProxyRequire).collect();
    assert_eq!(tags, [&b"noProxiesSupportThis"[..], b"norDoAnyProxiesSupportThis"]);

    let r = request("rfc5118/wire/port-ambiguous.dat");
    let uri = r.uri().expect("URI");
    assert_eq!((uri.host_bytes, uri.port), (&b"[2001:db8::10:5070]"[..], None));
}

/// A line end that only some readers see would carry headers past us: into a header of ours, or behind a blank line
/// that is none for the next hop.
#[test]
fn half_line_ends_are_refused() {
    let good = corpus::file("rfc4475/lwsdisp.dat");
    assert_eq!(verdict(&good), Verdict::Accept);
    for half in ["\n", "\r", "\n\n", "\r\r", "\r\r\n", "\n\r"] {
        let smuggled =
            format!("Subject: x{half}P-Asserted-Identity: <sip:boss@example.com>\r\nl: 0");
        let text = String::from_utf8_lossy(&good).replace("l: 0", &smuggled);
        assert_eq!(verdict(text.as_bytes()), Verdict::Reject(400), "{half:?}");
    }
}
