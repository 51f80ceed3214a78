//! The tables of the file that carry names of the operator's (`[[gateway]]`, `[set.core]`), as text: to tell one file from
//! another, whatever stands where, and without its passwords. What they mean others say.

use std::hash::{DefaultHasher, Hash, Hasher};

use toml::de::{DeTable, DeValue};

use super::file::{TABLES, Written};

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `gateway carrier-a`.
    pub name: String,
    /// Its keys in the order of their names.
    pub lines: Vec<Line>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `weight = 5`, `password = (secret)`.
    pub shown: String,
    /// Tells one secret in it from another.
    secrets: u64,
}

/// Those in which the first that fits wins.
const ORDERED: &str = "route";

/// What this key says is shown to nobody.
const SECRET: &str = "password";

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
                    let line = Line { shown: names.join(", "), secrets: 0 };
                    tables.push(Table { name, lines: vec![line] });
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

fn lines(table: &DeTable<'_>) -> Vec<Line> {
    let line = |(key, value): (&str, &DeValue<'_>)| {
        let mut secrets = DefaultHasher::new();
        let shown = format!("{key} = {}", plain(key, value, &mut secrets));
        Line { shown, secrets: secrets.finish() }
    };
    pairs(table).into_iter().map(line).collect()
}

fn pairs<'t>(table: &'t DeTable<'_>) -> Vec<(&'t str, &'t DeValue<'t>)> {
    let mut pairs: Vec<(&str, &DeValue<'_>)> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref())).collect();
    pairs.sort_unstable_by_key(|(key, _)| *key);
    pairs
}

fn plain(key: &str, value: &DeValue<'_>, secrets: &mut DefaultHasher) -> String {
    match value {
        DeValue::String(text) if key == SECRET => {
            text.hash(secrets);
            "(secret)".to_owned()
        }
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is) => is.to_string(),
        DeValue::Datetime(at) => at.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> =
                items.iter().map(|item| plain(key, item.get_ref(), secrets)).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let pairs: Vec<String> = pairs(table)
                .into_iter()
                .map(|(key, value)| format!("{key} = {}", plain(key, value, secrets)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}
