//! From the hash of a key to a number, of a group or of a row: open addressing over words of 32 bits of hash and 32 bits of number.
//!
//! The place follows from the stored bits too, so that growing the table reads nothing but the table.
//!
//! Hashes come from outside with a fixed seed (state outlives the process), so the place in the table is taken from the hash mixed with a seed
//! of this process, and a full key decides.
pub mod ahead;
pub mod probing;

use probing::take_out;

use crate::simd;

const EMPTY: u64 = 0;
/// Places behind its home in which most entries stand.
const NEAR: usize = 2;

/// See the module.
#[derive(Debug)]
pub struct KeyIndex {
    slots: Vec<u64>,
    len: usize,
    seed: u64,
}

impl Default for KeyIndex {
    fn default() -> KeyIndex {
        use std::hash::{BuildHasher as _, RandomState};
        KeyIndex { slots: vec![EMPTY; 64], len: 0, seed: RandomState::new().hash_one(0u8) | 1 }
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
        self.slots.capacity() * 8
    }

    #[inline(always)]
    fn mix(&self, hash: u64) -> u64 {
        let wide = u128::from(hash ^ self.seed) * u128::from(self.seed | 0x9e37_79b9_7f4a_7c15);
        ((wide >> 64) as u64 ^ wide as u64) >> 32
    }

    /// Asks for the cache line that a hash leads to.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        let mask = self.slots.len() - 1;
        let at = self.mix(hash) as usize & mask;
        simd::prefetch(&self.slots, at);
        // An entry that is not at home is near it, which may be on the next cache line.
        simd::prefetch(&self.slots, (at + NEAR) & mask);
    }

    /// A group that probably has the hash: to prefetch it, not to trust it.
    #[inline(always)]
    pub fn guess(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// The group of a hash that `is` accepts.
    #[inline(always)]
    pub fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mixed = self.mix(hash);
        let mask = self.slots.len() - 1;
        let mut at = mixed as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            if slot >> 32 == mixed && is(slot as u32 - 1) {
                return Some(slot as u32 - 1);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a group that is not in it.
    pub fn insert(&mut self, hash: u64, group: u32) {
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![EMPTY; old.len() * 2];
            simd::prefer_huge_pages(&mut self.slots);
            for slot in old.into_iter().filter(|s| *s != EMPTY) {
                self.place(slot >> 32, slot as u32 - 1);
            }
        }
        self.place(self.mix(hash), group);
        self.len += 1;
    }

    fn place(&mut self, mixed: u64, group: u32) {
        let mask = self.slots.len() - 1;
        let mut at = mixed as usize & mask;
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = mixed << 32 | u64::from(group + 1);
    }

    /// Removes a group.
    pub fn remove(&mut self, hash: u64, group: u32) {
        let mask = self.slots.len() - 1;
        let mut at = self.mix(hash) as usize & mask;
        while self.slots[at] as u32 != group + 1 {
            if self.slots[at] == EMPTY {
                return;
            }
            at = (at + 1) & mask;
        }
        self.len -= 1;
        take_out(&mut self.slots, EMPTY, at, |slot| (slot >> 32) as usize & mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn equals_a_map(steps in prop::collection::vec((0u64..40, any::<bool>()), 0..400)) {
            let mut index = KeyIndex::default();
            let mut groups = 0;
            let mut map: HashMap<u64, u32> = HashMap::new();
            for (key, add) in steps {
                let hash = key / 3; // collisions
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
