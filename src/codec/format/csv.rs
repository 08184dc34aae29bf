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
        let is_ascii = marks.read(batch, subject);
        let of_slots = || slots.iter().enumerate().filter_map(|(column, slot)| slot.map(|slot| (column, slot)));
        of_slots().for_each(|(column, slot)| columns[column] = batch.take_column(slot));
        subjects.each(batch, rows, subject, true, is_ascii, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refused.push((row, "no text to decode")) };
            if let Err(reason) = record(Row { batch, row: usize::from(row), base: at, line }, columns, &marks.of(at, line), *delimiter) {
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
    /// Address of the first byte.
    base: usize,
    line: &'a [u8],
}

#[inline(never)] // its loop wants the registers for itself
fn record(mut it: Row<'_>, columns: &mut [Vec<Span>], marks: &Marks<'_>, delimiter: u8) -> Result<(), &'static str> {
    let (base, row, line) = (it.base, it.row, it.line);
    let mut marks = *marks;
    let mut at = 0;
    let mut columns = columns.iter_mut();
    while let Some(cells) = columns.next() {
        let mark = marks.next();
        if line.get(mark) == Some(&delimiter) {
            // No quote stood before it.
            if let Some(cell) = cells.get_mut(row) {
                *cell = Span::part(Kind::Text, base + at, mark - at);
            }
            at = mark + 1;
            continue;
        }
        let end = it.other_cell(cells, at, marks.from(at)).ok_or("a quoted cell without an end")?;
        match line.get(end) {
            Some(byte) if *byte == delimiter => at = end + 1,
            Some(_) => return Err("text after the closing quote of a cell"),
            None if columns.len() == 0 => return Ok(()),
            None => return Err("fewer cells than columns"),
        }
        marks = marks.from(at);
    }
    Err("more cells than columns")
}

impl Row<'_> {
    /// Sets a cell that holds quotes or is the last one. Returns where it ends, none where nothing closes its quote.
    #[inline(never)]
    fn other_cell(&mut self, cells: &mut [Span], at: usize, mut marks: Marks<'_>) -> Option<usize> {
        let line = self.line;
        let mut end = marks.next();
        let value;
        if end == at && line.get(at) == Some(&b'"') {
            let (inside, mut doubled) = (marks, false);
            end = loop {
                match closing(line, &mut marks)? {
                    (quote, true) => break quote + 1,
                    (_, false) => doubled = true,
                }
            };
            let part = Span::part(Kind::Text, self.base + at + 1, end - at - 2);
            value = if doubled && !cells.is_empty() { self.undoubled(at + 1, inside) } else { part };
        } else {
            // Inside of a plain cell a quote is a byte like any other.
            while line.get(end) == Some(&b'"') {
                end = marks.next();
            }
            end = end.min(line.len());
            value = Span::part(Kind::Text, self.base + at, end - at);
        }
        if let Some(cell) = cells.get_mut(self.row) {
            *cell = value;
        }
        Some(end)
    }

    /// The text of a quoted cell from a position on, with one quote for two.
    fn undoubled(&mut self, mut from: usize, mut marks: Marks<'_>) -> Span {
        let line = self.line;
        self.batch.derive_with(Kind::Text, |out| {
            while let Some((quote, is_last)) = closing(line, &mut marks) {
                simd::append(&line[from..quote + usize::from(!is_last)], out);
                if is_last {
                    break;
                }
                from = quote + 2;
            }
        })
    }
}

/// The next quote inside of a quoted cell, and whether it closes the cell: the first of two stands for one.
#[inline(always)]
fn closing(line: &[u8], marks: &mut Marks<'_>) -> Option<(usize, bool)> {
    loop {
        let at = marks.next();
        if *line.get(at)? == b'"' {
            let is_last = line.get(at + 1) != Some(&b'"');
            if !is_last {
                marks.next();
            }
            return Some((at, is_last));
        }
    }
}
