//! What is wrong with a configuration, and how it is shown: with the line and a mark under it, as one JSON object, or
//! as a count. It knows nothing of settings.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
    /// What was written is less careful than the default. It may be meant.
    Deviation,
    /// Nothing to mend: something to know. Never a reason to fail.
    Note,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Deviation => "deviation",
            Severity::Note => "note",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Mistake {
    pub severity: Severity,
    /// For machines and for looking it up: `unknown-key`.
    pub code: &'static str,
    pub message: String,
    /// Bytes of the file; none for what a flag or the environment said.
    pub span: Option<Range<usize>>,
    /// Written under the mark.
    pub label: String,
    pub help: Option<String>,
}

impl Mistake {
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            severity: Severity::Error,
            code,
            message,
            span: None,
            label: String::new(),
            help: None,
        }
    }

    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    pub fn deviation(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Deviation, ..Self::error(code, message) }
    }

    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, message) }
    }

    pub fn at(mut self, span: Option<Range<usize>>) -> Self {
        self.span = span;
        self
    }

    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Everything found in one file.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// As it was named on the command line; empty when there is no file.
    pub path: String,
    pub source: String,
    pub mistakes: Vec<Mistake>,
}

impl Findings {
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    pub fn deviations(&self) -> usize {
        self.count(Severity::Deviation)
    }

    fn count(&self, severity: Severity) -> usize {
        self.mistakes.iter().filter(|m| m.severity == severity).count()
    }

    /// In the order of the file.
    pub fn sort(&mut self) {
        self.mistakes.sort_by_key(|m| m.span.as_ref().map_or(usize::MAX, |s| s.start));
    }

    /// With source lines and marks, one paragraph each.
    pub fn human(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for mistake in &self.mistakes {
            let level = match mistake.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
                Severity::Deviation => Level::NOTE.with_name("deviation"),
                Severity::Note => Level::NOTE,
            };
            let mut group = level
                .primary_title(annotate_snippets::normalize_untrusted_str(&mistake.message))
                .id(mistake.code)
                .elements(std::iter::empty::<Snippet<'_, annotate_snippets::Annotation<'_>>>());
            if let Some(span) = &mistake.span {
                let mark = AnnotationKind::Primary.span(span.clone());
                let mark =
                    if mistake.label.is_empty() { mark } else { mark.label(&*mistake.label) };
                let snippet =
                    Snippet::source(&*self.source).path(&*self.path).fold(true).annotation(mark);
                group = group.element(snippet);
            }
            if let Some(help) = &mistake.help {
                group = group.element(Level::HELP.message(help.as_str()));
            }
            text.push_str(&renderer.render(&[group]));
            text.push_str("\n\n");
        }
        text
    }

    /// One object per mistake, one per line.
    pub fn json(&self) -> String {
        self.objects().iter().map(|object| format!("{object}\n")).collect()
    }

    /// Each with the line it is in, from 1; 0 for none.
    pub fn lines(&self) -> impl Iterator<Item = (&Mistake, u64)> {
        self.mistakes.iter().map(|mistake| {
            let line = mistake.span.as_ref().map(|span| position(&self.source, span.start).0);
            (mistake, line.and_then(|line| u64::try_from(line).ok()).unwrap_or(0))
        })
    }

    pub fn objects(&self) -> Vec<Value> {
        let object = |mistake: &Mistake| {
            let place = mistake.span.as_ref().map(|span| position(&self.source, span.start));
            json!({
                "v": 1,
                "severity": mistake.severity.name(),
                "code": mistake.code,
                "message": mistake.message,
                "file": self.path,
                "line": place.map(|p| p.0),
                "column": place.map(|p| p.1),
                "span": mistake.span.as_ref().map(|s| [s.start, s.end]),
                "label": mistake.label,
                "help": mistake.help,
            })
        };
        self.mistakes.iter().map(object).collect()
    }

    /// Workflow commands of GitHub, which shows them beside the line.
    pub fn github(&self) -> String {
        // What the format itself uses is escaped as it wants.
        let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
        let mut text = String::new();
        for mistake in &self.mistakes {
            let level = match mistake.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Deviation | Severity::Note => "notice",
            };
            let mut place = format!("file={}", property(&self.path));
            if let Some(span) = &mistake.span {
                let (line, column) = position(&self.source, span.start);
                place.push_str(&format!(",line={line},col={column}"));
            }
            let says = [&*mistake.message, &*mistake.label].map(data);
            let says = says.iter().filter(|s| !s.is_empty()).map(|s| &**s).collect::<Vec<_>>();
            text.push_str(&format!(
                "::{level} {place},title={}::{}\n",
                property(mistake.code),
                says.join(": ")
            ));
        }
        text
    }

    /// `2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        let counts = [
            (self.errors(), "error"),
            (self.warnings(), "warning"),
            (self.deviations(), "deviation"),
            (self.count(Severity::Note), "note"),
        ];
        let counted =
            |(n, one): &(usize, &str)| format!("{n} {one}{}", if *n == 1 { "" } else { "s" });
        let words: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(counted).collect();
        if words.is_empty() { "no mistakes".to_owned() } else { words.join(", ") }
    }
}

/// Line and column, both from 1, the column in characters.
fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// The known name nearest to what was written, if one is near.
pub fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = (written.chars().count() / 2).clamp(1, 3);
    known
        .iter()
        .map(|name| (distance(&written.to_lowercase(), name), *name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein: insertions, removals and replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let replaced = before + usize::from(x != *y);
            before = *cell;
            *cell = replaced.min(before + 1).min(left + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name() {
        assert_eq!(nearest("listn", &["domains", "listen"]), Some("listen"));
        assert_eq!(nearest("LISTEN", &["listen"]), Some("listen"));
        assert_eq!(nearest("contact_per_user", &["contacts_per_user"]), Some("contacts_per_user"));
        assert_eq!(nearest("gateway", &["listen", "domains"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn lines_and_columns_start_at_one() {
        assert_eq!(position("a\nbé c", 6), (2, 4));
        assert_eq!(position("", 0), (1, 1));
    }
}
