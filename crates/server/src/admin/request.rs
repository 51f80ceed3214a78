//! What can be asked, and what a user's name may be: the same rules whether the server runs or not.

use serde_json::{Value, json};

use super::forward::Change;

/// Widths of the `subscriber` table.
const USER_MAX: usize = 64;
/// RFC 7616 sets no bound; a longer one is a mistake or an attack.
const PASSWORD_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Status,
    /// The file again. `color`: how mistakes are to be shown.
    Reload {
        color: bool,
    },
    /// Every binding, or one user's.
    Bindings {
        aor: Option<String>,
    },
    Users,
    UserAdd {
        name: String,
        password: String,
    },
    UserPassword {
        name: String,
        password: String,
    },
    UserRemove {
        name: String,
    },
    Bans,
    BanAdd {
        network: String,
        seconds: u64,
    },
    BanRemove {
        network: String,
    },
    /// Another name for a user, or not any more.
    UserAlias {
        name: String,
        alias: String,
        remove: bool,
    },
    Gateways,
    GatewayOrder {
        name: String,
        order: String,
        by: String,
        why: String,
    },
    GatewayTest {
        name: String,
    },
    Explain {
        to: String,
        from: Option<String>,
        source: Option<String>,
        method: String,
    },
    UserForward {
        name: String,
        change: Change,
    },
    /// What a user's digest is made of, for a phone of the same owner as the store, and where we listen.
    Credential {
        name: String,
    },
}

impl Request {
    pub fn to_json(&self) -> Value {
        match self {
            Request::Status => json!({"v": 1, "ask": "status"}),
            Request::Reload { color } => json!({"v": 1, "ask": "reload", "color": color}),
            Request::Bindings { aor } => json!({"v": 1, "ask": "bindings", "aor": aor}),
            Request::Users => json!({"v": 1, "ask": "users"}),
            Request::UserAdd { name, password } => {
                json!({"v": 1, "ask": "user-add", "name": name, "password": password})
            }
            Request::UserPassword { name, password } => {
                json!({"v": 1, "ask": "user-password", "name": name, "password": password})
            }
            Request::UserRemove { name } => json!({"v": 1, "ask": "user-remove", "name": name}),
            Request::Bans => json!({"v": 1, "ask": "bans"}),
            Request::BanAdd { network, seconds } => {
                json!({"v": 1, "ask": "ban-add", "network": network, "seconds": seconds})
            }
            Request::BanRemove { network } => {
                json!({"v": 1, "ask": "ban-remove", "network": network})
            }
            Request::UserForward { name, change } => change.to_json(name),
            Request::UserAlias { name, alias, remove } => {
                json!({"v": 1, "ask": "user-alias", "name": name, "alias": alias, "remove": remove})
            }
            Request::Gateways => json!({"v": 1, "ask": "gateways"}),
            Request::GatewayOrder { name, order, by, why } => {
                json!({"v": 1, "ask": "gateway-order", "name": name, "order": order, "by": by, "why": why})
            }
            Request::GatewayTest { name } => json!({"v": 1, "ask": "gateway-test", "name": name}),
            Request::Explain { to, from, source, method } => {
                json!({"v": 1, "ask": "explain", "to": to, "from": from, "source": source, "method": method})
            }
            Request::Credential { name } => json!({"v": 1, "ask": "credential", "name": name}),
        }
    }

    /// `None` for what is no request; the caller answers that it did not understand.
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(match value.get("ask")?.as_str()? {
            "status" => Request::Status,
            "reload" => {
                let color = value.get("color").and_then(Value::as_bool);
                Request::Reload { color: color.unwrap_or(false) }
            }
            "bindings" => Request::Bindings { aor: text("aor") },
            "users" => Request::Users,
            "user-add" => Request::UserAdd { name: text("name")?, password: text("password")? },
            "user-password" => {
                Request::UserPassword { name: text("name")?, password: text("password")? }
            }
            "user-remove" => Request::UserRemove { name: text("name")? },
            "bans" => Request::Bans,
            "ban-add" => {
                let seconds = value.get("seconds")?.as_u64()?;
                Request::BanAdd { network: text("network")?, seconds }
            }
            "ban-remove" => Request::BanRemove { network: text("network")? },
            "user-alias" => {
                let remove = value.get("remove")?.as_bool()?;
                Request::UserAlias { name: text("name")?, alias: text("alias")?, remove }
            }
            "gateways" => Request::Gateways,
            "gateway-order" => Request::GatewayOrder {
                name: text("name")?,
                order: text("order")?,
                by: text("by")?,
                why: text("why")?,
            },
            "gateway-test" => Request::GatewayTest { name: text("name")? },
            "explain" => Request::Explain {
                to: text("to")?,
                from: text("from"),
                source: text("source"),
                method: text("method")?,
            },
            "user-forward" => {
                Request::UserForward { name: text("name")?, change: Change::from_json(value) }
            }
            "credential" => Request::Credential { name: text("name")? },
            _ => return None,
        })
    }
}

/// A user and one of our domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub user: String,
    pub domain: String,
}

impl Name {
    /// `alice`, which is of the first domain, or `alice@example.com`. `served` are the canonical names, `canonical` finds
    /// the one another spelling stands for.
    pub fn read(
        text: &str,
        served: &[Box<str>],
        canonical: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let text = text.strip_prefix("sip:").unwrap_or(text);
        let (user, domain) = match text.rsplit_once('@') {
            Some((user, domain)) => {
                let found = canonical(domain).ok_or_else(|| {
                    format!(
                        "{domain} is not a domain of this server; it serves {}",
                        served.join(", ")
                    )
                })?;
                (user, found)
            }
            None => (text, served.first().map(ToString::to_string).unwrap_or_default()),
        };
        if user.is_empty() || user.len() > USER_MAX {
            return Err(format!("a user name has 1 to {USER_MAX} bytes"));
        }
        // What a phone would have to escape, or a digest would read differently, is refused here and not at 3 a.m.
        let odd = |c: char| c.is_control() || c.is_whitespace() || "@:;?\"\\<>%".contains(c);
        if let Some(c) = user.chars().find(|c| odd(*c)) {
            return Err(format!("a user name cannot contain {c:?}"));
        }
        Ok(Self { user: user.to_owned(), domain })
    }

    pub fn aor(&self) -> String {
        format!("{}@{}", self.user, self.domain)
    }
}

pub fn check_password(password: &str) -> Result<(), String> {
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if password.len() > PASSWORD_MAX || password.chars().any(char::is_control) {
        return Err(format!("a password has up to {PASSWORD_MAX} bytes and no control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let served: Vec<Box<str>> = vec!["example.com".into(), "example.net".into()];
        let read = |text: &str| {
            Name::read(text, &served, |d| {
                served.iter().find(|s| s.eq_ignore_ascii_case(d)).map(ToString::to_string)
            })
        };
        assert_eq!(read("alice").map(|n| n.aor()).as_deref(), Ok("alice@example.com"));
        assert_eq!(read("sip:bob@EXAMPLE.net").map(|n| n.aor()).as_deref(), Ok("bob@example.net"));
        for bad in ["", "a b", "a@b", "a:b", "@example.com", "a%40@example.com", "x@example.org"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn requests_survive_the_wire() {
        let add = Request::UserAdd { name: "alice".into(), password: "p\"w".into() };
        let ban = Request::BanAdd { network: "192.0.2.0/24".into(), seconds: 60 };
        let unban = Request::BanRemove { network: "192.0.2.0/24".into() };
        let change = Change { busy: true, uri: Some("sip:bob@x".into()), ..Change::default() };
        let forward = Request::UserForward { name: "alice".into(), change };
        let alias = Request::UserAlias { name: "alice".into(), alias: "+49".into(), remove: false };
        let order = Request::GatewayOrder {
            name: "a".into(),
            order: "draining".into(),
            by: "root".into(),
            why: "".into(),
        };
        let test = Request::GatewayTest { name: "a".into() };
        let explain = Request::Explain {
            to: "sip:1@x".into(),
            from: None,
            source: Some("192.0.2.1".into()),
            method: "INVITE".into(),
        };
        let others = [alias, order, test, explain, Request::Gateways];
        let plain =
            [Request::Status, Request::Users, Request::Bans, Request::Bindings { aor: None }];
        let plain = plain.into_iter().chain([Request::Reload { color: true }]);
        for request in plain.chain([add, ban, unban, forward]).chain(others) {
            assert_eq!(Request::from_json(&request.to_json()), Some(request));
        }
        assert_eq!(Request::from_json(&json!({"ask": "dance"})), None);
    }
}
