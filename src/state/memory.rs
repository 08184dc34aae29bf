//! A store without a disk, for tests and the simulation: what was published survives the "process", nothing else does.
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Changes, Rows, StateError, Store, Stored};

#[derive(Debug, Default)]
struct Inner {
    record: Option<Vec<u8>>,
    blobs: BTreeMap<Vec<u8>, Vec<u8>>,
    rows: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// Clones share one memory, as processes share one disk.
#[derive(Debug, Default, Clone)]
pub struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn record(&self) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.lock().record.clone())
    }
    fn blob(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.lock().blobs.get(key).cloned())
    }
    fn rows(&self, owner: &str) -> Result<Arc<dyn Rows>, StateError> {
        Ok(Arc::new(MemoryRows { store: self.clone(), owner: owner.to_owned() }))
    }
    fn publish(&mut self, record: &[u8], changes: Changes) -> Result<(), StateError> {
        let mut inner = self.lock();
        inner.blobs.extend(changes.blobs.into_iter().map(|b| (b.key, b.value)));
        inner.record = Some(record.to_vec());
        for key in changes.forget {
            inner.blobs.remove(&key);
        }
        for (owner, rows) in changes.rows {
            let of_owner = inner.rows.entry(owner).or_default();
            for (key, value) in rows {
                match value {
                    Some(value) => drop(of_owner.insert(key.to_vec(), value.to_vec())),
                    None => drop(of_owner.remove(&*key)),
                }
            }
        }
        Ok(())
    }
    fn keep_rows_of(&mut self, owners: &[String]) -> Result<(), StateError> {
        self.lock().rows.retain(|owner, _| owners.contains(owner));
        Ok(())
    }
}

struct MemoryRows {
    store: MemoryStore,
    owner: String,
}

impl Rows for MemoryRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.store.lock().rows.get(&self.owner).and_then(|rows| rows.get(key)).cloned())
    }
    fn scan(&self, from: &[u8], before: &[u8], most: usize) -> Result<Vec<Stored>, StateError> {
        let inner = self.store.lock();
        let Some(rows) = inner.rows.get(&self.owner) else { return Ok(Vec::new()) };
        let range = rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(before)));
        Ok(range.take(most).map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
