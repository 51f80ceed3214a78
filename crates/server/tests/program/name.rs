//! Names that the operator has written down, with no name server anywhere (`dns.hosts`): a caller reaches them.

use crate::world::{Folder, Phone, Server};

#[test]
fn the_hosts_file_is_asked_first_and_read_again() {
    let folder = Folder::new();
    folder.write(
        "ringway.toml",
        "[sip]\ndomains = [\"127.0.0.1\"]\nallow_outbound = true\n[auth]\nenabled = false\n\
         [dns]\nservers = [\"127.0.0.1:1\"]\nhosts = \"hosts\"\nallow_local = true\n",
    );
    folder.write("hosts", "127.0.0.1 gateway.example.org # ours\n");
    let server = Server::start(&folder, &["--log", "off"]);
    let (mut alice, gateway) = (Phone::new(&server, "alice"), Phone::new(&server, "gateway"));
    let port = gateway.local().port();
    let mut ask = |name: &str| {
        let uri = format!("sip:bob@{name}:{port}");
        let request = alice.request("OPTIONS", &uri, &format!("<{uri}>"), "");
        alice.send(&request);
    };
    ask("gateway.example.org");
    assert!(gateway.next().starts_with("OPTIONS sip:bob@gateway.example.org"));
    folder.write("hosts", "127.0.0.1 gateway.example.org other.example.org\n");
    ask("other.example.org");
    assert!(gateway.next().starts_with("OPTIONS sip:bob@other.example.org"));
    // Nobody knows this one: the only name server there is refuses.
    let (status, _) = Phone::new(&server, "carol").ask("OPTIONS", "sip:bob@more.example.org", "");
    assert_eq!(status, 478);
}

/// Another file by a reload: what was not known before is known at once, though it was only just looked up.
#[test]
fn another_hosts_file_by_a_reload() {
    let folder = Folder::new();
    let file = |hosts: &str| {
        format!(
            "[sip]\ndomains = [\"127.0.0.1\"]\nallow_outbound = true\n[auth]\nenabled = false\n\
             [dns]\nservers = [\"127.0.0.1:1\"]\nhosts = \"{hosts}\"\nallow_local = true\n"
        )
    };
    folder.write("ringway.toml", &file(""));
    folder.write("hosts", "127.0.0.1 gateway.example.org\n");
    let server = Server::start(&folder, &["--log", "off"]);
    let (mut alice, gateway) = (Phone::new(&server, "alice"), Phone::new(&server, "gateway"));
    let uri = format!("sip:bob@gateway.example.org:{}", gateway.local().port());
    assert_eq!(alice.ask("OPTIONS", &uri, "").0, 478);
    folder.write("ringway.toml", &file("hosts"));
    assert_eq!(folder.ok(&["reload"]), "changed\tdns.hosts\tnone\thosts\n");
    let request = alice.request("OPTIONS", &uri, &format!("<{uri}>"), "");
    alice.send(&request);
    assert!(gateway.next().starts_with("OPTIONS sip:bob@gateway.example.org"));
}
