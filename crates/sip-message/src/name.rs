//! Header names (RFC 3261 §7.3.1, §20 and its extensions): case-insensitive, compact forms folded in. A name this
//! table does not hold is `Other`, and its text stays in the message.

macro_rules! names {
    ($($variant:ident $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Name { $($variant,)* Other }

        const ALL: &[(Name, &str)] = &[$((Name::$variant, $text),)*];

        impl Name {
            /// The name as it is written out; empty for `Other`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Other => "" }
            }
        }
    };
}

names! {
    Accept "Accept",
    AcceptContact "Accept-Contact",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events",
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID",
    CallInfo "Call-Info",
    Contact "Contact",
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding",
    ContentLanguage "Content-Language",
    ContentLength "Content-Length",
    ContentType "Content-Type",
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event",
    Expires "Expires",
    FlowTimer "Flow-Timer",
    From "From",
    HistoryInfo "History-Info",
    Identity "Identity",
    IdentityInfo "Identity-Info",
    InReplyTo "In-Reply-To",
    Join "Join",
    MaxBreadth "Max-Breadth",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAssertedIdentity "P-Asserted-Identity",
    Path "Path",
    PPreferredIdentity "P-Preferred-Identity",
    Priority "Priority",
    Privacy "Privacy",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    Reason "Reason",
    RecordRoute "Record-Route",
    ReferredBy "Referred-By",
    ReferTo "Refer-To",
    RejectContact "Reject-Contact",
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition",
    Require "Require",
    RetryAfter "Retry-After",
    Route "Route",
    RSeq "RSeq",
    Server "Server",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject",
    SubscriptionState "Subscription-State",
    Supported "Supported",
    TargetDialog "Target-Dialog",
    Timestamp "Timestamp",
    To "To",
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    Via "Via",
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

impl Name {
    /// How many there are, `Other` included.
    pub const COUNT: usize = ALL.len() + 1;

    /// The header this text names, in any case, long or compact (RFC 3261 §7.3.3).
    #[inline]
    pub fn of(text: &[u8]) -> Self {
        match text {
            [letter] => compact(*letter),
            _ => {
                let Some(slot) = slot(text) else { return Self::Other };
                let candidate = TABLE[slot];
                if candidate.as_str().as_bytes().eq_ignore_ascii_case(text) {
                    candidate
                } else {
                    Self::Other
                }
            }
        }
    }

    /// The bit of this name in a set of names.
    pub(crate) const fn bit(self) -> u128 {
        1 << self as u8
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn compact(letter: u8) -> Name {
    match letter | 0x20 {
        b'a' => Name::AcceptContact,
        b'b' => Name::ReferredBy,
        b'c' => Name::ContentType,
        b'd' => Name::RequestDisposition,
        b'e' => Name::ContentEncoding,
        b'f' => Name::From,
        b'i' => Name::CallId,
        b'j' => Name::RejectContact,
        b'k' => Name::Supported,
        b'l' => Name::ContentLength,
        b'm' => Name::Contact,
        b'n' => Name::IdentityInfo,
        b'o' => Name::Event,
        b'r' => Name::ReferTo,
        b's' => Name::Subject,
        b't' => Name::To,
        b'u' => Name::AllowEvents,
        b'v' => Name::Via,
        b'x' => Name::SessionExpires,
        b'y' => Name::Identity,
        _ => Name::Other,
    }
}

const SLOTS: usize = 256;

/// Where a name of two or more bytes stands in the table. The factors are chosen so that no two known names meet;
/// `table` refuses to compile when a new one does.
#[inline]
const fn slot(text: &[u8]) -> Option<usize> {
    let [first, .., last] = text else { return None };
    let middle = text[text.len() / 2] | 0x20;
    let mix = text.len() * 55
        + (*first | 0x20) as usize * 16
        + (*last | 0x20) as usize * 30
        + middle as usize * 61;
    Some(mix % SLOTS)
}

static TABLE: [Name; SLOTS] = table();

/// A set of names is the bits of a u128.
const _: () = assert!(Name::COUNT <= 128);

const fn table() -> [Name; SLOTS] {
    let mut table = [Name::Other; SLOTS];
    let mut i = 0;
    while i < ALL.len() {
        let (name, text) = ALL[i];
        let Some(slot) = slot(text.as_bytes()) else { panic!("a header name is too short") };
        assert!(
            table[slot] as u8 == Name::Other as u8,
            "two names share a slot: choose new factors"
        );
        table[slot] = name;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &(name, text) in ALL {
            assert_eq!(Name::of(text.as_bytes()), name);
            assert_eq!(Name::of(text.to_ascii_lowercase().as_bytes()), name);
            assert_eq!(Name::of(text.to_ascii_uppercase().as_bytes()), name);
        }
    }

    #[test]
    fn compact_and_unknown() {
        assert_eq!(Name::of(b"v"), Name::Via);
        assert_eq!(Name::of(b"L"), Name::ContentLength);
        for other in [&b"C%6Fntact"[..], b"q", b"", b"X-Via", b"Vib"] {
            assert_eq!(Name::of(other), Name::Other);
        }
    }
}
