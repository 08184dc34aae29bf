//! A batch: the events of one input as columns. Operators add columns; nobody rewrites one that another may read.
use std::sync::Arc;

use super::builder::Input;
use super::span::{Kind, Span};
use super::text;
use super::value::Value;
use crate::clock::Timestamp;
use crate::simd;

/// A field's number in its lane, given out while the plan is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u16);

/// A set of the lane's tags, one bit each.
pub type Tags = u32;

/// Bits of [`Batch::state`].
pub mod row_state {
    /// The format's decoder refused the line: the event is its raw text.
    pub const FAILED: u8 = 1;
    /// The line was not UTF-8 and its fields lie in the arena, mended.
    pub const MENDED: u8 = 2;
    /// Some decoder refused the event: it carries the reason.
    pub const FAULT: u8 = 4;
}

/// One field of all rows.
#[derive(Debug, Default)]
pub struct Column {
    /// Rows beyond the last have no value.
    cells: Vec<Span>,
    /// The same with escapes resolved, made when an expression first asks for it.
    plain: Vec<Span>,
    escaped: bool,
}

/// Rows that a column grows by.
const ROOM: usize = 64;

/// What an [`Extra`]'s name begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Nothing.
    Plain,
    /// `sd.<group>.`: a parameter of structured data.
    StructuredData,
    /// `cisco.`: a key of a Cisco message.
    Cisco,
}

/// A field that no slot was given to: the decoder met it, and only a sink that writes whole events wants it.
#[derive(Clone, Copy, Debug)]
pub struct Extra {
    /// What the name begins with.
    pub family: Family,
    /// Middle part of the name, or absent.
    pub group: Span,
    /// Last part of the name.
    pub name: Span,
    /// The value.
    pub value: Span,
}

/// Events as columns.
#[derive(Debug, Default)]
pub struct Batch {
    /// The raw bytes.
    pub input: Arc<Input>,
    columns: Vec<Column>,
    arena: Vec<u8>,
    arena_base: usize,
    row_count: usize,
    /// Event time of each row.
    pub times: Vec<Timestamp>,
    /// What they come to.
    pub times_sum: TimesSum,
    /// Order among equal times, of batches whose rows are alerts; empty otherwise.
    pub ties: Vec<u128>,
    /// Tags of each row.
    pub tags: Vec<Tags>,
    /// What became of each row, see [`row_state`].
    pub state: Vec<u8>,
    /// Why rows were refused: row, layer of decoders, reason.
    pub faults: Vec<(u16, usize, &'static str)>,
    extras: Vec<Extra>,
    /// Row, first and end of its extras, per layer of decoders.
    extra_ranges: Vec<Vec<(u32, u32, u32)>>,
}

impl Column {
    /// Makes room for some rows at once: to grow with each value would cost a look at the capacity and a new length.
    #[cold]
    #[inline(never)]
    fn set_beyond(&mut self, row: usize, span: Span) {
        self.cells.resize((row + 1).next_multiple_of(ROOM), Span::ABSENT);
        self.cells[row] = span;
    }
}

/// What the times of a batch's rows come to: all who seek hits among them ask for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimesSum {
    /// The greatest.
    pub greatest: Timestamp,
    /// That of the last row.
    pub last: Timestamp,
    /// Some row's time is not known.
    pub any_missing: bool,
}

/// A time that is not known yet: the collector takes the partition's last.
pub const TIME_MISSING: Timestamp = Timestamp::MIN;

impl Batch {
    /// Makes the batch hold the rows of an input, with `slots` empty columns. Memory is kept.
    pub fn reset(&mut self, input: Arc<Input>, slots: usize) {
        let rows = input.lines.len();
        self.columns.resize_with(slots.max(self.columns.len()), Column::default);
        for column in &mut self.columns {
            column.cells.clear();
            column.plain.clear();
            column.escaped = false;
        }
        self.arena.clear();
        self.arena_base = input.bytes().len();
        self.row_count = rows;
        self.faults.clear();
        self.ties.clear();
        self.extras.clear();
        self.extra_ranges.iter_mut().for_each(Vec::clear);
        fill(&mut self.times, rows, input.received);
        fill(&mut self.tags, rows, 0);
        fill(&mut self.state, rows, 0);
        self.input = input;
    }

    /// Sums up the times, once they are set.
    pub fn sum_up_times(&mut self) {
        let greatest = self.times.iter().copied().max().unwrap_or(TIME_MISSING);
        let last = self.times.last().copied().unwrap_or(TIME_MISSING);
        self.times_sum = TimesSum { greatest, last, any_missing: self.times.contains(&TIME_MISSING) };
    }

    /// Rows, filtered ones too.
    #[inline(always)]
    pub fn rows(&self) -> usize {
        self.row_count
    }

    /// The bytes of a span.
    #[inline(always)]
    pub fn bytes(&self, span: Span) -> &[u8] {
        let (at, len) = (span.at(), span.len());
        if at < self.arena_base { &self.input.bytes()[at..at + len] } else { &self.arena[at - self.arena_base..at - self.arena_base + len] }
    }

    /// Sets a field of a row.
    #[inline(always)]
    pub fn set(&mut self, slot: Slot, row: usize, span: Span) {
        let column = &mut self.columns[usize::from(slot.0)];
        if span.kind() == Kind::Escaped {
            column.escaped = true;
        }
        match column.cells.get_mut(row) {
            Some(cell) => *cell = span,
            None => column.set_beyond(row, span),
        }
    }

    /// The place of a field, for a value that is not [`Kind::Escaped`], where its column has room and there is such a column: what
    /// [`Batch::set`] does, with one look less.
    #[inline(always)]
    pub fn place_of(&mut self, slot: Slot, row: usize) -> Option<&mut Span> {
        self.columns.get_mut(usize::from(slot.0))?.cells.get_mut(row)
    }

    /// Takes a column out, with room for every row: for who sets all of it and most columns of the batch. [`Batch::put_column`] gives it back.
    pub fn take_column(&mut self, slot: Slot) -> Vec<Span> {
        let mut cells = std::mem::take(&mut self.columns[usize::from(slot.0)].cells);
        cells.resize(self.row_count, Span::ABSENT);
        cells
    }

    /// Puts a column back that was taken out.
    pub fn put_column(&mut self, slot: Slot, cells: Vec<Span>) {
        self.columns[usize::from(slot.0)].cells = cells;
    }

    /// A field of a row, as the decoder left it.
    #[inline(always)]
    pub fn cell(&self, slot: Slot, row: usize) -> Span {
        self.columns[usize::from(slot.0)].cells.get(row).copied().unwrap_or(Span::ABSENT)
    }

    /// Asks for a field of a row ahead of its turn.
    #[inline(always)]
    pub fn prefetch(&self, slot: Slot, row: usize) {
        simd::prefetch(&self.columns[usize::from(slot.0)].cells, row);
    }

    /// Whether some row of the batch has the field.
    #[inline(always)]
    pub fn has_column(&self, slot: Slot) -> bool {
        !self.columns[usize::from(slot.0)].cells.is_empty()
    }

    /// A field of a row with escapes resolved; [`Batch::resolve`] comes first.
    #[inline(always)]
    pub fn plain(&self, slot: Slot, row: usize) -> Span {
        let column = &self.columns[usize::from(slot.0)];
        let cells = if column.escaped { &column.plain } else { &column.cells };
        cells.get(row).copied().unwrap_or(Span::ABSENT)
    }

    /// A field of a row as a value; [`Batch::resolve`] comes first.
    #[inline(always)]
    pub fn value(&self, slot: Slot, row: usize) -> Value<'_> {
        let span = self.plain(slot, row);
        Value::of(span.kind(), self.bytes(span))
    }

    /// Resolves the escapes of a column, once per batch, so that expressions may read it.
    pub fn resolve(&mut self, slot: Slot) {
        let column = &mut self.columns[usize::from(slot.0)];
        if !column.escaped || !column.plain.is_empty() {
            return;
        }
        let mut plain = std::mem::take(&mut column.plain);
        plain.extend_from_slice(&column.cells);
        for span in plain.iter_mut().filter(|s| s.kind() == Kind::Escaped) {
            let at = self.arena.len();
            // Taken out of the arena's way: the inside may itself lie in the arena.
            let inside = if span.at() < self.arena_base {
                self.input.bytes()[span.at()..span.at() + span.len()].to_vec()
            } else {
                self.arena[span.at() - self.arena_base..][..span.len()].to_vec()
            };
            text::unescape(&inside, &mut self.arena);
            *span = Span::new(Kind::Text, self.arena_base + at, self.arena.len() - at);
        }
        self.columns[usize::from(slot.0)].plain = plain;
    }

    /// Copies a whole column: the new version of a field starts as the old one.
    pub fn copy_column(&mut self, from: Slot, to: Slot) {
        let mut cells = std::mem::take(&mut self.columns[usize::from(to.0)].cells);
        let old = &self.columns[usize::from(from.0)];
        cells.clear();
        cells.extend_from_slice(&old.cells);
        let escaped = old.escaped;
        let new = &mut self.columns[usize::from(to.0)];
        (new.cells, new.escaped) = (cells, escaped);
        new.plain.clear();
    }

    /// Appends derived bytes and returns their span.
    pub fn derive(&mut self, kind: Kind, bytes: &[u8]) -> Span {
        let at = self.arena.len();
        self.arena.extend_from_slice(bytes);
        Span::new(kind, self.arena_base + at, bytes.len())
    }

    /// Appends derived bytes that `write` makes, and returns their span.
    pub fn derive_with(&mut self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> Span {
        let at = self.arena.len();
        write(&mut self.arena);
        Span::new(kind, self.arena_base + at, self.arena.len() - at)
    }

    /// Adds a field without a slot to the row that `layer` is decoding.
    #[inline]
    pub fn push_extra(&mut self, extra: Extra) {
        self.extras.push(extra);
    }

    /// A field without a slot, by where it stands among those of all rows.
    #[inline]
    pub fn extra(&self, at: usize) -> &Extra {
        &self.extras[at]
    }

    /// Gives it another value.
    #[inline]
    pub fn set_extra(&mut self, at: usize, value: Span) {
        self.extras[at].value = value;
    }

    /// Gives the extras from `start` on to a row. Rows of one layer come in order.
    pub fn end_extras(&mut self, layer: usize, row: usize, start: usize) {
        if self.extra_ranges.len() <= layer {
            self.extra_ranges.resize_with(layer + 1, Vec::new);
        }
        self.extra_ranges[layer].push((row as u32, start as u32, self.extras.len() as u32));
    }

    /// Where the next extra will stand.
    pub fn extras_len(&self) -> usize {
        self.extras.len()
    }

    /// Forgets the extras from `start` on: a row that failed half-way has none.
    pub fn truncate_extras(&mut self, start: usize) {
        self.extras.truncate(start);
    }

    /// The extras that a layer of decoders gave to a row.
    pub fn extras(&self, layer: usize, row: usize) -> &[Extra] {
        let Some(ranges) = self.extra_ranges.get(layer) else { return &[] };
        // Where each row has some, the row's is in its place.
        let in_place = ranges.get(row).filter(|range| range.0 == row as u32);
        let found = in_place.or_else(|| ranges.get(ranges.binary_search_by_key(&(row as u32), |range| range.0).ok()?));
        found.map_or(&[], |(_, first, end)| &self.extras[*first as usize..*end as usize])
    }

    /// Which layer refused a row, and why.
    pub fn fault(&self, row: usize) -> Option<(usize, &'static str)> {
        self.faults.iter().rev().find(|(r, ..)| usize::from(*r) == row).map(|(_, layer, why)| (*layer, *why))
    }
}

fn fill<T: Copy>(column: &mut Vec<T>, rows: usize, value: T) {
    column.clear();
    column.resize(rows, value);
}
