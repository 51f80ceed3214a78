//! Keys and signals of a run. The terminal is put back when `Keys` goes, which is on every way out of the command: its
//! end, an error, a panic, and the signals, which all end the run instead of the process.

use std::io::{IsTerminal as _, Read as _};
use std::sync::Arc;

use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};
use phone::load::Control;
use tokio::signal::unix::{SignalKind, signal};

/// A terminal that gives each key at once and shows none.
pub struct Keys {
    before: Termios,
}

impl Keys {
    /// None without a terminal to read from, or when another program has it: a job in the background would be stopped for
    /// touching it.
    pub fn listen(control: &Arc<Control>) -> Option<Self> {
        let stdin = std::io::stdin();
        let ours = || nix::unistd::tcgetpgrp(&stdin).is_ok_and(|it| it == nix::unistd::getpgrp());
        if !stdin.is_terminal() || !ours() {
            return None;
        }
        let before = termios::tcgetattr(&stdin).ok()?;
        let mut plain = before.clone();
        plain.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
        // A load that is stopped and goes on later measures nothing: no Ctrl-Z.
        for index in [SpecialCharacterIndices::VSUSP as usize] {
            if let Some(character) = plain.control_chars.get_mut(index) {
                *character = DISABLED;
            }
        }
        termios::tcsetattr(&stdin, SetArg::TCSANOW, &plain).ok()?;
        let keys = Self { before };
        let control = control.clone();
        // It ends with the program: a read of a terminal cannot be called off.
        let read = move || {
            let mut key = [0];
            while stdin.lock().read(&mut key).is_ok_and(|n| n > 0) {
                obey(key[0], &control);
            }
        };
        std::thread::Builder::new().name("keys".into()).spawn(read).ok()?;
        Some(keys)
    }
}

/// `_POSIX_VDISABLE` of Linux.
const DISABLED: u8 = 0;

fn obey(key: u8, control: &Control) {
    match key {
        b'+' => control.faster(),
        b'-' => control.slower(),
        b'p' => control.toggle_pause(),
        b'q' => control.finish(),
        b'Q' => control.leave(),
        _ => {}
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.before);
    }
}

/// From now on signals end the run, not the process: SIGINT finishes and the second time leaves, SIGUSR1 finishes,
/// SIGTERM, SIGHUP and SIGQUIT leave.
pub fn listen_to_signals(control: Arc<Control>) {
    let (ready, wait) = std::sync::mpsc::channel();
    let listen = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let on = |kind| signal(kind).ok();
            let (Some(mut interrupt), Some(mut finish)) =
                (on(SignalKind::interrupt()), on(SignalKind::user_defined1()))
            else {
                return;
            };
            let (Some(mut terminate), Some(mut hangup), Some(mut quit)) =
                (on(SignalKind::terminate()), on(SignalKind::hangup()), on(SignalKind::quit()))
            else {
                return;
            };
            let _ = ready.send(());
            loop {
                tokio::select! {
                    Some(()) = interrupt.recv() => control.interrupt(),
                    Some(()) = finish.recv() => control.finish(),
                    Some(()) = terminate.recv() => control.leave(),
                    Some(()) = hangup.recv() => control.leave(),
                    Some(()) = quit.recv() => control.leave(),
                    else => return,
                }
            }
        });
    };
    // Without it a signal simply ends the program, as it always did.
    if std::thread::Builder::new().name("signals".into()).spawn(listen).is_ok() {
        let _ = wait.recv();
    }
}

#[cfg(test)]
mod tests {
    use phone::load::Stop;

    use super::*;

    #[test]
    fn keys_do_what_the_page_says() {
        let control = Control::default();
        obey(b'+', &control);
        assert!((control.scale() - 1.1).abs() < 1e-9);
        obey(b'-', &control);
        obey(b'x', &control);
        assert!((control.scale() - 1.0).abs() < 1e-9);
        obey(b'p', &control);
        assert!(control.paused() && control.stop() == Stop::Not);
        obey(b'q', &control);
        assert_eq!((control.stop(), control.interrupted()), (Stop::Soon, false));
        obey(b'Q', &control);
        assert_eq!((control.stop(), control.interrupted()), (Stop::Now, true));
    }
}
