//! Where the entries of a list stand, and the shelf in memory: slots, an index by key, and queues by age and by end of life.
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::fmt::Debug;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{Entry, Evict, ListSpec, Merge, Schedule};
use crate::clock::{NEVER, Timestamp};
use crate::state::{Chunks, StateError, StateReader};
use crate::table::rows::KEY_SEPARATOR;

/// How far a reader of all entries has come.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    pub(super) slot: usize,
    pub(super) row: Vec<u8>,
}

/// Holds entries by their key. What a list means is not its concern.
pub(super) trait Shelf: Send + Sync + Debug {
    /// Entries.
    fn len(&self) -> usize;
    /// Shows the entry of a key, if there is one.
    fn read(&self, key: &[u8], seen: &mut dyn FnMut(&Entry));
    /// Changes the entry of a key. False where there is none.
    fn change(&mut self, key: &[u8], change: &mut dyn FnMut(&mut Entry)) -> bool;
    /// Puts an entry where none of its key is, and gives it the next number.
    fn add(&mut self, entry: Entry);
    /// Takes an entry away by its key.
    fn remove(&mut self, key: &[u8]);
    /// Takes out the entry whose life ended first, if that was by a time. Each start does so again, so it need not be saved.
    fn pop_ended(&mut self, time: Timestamp) -> Option<Entry>;
    /// Takes away the oldest of those that may go. False where there is none.
    fn pop_oldest(&mut self) -> bool;
    /// Whether it may be written further before what changed is durable.
    fn has_room(&self) -> bool {
        true
    }
    /// Shows up to so many entries from a mark on. False where that was the last one.
    fn page(&self, mark: &mut Mark, most: usize, seen: &mut dyn FnMut(&Entry)) -> bool;
    /// Writes all, or what changed since the last call, each record behind the number of the list among those of its reader.
    fn save(&mut self, list: u32, full: bool, chunks: &mut Chunks);
    /// Reads one record that [`Shelf::save`] wrote, behind the number.
    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError>;
    /// About how many bytes a full save takes.
    fn size_hint(&self) -> usize;
}

/// What an entry's age is counted from.
pub(super) fn age(spec: &ListSpec, entry: &Entry) -> Timestamp {
    if spec.evict == Evict::Lru { entry.written } else { entry.created }
}

/// The moment behind a time that is the end of all entries. Asked for in the order of time, it is mostly known.
#[derive(Debug, Default)]
pub(super) struct Cleared {
    /// From when until when entries that are made have their end at the latter.
    span: (Timestamp, Timestamp),
}

impl Cleared {
    pub(super) fn after(&mut self, schedule: Option<&Schedule>, time: Timestamp) -> Timestamp {
        let Some(schedule) = schedule else { return Timestamp::MAX };
        if time < self.span.0 || time >= self.span.1 {
            self.span = (time, schedule.after(time));
        }
        self.span.1
    }
}

/// Entries by a time, the earliest first: the time, the entry's number, its slot.
type Queue = BinaryHeap<Reverse<(Timestamp, u64, u32)>>;

/// The entry in a slot, if it is still that of a number.
fn entry_of(slots: &[Option<Entry>], slot: u32, number: u64) -> Option<&Entry> {
    slots.get(slot as usize)?.as_ref().filter(|entry| entry.number == number)
}

/// See the module.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) spec: Arc<ListSpec>,
    pub(super) slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// Age, number and slot. One that was written since has its place there when it is come to.
    ages: Queue,
    /// By the end of life, in the same way.
    ends: Queue,
    pub(super) next_number: u64,
    /// Slots whose entry changed since the last save.
    pub(super) changed: Vec<u32>,
    /// Keys whose entry was taken away since then.
    pub(super) removed: Vec<Box<[u8]>>,
    /// Keys of the file that were taken away: what comes under them later is no entry of the file.
    pub(super) missing: HashSet<Box<[u8]>>,
    pub(super) cleared: Cleared,
}

impl Slots {
    /// A shelf that holds what the list's file holds.
    pub(super) fn new(spec: &Arc<ListSpec>) -> Slots {
        let mut shelf = Slots {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            ages: Queue::new(),
            ends: Queue::new(),
            next_number: 0,
            changed: Vec::new(),
            removed: Vec::new(),
            missing: HashSet::new(),
            cleared: Cleared::default(),
            spec: Arc::clone(spec),
        };
        if let Some(table) = spec.base.clone() {
            let columns: Vec<Option<usize>> = spec.columns.iter().map(|(name, _)| table.column(name)).collect();
            for row in 0..table.len() as u32 {
                let mut key = Vec::new();
                for column in &table.keys {
                    key.extend_from_slice(table.cell(row, *column).unwrap_or_default());
                    key.push(KEY_SEPARATOR);
                }
                let cell = |(column, (_, merge)): (&Option<usize>, &(String, Merge))| merge.read(table.cell(row, (*column)?)?);
                let cells = columns.iter().zip(&spec.columns).map(cell).collect();
                shelf.put(Entry {
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
        shelf
    }

    fn slot(&self, key: &[u8]) -> Option<u32> {
        let holds = |slot: &u32| self.slots.get(*slot as usize).and_then(Option::as_ref).is_some_and(|e| *e.key == *key);
        self.index.find(self.hasher.hash_one(key), holds).copied()
    }

    /// Puts an entry in the place of the one with its key.
    pub(super) fn put(&mut self, entry: Entry) {
        if let Some(slot) = self.slot(&entry.key) {
            self.take(slot);
        }
        let hash = self.hasher.hash_one(&*entry.key);
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        if entry.created != NEVER {
            self.ages.push(Reverse((age(&self.spec, &entry), entry.number, slot)));
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

    /// Remembers that a key of the file is not there.
    pub(super) fn note_missing(&mut self, key: &[u8]) {
        if self.spec.is_in_file(key) {
            self.missing.insert(key.into());
        }
    }

    /// The end that comes first.
    pub(super) fn first_end(&mut self) -> Option<Timestamp> {
        while let Some(Reverse((end, number, slot))) = self.ends.peek().copied() {
            match entry_of(&self.slots, slot, number).map(|entry| entry.expires) {
                Some(later) if later > end => {
                    self.ends.pop();
                    if later != Timestamp::MAX {
                        self.ends.push(Reverse((later, number, slot)));
                    }
                }
                Some(_) => return Some(end),
                None => drop(self.ends.pop()),
            }
        }
        None
    }
}

impl Shelf for Slots {
    fn len(&self) -> usize {
        self.index.len()
    }

    #[inline]
    fn read(&self, key: &[u8], seen: &mut dyn FnMut(&Entry)) {
        self.slot(key).and_then(|slot| self.slots.get(slot as usize)?.as_ref()).into_iter().for_each(seen);
    }

    fn change(&mut self, key: &[u8], change: &mut dyn FnMut(&mut Entry)) -> bool {
        let Some(slot) = self.slot(key) else { return false };
        let Some(entry) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { return false };
        let end = entry.expires;
        change(entry);
        // Later ends are found where the earlier one stood; a `ttl` that the pipeline file has made shorter brings one nearer.
        if entry.expires < end {
            self.ends.push(Reverse((entry.expires, entry.number, slot)));
        }
        if !std::mem::replace(&mut entry.is_fresh, true) {
            self.changed.push(slot);
        }
        true
    }

    fn add(&mut self, entry: Entry) {
        self.next_number += 1;
        self.put(Entry { number: self.next_number, ..entry });
    }

    fn remove(&mut self, key: &[u8]) {
        if self.take_key(key).is_some() {
            self.removed.push(key.into());
            self.note_missing(key);
        }
    }

    fn pop_ended(&mut self, time: Timestamp) -> Option<Entry> {
        self.ends.peek().filter(|Reverse((end, ..))| *end <= time)?;
        self.first_end().filter(|end| *end <= time)?;
        let Reverse((_, _, slot)) = self.ends.pop()?;
        self.take(slot)
    }

    fn pop_oldest(&mut self) -> bool {
        while let Some(Reverse((before, number, slot))) = self.ages.pop() {
            match entry_of(&self.slots, slot, number).map(|entry| age(&self.spec, entry)) {
                Some(later) if later > before => self.ages.push(Reverse((later, number, slot))),
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

    fn page(&self, mark: &mut Mark, most: usize, seen: &mut dyn FnMut(&Entry)) -> bool {
        self.slots.iter().skip(mark.slot).take(most).flatten().for_each(seen);
        mark.slot += most;
        mark.slot < self.slots.len()
    }

    fn save(&mut self, list: u32, full: bool, chunks: &mut Chunks) {
        self.save_entries(list, full, chunks);
    }

    fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.load_entry(from)
    }

    fn size_hint(&self) -> usize {
        self.len() * 128
    }
}
