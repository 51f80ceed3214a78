//! Room "step" (RFC 3261 §16.6): in which order the targets are tried. Those of the same q value ring together, and a
//! lower one only when nobody of a higher one has answered.

use core::cmp::Reverse;

use smallvec::smallvec;

use crate::config::Forking;
use crate::proxy::{Step, Steps, Targets};

pub fn by_preference(mut targets: Targets, forking: &Forking) -> Steps {
    if targets.len() < 2 {
        return smallvec![Step::new(targets)];
    }
    targets.sort_by_key(|target| Reverse(target.q));
    let mut steps = Steps::new();
    for target in targets {
        match steps.last_mut() {
            Some(step) if step.targets.first().is_some_and(|first| first.q == target.q) => {
                step.targets.push(target);
            }
            _ => steps.push(Step::new(smallvec![target])),
        }
    }
    // The last of them rings for as long as a call may.
    let last = steps.len() - 1;
    for step in &mut steps[..last] {
        step.timeout = Some(forking.timeout);
    }
    steps
}
