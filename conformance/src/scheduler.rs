//! Runs the cases, each in its own namespaces, a few at a time, and counts. It ends with `N passed, N failed`.

use std::collections::VecDeque;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::case::Case;
use crate::subject::Kind;

/// What one case gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Pass,
    Fail,
    /// A miss we knew of, of the other subject.
    Miss,
}

/// `Ok(false)`: something failed.
pub fn run(cases: &[&Case], kind: Kind, jobs: usize) -> Result<bool> {
    let unshare = namespaces()?;
    let (alone, together): (Vec<&Case>, Vec<&Case>) = cases.iter().copied().partition(|c| c.alone);
    let verdicts = Mutex::new(Vec::new());
    for (cases, jobs) in [(together, jobs.max(1)), (alone, 1)] {
        let queue = Mutex::new(VecDeque::from(cases));
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(case) = next(&queue) {
                        if kind == Kind::Kamailio && case.ringway_only {
                            continue;
                        }
                        let verdict = one(case, kind, &unshare);
                        if let Ok(mut list) = verdicts.lock() {
                            list.push(verdict);
                        }
                    }
                });
            }
        });
    }
    let verdicts = verdicts.into_inner().unwrap_or_default();
    let count = |v: Verdict| verdicts.iter().filter(|x| **x == v).count();
    if count(Verdict::Miss) > 0 {
        println!("{} known misses of {}", count(Verdict::Miss), kind.name());
    }
    println!("{} passed, {} failed", count(Verdict::Pass), count(Verdict::Fail));
    Ok(count(Verdict::Fail) == 0)
}

fn next<'a>(queue: &Mutex<VecDeque<&'a Case>>) -> Option<&'a Case> {
    queue.lock().ok()?.pop_front()
}

/// The command that gives a process a network of its own, or why there is none.
fn namespaces() -> Result<Vec<&'static str>> {
    let base = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let user = ["--user", "--map-root-user"];
    for extra in [&user[..0], &user[..]] {
        let words: Vec<&str> = base.iter().chain(extra).copied().collect();
        let (first, rest) = words.split_first().context("no command")?;
        let tried = Command::new(first)
            .args(rest)
            .args(["ip", "link", "set", "lo", "up"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if tried.is_ok_and(|s| s.success()) {
            return Ok(words);
        }
    }
    bail!(
        "every case runs in a network namespace of its own, and this user may not make one. Run as root \
         (sudo), or allow it: sysctl kernel.unprivileged_userns_clone=1. `unshare` and `ip` must be installed"
    )
}

fn one(case: &Case, kind: Kind, unshare: &[&str]) -> Verdict {
    let start = Instant::now();
    let mut result = inside(case, kind, unshare, start);
    if let Err(error) = &result
        && kind == Kind::Kamailio
        && case.kamailio_misses.is_none()
    {
        // The yardstick is not ours to mend: only what it misses twice says that the suite is wrong.
        println!("AGAIN {}: {error:#}", case.name);
        result = inside(case, kind, unshare, Instant::now());
    }
    let seconds = start.elapsed().as_secs_f32();
    match result {
        Ok(reason) => {
            println!("PASS {} ({seconds:.1} s): {reason}", case.name);
            Verdict::Pass
        }
        Err(error) => match case.kamailio_misses.filter(|_| kind == Kind::Kamailio) {
            Some(why) => {
                println!("MISS {} ({seconds:.1} s): known ({why}): {error:#}", case.name);
                Verdict::Miss
            }
            None => {
                println!("FAIL {} ({seconds:.1} s): {error:#}", case.name);
                Verdict::Fail
            }
        },
    }
}

/// Runs ourselves once more, inside, and reads the last line: `PASS reason` or `FAIL reason`.
fn inside(case: &Case, kind: Kind, unshare: &[&str], start: Instant) -> Result<String> {
    let (first, rest) = unshare.split_first().context("no command")?;
    let program = std::env::current_exe().context("our own path")?;
    let mut child = Command::new(first)
        .args(rest)
        .arg(program)
        .args(["--inside", "--subject", kind.name(), case.name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("unshare could not be started")?;
    let output = child.stdout.take().context("no output")?;
    let reader = std::thread::spawn(move || std::io::read_to_string(output).unwrap_or_default());
    let limit = Duration::from_secs(case.limit);
    while child.try_wait()?.is_none() {
        if start.elapsed() > limit {
            // Takes the whole process namespace with it.
            child.kill()?;
            child.wait()?;
            bail!("still running after {} s", case.limit);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let text = reader.join().unwrap_or_default();
    let last = text.lines().last().unwrap_or_default();
    for line in text.lines().take(text.lines().count().saturating_sub(1)) {
        println!("     {line}");
    }
    match last.split_once(' ') {
        Some(("PASS", reason)) => Ok(reason.to_owned()),
        Some(("FAIL", reason)) => bail!("{reason}"),
        _ => bail!("it ended without a verdict: {last}"),
    }
}
