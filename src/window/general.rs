//! Windows that hold all their hits: sliding, tumbling or sessions, any measure, any trigger, bounds that change.
use std::collections::{BTreeSet, VecDeque};

use super::ranked::{Percent, Ranked};
use super::sweep::Hand;
use super::values::Values;
use crate::clock::{NEVER, Timestamp};
use crate::index::KeyIndex;
use crate::index::ahead::Prefetch;
use crate::simd;
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
    /// Their average.
    Average,
    /// The one at the nearest rank of a percentage.
    Rank(Percent),
}

/// How hits share a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The hits of so long before each one.
    Sliding,
    /// One after another, aligned to the epoch and an offset.
    Tumbling {
        /// Where they begin, from 1970 on.
        offset: i64,
    },
    /// From a hit to a pause, and no longer than a window's length.
    Session {
        /// The pause.
        gap: i64,
    },
}

/// What a window holds of its hits besides their times.
#[derive(Debug)]
enum Gathered {
    Total(i128),
    Values(Values),
    Ranked(Box<Ranked>),
}

impl Gathered {
    fn new(measure: Measure) -> Gathered {
        match measure {
            Measure::Count | Measure::Sum | Measure::Average => Gathered::Total(0),
            Measure::Distinct => Gathered::Values(Values::default()),
            Measure::Rank(percent) => Gathered::Ranked(Box::new(Ranked::new(percent))),
        }
    }

    fn add(&mut self, amount: i128) {
        match self {
            Gathered::Total(total) => *total += amount,
            Gathered::Values(values) => values.add(amount),
            Gathered::Ranked(ranked) => ranked.add(amount),
        }
    }

    fn remove(&mut self, amount: i128) {
        match self {
            Gathered::Total(total) => *total -= amount,
            Gathered::Values(values) => values.remove(amount),
            Gathered::Ranked(ranked) => ranked.remove(amount),
        }
    }
}

/// A measure as a fraction: an average is a sum and how many it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// Above the line.
    pub value: i128,
    /// Below it.
    pub of: i128,
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
#[derive(Debug)]
pub struct Group {
    hash: u64,
    key: Box<[u8]>,
    entries: VecDeque<Entry>,
    gathered: Gathered,
    /// Window of a kind that has a start and an end (which is no longer in it).
    start: Timestamp,
    end: Timestamp,
    /// The last hit, where the window speaks at its end.
    last: Vec<u8>,
    has_timer: bool,
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
    fn new(measure: Measure) -> Group {
        Group {
            hash: 0,
            key: Box::default(),
            entries: VecDeque::new(),
            gathered: Gathered::new(measure),
            start: NEVER,
            end: NEVER,
            last: Vec::new(),
            has_timer: false,
            armed: true,
            fired: NEVER,
            evidence: u64::MAX,
            dirty: false,
            live: false,
        }
    }

    /// A window begins.
    fn begin(&mut self, measure: Measure) {
        self.consume(measure);
        self.armed = true;
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Hash of tenant and key.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The measure of the window as it stands.
    pub fn measure(&self, measure: Measure) -> Measured {
        let value = match &self.gathered {
            Gathered::Total(total) => *total,
            Gathered::Values(values) => values.count() as i128,
            Gathered::Ranked(ranked) => ranked.get().unwrap_or(0),
        };
        Measured { value, of: if measure == Measure::Average { self.entries.len().max(1) as i128 } else { 1 } }
    }

    /// Whether the window holds no hit.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Oldest time in the window.
    pub fn first(&self) -> Timestamp {
        self.entries.front().map_or(NEVER, |e| e.time)
    }

    /// Newest time in the window.
    pub fn newest(&self) -> Timestamp {
        self.entries.back().map_or(NEVER, |e| e.time)
    }

    /// What lies at or before this is not in the window at `time`.
    pub fn since(&self, time: Timestamp, within: i64) -> Timestamp {
        if self.start == NEVER { time.saturating_sub(within) } else { self.start - 1 }
    }

    fn add(&mut self, entry: Entry) {
        self.gathered.add(entry.amount);
        self.entries.push_back(entry);
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.gathered.remove(entry.amount);
        }
    }

    /// Uses the window's hits up.
    pub fn consume(&mut self, measure: Measure) {
        self.entries.clear();
        self.gathered = Gathered::new(measure);
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
    window: Window,
    within: i64,
    hits_max: usize,
    /// Windows speak at their end.
    is_timed: bool,
    /// Ends of windows, less one, by group; a session may go on longer than is written here.
    timers: BTreeSet<(Timestamp, u32)>,
    hand: Hand,
}

impl Prefetch for GeneralGroups {
    #[inline(always)]
    fn index(&self) -> &KeyIndex {
        &self.index
    }

    #[inline(always)]
    fn prefetch_record(&self, group: u32) {
        simd::prefetch(&self.groups, group as usize);
    }
}

impl GeneralGroups {
    /// No groups. `is_timed`: windows speak at their end.
    pub fn new(measure: Measure, window: Window, within: i64, hits_max: usize, is_timed: bool) -> GeneralGroups {
        GeneralGroups {
            index: KeyIndex::default(),
            groups: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            measure,
            window,
            within,
            hits_max,
            is_timed,
            timers: BTreeSet::new(),
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
        let group = &mut self.groups[id as usize];
        match self.window {
            Window::Sliding => {
                let oldest = time.saturating_sub(self.within);
                while group.entries.front().is_some_and(|e| e.time <= oldest) {
                    group.drop_oldest();
                }
            }
            Window::Tumbling { .. } | Window::Session { .. } if time < group.end => {}
            Window::Tumbling { offset } => {
                group.start = time - (time - offset).rem_euclid(self.within);
                group.end = group.start.saturating_add(self.within);
                group.begin(self.measure);
            }
            Window::Session { .. } => {
                (group.start, group.end) = (time, time);
                group.begin(self.measure);
            }
        }
        self.mark(id);
        id
    }

    fn mark(&mut self, id: u32) {
        if !std::mem::replace(&mut self.groups[id as usize].dirty, true) {
            self.dirty.push(id);
        }
    }

    /// Puts a hit into the window. Returns how many old hits its bound pushed out.
    pub fn add(&mut self, id: u32, entry: Entry) -> usize {
        let group = &mut self.groups[id as usize];
        if let Window::Session { gap } = self.window {
            group.end = entry.time.saturating_add(gap).min(group.start.saturating_add(self.within));
        }
        if self.is_timed && !std::mem::replace(&mut group.has_timer, true) {
            self.timers.insert((group.end - 1, id));
        }
        group.add(entry);
        let over = group.entries.len().saturating_sub(self.hits_max);
        (0..over).for_each(|_| group.drop_oldest());
        over
    }

    /// Keeps the last hit of a window that speaks at its end.
    pub fn keep_last(&mut self, id: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let last = &mut self.groups[id as usize].last;
        last.clear();
        write(last);
    }

    /// The earliest time at which a window speaks: the last that is in it.
    pub fn deadline(&mut self) -> Option<Timestamp> {
        loop {
            let (deadline, id) = *self.timers.first()?;
            let group = &self.groups[id as usize];
            // A session went on, or the group was evicted and its number is another's.
            match group.has_timer.then(|| group.end - 1) {
                Some(end) if end <= deadline => return Some(deadline),
                later => {
                    self.timers.pop_first();
                    self.timers.extend(later.map(|end| (end, id)));
                }
            }
        }
    }

    /// The groups whose windows end with the earliest deadline, by key.
    pub fn due(&mut self) -> Vec<u32> {
        let Some(deadline) = self.deadline() else { return Vec::new() };
        let mut due = Vec::new();
        while self.deadline() == Some(deadline)
            && let Some((_, id)) = self.timers.pop_first()
        {
            self.groups[id as usize].has_timer = false;
            due.push(id);
        }
        due.sort_by(|a, b| self.groups[*a as usize].key.cmp(&self.groups[*b as usize].key));
        due
    }

    /// Ends a window that has spoken, and gives its last hit.
    pub fn close(&mut self, id: u32) -> Vec<u8> {
        self.mark(id);
        let group = &mut self.groups[id as usize];
        group.consume(self.measure);
        std::mem::take(&mut group.last)
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
        let fresh = Group { hash, key: key.into(), live: true, ..Group::new(self.measure) };
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
        self.groups[id as usize] = Group::new(self.measure);
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
        let over = group.entries.back().map_or(!group.dirty, |e| match self.window {
            Window::Sliding => e.time <= now.saturating_sub(self.within),
            Window::Tumbling { .. } | Window::Session { .. } => group.end <= now && !group.has_timer,
        });
        if group.live && over && group.fired.saturating_add(per) <= now {
            self.remove(id as u32);
        }
    }

    /// Asks for what a group that was asked for before leads to, for a hit that measures `amount`.
    #[inline(always)]
    pub fn prefetch_rest(&self, id: u32, amount: i128) {
        let group = &self.groups[id as usize];
        simd::prefetch(&group.key, 0);
        let (front, back) = group.entries.as_slices();
        simd::prefetch(front, 0);
        let newest = if back.is_empty() { front } else { back };
        simd::prefetch(newest, newest.len().saturating_sub(1));
        if let Gathered::Values(values) = &group.gathered {
            values.prefetch(amount);
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
            out.i64(group.start);
            out.i64(group.end);
            out.bytes(&group.last);
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
            let (armed, fired, evidence) = (from.u8()? != 0, from.i64()?, from.u64()?);
            let (start, end, last, len) = (from.i64()?, from.i64()?, from.bytes()?, from.u32()?);
            let id = keep(hash).then(|| self.open(hash, key));
            if let Some(id) = id {
                let group = &mut self.groups[id as usize];
                group.consume(self.measure);
                (group.armed, group.fired, group.evidence) = (armed, fired, evidence);
                (group.start, group.end, group.last) = (start, end, last.to_vec());
                group.has_timer = self.is_timed && len > 0;
                self.timers.extend(group.has_timer.then(|| (end - 1, id)));
            }
            for _ in 0..len {
                let entry = Entry { time: from.i64()?, amount: from.u128()? as i128 };
                if let Some(id) = id {
                    self.groups[id as usize].add(entry);
                }
            }
        }
        Ok(())
    }
}
