//! Sliding windows that hold all their hits: any measure, any trigger, bounds that change.
use std::collections::VecDeque;

use super::key_index::KeyIndex;
use super::sweep::Hand;
use super::values::Values;
use crate::clock::{NEVER, Timestamp};
use crate::state::{Chunks, StateError, StateReader};

/// What a window measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Sum of weights.
    Count,
    /// Number of different values.
    Distinct,
    /// Sum of values, in units of 10⁻⁹.
    Sum,
}

/// One hit in a window. `amount`: weight, or hash of the value, or value in units of 10⁻⁹.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The time that it counts with.
    pub time: Timestamp,
    /// See [`Entry`].
    pub amount: i128,
}

/// One group.
#[derive(Debug, Default)]
pub struct Group {
    hash: u64,
    key: Box<[u8]>,
    entries: VecDeque<Entry>,
    total: i128,
    values: Values,
    /// Whether the next time that the bound is met fires.
    pub armed: bool,
    /// Time of the last firing.
    pub fired: Timestamp,
    /// Where the newest evidence lies.
    pub evidence: u64,
    dirty: bool,
    live: bool,
}

impl Group {
    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The measure of the window as it stands.
    pub fn measure(&self, measure: Measure) -> i128 {
        match measure {
            Measure::Distinct => self.values.count() as i128,
            Measure::Count | Measure::Sum => self.total,
        }
    }

    /// Whether the window holds no hit.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Oldest time in the window.
    pub fn first(&self) -> Timestamp {
        self.entries.front().map_or(NEVER, |e| e.time)
    }

    fn add(&mut self, measure: Measure, entry: Entry) {
        match measure {
            Measure::Distinct => self.values.add(entry.amount),
            Measure::Count | Measure::Sum => self.total += entry.amount,
        }
        self.entries.push_back(entry);
    }

    fn drop_oldest(&mut self, measure: Measure) {
        let Some(entry) = self.entries.pop_front() else { return };
        match measure {
            Measure::Distinct => self.values.remove(entry.amount),
            Measure::Count | Measure::Sum => self.total -= entry.amount,
        }
    }

    /// Uses the window's hits up.
    pub fn consume(&mut self) {
        self.entries.clear();
        self.values.clear();
        self.total = 0;
    }
}

/// Groups of one rule in one shard.
#[derive(Debug)]
pub struct GeneralGroups {
    index: KeyIndex,
    groups: Vec<Group>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    measure: Measure,
    within: i64,
    hits_max: usize,
    hand: Hand,
}

impl GeneralGroups {
    /// No groups.
    pub fn new(measure: Measure, within: i64, hits_max: usize) -> GeneralGroups {
        GeneralGroups {
            index: KeyIndex::default(),
            groups: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            measure,
            within,
            hits_max,
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

    /// The group of a key with its window moved to `time`: what stands before the hit.
    pub fn before(&mut self, hash: u64, key: &[u8], time: Timestamp) -> u32 {
        let id = self.open(hash, key);
        let (measure, within) = (self.measure, self.within);
        let group = &mut self.groups[id as usize];
        let oldest = time.saturating_sub(within);
        while group.entries.front().is_some_and(|e| e.time <= oldest) {
            group.drop_oldest(measure);
        }
        if !group.dirty {
            group.dirty = true;
            self.dirty.push(id);
        }
        id
    }

    /// Puts a hit into the window. Returns how many old hits its bound pushed out.
    pub fn add(&mut self, id: u32, entry: Entry) -> usize {
        let group = &mut self.groups[id as usize];
        group.add(self.measure, entry);
        let over = group.entries.len().saturating_sub(self.hits_max);
        (0..over).for_each(|_| group.drop_oldest(self.measure));
        over
    }

    /// A group.
    pub fn group(&mut self, id: u32) -> &mut Group {
        &mut self.groups[id as usize]
    }

    fn open(&mut self, hash: u64, key: &[u8]) -> u32 {
        let groups = &self.groups;
        if let Some(id) = self.index.find(hash, |g| *groups[g as usize].key == *key) {
            return id;
        }
        let fresh = Group { hash, key: key.into(), armed: true, fired: NEVER, evidence: u64::MAX, live: true, ..Group::default() };
        let id = match self.free.pop() {
            Some(id) => {
                self.groups[id as usize] = fresh;
                id
            }
            None => {
                self.groups.push(fresh);
                (self.groups.len() - 1) as u32
            }
        };
        self.index.insert(hash, id);
        id
    }

    fn remove(&mut self, id: u32) {
        self.index.remove(self.groups[id as usize].hash, id);
        self.groups[id as usize] = Group::default();
        self.free.push(id);
    }

    /// Gives up groups whose window is empty at `now` and whose last firing no longer matters, now and then; `came` new ones were opened.
    pub fn sweep(&mut self, now: Timestamp, per: i64, came: usize) {
        for _ in 0..self.hand.steps(self.index.len(), self.groups.len(), came) {
            let id = self.hand.next(self.index.len(), self.groups.len());
            self.remove_if_empty(id, now, per);
        }
    }

    fn remove_if_empty(&mut self, id: usize, now: Timestamp, per: i64) {
        let group = &self.groups[id];
        // Of a group whose hits were used up the store must hear first, or a restart would bring them back.
        let over = group.entries.back().map_or(!group.dirty, |e| e.time <= now.saturating_sub(self.within));
        if group.live && over && group.fired.saturating_add(per) <= now {
            self.remove(id as u32);
        }
    }

    /// Asks for the memory that a hit will need.
    #[inline(always)]
    pub fn prefetch(&self, far: Option<u64>, near: Option<(u64, i128)>) {
        if let Some(hash) = far {
            self.index.prefetch(hash);
        }
        if let Some((hash, amount)) = near
            && let Some(id) = self.index.guess(hash)
            && self.measure == Measure::Distinct
        {
            self.groups[id as usize].values.prefetch(amount);
        }
    }

    /// Closes the oldest groups until a sixteenth of `limit` is free, and says how many had a hit in their window at `now`.
    pub fn evict(&mut self, limit: usize, now: Timestamp, per: i64) -> usize {
        (0..self.groups.len()).for_each(|id| self.remove_if_empty(id, now, per));
        if self.len() <= limit {
            return 0;
        }
        let live = self.groups.iter().enumerate().filter(|(_, g)| g.live);
        let mut newest: Vec<(Timestamp, u32)> = live.map(|(i, g)| (g.entries.back().map_or(NEVER, |e| e.time), i as u32)).collect();
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
        let ids: &mut dyn Iterator<Item = u32> = if full { &mut (0..self.groups.len() as u32) } else { &mut changed.iter().copied() };
        for id in ids {
            let group = &self.groups[id as usize];
            if !group.live {
                continue;
            }
            let out = chunks.record();
            out.u64(group.hash);
            out.bytes(&group.key);
            out.u8(u8::from(group.armed));
            out.i64(group.fired);
            out.u64(group.evidence);
            out.u32(group.entries.len() as u32);
            for entry in &group.entries {
                out.i64(entry.time);
                out.u128(entry.amount as u128);
            }
        }
        for id in changed {
            self.groups[id as usize].dirty = false;
        }
    }

    /// Reads what [`GeneralGroups::save`] wrote; `keep` decides by the hash.
    pub fn load(&mut self, from: &mut StateReader<'_>, keep: &dyn Fn(u64) -> bool) -> Result<(), StateError> {
        while !from.is_empty() {
            let hash = from.u64()?;
            let key = from.bytes()?;
            let (armed, fired, evidence, len) = (from.u8()? != 0, from.i64()?, from.u64()?, from.u32()?);
            let id = keep(hash).then(|| self.open(hash, key));
            if let Some(id) = id {
                let group = &mut self.groups[id as usize];
                group.consume();
                (group.armed, group.fired, group.evidence) = (armed, fired, evidence);
            }
            for _ in 0..len {
                let entry = Entry { time: from.i64()?, amount: from.u128()? as i128 };
                if let Some(id) = id {
                    self.groups[id as usize].add(self.measure, entry);
                }
            }
        }
        Ok(())
    }
}
