//! What a run shall do: the typed form of `ringway load`'s flags. It knows no command line and no socket.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::verdict::FailIf;
use crate::digest::Algorithm;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// OPTIONS to the server itself.
    Options,
    /// The population refreshes its bindings, user after user.
    Register,
    /// The population keeps its bindings alive as real phones do, each at its own time.
    ReRegister,
    /// Everybody registers at once, as after a restart of the server, until all are back.
    RegisterStorm,
    /// MESSAGE between users of the population, who are registered first.
    Message,
    /// INVITE, 180, 200, ACK, BYE, 200 between users of the population, who are registered first.
    Call,
}

impl Scenario {
    pub const fn token(self) -> &'static str {
        match self {
            Scenario::Options => "options",
            Scenario::Register => "register",
            Scenario::ReRegister => "re-register",
            Scenario::RegisterStorm => "register-storm",
            Scenario::Message => "message",
            Scenario::Call => "call",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Open loop: so many units a second, whatever the server does.
    Rate(f64),
    /// Open loop at a rate that rises: where does the server break?
    Ramp(Ramp),
    /// Closed loop: so many units at the same time, the next one when one ends.
    Window(usize),
    /// Open loop: every phone refreshes once in this time, give or take; the population makes the rate.
    Refresh(Duration),
}

/// `from..to/over`: the rate rises evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// Units a second.
    pub from: f64,
    pub to: f64,
    pub over: Duration,
}

impl Ramp {
    /// Units a second so many nanoseconds after the beginning.
    pub fn rate(self, since: u64) -> f64 {
        let share = (since as f64 / self.over.as_nanos() as f64).clamp(0.0, 1.0);
        self.from + (self.to - self.from) * share
    }

    /// Seconds from there to the next unit, at `scale` times the planned rate: when the area under the rate is one more.
    pub(crate) fn interval(self, since: u64, scale: f64) -> f64 {
        let rate = self.rate(since) * scale;
        let over = Duration::from_nanos(since) >= self.over;
        let rise = if over { 0.0 } else { self.to - self.from };
        let rise = rise * scale / self.over.as_secs_f64();
        2.0 / (rate + (rate * rate + 2.0 * rise).sqrt())
    }
}

/// The population.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    names: Names,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    Numbered { prefix: String, count: u32 },
    Listed(Vec<String>),
}

impl Users {
    /// `prefix` with seven digits: `u0000000`, `u0000001` ... At least one.
    pub fn numbered(prefix: &str, count: u32) -> Self {
        Self { names: Names::Numbered { prefix: prefix.to_owned(), count: count.max(1) } }
    }

    /// None for an empty list.
    pub fn listed(names: Vec<String>) -> Option<Self> {
        (!names.is_empty()).then_some(Self { names: Names::Listed(names) })
    }

    pub fn count(&self) -> u32 {
        match &self.names {
            Names::Numbered { count, .. } => *count,
            Names::Listed(names) => names.len() as u32,
        }
    }

    pub(crate) fn push_name(&self, index: u32, out: &mut Vec<u8>) {
        match &self.names {
            Names::Numbered { prefix, .. } => {
                out.extend_from_slice(prefix.as_bytes());
                let mut digits = [b'0'; 7];
                let mut value = index;
                for digit in digits.iter_mut().rev() {
                    *digit += (value % 10) as u8;
                    value /= 10;
                }
                out.extend_from_slice(&digits);
            }
            Names::Listed(names) => {
                if let Some(name) = names.get(index as usize) {
                    out.extend_from_slice(name.as_bytes());
                }
            }
        }
    }
}

/// How challenges are answered. Every user of the population has the same password.
#[derive(Clone, Debug)]
pub struct Secret {
    pub password: String,
    /// None: the first offered one that we know (RFC 7616 §3.7).
    pub algorithm: Option<Algorithm>,
    /// Answer with the last nonce and the next `nc` before being asked, as real phones do; otherwise every unit is
    /// challenged.
    pub reuse_nonce: bool,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub target: SocketAddr,
    /// The host part of every address of record.
    pub domain: String,
    pub scenario: Scenario,
    pub pace: Pace,
    /// Time in which units are begun, after the warm-up.
    pub duration: Duration,
    /// Units begun in this time count as ok or failed, but not in latencies, rates and CPU per unit.
    pub warm_up: Duration,
    pub users: Users,
    pub secret: Option<Secret>,
    pub ring: Duration,
    pub hold: Duration,
    /// Both phones of a call send and receive RTP.
    pub sound: bool,
    /// Bytes in a MESSAGE, from..=to.
    pub sizes: (usize, usize),
    /// Seconds asked for in REGISTER.
    pub expires: u32,
    /// Our own address; the caller takes `port`, the callee `port + 1`; 0: any.
    pub bind: IpAddr,
    pub port: u16,
    /// Never more units at the same time than this, even in the open loop.
    pub active_max: usize,
    /// Leave the bindings on the server afterwards.
    pub keep_registered: bool,
    /// The server's processes, for its CPU and memory; their children are found.
    pub server_pids: Vec<u32>,
    /// What the steps of a ramp are held to.
    pub limits: Vec<FailIf>,
}

impl Plan {
    /// Units a second that a refreshing population makes.
    pub fn refresh_rate(&self) -> Option<f64> {
        match self.pace {
            Pace::Refresh(every) => Some(f64::from(self.users.count()) / every.as_secs_f64()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_begins_as_many_units_as_the_area_under_it() {
        let ramp = Ramp { from: 10.0, to: 500.0, over: Duration::from_secs(60) };
        let (mut at, mut count, mut half) = (0_u64, 0, 0);
        while at < 60_000_000_000 {
            at += (ramp.interval(at, 1.0) * 1e9) as u64;
            count += 1;
            half += u32::from(at < 30_000_000_000);
        }
        // (10 + 500) / 2 * 60, and (10 + 255) / 2 * 30 in the first half.
        assert!((15_298..=15_301).contains(&count), "{count}");
        assert!((3_973..=3_976).contains(&half), "{half}");
        assert!((ramp.interval(70_000_000_000, 2.0) - 0.001).abs() < 1e-12, "it stays at the top");
    }

    #[test]
    fn users_have_names_of_one_length() {
        let mut out = Vec::new();
        let users = Users::numbered("u", 200_000);
        users.push_name(199_999, &mut out);
        users.push_name(3, &mut out);
        assert_eq!(out, b"u0199999u0000003");
        assert_eq!(Users::listed(Vec::new()), None);
        let users = Users::listed(vec!["alice".into(), "bob".into()]).unwrap();
        out.clear();
        users.push_name(1, &mut out);
        assert_eq!((&out[..], users.count()), (&b"bob"[..], 2));
    }
}
