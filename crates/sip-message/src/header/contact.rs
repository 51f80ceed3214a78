//! Contact (RFC 3261 §20.10): a list of addresses, or the lone `*` of a REGISTER that removes all bindings.

use super::{Elements, NameAddr};
use crate::error::{ParseError, ParseErrorKind};
use crate::head::Head;
use crate::name::Name;

#[derive(Clone)]
pub enum Contacts<'a> {
    Star,
    /// Perhaps empty.
    List(ContactsIter<'a>),
}

pub type ContactsIter<'a> = Elements<'a, NameAddr<'a>>;

impl Head {
    /// All Contact values of all Contact headers. A `*` beside anything else is an error.
    pub fn contacts(&self) -> Result<Contacts<'_>, ParseError> {
        let mut star = None;
        let mut count = 0;
        for field in self.fields.iter().filter(|f| f.name == Name::Contact) {
            let (value, base) = self.value_of(field);
            count += 1;
            if value == b"*" {
                star = Some(base as usize);
            }
        }
        match star {
            None => Ok(Contacts::List(Elements::new(self, Name::Contact))),
            Some(_) if count == 1 => Ok(Contacts::Star),
            Some(at) => Err(ParseErrorKind::ContactStar.at(at)),
        }
    }
}
