//! Messages out of a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1 keep-alive). It buffers at most one head and one
//! body within the limits, looks at each byte a bounded number of times however it arrives, and never guesses: when
//! the length is unknown the stream is broken.

use bytes::{Buf, Bytes, BytesMut};

use crate::byte::{self, TOKEN, cut, is};
use crate::limit;
use crate::name::Name;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message.
    Message(Bytes),
    /// A double CRLF between messages: answer with one CRLF.
    KeepAlive,
    /// The next message cannot be found any more. Here is what was read of this one, for the 400; then close. Nothing
    /// comes after it.
    Broken(Bytes),
}

/// What has been read of one stream and not been handed out yet.
#[derive(Debug, Default)]
pub struct Framer {
    buf: BytesMut,
    /// Where the line starts that is not complete yet.
    line: usize,
    /// Up to here no line end was found: nothing before it is looked at again.
    searched: usize,
    content_length: Option<u32>,
    /// A Content-Length that is no number, or two that differ.
    conflict: bool,
    /// Whole message length, once the head is complete.
    total: Option<usize>,
    broken: bool,
}

impl Framer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the stream. After a broken frame they are thrown away.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.buf.extend_from_slice(bytes);
        }
    }

    /// Bytes that wait for the rest of their message: zero between messages.
    pub fn pending(&self) -> usize {
        self.buf.len()
    }

    /// The next whole thing in what has been pushed; call until `None`.
    #[allow(clippy::should_implement_trait)] // it is fed between calls: not an iterator that ends
    pub fn next(&mut self) -> Option<Frame> {
        if self.broken {
            return None;
        }
        if self.total.is_none() {
            if self.line == 0 {
                if let Some(frame) = self.skip_blank_lines() {
                    return Some(frame);
                }
                if matches!(&self.buf[..], [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r']) {
                    return None;
                }
            }
            self.read_head()?;
        }
        match self.total {
            Some(total) if total <= limit::MESSAGE_BYTES_MAX => {
                if self.buf.len() < total {
                    return None;
                }
                let message = self.buf.split_to(total).freeze();
                self.restart();
                Some(Frame::Message(message))
            }
            _ => Some(self.give_up()),
        }
    }

    fn restart(&mut self) {
        self.line = 0;
        self.searched = 0;
        self.content_length = None;
        self.conflict = false;
        self.total = None;
    }

    fn give_up(&mut self) -> Frame {
        self.broken = true;
        self.buf.truncate(limit::MESSAGE_BYTES_MAX);
        let head = core::mem::take(&mut self.buf).freeze();
        Frame::Broken(head)
    }

    /// RFC 3261 §7.5: CRLF before a start line is ignored; two of them are a keep-alive (RFC 5626 §4.4.1).
    fn skip_blank_lines(&mut self) -> Option<Frame> {
        loop {
            match &self.buf[..] {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.buf.advance(4);
                    return Some(Frame::KeepAlive);
                }
                [b'\r', b'\n', b'\r'] | [b'\r', b'\n'] | [b'\r'] => return None,
                [b'\r', b'\n', ..] => self.buf.advance(2),
                [b'\n', ..] => self.buf.advance(1),
                _ => return None,
            }
        }
    }

    /// Looks at the lines that are complete. `None`: the head is not.
    fn read_head(&mut self) -> Option<()> {
        loop {
            let rest = cut(&self.buf, self.searched, self.buf.len());
            let Some(at) = byte::find(b'\n', rest) else {
                self.searched = self.buf.len();
                return self.wait_or_break();
            };
            let lf = self.searched + at;
            let line = cut(&self.buf, self.line, lf);
            if self.line > 0 && matches!(line, [] | [b'\r']) {
                return self.end_head(lf + 1);
            }
            match self.buf.get(lf + 1) {
                // Whether the line goes on is only known with the byte behind it.
                None => {
                    self.searched = lf;
                    return self.wait_or_break();
                }
                Some(b' ' | b'\t') => {
                    self.searched = lf + 1;
                    continue;
                }
                Some(_) => {}
            }
            if self.line > 0 {
                let found = content_length(line);
                self.note(found);
            }
            (self.line, self.searched) = (lf + 1, lf + 1);
            if self.line > limit::HEAD_BYTES_MAX {
                return self.broken_head();
            }
        }
    }

    fn note(&mut self, found: Option<Option<u32>>) {
        match (found, self.content_length) {
            (None, _) => {}
            (Some(None), _) => self.conflict = true,
            (Some(Some(new)), Some(old)) if new != old => self.conflict = true,
            (Some(Some(new)), _) => self.content_length = Some(new),
        }
    }

    fn end_head(&mut self, head: usize) -> Option<()> {
        match self.content_length {
            Some(length) if !self.conflict => {
                self.total = Some(head.saturating_add(length as usize));
                Some(())
            }
            _ => {
                // Only the head: what follows is not its body for sure.
                self.buf.truncate(head);
                self.broken_head()
            }
        }
    }

    /// Marks the stream broken: a total above every limit.
    fn broken_head(&mut self) -> Option<()> {
        self.total = Some(usize::MAX);
        Some(())
    }

    fn wait_or_break(&mut self) -> Option<()> {
        if self.buf.len() > limit::HEAD_BYTES_MAX { self.broken_head() } else { None }
    }
}

/// `None`: another header. `Some(None)`: a Content-Length that is no number.
fn content_length(line: &[u8]) -> Option<Option<u32>> {
    let first = line.first()?;
    if !matches!(first, b'c' | b'C' | b'l' | b'L') {
        return None;
    }
    let name = cut(line, 0, line.iter().position(|&b| !is(b, TOKEN))?);
    if Name::of(name) != Name::ContentLength {
        return None;
    }
    let mut rest = cut(line, name.len(), line.len());
    // Blanks may stand before the colon, a fold may not.
    while let [b' ' | b'\t', tail @ ..] = rest {
        rest = tail;
    }
    let value = rest.strip_prefix(b":")?;
    Some(byte::number(byte::trim(value)))
}

#[cfg(test)]
mod tests;
