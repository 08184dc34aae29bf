//! The entries of a list: found by key, in the order of their age, and gone when their time is over.
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{Cell, Evict, ListSpec, Merge};
use crate::clock::{NEVER, Timestamp};
use crate::event::Value;
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

/// Entries by a time, the earliest first: the time, the entry's number, its slot.
type Queue = BinaryHeap<Reverse<(Timestamp, u64, u32)>>;

/// The entry in a slot, if it is still that of a number.
fn entry_of(slots: &[Option<Entry>], slot: u32, number: u64) -> Option<&Entry> {
    slots.get(slot as usize)?.as_ref().filter(|entry| entry.number == number)
}

/// One copy of a list.
#[derive(Debug)]
pub struct List {
    /// What the pipeline file says of it.
    pub spec: Arc<ListSpec>,
    pub(super) slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// Age, number and slot. One that was written since has its place there when it is come to.
    ages: Queue,
    /// By the end of life, in the same way.
    ends: Queue,
    pub(super) next_number: u64,
    /// From when until when entries that are made have their end at the latter.
    cleared: (Timestamp, Timestamp),
    /// Slots whose entry changed since the last save.
    pub(super) changed: Vec<u32>,
    /// Keys whose entry was taken away since then.
    pub(super) removed: Vec<Box<[u8]>>,
    /// Keys of the file that were taken away: what comes under them later is no entry of the file.
    pub(super) missing: HashSet<Box<[u8]>>,
}

impl List {
    /// A copy that holds what the list's file holds.
    pub fn new(spec: Arc<ListSpec>) -> List {
        let mut list = List {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            ages: Queue::new(),
            ends: Queue::new(),
            next_number: 0,
            cleared: (0, 0),
            changed: Vec::new(),
            removed: Vec::new(),
            missing: HashSet::new(),
            spec,
        };
        if let Some(table) = list.spec.base.clone() {
            let columns: Vec<Option<usize>> = list.spec.columns.iter().map(|(name, _)| table.column(name)).collect();
            for row in 0..table.len() as u32 {
                let mut key = Vec::new();
                for column in &table.keys {
                    key.extend_from_slice(table.cell(row, *column).unwrap_or_default());
                    key.push(KEY_SEPARATOR);
                }
                let cell = |(column, (_, merge)): (&Option<usize>, &(String, Merge))| merge.read(table.cell(row, (*column)?)?);
                let cells = columns.iter().zip(&list.spec.columns).map(cell).collect();
                list.put(Entry {
                    key: key.into(),
                    cells,
                    created: NEVER,
                    written: NEVER,
                    expires: table.expires(row),
                    number: 0,
                    is_of_file: true,
                    is_fresh: false,
                });
            }
        }
        list
    }

    /// Entries, those whose time is over among them until something is written.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// How many slots entries may stand in.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The entries in some slots.
    pub fn entries(&self, slots: Range<usize>) -> impl Iterator<Item = &Entry> {
        self.slots.iter().take(slots.end).skip(slots.start).flatten()
    }

    fn slot(&self, key: &[u8]) -> Option<u32> {
        let holds = |slot: &u32| self.slots.get(*slot as usize).and_then(Option::as_ref).is_some_and(|e| *e.key == *key);
        self.index.find(self.hasher.hash_one(key), holds).copied()
    }

    /// The entry of a key, as it stands at a time.
    #[inline]
    pub fn find(&self, key: &[u8], time: Timestamp) -> Option<&Entry> {
        self.slots.get(self.slot(key)? as usize)?.as_ref().filter(|entry| entry.expires > time)
    }

    /// Puts an entry in the place of the one with its key.
    pub(super) fn put(&mut self, entry: Entry) {
        if let Some(slot) = self.slot(&entry.key) {
            self.take(slot);
        }
        let hash = self.hasher.hash_one(&*entry.key);
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        if entry.created != NEVER {
            self.ages.push(Reverse((self.age(&entry), entry.number, slot)));
        }
        if entry.expires != Timestamp::MAX {
            self.ends.push(Reverse((entry.expires, entry.number, slot)));
        }
        if entry.is_fresh {
            self.changed.push(slot);
        }
        match self.slots.get_mut(slot as usize) {
            Some(free) => *free = Some(entry),
            None => self.slots.push(Some(entry)),
        }
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |slot: &u32| slots.get(*slot as usize).and_then(Option::as_ref).map_or(0, |e| hasher.hash_one(&*e.key));
        self.index.insert_unique(hash, slot, rehash);
    }

    /// Takes an entry out. What the queues say of it is passed over when it is come to.
    fn take(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        if let Ok(found) = self.index.find_entry(self.hasher.hash_one(&*entry.key), |other| *other == slot) {
            found.remove();
        }
        self.free.push(slot);
        if self.ages.len() > 2 * self.len() + 1024 {
            let slots = &self.slots;
            self.ages.retain(|Reverse((_, number, slot))| entry_of(slots, *slot, *number).is_some());
            self.ends.retain(|Reverse((_, number, slot))| entry_of(slots, *slot, *number).is_some());
        }
        Some(entry)
    }

    /// Takes the entry of a key out.
    pub(super) fn take_key(&mut self, key: &[u8]) -> Option<Entry> {
        self.take(self.slot(key)?)
    }

    fn age(&self, entry: &Entry) -> Timestamp {
        if self.spec.evict == Evict::Lru { entry.written } else { entry.created }
    }

    /// Until when what is made or, in a sliding list, written at a time lives.
    fn end(&mut self, time: Timestamp) -> Timestamp {
        self.spec.ttl.map_or(Timestamp::MAX, |ttl| time.saturating_add(ttl)).min(self.clear_after(time))
    }

    /// The moment behind a time that is the end of all entries.
    pub(super) fn clear_after(&mut self, time: Timestamp) -> Timestamp {
        let Some(schedule) = &self.spec.clear else { return Timestamp::MAX };
        if time < self.cleared.0 || time >= self.cleared.1 {
            self.cleared = (time, schedule.after(time));
        }
        self.cleared.1
    }

    /// Forgets what is over at a time, in the order of ends. A start finds it over again, so nothing of it is saved.
    pub fn expire(&mut self, time: Timestamp, mut over: impl FnMut(&Entry)) {
        while let Some(Reverse((end, number, slot))) = self.ends.peek().copied()
            && end <= time
        {
            self.ends.pop();
            match entry_of(&self.slots, slot, number).map(|entry| entry.expires) {
                Some(later) if later > time => self.ends.push(Reverse((later, number, slot))),
                Some(_) => self.take(slot).iter().for_each(&mut over),
                None => {}
            }
        }
    }

    /// Takes the oldest entry out. False where there is none that may go.
    fn evict(&mut self) -> bool {
        while let Some(Reverse((age, number, slot))) = self.ages.pop() {
            match entry_of(&self.slots, slot, number).map(|entry| self.age(entry)) {
                Some(later) if later > age => self.ages.push(Reverse((later, number, slot))),
                Some(_) => {
                    let key = self.take(slot).map(|entry| entry.key);
                    self.removed.extend(key);
                    return true;
                }
                None => {}
            }
        }
        false
    }

    /// Takes a write. `set`: values by column; the others are as they were.
    pub fn write(&mut self, key: &[u8], time: Timestamp, set: &[(usize, Value<'_>)]) -> Wrote {
        self.expire(time, |_| ());
        let (spec, end) = (Arc::clone(&self.spec), self.end(time));
        if let Some(slot) = self.slot(key)
            && let Some(entry) = self.slots.get_mut(slot as usize).and_then(Option::as_mut)
        {
            entry.join(&spec, set);
            (entry.written, entry.is_of_file) = (time, false);
            // What a file gave an end to, or none, keeps it.
            if spec.is_sliding && entry.created != NEVER {
                entry.expires = end;
            }
            if !std::mem::replace(&mut entry.is_fresh, true) {
                self.changed.push(slot);
            }
            return Wrote::Taken;
        }
        let mut wrote = Wrote::Taken;
        if self.len() >= spec.capacity {
            if spec.evict == Evict::Reject || !self.evict() {
                return Wrote::Rejected;
            }
            wrote = Wrote::Evicted;
        }
        self.next_number += 1;
        let mut entry = Entry {
            key: key.into(),
            cells: spec.columns.iter().map(|_| None).collect(),
            created: time,
            written: time,
            expires: end,
            number: self.next_number,
            is_of_file: false,
            is_fresh: true,
        };
        entry.join(&spec, set);
        self.put(entry);
        wrote
    }

    /// Takes the entry of a key away.
    pub fn remove(&mut self, key: &[u8], time: Timestamp) {
        self.expire(time, |_| ());
        if self.take_key(key).is_some() {
            self.removed.push(key.into());
            self.note_missing(key);
        }
    }

    /// Remembers that a key of the file is not there.
    pub(super) fn note_missing(&mut self, key: &[u8]) {
        if self.spec.base.as_ref().is_some_and(|table| table.find(key).is_some()) {
            self.missing.insert(key.into());
        }
    }
}
