//! The shelf on the disk: entries in rows of the store, read by their key, with their queues beside them. For what memory cannot hold: everything that was ever
//! seen, for a year.
//!
//! ```text
//! list  'e'  key                 where the entry stands in the queues, its life, its cells
//! list  't'  end  number  key    ends of life, the earliest first
//! list  'a'  age  number  key    ages, the oldest first
//! list  'm'  key                 a key of the file that was taken away
//! list  'h'                      how many entries there are, and the last number
//! list  's'                      how many saves there were
//! ```
//! Entries of the list's file stand in memory, where its table is too, until they are written. An entry that was written since has its place in a queue when it is
//! come to, so a write changes one row.
use std::collections::VecDeque;
use std::sync::Arc;

use super::layer::Layer;
use super::shelf::{Mark, Shelf, Slots, age};
use super::{Entry, ListSpec};
use crate::clock::{NEVER, Timestamp};
use crate::limits::LIST_CHANGES_MAX;
use crate::state::{Chunks, OwnRows, StateError, StateReader, StateWriter};

/// Rows of a queue that are read at once.
const AHEAD: usize = if cfg!(test) { 2 } else { 64 };

/// The row of a kind in a list.
fn row(list: u32, kind: u8, rest: &[u8]) -> Vec<u8> {
    [&list.to_be_bytes(), &[kind][..], rest].concat()
}

/// Entries by a time, as rows whose keys are in the order of it.
#[derive(Debug)]
struct Queue {
    list: u32,
    kind: u8,
    /// The first rows, as far as they are known.
    ahead: VecDeque<Vec<u8>>,
    /// All rows before it are among them.
    known: Vec<u8>,
}

impl Queue {
    fn new(list: u32, kind: u8) -> Queue {
        Queue { list, kind, ahead: VecDeque::new(), known: row(list, kind, &[]) }
    }

    fn place(&self, time: Timestamp, number: u64, key: &[u8]) -> Vec<u8> {
        // The sign's bit turned, times are in the order of their bytes.
        let time = (time as u64) ^ (1 << 63);
        row(self.list, self.kind, &[&time.to_be_bytes(), &number.to_be_bytes(), key].concat())
    }

    /// The time and the key of the first entry, if its time has come.
    fn first(&mut self, rows: &Layer, upto: Timestamp) -> Option<(Timestamp, Vec<u8>)> {
        if self.ahead.is_empty() {
            self.look_ahead(rows);
        }
        let (time, rest) = self.ahead.front()?.get(5..)?.split_first_chunk::<8>()?;
        let time = (u64::from_be_bytes(*time) ^ (1 << 63)) as Timestamp;
        if time <= upto { Some((time, rest.get(8..)?.to_vec())) } else { None }
    }

    fn look_ahead(&mut self, rows: &Layer) {
        let behind = row(self.list, self.kind + 1, &[]);
        if self.known < behind {
            let found = rows.scan(&self.known, &behind, AHEAD);
            self.known = match found.last() {
                Some((last, _)) if found.len() == AHEAD => [last, &[0][..]].concat(),
                _ => behind,
            };
            self.ahead.extend(found.into_iter().map(|(place, _)| place));
        }
    }

    fn push(&mut self, rows: &mut Layer, time: Timestamp, number: u64, key: &[u8]) {
        let place = self.place(time, number, key);
        if place < self.known {
            let at = self.ahead.partition_point(|known| *known < place);
            self.ahead.insert(at, place.clone());
            if self.ahead.len() > 4 * AHEAD {
                let mut rest = self.ahead.split_off(AHEAD);
                self.known = rest.pop_front().unwrap_or_default();
            }
        }
        rows.set(place, Some(Vec::new()));
    }

    /// Takes the first row away, which was just looked at.
    fn pop(&mut self, rows: &mut Layer) {
        self.ahead.pop_front().into_iter().for_each(|place| rows.set(place, None));
    }

    fn remove(&mut self, rows: &mut Layer, time: Timestamp, number: u64, key: &[u8]) {
        let place = self.place(time, number, key);
        if let Ok(at) = self.ahead.binary_search(&place) {
            self.ahead.remove(at);
        }
        rows.set(place, None);
    }
}

/// An entry, and the times at which it stands in the queues.
struct Shelved {
    entry: Entry,
    end: Timestamp,
    age: Timestamp,
}

/// See the module.
#[derive(Debug)]
pub(super) struct History {
    spec: Arc<ListSpec>,
    list: u32,
    store: OwnRows,
    rows: Layer,
    /// Entries that are as the list's file has them.
    file: Slots,
    ends: Queue,
    ages: Queue,
    /// Entries in rows, and the last number.
    head: (u64, u64),
    saved_head: (u64, u64),
}

impl History {
    /// The list of a number, as the store has it.
    pub(super) fn new(spec: &Arc<ListSpec>, list: u32, store: OwnRows) -> History {
        let mut shelf = History {
            rows: Layer::new(store.clone(), row(list, b's', &[])),
            file: Slots::new(spec),
            ends: Queue::new(list, b't'),
            ages: Queue::new(list, b'a'),
            head: (0, 0),
            saved_head: (0, 0),
            spec: Arc::clone(spec),
            list,
            store,
        };
        let mut head = (0, 0);
        shelf.rows.read(&row(list, b'h', &[]), &mut |bytes| {
            let mut from = StateReader::new(bytes);
            match from.u64().and_then(|len| Ok((len, from.u64()?))) {
                Ok(read) => head = read,
                Err(e) => shelf.store.fail(e),
            }
        });
        (shelf.head, shelf.saved_head) = (head, head);
        if shelf.rows.has_saves() {
            let keys: Vec<Box<[u8]>> = shelf.file.slots.iter().flatten().map(|entry| entry.key.clone()).collect();
            for key in keys {
                if shelf.has(b'e', &key) || shelf.has(b'm', &key) {
                    shelf.file.take_key(&key);
                }
            }
        }
        shelf
    }

    fn has(&self, kind: u8, key: &[u8]) -> bool {
        let mut has = false;
        self.rows.read(&row(self.list, kind, key), &mut |_| has = true);
        has
    }

    fn shelved(&self, key: &[u8], bytes: &[u8]) -> Option<Shelved> {
        let mut from = StateReader::new(bytes);
        let mut read = || Ok(Shelved { end: from.i64()?, age: from.i64()?, entry: Entry::load(&self.spec, key, &mut from)? });
        read().map_err(|e: StateError| self.store.fail(e)).ok()
    }

    fn find(&self, key: &[u8]) -> Option<Shelved> {
        let mut found = None;
        self.rows.read(&row(self.list, b'e', key), &mut |bytes| found = self.shelved(key, bytes));
        found
    }

    fn set(&mut self, shelved: &Shelved) {
        let mut out = StateWriter::default();
        out.i64(shelved.end);
        out.i64(shelved.age);
        shelved.entry.save(&mut out);
        self.rows.set(row(self.list, b'e', &shelved.entry.key), Some(out.bytes));
    }

    /// Puts an entry into rows where none of its key is.
    fn put(&mut self, entry: Entry) {
        let shelved = Shelved { end: entry.expires, age: age(&self.spec, &entry), entry };
        let entry = &shelved.entry;
        if entry.expires != Timestamp::MAX {
            self.ends.push(&mut self.rows, shelved.end, entry.number, &entry.key);
        }
        if entry.created != NEVER {
            self.ages.push(&mut self.rows, shelved.age, entry.number, &entry.key);
        }
        self.set(&shelved);
        self.head.0 += 1;
    }

    fn take(&mut self, shelved: Shelved) -> Entry {
        let Shelved { entry, end, age } = shelved;
        self.rows.set(row(self.list, b'e', &entry.key), None);
        if end != Timestamp::MAX {
            self.ends.remove(&mut self.rows, end, entry.number, &entry.key);
        }
        if entry.created != NEVER {
            self.ages.remove(&mut self.rows, age, entry.number, &entry.key);
        }
        self.head.0 = self.head.0.saturating_sub(1);
        entry
    }

    /// Puts an entry where its end is in the queue.
    fn requeue_end(&mut self, shelved: &mut Shelved) {
        let entry = &shelved.entry;
        if shelved.end != Timestamp::MAX {
            self.ends.remove(&mut self.rows, shelved.end, entry.number, &entry.key);
        }
        shelved.end = entry.expires;
        if shelved.end != Timestamp::MAX {
            self.ends.push(&mut self.rows, shelved.end, entry.number, &entry.key);
        }
    }

    /// The entry in rows whose life ended first, if that was by a time.
    fn ended(&mut self, time: Timestamp) -> Option<Shelved> {
        loop {
            let (end, key) = self.ends.first(&self.rows, time)?;
            let found = self.find(&key);
            if found.as_ref().is_some_and(|shelved| shelved.entry.expires <= end) {
                return found;
            }
            match found {
                Some(mut shelved) if shelved.end == end => {
                    self.requeue_end(&mut shelved);
                    self.set(&shelved);
                }
                // It says nothing that is so.
                _ => self.ends.pop(&mut self.rows),
            }
        }
    }
}

impl Shelf for History {
    fn len(&self) -> usize {
        self.file.len() + self.head.0 as usize
    }

    fn read(&self, key: &[u8], seen: &mut dyn FnMut(&Entry)) {
        let mut is_of_file = false;
        self.file.read(key, &mut |entry| {
            is_of_file = true;
            seen(entry);
        });
        if !is_of_file {
            self.find(key).iter().for_each(|shelved| seen(&shelved.entry));
        }
    }

    fn change(&mut self, key: &[u8], change: &mut dyn FnMut(&mut Entry)) -> bool {
        if let Some(mut entry) = self.file.take_key(key) {
            change(&mut entry);
            self.put(entry);
            return true;
        }
        let Some(mut shelved) = self.find(key) else { return false };
        change(&mut shelved.entry);
        // As in memory: only a later end is found where the earlier one stood.
        if shelved.entry.expires < shelved.end {
            self.requeue_end(&mut shelved);
        }
        self.set(&shelved);
        true
    }

    fn add(&mut self, entry: Entry) {
        self.head.1 += 1;
        self.put(Entry { number: self.head.1, ..entry });
    }

    fn remove(&mut self, key: &[u8]) {
        let is_there = self.file.take_key(key).is_some() || self.find(key).map(|shelved| self.take(shelved)).is_some();
        if is_there && self.spec.is_in_file(key) {
            self.rows.set(row(self.list, b'm', key), Some(Vec::new()));
        }
    }

    fn pop_ended(&mut self, time: Timestamp) -> Option<Entry> {
        let of_file = self.file.first_end().filter(|end| *end <= time);
        match (of_file, self.ended(time)) {
            (Some(end), Some(shelved)) if end > shelved.entry.expires => Some(self.take(shelved)),
            (None, Some(shelved)) => Some(self.take(shelved)),
            (Some(_), _) => self.file.pop_ended(time),
            (None, None) => None,
        }
    }

    fn pop_oldest(&mut self) -> bool {
        while let Some((before, key)) = self.ages.first(&self.rows, Timestamp::MAX) {
            let found = self.find(&key);
            self.ages.pop(&mut self.rows);
            let Some(mut shelved) = found else { continue };
            shelved.age = age(&self.spec, &shelved.entry);
            if shelved.age <= before {
                self.take(shelved);
                return true;
            }
            self.ages.push(&mut self.rows, shelved.age, shelved.entry.number, &key);
            self.set(&shelved);
        }
        false
    }

    fn has_room(&self) -> bool {
        self.rows.has_room(LIST_CHANGES_MAX)
    }

    fn page(&self, mark: &mut Mark, most: usize, seen: &mut dyn FnMut(&Entry)) -> bool {
        if mark.slot < self.file.slots.len() {
            self.file.page(mark, most, seen);
            return true;
        }
        let from = if mark.row.is_empty() { row(self.list, b'e', &[]) } else { std::mem::take(&mut mark.row) };
        let rows = self.rows.scan(&from, &row(self.list, b'e' + 1, &[]), most);
        for (place, bytes) in &rows {
            place.get(5..).and_then(|key| self.shelved(key, bytes)).iter().for_each(|shelved| seen(&shelved.entry));
        }
        if let Some((last, _)) = rows.last() {
            mark.row = [last, &[0][..]].concat();
        }
        rows.len() == most
    }

    /// What changed, always: the rows of before are where they are.
    fn save(&mut self, _list: u32, _full: bool, chunks: &mut Chunks) {
        if self.head != self.saved_head {
            self.saved_head = self.head;
            let head = [self.head.0.to_le_bytes(), self.head.1.to_le_bytes()].concat();
            self.rows.set(row(self.list, b'h', &[]), Some(head));
        }
        self.rows.save(&mut chunks.rows);
    }

    fn load(&mut self, _from: &mut StateReader<'_>) -> Result<(), StateError> {
        Err(StateError(format!("the list `{}` was saved as one that is held in memory", self.spec.name)))
    }

    fn size_hint(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state::tests::{UNIT, spec};
    use super::super::{Evict, List, Storage, Wrote};
    use super::*;
    use crate::event::Value;
    use crate::state::{Changes, MemoryStore, Row, Store as _};

    /// A step of a list's life.
    #[derive(Clone, Copy, Debug)]
    struct Step {
        key: u8,
        kind: u8,
    }

    /// What a step says: what became of a write, and whose time was over.
    fn take(list: &mut List, step: Step, time: Timestamp) -> (Option<Wrote>, Vec<Vec<u8>>) {
        let mut over = Vec::new();
        list.expire(time, |entry| over.push(format!("{entry:?}").replace("is_fresh: true", "is_fresh: false").into_bytes()));
        let key = [b'a' + step.key, 0xff];
        if step.kind == 0 {
            list.remove(&key, time);
            return (None, over);
        }
        let note = step.kind.to_string();
        let set = [(0, Value::Text(note.as_bytes())), (2, Value::Text(note.as_bytes()))];
        (Some(list.write(&key, time, &set)), over)
    }

    fn all(list: &List) -> Vec<String> {
        let (mut out, mut mark) = (Vec::new(), Mark::default());
        while list.page(&mut mark, 2, |entry| out.push(format!("{entry:?}").replace("is_fresh: true", "is_fresh: false"))) {}
        out.sort();
        out
    }

    fn opened(spec: &Arc<ListSpec>, store: &mut MemoryStore) -> List {
        let rows = OwnRows::new(store.rows("r").unwrap(), Arc::new(|e| panic!("{e}")));
        let mut list = List::new(Arc::clone(spec));
        list.attach(3, &rows);
        list
    }

    #[test]
    fn a_life_that_a_changed_file_makes_shorter_ends_in_time() {
        for (storage, before) in [Storage::Memory, Storage::Disk].into_iter().flat_map(|s| [(s, None), (s, Some(100 * UNIT))]) {
            let mut store = MemoryStore::default();
            let mut list = opened(&spec(Evict::Oldest, before, true, None, storage), &mut store);
            list.write(b"c\xff", 0, &[]);
            let mut chunks = Chunks::default();
            chunks.begin(0);
            list.save(3, true, &mut chunks);
            store.publish(b"", Changes { rows: vec![("r".into(), chunks.rows)], ..Changes::default() }).unwrap();
            let mut list = opened(&spec(Evict::Oldest, Some(5 * UNIT), true, None, storage), &mut store);
            for piece in chunks.pieces.iter().filter(|piece| piece.bytes.len() > 1) {
                list.load(&mut StateReader::new(&piece.bytes[5..])).unwrap();
            }
            let mut count = |time: Timestamp| {
                list.write(b"c\xff", time * UNIT, &[]);
                list.find(b"c\xff", time * UNIT, |entry| format!("{:?}", entry.value(1)))
            };
            let counts = [1, 5, 10, 20].map(&mut count);
            let want = ["2", "3", "1", "1"].map(|n| Some(format!("{:?}", Value::Number(n.as_bytes()))));
            assert_eq!(counts, want, "{storage:?} {before:?}");
        }
    }

    proptest! {
        #[test]
        fn on_the_disk_it_is_what_it_is_in_memory(
            steps in prop::collection::vec((0u8..9, 0i64..4, 0u8..12), 1..120), evict in 0usize..3, ttl in prop::option::of(1i64..20), sliding in any::<bool>(), clear in any::<bool>())
        {
            let evict = [Evict::Oldest, Evict::Lru, Evict::Reject][evict];
            let of = |storage| spec(evict, ttl.map(|ttl| ttl * UNIT), sliding, clear.then_some("*/3 * * * *"), storage);
            let on_disk = of(Storage::Disk);
            let mut memory = List::new(of(Storage::Memory));
            let mut store = MemoryStore::default();
            let mut disk = opened(&on_disk, &mut store);
            // What was done, and how much of that the store has; saves that it does not have yet.
            let mut done: Vec<(Step, Timestamp)> = Vec::new();
            let mut durable = 0;
            let mut under_way: VecDeque<(usize, Vec<Row>)> = VecDeque::new();
            let mut time = 0;
            for (key, later, kind) in steps {
                time += later * UNIT;
                let step = Step { key, kind };
                match kind {
                    8 => {
                        let mut chunks = Chunks::default();
                        disk.save(3, later == 0, &mut chunks);
                        prop_assert!(chunks.pieces.is_empty());
                        under_way.push_back((done.len(), chunks.rows));
                    }
                    9 => {
                        if let Some((steps, rows)) = under_way.pop_front() {
                            durable = steps;
                            store.publish(b"", Changes { rows: vec![("r".into(), rows)], ..Changes::default() }).unwrap();
                        }
                    }
                    10 => {
                        // A death: what the store has is all that is left.
                        under_way.clear();
                        done.truncate(durable);
                        disk = opened(&on_disk, &mut store);
                        memory = List::new(Arc::clone(&memory.spec));
                        time = done.last().map_or(0, |(_, time)| *time);
                        for (step, time) in &done {
                            take(&mut memory, *step, *time);
                        }
                    }
                    _ => {
                        let (in_memory, on_the_disk) = (take(&mut memory, step, time), take(&mut disk, step, time));
                        prop_assert_eq!(in_memory, on_the_disk);
                        done.push((step, time));
                    }
                }
                prop_assert_eq!(all(&memory), all(&disk));
                prop_assert_eq!(memory.len(), disk.len());
                for key in b'a'..b'j' {
                    let found = |list: &List| list.find(&[key, 0xff], time, |entry| entry.value(0) == Value::Text(b"5"));
                    prop_assert_eq!(found(&memory), found(&disk));
                }
            }
            // What was written by entries that are gone is gone, too.
            let mut chunks = Chunks::default();
            disk.expire(Timestamp::MAX - 1, |_| ());
            for key in b'a'..b'j' {
                disk.remove(&[key, 0xff], Timestamp::MAX - 1);
            }
            disk.save(3, false, &mut chunks);
            under_way.push_back((0, chunks.rows));
            for (_, rows) in under_way {
                store.publish(b"", Changes { rows: vec![("r".into(), rows)], ..Changes::default() }).unwrap();
            }
            let left = store.rows("r").unwrap().scan(&[], &[0xff], 100).unwrap();
            let kinds: Vec<u8> = left.iter().map(|(key, _)| key[4]).filter(|kind| !b"hsm".contains(kind)).collect();
            prop_assert!(kinds.is_empty(), "{kinds:?}");
        }
    }
}
