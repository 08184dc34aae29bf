//! Sliding windows that need only the last N hits of a group: `count: N` with a constant N, fired on crossing it.
//!
//! Every weight is at least 1, so whether the window's weight reaches N shows in its last N hits; and where it fires, the hit before did not reach N, so all
//! that the window holds is among them. A group is one record of words, so a hit costs one probe and one cache line or two:
//!
//! ```text
//! hash · key or its place (2 words) · key length << 32 | flags | head << 8 | length · evidence · N times [· N weights]
//! ```
use super::key_index::KeyIndex;
use super::sweep::Hand;
use crate::clock::Timestamp;
use crate::simd;
use crate::state::{Chunks, StateError, StateReader};

const HASH: usize = 0;
const KEY: usize = 1;
const META: usize = 3;
const EVIDENCE: usize = 4;
const TIMES: usize = 5;

const ARMED: u64 = 1 << 16;
const DIRTY: u64 = 1 << 17;
const LIVE: u64 = 1 << 18;

/// Longest key that lies inside its record.
const KEY_INLINE: usize = 16;
/// Records of the first chunk; each further one holds twice as many. Memory grows by chunks, never by copying, and large chunks lie in huge pages.
const FIRST_CHUNK: usize = 1 << 12;
/// Largest N that is worth a record of N times.
pub const RING_MAX: usize = 16;

/// What a hit did to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// The group.
    pub group: u32,
    /// Weight of the window.
    pub weight: u64,
    /// Oldest time in the window.
    pub first: Timestamp,
    /// Whether it fires.
    pub fires: bool,
}

/// Groups of one rule in one shard.
#[derive(Debug)]
pub struct RingGroups {
    index: KeyIndex,
    chunks: Vec<Vec<u64>>,
    len: usize,
    free: Vec<u32>,
    dirty: Vec<u32>,
    long_keys: Vec<u8>,
    n: usize,
    weighted: bool,
    stride: usize,
    within: i64,
    consume: bool,
    hand: Hand,
}

impl RingGroups {
    /// No groups. `consume`: a firing uses up the window's hits.
    pub fn new(n: usize, within: i64, weighted: bool, consume: bool) -> RingGroups {
        let stride = TIMES + n * if weighted { 2 } else { 1 };
        RingGroups {
            index: KeyIndex::default(),
            chunks: Vec::new(),
            len: 0,
            free: Vec::new(),
            dirty: Vec::new(),
            long_keys: Vec::new(),
            n,
            weighted,
            stride,
            within,
            consume,
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
        self.index.memory() + self.len * self.stride * 8 + self.long_keys.capacity() + self.dirty.capacity() * 4
    }

    /// Asks for the memory that hits will need: the index for one far ahead, the record for one that is nearer.
    #[inline(always)]
    pub fn prefetch(&self, far: Option<u64>, near: Option<u64>) {
        if let Some(hash) = far {
            self.index.prefetch(hash);
        }
        if let Some(group) = near.and_then(|hash| self.index.guess(hash)) {
            let (chunk, at) = self.place(group);
            simd::prefetch(&self.chunks[chunk], at);
            simd::prefetch(&self.chunks[chunk], at + self.stride - 1);
        }
    }

    /// The chunk of a group and where its record begins.
    #[inline(always)]
    fn place(&self, group: u32) -> (usize, usize) {
        let shifted = group as usize + FIRST_CHUNK;
        let chunk = (shifted / FIRST_CHUNK).ilog2();
        (chunk as usize, (shifted - (FIRST_CHUNK << chunk)) * self.stride)
    }

    #[inline(always)]
    fn record(&self, group: u32) -> &[u64] {
        let (chunk, at) = self.place(group);
        &self.chunks[chunk][at..at + self.stride]
    }

    #[inline(always)]
    fn record_mut(&mut self, group: u32) -> &mut [u64] {
        let (chunk, at) = self.place(group);
        &mut self.chunks[chunk][at..at + self.stride]
    }

    /// The key of a group.
    pub fn key(&self, group: u32) -> Vec<u8> {
        let record = self.record(group);
        let len = (record[META] >> 32) as usize;
        if len > KEY_INLINE {
            let at = record[KEY] as usize;
            return self.long_keys[at..at + len].to_vec();
        }
        let mut bytes = [0u8; KEY_INLINE];
        bytes[..8].copy_from_slice(&record[KEY].to_le_bytes());
        bytes[8..].copy_from_slice(&record[KEY + 1].to_le_bytes());
        bytes[..len].to_vec()
    }

    #[inline(always)]
    fn is_key(&self, group: u32, hash: u64, packed: [u64; 2], key: &[u8]) -> bool {
        let record = self.record(group);
        if record[HASH] != hash || (record[META] >> 32) as usize != key.len() {
            return false;
        }
        if key.len() <= KEY_INLINE {
            return record[KEY] == packed[0] && record[KEY + 1] == packed[1];
        }
        let at = record[KEY] as usize;
        self.long_keys[at..at + key.len()] == *key
    }

    fn insert(&mut self, hash: u64, packed: [u64; 2], key: &[u8]) -> u32 {
        let group = self.free.pop().unwrap_or(self.len as u32);
        if group as usize == self.len {
            let (chunk, _) = self.place(group);
            if chunk == self.chunks.len() {
                let mut records = vec![0; (FIRST_CHUNK << chunk) * self.stride];
                simd::prefer_huge_pages(&mut records);
                self.chunks.push(records);
            }
            self.len += 1;
        }
        let mut place = packed;
        if key.len() > KEY_INLINE {
            place = [self.long_keys.len() as u64, 0];
            self.long_keys.extend_from_slice(key);
        }
        let record = self.record_mut(group);
        record.fill(0);
        record[HASH] = hash;
        [record[KEY], record[KEY + 1]] = place;
        record[META] = (key.len() as u64) << 32 | ARMED | LIVE;
        record[EVIDENCE] = u64::MAX;
        self.index.insert(hash, group);
        group
    }

    /// Takes a hit. Hits of a group come in order of time.
    #[inline]
    pub fn hit(&mut self, hash: u64, key: &[u8], time: Timestamp, weight: u64) -> Update {
        let packed = simd::short_words(key).unwrap_or_default();
        let group = match self.index.find(hash, |g| self.is_key(g, hash, packed, key)) {
            Some(group) => group,
            None => self.insert(hash, packed, key),
        };
        let (n, within, consume, weighted) = (self.n, self.within, self.consume, self.weighted);
        let record = self.record_mut(group);
        let meta = record[META];
        let (mut len, mut head) = ((meta & 0xff) as usize, (meta >> 8 & 0xff) as usize);
        let oldest = time.saturating_sub(within);
        // What has left the window leaves the ring.
        while len > 0 && record[TIMES + head] as i64 <= oldest {
            head = if head + 1 == n { 0 } else { head + 1 };
            len -= 1;
        }
        let mut before = len as u64;
        if weighted {
            before = (0..len).fold(0, |sum: u64, i| sum.saturating_add(record[TIMES + n + (head + i) % n]));
        }
        let armed = meta & ARMED != 0 || before < n as u64;
        if len == n {
            head = if head + 1 == n { 0 } else { head + 1 };
            len -= 1;
        }
        let at = if head + len >= n { head + len - n } else { head + len };
        record[TIMES + at] = time as u64;
        if weighted {
            record[TIMES + n + at] = weight;
        }
        len += 1;
        let total = before.saturating_add(weight);
        let fires = armed && total >= n as u64;
        let first = record[TIMES + head] as i64;
        if fires && consume {
            len = 0;
        }
        // `each_threshold` uses its hits up, and is armed again by the empty window.
        let stays_armed = armed && !fires || consume;
        record[META] = meta & (u64::MAX << 32 | LIVE) | DIRTY | u64::from(stays_armed) << 16 | (head as u64) << 8 | len as u64;
        if meta & DIRTY == 0 {
            self.dirty.push(group);
        }
        Update { group, weight: total, first, fires }
    }

    /// Where the group's newest evidence lies.
    pub fn evidence(&mut self, group: u32) -> &mut u64 {
        &mut self.record_mut(group)[EVIDENCE]
    }

    /// Gives up groups whose window is empty at `now`, now and then; `came` new ones were opened.
    pub fn sweep(&mut self, now: Timestamp, came: usize) {
        for _ in 0..self.hand.steps(self.index.len(), self.len, came) {
            let group = self.hand.next(self.index.len(), self.len) as u32;
            self.remove_if_empty(group, now);
        }
    }

    fn remove_if_empty(&mut self, group: u32, now: Timestamp) {
        if self.newest(group).is_some_and(|newest| newest <= now.saturating_sub(self.within)) {
            self.remove(group);
        }
    }

    /// The newest time of a live group. One whose hits were used up since the last barrier has none: the store still holds them, and
    /// must hear that they are gone before the group may go.
    fn newest(&self, group: u32) -> Option<Timestamp> {
        let record = self.record(group);
        let meta = record[META];
        if meta & LIVE == 0 {
            return None;
        }
        let (len, head) = ((meta & 0xff) as usize, (meta >> 8 & 0xff) as usize);
        if len == 0 {
            return (meta & DIRTY == 0).then_some(Timestamp::MIN);
        }
        Some(record[TIMES + (head + len - 1) % self.n] as i64)
    }

    fn remove(&mut self, group: u32) {
        let hash = self.record(group)[HASH];
        self.index.remove(hash, group);
        self.record_mut(group)[META] = 0;
        self.free.push(group);
    }

    /// Closes the oldest groups until a sixteenth of `limit` is free, and says how many had a hit in their window at `now`.
    pub fn evict(&mut self, limit: usize, now: Timestamp) -> usize {
        (0..self.len as u32).for_each(|group| self.remove_if_empty(group, now));
        if self.len() <= limit {
            return 0;
        }
        let mut newest: Vec<(Timestamp, u32)> = (0..self.len as u32).filter_map(|g| Some((self.newest(g)?, g))).collect();
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
        let groups: &mut dyn Iterator<Item = u32> = if full { &mut (0..self.len as u32) } else { &mut changed.iter().copied() };
        for group in groups {
            let record = self.record(group);
            let meta = record[META];
            if meta & LIVE == 0 {
                continue;
            }
            let (len, head) = ((meta & 0xff) as usize, (meta >> 8 & 0xff) as usize);
            let out = chunks.record();
            out.u64(record[HASH]);
            out.bytes(&self.key(group));
            out.u8(u8::from(meta & ARMED != 0));
            out.u64(record[EVIDENCE]);
            out.u8(len as u8);
            for i in 0..len {
                let at = (head + i) % self.n;
                out.u64(record[TIMES + at]);
                if self.weighted {
                    out.u64(record[TIMES + self.n + at]);
                }
            }
        }
        for group in changed {
            self.record_mut(group)[META] &= !DIRTY;
        }
    }

    /// Reads what [`RingGroups::save`] wrote; `keep` decides by the hash.
    pub fn load(&mut self, from: &mut StateReader<'_>, keep: &dyn Fn(u64) -> bool) -> Result<(), StateError> {
        while !from.is_empty() {
            let hash = from.u64()?;
            let key = from.bytes()?;
            let armed = from.u8()? != 0;
            let evidence = from.u64()?;
            let len = usize::from(from.u8()?);
            if len > self.n {
                return Err(StateError("a saved group holds more hits than its rule counts".into()));
            }
            let mut entries = Vec::with_capacity(len);
            for _ in 0..len {
                entries.push((from.u64()?, if self.weighted { from.u64()? } else { 1 }));
            }
            if !keep(hash) {
                continue;
            }
            let packed = simd::short_words(key).unwrap_or_default();
            let group = match self.index.find(hash, |g| self.is_key(g, hash, packed, key)) {
                Some(group) => group,
                None => self.insert(hash, packed, key),
            };
            let (n, weighted) = (self.n, self.weighted);
            let record = self.record_mut(group);
            record[META] = (key.len() as u64) << 32 | LIVE | u64::from(armed) << 16 | len as u64;
            record[EVIDENCE] = evidence;
            for (i, (time, weight)) in entries.into_iter().enumerate() {
                record[TIMES + i] = time;
                if weighted {
                    record[TIMES + n + i] = weight;
                }
            }
        }
        Ok(())
    }
}
