//! Rows in one arena, found by hash of their key.
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use xxhash_rust::xxh3::xxh3_128;

/// Separates the parts of a joined key: no UTF-8 text holds it.
pub const KEY_SEPARATOR: u8 = 0xff;

/// A table.
#[derive(Debug)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Which columns are the key, in order.
    pub keys: Vec<usize>,
    arena: Vec<u8>,
    /// Ends of the cells, row by row; a cell begins where the one before it ended.
    ends: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState,
    /// Hash of the whole content, for the epoch record.
    pub content_hash: u128,
}

/// Why rows do not make a table.
#[derive(Debug, PartialEq, Eq)]
pub struct RowFault {
    /// Row, from 0.
    pub row: usize,
    /// What is wrong.
    pub message: String,
}

impl Table {
    /// A table of rows. The first of two rows with one key counts; the others are reported.
    pub fn new<'a>(columns: Vec<String>, keys: Vec<usize>, rows: impl Iterator<Item = Vec<&'a str>>) -> (Table, Vec<RowFault>) {
        let mut table = Table {
            columns,
            keys,
            arena: Vec::new(),
            ends: vec![0],
            index: HashTable::new(),
            hasher: RandomState::default(),
            content_hash: 0,
        };
        let mut faults = Vec::new();
        let mut key = Vec::new();
        for (number, cells) in rows.enumerate() {
            let before = table.arena.len();
            for i in 0..table.columns.len() {
                table.arena.extend_from_slice(cells.get(i).copied().unwrap_or_default().as_bytes());
                table.ends.push(table.arena.len() as u32);
            }
            if table.arena.len() > u32::MAX as usize {
                faults.push(RowFault { row: number, message: "the table is larger than 4 GiB".into() });
                break;
            }
            let row = table.len().saturating_sub(1) as u32;
            key.clear();
            table.key_of(row, &mut key);
            let hash = table.hasher.hash_one(key.as_slice());
            if table.find_hashed(hash, &key).is_some() {
                faults.push(RowFault { row: number, message: "a row with this key stands above".into() });
                table.arena.truncate(before);
                table.ends.truncate(table.ends.len() - table.columns.len());
                continue;
            }
            let (arena, ends, keys, width, hasher) = (&table.arena, &table.ends, &table.keys, table.columns.len(), &table.hasher);
            table.index.insert_unique(hash, row, |r| {
                let mut scratch = Vec::new();
                join_key(arena, ends, keys, width, *r, &mut scratch);
                hasher.hash_one(scratch.as_slice())
            });
        }
        let ends: Vec<u8> = table.ends.iter().flat_map(|e| e.to_le_bytes()).collect();
        table.content_hash = xxh3_128(&table.arena) ^ xxh3_128(&ends).rotate_left(1);
        (table, faults)
    }

    /// Rows.
    pub fn len(&self) -> usize {
        if self.columns.is_empty() { 0 } else { (self.ends.len() - 1) / self.columns.len() }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of a joined key.
    #[inline]
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.find_hashed(self.hasher.hash_one(key), key)
    }

    fn find_hashed(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |row| self.has_key(*row, key)).copied()
    }

    /// A cell. An empty cell is no value.
    #[inline]
    pub fn cell(&self, row: u32, column: usize) -> Option<&[u8]> {
        let at = row as usize * self.columns.len() + column;
        let cell = &self.arena[self.ends[at] as usize..self.ends[at + 1] as usize];
        (!cell.is_empty()).then_some(cell)
    }

    /// The number of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == name)
    }

    fn key_of(&self, row: u32, out: &mut Vec<u8>) {
        join_key(&self.arena, &self.ends, &self.keys, self.columns.len(), row, out);
    }

    fn has_key(&self, row: u32, mut key: &[u8]) -> bool {
        for column in &self.keys {
            let at = row as usize * self.columns.len() + column;
            let cell = &self.arena[self.ends[at] as usize..self.ends[at + 1] as usize];
            match key.strip_prefix(cell) {
                Some([KEY_SEPARATOR, rest @ ..]) => key = rest,
                _ => return false,
            }
        }
        key.is_empty()
    }
}

fn join_key(arena: &[u8], ends: &[u32], keys: &[usize], width: usize, row: u32, out: &mut Vec<u8>) {
    for column in keys {
        let at = row as usize * width + column;
        out.extend_from_slice(&arena[ends[at] as usize..ends[at + 1] as usize]);
        out.push(KEY_SEPARATOR);
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
