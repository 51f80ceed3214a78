//! The header table of one message, and how it is read (RFC 3261 §7.3). Reads see edits at once. The bytes that came
//! in are never changed: an edit is a line in a side buffer.

use core::cell::Cell;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::byte;
use crate::header::ViaShape;
use crate::name::Name;

/// A piece of text: in the message as it came, or in the side buffer of edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

const EDITED: u32 = 1 << 31;

impl Span {
    pub const fn received(start: usize, end: usize) -> Self {
        Self { start: start as u32, len: end.saturating_sub(start) as u32 }
    }

    pub const fn edited(start: usize, end: usize) -> Self {
        Self { start: start as u32 | EDITED, len: end.saturating_sub(start) as u32 }
    }
}

/// One header line: 12 bytes, so that 24 of them stay on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// First byte of the line; the top bit says that it is in the edits.
    start: u32,
    /// From the start of the line to the value.
    value_at: u16,
    value_len: u16,
    /// The whole line with its line end. 0: the value no longer fits its line, and the line is written anew.
    line_len: u16,
    pub name: Name,
}

impl Field {
    /// `line..end` is the whole line with its line end, `value..value_end` the trimmed value in it.
    pub fn new(name: Name, line: usize, value: usize, value_end: usize, end: usize) -> Self {
        // A line is at most a head of 32 KiB: the parser and the edits see to it.
        let short = |n: usize| n as u16;
        Self {
            start: line as u32,
            value_at: short(value - line),
            value_len: short(value_end - value),
            line_len: short(end - line),
            name,
        }
    }

    pub fn in_edits(mut self) -> Self {
        self.start |= EDITED;
        self
    }

    fn span(&self, from: u32, len: u16) -> Span {
        Span { start: self.start + from, len: u32::from(len) }
    }

    pub fn value(&self) -> Span {
        self.span(u32::from(self.value_at), self.value_len)
    }

    pub fn line(&self) -> Span {
        self.span(0, self.line_len)
    }

    /// The same header from a later byte of its value on.
    pub fn cut_to(mut self, at: usize) -> Self {
        let at = (at as u16).min(self.value_len);
        self.value_at += at;
        self.value_len -= at;
        self.line_len = 0;
        self
    }

    /// Whether the line can be copied as it stands.
    pub fn has_line(&self) -> bool {
        self.line_len > 0
    }

    /// Whether `next` follows this line in the same buffer without a gap.
    pub fn touches(&self, next: &Self) -> bool {
        self.has_line() && next.has_line() && self.start + u32::from(self.line_len) == next.start
    }
}

pub(crate) type Fields = SmallVec<[Field; 24]>;

/// Where each name occurs first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index([u8; Name::COUNT]);

impl Default for Index {
    fn default() -> Self {
        Self([0; Name::COUNT])
    }
}

impl Index {
    /// Too far back for a byte: look for it.
    const FAR: u8 = 255;

    #[inline(always)]
    pub fn note(&mut self, name: Name, at: usize) {
        let place = &mut self.0[name as usize];
        if *place == 0 {
            *place = (at + 1).min(usize::from(Self::FAR)) as u8;
        }
    }
}

/// The headers and the body of a request or a response.
#[derive(Clone, Debug)]
pub struct Head {
    pub(crate) buf: Bytes,
    pub(crate) edits: Vec<u8>,
    pub(crate) fields: Fields,
    pub(crate) index: Index,
    /// Where the body starts and ends in `buf`.
    pub(crate) body: (u32, u32),
    /// The top Via as it was read last, and the piece of text that was. Several rooms ask for it; an edit makes a new
    /// piece, so that an old reading can never answer for it.
    pub(crate) via_memo: Cell<Option<(Span, ViaShape)>>,
}

impl Head {
    pub(crate) fn text(&self, span: Span) -> &[u8] {
        let (from, start) = if span.start & EDITED == 0 {
            (&self.buf[..], span.start)
        } else {
            (&self.edits[..], span.start & !EDITED)
        };
        byte::cut(from, start as usize, (start + span.len) as usize)
    }

    /// The text from the start of one line to the end of another in the same buffer.
    pub(crate) fn text_between(&self, first: &Field, last: &Field) -> &[u8] {
        let len = (last.start - first.start) + u32::from(last.line_len);
        self.text(Span { start: first.start, len })
    }

    /// The value of a field and what error offsets count from.
    pub(crate) fn value_of(&self, field: &Field) -> (&[u8], u32) {
        let span = field.value();
        let base = if span.start & EDITED == 0 { span.start } else { 0 };
        (self.text(span), base)
    }

    #[inline]
    pub(crate) fn has(&self, name: Name) -> bool {
        self.index.0[name as usize] != 0
    }

    #[inline]
    pub(crate) fn position(&self, name: Name) -> Option<usize> {
        match self.index.0[name as usize] {
            0 => None,
            Index::FAR => self.fields.iter().position(|f| f.name == name),
            place => Some(usize::from(place) - 1),
        }
    }

    /// After fields have moved.
    pub(crate) fn reindex(&mut self) {
        self.index = Index::default();
        for (at, field) in self.fields.iter().enumerate() {
            self.index.note(field.name, at);
        }
    }

    pub(crate) fn first(&self, name: Name) -> Option<&Field> {
        self.fields.get(self.position(name)?)
    }

    /// The message as it was received, edits not applied.
    pub fn bytes(&self) -> &Bytes {
        &self.buf
    }

    /// What follows the blank line, cut to Content-Length.
    pub fn body(&self) -> &[u8] {
        byte::cut(&self.buf, self.body.0 as usize, self.body.1 as usize)
    }

    /// The value of the first header of this name, folds inside it left as they are.
    pub fn header(&self, name: Name) -> Option<&[u8]> {
        self.first(name).map(|f| self.value_of(f).0)
    }

    /// The values of all headers of this name, line by line: comma lists are not taken apart.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let present = self.has(name);
        let fields = if present { &self.fields[..] } else { &[] };
        fields.iter().filter(move |f| f.name == name).map(|f| self.value_of(f).0)
    }

    /// The values of all headers with this name in any case or form, known to [`Name`] or not.
    pub fn headers_named<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.lines().filter(move |(name, _)| same_name(name, text)).map(|(_, value)| value)
    }

    /// Every header in order, as name (as written) and value.
    pub fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|f| (self.name_of(f), self.value_of(f).0))
    }

    /// How many header lines there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(crate) fn name_of(&self, field: &Field) -> &[u8] {
        if !field.has_line() {
            return field.name.as_str().as_bytes();
        }
        let line = self.text(field.line());
        byte::cut(line, 0, line.iter().position(|&b| !byte::is(b, byte::TOKEN)).unwrap_or(0))
    }
}

fn same_name(a: &[u8], b: &[u8]) -> bool {
    match (Name::of(a), Name::of(b)) {
        (Name::Other, Name::Other) => a.eq_ignore_ascii_case(b),
        (x, y) => x == y,
    }
}
