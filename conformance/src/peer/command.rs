//! The commands an operator types first, against the running server: what they print and how they exit.

use anyhow::{Result, bail};

use crate::agent::Agent;
use crate::subject::{DOMAIN, PASSWORD, Server, Settings};
use crate::world::{LOCAL, World};

pub fn run(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice"]))?;
    let phone = Agent::new(LOCAL, server.address)?;
    phone.register("alice", PASSWORD, DOMAIN)?;
    let to = server.address.to_string();
    // Command, its exit code, and a word it prints.
    let table: [(&[&str], i32, &str); 10] = [
        (&["user", "list"], 0, "alice"),
        (&["user", "add", "bob", "--generate"], 0, "bob"),
        (&["user", "show", "bob"], 0, "bob"),
        (&["user", "show", "nobody"], 1, "nobody"),
        (&["user", "rm", "bob"], 0, ""),
        (&["regs", "list"], 0, "alice"),
        (&["status"], 0, "ringway"),
        (&["check"], 0, ""),
        (&["options", &to], 0, "200"),
        (&["options", "127.0.0.1:9", "--timeout", "500ms"], 4, ""),
    ];
    for (words, code, word) in table {
        expect(&server, words, code, word)?;
    }
    // An account added while the server runs works at once.
    expect(&server, &["user", "add", "carol", "--generate"], 0, "carol")?;
    server.healthy()?;
    Ok(format!("{} commands did and said what they should", table.len() + 1))
}

fn expect(server: &Server, words: &[&str], code: i32, word: &str) -> Result<()> {
    let (found, text) = server.subcommand(words)?;
    if found != code || !text.contains(word) {
        bail!(
            "ringway {}: exit {found} (wanted {code}), said `{}` (wanted `{word}`)",
            words.join(" "),
            text.trim()
        );
    }
    Ok(())
}
