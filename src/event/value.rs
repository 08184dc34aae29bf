//! The register of expressions: a value that owns nothing and is copied freely.
use super::span::Kind;

/// A value of an event or of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'b> {
    /// Nothing.
    Absent,
    /// A truth.
    Bool(bool),
    /// A computed integer.
    Int(i64),
    /// A computed decimal.
    Float(f64),
    /// A number as the input spells it.
    Number(&'b [u8]),
    /// UTF-8 text.
    Text(&'b [u8]),
    /// A JSON array or object, as the input spells it.
    Json(&'b [u8]),
}

/// A number that keeps integers exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Num {
    /// Exact.
    Int(i64),
    /// Everything else.
    Float(f64),
}

impl Num {
    /// As a decimal.
    pub fn float(self) -> f64 {
        match self {
            Num::Int(i) => i as f64,
            Num::Float(f) => f,
        }
    }

    /// The same bits for all numbers that are equal; unequal ones may share them.
    pub fn bits(self) -> u64 {
        let number = self.float();
        if number == 0.0 { 0 } else { number.to_bits() }
    }

    /// Order by value; an integer and a decimal compare exactly where the decimal is an integer.
    pub fn compare(self, other: Num) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Num::Int(a), Num::Int(b)) => Some(a.cmp(&b)),
            (a, b) => a.float().partial_cmp(&b.float()),
        }
    }
}

impl<'b> Value<'b> {
    /// A value from bytes of a kind; escapes must be gone.
    #[inline(always)]
    pub fn of(kind: Kind, bytes: &'b [u8]) -> Value<'b> {
        match kind {
            Kind::Absent | Kind::Null => Value::Absent,
            Kind::Text | Kind::Escaped => Value::Text(bytes),
            Kind::Number => Value::Number(bytes),
            Kind::Bool => Value::Bool(bytes == b"true"),
            Kind::Json => Value::Json(bytes),
        }
    }

    /// The same value over bytes that are copied elsewhere.
    pub fn copied_to<'c>(self, copy: impl FnOnce(&[u8]) -> &'c mut [u8]) -> Value<'c> {
        match self {
            Value::Absent => Value::Absent,
            Value::Bool(truth) => Value::Bool(truth),
            Value::Int(number) => Value::Int(number),
            Value::Float(number) => Value::Float(number),
            Value::Number(text) => Value::Number(copy(text)),
            Value::Text(text) => Value::Text(copy(text)),
            Value::Json(text) => Value::Json(copy(text)),
        }
    }

    /// The kind that its canonical text has.
    pub fn kind(self) -> Kind {
        match self {
            Value::Absent => Kind::Absent,
            Value::Bool(_) => Kind::Bool,
            Value::Int(_) | Value::Float(_) | Value::Number(_) => Kind::Number,
            Value::Text(_) => Kind::Text,
            Value::Json(_) => Kind::Json,
        }
    }

    /// Whether there is a value.
    pub fn is_present(self) -> bool {
        !matches!(self, Value::Absent)
    }

    /// The number, if it is one; text that parses wholly as a number is one too.
    pub fn number(self) -> Option<Num> {
        match self {
            Value::Int(i) => Some(Num::Int(i)),
            Value::Float(f) => Some(Num::Float(f)),
            Value::Number(t) | Value::Text(t) => parse_number(t),
            _ => None,
        }
    }

    /// Whether it is of a numeric type (text is not, whatever it spells).
    pub fn is_numeric(self) -> bool {
        matches!(self, Value::Int(_) | Value::Float(_) | Value::Number(_))
    }

    /// The canonical text, appended. Returns false for an absent value.
    pub fn write_text(self, out: &mut Vec<u8>) -> bool {
        use std::io::Write as _;
        match self {
            Value::Absent => return false,
            Value::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
            Value::Int(i) => drop(write!(out, "{i}")),
            Value::Float(f) => drop(write!(out, "{f}")),
            Value::Number(t) | Value::Text(t) => out.extend_from_slice(t),
            Value::Json(t) => super::text::compact_json(t, out),
        }
        true
    }

    /// The canonical text where it needs no work: text, and numbers as the input spells them.
    pub fn plain_text(self) -> Option<&'b [u8]> {
        match self {
            Value::Text(t) | Value::Number(t) => Some(t),
            Value::Bool(true) => Some(b"true"),
            Value::Bool(false) => Some(b"false"),
            _ => None,
        }
    }
}

/// Parses a whole text as a number: an integer where it fits, else a decimal. `nan` and `inf` are not numbers here.
pub fn parse_number(text: &[u8]) -> Option<Num> {
    let first = text.first()?;
    if !(first.is_ascii_digit() || *first == b'-' || *first == b'+' || *first == b'.') || text.len() > 64 {
        return None;
    }
    if text.len() <= 18 {
        let (digits, negative) = if *first == b'-' { (&text[1..], true) } else { (text, false) };
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
            let n = digits.iter().fold(0i64, |n, d| n * 10 + i64::from(d - b'0'));
            return Some(Num::Int(if negative { -n } else { n }));
        }
    }
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(i) = text.parse::<i64>() {
        return Some(Num::Int(i));
    }
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    text.parse::<f64>().ok().filter(|f| f.is_finite()).map(Num::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_parse_whole_or_not_at_all() {
        assert_eq!(parse_number(b"-12"), Some(Num::Int(-12)));
        assert_eq!(parse_number(b"9223372036854775807"), Some(Num::Int(i64::MAX)));
        assert_eq!(parse_number(b"1.0e2"), Some(Num::Float(100.0)));
        for bad in ["", "-", "12a", "nan", "inf", "1 ", "0x10", "1e999"] {
            assert_eq!(parse_number(bad.as_bytes()), None, "{bad}");
        }
    }
}
