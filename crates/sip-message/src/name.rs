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
    Via "Via",
    From "From",
    To "To",
    CallId "Call-ID",
    CSeq "CSeq",
    MaxForwards "Max-Forwards",
    ContentLength "Content-Length",
    Route "Route",
    RecordRoute "Record-Route",
    Contact "Contact",
    Expires "Expires",
    Authorization "Authorization",
    ProxyAuthorization "Proxy-Authorization",
    Require "Require",
    ProxyRequire "Proxy-Require",
    ContentType "Content-Type",
    Accept "Accept",
    AcceptContact "Accept-Contact",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events",
    AuthenticationInfo "Authentication-Info",
    CallInfo "Call-Info",
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding",
    ContentLanguage "Content-Language",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event",
    FlowTimer "Flow-Timer",
    HistoryInfo "History-Info",
    Identity "Identity",
    IdentityInfo "Identity-Info",
    InReplyTo "In-Reply-To",
    Join "Join",
    MaxBreadth "Max-Breadth",
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
    RAck "RAck",
    Reason "Reason",
    ReferredBy "Referred-By",
    ReferTo "Refer-To",
    RejectContact "Reject-Contact",
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition",
    RetryAfter "Retry-After",
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
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

impl Name {
    /// How many there are, `Other` included.
    pub const COUNT: usize = ALL.len() + 1;

    /// The header this text names, in any case, long or compact (RFC 3261 §7.3.3).
    pub fn of(text: &[u8]) -> Self {
        if text.len() > WINDOW {
            return Self::Other;
        }
        let mut window = [0; WINDOW];
        for (to, from) in window.iter_mut().zip(text) {
            *to = *from;
        }
        Self::in_window(&words(&window), text.len())
    }

    /// The header named by the first `len` bytes of a window.
    #[inline(always)]
    pub(crate) fn in_window(window: &[u64; 3], len: usize) -> Self {
        let ([a, b, c], Some([x, y, z])) = (window, MASKS.get(len)) else { return Self::Other };
        if len == 1 {
            return compact(*a as u8);
        }
        // The length stands where no known name reaches, so that padding is not mistaken for text.
        let key = [lower(*a) & x, lower(*b) & y, lower(*c) & z | (len as u64) << 56];
        let candidate = TABLE[slot(&key)];
        if KEYS[candidate as usize] == key { candidate } else { Self::Other }
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

/// Names are looked up in a window of this many bytes, as three words: no known name is longer.
pub(crate) const WINDOW: usize = 24;

#[inline(always)]
pub(crate) fn words(window: &[u8; WINDOW]) -> [u64; 3] {
    let ([a, b, c], _) = window.as_chunks::<8>() else { return [0; 3] };
    [u64::from_le_bytes(*a), u64::from_le_bytes(*b), u64::from_le_bytes(*c)]
}

/// Eight letters in lower case. Only bytes that could be letters are touched, so that no control character can pass
/// for the `-` of a name.
#[inline(always)]
const fn lower(word: u64) -> u64 {
    word | (word & 0x4040_4040_4040_4040) >> 1
}

/// What keeps the first so many bytes of a window.
static MASKS: [[u64; 3]; WINDOW + 1] = {
    let mut masks = [[0; 3]; WINDOW + 1];
    let mut len = 0;
    while len <= WINDOW {
        let mut at = 0;
        while at < len {
            masks[len][at / 8] |= 0xff << (at % 8 * 8);
            at += 1;
        }
        len += 1;
    }
    masks
};

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

/// Where a name stands in the table. The factor is chosen so that no two known names meet; `table` refuses to compile
/// when a new one does.
#[inline(always)]
const fn slot(key: &[u64; 3]) -> usize {
    let mix = key[0] ^ key[1].rotate_left(23) ^ key[2].rotate_left(41);
    (mix.wrapping_mul(0x085a_6fd1_bd9c_9f15) >> 56) as usize
}

static TABLE: [Name; SLOTS] = table();

/// The folded text of each name; of `Other` nothing that a name could be.
static KEYS: [[u64; 3]; Name::COUNT] = keys();

/// A set of names is the bits of a u128.
const _: () = assert!(Name::COUNT <= 128);

const fn keys() -> [[u64; 3]; Name::COUNT] {
    let mut keys = [[0; 3]; Name::COUNT];
    let mut i = 0;
    while i < ALL.len() {
        let text = ALL[i].1.as_bytes();
        assert!(text.len() > 1 && text.len() < WINDOW, "a name does not fit the window");
        keys[ALL[i].0 as usize][2] = (text.len() as u64) << 56;
        let mut at = 0;
        while at < text.len() {
            keys[ALL[i].0 as usize][at / 8] |=
                (text[at].to_ascii_lowercase() as u64) << (at % 8 * 8);
            at += 1;
        }
        i += 1;
    }
    keys
}

const fn table() -> [Name; SLOTS] {
    let mut table = [Name::Other; SLOTS];
    let keys = keys();
    let mut i = 0;
    while i < ALL.len() {
        let name = ALL[i].0;
        let slot = slot(&keys[name as usize]);
        assert!(table[slot] as u8 == Name::Other as u8, "two names meet: choose a new factor");
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
        for other in [&b"C%6Fntact"[..], b"q", b"", b"X-Via", b"Vib", b"Call\rID", b"via\0"] {
            assert_eq!(Name::of(other), Name::Other);
        }
    }
}
