//! The control port of baresip: JSON in netstrings, commands in, events out.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::child::Child;

pub struct Control {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// All events so far.
    pub events: Vec<Value>,
}

impl Control {
    /// Waits until the port is open.
    pub fn connect(child: &mut Child, address: impl ToSocketAddrs + Copy) -> Result<Self> {
        for _ in 0..500 {
            if let Ok(stream) = TcpStream::connect(address) {
                return Ok(Self { stream, buffer: Vec::new(), events: Vec::new() });
            }
            if !child.running() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("baresip's control port does not open: {}", child.tail())
    }

    pub fn command(&mut self, command: &str, parameters: &str) -> Result<()> {
        let text = json!({ "command": command, "params": parameters, "token": "t" }).to_string();
        self.stream
            .write_all(format!("{}:{text},", text.len()).as_bytes())
            .context("baresip's control")
    }

    /// Takes in what comes within this time, 200 ms at most.
    pub fn read(&mut self, limit: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(limit.min(Duration::from_millis(200))))?;
        let mut piece = [0u8; 4096];
        if let Ok(length) = self.stream.read(&mut piece) {
            self.buffer.extend_from_slice(piece.get(..length).unwrap_or_default());
        }
        while let Some(colon) = self.buffer.iter().position(|b| *b == b':') {
            let length = std::str::from_utf8(self.buffer.get(..colon).unwrap_or_default());
            let length: usize =
                length.ok().and_then(|l| l.parse().ok()).context("baresip's control: no length")?;
            if self.buffer.len() < colon + length + 2 {
                break;
            }
            let whole: Vec<u8> = self.buffer.drain(..colon + length + 2).collect();
            let body = whole.get(colon + 1..colon + 1 + length).unwrap_or_default();
            if let Ok(event) = serde_json::from_slice::<Value>(body) {
                self.events.push(event);
            }
        }
        Ok(())
    }
}
