//! The entries of a list: found by key, in the order of their age, and gone when their time is over.
use std::sync::Arc;

use super::history::History;
use super::shelf::{Cleared, Mark, Shelf, Slots};
use super::{Cell, Evict, ListSpec, Storage};
use crate::clock::{NEVER, Timestamp};
use crate::event::Value;
use crate::state::{Chunks, OwnRows, StateError, StateReader};
use crate::table::rows::KEY_SEPARATOR;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// It is in the list.
    Taken,
    /// It is, and another entry had to go.
    Evicted,
    /// The list is full.
    Rejected,
}

/// An entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its key: parts, each with [`KEY_SEPARATOR`] behind it.
    pub key: Box<[u8]>,
    /// Values of the columns.
    pub cells: Box<[Option<Cell>]>,
    /// When it was made: [`NEVER`] where the list's file has it.
    pub created: Timestamp,
    /// When it was last written.
    pub written: Timestamp,
    /// From when on it is no more.
    pub expires: Timestamp,
    /// Its place among those of equal age; 0 where the list's file has it.
    pub number: u64,
    /// It is as the list's file has it.
    pub(super) is_of_file: bool,
    /// It changed since the last save.
    pub(super) is_fresh: bool,
}

impl Entry {
    /// The value of a column.
    pub fn value(&self, column: usize) -> Value<'_> {
        self.cells.get(column).and_then(Option::as_ref).map_or(Value::Absent, Cell::value)
    }

    /// The parts of its key.
    pub fn key_values(&self) -> impl Iterator<Item = Value<'_>> {
        self.key.strip_suffix(&[KEY_SEPARATOR]).unwrap_or(&self.key).split(|byte| *byte == KEY_SEPARATOR).map(Value::Text)
    }
}

impl Entry {
    /// Joins what a write brings with what the columns hold.
    fn join(&mut self, spec: &ListSpec, set: &[(usize, Value<'_>)]) {
        for (column, (cell, (_, merge))) in self.cells.iter_mut().zip(&spec.columns).enumerate() {
            let value = set.iter().find(|(c, _)| *c == column).map_or(Value::Absent, |(_, value)| *value);
            *cell = merge.join(cell.take(), value);
        }
    }
}

/// One copy of a list.
#[derive(Debug)]
pub struct List {
    /// What the pipeline file says of it.
    pub spec: Arc<ListSpec>,
    shelf: Box<dyn Shelf>,
    cleared: Cleared,
}

impl List {
    /// A copy that holds what the list's file holds. One on the disk takes nothing in before [`List::attach`].
    pub fn new(spec: Arc<ListSpec>) -> List {
        List { shelf: Box::new(Slots::new(&spec)), cleared: Cleared::default(), spec }
    }

    /// Holds the entries of a list on the disk in rows of a store, beside those of other lists by number.
    pub fn attach(&mut self, list: u32, rows: &OwnRows) {
        if self.spec.storage == Storage::Disk {
            self.shelf = Box::new(History::new(&self.spec, list, rows.clone()));
        }
    }

    /// Entries, those whose time is over among them until something is written.
    pub fn len(&self) -> usize {
        self.shelf.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes a full save takes.
    pub fn size_hint(&self) -> usize {
        self.shelf.size_hint()
    }

    /// What one makes of the entry of a key as it stands at a time, if there is one.
    #[inline]
    pub fn find<T>(&self, key: &[u8], time: Timestamp, made: impl Fn(&Entry) -> T) -> Option<T> {
        let mut out = None;
        self.shelf.read(key, &mut |entry| out = (entry.expires > time).then(|| made(entry)));
        out
    }

    /// Whether it may be written further before what changed is durable.
    pub fn has_room(&self) -> bool {
        self.shelf.has_room()
    }

    /// Shows up to so many entries from a mark on. False where that was the last one.
    pub fn page(&self, mark: &mut Mark, most: usize, mut seen: impl FnMut(&Entry)) -> bool {
        self.shelf.page(mark, most, &mut seen)
    }

    /// Until when what is made or, in a sliding list, written at a time lives.
    fn end(&mut self, time: Timestamp) -> Timestamp {
        let clear = self.cleared.after(self.spec.clear.as_ref(), time);
        self.spec.ttl.map_or(Timestamp::MAX, |ttl| time.saturating_add(ttl)).min(clear)
    }

    /// Forgets what is over at a time, in the order of ends.
    pub fn expire(&mut self, time: Timestamp, mut over: impl FnMut(&Entry)) {
        while let Some(entry) = self.shelf.pop_ended(time) {
            over(&entry);
        }
    }

    /// Takes a write. `set`: values by column; the others are as they were.
    pub fn write(&mut self, key: &[u8], time: Timestamp, set: &[(usize, Value<'_>)]) -> Wrote {
        self.expire(time, |_| ());
        let end = self.end(time);
        let spec = &self.spec;
        let is_known = self.shelf.change(key, &mut |entry| {
            entry.join(spec, set);
            (entry.written, entry.is_of_file) = (time, false);
            // What a file gave an end to, or none, keeps it.
            if spec.is_sliding && entry.created != NEVER {
                entry.expires = end;
            }
        });
        if is_known {
            return Wrote::Taken;
        }
        let mut wrote = Wrote::Taken;
        if self.shelf.len() >= spec.capacity {
            if spec.evict == Evict::Reject || !self.shelf.pop_oldest() {
                return Wrote::Rejected;
            }
            wrote = Wrote::Evicted;
        }
        let cells = spec.columns.iter().map(|_| None).collect();
        let mut entry =
            Entry { key: key.into(), cells, created: time, written: time, expires: end, number: 0, is_of_file: false, is_fresh: true };
        entry.join(spec, set);
        self.shelf.add(entry);
        wrote
    }

    /// Takes the entry of a key away.
    pub fn remove(&mut self, key: &[u8], time: Timestamp) {
        self.expire(time, |_| ());
        self.shelf.remove(key);
    }

    /// Writes all, or what changed since the last call, each record behind the number of the list among those of its reader.
    pub fn save(&mut self, list: u32, full: bool, chunks: &mut Chunks) {
        self.shelf.save(list, full, chunks);
    }

    /// Reads one record that [`List::save`] wrote, behind the number.
    pub fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.shelf.load(from)
    }
}
