//! Room "disposition" (RFC 3841 §9.1): what the caller asks of proxies in Request-Disposition. What a directive does not
//! name stays as the operator has it. Accept-Contact and Reject-Contact (§9.2, §9.3) are for servers that know what
//! devices can do; this one knows no such thing, prefers nobody, and passes them on untouched.

use sip_message::{Name, Request};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// `redirect`: the caller wants to try the addresses itself.
    pub redirect: bool,
    /// `no-fork`: at most one address is tried.
    pub fork: bool,
    /// `no-recurse`: redirections are the caller's.
    pub recurse: bool,
    /// `no-cancel`: those who ring when somebody has answered go on ringing.
    pub cancel: bool,
    pub order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By preference, equal ones together.
    Preference,
    /// `parallel`: all together.
    Parallel,
    /// `sequential`: each alone.
    Sequential,
}

impl Disposition {
    pub fn of(request: &Request) -> Self {
        let mut wish = Self {
            redirect: false,
            fork: true,
            recurse: true,
            cancel: true,
            order: Order::Preference,
        };
        if request.header(Name::RequestDisposition).is_none() {
            return wish;
        }
        for directive in request.tokens(Name::RequestDisposition) {
            match directive.to_ascii_lowercase().as_slice() {
                b"redirect" => wish.redirect = true,
                b"no-fork" => wish.fork = false,
                b"no-recurse" => wish.recurse = false,
                b"no-cancel" => wish.cancel = false,
                b"parallel" => wish.order = Order::Parallel,
                b"sequential" => wish.order = Order::Sequential,
                // proxy, fork, cancel, recurse are what is done anyway; nothing is queued here.
                _ => {}
            }
        }
        wish
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Disposition {
        let text = format!("INVITE sip:b@x SIP/2.0\r\nCall-ID: c\r\n{lines}\r\n");
        match sip_message::Message::parse(text.into()) {
            Ok(sip_message::Message::Request(request)) => Disposition::of(&request),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn directives() {
        let plain = read("");
        assert!(!plain.redirect && plain.fork && plain.recurse && plain.cancel);
        assert_eq!(plain.order, Order::Preference);
        assert_eq!(read("Request-Disposition: proxy, fork, cancel, recurse, queue\r\n"), plain);
        let all = read("Request-Disposition: No-Fork, no-recurse\r\nd: no-cancel,sequential\r\n");
        assert!(!all.fork && !all.recurse && !all.cancel);
        assert_eq!(all.order, Order::Sequential);
        assert_eq!(read("d: parallel\r\n").order, Order::Parallel);
        assert!(read("d: redirect\r\n").redirect);
    }
}
