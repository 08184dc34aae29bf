//! `csv`: the cells of a line become the columns that the options name (RFC 4180: quotes around a cell, `""` for one inside). A line is one record.
use super::marks::{MarkMap, Marks};
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
    marks: MarkMap<2>,
    subjects: Subjects,
}

impl CsvDecoder {
    /// A decoder for what the plan wants.
    pub fn new(options: &CsvOptions, wanted: Wanted) -> CsvDecoder {
        let slots = options.columns.iter().map(|c| wanted.slot(c)).collect();
        CsvDecoder {
            slots,
            delimiter: options.delimiter,
            wanted,
            marks: MarkMap::new([options.delimiter, b'"']),
            subjects: Subjects::default(),
        }
    }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let CsvDecoder { slots, delimiter, wanted, marks, subjects } = self;
        lay_over(batch, wanted);
        marks.read(batch, subject);
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            if let Err(reason) = record(batch, usize::from(row), at, line, marks.of(at, line), slots, *delimiter) {
                refuse(batch, row, wanted, reason);
            }
        });
    }
}

#[inline(never)] // its loop wants the registers for itself
fn record(
    batch: &mut Batch,
    row: usize,
    base: usize,
    line: &[u8],
    mut marks: Marks<'_>,
    slots: &[Option<Slot>],
    delimiter: u8,
) -> Result<(), &'static str> {
    let (last, mut at) = (slots.len().saturating_sub(1), 0);
    for (number, slot) in slots.iter().enumerate() {
        let mut end = marks.next();
        let value;
        if end == at && line.get(at) == Some(&b'"') {
            let (close, doubled) = closing(line, &mut marks).ok_or("a quoted cell without an end")?;
            let inside = &line[at + 1..close];
            value = match (slot, doubled) {
                (Some(_), true) => batch.derive_with(Kind::Text, |out| undouble(inside, out)),
                _ => Span::part(Kind::Text, base + at + 1, inside.len()),
            };
            end = close + 1;
            marks.pass(end);
        } else {
            // Inside of a plain cell a quote is a byte like any other.
            while line.get(end) == Some(&b'"') {
                end = marks.next();
            }
            end = end.min(line.len());
            value = Span::part(Kind::Text, base + at, end - at);
        }
        if let Some(slot) = slot {
            // Said again, for the compiler: a text, which a column takes without a look.
            batch.set(*slot, row, Span::part(Kind::Text, value.at(), value.len()));
        }
        match line.get(end) {
            None if number == last => return Ok(()),
            None => return Err("fewer cells than columns"),
            Some(byte) if *byte == delimiter => at = end + 1,
            Some(_) => return Err("text after the closing quote of a cell"),
        }
    }
    Err("more cells than columns")
}

/// The closing quote of a cell, and whether quotes are doubled inside. The marks stand behind the opening one.
#[inline(always)]
fn closing(line: &[u8], marks: &mut Marks<'_>) -> Option<(usize, bool)> {
    let mut doubled = false;
    loop {
        let at = marks.next();
        if *line.get(at)? != b'"' {
            continue;
        }
        if line.get(at + 1) != Some(&b'"') {
            return Some((at, doubled));
        }
        doubled = true;
        marks.pass(at + 1);
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
