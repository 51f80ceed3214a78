//! baresip as a phone, driven over its control port: it sends a sine of its own pitch and records what it hears. And two of them
//! that register with digest, call, and hear each other's tone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::control::Control;
use crate::audio;
use crate::child::Child;
use crate::subject::{PASSWORD, Server, Settings};
use crate::world::World;

const ALICE_HZ: u32 = 440;
const BOB_HZ: u32 = 1000;
/// Nothing here takes so long; a machine that is busy elsewhere may.
const PATIENCE: Duration = Duration::from_secs(60);
/// A tone must be heard so long before it counts as heard.
const HEARD_MS: u32 = 1000;

pub fn call(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).old_digest())?;
    let mut alice = Phone::start(world, &server, "alice", 7300, ALICE_HZ, "manual")?;
    let mut bob = Phone::start(world, &server, "bob", 7400, BOB_HZ, "auto")?;
    alice.command("dial", "sip:bob@example.com")?;
    alice.event("CALL_ESTABLISHED")?;
    bob.event("CALL_ESTABLISHED")?;
    alice.hears(BOB_HZ)?;
    bob.hears(ALICE_HZ)?;
    alice.command("hangup", "")?;
    bob.event("CALL_CLOSED")?;
    server.healthy()?;
    Ok(format!(
        "both registered; alice heard {BOB_HZ} Hz, bob heard {ALICE_HZ} Hz; BYE reached the callee"
    ))
}

pub struct Phone {
    child: Child,
    name: String,
    control: Control,
    recordings: PathBuf,
}

impl Phone {
    /// Starts it and waits until it is registered. `port` is its SIP port; its control and RTP ports follow from it.
    pub fn start(
        world: &World,
        server: &Server,
        name: &str,
        port: u16,
        hertz: u32,
        answer: &str,
    ) -> Result<Self> {
        let folder = world.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let recordings = folder.join("heard");
        std::fs::create_dir_all(&recordings)?;
        let tone = folder.join("tone.wav");
        // It hangs up at the end of the file.
        std::fs::write(&tone, audio::sine(hertz, 120))?;
        std::fs::write(folder.join("config"), config(port, &tone, &recordings))?;
        let account = format!(
            "<sip:{name}@example.com;transport=udp>;auth_user={name};auth_pass={PASSWORD};outbound=\"sip:{}\";regint=60;answermode={answer}\n",
            server.address
        );
        std::fs::write(folder.join("accounts"), account)?;
        std::fs::write(folder.join("contacts"), "")?;
        let mut command = Command::new("baresip");
        // -s: every message into its log.
        command.args(["-4", "-s", "-f"]).arg(&folder).current_dir(&folder).env("HOME", &folder);
        let mut child = Child::start(&folder, "baresip", &mut command)?;
        let control = Control::connect(&mut child, ("127.0.0.1", port + 50))?;
        // It may register before its control port is open, so the event could be missed; its log cannot.
        child.says("[1 binding]", PATIENCE)?;
        Ok(Self { child, name: name.into(), control, recordings })
    }

    pub fn command(&mut self, command: &str, parameters: &str) -> Result<()> {
        self.control.command(command, parameters)
    }

    /// Waits for an event of this type.
    pub fn event(&mut self, wanted: &str) -> Result<()> {
        self.event_with(wanted, "")
    }

    /// Waits for an event of this type in a call with this peer.
    pub fn event_with(&mut self, wanted: &str, peer: &str) -> Result<()> {
        let fits = |event: &Value| {
            event["type"] == wanted && event["peeruri"].as_str().is_some_and(|p| p.contains(peer))
        };
        let end = Instant::now() + PATIENCE;
        while !self.control.events.iter().any(fits) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.child.running() {
                let seen: Vec<_> =
                    self.control.events.iter().filter_map(|e| e["type"].as_str()).collect();
                bail!(
                    "{} saw no {wanted} {peer} in {} s, only {seen:?}: {}",
                    self.name,
                    PATIENCE.as_secs(),
                    self.child.tail()
                );
            }
            self.read(left)?;
        }
        Ok(())
    }

    /// Waits until its log of messages holds `text`.
    pub fn says(&mut self, text: &str) -> Result<()> {
        self.child.says(text, PATIENCE)
    }

    fn read(&mut self, limit: Duration) -> Result<()> {
        self.control.read(limit)
    }

    /// Waits until the recording of one of its calls holds a clear tone of this pitch. After a hold it records no more.
    pub fn hears(&mut self, hertz: u32) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let heard = self.heard_ms(hertz);
            if heard >= HEARD_MS {
                return Ok(());
            }
            if Instant::now() > end || !self.child.running() {
                bail!("{} heard {hertz} Hz for {heard} ms: {}", self.name, self.child.tail());
            }
            self.read(Duration::from_millis(100))?;
        }
    }

    /// In the call where it was heard longest.
    fn heard_ms(&self, hertz: u32) -> u32 {
        let files = std::fs::read_dir(&self.recordings).into_iter().flatten().flatten();
        let paths = files.map(|entry| entry.path());
        let decoded = paths.filter(|path| path.to_string_lossy().ends_with("-dec.wav"));
        decoded.map(|path| audio::heard_ms(&path, hertz)).max().unwrap_or(0)
    }
}

/// The range of its RTP ports, by its SIP port.
pub fn rtp_ports(port: u16) -> String {
    format!("{}-{}", port + 9000, port + 9098)
}

fn config(port: u16, tone: &Path, recording: &Path) -> String {
    format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{port}\nsip_trans_def udp\nnet_interface lo\ncall_local_timeout 30\n\
         call_max_calls 4\nsnd_path {}\naudio_source aufile,{}\naudio_alert aufile,/dev/null\nausrc_srate 8000\n\
         auplay_srate 8000\nausrc_channels 1\nauplay_channels 1\nrtp_ports {}\nmodule_path /usr/lib/baresip/modules\n\
         statmode_default off\nmodule g711.so\nmodule aufile.so\nmodule sndfile.so\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n\
         module_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{}\n",
        recording.display(),
        tone.display(),
        rtp_ports(port),
        port + 50
    )
}
