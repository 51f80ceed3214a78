//! A registrar that does what ours does not: nextnonce (RFC 7616 §3.5), odd 423s, Retry-After.

use super::*;

fn registered(lab: &mut Lab) {
    lab.command(Command::Register { expires: Duration::from_secs(100) });
}

/// RFC 7616 §3.5, §3.4: the nonce for the next request, whose count begins at one.
#[test]
fn the_next_nonce() {
    let mut lab = Lab::new(settings());
    registered(&mut lab);
    let asks = "WWW-Authenticate: Digest realm=\"r\", nonce=\"one\", qop=\"auth\"\r\n";
    lab.answer("REGISTER", 401, "r", asks, "");
    assert!(lab.last().contains("nonce=\"one\"") && lab.last().contains("nc=00000001"));
    lab.answer(
        "REGISTER",
        200,
        "r",
        "Authentication-Info: nextnonce=\"two\"\r\nExpires: 100\r\n",
        "",
    );
    lab.pass(Duration::from_secs(60));
    let refresh = lab.last();
    assert!(refresh.contains("nonce=\"two\"") && refresh.contains("nc=00000001"), "{refresh}");
    assert!(refresh.contains("\r\nCSeq: 3 REGISTER\r\n"), "{refresh}");
    // The same nonce again counts on.
    lab.answer("REGISTER", 200, "r", "Expires: 100\r\n", "");
    lab.pass(Duration::from_secs(60));
    assert!(lab.last().contains("nc=00000002"), "{}", lab.last());
    let Some(Event::Registered(report)) = lab.events.last() else { panic!("{:?}", lab.events) };
    assert_eq!(report.algorithm, Some(crate::config::Algorithm::Md5));
}

/// RFC 3261 §10.2.8: a 423 that asks for nothing longer is a refusal; one that always asks for more is not believed for
/// ever.
#[test]
fn odd_423s() {
    let mut lab = Lab::new(settings());
    registered(&mut lab);
    lab.answer("REGISTER", 423, "r", "Min-Expires: 50\r\n", "");
    let [Event::RegistrationFailed { retry: None, .. }] = &lab.events[..] else { panic!() };
    let mut lab = Lab::new(settings());
    registered(&mut lab);
    for least in [200, 400, 800, 1600] {
        lab.answer("REGISTER", 423, "r", &format!("Min-Expires: {least}\r\n"), "");
    }
    assert!(matches!(lab.events[..], [Event::RegistrationFailed { .. }]), "{:?}", lab.events);
    assert!(lab.last().contains("\r\nExpires: 800\r\n"), "{}", lab.last());
}

/// RFC 3261 §20.33: the registrar says when.
#[test]
fn retry_after() {
    let mut lab = Lab::new(settings());
    registered(&mut lab);
    lab.answer("REGISTER", 503, "r", "Retry-After: 7 (restarting)\r\n", "");
    let wait = Some(Duration::from_secs(7));
    let [Event::RegistrationFailed { retry, .. }] = &lab.events[..] else { panic!() };
    assert_eq!(*retry, wait);
    lab.said();
    lab.pass(Duration::from_secs(6));
    assert!(lab.said().is_empty());
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.said(), ["REGISTER sip:192.0.2.2 SIP/2.0"]);
}

/// RFC 3261 §10.2: one REGISTER at a time; what comes meanwhile is done after it.
#[test]
fn one_at_a_time() {
    let mut lab = Lab::new(settings());
    registered(&mut lab);
    lab.command(Command::Unregister { all: true });
    assert_eq!(lab.sent.len(), 1);
    lab.answer("REGISTER", 200, "r", "", "");
    assert!(lab.last().contains("\r\nContact: *\r\nExpires: 0\r\n"), "{}", lab.last());
    lab.answer("REGISTER", 200, "r", "", "");
    assert_eq!(lab.events, [Event::Unregistered]);
    lab.pass(Duration::from_secs(40));
    assert!(lab.is_empty(), "{:?}", lab.ua.sizes());
}

/// RFC 5626 §4.1: a device says who it is.
#[test]
fn an_instance() {
    let instance = "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>";
    let mut lab = Lab::new(Settings { instance: Some(instance.into()), ..settings() });
    registered(&mut lab);
    let wanted = format!("+sip.instance=\"{instance}\";reg-id=1\r\nSupported: outbound, path\r\n");
    assert!(lab.last().contains(&wanted), "{}", lab.last());
}
