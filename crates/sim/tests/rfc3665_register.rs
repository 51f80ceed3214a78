//! RFC 3665 §2: registration.

use sim::play;

/// §2.1: successful new registration.
#[test]
fn new_registration() {
    play("rfc3665_register/2_1_new_registration", |w| {
        let bob = w.unregistered("bob");
        w.require_passwords();
        bob.register();
        w.run();
        assert_eq!(bob.heard(), "401 200");
        assert_eq!(w.bindings("bob"), [bob.contact()]);
    });
}

/// §2.2: update of the contact list: a mail address besides the phone.
#[test]
fn update_of_contact_list() {
    play("rfc3665_register/2_2_update_of_contact_list", |w| {
        let bob = w.phone("bob");
        bob.register().contact("<sip:bob@10.0.7.7>");
        w.run();
        assert_eq!(bob.heard(), "200");
        assert_eq!(w.bindings("bob"), [bob.contact(), "sip:bob@10.0.7.7".to_owned()]);
    });
}

/// §2.3: request for the current contact list.
#[test]
fn request_for_current_contact_list() {
    play("rfc3665_register/2_3_request_for_current_contact_list", |w| {
        let bob = w.phone("bob");
        w.bind("bob", "sip:bob@10.0.7.7");
        bob.register().fetch();
        w.run();
        let answer = w.last("200 REGISTER");
        assert!(answer.contains(&bob.contact()), "{answer}");
        assert!(answer.contains("sip:bob@10.0.7.7"), "{answer}");
        assert_eq!(w.bindings("bob").len(), 2);
    });
}

/// §2.4: cancellation of registration: `Contact: *`, `Expires: 0`.
#[test]
fn cancellation_of_registration() {
    play("rfc3665_register/2_4_cancellation_of_registration", |w| {
        let bob = w.phone("bob");
        w.bind("bob", "sip:bob@10.0.7.7");
        bob.register().remove_all();
        w.run();
        assert_eq!(bob.heard(), "200");
        assert!(w.bindings("bob").is_empty());
        assert!(!w.last("200 REGISTER").contains("Contact:"));
    });
}

/// §2.5: unsuccessful registration: the wrong password.
#[test]
fn unsuccessful_registration() {
    play("rfc3665_register/2_5_unsuccessful_registration", |w| {
        let bob = w.unregistered("bob");
        bob.password("not this");
        w.require_passwords();
        bob.register();
        w.run();
        assert_eq!(bob.heard(), "401 401");
        assert!(w.bindings("bob").is_empty());
    });
}
