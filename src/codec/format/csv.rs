//! `csv`: the cells of a line become the columns that the options name (RFC 4180: quotes around a cell, `""` for one inside). A line is one record.
use super::marks::{MarkMap, Marks};
use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::{Batch, Kind, Slot, Span};
use crate::simd;

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
    /// The columns while they are filled; one that nobody wants has no room.
    columns: Vec<Vec<Span>>,
    refused: Vec<(u16, &'static str)>,
}

impl CsvDecoder {
    /// A decoder for what the plan wants.
    pub fn new(options: &CsvOptions, wanted: Wanted) -> CsvDecoder {
        // Of columns of one name the last counts.
        let counts = |(number, name): (usize, &String)| !options.columns[number + 1..].contains(name);
        let slots: Vec<_> = options.columns.iter().enumerate().map(|c| wanted.slot(c.1).filter(|_| counts(c))).collect();
        CsvDecoder {
            columns: vec![Vec::new(); slots.len()],
            refused: Vec::new(),
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
        let CsvDecoder { slots, delimiter, wanted, marks, subjects, columns, refused } = self;
        lay_over(batch, wanted);
        subjects.is_ascii = marks.read(batch, subject);
        let of_slots = || slots.iter().enumerate().filter_map(|(column, slot)| slot.map(|slot| (column, slot)));
        of_slots().for_each(|(column, slot)| columns[column] = batch.take_column(slot));
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refused.push((row, "no text to decode")) };
            let it = Row { batch, row: usize::from(row), origin: Span::part(Kind::Text, at, 0), line };
            if let Err(reason) = record(it, columns, &marks.of(at, line), *delimiter) {
                refused.push((row, reason));
            }
        });
        of_slots().for_each(|(column, slot)| batch.put_column(slot, std::mem::take(&mut columns[column])));
        refused.drain(..).for_each(|(row, reason)| refuse(batch, row, wanted, reason));
    }
}

/// The cells of a row, of which some have columns.
struct Row<'a> {
    batch: &'a mut Batch,
    row: usize,
    /// Where the texts of the line are counted from.
    origin: Span,
    line: &'a [u8],
}

#[inline(never)] // its loop wants the registers for itself
fn record(mut it: Row<'_>, columns: &mut [Vec<Span>], marks: &Marks<'_>, delimiter: u8) -> Result<(), &'static str> {
    let (origin, row, line) = (it.origin, it.row, it.line);
    let (mut at, mut marks) = (0, *marks);
    let mut columns = columns.iter_mut();
    loop {
        let mark = marks.until_refused(|mark| {
            if line.get(mark) != Some(&delimiter) {
                return false;
            }
            // No quote stood before it.
            let Some(cells) = columns.next() else { return false };
            if let Some(cell) = cells.get_mut(row) {
                *cell = origin.from_here(at, mark - at);
            }
            at = mark + 1;
            true
        });
        let Some(cells) = columns.next() else { return Err("more cells than columns") };
        let mut behind = marks;
        let end = it.other_cell(cells, at, mark, &mut behind).ok_or("a quoted cell without an end")?;
        match line.get(end) {
            Some(byte) if *byte == delimiter => (at, marks) = (end + 1, behind),
            Some(_) => return Err("text after the closing quote of a cell"),
            None if columns.len() == 0 => return Ok(()),
            None => return Err("fewer cells than columns"),
        }
    }
}

impl Row<'_> {
    /// Sets a cell that holds quotes or is the last one; `mark` is the first in it or behind it. Returns where it ends, none where nothing closes its
    /// quote. The walk goes on behind the delimiter.
    #[inline(never)]
    fn other_cell(&mut self, cells: &mut [Span], at: usize, mark: usize, marks: &mut Marks<'_>) -> Option<usize> {
        let line = self.line;
        let (value, end);
        if mark == at && line.get(at) == Some(&b'"') {
            let quote = next_quote(line, marks)?;
            if line.get(quote + 1) == Some(&b'"') {
                (value, end) = self.undoubled(at + 1, quote, marks, !cells.is_empty())?;
            } else {
                (value, end) = (self.origin.from_here(at + 1, quote - at - 1), quote + 1);
            }
            marks.pass(end);
        } else {
            // Inside of a plain cell a quote is a byte like any other.
            let mut mark = mark;
            while line.get(mark) == Some(&b'"') {
                mark = marks.next();
            }
            end = mark.min(line.len());
            value = self.origin.from_here(at, end - at);
        }
        if let Some(cell) = cells.get_mut(self.row) {
            *cell = value;
        }
        Some(end)
    }

    /// The text of a quoted cell from a position on, with one quote for two, if it is wanted, and where the cell ends. The first quote in it was met.
    #[inline(never)]
    fn undoubled(&mut self, mut from: usize, mut quote: usize, marks: &mut Marks<'_>, is_wanted: bool) -> Option<(Span, usize)> {
        let line = self.line;
        let mut end = None;
        let value = self.batch.derive_with(Kind::Text, |out| {
            loop {
                let is_last = line.get(quote + 1) != Some(&b'"');
                if is_wanted {
                    simd::append(&line[from..quote + usize::from(!is_last)], out);
                }
                if is_last {
                    end = Some(quote + 1);
                    return;
                }
                marks.next();
                from = quote + 2;
                let Some(next) = next_quote(line, marks) else { return };
                quote = next;
            }
        });
        Some((value, end?))
    }
}

/// The next quote of a line.
#[inline(always)]
fn next_quote(line: &[u8], marks: &mut Marks<'_>) -> Option<usize> {
    loop {
        let at = marks.next();
        if *line.get(at)? == b'"' {
            return Some(at);
        }
    }
}
