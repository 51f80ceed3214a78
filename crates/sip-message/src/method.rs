//! The method of a request (RFC 3261 §7.1). Methods are case-sensitive, and `%` in one is no escape.
//! Unknown ones are kept: a proxy forwards what it does not know (RFC 3261 §16.3).

macro_rules! methods {
    ($($variant:ident $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method<'a> {
            $($variant,)*
            Other(&'a [u8]),
        }

        impl<'a> Method<'a> {
            pub const fn of(bytes: &'a [u8]) -> Self {
                $(const $variant: &[u8] = $text.as_bytes();)*
                match bytes {
                    $($variant => Self::$variant,)*
                    other => Self::Other(other),
                }
            }

            pub const fn as_bytes(&self) -> &'a [u8] {
                match self {
                    $(Self::$variant => $text.as_bytes(),)*
                    Self::Other(bytes) => bytes,
                }
            }

            /// The same, free of the message it was read from, if it is one of the known ones.
            pub const fn known(self) -> Option<Method<'static>> {
                match self {
                    $(Self::$variant => Some(Method::$variant),)*
                    Self::Other(_) => None,
                }
            }
        }
    };
}

#[allow(non_upper_case_globals)]
mod table {
    methods! {
        Invite "INVITE",
        Ack "ACK",
        Bye "BYE",
        Cancel "CANCEL",
        Register "REGISTER",
        Options "OPTIONS",
        Prack "PRACK",
        Subscribe "SUBSCRIBE",
        Notify "NOTIFY",
        Publish "PUBLISH",
        Info "INFO",
        Refer "REFER",
        Message "MESSAGE",
        Update "UPDATE",
    }
}
pub use table::Method;

impl core::fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&self.as_bytes().escape_ascii(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_percent_count() {
        assert_eq!(Method::of(b"REGISTER"), Method::Register);
        assert_eq!(Method::of(b"register"), Method::Other(b"register"));
        assert_eq!(Method::of(b"RE%47IST%45R").as_bytes(), b"RE%47IST%45R");
    }
}
