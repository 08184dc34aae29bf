//! From the hash of a key to a number, of a group or of a row. A table of buckets, each of them one cache line with eight entries of 32 bits of hash and 32 bits
//! of number: an entry stands in its home, the bucket that its hash leads to, or if that is full in the next that is not. All hashes of a bucket are compared at
//! once, so that a search seldom depends on a branch that depends on memory.
//!
//! The home follows from the stored bits too, so that growing the table reads nothing but the table.
//!
//! Hashes come from outside with a fixed seed (state outlives the process), so the place in the table is taken from the hash mixed with a seed
//! of this process, and a full key decides.
pub mod ahead;

use crate::simd;

/// Entries of a bucket.
const WIDTH: usize = 8;
/// Stands for a hash where no entry is.
const EMPTY: u32 = 0;
/// Buckets of a new table.
const FIRST: usize = 8;

/// Entries stand at the front.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Bucket {
    hashes: [u32; WIDTH],
    numbers: [u32; WIDTH],
}

impl Bucket {
    const NEW: Bucket = Bucket { hashes: [EMPTY; WIDTH], numbers: [0; WIDTH] };

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.hashes[WIDTH - 1] != EMPTY
    }

    #[inline(always)]
    fn len(&self) -> usize {
        (simd::equal_to(&self.hashes, EMPTY) | 1 << WIDTH).trailing_zeros() as usize
    }

    #[inline(always)]
    fn put(&mut self, at: usize, hash: u32, number: u32) {
        (self.hashes[at], self.numbers[at]) = (hash, number);
    }

    #[inline(always)]
    fn push(&mut self, hash: u32, number: u32) {
        self.put(self.len(), hash, number);
    }

    /// Takes an entry out; the last one takes its place.
    fn swap_remove(&mut self, at: usize) {
        let last = self.len() - 1;
        self.hashes.swap(at, last);
        self.numbers.swap(at, last);
        self.hashes[last] = EMPTY;
    }
}

/// What an index stores of a hash, which costs a little to find out: where an entry is at home, and how it is told from others there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mixed(u32);

/// See the module.
#[derive(Debug)]
pub struct KeyIndex {
    /// A power of two.
    buckets: Vec<Bucket>,
    /// How far a stored hash is shifted to be the number of its home.
    shift: u32,
    len: usize,
    seed: u64,
}

impl Default for KeyIndex {
    fn default() -> KeyIndex {
        use std::hash::{BuildHasher as _, RandomState};
        KeyIndex { buckets: vec![Bucket::NEW; FIRST], shift: u32::BITS - FIRST.ilog2(), len: 0, seed: RandomState::new().hash_one(0u8) | 1 }
    }
}

impl KeyIndex {
    /// Groups in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that it holds.
    pub fn memory(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
    }

    /// What is stored of a hash.
    #[inline(always)]
    pub fn mix(&self, hash: u64) -> Mixed {
        let wide = u128::from(hash ^ self.seed) * u128::from(self.seed | 0x9e37_79b9_7f4a_7c15);
        let mixed = (((wide >> 64) as u64 ^ wide as u64) >> 32) as u32;
        Mixed(mixed.max(EMPTY + 1))
    }

    /// The bucket where an entry would stand if no bucket were ever full.
    #[inline(always)]
    fn home(&self, mixed: Mixed) -> usize {
        (mixed.0 >> self.shift) as usize
    }

    #[inline(always)]
    fn after(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.buckets.len() - 1)
    }

    /// Asks for the cache line that a hash leads to.
    #[inline(always)]
    pub fn prefetch(&self, hash: Mixed) {
        simd::prefetch(&self.buckets, self.home(hash));
    }

    /// A group that probably has the hash: to prefetch it, not to trust it.
    #[inline(always)]
    pub fn guess(&self, hash: Mixed) -> Option<u32> {
        self.find_mixed(hash, |_| true)
    }

    /// The group of a hash that `is` accepts.
    #[inline(always)]
    pub fn find(&self, hash: u64, is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.find_mixed(self.mix(hash), is)
    }

    /// The same, for what is stored of a hash.
    #[inline(always)]
    pub fn find_mixed(&self, mixed: Mixed, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(mixed);
        loop {
            let bucket = &self.buckets[at];
            let mut same = simd::equal_to(&bucket.hashes, mixed.0);
            while same != 0 {
                let number = bucket.numbers[same.trailing_zeros() as usize % WIDTH];
                if is(number) {
                    return Some(number);
                }
                same &= same - 1;
            }
            if !bucket.is_full() {
                return None;
            }
            at = self.after(at);
        }
    }

    /// Adds a group that is not in it.
    pub fn insert(&mut self, hash: u64, group: u32) {
        self.insert_mixed(self.mix(hash), group);
    }

    /// The same, for what is stored of a hash.
    #[inline(always)]
    pub fn insert_mixed(&mut self, mixed: Mixed, group: u32) {
        if (self.len + 1) * 4 > self.buckets.len() * WIDTH * 3 {
            self.grow();
        }
        self.place(mixed, group);
        self.len += 1;
    }

    /// Twice as many buckets: what was at home in one is at home in one of two that follow one another, so both tables are gone through from front to back.
    #[inline(never)]
    fn grow(&mut self) {
        let mut buckets = Vec::with_capacity(self.buckets.len() * 2);
        simd::prefer_huge_pages(buckets.spare_capacity_mut());
        self.shift -= 1;
        let mut strayed = Vec::new();
        for (at, bucket) in self.buckets.iter().enumerate() {
            let mut lens = [0; 2];
            buckets.extend([Bucket::NEW; 2]);
            for (hash, number) in bucket.hashes.into_iter().zip(bucket.numbers).take(bucket.len()) {
                let home = self.home(Mixed(hash));
                match buckets.get_mut(home) {
                    Some(bucket) if home / 2 == at => {
                        bucket.put(lens[home % 2], hash, number);
                        lens[home % 2] += 1;
                    }
                    _ => strayed.push((hash, number)),
                }
            }
        }
        self.buckets = buckets;
        strayed.into_iter().for_each(|(hash, number)| self.place(Mixed(hash), number));
    }

    #[inline(always)]
    fn place(&mut self, mixed: Mixed, group: u32) {
        let mut at = self.home(mixed);
        while self.buckets[at].is_full() {
            at = self.after(at);
        }
        self.buckets[at].push(mixed.0, group);
    }

    /// Removes a group.
    pub fn remove(&mut self, hash: u64, group: u32) {
        let mut at = self.home(self.mix(hash));
        loop {
            let bucket = &self.buckets[at];
            if let Some(place) = bucket.numbers[..bucket.len()].iter().position(|number| *number == group) {
                self.len -= 1;
                return self.take_out(at, place);
            }
            if !bucket.is_full() {
                return;
            }
            at = self.after(at);
        }
    }

    /// Takes an entry out. If its bucket was full, one that strayed past it for that reason moves up, so that no search ends before it.
    fn take_out(&mut self, mut bucket: usize, mut place: usize) {
        loop {
            let was_full = self.buckets[bucket].is_full();
            self.buckets[bucket].swap_remove(place);
            if !was_full {
                return;
            }
            let Some((next, found)) = self.strayed_past(bucket) else { return };
            let Bucket { hashes, numbers } = &self.buckets[next];
            let (hash, number) = (hashes[found], numbers[found]);
            self.buckets[bucket].push(hash, number);
            (bucket, place) = (next, found);
        }
    }

    /// Bucket and place of the next entry that would stand in a bucket if there had been room.
    fn strayed_past(&self, bucket: usize) -> Option<(usize, usize)> {
        let mask = self.buckets.len() - 1;
        let mut next = self.after(bucket);
        loop {
            // Its home is not between the bucket and itself.
            let is_behind =
                |hash: u32| hash != EMPTY && next.wrapping_sub(self.home(Mixed(hash))) & mask >= next.wrapping_sub(bucket) & mask;
            if let Some(found) = self.buckets[next].hashes.iter().position(|hash| is_behind(*hash)) {
                return Some((next, found));
            }
            if !self.buckets[next].is_full() {
                return None;
            }
            next = self.after(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Many keys have one hash, so that buckets are full and entries stand in the next ones.
        #[test]
        fn equals_a_map(hashes in 1u64..30, steps in prop::collection::vec((0u64..200, any::<bool>()), 0..800)) {
            let mut index = KeyIndex::default();
            let mut groups = 0;
            let mut map: HashMap<u64, u32> = HashMap::new();
            for (key, add) in steps {
                let hash = key % hashes;
                let found = index.find(hash, |g| map.get(&key) == Some(&g));
                prop_assert_eq!(found, map.get(&key).copied());
                match (found, add) {
                    (None, true) => {
                        let group = groups;
                        groups += 1;
                        index.insert(hash, group);
                        map.insert(key, group);
                    }
                    (Some(group), false) => {
                        index.remove(hash, group);
                        map.remove(&key);
                    }
                    _ => {}
                }
                prop_assert_eq!(index.len(), map.len());
            }
        }
    }
}
