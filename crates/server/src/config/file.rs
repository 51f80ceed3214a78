//! What the operator wrote: the parsed file walked against the list of settings, so that every mistake of shape
//! (unknown names, wrong kinds) is found in one run, each with its place. What the values mean is `meaning.rs`.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Findings, Mistake, nearest};

/// Every setting there is: the section, and its keys. `meaning.rs` reads them; `docs/config.md` explains them.
pub const SETTINGS: &[(&str, &[&str])] = &[
    (
        "sip",
        &[
            "listen",
            "domains",
            "allow_inbound",
            "allow_outbound",
            "redirect_domains",
            "workers",
            "nap",
            "drain_timeout",
            "mode",
            "record_route",
            "spread",
            "utc_offset",
        ],
    ),
    ("proxy", &["fork_timeout", "recurse"]),
    ("registrar", &["expires", "contacts_per_user"]),
    ("auth", &["enabled", "algorithms", "nonce_lifetime", "ban"]),
    ("nat", &["keepalive", "expires", "contact_alias"]),
    ("limits", &["trusted", "connections", "per_source"]),
    ("dns", &["servers", "hosts", "query_timeout", "timeout", "allow_local"]),
    ("store", &["url"]),
    ("admin", &["socket"]),
    ("log", &["level", "format"]),
];

/// What is written as a list of tables, or as tables with names of the operator's: `gateway.rs`, `set.rs` and `route.rs` read them.
pub const TABLES: &[&str] = &["gateway", "set", "route"];

/// A value and where it was written; nowhere, if a flag said it.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub span: Option<Range<usize>>,
}

impl<T> At<T> {
    pub fn flag(value: T) -> Self {
        Self { value, span: None }
    }
}

/// The file, parsed. Reading a value notes what is wrong with it and returns nothing then.
pub struct Written<'a> {
    pub(super) root: DeTable<'a>,
    source: &'a str,
    pub mistakes: Vec<Mistake>,
}

impl<'a> Written<'a> {
    /// Syntax first, then names; both completely.
    pub fn parse(source: &'a str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(source);
        let syntax = |error: toml::de::Error| {
            Mistake::error("syntax", error.message().lines().next().unwrap_or("not TOML"))
                .at(error.span().map(|span| within(source, span)))
        };
        let mut written = Self {
            root: root.into_inner(),
            source,
            mistakes: errors.into_iter().map(syntax).collect(),
        };
        written.check_names();
        written
    }

    fn check_names(&mut self) {
        let sections: Vec<&str> = SETTINGS.iter().map(|(name, _)| *name).collect();
        let mut mistakes = Vec::new();
        for (name, value) in &self.root {
            if TABLES.contains(&name.get_ref().as_ref()) {
                continue;
            }
            let Some((section, keys)) = SETTINGS.iter().find(|(s, _)| s == name.get_ref()) else {
                let homes =
                    SETTINGS.iter().filter(|(_, keys)| keys.contains(&name.get_ref().as_ref()));
                let homes: Vec<String> = homes.map(|(s, _)| format!("`[{s}]`")).collect();
                let label = match nearest(name.get_ref(), &sections) {
                    Some(near) => format!("did you mean `[{near}]`?"),
                    None if !homes.is_empty() => format!("belongs under {}", homes.join(" or ")),
                    None => format!("sections: {}", sections.join(", ")),
                };
                let message = format!("`{}` is not a section", name.get_ref());
                mistakes.push(
                    Mistake::error("unknown-section", message).at(Some(name.span())).label(label),
                );
                continue;
            };
            let DeValue::Table(table) = value.get_ref() else {
                let message = format!("`{section}` is a section, not a setting");
                mistakes.push(
                    Mistake::error("wrong-type", message)
                        .at(Some(value.span()))
                        .label(format!("write a line `[{section}]` and the settings under it")),
                );
                continue;
            };
            unknown_keys(table, &format!("[{section}]"), keys, &mut mistakes);
        }
        self.mistakes.append(&mut mistakes);
    }

    /// The line that a place is in; 0 for nowhere.
    pub fn line(&self, span: Option<&Range<usize>>) -> u32 {
        let before = span.and_then(|span| self.source.get(..span.start));
        before.map_or(0, |before| {
            u32::try_from(before.matches('\n').count()).map_or(u32::MAX, |lines| lines + 1)
        })
    }

    /// The file itself at this place.
    pub fn text_at(&self, span: &Range<usize>) -> &'a str {
        self.source.get(span.clone()).unwrap_or_default()
    }

    /// Whether `section.key` is written.
    pub fn says(&self, path: &str) -> bool {
        path.split_once('.').is_some_and(|(section, key)| self.value(section, key).is_some())
    }

    pub(super) fn value(&self, section: &str, key: &str) -> Option<&Spanned<DeValue<'a>>> {
        self.root.get(section)?.get_ref().as_table()?.get(key)
    }

    pub(super) fn wrong_type(&mut self, path: &str, span: Range<usize>, found: &str, wanted: &str) {
        let mistake = Mistake::error("wrong-type", format!("`{path}` must be {wanted}"))
            .at(Some(span))
            .label(format!("this is {found}"));
        self.mistakes.push(mistake);
    }

    fn read<T>(
        &mut self,
        section: &str,
        key: &str,
        wanted: &str,
        read: impl FnOnce(&DeValue<'a>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.value(section, key)?;
        let (span, found) = (value.span(), value.get_ref().type_str());
        match read(value.get_ref()) {
            Some(value) => Some(At { value, span: Some(span) }),
            None => {
                self.wrong_type(&format!("{section}.{key}"), span, &article(found), wanted);
                None
            }
        }
    }

    pub fn text(&mut self, section: &str, key: &str, wanted: &str) -> Option<At<String>> {
        self.read(section, key, wanted, |v| v.as_str().map(str::to_owned))
    }

    pub fn boolean(&mut self, section: &str, key: &str) -> Option<At<bool>> {
        self.read(section, key, "true or false", DeValue::as_bool)
    }

    /// A whole number not below zero.
    pub fn number(&mut self, section: &str, key: &str) -> Option<At<u64>> {
        self.read(section, key, "a whole number", |v| {
            let integer = v.as_integer()?;
            u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
        })
    }

    /// A whole number or a word.
    pub fn number_or_text(&mut self, section: &str, key: &str, wanted: &str) -> Option<At<String>> {
        self.read(section, key, wanted, |v| match v {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) => Some(number.as_str().to_owned()),
            _ => None,
        })
    }

    /// A list of strings, each with its place; a single string is a list of one.
    pub fn texts(&mut self, section: &str, key: &str) -> Option<At<Vec<At<String>>>> {
        let value = self.value(section, key)?;
        let path = format!("{section}.{key}");
        let span = value.span();
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::String(_) => vec![value],
            DeValue::Array(items) => items.iter().collect(),
            other => {
                let found = article(other.type_str());
                self.wrong_type(&path, span, &found, "a list of strings");
                return None;
            }
        };
        let (mut texts, mut wrong) = (Vec::new(), Vec::new());
        for item in items {
            match item.get_ref().as_str() {
                Some(text) => {
                    texts.push(At { value: text.to_owned(), span: Some(item.span()) });
                }
                None => wrong.push((item.span(), article(item.get_ref().type_str()))),
            }
        }
        for (span, found) in wrong {
            self.wrong_type(&path, span, &found, "a list of strings");
        }
        Some(At { value: texts, span: Some(span) })
    }

    /// An inline table of strings: `{ min = "60s", max = "2h" }`. In the order of `keys`.
    pub fn table<const N: usize>(
        &mut self,
        section: &str,
        key: &str,
        keys: [&str; N],
        wanted: &str,
    ) -> Option<[Option<At<String>>; N]> {
        let path = format!("{section}.{key}");
        let value = self.value(section, key)?;
        let Some(table) = value.get_ref().as_table() else {
            let (span, found) = (value.span(), article(value.get_ref().type_str()));
            self.wrong_type(&path, span, &found, wanted);
            return None;
        };
        let mut mistakes = Vec::new();
        unknown_keys(table, &path, &keys, &mut mistakes);
        let texts = keys.map(|key| {
            let value = table.get(key)?;
            let text = value.get_ref().as_str();
            if text.is_none() {
                mistakes.push(
                    Mistake::error("wrong-type", format!("`{path}.{key}` must be a string"))
                        .at(Some(value.span()))
                        .label(format!("this is {}", article(value.get_ref().type_str()))),
                );
            }
            Some(At { value: text?.to_owned(), span: Some(value.span()) })
        });
        self.mistakes.append(&mut mistakes);
        Some(texts)
    }

    pub fn findings(self, path: &str, source: &str) -> Findings {
        let mut findings =
            Findings { path: path.to_owned(), source: source.to_owned(), mistakes: self.mistakes };
        findings.sort();
        findings
    }
}

pub(super) fn unknown_keys(
    table: &DeTable<'_>,
    place: &str,
    known: &[&str],
    mistakes: &mut Vec<Mistake>,
) {
    for (name, _) in table {
        if known.contains(&name.get_ref().as_ref()) {
            continue;
        }
        let label = match nearest(name.get_ref(), known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("settings here: {}", known.join(", ")),
        };
        let message = format!("`{}` is not a setting of {place}", name.get_ref());
        mistakes.push(Mistake::error("unknown-key", message).at(Some(name.span())).label(label));
    }
}

pub(super) fn article(kind: &str) -> String {
    match kind {
        "integer" | "array" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

/// A span the renderer can point at: inside the text, on character borders.
fn within(source: &str, span: Range<usize>) -> Range<usize> {
    let border = |mut at: usize| {
        at = at.min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    border(span.start)..border(span.end.max(span.start))
}
