//! Our phones as somebody types them: `ringway register|call|message` in a process of its own, known by its output, its exit code
//! and what it recorded.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::audio;
use crate::child::Child;
use crate::subject::{DOMAIN, PASSWORD, Server};
use crate::world::{self, World};

/// Nothing here takes so long; a machine that is busy elsewhere may.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// A tone must be heard so long before it counts as heard.
pub const HEARD_MS: u32 = 500;

static STARTED: AtomicU32 = AtomicU32::new(0);

pub struct Phone {
    child: Child,
    name: String,
    recording: PathBuf,
}

/// How a phone ended.
#[derive(Debug)]
pub struct End {
    pub name: String,
    pub code: i32,
    /// Everything it said, on both streams.
    pub text: String,
}

impl Phone {
    /// `ringway words...` as `user` of our domain, with the subject as outbound proxy.
    pub fn start(world: &World, server: &Server, user: &str, words: &[&str]) -> Result<Self> {
        Self::through(world, &server.address.to_string(), user, PASSWORD, words)
    }

    /// The same with another way there, as `tcp:127.0.0.1:5060`, and another password.
    pub fn through(
        world: &World,
        proxy: &str,
        user: &str,
        password: &str,
        words: &[&str],
    ) -> Result<Self> {
        let name = format!("{user}-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(world::ringway());
        command.args(words).args(["--from", &format!("{user}@{DOMAIN}"), "--proxy", proxy]);
        // A busy machine is no dead server.
        command.args(["--password-env", "PHONE_PASSWORD", "--timeout", "30s"]);
        command.env("PHONE_PASSWORD", password).current_dir(&world.folder);
        let recording = world.folder.join(format!("{name}.wav"));
        if words.first() == Some(&"call") {
            command.arg("--record").arg(&recording);
        }
        let child = Child::start(&world.folder, &name, &mut command)?;
        Ok(Self { child, name, recording })
    }

    /// A phone that waits for calls, once it is registered.
    pub fn listening(world: &World, server: &Server, user: &str, words: &[&str]) -> Result<Self> {
        let words = [&["call", "--listen"], words].concat();
        let mut phone = Self::start(world, server, user, &words)?;
        phone.says("registered")?;
        Ok(phone)
    }

    /// Waits until it says `text`.
    pub fn says(&mut self, text: &str) -> Result<()> {
        self.child.says(text, PATIENCE)
    }

    /// Waits until it ends by itself.
    pub fn end(&mut self) -> Result<End> {
        let status = self.child.wait(PATIENCE)?;
        let code = status.code().with_context(|| format!("{}: {status}", self.name))?;
        Ok(End { name: self.name.clone(), code, text: self.child.output() })
    }

    /// Waits until it ends by itself, with this exit code.
    pub fn ends_with(&mut self, code: i32) -> Result<End> {
        let end = self.end()?;
        if end.code != code {
            bail!("{} ended with {} instead of {code}: {}", end.name, end.code, end.line());
        }
        Ok(end)
    }

    /// As Ctrl-C: it says goodbye and ends with 130.
    pub fn interrupt(&mut self) -> Result<End> {
        world::command(&["kill", "-INT", &self.child.id().to_string()])?;
        self.ends_with(130)
    }

    /// The recording of its call with this number, from 1.
    fn recording(&self, call: u32) -> PathBuf {
        match call {
            1 => self.recording.clone(),
            _ => self.recording.with_file_name(format!("{}-{call}.wav", self.name)),
        }
    }

    /// The tone was heard in its first call.
    pub fn heard(&self, hertz: u32) -> Result<()> {
        let heard = audio::heard_ms(&self.recording(1), hertz);
        if heard < HEARD_MS {
            bail!("{} heard {hertz} Hz for {heard} ms: {}", self.name, self.child.tail());
        }
        Ok(())
    }

    /// The tone was heard, then not, then again, in its first call.
    pub fn heard_again(&self, hertz: u32) -> Result<()> {
        let bursts = audio::bursts(&self.recording(1), hertz);
        if bursts < 2 {
            bail!("{} heard {hertz} Hz {bursts} times: {}", self.name, self.child.tail());
        }
        Ok(())
    }

    /// Waits until the tone was heard in the call with this number, which goes on.
    pub fn hears(&mut self, call: u32, hertz: u32) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let heard = audio::heard_ms(&self.recording(call), hertz);
            if heard >= HEARD_MS {
                return Ok(());
            }
            if Instant::now() > end || !self.child.running() {
                let tail = self.child.tail();
                bail!("{} heard {hertz} Hz for {heard} ms in call {call}: {tail}", self.name);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl End {
    /// Its one object; the last one, if there are several.
    pub fn object(&self) -> Result<Value> {
        let last = self.text.lines().rfind(|line| line.starts_with('{'));
        let last =
            last.with_context(|| format!("{} printed no object: {}", self.name, self.text))?;
        serde_json::from_str(last).with_context(|| format!("{}: {last}", self.name))
    }

    /// It said all of these, in this order.
    pub fn said(&self, words: &[&str]) -> Result<()> {
        let mut rest = self.text.as_str();
        for word in words {
            let Some(at) = rest.find(word) else {
                bail!("{} did not say `{word}` (of {words:?}): {}", self.name, self.line());
            };
            rest = rest.get(at + word.len()..).unwrap_or_default();
        }
        Ok(())
    }

    fn line(&self) -> String {
        self.text.trim().replace('\n', " / ")
    }
}
