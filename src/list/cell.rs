//! A value in a list, and how a further one joins it.
use std::cmp::Ordering;

use crate::event::{Kind, Value, amount, text};
use crate::limits::LIST_SET_MAX;
use crate::state::{StateError, StateReader, StateWriter};

/// How a further value joins the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It takes its place.
    Last,
    /// It is not taken.
    First,
    /// The lesser one stays: numbers as numbers, else texts bytewise.
    Min,
    /// The greater one stays.
    Max,
    /// They are added; what is no number adds nothing.
    Sum,
    /// Writes are counted, whatever they bring.
    Count,
    /// Different values, in the order in which they came.
    Set,
}

impl Merge {
    /// The words of a pipeline file.
    pub const WORDS: &[&str] = &["last", "first", "min", "max", "sum", "count", "set"];

    /// By its word.
    pub fn of(word: &str) -> Option<Merge> {
        let all = [Merge::Last, Merge::First, Merge::Min, Merge::Max, Merge::Sum, Merge::Count, Merge::Set];
        Merge::WORDS.iter().zip(all).find(|(known, _)| **known == word).map(|(_, merge)| merge)
    }
}

/// A value in a list; for [`Merge::Set`] the values, as a JSON array.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    kind: Kind,
    bytes: Box<[u8]>,
    /// Ends of a set's elements in `bytes`; commas and brackets lie between them.
    ends: Box<[u32]>,
}

impl Cell {
    /// A cell that holds a value of an event; none where there is no value.
    pub fn of(value: Value<'_>) -> Option<Cell> {
        let mut bytes = Vec::new();
        value.write_text(&mut bytes).then(|| Cell { kind: value.kind(), bytes: bytes.into(), ends: Box::default() })
    }

    fn number(units: i128) -> Cell {
        let mut bytes = Vec::new();
        amount::write_decimal(units, &mut bytes);
        Cell { kind: Kind::Number, bytes: bytes.into(), ends: Box::default() }
    }

    /// The value.
    pub fn value(&self) -> Value<'_> {
        Value::of(self.kind, &self.bytes)
    }

    /// Writes it for [`Cell::load`].
    pub fn save(&self, out: &mut StateWriter) {
        out.u8(self.kind as u8);
        out.bytes(&self.bytes);
        out.u32(self.ends.len() as u32);
        self.ends.iter().for_each(|end| out.u32(*end));
    }

    /// Reads what [`Cell::save`] wrote.
    pub fn load(from: &mut StateReader<'_>) -> Result<Cell, StateError> {
        let kind = Kind::of_saved(from.u8()?);
        if kind == Kind::Absent {
            return Err(StateError("a value of a list of an unknown kind".into()));
        }
        let bytes: Box<[u8]> = from.bytes()?.into();
        let mut ends = Vec::new();
        for _ in 0..from.u32()? {
            let end = from.u32()?;
            if end as usize > bytes.len() || ends.last().is_some_and(|before| *before >= end) {
                return Err(StateError("the values of a list's set do not fit together".into()));
            }
            ends.push(end);
        }
        Ok(Cell { kind, bytes, ends: ends.into() })
    }

    /// The elements of a set, as JSON.
    fn elements(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(1).chain(self.ends.iter().map(|end| *end as usize + 1));
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end as usize))
    }

    /// Adds an element to a set; one that is there already, or beyond the bound, changes nothing.
    fn add(set: Option<Cell>, value: &Cell) -> Option<Cell> {
        let mut element = Vec::new();
        match value.kind {
            Kind::Text => text::quote(&value.bytes, &mut element),
            _ => element.extend_from_slice(&value.bytes),
        }
        let set = set.unwrap_or(Cell { kind: Kind::Json, bytes: (*b"[]").into(), ends: Box::default() });
        if set.ends.len() >= LIST_SET_MAX || set.elements().any(|known| known == element) {
            return Some(set);
        }
        let (mut bytes, mut ends) = (set.bytes.into_vec(), set.ends.into_vec());
        bytes.pop();
        if !ends.is_empty() {
            bytes.push(b',');
        }
        bytes.extend_from_slice(&element);
        ends.push(bytes.len() as u32);
        bytes.push(b']');
        Some(Cell { kind: Kind::Json, bytes: bytes.into(), ends: ends.into() })
    }
}

impl Merge {
    /// What a column holds of a file. A set is written as a JSON array there; any other text is its only value.
    pub fn read(self, text: &[u8]) -> Option<Cell> {
        if self != Merge::Set {
            return Cell::of(Value::Text(text));
        }
        let Ok(values) = serde_json::from_slice::<Vec<serde_json::Value>>(text) else { return self.join(None, Value::Text(text)) };
        values.iter().fold(None, |set, value| match value {
            serde_json::Value::String(text) => self.join(set, Value::Text(text.as_bytes())),
            serde_json::Value::Number(number) => self.join(set, Value::Number(number.to_string().as_bytes())),
            other => self.join(set, Value::Json(other.to_string().as_bytes())),
        })
    }

    /// What a column holds after a write. `value`: what the write brings to it.
    pub fn join(self, before: Option<Cell>, value: Value<'_>) -> Option<Cell> {
        // The commonest writes change nothing, and make nothing.
        match (self, &before) {
            (Merge::First, Some(_)) => return before,
            (Merge::Last, Some(cell)) if cell.value() == value => return before,
            _ => {}
        }
        match (self, before, Cell::of(value)) {
            (Merge::Count, before, _) => {
                let counted = before.and_then(|cell| amount::decimal(cell.value())).unwrap_or(0);
                Some(Cell::number(counted.saturating_add(amount::ONE)))
            }
            (_, before, None) => before,
            (Merge::Set, before, Some(value)) => Cell::add(before, &value),
            (Merge::Sum, before, Some(value)) => match (before, amount::decimal(value.value())) {
                (before, None) => before,
                (None, Some(units)) => Some(Cell::number(units)),
                (Some(before), Some(units)) => Some(Cell::number(amount::decimal(before.value()).unwrap_or(0).saturating_add(units))),
            },
            (_, None, value) | (Merge::Last, _, value) => value,
            (Merge::First, before, _) => before,
            (Merge::Min, Some(before), Some(value)) => Some(if order(&value, &before).is_lt() { value } else { before }),
            (Merge::Max, Some(before), Some(value)) => Some(if order(&value, &before).is_gt() { value } else { before }),
        }
    }
}

/// Numbers, and texts that are numbers, by value; all else bytewise.
fn order(a: &Cell, b: &Cell) -> Ordering {
    match (a.value().number(), b.value().number()) {
        (Some(a), Some(b)) => a.compare(b).unwrap_or(Ordering::Equal),
        _ => a.bytes.cmp(&b.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(merge: Merge, values: &[Value<'_>]) -> String {
        let cell = values.iter().fold(None, |before, value| merge.join(before, *value));
        let Some(cell) = cell else { return "nothing".to_owned() };
        let mut out = StateWriter::default();
        cell.save(&mut out);
        assert_eq!(Cell::load(&mut StateReader::new(&out.bytes)).unwrap(), cell);
        String::from_utf8(cell.bytes.to_vec()).unwrap()
    }

    #[test]
    fn values_join_by_their_rule() {
        let values = [Value::Number(b"7"), Value::Text(b"10"), Value::Absent, Value::Number(b"2.5"), Value::Text(b"10")];
        let words: Vec<String> = Merge::WORDS.iter().map(|word| joined(Merge::of(word).unwrap(), &values)).collect();
        assert_eq!(words, ["10", "7", "2.5", "10", "29.5", "5", "[7,\"10\",2.5]"]);
        let nothing: Vec<String> = Merge::WORDS.iter().map(|word| joined(Merge::of(word).unwrap(), &[Value::Absent])).collect();
        assert_eq!(nothing, ["nothing", "nothing", "nothing", "nothing", "nothing", "1", "nothing"]);
        assert_eq!(joined(Merge::Min, &[Value::Text(b"b"), Value::Text(b"a"), Value::Text(b"c")]), "a");
        assert_eq!(joined(Merge::Sum, &[Value::Text(b"x"), Value::Number(b"1")]), "1");
    }

    #[test]
    fn what_a_file_holds_is_joined_too() {
        let joined = |merge: Merge, text: &str, value| {
            let cell = merge.join(merge.read(text.as_bytes()), value).unwrap();
            String::from_utf8(cell.bytes.to_vec()).unwrap()
        };
        assert_eq!(joined(Merge::Set, "a,b", Value::Text(b"c")), "[\"a,b\",\"c\"]");
        assert_eq!(joined(Merge::Set, "[\"a\",2,{\"x\":[]}]", Value::Number(b"2")), "[\"a\",2,{\"x\":[]}]");
        assert_eq!(joined(Merge::Count, "41", Value::Absent), "42");
        assert_eq!(joined(Merge::Max, "[1]", Value::Absent), "[1]");
    }
}
