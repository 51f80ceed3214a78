//! Where lines end. On x86-64 the search is inlined into the reader: header lines are so short that calling one costs
//! more than searching.

use crate::byte::{self, cut};
use crate::error::{ParseError, ParseErrorKind};

#[cfg(target_arch = "x86_64")]
use memchr::arch::x86_64::sse2::memchr::Two;

/// A line: where its text ends, and where the next one starts.
#[derive(Clone, Copy)]
pub struct Line {
    pub end: usize,
    pub next: usize,
}

/// Finds CR and LF.
#[derive(Clone, Copy)]
pub struct LineEnds {
    #[cfg(target_arch = "x86_64")]
    two: Option<Two>,
}

impl LineEnds {
    #[inline(always)]
    pub fn new() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            two: Two::new(b'\r', b'\n'),
        }
    }

    #[inline(always)]
    fn find(&self, text: &[u8]) -> Option<usize> {
        #[cfg(target_arch = "x86_64")]
        if let Some(two) = &self.two {
            return two.find(text);
        }
        memchr::memchr2(b'\r', b'\n', text)
    }

    /// The line at `from`, folds not considered. A CR or an LF alone ends a line for some readers and not for others,
    /// and so can carry headers past us: such a line is an error, and `Err` still says where the next one starts.
    #[inline(always)]
    pub fn line(&self, bytes: &[u8], from: usize) -> Result<Line, (ParseError, usize)> {
        let rest = bytes.get(from..).unwrap_or_default();
        let found = self.find(rest);
        byte::count(found.unwrap_or(rest.len()) + 1);
        let Some(at) = found else {
            return Err((ParseErrorKind::BlankLineMissing.at(bytes.len()), bytes.len()));
        };
        let end = from + at;
        match rest.get(at..at + 2) {
            Some([b'\r', b'\n']) => Ok(Line { end, next: end + 2 }),
            _ if rest.get(at) == Some(&b'\n') => Err((ParseErrorKind::BareLf.at(end), end + 1)),
            _ => Err(bare_cr(bytes, end)),
        }
    }
}

#[cold]
fn bare_cr(bytes: &[u8], at: usize) -> (ParseError, usize) {
    let rest = cut(bytes, at, bytes.len());
    let next = byte::find(b'\n', rest).map_or(bytes.len(), |lf| at + lf + 1);
    (ParseErrorKind::BareCr.at(at), next)
}
