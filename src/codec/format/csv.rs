//! `csv`: the cells of a line become the columns that the options name (RFC 4180: quotes around a cell, `""` for one inside). A line is one record.
use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::{Batch, Kind, Slot, Span};

/// Columns, and what stands between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Names of the columns; an empty name is passed over.
    pub columns: Vec<String>,
    /// One byte.
    pub delimiter: u8,
}

/// What the format yields: the named columns.
pub fn shape(options: &CsvOptions) -> (Shape, Vec<String>) {
    (Shape::Named, options.columns.iter().filter(|c| !c.is_empty()).cloned().collect())
}

/// See the module.
pub struct CsvDecoder {
    slots: Vec<Option<Slot>>,
    delimiter: u8,
    wanted: Wanted,
    subjects: Subjects,
}

impl CsvDecoder {
    /// A decoder for what the plan wants.
    pub fn new(options: &CsvOptions, wanted: Wanted) -> CsvDecoder {
        let slots = options.columns.iter().map(|c| wanted.slot(c)).collect();
        CsvDecoder { slots, delimiter: options.delimiter, wanted, subjects: Subjects::default() }
    }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let CsvDecoder { slots, delimiter, wanted, subjects } = self;
        lay_over(batch, wanted);
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            if let Err(reason) = record(batch, usize::from(row), at, line, slots, *delimiter) {
                refuse(batch, row, wanted, reason);
            }
        });
    }
}

fn record(batch: &mut Batch, row: usize, base: usize, line: &[u8], slots: &[Option<Slot>], delimiter: u8) -> Result<(), &'static str> {
    let mut at = 0;
    for (number, slot) in slots.iter().enumerate() {
        let (value, end) = if line.get(at) == Some(&b'"') {
            let (close, doubled) = closing(line, at + 1).ok_or("a quoted cell without an end")?;
            let inside = &line[at + 1..close];
            let value = match (slot, doubled) {
                (Some(_), true) => batch.derive_with(Kind::Text, |out| undouble(inside, out)),
                _ => Span::new(Kind::Text, base + at + 1, inside.len()),
            };
            (value, close + 1)
        } else {
            let end = memchr::memchr(delimiter, &line[at..]).map_or(line.len(), |n| at + n);
            (Span::new(Kind::Text, base + at, end - at), end)
        };
        if let Some(slot) = slot {
            batch.set(*slot, row, value);
        }
        match line.get(end) {
            None if number + 1 == slots.len() => return Ok(()),
            None => return Err("fewer cells than columns"),
            Some(byte) if *byte == delimiter => at = end + 1,
            Some(_) => return Err("text after the closing quote of a cell"),
        }
    }
    Err("more cells than columns")
}

/// The closing quote of a cell, and whether quotes are doubled inside.
fn closing(line: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut doubled = false;
    loop {
        at += memchr::memchr(b'"', line.get(at..)?)?;
        if line.get(at + 1) != Some(&b'"') {
            return Some((at, doubled));
        }
        doubled = true;
        at += 2;
    }
}

fn undouble(inside: &[u8], out: &mut Vec<u8>) {
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        rest = &rest[(at + 2).min(rest.len())..];
    }
    out.extend_from_slice(rest);
}
