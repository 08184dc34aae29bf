//! Rows as they stand now: those of the last durable epoch, and over them what changed since.
//!
//! What a save takes stays here until the store has it. How far the store has come it says itself: the last row of each save counts them.
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::state::{OwnRows, Row, Stored};

/// What became of a row.
#[derive(Debug)]
struct Changed {
    /// None: it is no more.
    value: Option<Arc<[u8]>>,
    /// The save that takes it.
    save: u64,
}

impl Changed {
    fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.len())
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Layer {
    under: OwnRows,
    changed: BTreeMap<Arc<[u8]>, Changed>,
    /// The row that counts saves.
    counter: Vec<u8>,
    /// Saves that were made.
    saves: u64,
    /// Bytes that changed.
    bytes: usize,
}

impl Layer {
    /// Over what the store has. `counter`: the key of the row that counts saves.
    pub(super) fn new(under: OwnRows, counter: Vec<u8>) -> Layer {
        let mut layer = Layer { under, changed: BTreeMap::new(), counter, saves: 0, bytes: 0 };
        layer.saves = layer.durable();
        layer
    }

    /// Saves that the store has.
    fn durable(&self) -> u64 {
        self.under.get(&self.counter).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    /// Whether there was any save.
    pub(super) fn has_saves(&self) -> bool {
        self.saves > 0
    }

    /// Shows the value of a row, if there is one.
    pub(super) fn read(&self, key: &[u8], seen: &mut dyn FnMut(&[u8])) {
        match self.changed.get(key) {
            Some(changed) => changed.value.iter().for_each(|value| seen(value)),
            None => self.under.get(key).iter().for_each(|value| seen(value)),
        }
    }

    /// Puts a row, or takes it away.
    pub(super) fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let (key, value): (Arc<[u8]>, _) = (key.into(), value.map(Arc::from));
        let new = Changed { value, save: self.saves + 1 };
        let length = key.len();
        self.bytes += length + new.bytes();
        if let Some(old) = self.changed.insert(key, new) {
            self.bytes -= length + old.bytes();
        }
    }

    /// Whether it may change further before the store has caught up. What the next save takes is not waited for: it is under way once the saves before it are over.
    pub(super) fn has_room(&self, most: usize) -> bool {
        self.bytes <= most || self.durable() >= self.saves
    }

    /// Up to so many rows in the order of their keys: from one on, and before another.
    pub(super) fn scan(&self, from: &[u8], before: &[u8], most: usize) -> Vec<Stored> {
        let mut out: Vec<Stored> = Vec::new();
        let mut changed = self.changed.range::<[u8], _>((Bound::Included(from), Bound::Excluded(before))).peekable();
        let mut at = from.to_vec();
        loop {
            let stored = self.under.scan(&at, before, most);
            let is_last = stored.len() < most;
            for (key, value) in stored {
                while out.len() < most
                    && let Some((new, row)) = changed.next_if(|(new, _)| ***new < *key)
                {
                    out.extend(row.value.iter().map(|value| (new.to_vec(), value.to_vec())));
                }
                if out.len() == most {
                    return out;
                }
                at.clone_from(&key);
                match changed.next_if(|(new, _)| ***new == *key) {
                    Some((_, row)) => out.extend(row.value.iter().map(|value| (key.clone(), value.to_vec()))),
                    None => out.push((key, value)),
                }
            }
            if is_last {
                let rest = changed.filter_map(|(key, row)| Some((key.to_vec(), row.value.as_ref()?.to_vec())));
                let room = most.saturating_sub(out.len());
                out.extend(rest.take(room));
                return out;
            }
            at.push(0);
        }
    }

    /// Gives what changed since the last call, and forgets what the store has by now.
    pub(super) fn save(&mut self, out: &mut Vec<Row>) {
        let durable = self.durable();
        self.changed.retain(|_, row| row.save > durable);
        self.bytes = self.changed.iter().map(|(key, row)| key.len() + row.bytes()).sum();
        let begin = out.len();
        let new = self.changed.iter().filter(|(_, row)| row.save > self.saves);
        out.extend(new.map(|(key, row)| (Arc::clone(key), row.value.clone())));
        if out.len() > begin {
            self.saves += 1;
            // Written in this order, it is not seen before the others are.
            out.push((self.counter.as_slice().into(), Some(self.saves.to_le_bytes()[..].into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Changes, MemoryStore, Store as _};

    #[test]
    fn what_changed_has_a_bound() {
        let mut store = MemoryStore::default();
        let rows = OwnRows::new(store.rows("r").unwrap(), Arc::new(|e| panic!("{e}")));
        let mut layer = Layer::new(rows, b"s".to_vec());
        for n in 0..100u8 {
            layer.set(vec![n], Some(vec![0; 99]));
            layer.set(vec![n], Some(vec![0; 9]));
        }
        // Nothing is under way: to wait would be in vain.
        assert!(layer.has_room(999));
        let mut saved = Vec::new();
        layer.save(&mut saved);
        assert!(layer.has_room(1000) && !layer.has_room(999));
        store.publish(b"", Changes { rows: vec![("r".into(), saved)], ..Changes::default() }).unwrap();
        assert!(layer.has_room(999));
        layer.save(&mut Vec::new());
        assert!(layer.has_room(0) && layer.changed.is_empty());
    }
}
