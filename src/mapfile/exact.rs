//! Rows with exact cells: one probe by all columns that are not empty.
//!
//! A cell of up to fifteen bytes is two words, length and all, so the key of a row is one run of words: what was packed to be hashed is what is compared,
//! and no text is read twice. The words of a longer cell are its hash and length: whoever finds a row by one compares its text.
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::simd::short_words;

/// Longest cell that its words hold whole.
pub const WHOLE: usize = 15;

/// The columns are multiplied side by side: none waits for the one before.
#[inline(always)]
fn hash_of(key: &[u64]) -> u64 {
    let hash = key.as_chunks().0.iter().fold(0, |hash: u64, [low, high]| {
        let wide = u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xd6e8_feb8_6659_fd93);
        hash.rotate_left(21) ^ wide as u64 ^ (wide >> 64) as u64
    });
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// An index over some columns.
#[derive(Debug)]
pub struct ExactIndex {
    /// The getters whose cells form the key; `true`: folded.
    pub columns: Vec<(usize, bool)>,
    index: HashTable<u32>,
    /// By entry: two words for each column; the first row that has the key, and above it where its others are in `more`.
    entries: Vec<u64>,
    /// Further rows of a key, which need conditions of their own to differ. Most keys have none: the first list is theirs.
    more: Vec<Vec<u32>>,
    hasher: RandomState,
}

impl ExactIndex {
    /// An empty index over columns.
    pub fn new(columns: Vec<(usize, bool)>) -> ExactIndex {
        ExactIndex { columns, index: HashTable::new(), entries: Vec::new(), more: vec![Vec::new()], hasher: RandomState::default() }
    }

    #[inline(always)]
    fn pack(&self, text: &[u8]) -> [u64; 2] {
        match short_words(text) {
            Some([low, high]) if text.len() <= WHOLE => [low, high | (text.len() as u64) << 56],
            _ => [self.hasher.hash_one(text), u64::MAX << 56 | text.len() as u64],
        }
    }

    #[inline(always)]
    fn find_entry(&self, key: &[u64]) -> (u64, Option<u32>) {
        let hash = hash_of(key);
        let stride = key.len() + 1;
        let is = |entry: u32| {
            let own = self.entries[entry as usize * stride..][..key.len()].as_chunks::<2>().0;
            own.iter().zip(key.as_chunks::<2>().0).fold(0, |d, (a, b)| d | (a[0] ^ b[0]) | (a[1] ^ b[1])) == 0
        };
        (hash, self.index.find(hash, |entry| is(*entry)).copied())
    }

    /// Adds a row. Rows come in order.
    pub fn insert(&mut self, cells: &[&str], row: u32) {
        let key: Vec<u64> = cells.iter().flat_map(|cell| self.pack(cell.as_bytes())).collect();
        let (hash, found) = self.find_entry(&key);
        let Some(entry) = found else {
            let stride = key.len() + 1;
            let entry = (self.entries.len() / stride) as u32;
            let entries = &self.entries;
            self.index.insert_unique(hash, entry, |e| hash_of(&entries[*e as usize * stride..][..stride - 1]));
            self.entries.extend_from_slice(&key);
            return self.entries.push(u64::from(row));
        };
        let rows = &mut self.entries[entry as usize * (key.len() + 1) + key.len()];
        if *rows >> 32 == 0 {
            *rows |= (self.more.len() as u64) << 32;
            self.more.push(Vec::new());
        }
        self.more[(*rows >> 32) as usize].push(row);
    }

    /// The rows whose key is that of the values, in order. None where a value is absent or no row has the key.
    #[inline]
    pub fn find(&self, values: &[Option<&[u8]>], folded: &[Option<String>], key: &mut Vec<u64>) -> Option<(u32, &[u32])> {
        key.resize(self.columns.len() * 2, 0);
        for ((column, fold), words) in self.columns.iter().zip(key.as_chunks_mut::<2>().0) {
            let part = if *fold { folded[*column].as_deref().map(str::as_bytes) } else { values[*column] };
            *words = self.pack(part?);
        }
        let entry = self.find_entry(key).1?;
        let rows = self.entries[entry as usize * (key.len() + 1) + key.len()];
        Some((rows as u32, &self.more[(rows >> 32) as usize]))
    }
}
