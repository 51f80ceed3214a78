//! The tables of the file that carry names of the operator's (`[[gateway]]`, `[set.core]`), as text: to tell one file from
//! another, whatever stands where. What they mean others say.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;

use toml::de::{DeTable, DeValue};

use super::file::{TABLES, Written};

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `gateway carrier-a`.
    pub name: String,
    /// Its keys in the order of their names, each with its value: `weight = 5`.
    pub lines: Vec<String>,
}

/// Those in which the first that fits wins.
const ORDERED: &str = "route";

pub fn read(written: &Written<'_>) -> Vec<Table> {
    let mut tables = Vec::new();
    for kind in TABLES {
        match written.root.get(*kind).map(|value| value.get_ref()) {
            Some(DeValue::Array(items)) => {
                let mut names = Vec::new();
                for (item, n) in items.iter().filter_map(|item| item.get_ref().as_table()).zip(1..)
                {
                    let name = item.get("name").and_then(|name| name.get_ref().as_str());
                    let name = name.map_or_else(|| format!("{n}"), str::to_owned);
                    tables.push(Table { name: format!("{kind} {name}"), lines: lines(item) });
                    names.push(name);
                }
                if *kind == ORDERED {
                    let name = format!("order of {kind}");
                    tables.push(Table { name, lines: vec![names.join(", ")] });
                }
            }
            Some(DeValue::Table(named)) => {
                for (name, value) in named {
                    let lines = value.get_ref().as_table().map(lines).unwrap_or_default();
                    tables.push(Table { name: format!("{kind} {}", name.get_ref()), lines });
                }
            }
            _ => {}
        }
    }
    tables
}

fn lines(table: &DeTable<'_>) -> Vec<String> {
    let mut pairs: Vec<(&str, &DeValue<'_>)> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref())).collect();
    pairs.sort_unstable_by_key(|(key, _)| *key);
    let line = |(key, value): (&str, &DeValue<'_>)| match value {
        DeValue::String(text) if key == "password" => format!("{key} = {}", hidden(text)),
        _ => format!("{key} = {}", plain(value)),
    };
    pairs.into_iter().map(line).collect()
}

/// What is shown of a password: that it is another one. The key is new in each process, so the digits say nothing else.
fn hidden(text: &str) -> String {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    format!("(hidden {:04x})", KEY.get_or_init(RandomState::new).hash_one(text) as u16)
}

fn plain(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| plain(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => format!("{{ {} }}", lines(table).join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_apart_and_never_shown() {
        let of = |password: &str| {
            let text = format!(
                "[[gateway]]\nname = \"a\"\nregister = {{ user = \"u\", password = \"{password}\" }}"
            );
            read(&Written::parse(&text))
        };
        let (one, other) = (of("hunter2"), of("hunter3"));
        assert_ne!(one, other);
        assert_eq!(one, of("hunter2"));
        assert!(!format!("{one:?}{other:?}").contains("hunter"), "{one:?}");
    }
}
