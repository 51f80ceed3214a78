//! A program started for a case: its output in a file, ended by its own number when the case lets go of it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

pub struct Child {
    child: std::process::Child,
    name: String,
    log: PathBuf,
}

impl Child {
    /// Starts `command` with its output in `folder/name.log`.
    pub fn start(folder: &Path, name: &str, command: &mut Command) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} could not be started", command.get_program().display()))?;
        Ok(Self { child, name: name.to_owned(), log })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The JSON object it printed, among whatever else it said.
    pub fn report(&self) -> Result<serde_json::Value> {
        let output = self.output();
        let line = output.lines().rev().find(|line| line.starts_with('{'));
        let line =
            line.with_context(|| format!("{} printed no report: {}", self.name, self.tail()))?;
        Ok(serde_json::from_str(line)?)
    }

    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of its output, for a failure's reason.
    pub fn tail(&self) -> String {
        let text = self.output();
        let lines: Vec<&str> = text.lines().filter(|l| !l.trim().is_empty()).collect();
        lines.iter().skip(lines.len().saturating_sub(4)).copied().collect::<Vec<_>>().join(" / ")
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                bail!("{} still runs after {} s: {}", self.name, limit.as_secs(), self.tail());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it ends, well.
    pub fn succeed(&mut self, limit: Duration) -> Result<()> {
        let status = self.wait(limit)?;
        if !status.success() {
            bail!("{} ended with {status}: {}", self.name, self.tail());
        }
        Ok(())
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&self) -> Result<()> {
        crate::world::command(&["kill", "-TERM", &self.id().to_string()])
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Waits until its output holds `text`.
    pub fn says(&mut self, text: &str, limit: Duration) -> Result<()> {
        let start = Instant::now();
        while !self.output().contains(text) {
            if !self.running() {
                bail!("{} ended before it said `{text}`: {}", self.name, self.tail());
            }
            if start.elapsed() > limit {
                bail!(
                    "{} did not say `{text}` in {} s: {}",
                    self.name,
                    limit.as_secs(),
                    self.tail()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already ended, or ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
