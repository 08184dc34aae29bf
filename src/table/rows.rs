//! Rows in one arena, found by hash of their key.
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use xxhash_rust::xxh3::xxh3_128;

use super::networks::Networks;
use crate::clock::Timestamp;

/// Separates the parts of a joined key: no UTF-8 text holds it.
pub const KEY_SEPARATOR: u8 = 0xff;

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Which columns are the key, in order.
    pub keys: Vec<usize>,
    /// Whether the first of them is the tenant's.
    pub per_tenant: bool,
    arena: Vec<u8>,
    /// Ends of the cells, row by row; a cell begins where the one before it ended.
    ends: Vec<u32>,
    index: Index,
    hasher: RandomState,
    /// From when on each row is no more; empty where no row ends.
    ends_of_life: Vec<Timestamp>,
    /// Hash of the whole content, for the epoch record.
    pub content_hash: u128,
}

/// How a row is found.
#[derive(Debug)]
enum Index {
    /// By the hash of its key.
    Keys(HashTable<u32>),
    /// By the network that holds an address.
    Networks(Networks),
}

/// Why rows do not make a table.
#[derive(Debug, PartialEq, Eq)]
pub struct RowFault {
    /// Row, from 0.
    pub row: usize,
    /// What is wrong.
    pub message: String,
}

impl RowFault {
    /// A row whose key another had before.
    pub fn double(row: usize) -> RowFault {
        RowFault { row, message: "a row with this key stands above".into() }
    }
}

impl Table {
    fn empty(columns: Vec<String>, keys: Vec<usize>, index: Index) -> Table {
        Table {
            columns,
            keys,
            per_tenant: false,
            arena: Vec::new(),
            ends: vec![0],
            index,
            hasher: RandomState::default(),
            ends_of_life: Vec::new(),
            content_hash: 0,
        }
    }

    /// A table of rows. The first of two rows with one key counts; the others are reported.
    pub fn new<'a>(columns: Vec<String>, keys: Vec<usize>, rows: impl Iterator<Item = Vec<&'a str>>) -> (Table, Vec<RowFault>) {
        let mut table = Table::empty(columns, keys, Index::Keys(HashTable::new()));
        let mut index = HashTable::new();
        let mut faults = Vec::new();
        let mut key = Vec::new();
        for (number, cells) in rows.enumerate() {
            let before = table.arena.len();
            let Some(row) = table.push(&cells) else {
                faults.push(RowFault { row: number, message: "the table is larger than 4 GiB".into() });
                break;
            };
            key.clear();
            table.key_of(row, &mut key);
            let hash = table.hasher.hash_one(key.as_slice());
            if index.find(hash, |row| table.has_key(*row, &key)).is_some() {
                faults.push(RowFault::double(number));
                table.arena.truncate(before);
                table.ends.truncate(table.ends.len() - table.columns.len());
                continue;
            }
            index.insert_unique(hash, row, |r| {
                let mut scratch = Vec::new();
                table.key_of(*r, &mut scratch);
                table.hasher.hash_one(scratch.as_slice())
            });
        }
        table.index = Index::Keys(index);
        table.finish();
        (table, faults)
    }

    /// A table of rows that are found by an index of the networks in a column.
    pub fn of_networks<'a>(columns: Vec<String>, key: usize, rows: impl Iterator<Item = Vec<&'a str>>, index: Networks) -> Table {
        let mut table = Table::empty(columns, vec![key], Index::Networks(index));
        for cells in rows {
            table.push(&cells);
        }
        table.finish();
        table
    }

    /// Adds a row and gives its number; none where the table is too large.
    fn push(&mut self, cells: &[&str]) -> Option<u32> {
        for i in 0..self.columns.len() {
            self.arena.extend_from_slice(cells.get(i).copied().unwrap_or_default().as_bytes());
            self.ends.push(self.arena.len() as u32);
        }
        (self.arena.len() <= u32::MAX as usize).then(|| self.len().saturating_sub(1) as u32)
    }

    /// The last row is in.
    fn finish(&mut self) {
        self.arena.shrink_to_fit();
        self.ends.shrink_to_fit();
        let ends: Vec<u8> = self.ends.iter().flat_map(|e| e.to_le_bytes()).collect();
        self.content_hash = xxh3_128(&self.arena) ^ xxh3_128(&ends).rotate_left(1);
    }

    /// Rows.
    pub fn len(&self) -> usize {
        if self.columns.is_empty() { 0 } else { (self.ends.len() - 1) / self.columns.len() }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From when on a row is no more.
    pub fn expires(&self, row: u32) -> Timestamp {
        self.ends_of_life.get(row as usize).copied().unwrap_or(Timestamp::MAX)
    }

    /// Says from when on each row is no more, row by row.
    pub fn set_expiry(&mut self, ends: Vec<Timestamp>) {
        self.ends_of_life = ends;
    }

    /// The row of a joined key, if it still is at a time.
    #[inline]
    pub fn find_at(&self, key: &[u8], time: Timestamp) -> Option<u32> {
        self.find(key).filter(|row| self.ends_of_life.is_empty() || self.expires(*row) > time)
    }

    /// The row of a joined key.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        match &self.index {
            Index::Keys(index) => index.find(self.hasher.hash_one(key), |row| self.has_key(*row, key)).copied(),
            Index::Networks(index) => index.find(key.strip_suffix(&[KEY_SEPARATOR]).unwrap_or(key)),
        }
    }

    /// A cell. An empty cell is no value.
    #[inline]
    pub fn cell(&self, row: u32, column: usize) -> Option<&[u8]> {
        let cell = self.raw(row, column);
        (!cell.is_empty()).then_some(cell)
    }

    /// The number of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }

    /// Bytes that the index of keys or networks holds.
    pub fn index_memory(&self) -> usize {
        match &self.index {
            Index::Keys(index) => index.allocation_size(),
            Index::Networks(index) => index.memory(),
        }
    }

    /// Bytes that it holds.
    pub fn memory(&self) -> usize {
        self.arena.capacity() + self.ends.capacity() * 4 + self.index_memory()
    }

    fn key_of(&self, row: u32, out: &mut Vec<u8>) {
        for column in &self.keys {
            out.extend_from_slice(self.raw(row, *column));
            out.push(KEY_SEPARATOR);
        }
    }

    /// A cell as it stands.
    #[inline(always)]
    fn raw(&self, row: u32, column: usize) -> &[u8] {
        let at = row as usize * self.columns.len() + column;
        &self.arena[self.ends[at] as usize..self.ends[at + 1] as usize]
    }

    fn has_key(&self, row: u32, mut key: &[u8]) -> bool {
        for column in &self.keys {
            match key.strip_prefix(self.raw(row, *column)) {
                Some([KEY_SEPARATOR, rest @ ..]) => key = rest,
                _ => return false,
            }
        }
        key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_have_one_column() {
        let (table, faults) = Table::new(vec!["user".into()], vec![0], [vec!["ada"], vec!["bob"], vec!["ada"]].into_iter());
        assert_eq!(faults.len(), 1);
        assert_eq!((table.len(), table.find(b"bob\xff"), table.find(b"eve\xff")), (2, Some(1), None));
    }

    #[test]
    fn keys_of_several_columns_do_not_run_together() {
        let rows = [vec!["a", "bc", "1"], vec!["ab", "c", "2"], vec!["a", "bc", "3"]];
        let (table, faults) = Table::new(vec!["x".into(), "y".into(), "z".into()], vec![0, 1], rows.into_iter());
        assert_eq!(faults.len(), 1);
        assert_eq!(table.len(), 2);
        let row = table.find(b"ab\xffc\xff").unwrap();
        assert_eq!(table.cell(row, 2), Some(&b"2"[..]));
        assert_eq!(table.find(b"ab\xffd\xff"), None);
    }
}
