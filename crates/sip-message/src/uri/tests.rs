//! URIs: what is read, what is refused, what is the same (RFC 3261 §19.1.3, §19.1.4).

use super::*;

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn parts() {
    let u = uri("sip:alice:secret@atlanta.com:5061;transport=tcp;lr?subject=x&to=y");
    assert_eq!((u.user, u.password), (Some(&b"alice"[..]), Some(&b"secret"[..])));
    assert_eq!((u.host, u.port), (Host::Name(b"atlanta.com"), Some(5061)));
    assert_eq!(u.param("Transport"), Some(&b"tcp"[..]));
    assert!(u.is_loose());
    assert_eq!(u.headers, Some(&b"subject=x&to=y"[..]));
    let u = uri("sip:user;par=u%40example.net@example.com");
    assert_eq!((u.user, u.param("par")), (Some(&b"user;par=u%40example.net"[..]), None));
    let u = uri("tel:+358-555-1234567;postd=pp22");
    assert_eq!((u.scheme, u.user), (Scheme::Tel, Some(&b"+358-555-1234567"[..])));
    assert_eq!(u.param("postd"), Some(&b"pp22"[..]));
    assert_eq!(uri("soap.beep://192.0.2.103:3002").scheme, Scheme::Other);
    assert_eq!(uri("SIPS:[::1]").scheme, Scheme::Sips);
}

#[test]
fn refused() {
    for bad in [
        "",
        "sip:",
        "alice@atlanta.com",
        "sip:@host",
        "sip:a@",
        "sip:a@b@c",
        "sip:a b@c",
        "sip:a%4@c",
        "sip:2001:db8::10",
        "sip:h:70000",
        "sip:h;;lr",
        "sip:h;",
        "sip:h;=x",
        "<sip:h>",
        "sip:a@[::1%lo",
        "tel:",
        "tel:;x",
        "1sip:x",
        "sip:h:",
        "sip:h/x",
    ] {
        assert!(Uri::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let long = format!("sip:{}@x", "a".repeat(2000));
    assert_eq!(Uri::parse(long.as_bytes()).unwrap_err().kind, Kind::UriTooLong);
}

#[test]
fn same_and_different() {
    // The examples of RFC 3261 §19.1.4, and escapes of reserved characters.
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("URN:x:Y", "urn:x:Y"),
        ("sip:x;p=1;p=2", "sip:x;p=2;p=1"),
    ] {
        assert!(equivalent(&uri(a), &uri(b)), "{a} {b}");
        assert!(equivalent(&uri(b), &uri(a)), "{b} {a}");
    }
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a%2Cb@x", "sip:a,b@x"),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
        ("sip:a@x", "sip:x"),
        ("sip:%00@x", "sip:%00%00@x"),
    ] {
        assert!(!equivalent(&uri(a), &uri(b)), "{a} {b}");
        assert!(!equivalent(&uri(b), &uri(a)), "{b} {a}");
    }
}
