//! The parts of a map file, and what it means for a cell to match a value: the definition that compilation must equal.
use crate::event::address::{Network, parse_address};
use crate::event::value::{Num, parse_number};
use crate::pattern::Pattern;

/// A column of conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Getter {
    /// How cells are compared.
    pub kind: GetterKind,
    /// With which field.
    pub field: String,
}

/// How cells of a getter are compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetterKind {
    /// `event.F`: equal text.
    Exact,
    /// `regex.event.F`: an unanchored pattern.
    Regex,
    /// `range.event.F`: within a range of numbers or addresses.
    Range,
    /// `cidr.event.F`: within a network.
    Cidr,
    /// `ci.event.F`: equal under simple case folding.
    Folded,
}

/// A column of assignments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setter {
    /// How cells are read.
    pub kind: SetterKind,
    /// Which field is set.
    pub field: String,
}

/// How cells of a setter are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetterKind {
    /// The cell is the value.
    Constant,
    /// The cell is an expression, or one of ArcSight's functions over these fields.
    Expression(Vec<String>),
}

/// One condition.
#[derive(Clone, Debug)]
pub enum Condition {
    /// An empty cell.
    Anything,
    /// Equal text.
    Exact(String),
    /// Equal folded text; holds the folded form.
    Folded(String),
    /// A pattern and its source.
    Regex(String, regex_syntax::hir::Hir),
    /// Ranges of numbers and of addresses.
    Ranges(Vec<Span>),
}

/// A range with its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Numbers.
    Numbers(Num, Num),
    /// Addresses.
    Addresses(u128, u128),
}

impl Span {
    /// Parses one `a-b`.
    pub fn parse(text: &str) -> Option<Span> {
        // The dash between the ends is the first that has text before it: `-5--1` is -5 to -1.
        for (at, _) in text.match_indices('-').filter(|(at, _)| *at > 0) {
            let (a, b) = (text[..at].trim(), text[at + 1..].trim());
            if let (Some(a), Some(b)) = (parse_address(a.as_bytes()), parse_address(b.as_bytes())) {
                return Some(Span::Addresses(a, b));
            }
            if let (Some(a), Some(b)) = (parse_number(a.as_bytes()), parse_number(b.as_bytes())) {
                return Some(Span::Numbers(a, b));
            }
        }
        None
    }

    /// Whether its first end is not behind its last.
    pub fn is_ordered(&self) -> bool {
        match self {
            Span::Numbers(a, b) => a.compare(*b).is_some_and(std::cmp::Ordering::is_le),
            Span::Addresses(a, b) => a <= b,
        }
    }

    /// Whether a value lies in it.
    pub fn contains(&self, text: &[u8]) -> bool {
        match self {
            Span::Numbers(a, b) => parse_number(text).is_some_and(|n| {
                a.compare(n).is_some_and(std::cmp::Ordering::is_le) && n.compare(*b).is_some_and(std::cmp::Ordering::is_le)
            }),
            Span::Addresses(a, b) => parse_address(text).is_some_and(|n| *a <= n && n <= *b),
        }
    }
}

impl From<Network> for Span {
    fn from(network: Network) -> Span {
        Span::Addresses(network.first, network.last)
    }
}

impl Condition {
    /// Whether the condition asks nothing.
    pub fn is_anything(&self) -> bool {
        matches!(self, Condition::Anything)
    }

    /// Whether a value meets the condition. `pattern` is the compiled form of a regex cell.
    pub fn holds(&self, value: Option<&[u8]>, pattern: Option<&Pattern>) -> bool {
        let Some(value) = value else { return self.is_anything() };
        match self {
            Condition::Anything => true,
            Condition::Exact(text) => text.as_bytes() == value,
            Condition::Folded(folded) => std::str::from_utf8(value).is_ok_and(|v| fold(v) == *folded),
            Condition::Regex(..) => pattern.is_some_and(|p| p.matches(value)),
            Condition::Ranges(spans) => spans.iter().any(|s| s.contains(value)),
        }
    }
}

/// One row.
#[derive(Clone, Debug)]
pub struct MapRow {
    /// 1-based line.
    pub line: usize,
    /// One per getter.
    pub conditions: Vec<Condition>,
    /// One per setter; empty sets nothing. With the column where it stands.
    pub values: Vec<(String, usize)>,
}

/// A map file as read.
#[derive(Clone, Debug, Default)]
pub struct MapFile {
    /// As shown to the user.
    pub path: String,
    /// Columns of conditions.
    pub getters: Vec<Getter>,
    /// Columns of assignments.
    pub setters: Vec<Setter>,
    /// Rows that count, in order.
    pub rows: Vec<MapRow>,
}

/// Simple case folding: each character becomes one character.
pub fn fold(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

/// Folds one character where its folding is one character.
fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    match c {
        'ß' | 'ŉ' | 'ǰ' | 'ΐ' | 'ΰ' | 'և' | 'İ' => return c,
        'ς' => return 'σ',
        'ſ' => return 's',
        'ẞ' => return 'ß',
        'ϐ' => return 'β',
        'ϑ' => return 'θ',
        'ϕ' => return 'φ',
        'ϖ' => return 'π',
        'ϰ' => return 'κ',
        'ϱ' => return 'ρ',
        'ϵ' => return 'ε',
        'ẛ' => return 'ṡ',
        'µ' => return 'μ',
        _ => {}
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}
