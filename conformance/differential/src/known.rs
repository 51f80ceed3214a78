//! The differences that are known, each with its reason. README.md says who is right.

use crate::seen::{Difference, Seen};

/// Why the two differ here; `None`: nobody knows, and somebody must look. No difference of a value is known.
pub fn reason(difference: &Difference, ours: &Seen, theirs: &Seen) -> Option<&'static str> {
    match difference {
        Difference::OnlyTheyTake => stricter(&ours.why),
        Difference::OnlyWeTake => laxer(&theirs.why),
        Difference::Value(_) => None,
    }
}

fn stricter(why: &str) -> Option<&'static str> {
    Some(match why {
        "a malformed address"
        | "a malformed Via"
        | "a malformed Call-ID"
        | "malformed credentials"
        | "a malformed Contact"
        | "a malformed list of tokens"
        | "a malformed parameter"
        | "a malformed tag"
        | "a parameter occurs twice"
        | "an opening quote is never closed"
        | "Contact * stands beside other contacts"
        | "Max-Forwards is not a number"
        | "unexpected text after a header value" => {
            "we read every value of Via, Contact, Route, Require, credentials; they the first or none"
        }
        "a URI with ? needs angle brackets" => {
            "RFC 4475 §3.1.2.13 lets a receiver refuse or repair"
        }
        "the Via branch is only the magic cookie" => {
            "RFC 4475 §3.2.1 lets a receiver refuse or fall back"
        }
        "a header that may occur once occurs twice" => "we count more headers as single",
        "a character that a URI cannot hold"
        | "the host is neither a name nor an address"
        | "a URI has no scheme"
        | "the port is not a number below 65536"
        | "a URI is longer than 1024 bytes"
        | "% without two hex digits in a URI" => "we read every URI of the known headers",
        "a header line has no colon" | "a header name is not a token" => "they fold the start line",
        "more than 16 Contact values"
        | "more than 70 Via values"
        | "more than 32 Route or Record-Route values"
        | "more than 64 parameters on one value"
        | "a header name is longer than 128 bytes"
        | "the method is longer than 64 bytes" => "our limits",
        _ => return None,
    })
}

fn laxer(why: &str) -> Option<&'static str> {
    let reasons = [
        (
            "MissingRequiredHeader(\"Max-Forwards\")",
            "RFC 2543 peers send no Max-Forwards (RFC 4475 §3.4.1)",
        ),
        ("MalformedRequiredHeader(\"Via\")", "we keep odd bytes in a Via parameter"),
        (
            "MalformedRequiredHeader(\"From\")",
            "we keep odd bytes in a user part, display name or parameter",
        ),
        (
            "MalformedRequiredHeader(\"To\")",
            "we keep odd bytes in a user part, display name or parameter",
        ),
        ("malformed start line: bad Request-URI", "we keep odd bytes in a Request-URI"),
        ("header field exceeds", "their limits"),
    ];
    reasons.iter().find(|(start, _)| why.starts_with(start)).map(|(_, reason)| *reason)
}
