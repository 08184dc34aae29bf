//! `raw`: the whole line is the field `message`.
use super::{Decoder, Shape, Subject, Subjects, Wanted};
use crate::event::{Batch, Kind, Span};

/// Fields of the format.
pub const SHAPE: Shape = Shape::Flat(&["message"], &[]);

/// See the module.
pub struct RawDecoder {
    wanted: Wanted,
    subjects: Subjects,
}

impl RawDecoder {
    /// A decoder for what the plan wants.
    pub fn new(wanted: Wanted) -> RawDecoder {
        RawDecoder { wanted, subjects: Subjects::default() }
    }
}

impl Decoder for RawDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let Some(slot) = self.wanted.slot("message") else { return };
        self.subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            if let Some(bytes) = bytes {
                batch.set(slot, usize::from(row), Span::new(Kind::Text, at, bytes.len()));
            }
        });
    }
}
