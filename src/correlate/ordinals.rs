//! Which of the firings of one key at one anchor a firing is: the last part of an alert's id.
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::{NEVER, Timestamp};
use crate::index::KeyIndex;
use crate::state::{StateError, StateReader, StateWriter};

/// Keys that are compared one by one; those that come after them stand in the index.
const FEW: usize = 4;

/// Firings at the present anchor. Anchors come in order, so one is enough.
#[derive(Debug)]
pub(super) struct Ordinals {
    anchor: Timestamp,
    fired: Vec<Fired>,
    /// The keys, one behind the other: memory that the next anchor uses again.
    keys: Vec<u8>,
    index: KeyIndex,
}

/// A key that fired.
#[derive(Debug)]
struct Fired {
    /// Of a key that stands in the index.
    hash: u64,
    /// Where its key ends.
    end: usize,
    times: u32,
}

impl Default for Ordinals {
    fn default() -> Ordinals {
        Ordinals { anchor: NEVER, fired: Vec::new(), keys: Vec::new(), index: KeyIndex::default() }
    }
}

impl Ordinals {
    /// How many firings of a key had this anchor before.
    pub(super) fn next(&mut self, key: &[u8], anchor: Timestamp) -> u32 {
        if anchor != self.anchor {
            self.clear();
            self.anchor = anchor;
        }
        let times = self.times(key);
        *times += 1;
        *times - 1
    }

    fn clear(&mut self) {
        for (number, fired) in self.fired.drain(..).enumerate().skip(FEW) {
            self.index.remove(fired.hash, number as u32);
        }
        self.keys.clear();
    }

    fn key(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).map_or(0, |before| self.fired[before].end);
        &self.keys[start..self.fired[number].end]
    }

    fn times(&mut self, key: &[u8]) -> &mut u32 {
        let count = self.fired.len();
        let hash = if count < FEW { 0 } else { xxh3_64(key) };
        let known = (0..count.min(FEW)).find(|number| self.key(*number) == key);
        let indexed = || self.index.find(hash, |number| self.key(number as usize) == key).map(|number| number as usize);
        let number = known.or_else(indexed).unwrap_or_else(|| {
            self.keys.extend_from_slice(key);
            self.fired.push(Fired { hash, end: self.keys.len(), times: 0 });
            if count >= FEW {
                self.index.insert(hash, count as u32);
            }
            count
        });
        &mut self.fired[number].times
    }

    pub(super) fn save(&self, out: &mut StateWriter) {
        out.i64(self.anchor);
        out.u32(self.fired.len() as u32);
        for (number, fired) in self.fired.iter().enumerate() {
            out.bytes(self.key(number));
            out.u32(fired.times);
        }
    }

    pub(super) fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.clear();
        self.anchor = from.i64()?;
        for _ in 0..from.u32()? {
            let key = from.bytes()?;
            *self.times(key) = from.u32()?;
        }
        Ok(())
    }

    /// Takes in what another shard knew: of the later anchor, or of both where it is one.
    pub(super) fn absorb(&mut self, mut other: Ordinals) {
        if other.anchor > self.anchor {
            std::mem::swap(self, &mut other);
        }
        if other.anchor == self.anchor {
            for (number, fired) in other.fired.iter().enumerate() {
                *self.times(other.key(number)) = fired.times;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn they_count_as_a_map_does(steps in prop::collection::vec((0u8..40, 0i64..20, any::<bool>()), 0..300)) {
            let (mut ordinals, mut anchor) = (Ordinals::default(), 0);
            let mut map: HashMap<(i64, Vec<u8>), u32> = HashMap::new();
            for (key, step, read) in steps {
                anchor += step / 19;
                if read {
                    let mut bytes = StateWriter::default();
                    ordinals.save(&mut bytes);
                    ordinals.load(&mut StateReader::new(&bytes.bytes)).unwrap();
                }
                let key = vec![key; usize::from(key)];
                let count = map.entry((anchor, key.clone())).or_default();
                prop_assert_eq!(ordinals.next(&key, anchor), *count);
                *count += 1;
            }
        }
    }

    #[test]
    fn of_two_shards_the_later_anchor_counts() {
        let shard = |anchor: i64, key: &[u8]| {
            let mut ordinals = Ordinals::default();
            ordinals.next(key, anchor);
            ordinals
        };
        for (mut one, other) in [(shard(1, b"a"), shard(2, b"b")), (shard(2, b"b"), shard(1, b"a"))] {
            one.absorb(other);
            assert_eq!((one.next(b"b", 2), one.next(b"a", 2)), (1, 0));
        }
        let mut one = shard(2, b"a");
        one.absorb(shard(2, b"b"));
        assert_eq!((one.next(b"a", 2), one.next(b"b", 2)), (1, 1));
    }
}
