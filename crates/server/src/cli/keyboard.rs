//! Keys on a terminal while a call goes on: h hold, t transfer, q hang up, 0-9 * # digits. Only where standard input is a
//! terminal; it is left as it was found.

use std::io::{IsTerminal as _, Read as _, Write as _};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use phone::call::Action;
use tokio::sync::mpsc;

/// Keys nobody has taken yet.
const KEYS_MAX: usize = 32;
/// A URI a person types.
const LINE_MAX: usize = 256;

pub const HELP: &str = "[h]old [t]ransfer [0-9*#] keys [q] hang up";

/// The terminal as it was before. Dropping it restores that.
pub struct Keyboard {
    before: Option<Termios>,
}

impl Keyboard {
    /// Starts to listen where there is a keyboard. The receiver never ends; without a keyboard nothing comes.
    pub fn open(
        wanted: bool,
        transfer: impl Fn(&str) -> Option<Action> + Send + 'static,
    ) -> (Self, mpsc::Receiver<Action>) {
        let (sender, receiver) = mpsc::channel(KEYS_MAX);
        let stdin = std::io::stdin();
        let before = (wanted && stdin.is_terminal() && std::io::stdout().is_terminal())
            .then(|| tcgetattr(&stdin).ok())
            .flatten();
        if let Some(before) = &before {
            let mut raw = before.clone();
            // Signals stay: Ctrl-C is how one leaves.
            raw.local_flags.remove(LocalFlags::ECHO | LocalFlags::ICANON);
            let _ = tcsetattr(&stdin, SetArg::TCSANOW, &raw);
            std::thread::spawn(move || listen(&sender, &transfer));
        }
        (Self { before }, receiver)
    }

    pub const fn is_open(&self) -> bool {
        self.before.is_some()
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

/// Ends when nobody takes the keys any more, or with the program.
fn listen(keys: &mpsc::Sender<Action>, transfer: &dyn Fn(&str) -> Option<Action>) {
    let mut bytes = std::io::stdin().lock().bytes();
    while let Some(Ok(byte)) = bytes.next() {
        let action = match byte {
            b'h' => Some(Action::ToggleHold),
            b'q' => Some(Action::HangUp),
            b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D' => {
                Some(Action::Digits(char::from(byte).to_string()))
            }
            b't' => line(&mut bytes).and_then(|to| transfer(&to)),
            _ => None,
        };
        if let Some(action) = action
            && keys.blocking_send(action).is_err()
        {
            return;
        }
    }
}

/// Where to transfer to; an empty line means nowhere.
fn line(bytes: &mut dyn Iterator<Item = std::io::Result<u8>>) -> Option<String> {
    let mut err = std::io::stderr();
    let _ = write!(err, "\r\x1b[Ktransfer to: ");
    let mut typed: Vec<u8> = Vec::new();
    while let Some(Ok(byte)) = bytes.next() {
        match byte {
            b'\r' | b'\n' => break,
            8 | 127 => drop(typed.pop()),
            27 => return None,
            byte if typed.len() < LINE_MAX => typed.push(byte),
            _ => {}
        }
        let _ = write!(err, "\r\x1b[Ktransfer to: {}", String::from_utf8_lossy(&typed));
    }
    let _ = writeln!(err);
    let text = String::from_utf8(typed).ok()?;
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}
