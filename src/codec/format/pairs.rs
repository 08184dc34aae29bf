//! What `cef`, `leef` and `kv` share: pairs of a name and a value, of which some names have slots.
use super::Wanted;
use crate::event::{Batch, Extra, Family, Kind, Slot, Span};

/// The wanted names of a format whose names are not known in advance.
#[derive(Debug, Default)]
pub(super) struct Names {
    slots: foldhash::HashMap<Box<[u8]>, Slot>,
    all: bool,
}

/// One event while its pairs are found.
pub(super) struct PairRow<'a> {
    pub(super) batch: &'a mut Batch,
    pub(super) row: usize,
    /// Address of the first byte.
    pub(super) at: usize,
    pub(super) line: &'a [u8],
    /// Where the row's extras begin.
    pub(super) extras: usize,
}

impl Names {
    pub(super) fn new(wanted: &Wanted) -> Names {
        Names { slots: wanted.fields.iter().map(|f| (f.name.as_bytes().into(), f.slot)).collect(), all: wanted.all }
    }

    /// Who wants a name.
    #[inline]
    pub(super) fn want(&self, name: &[u8]) -> Want {
        match self.slots.get(name) {
            Some(slot) => Want::Slot(*slot),
            None if self.all => Want::Extra,
            None => Want::Nothing,
        }
    }
}

/// Who wants a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// A reader or a writer of this slot.
    Slot(Slot),
    /// A sink that writes whole events.
    Extra,
    /// Nobody.
    Nothing,
}

impl PairRow<'_> {
    /// Puts a value where it is wanted; `name` is where the name's bytes lie. Of a repeated name the last value counts.
    #[inline]
    pub(super) fn put(&mut self, want: Want, name: impl FnOnce(&mut Batch) -> Span, value: Span) {
        match want {
            Want::Slot(slot) => self.batch.set(slot, self.row, value),
            Want::Extra => {
                let name = name(self.batch);
                self.batch.replace_extra(self.extras, Extra { family: Family::Plain, group: Span::ABSENT, name, value });
            }
            Want::Nothing => {}
        }
    }

    /// A part of the line.
    #[inline]
    pub(super) fn span(&self, from: usize, to: usize) -> Span {
        Span::new(Kind::Text, self.at + from, to - from)
    }

    /// A part of the line without its backslashes: `letter` says what a letter behind one stands for, none where both are kept.
    pub(super) fn unescaped(&mut self, from: usize, to: usize, letter: impl Fn(u8) -> Option<u8>) -> Span {
        let text = &self.line[from..to];
        if memchr::memchr(b'\\', text).is_none() {
            return self.span(from, to);
        }
        self.batch.derive_with(Kind::Text, |out| {
            let mut bytes = text.iter().copied();
            while let Some(byte) = bytes.next() {
                if byte != b'\\' {
                    out.push(byte);
                    continue;
                }
                match bytes.next() {
                    Some(next) => match letter(next) {
                        Some(plain) => out.push(plain),
                        None => out.extend_from_slice(&[b'\\', next]),
                    },
                    None => out.push(b'\\'),
                }
            }
        })
    }
}
