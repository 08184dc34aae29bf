//! What `cef`, `leef` and `kv` share: pairs of a name and a value, of which some names have slots.
//!
//! Most lines of a source name the same keys in the same order. So each key that was met remembers which one followed it last, and the next line is
//! compared with that expectation, sixteen bytes at once, before a name is looked up.
use std::cell::Cell;
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::Wanted;
use super::literal::Literal;
use crate::event::{Batch, Extra, Family, Kind, Slot, Span};
use crate::limits::NAME_BYTES_MAX;
use crate::simd;

/// Keys that are remembered. They come from outside: past the bound, one place is left to them all.
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
    /// The key with what stands before it, and between it and its value: the quote too, if [`Key::quoted`].
    pub(super) opening: Literal,
    /// Its values stand in double quotes. The same name with other values is another key.
    pub(super) quoted: bool,
    /// Bytes of the name alone.
    len: usize,
    /// Who wants its value.
    want: Want,
    /// The slot of a value that is wanted for nothing else; [`NO_SLOT`]: it is no such value.
    plain: Slot,
    /// The name of its field, where it is not the key, and where that lies in the arena of the batch.
    full: Option<&'static str>,
    full_at: Cell<Span>,
    /// Its own number.
    pub(super) number: usize,
    /// The number of its field; [`CROWD`]: it has none of its own.
    field: usize,
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
    /// The first stands for the beginning of a line, the second for the last key that is not remembered.
    met: Vec<Key>,
    /// Keys whose values are plain, and those whose values are quoted.
    by_name: [foldhash::HashMap<Box<[u8]>, usize>; 2],
    /// The numbers of fields. Two keys may stand for one field.
    fields: foldhash::HashMap<Box<[u8]>, usize>,
}

/// What comes before the first key of a line.
pub(super) const BEGINNING: usize = 0;

/// The number of a key past the bound, or one that is too long to remember.
const PASSING: usize = 1;

/// A batch has fewer.
const NO_SLOT: Slot = Slot(u16::MAX);

/// The number of all fields past the bound.
const CROWD: usize = 0;

impl Keys {
    pub(super) fn new(naming: Naming, wanted: &Wanted) -> Keys {
        let none = |number| Key {
            opening: Literal::never(),
            quoted: false,
            len: 0,
            want: Want::Nothing,
            plain: NO_SLOT,
            full: None,
            full_at: Cell::new(Span::ABSENT),
            number,
            field: CROWD,
            time: None,
            follower: BEGINNING,
        };
        Keys {
            naming,
            slots: wanted.fields.iter().map(|f| (f.name.as_bytes().into(), f.slot)).collect(),
            all: wanted.all,
            event_time: wanted.event_time,
            met: vec![none(BEGINNING), none(PASSING)],
            by_name: Default::default(),
            fields: foldhash::HashMap::default(),
        }
    }

    /// A batch begins.
    pub(super) fn begin(&self) {
        self.met.iter().for_each(|key| key.full_at.set(Span::ABSENT));
    }

    /// The key that probably follows.
    #[inline(always)]
    pub(super) fn expected(&self, last: &Key) -> &Key {
        &self.met[last.follower]
    }

    /// A key by its number.
    #[inline(always)]
    pub(super) fn get(&self, number: usize) -> &Key {
        &self.met[number]
    }

    /// The number of a key that was not expected behind `last`.
    #[inline(never)]
    pub(super) fn search(&mut self, last: usize, name: &[u8], quoted: bool) -> usize {
        let number = match self.by_name[usize::from(quoted)].get(name) {
            Some(number) => *number,
            None => self.meet(name, quoted),
        };
        self.met[last].follower = number;
        number
    }

    fn meet(&mut self, name: &[u8], quoted: bool) -> usize {
        let full = (self.naming.full)(name);
        let field = full.map_or(name, str::as_bytes);
        let want = match self.slots.get(field) {
            Some(slot) => Want::Slot(*slot),
            None if self.all => Want::Extra,
            None => Want::Nothing,
        };
        let time = self.naming.times.iter().position(|t| t.as_bytes() == field).filter(|_| self.event_time);
        let quote: &[u8] = if quoted { b"\"" } else { b"" };
        let opening = Literal::new(&[self.naming.lead, name, &[self.naming.assign], quote].concat());
        let plain = if let (Want::Slot(slot), None) = (want, time) { slot } else { NO_SLOT };
        let field = self.field_number(field);
        let full_at = Cell::new(Span::ABSENT);
        let number = if self.met.len() < KEYS_MAX && name.len() <= NAME_BYTES_MAX { self.met.len() } else { PASSING };
        let key = Key { opening, quoted, len: name.len(), want, plain, full, full_at, number, field, time, follower: BEGINNING };
        if number == PASSING {
            let old = std::mem::replace(&mut self.met[PASSING], key);
            let lead = self.naming.lead.len();
            self.by_name[usize::from(old.quoted)].remove(&old.opening.text()[lead..lead + old.len]);
        } else {
            self.met.push(key);
        }
        self.by_name[usize::from(quoted)].insert(name.into(), number);
        number
    }

    fn field_number(&mut self, field: &[u8]) -> usize {
        if let Some(number) = self.fields.get(field) {
            return *number;
        }
        let number = self.fields.len() + 1;
        if number == KEYS_MAX || field.len() > NAME_BYTES_MAX {
            return CROWD;
        }
        self.fields.insert(field.into(), number);
        number
    }
}

/// Where the extras of one row stand, by name, however many a line names.
#[derive(Debug)]
pub(super) struct Places {
    /// By the number of a field, where it was put last: in this row, if its name stands there.
    last: [u32; KEYS_MAX],
    /// Where those of the crowd stand.
    crowd: HashTable<u32>,
    hasher: RandomState,
}

/// Room for a crowd that is kept from line to line.
const CROWD_KEPT: usize = 4096;

impl Default for Places {
    fn default() -> Places {
        Places { last: [0; KEYS_MAX], crowd: HashTable::new(), hasher: RandomState::default() }
    }
}

impl Places {
    fn begin(&mut self) {
        if self.crowd.capacity() > CROWD_KEPT {
            self.crowd = HashTable::new();
        } else if !self.crowd.is_empty() {
            self.crowd.clear();
        }
    }

    /// Puts an extra of the row whose extras begin at `start`. Of a repeated name the last value counts.
    #[inline]
    fn put(&mut self, batch: &mut Batch, start: usize, field: usize, extra: Extra) {
        let end = batch.extras_len();
        let name = batch.bytes(extra.name);
        let is_same = |at: u32| simd::equal(batch.bytes(batch.extra(at as usize).name), name);
        let found = if field == CROWD {
            let hash_at = |at: &u32| self.hasher.hash_one(batch.bytes(batch.extra(*at as usize).name));
            match self.crowd.entry(self.hasher.hash_one(name), |at| is_same(*at), hash_at) {
                Entry::Occupied(at) => Some(*at.get()),
                Entry::Vacant(place) => {
                    place.insert(end as u32);
                    None
                }
            }
        } else {
            let last = &mut self.last[field];
            let here = (start..end).contains(&(*last as usize)) && is_same(*last);
            let found = here.then_some(*last);
            *last = found.unwrap_or(end as u32);
            found
        };
        match found {
            Some(at) => batch.set_extra(at as usize, extra.value),
            None => batch.push_extra(extra),
        }
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
    places: &'a mut Places,
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

impl<'a> PairRow<'a> {
    /// An event whose pairs are to be found in a line.
    pub(super) fn new(batch: &'a mut Batch, row: usize, at: usize, line: &'a [u8], places: &'a mut Places) -> PairRow<'a> {
        places.begin();
        let extras = batch.extras_len();
        PairRow { batch, row, at, line, extras, places, time: None }
    }

    /// Puts the value of a key; `from` says where a name of that length stands. Of a repeated key the last value counts.
    #[inline(always)]
    pub(super) fn put(&mut self, key: &Key, from: impl FnOnce(usize) -> usize, value: Span) {
        match self.batch.place_of(key.plain, self.row) {
            Some(place) => *place = value,
            None => self.put_and_note(key, from(key.len), value),
        }
    }

    /// Sets a field to a text.
    #[inline(always)]
    pub(super) fn set(&mut self, slot: Slot, value: Span) {
        self.batch.set(slot, self.row, value);
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
                let extra = Extra { family: Family::Plain, group: Span::ABSENT, name, value };
                self.places.put(self.batch, self.extras, key.field, extra);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::kv::{KvDecoder, KvOptions};
    use super::super::{Decoder as _, Subject};
    use super::*;
    use crate::event::Input;
    use proptest::prelude::*;

    proptest! {
        /// Names by their number: some lines name more than are remembered, and name them again.
        #[test]
        fn of_a_repeated_name_the_last_value_counts(lines in prop::collection::vec((prop::sample::select(vec![3usize, 40, 2500]), 1usize..900, 0usize..60), 1..6)) {
            let pairs = |(names, step, repeated): &(usize, usize, usize)| -> Vec<(String, String)> {
                (0..names + repeated).map(|i| (format!("k{}", i * step % names), format!("v{i}"))).collect()
            };
            let texts: Vec<String> =
                lines.iter().map(|l| pairs(l).iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")).collect();
            let mut batch = Batch::default();
            batch.reset(Arc::new(Input::of_lines(texts.iter().map(String::as_bytes), Arc::default(), 0)), 1);
            let rows: Vec<u16> = (0..texts.len() as u16).collect();
            KvDecoder::new(KvOptions::default(), Wanted { all: true, ..Wanted::default() }).decode(&mut batch, &rows, Subject::Line);
            for (row, line) in lines.iter().enumerate() {
                let mut plain: Vec<(String, String)> = Vec::new();
                for (name, value) in pairs(line) {
                    match plain.iter_mut().find(|(n, _)| *n == name) {
                        Some(found) => found.1 = value,
                        None => plain.push((name, value)),
                    }
                }
                let text = |span: Span| String::from_utf8_lossy(batch.bytes(span)).into_owned();
                let got: Vec<(String, String)> = batch.extras(0, row).iter().map(|e| (text(e.name), text(e.value))).collect();
                prop_assert_eq!(got, plain);
            }
        }
    }
}
