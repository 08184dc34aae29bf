//! What `cef`, `leef` and `kv` share: pairs of a name and a value, of which some names have slots.
//!
//! Most lines of a source name the same keys in the same order. So each key that was met remembers which one followed it last, and the next line is
//! compared with that expectation, sixteen bytes at once, before a name is looked up.
use std::cell::Cell;

use super::Wanted;
use super::literal::Literal;
use crate::event::{Batch, Extra, Family, Kind, Slot, Span};

/// Keys that are remembered. They come from outside: past the bound, the newest makes room.
const KEYS_MAX: usize = 1024;

/// How a format names its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming {
    /// What stands before a key, if that is always the same.
    pub(super) lead: &'static [u8],
    /// Between a key and its value.
    pub(super) assign: u8,
    /// The name of the field that a key stands for, where it is not the key.
    pub(super) full: fn(&[u8]) -> Option<&'static str>,
    /// Fields that tell when it happened, the best first.
    pub(super) times: &'static [&'static str],
}

/// A key that was met.
#[derive(Debug)]
pub(super) struct Key {
    /// The key with what stands before it, and between it and its value.
    pub(super) opening: Literal,
    /// Bytes of the name alone.
    len: usize,
    /// Who wants its value.
    want: Want,
    /// The slot of a value that is wanted for nothing else.
    plain: Option<Slot>,
    /// The name of its field, where it is not the key, and where that lies in the arena of the batch.
    full: Option<&'static str>,
    full_at: Cell<Span>,
    /// Rank among the fields that tell the time.
    time: Option<usize>,
    /// The key that followed it last.
    follower: usize,
}

/// The keys of a format, and whose they are.
#[derive(Debug)]
pub(super) struct Keys {
    naming: Naming,
    slots: foldhash::HashMap<Box<[u8]>, Slot>,
    all: bool,
    event_time: bool,
    /// The first stands for the beginning of a line.
    met: Vec<Key>,
    by_name: foldhash::HashMap<Box<[u8]>, usize>,
}

/// What comes before the first key of a line.
pub(super) const BEGINNING: usize = 0;

impl Keys {
    pub(super) fn new(naming: Naming, wanted: &Wanted) -> Keys {
        let beginning = Key {
            opening: Literal::never(),
            len: 0,
            want: Want::Nothing,
            plain: None,
            full: None,
            full_at: Cell::new(Span::ABSENT),
            time: None,
            follower: BEGINNING,
        };
        Keys {
            naming,
            slots: wanted.fields.iter().map(|f| (f.name.as_bytes().into(), f.slot)).collect(),
            all: wanted.all,
            event_time: wanted.event_time,
            met: vec![beginning],
            by_name: foldhash::HashMap::default(),
        }
    }

    /// A batch begins.
    pub(super) fn begin(&self) {
        self.met.iter().for_each(|key| key.full_at.set(Span::ABSENT));
    }

    /// The key that probably follows, and its number.
    #[inline(always)]
    pub(super) fn expected(&self, last: &Key) -> (usize, &Key) {
        (last.follower, &self.met[last.follower])
    }

    /// A key by its number.
    #[inline(always)]
    pub(super) fn get(&self, number: usize) -> &Key {
        &self.met[number]
    }

    /// The number of a key that was not expected behind `last`.
    #[inline(never)]
    pub(super) fn search(&mut self, last: usize, name: &[u8]) -> usize {
        let number = match self.by_name.get(name) {
            Some(number) => *number,
            None => self.meet(name),
        };
        self.met[last].follower = number;
        number
    }

    fn meet(&mut self, name: &[u8]) -> usize {
        let full = (self.naming.full)(name);
        let field = full.map_or(name, str::as_bytes);
        let want = match self.slots.get(field) {
            Some(slot) => Want::Slot(*slot),
            None if self.all => Want::Extra,
            None => Want::Nothing,
        };
        let time = self.naming.times.iter().position(|t| t.as_bytes() == field).filter(|_| self.event_time);
        let opening = Literal::new(&[self.naming.lead, name, &[self.naming.assign]].concat());
        let plain = if let Want::Slot(slot) = want { Some(slot).filter(|_| time.is_none()) } else { None };
        let key = Key { opening, len: name.len(), want, plain, full, full_at: Cell::new(Span::ABSENT), time, follower: BEGINNING };
        let number = self.met.len().min(KEYS_MAX - 1);
        if number == self.met.len() {
            self.met.push(key);
        } else {
            let old = std::mem::replace(&mut self.met[number], key);
            let lead = self.naming.lead.len();
            self.by_name.remove(&old.opening.text()[lead..lead + old.len]);
        }
        self.by_name.insert(name.into(), number);
        number
    }
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
    /// The best field met so far that tells when it happened, and its rank.
    pub(super) time: Option<(usize, Span)>,
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
    /// Puts the value of a key; `from` says where a name of that length stands. Of a repeated key the last value counts.
    #[inline(always)]
    pub(super) fn put(&mut self, key: &Key, from: impl FnOnce(usize) -> usize, value: Span) {
        match key.plain {
            Some(slot) => self.set(slot, value),
            None => self.put_and_note(key, from(key.len), value),
        }
    }

    /// Sets a field to a text.
    #[inline(always)]
    pub(super) fn set(&mut self, slot: Slot, value: Span) {
        // Said again, for the compiler: a text, which a column takes without a look.
        self.batch.set(slot, self.row, Span::part(Kind::Text, value.at(), value.len()));
    }

    #[inline(never)]
    fn put_and_note(&mut self, key: &Key, from: usize, value: Span) {
        if let Some(rank) = key.time
            && self.time.is_none_or(|(best, _)| rank < best)
        {
            self.time = Some((rank, value));
        }
        match key.want {
            Want::Slot(slot) => self.set(slot, value),
            Want::Extra => {
                let name = match key.full {
                    Some(full) => {
                        if !key.full_at.get().is_present() {
                            key.full_at.set(self.batch.derive(Kind::Text, full.as_bytes()));
                        }
                        key.full_at.get()
                    }
                    None => self.span(from, from + key.len),
                };
                self.batch.replace_extra(self.extras, Extra { family: Family::Plain, group: Span::ABSENT, name, value });
            }
            Want::Nothing => {}
        }
    }

    /// A part of the line.
    #[inline(always)]
    pub(super) fn span(&self, from: usize, to: usize) -> Span {
        Span::part(Kind::Text, self.at + from, to - from)
    }

    /// A part of the line without its backslashes: `letter` says what a letter behind one stands for, none where both are kept.
    #[inline(never)]
    pub(super) fn unescaped(&mut self, from: usize, to: usize, letter: fn(u8) -> Option<u8>) -> Span {
        let text = &self.line[from..to];
        self.batch.derive_with(Kind::Text, |out| {
            let mut rest = text;
            while let Some(at) = memchr::memchr(b'\\', rest) {
                out.extend_from_slice(&rest[..at]);
                match rest.get(at + 1) {
                    Some(next) => match letter(*next) {
                        Some(plain) => out.push(plain),
                        None => out.extend_from_slice(&[b'\\', *next]),
                    },
                    None => out.push(b'\\'),
                }
                rest = &rest[rest.len().min(at + 2)..];
            }
            out.extend_from_slice(rest);
        })
    }
}
