//! What the functions and arithmetic of expressions do with their values.
use bumpalo::Bump;
use xxhash_rust::xxh3::Xxh3Default;

use super::array::elements;
use super::ast::Binary;
use crate::clock::Timestamp;
use crate::event::Value;
use crate::event::time::parse_rfc3339;
use crate::event::value::Num;
use crate::limits::SECOND;

/// The zone of `hour` and `weekday`.
#[derive(Clone, Debug)]
pub enum ZoneOf {
    /// UTC.
    Utc,
    /// A zone of the IANA database.
    Named(jiff::tz::TimeZone),
}

/// `a + b` and its kin. Overflow and division by zero give absent; `+` joins texts.
pub fn arithmetic<'a>(op: Binary, a: Value<'a>, b: Value<'a>, bump: &'a Bump) -> Value<'a> {
    if let (Binary::Add, Value::Text(a), Value::Text(b)) = (op, a, b) {
        let mut joined = bumpalo::collections::Vec::with_capacity_in(a.len() + b.len(), bump);
        joined.extend_from_slice(a);
        joined.extend_from_slice(b);
        return Value::Text(joined.into_bump_slice());
    }
    if matches!((a, b), (Value::Text(_), Value::Text(_))) {
        // Two texts are not arithmetic, even where both spell numbers.
        return Value::Absent;
    }
    match (a.number(), b.number()) {
        (Some(Num::Int(a)), Some(Num::Int(b))) => {
            let result = match op {
                Binary::Add => a.checked_add(b),
                Binary::Subtract => a.checked_sub(b),
                Binary::Multiply => a.checked_mul(b),
                Binary::Divide => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            result.map_or(Value::Absent, Value::Int)
        }
        (Some(a), Some(b)) => {
            let (a, b) = (a.float(), b.float());
            let result = match op {
                Binary::Add => a + b,
                Binary::Subtract => a - b,
                Binary::Multiply => a * b,
                Binary::Divide => a / b,
                _ => a % b,
            };
            if result.is_finite() { Value::Float(result) } else { Value::Absent }
        }
        _ => Value::Absent,
    }
}

/// Characters of a text, elements of an array.
pub fn size<'a>(value: Value<'a>, bump: &'a Bump) -> Value<'a> {
    match value {
        Value::Text(t) => Value::Int(t.iter().filter(|b| (**b & 0xc0) != 0x80).count() as i64),
        other => elements(other, bump).map_or(Value::Absent, |items| Value::Int(items.count() as i64)),
    }
}

/// A text with each ASCII byte changed.
pub fn map_ascii<'a>(value: Value<'a>, bump: &'a Bump, change: fn(&u8) -> u8) -> Value<'a> {
    match value {
        Value::Text(t) => Value::Text(bump.alloc_slice_fill_iter(t.iter().map(change))),
        _ => Value::Absent,
    }
}

/// Whether a category is the prefix or lies below it: `/A` covers `/A` and `/A/B`, not `/AB`.
pub fn category(value: &[u8], prefix: &[u8]) -> bool {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    value.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// The hour (0–23) or the weekday (1 = Monday … 7 = Sunday) of a time: RFC 3339 text, or seconds, milliseconds, … since 1970 by size.
pub fn calendar<'a>(hour: bool, value: Value<'a>, zone: &ZoneOf) -> Value<'a> {
    let Some(time) = time_of(value) else { return Value::Absent };
    let offset = match zone {
        ZoneOf::Utc => 0,
        ZoneOf::Named(zone) => match jiff::Timestamp::from_nanosecond(i128::from(time)) {
            Ok(t) => i64::from(zone.to_offset(t).seconds()),
            Err(_) => return Value::Absent,
        },
    };
    let local = time.div_euclid(SECOND) + offset;
    if hour { Value::Int(local.rem_euclid(86_400) / 3600) } else { Value::Int((local.div_euclid(86_400) + 3).rem_euclid(7) + 1) }
}

fn time_of(value: Value<'_>) -> Option<Timestamp> {
    if let Value::Text(text) = value
        && let Some(time) = parse_rfc3339(text)
    {
        return Some(time);
    }
    let Some(Num::Int(n)) = value.number() else { return None };
    let unit = match n.unsigned_abs() {
        0..100_000_000_000 => SECOND,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    n.checked_mul(unit)
}

/// 16 hex digits over the canonical texts; absent if one is.
pub fn hash<'a>(values: impl Iterator<Item = Value<'a>>, bump: &'a Bump) -> Value<'a> {
    let mut hash = Xxh3Default::new();
    let mut text = Vec::new();
    for value in values {
        text.clear();
        if !value.write_text(&mut text) {
            return Value::Absent;
        }
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(&text);
    }
    Value::Text(bump.alloc_str(&format!("{:016x}", hash.digest())).as_bytes())
}

/// Names, arguments and meanings, for `tripline list functions`.
pub const LIST: &[(&str, &str)] = &[
    ("has(x)", "whether the field has a value"),
    ("startsWith(x, y)", "whether a text begins with another"),
    ("endsWith(x, y)", "whether a text ends with another"),
    ("contains(x, y)", "whether a text holds another"),
    ("matches(x, pattern)", "whether a pattern matches somewhere in a text"),
    ("size(x)", "characters of a text, elements of an array"),
    ("lowerAscii(x)", "the text in lower case"),
    ("upperAscii(x)", "the text in upper case"),
    ("cidr(x, network, …)", "whether an address lies in a network"),
    ("in_list(list, key, …)", "whether a list holds the key"),
    ("in_table(table, key, …)", "whether a table has a row of the key"),
    ("lookup(table, column, key, …)", "a cell of a table"),
    ("category(x, prefix)", "whether a category lies at or below another"),
    ("hour(time[, zone])", "hour of the day, 0 to 23"),
    ("weekday(time[, zone])", "day of the week, 1 (Monday) to 7"),
    ("hash(x, …)", "16 hex digits that stand for the values"),
];
