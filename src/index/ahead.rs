//! Memory that keys will need, asked for before their turn comes.
//!
//! A key is found in three steps, each of which says where the next one looks: the index, the record that it leads to, and what lies outside of the record. Each
//! step is taken for a key some blocks of keys before the next one, so that it finds in the cache what it reads. And it is taken for a whole block at a time, in a
//! loop that does little else: a prefetch does not wait for memory, but it does wait for the translation of its address, and only in such a loop do those waits
//! overlap.

use super::{KeyIndex, Mixed};

/// Keys for which memory is asked at a time.
const BLOCK: usize = 8;
/// How far ahead of a block's first key each step is taken.
const INDEX: usize = 4 * BLOCK;
const RECORD: usize = 3 * BLOCK;
const REST: usize = 2 * BLOCK;

/// Instead of a record where none is known. No index numbers so many.
const NONE: u32 = u32::MAX;

/// Records that are found by the hash of their key.
pub trait Prefetch {
    /// Their index.
    fn index(&self) -> &KeyIndex;

    /// What the index knows of a hash: all of it, unless said otherwise.
    #[inline(always)]
    fn known(&self, hash: u64) -> u64 {
        hash
    }

    /// Asks for the part of the index that a hash leads to, and says what the index stores of it.
    #[inline(always)]
    fn prefetch_index(&self, hash: u64) -> Mixed {
        let mixed = self.index().mix(self.known(hash));
        self.index().prefetch(mixed);
        mixed
    }

    /// The record that a hash probably leads to.
    #[inline(always)]
    fn guess(&self, hash: Mixed) -> Option<u32> {
        self.index().guess(hash)
    }

    /// Asks for a record.
    fn prefetch_record(&self, record: u32);
}

/// See the module. One goes with a run of keys.
pub struct Ahead {
    /// Of the next keys, key `n` at `n % INDEX`: what the index stores of their hashes.
    hashes: [Mixed; INDEX],
    /// And what their records probably are, or [`NONE`].
    guesses: [u32; INDEX],
    /// The keys at which the steps go on.
    index: usize,
    record: usize,
    rest: usize,
}

impl Default for Ahead {
    fn default() -> Ahead {
        Ahead { hashes: [Mixed::default(); INDEX], guesses: [NONE; INDEX], index: 0, record: 0, rest: 0 }
    }
}

impl Ahead {
    /// The turn of a key, each of which has its own, in order: what its record probably is, if that is known. `hash`: of a key by its number, if it is known
    /// already. `rest`: asks for what lies outside of a key's probable record, if anything does.
    #[inline(always)]
    pub fn turn(
        &mut self,
        key: usize,
        records: &impl Prefetch,
        hash: impl Fn(usize) -> Option<u64>,
        rest: Option<impl Fn(usize, u32)>,
    ) -> Option<u32> {
        if key.is_multiple_of(BLOCK) {
            self.ask(key, records, hash, rest);
        }
        let guess = std::mem::replace(&mut self.guesses[key % INDEX], NONE);
        (guess != NONE).then_some(guess)
    }

    #[inline(always)]
    fn ask(&mut self, key: usize, records: &impl Prefetch, hash: impl Fn(usize) -> Option<u64>, rest: Option<impl Fn(usize, u32)>) {
        let Ahead { hashes, guesses, .. } = self;
        let mut at = self.index.max(key);
        while at < key + INDEX
            && let Some(hash) = hash(at)
        {
            hashes[at % INDEX] = records.prefetch_index(hash);
            at += 1;
        }
        self.index = at;
        // What a guess reads decides where the next one looks, so guesses and what follows from them have loops of their own.
        let asked = self.record.max(key)..self.index.min(key + RECORD);
        self.record = asked.end;
        asked.clone().for_each(|key| guesses[key % INDEX] = records.guess(hashes[key % INDEX]).unwrap_or(NONE));
        asked.map(|key| guesses[key % INDEX]).filter(|guess| *guess != NONE).for_each(|record| records.prefetch_record(record));
        let asked = self.rest.max(key)..self.record.min(key + REST);
        self.rest = asked.end;
        if let Some(rest) = rest {
            asked.map(|key| (key, guesses[key % INDEX])).filter(|(_, guess)| *guess != NONE).for_each(|(key, record)| rest(key, record));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;

    /// Writes down what is asked: steps 0 to 2 of a hash. The record of a hash is the hash; every seventh has none.
    #[derive(Default)]
    struct Asked(RefCell<Vec<(u8, u64)>>, KeyIndex);

    impl Prefetch for Asked {
        fn index(&self) -> &KeyIndex {
            &self.1
        }

        fn prefetch_index(&self, hash: u64) -> Mixed {
            self.0.borrow_mut().push((0, hash));
            Mixed(hash as u32)
        }

        fn guess(&self, Mixed(hash): Mixed) -> Option<u32> {
            assert!(self.0.borrow().contains(&(0, u64::from(hash))), "the index of {hash} was not asked for");
            (!hash.is_multiple_of(7)).then_some(hash)
        }

        fn prefetch_record(&self, record: u32) {
            self.0.borrow_mut().push((1, u64::from(record)));
        }
    }

    proptest! {
        /// Keys become known in pieces, as those of a buffer that is sorted piece by piece.
        #[test]
        fn each_step_is_taken_once_and_in_order(pieces in prop::collection::vec(1usize..200, 0..8)) {
            let (asked, mut ahead) = (Asked::default(), Ahead::default());
            let rest = |key: usize, record: u32| {
                assert_eq!(key as u32, record);
                assert!(asked.0.borrow().contains(&(1, u64::from(record))), "record {record} was not asked for");
                asked.0.borrow_mut().push((2, key as u64));
            };
            let mut key = 0;
            for known in pieces.iter().scan(0, |sum, piece| { *sum += piece; Some(*sum) }) {
                let from = key;
                while key < known {
                    let guess = ahead.turn(key, &asked, |key| (key < known).then_some(key as u64), Some(rest));
                    // Those of a new piece that come before the next block are not known ahead.
                    if key >= from.next_multiple_of(BLOCK) {
                        prop_assert_eq!(guess, asked.guess(Mixed(key as u32)));
                        prop_assert_eq!(guess.is_some(), asked.0.borrow().contains(&(2, key as u64)));
                    } else {
                        prop_assert_eq!(guess, None);
                    }
                    key += 1;
                }
            }
            let mut asked = asked.0.into_inner();
            let count = asked.len();
            asked.sort_unstable();
            asked.dedup();
            prop_assert_eq!(asked.len(), count, "something was asked for twice");
        }
    }
}
