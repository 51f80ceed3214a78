//! The named tests of attacks and faults. Names and pass marks are fixed; a test that cannot run fails.

use crate::case::Case;

pub fn cases() -> Vec<Case> {
    vec![]
}
