//! Sliding windows that need only the last N hits of a group: `count: N` with a constant N, fired on crossing it.
//!
//! Every weight is at least 1, so whether the window's weight reaches N shows in the last N hits before; and where it fires, those did not reach N, so all that
//! the window holds is among them. A group is one record of words, so a hit costs one probe and one cache line where N is 5:
//!
//! ```text
//! hash (40 bits) · key length (6) · flags (2) · where the next hit goes (4) | key, or its place and length (2 words) | N times [| N weights]
//! ```
//!
//! Of the hash the upper 40 bits count: those that choose the shard, and 32 for the index. Where the newest evidence of a group lies is in a list of its own, as
//! few hits ask for it.
use super::blocks::{Blocks, Chain};
use super::chunked::Chunked;
use super::evidence::NONE;
use super::records::Records;
use super::short_key;
use super::sweep::Hand;
use crate::clock::Timestamp;
use crate::index::KeyIndex;
use crate::index::ahead::Prefetch;
use crate::state::{Chunks, StateError, StateReader};

const META: usize = 0;
const KEY: usize = 1;
const TIMES: usize = 3;

/// The bits of a hash that are kept, at their place in the hash and in the record.
const HASH: u64 = u64::MAX << 24;
/// Key length, or [`LONG`].
const LENGTH: Bits = Bits { at: 18, mask: 0x3f };
/// Where the next hit goes, over the oldest.
const NEXT: Bits = Bits { at: 0, mask: 0xf };
const DIRTY: u64 = 1 << 16;
const LIVE: u64 = 1 << 17;

/// A few bits of the first word.
struct Bits {
    at: u32,
    mask: u64,
}

impl Bits {
    #[inline(always)]
    fn of(&self, meta: u64) -> usize {
        (meta >> self.at & self.mask) as usize
    }

    #[inline(always)]
    fn put(&self, value: usize) -> u64 {
        (value as u64) << self.at
    }

    #[inline(always)]
    fn all(&self) -> u64 {
        self.mask << self.at
    }
}

/// A time that is in no window: where no hit is.
const EMPTY: Timestamp = Timestamp::MIN;
/// Instead of the length of a key that does not lie inside its record.
const LONG: usize = 0x3f;
/// Largest N that is worth a record of N times.
pub const RING_MAX: usize = 16;

/// What a hit did to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// The group.
    pub group: u32,
    /// Weight of the window.
    pub weight: u64,
    /// Oldest time in the window, where it fires.
    pub first: Timestamp,
    /// Whether it fires.
    pub fires: bool,
}

/// What all windows of a rule have in common.
#[derive(Clone, Copy, Debug)]
struct Window {
    n: usize,
    weighted: bool,
    within: i64,
    consume: bool,
}

impl Window {
    /// Where the hit stands that came as the `count`th before the next one.
    #[inline(always)]
    fn before(self, next: usize, count: usize) -> usize {
        next.checked_sub(count).unwrap_or_else(|| next + self.n - count)
    }

    /// Puts a hit into the record of a group, over its oldest one. Says what the record's first word was, and what the hit did.
    #[inline(always)]
    fn put(self, (group, record): (u32, &mut [u64]), time: Timestamp, amount: i128) -> (u64, Update) {
        let Window { n, weighted, within, consume } = self;
        let oldest = time.saturating_sub(within);
        let (head, times) = record.split_at_mut(TIMES);
        let (times, weights) = times.split_at_mut(n);
        // All are looked at, without a branch: how many of them the window still holds is different for every hit.
        let before = match weighted {
            false => times.iter().map(|t| u64::from(*t as i64 > oldest)).sum(),
            true => times.iter().zip(&*weights).fold(0, |sum: u64, (t, w)| sum.saturating_add(if *t as i64 > oldest { *w } else { 0 })),
        };
        let meta = head[META];
        let next = NEXT.of(meta);
        times[next] = time as u64;
        let mut weight = 1;
        if weighted {
            weight = u64::try_from(amount.max(1)).unwrap_or(u64::MAX);
            weights[next] = weight;
        }
        let total = before.saturating_add(weight);
        // It is fired once on the way up: a window that holds N already has done so.
        let fires = before < n as u64 && total >= n as u64;
        let first = if fires { first_of(times, oldest, consume) } else { time };
        head[META] = meta & !NEXT.all() | DIRTY | NEXT.put(if next + 1 == n { 0 } else { next + 1 });
        (meta, Update { group, weight: total, first, fires })
    }
}

/// The oldest time of a window that fires, whose hits may be used up by it.
#[inline(never)]
fn first_of(times: &mut [u64], oldest: Timestamp, consume: bool) -> Timestamp {
    let first = times.iter().map(|t| *t as i64).filter(|t| *t > oldest).min();
    if consume {
        times.fill(EMPTY as u64);
    }
    first.unwrap_or(oldest)
}

/// Groups of one rule in one shard.
#[derive(Debug)]
pub struct RingGroups {
    index: KeyIndex,
    records: Records,
    free: Vec<u32>,
    dirty: Vec<u32>,
    /// Where the newest evidence of each group lies, up to the last group of which some was kept.
    evidence: Chunked<u64>,
    long_keys: Blocks<60>,
    window: Window,
    hand: Hand,
}

/// The key of a hit, as records hold it.
struct Key<'a> {
    hash: u64,
    bytes: &'a [u8],
    packed: Option<[u64; 2]>,
}

impl Key<'_> {
    #[inline(always)]
    fn new(hash: u64, bytes: &[u8]) -> Key<'_> {
        Key { hash, bytes, packed: short_key::pack(bytes) }
    }

    /// The first word of a new record.
    #[inline(always)]
    fn meta(&self) -> u64 {
        let length = if self.packed.is_some() { self.bytes.len() } else { LONG };
        self.hash & HASH | LENGTH.put(length) | LIVE
    }

    /// Whether a record with this first word may be the key's.
    #[inline(always)]
    fn is(&self, meta: u64) -> bool {
        (meta ^ self.meta()) & (HASH | LENGTH.all() | LIVE) == 0
    }
}

impl Prefetch for RingGroups {
    #[inline(always)]
    fn index(&self) -> &KeyIndex {
        &self.index
    }

    #[inline(always)]
    fn known(&self, hash: u64) -> u64 {
        hash & HASH
    }

    #[inline(always)]
    fn prefetch_record(&self, group: u32) {
        self.records.prefetch(group);
    }
}

impl RingGroups {
    /// No groups. `consume`: a firing uses up the window's hits.
    pub fn new(n: usize, within: i64, weighted: bool, consume: bool) -> RingGroups {
        RingGroups {
            index: KeyIndex::default(),
            records: Records::new(TIMES + n * if weighted { 2 } else { 1 }),
            free: Vec::new(),
            dirty: Vec::new(),
            evidence: Chunked::default(),
            long_keys: Blocks::default(),
            window: Window { n, weighted, within, consume },
            hand: Hand::default(),
        }
    }

    /// Open groups.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        let evidence = self.evidence.len() * 8;
        self.index.memory() + self.records.memory() + evidence + self.long_keys.memory() + self.dirty.capacity() * 4
    }

    /// Whether anything may lie outside of records: a long key, or evidence, where `oldest` says that it is kept.
    pub fn has_rest(&self, oldest: Option<Timestamp>) -> bool {
        !self.long_keys.is_empty() || oldest.is_some()
    }

    /// Asks for what lies outside of a record that was asked for before: a long key, and where the evidence lies, if so many hits are younger than `oldest` that
    /// the next one will probably be kept; says whether it will. Where no evidence is kept, there is no `oldest`.
    #[inline(always)]
    pub fn prefetch_rest(&self, group: u32, oldest: Option<Timestamp>) -> bool {
        let record = self.records.get(group);
        if LENGTH.of(record[META]) == LONG {
            self.long_keys.prefetch(&Chain::from_words([record[KEY], record[KEY + 1]]));
        }
        // The hit that would be the last but one of half the bound.
        let before = self.window.before(NEXT.of(record[META]), self.half() - 1);
        let is_kept = oldest.is_some_and(|oldest| record[TIMES + before] as i64 > oldest);
        if is_kept {
            self.evidence.prefetch(group);
        }
        is_kept
    }

    /// The least weight of a window of which evidence is kept.
    pub fn half(&self) -> usize {
        self.window.n.div_ceil(2)
    }

    /// Puts the key of a group in the place of `out`.
    fn read_key(&self, group: u32, out: &mut Vec<u8>) {
        let record = self.records.get(group);
        let words = [record[KEY], record[KEY + 1]];
        out.clear();
        match LENGTH.of(record[META]) {
            LONG => self.long_keys.read(&Chain::from_words(words), 0, out),
            len => short_key::unpack(words, len, out),
        }
    }

    #[inline(always)]
    fn is_key(&self, group: u32, key: &Key<'_>) -> bool {
        let Some([meta, words @ ..]) = self.records.get(group).first_chunk::<TIMES>() else { return false };
        match key.packed {
            // Word by word: together they would be written to memory first, to be read in one.
            Some([first, last]) => key.is(*meta) && words[0] == first && words[1] == last,
            None => key.is(*meta) && self.is_long_key(*words, key.bytes),
        }
    }

    fn is_long_key(&self, words: [u64; 2], key: &[u8]) -> bool {
        let chain = Chain::from_words(words);
        chain.len() == key.len() && self.long_keys.starts_with(&chain, key)
    }

    /// The group of a key, which is opened if there is none.
    #[inline(always)]
    fn open(&mut self, key: &Key<'_>) -> u32 {
        let mixed = self.index.mix(key.hash & HASH);
        if let Some(group) = self.index.find_mixed(mixed, |group| self.is_key(group, key)) {
            return group;
        }
        let group = self.free.pop().unwrap_or_else(|| self.records.push());
        let words = key.packed.unwrap_or_else(|| self.keep_long(key.bytes));
        let record = self.records.get_mut(group);
        record[META] = key.meta();
        [record[KEY], record[KEY + 1]] = words;
        record[TIMES..TIMES + self.window.n].fill(EMPTY as u64);
        self.index.insert_mixed(mixed, group);
        group
    }

    /// Keeps a key outside of its record, which holds its place.
    #[inline(never)]
    fn keep_long(&mut self, key: &[u8]) -> [u64; 2] {
        let mut chain = Chain::default();
        self.long_keys.append(&mut chain, key);
        chain.to_words()
    }

    /// Takes a hit. Hits of a group come in order of time. `guess`: what [`Prefetch`] said. `amount`: its weight, which counts where an event may
    /// have one.
    #[inline(always)]
    pub fn hit(&mut self, guess: Option<u32>, hash: u64, key: &[u8], time: Timestamp, amount: i128) -> Update {
        match guess {
            Some(group) if self.is_key(group, &Key::new(hash, key)) => self.take(group, time, amount),
            _ => self.seek(hash, key, time, amount),
        }
    }

    /// Takes a hit whose group was not guessed: kept out of the way of the others.
    #[inline(never)]
    fn seek(&mut self, hash: u64, key: &[u8], time: Timestamp, amount: i128) -> Update {
        let group = self.open(&Key::new(hash, key));
        self.take(group, time, amount)
    }

    #[inline(always)]
    fn take(&mut self, group: u32, time: Timestamp, amount: i128) -> Update {
        let record = self.records.get_mut(group);
        let (meta, update) = match (self.window, record.first_chunk_mut::<{ TIMES + 5 }>()) {
            // Of the window that most rules have, the compiler knows all but its length in time.
            (Window { n: 5, weighted: false, .. }, Some(record)) => {
                Window { n: 5, weighted: false, ..self.window }.put((group, record), time, amount)
            }
            _ => self.window.put((group, record), time, amount),
        };
        if meta & DIRTY == 0 {
            self.dirty.push(group);
        }
        update
    }

    /// Where the group's newest evidence lies.
    pub fn evidence(&mut self, group: u32) -> &mut u64 {
        while self.evidence.len() <= group as usize {
            self.evidence.push(NONE);
        }
        &mut self.evidence[group]
    }

    /// Gives up groups whose window is empty at `now`, now and then; `came` new ones were opened.
    pub fn sweep(&mut self, now: Timestamp, came: usize) {
        for _ in 0..self.hand.steps(self.index.len(), self.records.count(), came) {
            let group = self.hand.next(self.index.len(), self.records.count()) as u32;
            self.remove_if_empty(group, now);
        }
    }

    fn remove_if_empty(&mut self, group: u32, now: Timestamp) {
        if self.newest(group).is_some_and(|newest| newest <= now.saturating_sub(self.window.within)) {
            self.remove(group);
        }
    }

    /// The newest time of a live group. One whose hits were used up since the last barrier has none: the store still holds them, and
    /// must hear that they are gone before the group may go.
    fn newest(&self, group: u32) -> Option<Timestamp> {
        let record = self.records.get(group);
        let meta = record[META];
        if meta & LIVE == 0 {
            return None;
        }
        let newest = record[TIMES + self.window.before(NEXT.of(meta), 1)] as i64;
        (newest != EMPTY || meta & DIRTY == 0).then_some(newest)
    }

    fn remove(&mut self, group: u32) {
        let record = self.records.get(group);
        let (meta, words) = (record[META], [record[KEY], record[KEY + 1]]);
        self.index.remove(meta & HASH, group);
        if LENGTH.of(meta) == LONG {
            self.long_keys.free(&mut Chain::from_words(words));
        }
        self.records.get_mut(group)[META] = 0;
        if let Some(evidence) = self.evidence.get_mut(group) {
            *evidence = NONE;
        }
        self.free.push(group);
    }

    /// Closes the oldest groups until a sixteenth of `limit` is free, and says how many had a hit in their window at `now`.
    pub fn evict(&mut self, limit: usize, now: Timestamp) -> usize {
        (0..self.records.count() as u32).for_each(|group| self.remove_if_empty(group, now));
        if self.len() <= limit {
            return 0;
        }
        let mut newest: Vec<(Timestamp, u32)> = (0..self.records.count() as u32).filter_map(|g| Some((self.newest(g)?, g))).collect();
        let count = (newest.len() + limit / 16).saturating_sub(limit).min(newest.len());
        if count == 0 {
            return 0;
        }
        newest.select_nth_unstable(count - 1);
        newest[..count].iter().for_each(|(_, g)| self.remove(*g));
        count
    }

    /// Writes all groups, or those that changed since the last call.
    pub fn save(&mut self, full: bool, chunks: &mut Chunks) {
        let changed = std::mem::take(&mut self.dirty);
        let mut key = Vec::new();
        let groups: &mut dyn Iterator<Item = u32> = if full { &mut (0..self.records.count() as u32) } else { &mut changed.iter().copied() };
        for group in groups {
            let record = self.records.get(group);
            let meta = record[META];
            if meta & LIVE == 0 {
                continue;
            }
            let (n, next) = (self.window.n, NEXT.of(meta));
            let oldest = (record[TIMES + self.window.before(next, 1)] as i64).saturating_sub(self.window.within);
            let hits = || (next..next + n).map(|at| at % n).filter(|at| record[TIMES + at] as i64 > oldest);
            self.read_key(group, &mut key);
            let out = chunks.record();
            out.u64(meta & HASH);
            out.bytes(&key);
            out.u64(self.evidence.get(group).copied().unwrap_or(NONE));
            out.u8(hits().count() as u8);
            for at in hits() {
                out.u64(record[TIMES + at]);
                if self.window.weighted {
                    out.u64(record[TIMES + self.window.n + at]);
                }
            }
        }
        for group in changed {
            self.records.get_mut(group)[META] &= !DIRTY;
        }
    }

    /// Reads what [`RingGroups::save`] wrote; `keep` decides by the hash.
    pub fn load(&mut self, from: &mut StateReader<'_>, keep: &dyn Fn(u64) -> bool) -> Result<(), StateError> {
        while !from.is_empty() {
            let hash = from.u64()?;
            let key = from.bytes()?;
            let evidence = from.u64()?;
            let len = usize::from(from.u8()?);
            if len > self.window.n {
                return Err(StateError("a saved group holds more hits than its rule counts".into()));
            }
            let mut entries = Vec::with_capacity(len);
            for _ in 0..len {
                entries.push((from.u64()?, if self.window.weighted { from.u64()? } else { 1 }));
            }
            if !keep(hash) {
                continue;
            }
            let group = self.open(&Key::new(hash, key));
            let (n, weighted) = (self.window.n, self.window.weighted);
            let record = self.records.get_mut(group);
            record[META] = record[META] & (HASH | LENGTH.all()) | LIVE | NEXT.put(len % n);
            record[TIMES..TIMES + n].fill(EMPTY as u64);
            for (i, (time, weight)) in entries.into_iter().enumerate() {
                record[TIMES + i] = time;
                if weighted {
                    record[TIMES + n + i] = weight;
                }
            }
            match self.evidence.get_mut(group) {
                Some(place) => *place = evidence,
                None if evidence == NONE => {}
                None => *self.evidence(group) = evidence,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use xxhash_rust::xxh3::xxh3_64;

    fn key(number: usize) -> Vec<u8> {
        // One part without a tenant: the longest inside, and the first outside.
        if number >= 36 {
            let len = 12 + number % 4;
            return [&[0, 0, len as u8, 0], vec![number as u8; len].as_slice()].concat();
        }
        // Inside the record, at its edge, and of one and of several blocks; many alike in their first bytes.
        let len = [1, 7, 15, 16, 17, 59, 60, 61, 300][number % 9];
        let mut key = vec![b'k'; len];
        key[len - 1] = number as u8;
        key
    }

    proptest! {
        #[test]
        fn it_fires_as_a_scan_does(
            steps in prop::collection::vec((0usize..41, 0i64..20, 1u64..4, 0u8..40), 1..300),
            n in 1usize..=RING_MAX, within in 1i64..60, weighted: bool, consume: bool, collide: bool) {
            // Hashes that say nothing are as good as any: a full key decides.
            let hash_of = |key: &[u8]| if collide { 7 << 40 } else { xxh3_64(key) };
            let mut groups = RingGroups::new(n, within, weighted, consume);
            let mut windows: HashMap<Vec<u8>, Vec<(i64, u64)>> = HashMap::new();
            let (mut now, mut guess) = (0, None);
            for (number, step, weight, event) in steps {
                now += step;
                match event {
                    // Numbers of groups are worth nothing in what was read anew.
                    0 => (groups, guess) = {
                        let mut chunks = Chunks::default();
                        chunks.begin(0);
                        groups.save(true, &mut chunks);
                        let mut read = RingGroups::new(n, within, weighted, consume);
                        let mut from = chunks.pieces.iter().map(|piece| StateReader::new(&piece.bytes[1..]));
                        from.try_for_each(|mut piece| read.load(&mut piece, &|_| true)).unwrap();
                        (read, None)
                    },
                    1 => { groups.evict(usize::MAX, now); }
                    2 => { groups.evict(0, now); windows.clear(); }
                    _ => {}
                }
                let weight = if weighted { weight } else { 1 };
                let key = key(number);
                let update = groups.hit(guess, hash_of(&key), &key, now, i128::from(weight));
                let mut read = Vec::new();
                groups.read_key(update.group, &mut read);
                prop_assert_eq!(&read, &key);
                // The next hit's guess is this one's group: mostly wrong, and none the worse for it.
                guess = Some(update.group);
                let window = windows.entry(key).or_default();
                window.retain(|(time, _)| *time > now - within);
                let before: u64 = window.iter().map(|(_, weight)| weight).sum();
                window.push((now, weight));
                let fires = before < n as u64 && before + weight >= n as u64;
                prop_assert_eq!(update.fires, fires);
                if fires {
                    prop_assert_eq!((update.weight, update.first), (before + weight, window[0].0));
                    if consume {
                        window.clear();
                    }
                }
                groups.sweep(now, 1);
            }
        }
    }
}
