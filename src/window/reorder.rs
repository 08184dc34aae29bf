//! Hits that wait until the watermark has passed them, then leave in order: time, source, partition, position, row.
//!
//! Buckets of a fixed width of time hold what is far; the bucket that the watermark stands in is sorted once, and what still arrives for it goes through
//! a small heap beside it.
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

use crate::clock::Timestamp;
use crate::state::{Chunks, StateError, StateReader};

/// A hit without its event: what the rule needs of it lies in `bytes` of its bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The time that it counts with.
    pub time: Timestamp,
    /// Number of its partition: it never changes.
    pub partition: u32,
    /// Rank of its partition's name: it changes when a name appears that stands before it.
    pub rank: u32,
    /// Position and row.
    pub tie: u128,
    /// Hash of its key.
    pub hash: u64,
    /// Where its bytes begin.
    at: u32,
    len: u32,
    fresh: bool,
}

impl Waiting {
    fn key(&self) -> (Timestamp, u32, u128) {
        (self.time, self.rank, self.tie)
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[derive(Debug, Default)]
struct Bucket {
    hits: Vec<Waiting>,
    bytes: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Reorder {
    width: i64,
    buckets: BTreeMap<i64, Bucket>,
    /// The bucket that hits leave from, sorted with the first last.
    active: Bucket,
    active_end: Timestamp,
    late: BinaryHeap<Reverse<Waiting>>,
    len: usize,
    spare: Vec<Bucket>,
}

impl Reorder {
    /// An empty buffer with buckets of `width` nanoseconds.
    pub fn new(width: i64) -> Reorder {
        Reorder {
            width: width.max(1),
            buckets: BTreeMap::new(),
            active: Bucket::default(),
            active_end: Timestamp::MIN,
            late: BinaryHeap::new(),
            len: 0,
            spare: Vec::new(),
        }
    }

    /// Hits that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a hit of a partition of a number and rank; `write` appends its bytes.
    pub fn push(&mut self, time: Timestamp, place: (u32, u32), tie: u128, hash: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let (partition, rank) = place;
        self.len += 1;
        let is_active = time < self.active_end;
        let bucket = if is_active {
            &mut self.active
        } else {
            let spare = &mut self.spare;
            self.buckets.entry(time.div_euclid(self.width)).or_insert_with(|| spare.pop().unwrap_or_default())
        };
        let at = bucket.bytes.len();
        write(&mut bucket.bytes);
        let hit = Waiting { time, partition, rank, tie, hash, at: at as u32, len: (bucket.bytes.len() - at) as u32, fresh: true };
        if is_active {
            self.late.push(Reverse(hit));
        } else {
            bucket.hits.push(hit);
        }
    }

    /// Makes the earliest bucket active if the active one is empty.
    fn advance(&mut self) {
        while self.active.hits.is_empty() && self.late.is_empty() {
            let Some((number, mut bucket)) = self.buckets.pop_first() else { return };
            bucket.hits.sort_unstable_by(|a, b| b.cmp(a));
            self.active_end = (number + 1).saturating_mul(self.width);
            let mut old = std::mem::replace(&mut self.active, bucket);
            old.bytes.clear();
            if self.spare.len() < 16 {
                self.spare.push(old);
            }
        }
    }

    /// Takes out the first hit if `ready` accepts its time. Its bytes are valid until the next call that changes the buffer.
    pub fn pop(&mut self, ready: impl Fn(Timestamp) -> bool) -> Option<(Waiting, &[u8])> {
        self.advance();
        let sorted = self.active.hits.last();
        let late = self.late.peek().map(|Reverse(h)| h);
        let from_late = match (sorted, late) {
            (None, None) => return None,
            (Some(s), Some(l)) => l < s,
            (None, Some(_)) => true,
            (Some(_), None) => false,
        };
        let first = if from_late { late } else { sorted }?;
        if !ready(first.time) {
            return None;
        }
        let hit = if from_late { self.late.pop()?.0 } else { self.active.hits.pop()? };
        self.len -= 1;
        Some((hit, &self.active.bytes[hit.at as usize..(hit.at + hit.len) as usize]))
    }

    /// Time of the first hit.
    pub fn first_time(&mut self) -> Option<Timestamp> {
        self.advance();
        let sorted = self.active.hits.last().map(|h| h.time);
        let late = self.late.peek().map(|Reverse(h)| h.time);
        sorted.into_iter().chain(late).min()
    }

    /// Forgets the hits at or before a place in the order.
    pub fn forget(&mut self, upto: (Timestamp, u32, u128)) {
        let after = |hit: &Waiting| hit.key() > upto;
        self.active.hits.retain(after);
        self.late.retain(|Reverse(hit)| after(hit));
        self.buckets.values_mut().for_each(|b| b.hits.retain(after));
        let waiting = self.buckets.values().map(|b| b.hits.len()).sum::<usize>();
        self.len = self.active.hits.len() + self.late.len() + waiting;
    }

    /// Gives waiting hits the ranks that their partitions have now, by number.
    pub fn rerank(&mut self, ranks: &[u32]) {
        let mut fix = |hit: &mut Waiting| hit.rank = ranks.get(hit.partition as usize).copied().unwrap_or(hit.rank);
        self.active.hits.iter_mut().for_each(&mut fix);
        self.active.hits.sort_unstable_by(|a, b| b.cmp(a));
        self.buckets.values_mut().for_each(|b| b.hits.iter_mut().for_each(&mut fix));
        let mut late: Vec<Waiting> = std::mem::take(&mut self.late).into_iter().map(|Reverse(h)| h).collect();
        late.iter_mut().for_each(&mut fix);
        self.late = late.into_iter().map(Reverse).collect();
    }

    /// Writes all waiting hits, or those that came since the last call.
    pub fn save(&mut self, full: bool, chunks: &mut Chunks) {
        let mut late: Vec<Waiting> = std::mem::take(&mut self.late).into_iter().map(|Reverse(h)| h).collect();
        let Reorder { active, buckets, .. } = self;
        let Bucket { hits, bytes } = active;
        for hit in late.iter_mut().chain(hits.iter_mut()) {
            save_hit(hit, bytes, full, chunks);
        }
        for Bucket { hits, bytes } in buckets.values_mut() {
            hits.iter_mut().for_each(|hit| save_hit(hit, bytes, full, chunks));
        }
        self.late = late.into_iter().map(Reverse).collect();
    }

    /// Reads what [`Reorder::save`] wrote; `keep` decides by time and hash. Ranks are those of [`Reorder::rerank`], which comes next.
    pub fn load(&mut self, from: &mut StateReader<'_>, keep: &dyn Fn(Timestamp, u64) -> bool) -> Result<(), StateError> {
        while !from.is_empty() {
            let (time, partition, tie, hash, bytes) = (from.i64()?, from.u32()?, from.u128()?, from.u64()?, from.bytes()?);
            if keep(time, hash) {
                self.push(time, (partition, 0), tie, hash, |out| out.extend_from_slice(bytes));
            }
        }
        self.buckets.values_mut().for_each(|b| b.hits.iter_mut().for_each(|h| h.fresh = false));
        Ok(())
    }
}

fn save_hit(hit: &mut Waiting, bytes: &[u8], full: bool, chunks: &mut Chunks) {
    if full || hit.fresh {
        let out = chunks.record();
        out.i64(hit.time);
        out.u32(hit.partition);
        out.u128(hit.tie);
        out.u64(hit.hash);
        out.bytes(&bytes[hit.at as usize..(hit.at + hit.len) as usize]);
    }
    hit.fresh = false;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hits_leave_in_order_whatever_the_arrival(steps in prop::collection::vec((0i64..200, 0u32..3, any::<bool>()), 1..300), width in 1i64..50) {
            let mut buffer = Reorder::new(width);
            let mut waiting: Vec<(i64, u32, u128)> = Vec::new();
            let mut released = 0;
            for (i, (time, rank, release)) in steps.into_iter().enumerate() {
                let time = time.max(released);
                buffer.push(time, (rank, rank), i as u128, 0, |out| out.extend_from_slice(&(i as u128).to_le_bytes()));
                waiting.push((time, rank, i as u128));
                if release {
                    released = time;
                    waiting.sort_unstable();
                    while let Some((hit, bytes)) = buffer.pop(|t| t < released) {
                        prop_assert_eq!((hit.time, hit.rank, hit.tie), waiting.remove(0));
                        prop_assert_eq!(bytes, hit.tie.to_le_bytes());
                    }
                    prop_assert!(waiting.first().is_none_or(|w| w.0 >= released));
                    prop_assert_eq!(waiting.len(), buffer.len());
                }
            }
        }
    }
}
