//! Rows with exact cells: one probe by all columns that are not empty.
//!
//! A cell of up to sixteen bytes is two words and its length, so what was read to be hashed is what is compared, and no text is read twice. The words of
//! a longer cell are its hash and length: whoever finds a row by one compares its text.
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::simd::ends;

/// Cells that a key may have: their lengths share one word. More columns than that are hashed together into the last of them.
const CELLS: usize = 8;

/// Longest cell that its words hold whole.
const WHOLE: usize = 16;

/// The length that says: only a hash.
const HASHED: u64 = 0xff;

/// Whether a column's cell is one of those that are hashed together.
#[inline(always)]
fn is_joint(column: usize, columns: usize) -> bool {
    column + 1 >= CELLS && columns > CELLS
}

/// Whether the key of a row with so many columns holds this cell whole. If not, it has to be compared.
pub fn is_whole(cell: &str, column: usize, columns: usize) -> bool {
    cell.len() <= WHOLE && !is_joint(column, columns)
}

/// The cells are multiplied side by side: none waits for the one before.
#[inline(always)]
fn hash_of(cells: &[[u64; 2]], lengths: u64) -> u64 {
    let hash = cells.iter().fold(lengths, |hash, [low, high]| {
        let wide = u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xd6e8_feb8_6659_fd93);
        hash.rotate_left(21) ^ wide as u64 ^ (wide >> 64) as u64
    });
    hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Compiled for each number of cells: those of an event then never leave the registers.
macro_rules! by_cells {
    ($columns:expr, $n:ident => $what:expr) => {
        by_cells!($columns, $n => $what, 1 2 3 4 5 6 7)
    };
    ($columns:expr, $n:ident => $what:expr, $($few:literal)*) => {
        match $columns {
            $($few => { const $n: usize = $few; $what })*
            _ => { const $n: usize = CELLS; $what }
        }
    };
}

/// The rows of a key: the first, and above it the number of the list of those behind it. A word, so that a look-up returns it in a register.
#[derive(Clone, Copy, Debug)]
pub struct Rows(u64);

impl Rows {
    /// The first of them.
    #[inline(always)]
    pub fn first(self) -> u32 {
        self.0 as u32
    }
}

/// An index over some columns.
#[derive(Debug)]
pub struct ExactIndex {
    /// The getters whose cells form the key; `true`: folded.
    pub columns: Vec<(usize, bool)>,
    index: HashTable<u32>,
    /// By entry: the words of each cell; then the cells' lengths, and a word with the first row that has the key and, above it, where its others are
    /// in `more`.
    entries: Vec<[u64; 2]>,
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
    fn cell(&self, text: &[u8]) -> ([u64; 2], u64) {
        match ends(text) {
            Some(ends) => (ends, text.len() as u64),
            None => ([self.hasher.hash_one(text), text.len() as u64], HASHED),
        }
    }

    #[inline(never)]
    fn cell_of_many<'a>(&self, mut texts: impl Iterator<Item = Option<&'a [u8]>>) -> Option<([u64; 2], u64)> {
        let mut hasher = self.hasher.build_hasher();
        texts.try_for_each(|text| text.map(|text| text.hash(&mut hasher)))?;
        Some(([hasher.finish(), 0], HASHED))
    }

    /// The cells of a key of `N` cells, and their lengths. None where a text is absent.
    #[inline(always)]
    fn key<'a, const N: usize>(&self, text: impl Fn(usize) -> Option<&'a [u8]>) -> Option<([[u64; 2]; N], u64)> {
        let mut cells = [[0; 2]; N];
        let mut lengths = 0;
        for (i, cell) in cells.iter_mut().enumerate() {
            let length;
            (*cell, length) =
                if is_joint(i, self.columns.len()) { self.cell_of_many((i..self.columns.len()).map(&text))? } else { self.cell(text(i)?) };
            lengths = lengths << 8 | length;
        }
        Some((cells, lengths))
    }

    /// Where the lengths and rows of a key stand.
    #[inline(always)]
    fn place<const N: usize>(&self, cells: &[[u64; 2]; N], lengths: u64) -> Option<usize> {
        let is = |entry: &u32| {
            let own = &self.entries[*entry as usize * (N + 1)..][..N + 1];
            own.iter().zip(cells).fold(own[N][0] ^ lengths, |differing, (a, b)| differing | a[0] ^ b[0] | a[1] ^ b[1]) == 0
        };
        let entry = self.index.find(hash_of(cells, lengths), is)?;
        Some(*entry as usize * (N + 1) + N)
    }

    fn insert_by<const N: usize>(&mut self, cells: &[&str], row: u32) {
        let Some((cells, lengths)) = self.key::<N>(|i| Some(cells[i].as_bytes())) else { return };
        let Some(place) = self.place(&cells, lengths) else {
            let entries = &self.entries;
            let stored = |entry: &u32| {
                let own = &entries[*entry as usize * (N + 1)..][..N + 1];
                hash_of(&own[..N], own[N][0])
            };
            self.index.insert_unique(hash_of(&cells, lengths), (entries.len() / (N + 1)) as u32, stored);
            self.entries.extend_from_slice(&cells);
            return self.entries.push([lengths, u64::from(row)]);
        };
        let [_, rows] = &mut self.entries[place];
        if *rows >> 32 == 0 {
            *rows |= (self.more.len() as u64) << 32;
            self.more.push(Vec::new());
        }
        self.more[(*rows >> 32) as usize].push(row);
    }

    /// Its own function for each number of cells: in one body with the others, what it needs is spilled to the stack.
    #[inline(never)]
    fn find_by<const N: usize>(&self, values: &[Option<&[u8]>], folded: &[Option<String>]) -> Option<Rows> {
        let columns = &self.columns[..];
        assert!(columns.len() >= N);
        let (cells, lengths) = self.key::<N>(|i| match columns[i] {
            (column, true) => folded[column].as_deref().map(str::as_bytes),
            (column, false) => values[column],
        })?;
        Some(Rows(self.entries[self.place(&cells, lengths)?][1]))
    }

    /// Adds a row. Rows come in order.
    pub fn insert(&mut self, cells: &[&str], row: u32) {
        by_cells!(self.columns.len(), N => self.insert_by::<N>(cells, row))
    }

    /// The rows whose key is that of the values. None where a value is absent or no row has the key.
    #[inline]
    pub fn find(&self, values: &[Option<&[u8]>], folded: &[Option<String>]) -> Option<Rows> {
        by_cells!(self.columns.len(), N => self.find_by::<N>(values, folded))
    }

    /// The rows of a key behind the first, in order.
    #[inline]
    pub fn more(&self, rows: Rows) -> &[u32] {
        &self.more[(rows.0 >> 32) as usize]
    }
}
