//! Tables inside the file that are read key by key: inline ones, lists of them (`[[gateway]]`), and those whose name is
//! the operator's (`[set.core]`). It notes mistakes of shape; what the values mean others say.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::{At, Written, article, unknown_keys};

/// One table, and how the file calls it.
pub struct Part<'a> {
    pub path: String,
    pub span: core::ops::Range<usize>,
    table: DeTable<'a>,
}

impl Part<'_> {
    /// Whether the key is written at all.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub fn is_table(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_table())
    }
}

impl<'a> Written<'a> {
    /// The value of a setting that is a table, such as `{ after = 20, within = "1m" }`.
    pub fn part(
        &mut self,
        section: &str,
        key: &str,
        keys: &[&str],
        wanted: &str,
    ) -> Option<Part<'a>> {
        let value = self.value(section, key)?.clone();
        self.as_part(format!("{section}.{key}"), &value, keys, wanted)
    }

    /// `[[name]]`, in the order of the file.
    pub fn parts(&mut self, name: &str, keys: &[&str]) -> Vec<Part<'a>> {
        let Some(value) = self.root.get(name).cloned() else { return Vec::new() };
        let wanted = format!("a list of tables: a line `[[{name}]]` before each");
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_type(name, value.span(), &article(value.get_ref().type_str()), &wanted);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.as_part(name.to_owned(), item, keys, &wanted)).collect()
    }

    /// `[name.X]`: X, and its table.
    pub fn named_parts(&mut self, name: &str, keys: &[&str]) -> Vec<(String, Part<'a>)> {
        let Some(value) = self.root.get(name).cloned() else { return Vec::new() };
        let wanted = format!("tables with names: a line `[{name}.NAME]` before each");
        let DeValue::Table(tables) = value.get_ref() else {
            self.wrong_type(name, value.span(), &article(value.get_ref().type_str()), &wanted);
            return Vec::new();
        };
        let mut parts = Vec::new();
        for (key, table) in tables {
            let path = format!("{name}.{}", key.get_ref());
            if let Some(part) = self.as_part(path, table, keys, &wanted) {
                parts.push((key.get_ref().to_string(), part));
            }
        }
        parts
    }

    /// A table inside a table.
    pub fn inner(
        &mut self,
        part: &Part<'a>,
        key: &str,
        keys: &[&str],
        wanted: &str,
    ) -> Option<Part<'a>> {
        let value = part.table.get(key)?.clone();
        self.as_part(format!("{}.{key}", part.path), &value, keys, wanted)
    }

    fn as_part(
        &mut self,
        path: String,
        value: &Spanned<DeValue<'a>>,
        keys: &[&str],
        wanted: &str,
    ) -> Option<Part<'a>> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(&path, value.span(), &article(value.get_ref().type_str()), wanted);
            return None;
        };
        unknown_keys(table, &path, keys, &mut self.mistakes);
        Some(Part { path, span: value.span(), table: table.clone() })
    }

    pub fn part_text(&mut self, part: &Part<'a>, key: &str, wanted: &str) -> Option<At<String>> {
        let value = part.table.get(key)?;
        if let Some(text) = value.get_ref().as_str() {
            return Some(At { value: text.to_owned(), span: Some(value.span()) });
        }
        let found = article(value.get_ref().type_str());
        self.wrong_type(&format!("{}.{key}", part.path), value.span(), &found, wanted);
        None
    }

    pub fn part_boolean(&mut self, part: &Part<'a>, key: &str) -> Option<bool> {
        let value = part.table.get(key)?;
        if let Some(boolean) = value.get_ref().as_bool() {
            return Some(boolean);
        }
        let found = article(value.get_ref().type_str());
        self.wrong_type(&format!("{}.{key}", part.path), value.span(), &found, "true or false");
        None
    }

    /// A string, or true: `redirect = true`, `redirect = "sip:..."`. The string is empty for true.
    pub fn part_text_or_true(&mut self, part: &Part<'a>, key: &str) -> Option<At<String>> {
        let value = part.table.get(key)?;
        if value.get_ref().as_bool() == Some(true) {
            return Some(At { value: String::new(), span: Some(value.span()) });
        }
        self.part_text(part, key, "true or a string")
    }

    /// A table inside a table whose keys are the operator's: each with its text.
    pub fn part_pairs(&mut self, part: &Part<'a>, key: &str) -> Vec<(String, At<String>)> {
        let Some(value) = part.table.get(key).cloned() else { return Vec::new() };
        let path = format!("{}.{key}", part.path);
        let Some(table) = value.get_ref().as_table() else {
            let found = article(value.get_ref().type_str());
            self.wrong_type(&path, value.span(), &found, "a table such as { Subject = \"test\" }");
            return Vec::new();
        };
        let mut pairs = Vec::new();
        for (name, value) in table {
            match value.get_ref().as_str() {
                Some(text) => {
                    let at = At { value: text.to_owned(), span: Some(value.span()) };
                    pairs.push((name.get_ref().to_string(), at));
                }
                None => {
                    let found = article(value.get_ref().type_str());
                    self.wrong_type(&path, value.span(), &found, "a table of strings");
                }
            }
        }
        pairs
    }

    /// A whole number not below zero.
    pub fn part_number(&mut self, part: &Part<'a>, key: &str) -> Option<At<u64>> {
        let value = part.table.get(key)?;
        let number = value.get_ref().as_integer().and_then(|integer| {
            u64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
        });
        if let Some(number) = number {
            return Some(At { value: number, span: Some(value.span()) });
        }
        let found = article(value.get_ref().type_str());
        self.wrong_type(&format!("{}.{key}", part.path), value.span(), &found, "a whole number");
        None
    }

    /// A list of strings; a single one is a list of one.
    pub fn part_texts(&mut self, part: &Part<'a>, key: &str) -> Option<Vec<At<String>>> {
        let value = part.table.get(key)?;
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut texts = Vec::new();
        for item in items {
            match item.get_ref().as_str() {
                Some(text) => texts.push(At { value: text.to_owned(), span: Some(item.span()) }),
                None => {
                    let found = article(item.get_ref().type_str());
                    let path = format!("{}.{key}", part.path);
                    self.wrong_type(&path, item.span(), &found, "a list of strings");
                }
            }
        }
        Some(texts)
    }
}
