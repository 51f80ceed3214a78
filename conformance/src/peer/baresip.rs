//! Two baresip phones: register with digest, call, and hear each other's tone. Each sends a sine of its own pitch and records what
//! it hears; the recording must hold the other's pitch.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::control::Control;
use crate::child::Child;
use crate::subject::{PASSWORD, Server, Settings};
use crate::world::World;

const ALICE_HZ: u32 = 440;
const BOB_HZ: u32 = 1000;

pub fn call(world: &mut World) -> Result<String> {
    let mut server = world.start(&Settings::local(&["alice", "bob"]).old_digest())?;
    let mut alice = Phone::start(world, &server, "alice", 7300, ALICE_HZ, "manual")?;
    let mut bob = Phone::start(world, &server, "bob", 7400, BOB_HZ, "auto")?;
    // It may register before its control port is open, so the event could be missed; its log cannot.
    alice.child.says("200 OK", Duration::from_secs(15))?;
    bob.child.says("200 OK", Duration::from_secs(15))?;
    alice.command("dial", "sip:bob@example.com")?;
    alice.event("CALL_ESTABLISHED", Duration::from_secs(15))?;
    bob.event("CALL_ESTABLISHED", Duration::from_secs(15))?;
    // They talk for a while; the recordings are complete when the call has ended.
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        alice.read(Duration::from_millis(100))?;
        bob.read(Duration::from_millis(100))?;
    }
    alice.command("hangup", "")?;
    bob.event("CALL_CLOSED", Duration::from_secs(10))?;
    alice.hears(BOB_HZ, Duration::from_secs(10))?;
    bob.hears(ALICE_HZ, Duration::from_secs(10))?;
    server.healthy()?;
    Ok(format!(
        "both registered; alice heard {BOB_HZ} Hz, bob heard {ALICE_HZ} Hz; BYE reached the callee"
    ))
}

struct Phone {
    child: Child,
    name: String,
    control: Control,
    recording: PathBuf,
}

impl Phone {
    fn start(
        world: &World,
        server: &Server,
        name: &str,
        port: u16,
        hertz: u32,
        answer: &str,
    ) -> Result<Self> {
        let folder = world.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let recording = folder.join("heard");
        std::fs::create_dir_all(&recording)?;
        let tone = folder.join("tone.wav");
        std::fs::write(&tone, sine(hertz))?;
        std::fs::write(folder.join("config"), config(port, &tone, &recording))?;
        let account = format!(
            "<sip:{name}@example.com;transport=udp>;auth_user={name};auth_pass={PASSWORD};outbound=\"sip:{}\";regint=60;answermode={answer}\n",
            server.address
        );
        std::fs::write(folder.join("accounts"), account)?;
        std::fs::write(folder.join("contacts"), "")?;
        let mut command = Command::new("baresip");
        command.args(["-4", "-f"]).arg(&folder).current_dir(&folder).env("HOME", &folder);
        let mut child = Child::start(&folder, "baresip", &mut command)?;
        let control = Control::connect(&mut child, ("127.0.0.1", port + 50))?;
        Ok(Self { child, name: name.into(), control, recording })
    }

    fn command(&mut self, command: &str, parameters: &str) -> Result<()> {
        self.control.command(command, parameters)
    }

    /// Waits for an event of this type.
    fn event(&mut self, wanted: &str, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while !self.control.events.iter().any(|e| e == wanted) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.child.running() {
                bail!(
                    "{} saw no {wanted} in {} s, only {:?}: {}",
                    self.name,
                    limit.as_secs(),
                    self.control.events,
                    self.child.tail()
                );
            }
            self.read(left)?;
        }
        Ok(())
    }

    fn read(&mut self, limit: Duration) -> Result<()> {
        self.control.read(limit)
    }

    /// Waits until the recording holds a clear tone of this pitch.
    fn hears(&mut self, hertz: u32, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let share = tone(&self.recording, hertz);
            if share > 0.5 {
                return Ok(());
            }
            if Instant::now() > end {
                bail!(
                    "{} did not hear {hertz} Hz: its share of what it heard is {share:.2}",
                    self.name
                );
            }
            self.read(Duration::from_millis(100))?;
        }
    }
}

fn config(port: u16, tone: &Path, recording: &Path) -> String {
    format!(
        "poll_method epoll\nsip_listen 127.0.0.1:{port}\nsip_trans_def udp\nnet_interface lo\ncall_local_timeout 30\n\
         call_max_calls 4\nsnd_path {}\naudio_source aufile,{}\naudio_alert aufile,/dev/null\nausrc_srate 8000\n\
         auplay_srate 8000\nausrc_channels 1\nauplay_channels 1\nrtp_ports {}-{}\nmodule_path /usr/lib/baresip/modules\n\
         module g711.so\nmodule aufile.so\nmodule sndfile.so\nmodule_tmp uuid.so\nmodule_tmp account.so\nmodule_app menu.so\n\
         module_app ctrl_tcp.so\nctrl_tcp_listen 127.0.0.1:{}\n",
        recording.display(),
        tone.display(),
        u32::from(port) + 9000,
        u32::from(port) + 9098,
        port + 50
    )
}

/// Half a minute of one pitch: 16-bit mono at 8 kHz, as a WAV file.
pub fn sine(hertz: u32) -> Vec<u8> {
    let samples = 8000 * 30u32;
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend((36 + samples * 2).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    // PCM, one channel.
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(1u16.to_le_bytes());
    bytes.extend(8000u32.to_le_bytes());
    bytes.extend(16_000u32.to_le_bytes());
    bytes.extend(2u16.to_le_bytes());
    bytes.extend(16u16.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend((samples * 2).to_le_bytes());
    for n in 0..samples {
        let angle = 2.0 * std::f64::consts::PI * f64::from(hertz) * f64::from(n) / 8000.0;
        bytes.extend(((angle.sin() * 8000.0) as i16).to_le_bytes());
    }
    bytes
}

/// How much of the last second that was decoded is this pitch: 1 is all of it (Goertzel's filter on 16-bit mono at 8 kHz).
fn tone(recording: &Path, hertz: u32) -> f64 {
    let files =
        std::fs::read_dir(recording).into_iter().flatten().filter_map(Result::ok).map(|e| e.path());
    let heard = files.into_iter().find(|p| p.to_string_lossy().ends_with("-dec.wav"));
    let bytes = heard.and_then(|p| std::fs::read(p).ok()).unwrap_or_default();
    let samples: Vec<f64> = bytes
        .get(44..)
        .unwrap_or_default()
        .chunks_exact(2)
        .map(|b| f64::from(i16::from_le_bytes([b[0], b[1]])))
        .collect();
    let Some(samples) = samples.len().checked_sub(8000).and_then(|from| samples.get(from..)) else {
        return 0.0;
    };
    let energy: f64 = samples.iter().map(|s| s * s).sum();
    if energy < 1e6 {
        return 0.0;
    }
    let coefficient = 2.0 * (2.0 * std::f64::consts::PI * f64::from(hertz) / 8000.0).cos();
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        (before, last) = (last, sample + coefficient * last - before);
    }
    let power = before * before + last * last - coefficient * before * last;
    2.0 * power / (energy * samples.len() as f64)
}
