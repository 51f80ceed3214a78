//! Inputs that are as bad as a message of their size can be for a reader, made from a size.

/// Name and generator: `n` is how often the bad part is repeated.
pub type Hostile = (&'static str, fn(usize) -> Vec<u8>);

const VIA: &str = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n";
const REST: &str = "From: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n";

fn message(headers: &str) -> Vec<u8> {
    format!("INVITE sip:b@b SIP/2.0\r\n{VIA}{REST}{headers}\r\n").into_bytes()
}

fn line(start: &str, part: &str, n: usize) -> Vec<u8> {
    message(&format!("{start}{}\r\n", part.repeat(n)))
}

pub const ALL: &[Hostile] = &[
    ("extension headers", |n| {
        message(&(0..n).map(|i| format!("X-{i}: v\r\n")).collect::<String>())
    }),
    ("known headers", |n| message(&"Subject: v\r\n".repeat(n))),
    ("contacts in lines", |n| message(&"m: <sip:a@b>\r\n".repeat(n))),
    ("contacts in one line", |n| line("m: <sip:a@b>", ",<sip:a@b>", n)),
    ("vias in one line", |n| line("v: SIP/2.0/UDP h", ",SIP/2.0/UDP h", n)),
    ("routes in one line", |n| line("Route: <sip:r;lr>", ",<sip:r;lr>", n)),
    ("tokens", |n| line("Require: a", ",a", n)),
    ("empty tokens", |n| line("Supported: a", ",", n)),
    ("header parameters", |n| line("m: <sip:a@b>", ";p=v", n)),
    ("URI parameters", |n| line("m: <sip:a@b", ";p=v", n)),
    ("folds", |n| line("Subject: a", "\r\n a", n)),
    ("blanks", |n| line("Subject: a", " \t", n)),
    ("folds before a URI", |n| line("m: ", "\r\n ", n)),
    ("display tokens", |n| line("m: ", "a ", n)),
    ("quotes never closed", |n| line("m: ", "\"a\\\" ", n)),
    ("escapes in quotes", |n| line("m: \"", "\\\\", n)),
    ("brackets never closed", |n| line("m: ", "<", n)),
    ("lines without colon", |n| message(&"a b c\r\n".repeat(n))),
    ("bare CRs", |n| line("Subject: ", "a\r", n)),
    ("bare CR lines", |n| message(&"S: a\rb\r\n".repeat(n))),
    ("credentials", |n| line("Authorization: Digest a=b", ",a=b", n)),
    ("digits", |n| line("Max-Forwards: ", "9", n)),
    ("content lengths", |n| message(&"l: 0\r\n".repeat(n))),
    ("percent signs", |n| line("m: <sip:a@b;x=", "%41", n)),
    ("at signs", |n| line("m: <sip:", "@", n)),
    ("CRLFs first", |n| [b"\r\n".repeat(n), message("")].concat()),
    ("one long name", |n| line("a", "a", n)),
    ("a long start line", |n| b"A ".repeat(n)),
];
