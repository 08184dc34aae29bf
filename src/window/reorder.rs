//! Hits that wait until the watermark has passed them, then leave in order: time, source, partition, position, row.
//!
//! Buckets of a fixed width of time hold what waits: the near ones in a ring, found by their number, and the few that are far ahead in a tree. The bucket that
//! the watermark stands in is sorted once, and what still arrives for it goes through a small heap beside it. Sorted are turns, which are time and number in
//! one word; the hits stay where they are.
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::clock::Timestamp;
use crate::simd;
use crate::state::{Chunks, StateError, StateReader};

/// A hit without its event: what the rule needs of it lies in `bytes` of its bucket. One cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
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
    at: usize,
    len: u32,
    fresh: bool,
}

impl Waiting {
    fn bytes<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.at..self.at + self.len as usize]
    }

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

/// How far behind the beginning of its bucket a hit's time is, and the hit's number in it: turns are in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn(u64);

impl Turn {
    fn new(offset: i64, number: usize) -> Turn {
        Turn((offset as u64) << 32 | number as u64)
    }

    fn offset(self) -> u64 {
        self.0 >> 32
    }

    #[inline(always)]
    fn number(self) -> usize {
        self.0 as u32 as usize
    }
}

/// The bucket that hits leave from.
#[derive(Debug)]
struct Active {
    bucket: Bucket,
    turns: Vec<Turn>,
    /// How many have left.
    gone: usize,
    start: Timestamp,
    end: Timestamp,
}

impl Default for Active {
    fn default() -> Active {
        Active { bucket: Bucket::default(), turns: Vec::new(), gone: 0, start: Timestamp::MIN, end: Timestamp::MIN }
    }
}

impl Active {
    /// Puts turns in the place of those that were there.
    fn sort(&mut self) {
        let hits = &self.bucket.hits;
        self.gone = 0;
        self.turns.clear();
        self.turns.extend(hits.iter().enumerate().map(|(number, hit)| Turn::new(hit.time.saturating_sub(self.start), number)));
        self.turns.sort_unstable();
        let place = |turn: &Turn| hits[turn.number()].key();
        for alike in self.turns.chunk_by_mut(|a, b| a.offset() == b.offset()) {
            // They stand as they came, which mostly is their order.
            if alike.len() > 1 && !alike.is_sorted_by_key(place) {
                alike.sort_unstable_by_key(place);
            }
        }
    }

    #[inline(always)]
    fn ahead(&self, count: usize) -> Option<&Waiting> {
        self.turns.get(self.gone + count).map(|turn| &self.bucket.hits[turn.number()])
    }

    /// Changes the hits that have not left yet.
    fn change(&mut self, change: impl FnOnce(&mut Vec<Waiting>)) {
        let mut left: Vec<Waiting> = self.turns[self.gone..].iter().map(|turn| self.bucket.hits[turn.number()]).collect();
        change(&mut left);
        self.bucket.hits = left;
        self.sort();
    }
}

/// How many hits ahead bytes are asked for.
const SOON: usize = 12;
/// The same of hits, whose hashes are asked for before their bytes.
const LATER: usize = 48;

/// Longest time of a bucket: what a turn can tell apart.
const WIDTH_MAX: i64 = 1 << 31;

/// Buckets of the ring.
const NEAR_MAX: i64 = 8192;

/// See the module.
#[derive(Debug, Default)]
pub struct Reorder {
    /// A bucket is two to the power of this in nanoseconds.
    shift: u32,
    /// The buckets from number `first` on.
    near: VecDeque<Bucket>,
    first: i64,
    /// What lies beyond the ring, by number.
    far: BTreeMap<i64, Bucket>,
    active: Active,
    late: BinaryHeap<Reverse<Waiting>>,
    len: usize,
    spare: Vec<Bucket>,
}

impl Reorder {
    /// An empty buffer with buckets of about `width` nanoseconds.
    pub fn new(width: i64) -> Reorder {
        Reorder {
            shift: width.clamp(1, WIDTH_MAX).ilog2(),
            near: VecDeque::new(),
            first: 0,
            far: BTreeMap::new(),
            active: Active::default(),
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
        let is_active = time < self.active.end;
        let bucket = if is_active { &mut self.active.bucket } else { self.bucket(time >> self.shift) };
        let at = bucket.bytes.len();
        write(&mut bucket.bytes);
        let hit = Waiting { time, partition, rank, tie, hash, at, len: (bucket.bytes.len() - at) as u32, fresh: true };
        if is_active {
            self.late.push(Reverse(hit));
        } else {
            bucket.hits.push(hit);
        }
    }

    /// Asks for the memory where a hit that is put soon will stand: its bucket was last written to many hits ago.
    #[inline(always)]
    pub fn expect(&self, time: Timestamp) {
        let at = (time >> self.shift).wrapping_sub(self.first);
        if let Some(bucket) = usize::try_from(at).ok().and_then(|at| self.near.get(at)) {
            simd::prefetch(&bucket.hits, bucket.hits.len());
            simd::prefetch(&bucket.bytes, bucket.bytes.len());
            simd::prefetch(&bucket.bytes, bucket.bytes.len() + 63);
        }
    }

    /// The bucket of a number, made if it is not there.
    #[inline]
    fn bucket(&mut self, number: i64) -> &mut Bucket {
        let at = number.wrapping_sub(self.first);
        if (0..self.near.len() as i64).contains(&at) {
            return &mut self.near[at as usize];
        }
        self.make_bucket(number)
    }

    #[inline(never)]
    fn make_bucket(&mut self, number: i64) -> &mut Bucket {
        let spare = &mut self.spare;
        let mut fresh = || spare.pop().unwrap_or_default();
        // A ring that grows towards the past lets go of its end.
        let before = self.first.saturating_sub(number);
        while before > 0 && !self.near.is_empty() && before.saturating_add(self.near.len() as i64) > NEAR_MAX {
            let last = self.first + self.near.len() as i64 - 1;
            if let Some(bucket) = self.near.pop_back().filter(|b| !b.hits.is_empty()) {
                self.far.insert(last, bucket);
            }
        }
        if self.near.is_empty() {
            // Nothing beyond the ring may stand before it.
            self.first = self.far.first_key_value().map_or(number, |(first, _)| number.min(*first));
        }
        while number < self.first {
            self.near.push_front(fresh());
            self.first -= 1;
        }
        let at = number.saturating_sub(self.first);
        if at >= NEAR_MAX {
            return self.far.entry(number).or_insert_with(fresh);
        }
        while self.near.len() as i64 <= at {
            let next = self.first + self.near.len() as i64;
            self.near.push_back(self.far.remove(&next).unwrap_or_else(&mut fresh));
        }
        &mut self.near[at as usize]
    }

    /// The earliest bucket that holds something, and its number.
    fn pop_bucket(&mut self) -> Option<(i64, Bucket)> {
        while let Some(bucket) = self.near.pop_front() {
            let number = self.first;
            self.first += 1;
            if !bucket.hits.is_empty() {
                return Some((number, bucket));
            }
            self.keep(bucket);
        }
        self.far.pop_first()
    }

    fn keep(&mut self, mut bucket: Bucket) {
        if self.spare.len() < 64 {
            bucket.hits.clear();
            bucket.bytes.clear();
            self.spare.push(bucket);
        }
    }

    fn all_buckets(&mut self) -> impl Iterator<Item = &mut Bucket> {
        self.near.iter_mut().chain(self.far.values_mut())
    }

    /// Makes the earliest bucket active if the active one is empty.
    fn advance(&mut self) {
        while self.active.gone == self.active.turns.len() && self.late.is_empty() {
            let Some((number, bucket)) = self.pop_bucket() else { return };
            let old = std::mem::replace(&mut self.active.bucket, bucket);
            self.active.start = number << self.shift;
            self.active.end = self.active.start.saturating_add(1 << self.shift);
            self.active.sort();
            self.keep(old);
        }
    }

    /// The hash of a hit that leaves soon, `ahead` behind the first.
    #[inline]
    pub fn upcoming(&self, ahead: usize) -> Option<u64> {
        self.active.ahead(ahead).map(|hit| hit.hash)
    }

    /// Takes out the first hit if `ready` accepts its time. Its bytes are valid until the next call that changes the buffer.
    pub fn pop(&mut self, ready: impl Fn(Timestamp) -> bool) -> Option<(Waiting, &[u8])> {
        self.advance();
        let Active { bucket, .. } = &self.active;
        let sorted = self.active.ahead(0);
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
        let hit = *first;
        self.len -= 1;
        if from_late {
            self.late.pop();
        } else {
            if let Some(soon) = self.active.ahead(SOON) {
                simd::prefetch(&bucket.bytes, soon.at);
                simd::prefetch(&bucket.bytes, soon.at + 63);
            }
            if let Some(turn) = self.active.turns.get(self.active.gone + LATER) {
                simd::prefetch(&bucket.hits, turn.number());
            }
            self.active.gone += 1;
        }
        Some((hit, hit.bytes(&self.active.bucket.bytes)))
    }

    /// Time of the first hit.
    pub fn first_time(&mut self) -> Option<Timestamp> {
        self.advance();
        let sorted = self.active.ahead(0).map(|h| h.time);
        let late = self.late.peek().map(|Reverse(h)| h.time);
        sorted.into_iter().chain(late).min()
    }

    /// Forgets the hits at or before a place in the order.
    pub fn forget(&mut self, upto: (Timestamp, u32, u128)) {
        let after = |hit: &Waiting| hit.key() > upto;
        self.active.change(|hits| hits.retain(after));
        self.late.retain(|Reverse(hit)| after(hit));
        self.all_buckets().for_each(|b| b.hits.retain(after));
        let waiting = self.all_buckets().map(|b| b.hits.len()).sum::<usize>();
        self.len = self.active.turns.len() + self.late.len() + waiting;
    }

    /// Gives waiting hits the ranks that their partitions have now, by number.
    pub fn rerank(&mut self, ranks: &[u32]) {
        let mut fix = |hit: &mut Waiting| hit.rank = ranks.get(hit.partition as usize).copied().unwrap_or(hit.rank);
        self.active.change(|hits| hits.iter_mut().for_each(&mut fix));
        self.all_buckets().for_each(|b| b.hits.iter_mut().for_each(&mut fix));
        let mut late: Vec<Waiting> = std::mem::take(&mut self.late).into_iter().map(|Reverse(h)| h).collect();
        late.iter_mut().for_each(&mut fix);
        self.late = late.into_iter().map(Reverse).collect();
    }

    /// Writes all waiting hits, or those that came since the last call.
    pub fn save(&mut self, full: bool, chunks: &mut Chunks) {
        let mut late: Vec<Waiting> = std::mem::take(&mut self.late).into_iter().map(|Reverse(h)| h).collect();
        let Active { bucket: Bucket { hits, bytes }, turns, gone, .. } = &mut self.active;
        late.iter_mut().for_each(|hit| save_hit(hit, bytes, full, chunks));
        turns[*gone..].iter().for_each(|turn| save_hit(&mut hits[turn.number()], bytes, full, chunks));
        for Bucket { hits, bytes } in self.all_buckets() {
            hits.iter_mut().for_each(|hit| save_hit(hit, bytes, full, chunks));
        }
        self.late = late.into_iter().map(Reverse).collect();
    }

    /// Reads what [`Reorder::save`] wrote; `keep` decides by hash and bytes, `number` says what a partition's number is now. Ranks are those of
    /// [`Reorder::rerank`], which comes next.
    pub fn load(
        &mut self,
        from: &mut StateReader<'_>,
        number: &dyn Fn(u32) -> u32,
        keep: &dyn Fn(u64, &[u8]) -> bool,
    ) -> Result<(), StateError> {
        while !from.is_empty() {
            let (time, partition, tie, hash, bytes) = (from.i64()?, from.u32()?, from.u128()?, from.u64()?, from.bytes()?);
            if keep(hash, bytes) {
                self.push(time, (number(partition), 0), tie, hash, |out| out.extend_from_slice(bytes));
            }
        }
        self.all_buckets().for_each(|b| b.hits.iter_mut().for_each(|h| h.fresh = false));
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
        out.bytes(hit.bytes(bytes));
    }
    hit.fresh = false;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hits_leave_in_order_whatever_the_arrival(
            steps in prop::collection::vec((prop_oneof![8 => 0i64..200, 1 => 0i64..100_000, 1 => Just(1 << 60)], 0u32..3, any::<bool>()), 1..300), width in 1i64..50) {
            let mut buffer = Reorder::new(width);
            let mut waiting: Vec<(i64, u32, u128)> = Vec::new();
            let mut released = 0;
            for (i, (time, rank, release)) in steps.into_iter().enumerate() {
                let time = time.max(released);
                buffer.push(time, (rank, rank), i as u128, 0, |out| out.extend_from_slice(&(i as u128).to_le_bytes()));
                waiting.push((time, rank, i as u128));
                if release {
                    released = if time < 1 << 50 { time } else { released };
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
