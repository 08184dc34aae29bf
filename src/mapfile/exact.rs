//! Rows with exact cells: one hash on the joined key of the columns that are not empty.
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Separates the parts of a joined key: no UTF-8 text holds it.
const SEPARATOR: u8 = 0xff;

/// One key and the rows that have it, in order.
#[derive(Debug)]
struct Entry {
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

    /// Adds a row. Rows come in order.
    pub fn insert(&mut self, cells: &[&str], row: u32) {
        let mut key = Vec::new();
        for cell in cells {
            key.extend_from_slice(cell.as_bytes());
            key.push(SEPARATOR);
        }
        let hash = self.hasher.hash_one(key.as_slice());
        let ExactIndex { arena, table, hasher, .. } = self;
        if let Some(entry) = table.find_mut(hash, |e| arena[e.at as usize..(e.at + e.len) as usize] == *key) {
            return entry.more.push(row);
        }
        let entry = Entry { at: arena.len() as u32, len: key.len() as u32, first: row, more: Vec::new() };
        arena.extend_from_slice(&key);
        table.insert_unique(hash, entry, |e| hasher.hash_one(&arena[e.at as usize..(e.at + e.len) as usize]));
    }

    /// The rows whose key is that of the values, in order. Empty where a value is absent.
    #[inline]
    pub fn find(&self, values: &[Option<&[u8]>], folded: &[Option<String>], key: &mut Vec<u8>) -> Option<(u32, &[u32])> {
        key.clear();
        for (column, fold) in &self.columns {
            if *fold {
                key.extend_from_slice(folded[*column].as_ref()?.as_bytes());
            } else {
                key.extend_from_slice(values[*column]?);
            }
            key.push(SEPARATOR);
        }
        let hash = self.hasher.hash_one(key.as_slice());
        let entry = self.table.find(hash, |e| self.arena[e.at as usize..(e.at + e.len) as usize] == **key)?;
        Some((entry.first, &entry.more))
    }
}
