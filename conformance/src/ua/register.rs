//! `ringway register`: digest with the algorithm the registrar asks for, over UDP and TCP, and what a wrong password gives.

use anyhow::{Result, bail};

use super::phone::Phone;
use crate::subject::{Kind, PASSWORD, Settings};
use crate::world::World;

pub fn register(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice"]))?;
    // RFC 8760 §2.4: the first challenge one knows; Kamailio offers MD5 alone.
    let algorithm = match world.kind {
        Kind::Ringway => "SHA-256",
        Kind::Kamailio => "MD5",
    };
    for transport in ["udp", "tcp"] {
        let way = format!("{transport}:{}", server.address);
        let words = ["register", "--json", "--expires", "120"];
        let end = Phone::through(world, &way, "alice", PASSWORD, &words)?.ends_with(0)?;
        let said = end.object()?;
        let wanted = (Some("alice@example.com"), Some(algorithm), Some(120), Some(2));
        let found = (
            said["aor"].as_str(),
            said["challenge"].as_str(),
            said["expires_s"].as_u64(),
            said["round_trips"].as_u64(),
        );
        if found != wanted {
            bail!("{transport}: {said}");
        }
        let wrong = Phone::through(world, &way, "alice", "not it", &["register"])?.ends_with(5)?;
        wrong.said(&["401 again after answering", "refused the password of alice"])?;
    }
    // The bindings of both runs are there, and go all at once.
    let words = ["register", "--unregister", "--json"];
    let way = server.address.to_string();
    let gone = Phone::through(world, &way, "alice", PASSWORD, &words)?.ends_with(0)?.object()?;
    if gone["expires_s"].as_u64() != Some(0) {
        bail!("--unregister: {gone}");
    }
    server.healthy()?;
    Ok(format!("{algorithm} over UDP and TCP, a wrong password exits 5, all unregistered"))
}
