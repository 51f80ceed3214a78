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
