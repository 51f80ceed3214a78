//! Room "step" (RFC 3261 §16.6): in which order the targets are tried. Those of the same q value ring together, and a
//! lower one only when nobody of a higher one has answered; unless the caller asks for another order (RFC 3841 §9.1).

use core::cmp::Reverse;

use smallvec::smallvec;

use crate::config::Forking;
use crate::proxy::{Step, Steps, Targets};
use crate::route::disposition::{Disposition, Order};

pub fn by_preference(
    mut targets: Targets,
    forking: &Forking,
    wish: Disposition,
    steps: &mut Steps,
) {
    if targets.len() < 2 {
        return steps.push(Step::new(targets));
    }
    targets.sort_by_key(|target| Reverse(target.q));
    if !wish.fork {
        targets.truncate(1);
    }
    for target in targets {
        let together = |step: &&mut Step| match wish.order {
            Order::Parallel => true,
            Order::Sequential => false,
            Order::Preference => step.targets.first().is_some_and(|first| first.q == target.q),
        };
        match steps.last_mut().filter(together) {
            Some(step) => step.targets.push(target),
            None => steps.push(Step::new(smallvec![target])),
        }
    }
    // The last of them rings for as long as a call may.
    let timed = steps.len().saturating_sub(1);
    for step in steps.iter_mut().take(timed) {
        step.timeout = Some(forking.timeout);
    }
}
