//! A store without a disk, for tests and the simulation: what was published survives the "process", nothing else does.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Blob, StateError, Store};

#[derive(Debug, Default)]
struct Inner {
    record: Option<Vec<u8>>,
    blobs: BTreeMap<Vec<u8>, Vec<u8>>,
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
    fn publish(&mut self, blobs: Vec<Blob>, record: &[u8], forget: &[Vec<u8>]) -> Result<(), StateError> {
        let mut inner = self.lock();
        inner.blobs.extend(blobs.into_iter().map(|b| (b.key, b.value)));
        inner.record = Some(record.to_vec());
        for key in forget {
            inner.blobs.remove(key);
        }
        Ok(())
    }
}
