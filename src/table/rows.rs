//! Rows in one arena, found by hash of their key.
use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::networks::Networks;
use crate::clock::Timestamp;
use crate::index::{KeyIndex, Mixed};
use crate::simd;

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
    /// When the file was changed that it was read from, where that is known.
    pub changed: Option<Timestamp>,
}

/// How a row is found.
#[derive(Debug)]
enum Index {
    /// By the hash of its key.
    Keys(KeyIndex),
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
            changed: None,
        }
    }

    /// A table of rows. The first of two rows with one key counts; the others are reported.
    pub fn new<'a>(columns: Vec<String>, keys: Vec<usize>, rows: impl Iterator<Item = Vec<&'a str>>) -> (Table, Vec<RowFault>) {
        let mut builder = Builder::new(columns, keys);
        let mut faults = Vec::new();
        for (number, cells) in rows.enumerate() {
            match builder.push_keyed(cells.into_iter()) {
                Pushed::Taken => {}
                Pushed::Double => faults.push(RowFault::double(number)),
                Pushed::TooLarge => {
                    faults.push(RowFault { row: number, message: TOO_LARGE.into() });
                    break;
                }
            }
        }
        (builder.finish(), faults)
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
            Index::Keys(index) => index.find(self.hasher.hash_one(key), |row| self.has_key(row, key)),
            Index::Networks(index) => index.find(key.strip_suffix(&[KEY_SEPARATOR]).unwrap_or(key)),
        }
    }

    /// The rows of keys that were put together, in their order: what each needs of memory is asked for while those before it are looked at.
    pub fn find_each(&self, keys: &mut Keys, mut found: impl FnMut(usize, Option<u32>)) {
        let Index::Keys(index) = &self.index else {
            return (0..keys.len()).for_each(|number| found(number, self.find(keys.get(number))));
        };
        let mut hashes = std::mem::take(&mut keys.hashes);
        hashes.clear();
        hashes.extend((0..keys.len()).map(|number| index.mix(self.hasher.hash_one(keys.get(number)))));
        let guess = |number: usize| index.guess(*hashes.get(number)?);
        let first = |row: u32| row as usize * self.columns.len() + self.keys.first().copied().unwrap_or(0);
        for (number, hash) in hashes.iter().enumerate() {
            if let Some(hash) = hashes.get(number + FAR) {
                index.prefetch(*hash);
            }
            if let Some(row) = guess(number + NEAR) {
                simd::prefetch(&self.ends, first(row));
            }
            if let Some(row) = guess(number + NEXT) {
                simd::prefetch(&self.arena, self.ends[first(row)] as usize);
            }
            let key = keys.get(number);
            found(number, index.find_mixed(*hash, |row| self.has_key(row, key)));
        }
        keys.hashes = hashes;
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
            Index::Keys(index) => index.memory(),
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

/// How many keys ahead memory is asked for: the index, then where the row's cells end, then the cells.
const FAR: usize = 32;
const NEAR: usize = 20;
const NEXT: usize = 10;

/// Joined keys that are looked for together.
#[derive(Debug, Default)]
pub struct Keys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    hashes: Vec<Mixed>,
}

impl Keys {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes all out and keeps their memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds the key that `write` appends, if it says that it is whole.
    #[inline]
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let is_whole = write(&mut self.bytes);
        if is_whole {
            self.ends.push(self.bytes.len());
        } else {
            self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        }
        is_whole
    }

    /// A key by its number.
    #[inline]
    fn get(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[number]]
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the table.
    Taken,
    /// A row with its key was there.
    Double,
    /// The table can hold no more.
    TooLarge,
}

/// Why no more rows are taken.
pub const TOO_LARGE: &str = "the table is larger than 4 GiB";

/// A table while its rows come.
pub struct Builder {
    table: Table,
    index: KeyIndex,
    key: Vec<u8>,
}

impl Builder {
    /// A table without rows.
    pub fn new(columns: Vec<String>, keys: Vec<usize>) -> Builder {
        Builder { table: Table::empty(columns, keys, Index::Keys(KeyIndex::default())), index: KeyIndex::default(), key: Vec::new() }
    }

    /// Makes room for some rows with so many bytes.
    pub fn reserve(&mut self, rows: usize, bytes: usize) {
        let table = &mut self.table;
        table.arena.reserve(bytes.min(u32::MAX as usize));
        table.ends.reserve(rows * table.columns.len());
    }

    /// How many columns it has.
    pub fn columns(&self) -> usize {
        self.table.columns.len()
    }

    /// Adds a row that is found by its key, unless there is one with that key.
    pub fn push_keyed<'c>(&mut self, cells: impl Iterator<Item = &'c str>) -> Pushed {
        let before = self.table.arena.len();
        let Some(row) = self.push(cells) else { return Pushed::TooLarge };
        let (table, key) = (&mut self.table, &mut self.key);
        key.clear();
        table.key_of(row, key);
        let hash = table.hasher.hash_one(key.as_slice());
        if self.index.find(hash, |row| table.has_key(row, key)).is_some() {
            table.arena.truncate(before);
            table.ends.truncate(table.ends.len() - table.columns.len());
            return Pushed::Double;
        }
        self.index.insert(hash, row);
        Pushed::Taken
    }

    /// Adds a row and gives its number; none where the table is too large.
    pub fn push<'c>(&mut self, mut cells: impl Iterator<Item = &'c str>) -> Option<u32> {
        let table = &mut self.table;
        for _ in 0..table.columns.len() {
            table.arena.extend_from_slice(cells.next().unwrap_or_default().as_bytes());
            table.ends.push(table.arena.len() as u32);
        }
        (table.arena.len() <= u32::MAX as usize).then(|| table.len().saturating_sub(1) as u32)
    }

    /// The table, found by its keys.
    pub fn finish(mut self) -> Table {
        let index = Index::Keys(std::mem::take(&mut self.index));
        self.end(index)
    }

    /// The table, found by the networks of a column.
    pub fn finish_networks(self, networks: Networks) -> Table {
        self.end(Index::Networks(networks))
    }

    fn end(self, index: Index) -> Table {
        let mut table = Table { index, ..self.table };
        table.arena.shrink_to_fit();
        table.ends.shrink_to_fit();
        let mut ends = Xxh3::new();
        let mut bytes = Vec::with_capacity(4096);
        for part in table.ends.chunks(1024) {
            bytes.clear();
            bytes.extend(part.iter().flat_map(|end| end.to_le_bytes()));
            ends.update(&bytes);
        }
        table.content_hash = xxh3_128(&table.arena) ^ ends.digest128().rotate_left(1);
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

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

    proptest! {
        #[test]
        fn keys_together_are_found_as_one_by_one(rows in prop::collection::vec((0u16..400, 0u8..4), 0..200), asked in prop::collection::vec((0u16..400, 0u8..5), 0..200)) {
            let texts: Vec<(String, String)> = rows.iter().map(|(a, b)| (a.to_string(), "x".repeat(usize::from(*b)))).collect();
            let mut firsts: HashMap<(u16, u8), u32> = HashMap::new();
            for row in &rows {
                let next = firsts.len() as u32;
                firsts.entry(*row).or_insert(next);
            }
            // The key is not where the row begins.
            let cells = texts.iter().map(|(a, b)| vec!["before", b, a]);
            let (table, faults) = Table::new(vec!["c".into(), "b".into(), "a".into()], vec![2, 1], cells);
            prop_assert_eq!(faults.len(), rows.len() - firsts.len());
            let (mut keys, mut found) = (Keys::default(), Vec::new());
            for (a, b) in &asked {
                // One of a key that is not whole leaves nothing.
                let is_whole = *b < 4;
                let kept = keys.push(|out| {
                    out.extend_from_slice(a.to_string().as_bytes());
                    out.push(KEY_SEPARATOR);
                    out.extend_from_slice("x".repeat(usize::from(*b)).as_bytes());
                    out.push(KEY_SEPARATOR);
                    is_whole
                });
                prop_assert_eq!(kept, is_whole);
            }
            table.find_each(&mut keys, |number, row| found.push((number, row)));
            let whole: Vec<&(u16, u8)> = asked.iter().filter(|(_, b)| *b < 4).collect();
            let expected: Vec<(usize, Option<u32>)> = whole.iter().enumerate().map(|(number, key)| (number, firsts.get(key).copied())).collect();
            prop_assert_eq!(found, expected);
            keys.clear();
            prop_assert!(keys.is_empty());
        }
    }
}
