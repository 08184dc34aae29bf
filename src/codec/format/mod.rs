//! Formats: bytes of an event into fields. A decoder materialises the fields that the plan asked for and no others.
pub mod cef;
pub mod cef_dictionary;
pub mod container;
pub mod csv;
pub mod dissect;
pub mod grok;
pub mod json;
pub mod json_members;
pub mod json_out;
pub mod json_trie;
pub mod kv;
mod literal;
mod marks;
mod pairs;
pub mod raw;
pub mod regex;
pub mod syslog;
mod syslog_cisco;
mod syslog_rfc3164;
mod syslog_rfc5424;
pub mod text_out;
pub mod time;

use std::sync::Arc;

use crate::event::batch::row_state;
use crate::event::{Batch, Kind, Slot, Span};

/// Tags that every lane knows, by bit.
pub mod tag {
    /// A decoder refused the event.
    pub const DECODE_FAILED: u32 = 0;
    /// Bytes that are not UTF-8 were replaced.
    pub const INVALID_UTF8: u32 = 1;
    /// The line was longer than the limit.
    pub const TRUNCATED: u32 = 2;
    /// The declared time field was absent or bad.
    pub const TIME_MISSING: u32 = 3;
    /// Their names, in order.
    pub const NAMES: [&str; 4] = ["decode_failed", "invalid_utf8", "truncated", "time.missing"];
}

/// The bytes that a decoder reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The raw line.
    Line,
    /// A field.
    Field(Slot),
}

/// What the plan asks of one decoder.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Fields and where to put them; `base`: the slot that holds the value from an earlier step, kept where this decoder has none.
    pub fields: Vec<WantedField>,
    /// Whether a sink writes whole events: fields without a slot are wanted too.
    pub all: bool,
    /// Which layer of decoders of the lane this is.
    pub layer: usize,
    /// Whether the format's own time becomes the event's time.
    pub event_time: bool,
}

/// See [`Wanted::fields`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedField {
    /// The field's name.
    pub name: String,
    /// Where it goes.
    pub slot: Slot,
    /// What it overlays.
    pub base: Option<Slot>,
}

impl Wanted {
    /// The slot of a name.
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.fields.iter().find(|f| f.name == name).map(|f| f.slot)
    }
}

/// Decodes the rows of a batch. Holds scratch memory, so every worker has its own.
pub trait Decoder: Send {
    /// Decodes rows; a row that is refused is marked in `state`, `tags` and `faults`.
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject);
}

/// What a format yields, for the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One JSON object a line: any name may exist, and output splices the input.
    Json,
    /// These names in this order, and names that start with one of the prefixes.
    Flat(&'static [&'static str], &'static [&'static str]),
    /// Names that the configuration gives.
    Named,
}

/// Marks a row as refused and forgets what was decoded of it.
pub(crate) fn refuse(batch: &mut Batch, row: u16, wanted: &Wanted, reason: &'static str) {
    batch.tags[usize::from(row)] |= 1 << tag::DECODE_FAILED;
    batch.state[usize::from(row)] |= if wanted.layer == 0 { row_state::FAILED | row_state::FAULT } else { row_state::FAULT };
    batch.faults.push((row, wanted.layer, reason));
    for field in &wanted.fields {
        if batch.has_column(field.slot) {
            let old = field.base.map_or(Span::ABSENT, |base| batch.cell(base, usize::from(row)));
            batch.set(field.slot, usize::from(row), old);
        }
    }
}

/// Starts each wanted column as the one that it overlays.
pub(crate) fn lay_over(batch: &mut Batch, wanted: &Wanted) {
    for field in &wanted.fields {
        if let Some(base) = field.base
            && batch.has_column(base)
        {
            batch.copy_column(base, field.slot);
        }
    }
}

/// Gives a decoder the bytes of each row in turn, as UTF-8: what is not is mended in the arena and tagged.
///
/// `mend`: what is no UTF-8 is mended; else there are no bytes. `step` gets the batch, the row, the address of the first byte and the bytes.
#[derive(Debug, Default)]
pub(crate) struct Subjects {
    scratch: Vec<u8>,
    /// It is known that all of the input is ASCII. Whoever looks at all of it says so for each batch.
    is_ascii: bool,
}

impl Subjects {
    pub(crate) fn each(
        &mut self,
        batch: &mut Batch,
        rows: &[u16],
        subject: Subject,
        mend: bool,
        mut step: impl FnMut(&mut Batch, u16, usize, Option<&[u8]>),
    ) {
        match subject {
            Subject::Line => {
                let input = Arc::clone(&batch.input);
                let all_valid = self.is_ascii || simdutf8::basic::from_utf8(input.bytes()).is_ok();
                for row in rows {
                    let line = input.lines[usize::from(*row)];
                    let bytes = input.line(usize::from(*row));
                    if all_valid || simdutf8::basic::from_utf8(bytes).is_ok() {
                        step(batch, *row, line.at as usize, Some(bytes));
                    } else if mend {
                        let span = mend_row(batch, *row, bytes);
                        self.step_in_arena(batch, *row, span, &mut step);
                    } else {
                        step(batch, *row, line.at as usize, None);
                    }
                }
            }
            Subject::Field(slot) => {
                batch.resolve(slot);
                for row in rows {
                    let span = batch.plain(slot, usize::from(*row));
                    if span.kind() == Kind::Absent || span.kind() == Kind::Null {
                        step(batch, *row, 0, None);
                    } else {
                        self.step_in_arena(batch, *row, span, &mut step);
                    }
                }
            }
        }
    }

    fn step_in_arena(&mut self, batch: &mut Batch, row: u16, span: Span, step: &mut impl FnMut(&mut Batch, u16, usize, Option<&[u8]>)) {
        self.scratch.clear();
        self.scratch.extend_from_slice(batch.bytes(span));
        step(batch, row, span.at(), Some(&self.scratch));
    }
}

/// Copies a line that is not UTF-8 into the arena with U+FFFD for what is bad.
fn mend_row(batch: &mut Batch, row: u16, bytes: &[u8]) -> Span {
    batch.tags[usize::from(row)] |= 1 << tag::INVALID_UTF8;
    batch.state[usize::from(row)] |= row_state::MENDED;
    batch.derive(Kind::Text, String::from_utf8_lossy(bytes).as_bytes())
}
