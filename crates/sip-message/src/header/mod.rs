//! Typed views of header values, one file each, parsed when asked for (RFC 3261 §20). A view borrows the message and
//! allocates nothing. `Elements` walks the comma lists of all lines of one name.

mod contact;
mod credentials;
mod cseq;
mod name_addr;
mod number;
mod param;
mod token;
mod via;

pub use contact::{Contacts, ContactsIter};
pub use credentials::Credentials;
pub use cseq::CSeq;
pub use name_addr::NameAddr;
pub use param::{Param, Params, unescape_quoted};
pub use token::Tokens;
pub use via::Via;
pub(crate) use via::{RECEIVED, Stamp, ViaShape};

use core::marker::PhantomData;

use crate::byte::{self, cut};
use crate::cursor::Cursor;
use crate::error::{ParseError, ParseErrorKind};
use crate::head::{Field, Head};
use crate::name::Name;

/// One element of a comma list.
pub(crate) trait Element<'a>: Sized {
    /// Reads one element and stops at the comma behind it or at the end.
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, ParseError>;

    /// What an earlier reading of the first value of this field found, and where it ended.
    #[inline]
    fn recall(_: &'a Head, _: &Field) -> Option<(Self, usize)> {
        None
    }
}

/// The elements of all header lines of one name, in order. Ends after the first error.
#[derive(Clone)]
pub struct Elements<'a, T> {
    head: &'a Head,
    name: Name,
    /// The next field to open.
    index: usize,
    cursor: Option<Cursor<'a>>,
    element: PhantomData<T>,
}

impl<'a, T> Elements<'a, T> {
    pub(crate) fn new(head: &'a Head, name: Name) -> Self {
        let index = head.position(name).unwrap_or(head.fields.len());
        Self { head, name, index, cursor: None, element: PhantomData }
    }

    fn open(&mut self) -> Option<Cursor<'a>> {
        let rest = self.head.fields.get(self.index..)?;
        let at = rest.iter().position(|f| f.name == self.name)?;
        self.index += at + 1;
        let (value, base) = self.head.value_of(rest.get(at)?);
        Some(Cursor::new(value, base))
    }
}

impl<'a, T: Element<'a>> Iterator for Elements<'a, T> {
    type Item = Result<T, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut known = None;
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => {
                let cursor = self.open()?;
                let field = self.head.fields.get(self.index - 1);
                known = field.and_then(|field| T::recall(self.head, field));
                cursor
            }
        };
        cursor.skip_space();
        let read = match known {
            Some((element, end)) => {
                cursor.at = end;
                Ok(element)
            }
            None => T::read(&mut cursor),
        };
        let read = read.and_then(|element| {
            cursor.skip_space();
            if cursor.eat(b',') {
                self.cursor = Some(cursor);
            } else if !cursor.at_end() {
                return Err(cursor.error(ParseErrorKind::ValueAfter));
            }
            Ok(element)
        });
        if read.is_err() {
            self.cursor = None;
            self.index = self.head.fields.len();
        }
        Some(read)
    }
}

/// Where the first element of a comma list ends: at its comma, or at the end of the value.
pub(crate) fn first_end(name: Name, value: &[u8]) -> Result<usize, ParseError> {
    let mut cursor = Cursor::new(value, 0);
    match name {
        Name::Via => Via::read(&mut cursor).map(drop)?,
        Name::Route
        | Name::RecordRoute
        | Name::Contact
        | Name::Path
        | Name::ServiceRoute
        | Name::PAssertedIdentity
        | Name::PPreferredIdentity
        | Name::Diversion
        | Name::HistoryInfo => NameAddr::read(&mut cursor).map(drop)?,
        _ => token::skip(&mut cursor)?,
    }
    cursor.skip_space();
    match cursor.peek() {
        None | Some(b',') => Ok(cursor.at),
        Some(_) => Err(cursor.error(ParseErrorKind::ValueAfter)),
    }
}

/// Reads a value that is one element and nothing else.
fn single<'a, T: Element<'a>>(value: &'a [u8], base: u32) -> Result<T, ParseError> {
    let mut cursor = Cursor::new(value, base);
    let element = T::read(&mut cursor)?;
    cursor.skip_space();
    if cursor.at_end() { Ok(element) } else { Err(cursor.error(ParseErrorKind::ValueAfter)) }
}

impl Head {
    /// The top Via: the first value of the first Via header. What stands behind its comma is not looked at.
    pub fn via(&self) -> Result<Via<'_>, ParseError> {
        let field = self.first(Name::Via).ok_or(ParseErrorKind::Missing(Name::Via).at(0))?;
        if let Some((via, _)) = Via::recall(self, field) {
            return Ok(via);
        }
        let (value, base) = self.value_of(field);
        let mut cursor = Cursor::new(value, base);
        let via = Via::read(&mut cursor)?;
        cursor.skip_space();
        match cursor.peek() {
            None | Some(b',') => {
                self.via_memo.set(via.shape().map(|shape| (field.value(), shape)));
                Ok(via)
            }
            Some(_) => Err(cursor.error(ParseErrorKind::ValueAfter)),
        }
    }

    /// All Via values, top first.
    pub fn vias(&self) -> Elements<'_, Via<'_>> {
        Elements::new(self, Name::Via)
    }

    pub fn from(&self) -> Result<NameAddr<'_>, ParseError> {
        self.one(Name::From)
    }

    pub fn to(&self) -> Result<NameAddr<'_>, ParseError> {
        self.one(Name::To)
    }

    /// A single address, as in Refer-To, Reply-To, Referred-By.
    pub fn address(&self, name: Name) -> Result<NameAddr<'_>, ParseError> {
        self.one(name)
    }

    /// The Route values, the next hop first.
    pub fn routes(&self) -> Elements<'_, NameAddr<'_>> {
        Elements::new(self, Name::Route)
    }

    pub fn record_routes(&self) -> Elements<'_, NameAddr<'_>> {
        Elements::new(self, Name::RecordRoute)
    }

    /// A list of addresses, as in Path, Service-Route, P-Asserted-Identity.
    pub fn addresses(&self, name: Name) -> Elements<'_, NameAddr<'_>> {
        Elements::new(self, name)
    }

    fn one<'a, T: Element<'a>>(&'a self, name: Name) -> Result<T, ParseError> {
        let field = self.first(name).ok_or(ParseErrorKind::Missing(name).at(0))?;
        let (value, base) = self.value_of(field);
        single(value, base)
    }

    /// The first Call-ID: any visible bytes, compared byte by byte (RFC 3261 §20.8).
    pub fn call_id(&self) -> Result<&[u8], ParseError> {
        let missing = ParseErrorKind::Missing(Name::CallId).at(0);
        let field = self.first(Name::CallId).ok_or(missing)?;
        let (value, base) = self.value_of(field);
        match byte::run(value, byte::VISIBLE) {
            len if len == value.len() && len > 0 => Ok(value),
            len => Err(ParseErrorKind::CallId.at(base as usize + len)),
        }
    }

    pub fn cseq(&self) -> Result<CSeq<'_>, ParseError> {
        self.one(Name::CSeq)
    }
}

/// The part of `raw` before `end`, which is an offset of the cursor's buffer.
fn raw<'a>(cursor: &Cursor<'a>, start: usize, end: usize) -> &'a [u8] {
    cut(cursor.bytes, start, end)
}
