//! Bans by hand: in force and on disk before the answer. It closes the connections of whom it keeps out.

use serde_json::{Value, json};
use sip_core::ban::{LONGEST, Reason, Row};
use sip_core::config::Network;
use sip_core::time::Duration;
use store::BanWrite;
use tokio::net::unix::OwnedWriteHalf;

use super::server::{Desk, Refused, send};
use crate::observe::log::timestamp;

impl Desk {
    pub(super) async fn bans(&self, write: &mut OwnedWriteHalf) -> Result<Value, Refused> {
        let now = self.shell.clock.now();
        let rows = self.shell.shared.bans.rows();
        for row in &rows {
            let why = match row.reason {
                Reason::Operator => "operator",
                Reason::Guessing => "guessed passwords",
            };
            let item = json!({
                "network": row.network.to_string(),
                "until": timestamp(row.until),
                "ends_s": row.until.since(now).as_secs(),
                "why": why,
            });
            send(write, &json!({"item": item})).await?;
        }
        Ok(json!({"v": 1, "ok": true, "count": rows.len()}))
    }

    pub(super) async fn ban_add(&self, network: &str, seconds: u64) -> Result<Value, Refused> {
        let network = read(network)?;
        let lasts = Duration::from_secs(seconds.max(1)).min(LONGEST);
        let row = Row { network, until: self.shell.clock.now() + lasts, reason: Reason::Operator };
        let Ok(made_room) = self.shell.shared.bans.add(&row) else {
            let message =
                "there are as many banned networks as there can be; remove one".to_owned();
            return Err(Refused::new("full", message));
        };
        self.shell.streams.close_all_of(&network);
        if let Some(first) = made_room {
            self.accounts.write_ban(BanWrite::Remove(first)).await?;
        }
        self.accounts.write_ban(BanWrite::Put(row)).await?;
        Ok(json!({"v": 1, "ok": true, "network": network.to_string(), "seconds": lasts.as_secs()}))
    }

    pub(super) async fn ban_remove(&self, network: &str) -> Result<Value, Refused> {
        let network = read(network)?;
        let was_there = self.shell.shared.bans.remove(&network);
        self.accounts.write_ban(BanWrite::Remove(network)).await?;
        if was_there {
            return Ok(json!({"v": 1, "ok": true, "network": network.to_string()}));
        }
        Err(Refused::new("unknown-ban", format!("{network} is not banned; see `ringway ban list`")))
    }
}

fn read(text: &str) -> Result<Network, Refused> {
    let network = text.parse::<Network>().map_err(|_| {
        let message = format!("{text} is no address or network, such as 192.0.2.7 or 192.0.2.0/24");
        Refused::new("bad-network", message)
    })?;
    if network.prefix == 0 {
        return Err(Refused::new("bad-network", "that is everybody".to_owned()));
    }
    // A single IPv6 address is its /64: one subscriber has as many as he likes.
    let is_host = network.address.is_ipv6() && network.prefix > 64;
    Ok(if is_host { sip_core::ban::source_of(network.address) } else { network })
}
