//! Telephone numbers: what a route asks of them, and what it makes of a match. Patterns take linear time whatever they
//! are and whatever they are asked (no backtracking), and their size is bounded.

use regex_lite::Regex;
use smallvec::SmallVec;

/// Longest pattern and template, in bytes.
pub const LENGTH_MAX: usize = 512;

/// Memory that one pattern may need, in bytes.
const PROGRAM_MAX: usize = 1 << 18;

#[derive(Clone, Debug)]
pub enum Pattern {
    /// Digits, `+`, `*`, `#`: this and no other number.
    Exact(Box<str>),
    /// Anything else is a regular expression, found anywhere unless it says `^` and `$`.
    Regex(Regex),
}

/// What matched, and the groups of it; `$0` is the whole number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched<'t> {
    groups: SmallVec<[&'t str; 4]>,
}

impl Pattern {
    /// Why it is none, in words for the operator.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if text.len() > LENGTH_MAX {
            return Err(format!("it is longer than {LENGTH_MAX} bytes"));
        }
        if text.bytes().all(|b| b.is_ascii_digit() || b"+*#".contains(&b)) {
            return Ok(Self::Exact(text.into()));
        }
        let regex = regex_lite::RegexBuilder::new(text).size_limit(PROGRAM_MAX).build();
        regex.map(Self::Regex).map_err(|error| error.to_string())
    }

    pub fn find<'t>(&self, text: &'t str) -> Option<Matched<'t>> {
        let mut groups = SmallVec::new();
        groups.push(text);
        match self {
            Self::Exact(exact) if **exact == *text => Some(Matched { groups }),
            Self::Exact(_) => None,
            Self::Regex(regex) => {
                let captures = regex.captures(text)?;
                let found = captures.iter().skip(1);
                groups.extend(found.map(|group| group.map_or("", |group| group.as_str())));
                Some(Matched { groups })
            }
        }
    }

    /// How many groups a match has besides the whole.
    pub fn groups(&self) -> usize {
        match self {
            Self::Exact(_) => 0,
            Self::Regex(regex) => regex.captures_len().saturating_sub(1),
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Exact(text) => text,
            Self::Regex(regex) => regex.as_str(),
        }
    }
}

impl<'t> Matched<'t> {
    /// A number that nothing was asked of.
    pub fn whole(text: &'t str) -> Self {
        Self { groups: smallvec::smallvec![text] }
    }

    pub fn number(&self) -> &'t str {
        self.groups.first().copied().unwrap_or_default()
    }
}

/// `+49$1`: text with groups of a match in it; `$$` is a dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Group(usize),
}

impl Template {
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() || text.len() > LENGTH_MAX {
            return Err("1 to 512 bytes");
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '$' {
                plain.push(letter);
                continue;
            }
            match letters.next() {
                Some('$') => plain.push('$'),
                Some(digit) if digit.is_ascii_digit() => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(core::mem::take(&mut plain).into()));
                    }
                    parts.push(Part::Group(digit as usize - '0' as usize));
                }
                _ => return Err("after a $ comes the digit of a group, or another $"),
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self { text: text.into(), parts })
    }

    pub fn fill(&self, matched: &Matched<'_>) -> String {
        let mut filled = String::new();
        for part in &self.parts {
            filled.push_str(match part {
                Part::Text(text) => text,
                Part::Group(group) => matched.groups.get(*group).copied().unwrap_or_default(),
            });
        }
        filled
    }

    /// The highest group it names.
    pub fn groups(&self) -> usize {
        let groups = self.parts.iter().map(|part| match part {
            Part::Group(group) => *group,
            Part::Text(_) => 0,
        });
        groups.max().unwrap_or(0)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(pattern: &str, template: &str, number: &str) -> Option<String> {
        let matched = Pattern::new(pattern).unwrap();
        Some(Template::new(template).unwrap().fill(&matched.find(number)?))
    }

    #[test]
    fn numbers_are_rewritten() {
        assert_eq!(rewrite("^0(.*)$", "+49$1", "030123").as_deref(), Some("+4930123"));
        assert_eq!(rewrite("^0([1-9].*)$", "+49$1", "0030123"), None);
        assert_eq!(rewrite("^(00|\\+)([0-9]+)$", "$2", "+1555").as_deref(), Some("1555"));
        assert_eq!(rewrite("^9(x)?(.*)$", "$1$2", "9123").as_deref(), Some("123"));
        assert_eq!(rewrite("12", "$$$0$9", "12").as_deref(), Some("$12"));
    }

    #[test]
    fn plain_digits_are_one_number_and_no_other() {
        let emergency = Pattern::new("112").unwrap();
        assert!(emergency.find("112").is_some());
        assert!(emergency.find("1120").is_none() && emergency.find("0112").is_none());
        assert!(Pattern::new("+49").unwrap().find("+49").is_some());
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for bad in ["", "(", "[z", "a{2,1}", &"1".repeat(600), "(?P<n>", "x{100000}{100000}"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
        for bad in ["", "$", "$x", "1$"] {
            assert!(Template::new(bad).is_err(), "{bad}");
        }
    }

    /// The pattern that takes backtracking engines an exponential time.
    #[test]
    fn no_pattern_takes_long() {
        let evil = Pattern::new("^(a+)+$").unwrap();
        assert!(evil.find(&("a".repeat(2_000) + "b")).is_none());
    }
}
