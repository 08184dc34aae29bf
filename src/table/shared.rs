//! Something that is swapped whole while others read it: readers keep the version that they have until their next barrier.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Where new versions are put.
#[derive(Debug)]
pub struct Handle<T> {
    current: Mutex<Arc<T>>,
    version: AtomicU64,
}

impl<T> Handle<T> {
    /// Holds a first version.
    pub fn new(value: T) -> Arc<Handle<T>> {
        Arc::new(Handle { current: Mutex::new(Arc::new(value)), version: AtomicU64::new(1) })
    }

    /// The present version.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a new version.
    pub fn set(&self, value: T) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// One reader's version.
#[derive(Debug)]
pub struct Local<T> {
    handle: Arc<Handle<T>>,
    current: Arc<T>,
    version: u64,
}

impl<T> Clone for Local<T> {
    fn clone(&self) -> Local<T> {
        Local::new(&self.handle)
    }
}

impl<T> Local<T> {
    /// Starts with the present version.
    pub fn new(handle: &Arc<Handle<T>>) -> Local<T> {
        let version = handle.version.load(Ordering::Acquire);
        Local { handle: Arc::clone(handle), current: handle.get(), version }
    }

    /// The version that this reader has.
    #[inline(always)]
    pub fn get(&self) -> &T {
        &self.current
    }

    /// Takes the newest version: called at a barrier only. Returns whether it changed.
    pub fn refresh(&mut self) -> bool {
        let version = self.handle.version.load(Ordering::Acquire);
        let changed = version != self.version;
        if changed {
            self.current = self.handle.get();
            self.version = version;
        }
        changed
    }
}
