//! What a process costs: CPU time of all its threads and children, and its memory, read from /proc.
//! It only reads. Figures of processes that end in between are lost, which a server under load does not do.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time, all threads of all processes.
    pub cpu: Duration,
    /// Bytes; pages shared between the processes counted once (PSS).
    pub memory: u64,
    pub processes: usize,
}

/// The given processes with their children, or None when none of them is there.
pub fn usage(pids: &[u32]) -> Option<Usage> {
    if pids.is_empty() {
        return None;
    }
    let family = family(pids);
    let mut usage = Usage::default();
    for pid in family {
        let Some(cpu) = cpu_nanos(Path::new("/proc").join(pid.to_string()).as_path()) else {
            continue;
        };
        usage.cpu += Duration::from_nanos(cpu);
        usage.memory += memory(pid).unwrap_or(0);
        usage.processes += 1;
    }
    (usage.processes > 0).then_some(usage)
}

/// CPU time of the calling thread's process.
pub fn own_cpu() -> Duration {
    Duration::from_nanos(cpu_nanos(Path::new("/proc/self")).unwrap_or(0))
}

/// `schedstat` counts nanoseconds; `stat` only ticks of 10 ms.
fn cpu_nanos(process: &Path) -> Option<u64> {
    let mut nanos = 0;
    for task in fs::read_dir(process.join("task")).ok()?.flatten() {
        if let Ok(text) = fs::read_to_string(task.path().join("schedstat")) {
            nanos += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Some(nanos)
}

/// The proportional share needs the owner's rights; without them the resident size has to do.
fn memory(pid: u32) -> Option<u64> {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    field("smaps_rollup", "Pss:").or_else(|| field("status", "VmRSS:"))
}

fn family(pids: &[u32]) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family: Vec<u32> = Vec::new();
    let mut waiting = pids.to_vec();
    while let Some(pid) = waiting.pop() {
        if !family.contains(&pid) {
            family.push(pid);
            waiting.extend(children.get(&pid).into_iter().flatten());
        }
    }
    family
}

/// The fourth field of `stat`; the second is a name in parentheses and may hold anything.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_cost_something() {
        let before = own_cpu();
        let usage = usage(&[std::process::id()]).expect("we exist");
        assert!(usage.processes >= 1 && usage.memory > 100_000, "{usage:?}");
        let mut x = 1_u64;
        while own_cpu() < before + Duration::from_millis(2) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
    }

    #[test]
    fn nobody_has_the_last_number() {
        assert_eq!(usage(&[u32::MAX]), None);
    }
}
