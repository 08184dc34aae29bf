//! Rows that one unit keeps in the store: written with an epoch, and read by their key while the next one is under way. What is too much for memory is there.
use std::fmt;
use std::sync::Arc;

use super::StateError;

/// A row by its key; without a value it is to be no more. Shared by whoever holds it until it is written.
pub type Row = (Arc<[u8]>, Option<Arc<[u8]>>);

/// A row that there is.
pub type Stored = (Vec<u8>, Vec<u8>);

/// The rows of one owner, as of the last durable epoch.
pub trait Rows: Send + Sync {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;
    /// Up to so many rows in the order of their keys: from one on, and before another.
    fn scan(&self, from: &[u8], before: &[u8], most: usize) -> Result<Vec<Stored>, StateError>;
}

/// Rows as their owner reads them. A store that cannot be read ends the run: no answer is better than a wrong one.
#[derive(Clone)]
pub struct OwnRows {
    rows: Arc<dyn Rows>,
    on_fault: Arc<dyn Fn(StateError) + Send + Sync>,
}

impl OwnRows {
    /// `on_fault` is told why the store cannot be read, and comes back when nobody wants the answer any more.
    pub fn new(rows: Arc<dyn Rows>, on_fault: Arc<dyn Fn(StateError) + Send + Sync>) -> OwnRows {
        OwnRows { rows, on_fault }
    }

    /// Says that a row cannot be made sense of.
    pub fn fail(&self, e: StateError) {
        (self.on_fault)(e);
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.rows.get(key).map_err(|e| self.fail(e)).ok()?
    }

    /// Up to so many rows in the order of their keys: from one on, and before another.
    pub fn scan(&self, from: &[u8], before: &[u8], most: usize) -> Vec<Stored> {
        self.rows.scan(from, before, most).map_err(|e| self.fail(e)).unwrap_or_default()
    }
}

impl fmt::Debug for OwnRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnRows")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Changes, FolderStore, MemoryStore, Store};
    use super::*;

    fn publish(store: &mut dyn Store, owner: &str, rows: &[(&str, Option<&str>)]) {
        let rows = rows.iter().map(|(key, value)| (key.as_bytes().into(), value.map(|v| v.as_bytes().into()))).collect();
        store.publish(b"record", Changes { rows: vec![(owner.to_owned(), rows)], ..Changes::default() }).unwrap();
    }

    fn keys(rows: &dyn Rows, from: &str, before: &str, most: usize) -> Vec<String> {
        let rows = rows.scan(from.as_bytes(), before.as_bytes(), most).unwrap();
        rows.into_iter().map(|(key, value)| String::from_utf8([key, value].concat()).unwrap()).collect()
    }

    fn keeps_rows(store: &mut dyn Store) {
        let name = "a name that is longer than a keyspace's may be ".repeat(9);
        let (mine, other) = (store.rows(&name).unwrap(), store.rows("other").unwrap());
        assert_eq!(mine.get(b"a").unwrap(), None);
        publish(store, &name, &[("a", Some("1")), ("b", Some("2")), ("c", Some("3")), ("b", None), ("d", Some("4"))]);
        publish(store, "other", &[("a", Some("9"))]);
        assert_eq!((mine.get(b"a").unwrap(), mine.get(b"b").unwrap()), (Some(b"1".to_vec()), None));
        assert_eq!(other.get(b"a").unwrap(), Some(b"9".to_vec()));
        assert_eq!(keys(&*mine, "a", "d", 9), ["a1", "c3"]);
        assert_eq!(keys(&*mine, "b", "e", 1), ["c3"]);
        drop((mine, other));
        store.keep_rows_of(std::slice::from_ref(&name)).unwrap();
        assert_eq!(keys(&*store.rows(&name).unwrap(), "", "z", 9), ["a1", "c3", "d4"]);
        assert_eq!(store.rows("other").unwrap().get(b"a").unwrap(), None);
    }

    #[test]
    fn stores_keep_rows() {
        keeps_rows(&mut MemoryStore::default());
        let folder = tempfile::tempdir().unwrap();
        let mut store = FolderStore::open(folder.path(), false).unwrap();
        keeps_rows(&mut store);
        publish(&mut store, "x", &[("k", Some("v"))]);
        drop(store);
        let store = FolderStore::open(folder.path(), false).unwrap();
        assert_eq!(keys(&*store.rows("x").unwrap(), "", "z", 9), ["kv"]);
    }
}
