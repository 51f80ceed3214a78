//! A baresip phone in a place of its own, with its SIP trace: what it sent and heard is in its log.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Place;
use crate::audio::sine;
use crate::child::Child;
use crate::peer::control::Control;
use crate::subject::{DOMAIN, PASSWORD};
use crate::world::{SERVER, World};

const CONTROL_PORT: u16 = 4444;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// How a phone is set up.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub name: &'a str,
    pub transport: Transport,
    /// Seconds it asks to be registered for; 0: it does not register.
    pub register: u32,
}

pub struct Phone {
    pub name: String,
    child: Child,
    control: Control,
    _place: Place,
}

impl Phone {
    /// Starts it and waits until it is registered, if it is to be.
    pub fn start(world: &World, place: Place, line: &Line<'_>) -> Result<Self> {
        let Line { name, transport, register } = *line;
        let folder = world.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let transport = transport.name();
        let account = format!(
            "<sip:{name}@{DOMAIN};transport={transport}>;auth_user={name};auth_pass={PASSWORD};\
             outbound=\"sip:{SERVER};transport={transport}\";regint={register};answermode=auto\n"
        );
        std::fs::write(folder.join("accounts"), account)?;
        std::fs::write(folder.join("contacts"), "")?;
        let tone = folder.join("tone.wav");
        std::fs::write(&tone, sine(440, 30))?;
        std::fs::write(folder.join("config"), config(&place, &tone))?;
        let mut command = place.namespace.enter("baresip");
        command.args(["-4", "-s", "-f"]).arg(&folder).current_dir(&folder).env("HOME", &folder);
        let mut child = Child::start(&folder, "baresip", &mut command)?;
        let control = Control::connect(&mut child, (&*place.control, CONTROL_PORT))?;
        let mut phone = Self { name: name.to_owned(), child, control, _place: place };
        if register > 0 {
            phone.waits_for("a registration", |log| answered(log, "REGISTER") > 0)?;
        }
        Ok(phone)
    }

    pub fn log(&self) -> String {
        self.child.output()
    }

    /// How often `text` is in its log.
    pub fn count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// How many 200s to this method it has sent or heard.
    pub fn answered(&self, method: &str) -> usize {
        answered(&self.log(), method)
    }

    pub fn waits_for(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> Result<()> {
        self.waits_at_most(Duration::from_secs(15), what, holds)
    }

    pub fn waits_at_most(
        &mut self,
        limit: Duration,
        what: &str,
        holds: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        while !holds(&self.log()) {
            if Instant::now() > end || !self.child.running() {
                bail!("{}: no {what} in {} s: {}", self.name, limit.as_secs(), self.last());
            }
            self.control.read(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// The last messages of its trace, without their bodies.
    fn last(&self) -> String {
        let log = self.log();
        let is_first =
            |line: &&str| line.starts_with("SIP/2.0 ") || line.trim_end().ends_with(" SIP/2.0");
        let lines: Vec<&str> = log.lines().filter(is_first).map(str::trim_end).collect();
        lines.iter().skip(lines.len().saturating_sub(4)).copied().collect::<Vec<_>>().join(" / ")
    }

    pub fn command(&mut self, command: &str, parameters: &str) -> Result<()> {
        self.control.command(command, parameters)
    }

    /// Waits for one more event of this type than `before`.
    pub fn event(&mut self, wanted: &str, before: usize, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while self.events(wanted) <= before {
            if Instant::now() > end || !self.child.running() {
                let (name, seconds) = (&self.name, limit.as_secs());
                bail!("{name}: no {wanted} in {seconds} s: {}", self.last());
            }
            self.control.read(Duration::from_millis(50))?;
        }
        Ok(())
    }

    pub fn events(&self, wanted: &str) -> usize {
        self.control.events.iter().filter(|event| event["type"] == wanted).count()
    }
}

/// 200s to this method in a trace.
fn answered(log: &str, method: &str) -> usize {
    let is_answer = |message: &&str| {
        let head = message.split("\r\n\r\n").next().unwrap_or_default();
        head.lines().any(|line| line.starts_with("CSeq:") && line.contains(method))
    };
    log.split("SIP/2.0 200 OK").skip(1).filter(is_answer).count()
}

fn config(place: &Place, tone: &Path) -> String {
    let Place { address, control, .. } = place;
    format!(
        "poll_method epoll\nsip_listen {address}:5060\nnet_interface eth0\ncall_local_timeout 30\ncall_max_calls 4\n\
         audio_source aufile,{}\naudio_player aufile,/dev/null\naudio_alert aufile,/dev/null\nausrc_srate 8000\n\
         auplay_srate 8000\nausrc_channels 1\nauplay_channels 1\nmodule_path /usr/lib/baresip/modules\n\
         module g711.so\nmodule aufile.so\nmodule_tmp uuid.so\nmodule_tmp account.so\n\
         module_app menu.so\nmodule_app ctrl_tcp.so\nctrl_tcp_listen {control}:{CONTROL_PORT}\n",
        tone.display()
    )
}
