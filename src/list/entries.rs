//! The entries of a list: found by key, in the order of their age, and gone when their time is over.
use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{Cell, Evict, ListSpec};
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
    /// Its place among those of equal age.
    pub(super) number: u64,
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
    /// By the age that eviction goes by.
    ages: BTreeSet<(Timestamp, u64, u32)>,
    ends: BTreeSet<(Timestamp, u32)>,
    pub(super) next_number: u64,
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
            ages: BTreeSet::new(),
            ends: BTreeSet::new(),
            next_number: 0,
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
                let cell = |column: &Option<usize>| column.and_then(|c| table.cell(row, c)).and_then(|text| Cell::of(Value::Text(text)));
                let cells = columns.iter().map(cell).collect();
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
        self.take(&entry.key.clone());
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        if entry.created != NEVER {
            self.ages.insert((self.age(&entry), entry.number, slot));
        }
        if entry.expires != Timestamp::MAX {
            self.ends.insert((entry.expires, slot));
        }
        let hash = self.hasher.hash_one(&*entry.key);
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

    /// Takes the entry of a key out.
    pub(super) fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let slot = self.slot(key)?;
        let hash = self.hasher.hash_one(key);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.ages.remove(&(self.age(&entry), entry.number, slot));
        self.ends.remove(&(entry.expires, slot));
        Some(entry)
    }

    fn age(&self, entry: &Entry) -> Timestamp {
        if self.spec.evict == Evict::Lru { entry.written } else { entry.created }
    }

    /// Forgets what is over at a time. A start finds it over again, so nothing of it is saved.
    fn expire(&mut self, time: Timestamp) {
        while let Some((end, slot)) = self.ends.first().copied()
            && end <= time
        {
            self.ends.pop_first();
            let key = self.slots.get(slot as usize).and_then(Option::as_ref).map(|entry| entry.key.clone());
            if let Some(key) = key {
                self.take(&key);
            }
        }
    }

    /// Takes a write. `set`: values by column; the others are as they were.
    pub fn write(&mut self, key: &[u8], time: Timestamp, set: &[(usize, Value<'_>)]) -> Wrote {
        self.expire(time);
        let spec = Arc::clone(&self.spec);
        let before = self.take(key);
        let mut wrote = Wrote::Taken;
        if before.is_none() && self.len() >= spec.capacity {
            match self.ages.first().copied().filter(|_| spec.evict != Evict::Reject) {
                Some((_, _, slot)) => self.evict(slot),
                None => return Wrote::Rejected,
            }
            wrote = Wrote::Evicted;
        }
        let is_new = before.is_none();
        let mut entry = before.unwrap_or_else(|| {
            let cells = spec.columns.iter().map(|_| None).collect();
            let (expires, number) = (Timestamp::MAX, self.next_number);
            Entry { key: key.into(), cells, created: time, written: time, expires, number, is_of_file: false, is_fresh: true }
        });
        self.next_number += u64::from(is_new);
        entry.is_of_file = false;
        for (column, (cell, (_, merge))) in entry.cells.iter_mut().zip(&spec.columns).enumerate() {
            let value = set.iter().find(|(c, _)| *c == column).and_then(|(_, value)| Cell::of(*value));
            *cell = merge.join(cell.take(), value);
        }
        entry.written = time;
        // What a file gave an end to, or none, keeps it.
        if let Some(ttl) = spec.ttl
            && (is_new || spec.is_sliding && entry.created != NEVER)
        {
            entry.expires = time.saturating_add(ttl);
        }
        entry.is_fresh = true;
        self.put(entry);
        wrote
    }

    fn evict(&mut self, slot: u32) {
        let key = self.slots.get(slot as usize).and_then(Option::as_ref).map(|entry| entry.key.clone());
        if let Some(key) = key {
            self.take(&key);
            self.removed.push(key);
        }
    }

    /// Takes the entry of a key away.
    pub fn remove(&mut self, key: &[u8], time: Timestamp) {
        self.expire(time);
        if self.take(key).is_some() {
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
