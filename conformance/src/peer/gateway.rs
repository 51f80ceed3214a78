//! A set of two gateways behind the server, both SIPp: one is too busy for any call, the other takes them all (RFC 3261
//! §16.7, §21.5.4).

use anyhow::{Result, bail};

use super::sipp::Sipp;
use crate::subject::Settings;
use crate::world::World;

const CALLS: u32 = 40;
const CALLER: u16 = 7001;
const GATEWAYS: [u16; 2] = [7002, 7003];

pub fn failover(world: &mut World) -> Result<String> {
    let settings = Settings::local(&["alice"]).old_digest().gateways(&GATEWAYS);
    let mut server = world.start(&settings)?;
    let to = server.address.to_string();
    let file = world.folder.join("callee.csv");
    std::fs::write(&file, "SEQUENTIAL\n+15551234;\n")?;
    let file = file.display().to_string();
    let mut busy = Sipp::start(world, "uas_503", GATEWAYS[0], 100_000, &[])?;
    let mut good = Sipp::start(world, "uas", GATEWAYS[1], 100_000, &[])?;
    busy.listening(GATEWAYS[0])?;
    good.listening(GATEWAYS[1])?;
    let caller = Sipp::start(world, "uac", CALLER, CALLS, &[&to, "-inf", &file, "-r", "20"])?;
    let called = caller.finish()?;
    let (refused, answered) = (busy.stop()?.good, good.stop()?.good);
    server.healthy()?;
    let all = u64::from(CALLS);
    // They take turns at being the first.
    if called.good != all || answered != all || refused != all / 2 {
        bail!(
            "{} of {all} calls, {refused} refused and {answered} answered by gateways",
            called.good
        );
    }
    Ok(format!("{all} calls: {refused} refused by the first gateway, all answered by the second"))
}
