//! What a list in memory writes at a barrier and reads at a start. What its file holds is in the file.
use super::shelf::Slots;
use super::{Cell, Entry, ListSpec};
use crate::clock::NEVER;
use crate::state::{Chunks, StateError, StateReader, StateWriter};

const PUT: u8 = 1;
const REMOVE: u8 = 2;

impl Entry {
    /// Writes all but the key.
    pub(super) fn save(&self, out: &mut StateWriter) {
        out.i64(self.created);
        out.i64(self.written);
        out.i64(self.expires);
        out.u64(self.number);
        for cell in &self.cells {
            out.u8(u8::from(cell.is_some()));
            if let Some(cell) = cell {
                cell.save(out);
            }
        }
    }

    /// Reads what [`Entry::save`] wrote.
    pub(super) fn load(spec: &ListSpec, key: &[u8], from: &mut StateReader<'_>) -> Result<Entry, StateError> {
        let (created, written, expires, number) = (from.i64()?, from.i64()?, from.i64()?, from.u64()?);
        let mut cells = Vec::with_capacity(spec.columns.len());
        for _ in &spec.columns {
            cells.push(if from.u8()? == 1 { Some(Cell::load(from)?) } else { None });
        }
        let (key, cells) = (key.into(), cells.into());
        Ok(Entry { key, cells, created, written, expires, number, is_of_file: false, is_fresh: false })
    }
}

impl Slots {
    pub(super) fn save_entries(&mut self, list: u32, full: bool, chunks: &mut Chunks) {
        let mut slots = std::mem::take(&mut self.changed);
        let mut removed = std::mem::take(&mut self.removed);
        if full {
            slots = (0..self.slots.len() as u32).collect();
            removed = self.missing.iter().cloned().collect();
        }
        for key in &removed {
            let out = chunks.record();
            out.u32(list);
            out.u8(REMOVE);
            out.bytes(key);
        }
        for slot in slots {
            let Some(entry) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else { continue };
            if entry.is_of_file || !full && !entry.is_fresh {
                continue;
            }
            entry.is_fresh = false;
            let out = chunks.record();
            out.u32(list);
            out.u8(PUT);
            out.bytes(&entry.key);
            entry.save(out);
        }
    }

    pub(super) fn load_entry(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        match from.u8()? {
            REMOVE => {
                let key = from.bytes()?;
                self.take_key(key);
                self.note_missing(key);
            }
            PUT => {
                let key = from.bytes()?;
                let mut entry = Entry::load(&self.spec, key, from)?;
                self.next_number = self.next_number.max(entry.number);
                if entry.created != NEVER {
                    // A schedule may have come since.
                    entry.expires = entry.expires.min(self.cleared.after(self.spec.clear.as_ref(), entry.created));
                }
                self.put(entry);
            }
            kind => return Err(StateError(format!("a record of a list of the unknown kind {kind}"))),
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::{Evict, List, ListSpec, Merge, Schedule, Storage, Wrote};
    use super::*;
    use crate::event::Value;
    use crate::table::Table;

    pub(in crate::list) const UNIT: i64 = 10_000_000_000;

    pub(in crate::list) fn spec(evict: Evict, ttl: Option<i64>, is_sliding: bool, clear: Option<&str>, storage: Storage) -> Arc<ListSpec> {
        let rows = [vec!["a", "file"], vec!["b", "file"]];
        let (base, _) = Table::new(vec!["user".into(), "note".into()], vec![0], rows.into_iter());
        Arc::new(ListSpec {
            name: "l".into(),
            key: vec!["user".into()],
            tenant: None,
            columns: vec![("note".into(), Merge::Last), ("seen".into(), Merge::Count), ("notes".into(), Merge::Set)],
            ttl,
            is_sliding,
            capacity: 5,
            storage,
            evict,
            clear: clear.map(|text| Schedule::parse(text).unwrap()),
            expiry_event: false,
            base: Some(Arc::new(base)),
        })
    }

    /// A list as one would write it on paper: entries in a row.
    struct Naive {
        spec: Arc<ListSpec>,
        /// Key, created, written, end, note, seen.
        entries: Vec<(String, i64, i64, i64, String, u64)>,
    }

    impl Naive {
        fn write(&mut self, key: &str, time: i64, note: &str) -> Wrote {
            self.entries.retain(|e| e.3 > time);
            let clear = |time: i64| self.spec.clear.as_ref().map_or(i64::MAX, |_| (time / (3 * 6 * UNIT) + 1) * 3 * 6 * UNIT);
            let ttl = |time: i64| self.spec.ttl.map_or(i64::MAX, |ttl| time + ttl).min(clear(time));
            let mut wrote = Wrote::Taken;
            if let Some(at) = self.entries.iter().position(|e| e.0 == key) {
                let e = &mut self.entries[at];
                (e.2, e.4, e.5) = (time, note.to_owned(), e.5 + 1);
                if self.spec.is_sliding && e.1 != i64::MIN {
                    e.3 = ttl(time);
                }
                return wrote;
            }
            if self.entries.len() >= self.spec.capacity {
                let age = |e: &&(String, i64, i64, i64, String, u64)| if self.spec.evict == Evict::Lru { e.2 } else { e.1 };
                let oldest = self
                    .entries
                    .iter()
                    .filter(|e| e.1 != i64::MIN && self.spec.evict != Evict::Reject)
                    .min_by_key(age)
                    .map(|e| e.0.clone());
                let Some(oldest) = oldest else { return Wrote::Rejected };
                self.entries.retain(|e| e.0 != oldest);
                wrote = Wrote::Evicted;
            }
            self.entries.push((key.to_owned(), time, time, ttl(time), note.to_owned(), 1));
            wrote
        }

        fn seen(&self, key: &str, time: i64) -> Option<(String, u64)> {
            self.entries.iter().find(|e| e.0 == key && e.3 > time).map(|e| (e.4.clone(), e.5))
        }
    }

    fn restored(list: &List, pieces: &[Vec<u8>]) -> List {
        let mut back = List::new(Arc::clone(&list.spec));
        for piece in pieces {
            let mut from = StateReader::new(piece);
            from.u8().unwrap();
            while !from.is_empty() {
                assert_eq!(from.u32().unwrap(), 3);
                back.load(&mut from).unwrap();
            }
        }
        back
    }

    proptest! {
        #[test]
        fn a_list_is_what_its_writes_made_of_it(
            steps in prop::collection::vec((0u8..9, 0i64..4, 0u8..8), 1..80), evict in 0usize..3, ttl in prop::option::of(1i64..20), sliding in any::<bool>(), clear in any::<bool>())
        {
            let clear = clear.then_some("*/3 * * * *");
            let spec = spec([Evict::Oldest, Evict::Lru, Evict::Reject][evict], ttl.map(|ttl| ttl * UNIT), sliding, clear, Storage::Memory);
            let mut list = List::new(Arc::clone(&spec));
            let of_file = |key: &str| (key.to_owned(), i64::MIN, i64::MIN, i64::MAX, "file".to_owned(), 0);
            let mut naive = Naive { spec, entries: vec![of_file("a"), of_file("b")] };
            let mut pieces = Vec::new();
            let mut time = 0;
            for (key, later, kind) in steps {
                // Ages of entries made at one time tie in the naive list: here no two times are equal.
                time += (later + 1) * UNIT;
                let name = char::from(b'a' + key).to_string();
                let whole = format!("{name}\u{0}").replace('\u{0}', "").into_bytes();
                let whole = [whole, vec![0xff]].concat();
                match kind {
                    0 => {
                        list.remove(&whole, time);
                        naive.entries.retain(|e| e.3 > time && e.0 != name);
                    }
                    1 => {
                        let full = later == 0;
                        let mut chunks = Chunks::default();
                        chunks.begin(6);
                        list.save(3, full, &mut chunks);
                        if full {
                            pieces.clear();
                        }
                        pieces.extend(chunks.pieces.into_iter().map(|p| p.bytes));
                        list = restored(&list, &pieces);
                    }
                    n => {
                        let note = n.to_string();
                        let got = list.write(&whole, time, &[(0, Value::Text(note.as_bytes())), (2, Value::Text(note.as_bytes()))]);
                        prop_assert_eq!(got, naive.write(&name, time, &note));
                    }
                }
                for key in b'a'..b'j' {
                    let found = list.find(&[key, 0xff], time, |e| {
                        let text = |column: usize| {
                            let mut out = Vec::new();
                            e.value(column).write_text(&mut out);
                            String::from_utf8(out).unwrap()
                        };
                        (text(0), text(1).parse().unwrap_or(0))
                    });
                    prop_assert_eq!(found, naive.seen(&char::from(key).to_string(), time));
                }
            }
        }
    }
}
