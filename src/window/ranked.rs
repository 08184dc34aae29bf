//! Values in order with the one of a given rank at hand: what minimum, maximum and percentile read. A change costs the logarithm of how many there are.
use std::collections::BTreeMap;

/// A percentage in units of 10⁻⁹: 0 is the minimum, [`WHOLE`] the maximum.
pub type Percent = u64;

/// 100 %.
pub const WHOLE: Percent = 100_000_000_000;

/// Values up to the wanted rank in `low`, the others in `high`.
#[derive(Debug)]
pub struct Ranked {
    percent: Percent,
    low: BTreeMap<i128, usize>,
    high: BTreeMap<i128, usize>,
    low_len: usize,
    len: usize,
}

impl Ranked {
    /// No values.
    pub fn new(percent: Percent) -> Ranked {
        Ranked { percent, low: BTreeMap::new(), high: BTreeMap::new(), low_len: 0, len: 0 }
    }

    /// The value at the nearest rank, if there is any.
    pub fn get(&self) -> Option<i128> {
        self.low.last_key_value().map(|(value, _)| *value)
    }

    /// Adds a value.
    pub fn add(&mut self, value: i128) {
        self.len += 1;
        if self.get().is_some_and(|greatest| value < greatest) {
            put(&mut self.low, value);
            self.low_len += 1;
        } else {
            put(&mut self.high, value);
        }
        self.settle();
    }

    /// Removes a value that was added.
    pub fn remove(&mut self, value: i128) {
        self.len -= 1;
        // Equal values may lie on both sides: which of them goes is all the same.
        if take(&mut self.low, value) {
            self.low_len -= 1;
        } else {
            take(&mut self.high, value);
        }
        self.settle();
    }

    /// The nearest rank: the least one that so many per cent of all values do not exceed.
    fn rank(&self) -> usize {
        let rank = (self.len as u128 * u128::from(self.percent)).div_ceil(u128::from(WHOLE));
        (rank as usize).clamp(1, self.len.max(1)).min(self.len)
    }

    fn settle(&mut self) {
        let rank = self.rank();
        while self.low_len < rank
            && let Some((value, _)) = self.high.first_key_value().map(|(v, n)| (*v, *n))
        {
            take(&mut self.high, value);
            put(&mut self.low, value);
            self.low_len += 1;
        }
        while self.low_len > rank
            && let Some(value) = self.get()
        {
            take(&mut self.low, value);
            put(&mut self.high, value);
            self.low_len -= 1;
        }
    }
}

fn put(values: &mut BTreeMap<i128, usize>, value: i128) {
    *values.entry(value).or_default() += 1;
}

fn take(values: &mut BTreeMap<i128, usize>, value: i128) -> bool {
    match values.get_mut(&value) {
        None => return false,
        Some(1) => drop(values.remove(&value)),
        Some(count) => *count -= 1,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_sorting(values in prop::collection::vec(-5i128..20, 1..60), drops in prop::collection::vec(any::<prop::sample::Index>(), 0..40), percent in prop::sample::select(vec![0, 1, 25, 50, 95, 99, 100])) {
            let mut ranked = Ranked::new(percent * WHOLE / 100);
            let mut all: Vec<i128> = Vec::new();
            let check = |ranked: &Ranked, all: &[i128]| {
                let mut sorted = all.to_vec();
                sorted.sort_unstable();
                let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
                assert_eq!(ranked.get(), sorted.get(rank - 1).copied(), "{:?}", sorted);
            };
            for value in values {
                ranked.add(value);
                all.push(value);
                check(&ranked, &all);
            }
            for at in drops.into_iter().take(all.len() - 1) {
                ranked.remove(all.swap_remove(at.index(all.len())));
                check(&ranked, &all);
            }
        }
    }
}
