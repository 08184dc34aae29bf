//! Rows with exact cells: one hash on the joined key of the columns that are not empty.
use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::event::text::is_same;

/// Separates the parts of a joined key: no UTF-8 text holds it.
const SEPARATOR: u8 = 0xff;

/// One key and the rows that have it, in order.
#[derive(Debug)]
struct Entry {
    hash: u64,
    at: u32,
    len: u32,
    /// The first row; the others, which need further conditions to differ, stand in `more`.
    first: u32,
    more: Vec<u32>,
}

/// An index over some columns.
#[derive(Debug)]
pub struct ExactIndex {
    /// The getters whose cells form the key; `true`: folded.
    pub columns: Vec<(usize, bool)>,
    arena: Vec<u8>,
    table: HashTable<Entry>,
    hasher: RandomState,
}

impl ExactIndex {
    /// An empty index over columns.
    pub fn new(columns: Vec<(usize, bool)>) -> ExactIndex {
        ExactIndex { columns, arena: Vec::new(), table: HashTable::new(), hasher: RandomState::default() }
    }

    fn hash<'p>(&self, parts: impl Iterator<Item = &'p [u8]>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        parts.for_each(|part| hasher.write(part));
        hasher.finish()
    }

    fn key<'a>(arena: &'a [u8], entry: &Entry) -> &'a [u8] {
        &arena[entry.at as usize..(entry.at + entry.len) as usize]
    }

    /// Adds a row. Rows come in order.
    pub fn insert(&mut self, cells: &[&str], row: u32) {
        let hash = self.hash(cells.iter().map(|c| c.as_bytes()));
        let arena = &self.arena;
        if let Some(entry) = self.table.find_mut(hash, |e| is_key(Self::key(arena, e), cells.iter().map(|c| Some(c.as_bytes())))) {
            return entry.more.push(row);
        }
        let at = self.arena.len() as u32;
        for cell in cells {
            self.arena.extend_from_slice(cell.as_bytes());
            self.arena.push(SEPARATOR);
        }
        let entry = Entry { hash, at, len: self.arena.len() as u32 - at, first: row, more: Vec::new() };
        self.table.insert_unique(hash, entry, |e| e.hash);
    }

    /// The rows whose key is that of the values, in order. None where a value is absent or no row has the key.
    #[inline]
    pub fn find(&self, values: &[Option<&[u8]>], folded: &[Option<String>]) -> Option<(u32, &[u32])> {
        // No joined key is made: the parts are hashed and compared where they lie.
        let part = |(column, fold): &(usize, bool)| if *fold { folded[*column].as_deref().map(str::as_bytes) } else { values[*column] };
        if self.columns.iter().any(|c| part(c).is_none()) {
            return None;
        }
        let hash = self.hash(self.columns.iter().filter_map(part));
        let entry = self.table.find(hash, |e| is_key(Self::key(&self.arena, e), self.columns.iter().map(part)))?;
        Some((entry.first, &entry.more))
    }
}

/// Whether a joined key is made of these parts.
#[inline]
fn is_key<'p>(mut key: &[u8], parts: impl Iterator<Item = Option<&'p [u8]>>) -> bool {
    for part in parts.flatten() {
        match key.split_at_checked(part.len()) {
            Some((head, [SEPARATOR, rest @ ..])) if is_same(head, part) => key = rest,
            _ => return false,
        }
    }
    key.is_empty()
}
