//! How often each value stands in a window: open addressing over 96 bits of a value's hash and 32 bits of count, 16 bytes a value.
//!
//! Two values of one group with the same 96 bits would count as one; of a million values that is one chance in 10¹⁷.
use crate::simd;

const EMPTY: u128 = 0;
const COUNT: u128 = u32::MAX as u128;

/// See the module.
#[derive(Debug, Default)]
pub struct Values {
    /// Upper 96 bits: of the hash; lower 32: the count. A power of two of them, or none.
    slots: Vec<u128>,
    len: usize,
}

impl Values {
    /// Different values.
    pub fn count(&self) -> usize {
        self.len
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.slots.clear();
        self.len = 0;
    }

    /// Asks for the cache line that a hash leads to.
    #[inline(always)]
    pub fn prefetch(&self, hash: i128) {
        if !self.slots.is_empty() {
            simd::prefetch(&self.slots, home(hash as u128, self.slots.len() - 1));
        }
    }

    /// The place of a hash, or the empty one where it would be.
    #[inline(always)]
    fn place(&self, hash: u128) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = home(hash, mask);
        while self.slots[at] != EMPTY && (self.slots[at] ^ hash) & !COUNT != 0 {
            at = (at + 1) & mask;
        }
        at
    }

    /// Counts a value once more.
    #[inline]
    pub fn add(&mut self, hash: i128) {
        if (self.len + 1) * 5 > self.slots.len() * 4 {
            self.grow();
        }
        let at = self.place(hash as u128);
        if self.slots[at] == EMPTY {
            self.slots[at] = hash as u128 & !COUNT;
            self.len += 1;
        }
        self.slots[at] += 1;
    }

    #[cold]
    fn grow(&mut self) {
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![EMPTY; (old.len() * 2).max(8)];
        simd::prefer_huge_pages(&mut self.slots);
        for slot in old.into_iter().filter(|s| *s != EMPTY) {
            let at = self.place(slot);
            self.slots[at] = slot;
        }
    }

    /// Counts a value once less.
    #[inline]
    pub fn remove(&mut self, hash: i128) {
        if self.slots.is_empty() {
            return;
        }
        let at = self.place(hash as u128);
        if self.slots[at] == EMPTY {
            return;
        }
        self.slots[at] -= 1;
        if self.slots[at] & COUNT != 0 {
            return;
        }
        self.len -= 1;
        self.take_out(at);
    }

    /// Takes out what stands at a place; what stands behind it moves up, so that no tombstones gather.
    fn take_out(&mut self, mut at: usize) {
        let mask = self.slots.len() - 1;
        let mut next = (at + 1) & mask;
        while self.slots[next] != EMPTY {
            let slot = self.slots[next];
            // It may move up only if its home is not between the gap and itself.
            if (next.wrapping_sub(home(slot, mask)) & mask) >= (next.wrapping_sub(at) & mask) {
                self.slots[at] = slot;
                at = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[at] = EMPTY;
    }
}

/// Where a hash would stand if nothing stood there before.
#[inline(always)]
fn home(hash: u128, mask: usize) -> usize {
    (hash >> 64) as usize & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn equals_a_map_of_counts(steps in prop::collection::vec((0i128..60, any::<bool>()), 0..600)) {
            let mut values = Values::default();
            let mut map: BTreeMap<i128, u32> = BTreeMap::new();
            for (value, add) in steps {
                // Neighbours share their place; the smallest hash is zero.
                let hash = (value / 4) << 66 | (value % 4) << 40;
                if add {
                    values.add(hash);
                    *map.entry(hash).or_insert(0) += 1;
                } else {
                    values.remove(hash);
                    if let Some(count) = map.get_mut(&hash) {
                        *count -= 1;
                    }
                    map.retain(|_, count| *count > 0);
                }
                prop_assert_eq!(values.count(), map.len());
            }
        }
    }
}
