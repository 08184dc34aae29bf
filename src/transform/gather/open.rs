//! The events that are being gathered, by key: found by hash, closed in the order in which they were begun.
use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::simd;
use crate::state::{Chunks, StateError, StateReader};
use crate::window::key_index::KeyIndex;

/// What came of one key so far.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Hash of the key.
    pub hash: u64,
    /// Times of the earliest and the latest part.
    pub first: Timestamp,
    /// See `first`.
    pub last: Timestamp,
    /// Place of the latest part in the order.
    pub tie: u128,
    /// Ids of the first and the last part.
    pub ids: (u128, u128),
    /// Weight of the parts.
    pub weight: u64,
    /// How many there are.
    pub parts: u32,
    /// Its beginning was seen.
    pub started: bool,
    /// Sums in units of 10⁻⁹, of what had a value.
    pub sums: Vec<Option<i128>>,
    /// The key, then each kept part behind its length.
    bytes: Vec<u8>,
    key_len: u32,
    /// Counts up when the place is used again.
    generation: u32,
    is_dirty: bool,
}

impl Group {
    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len as usize]
    }

    /// The kept parts.
    pub fn kept(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[self.key_len as usize..];
        std::iter::from_fn(move || {
            let (len, after) = rest.split_first_chunk::<4>()?;
            let (part, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = after;
            Some(part)
        })
    }

    /// Keeps a part that `write` writes.
    pub fn keep(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let len = (self.bytes.len() - at - 4) as u32;
        self.bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Lets go of the kept parts.
    pub fn forget_parts(&mut self) {
        self.bytes.truncate(self.key_len as usize);
    }

    /// Bytes that it holds.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn is_open(&self) -> bool {
        self.parts > 0
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct OpenGroups {
    index: KeyIndex,
    groups: Vec<Group>,
    free: Vec<u32>,
    /// Begun groups, oldest first: time, number, generation. A closed one's entry is skipped.
    order: VecDeque<(Timestamp, u32, u32)>,
    dirty: Vec<u32>,
    /// Closed since the last save.
    closed: Vec<(u64, Box<[u8]>)>,
}

impl OpenGroups {
    /// Open groups.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Asks for the memory of groups that are soon looked for.
    #[inline]
    pub fn prefetch(&self, far: Option<u64>, near: Option<u64>) {
        if let Some(hash) = far {
            self.index.prefetch(hash);
        }
        if let Some(group) = near.and_then(|hash| self.index.guess(hash)) {
            simd::prefetch(&self.groups, group as usize);
        }
    }

    /// The number of a key's group.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |g| {
            let group = &self.groups[g as usize];
            group.hash == hash && group.key() == key
        })
    }

    /// A group, to change it.
    #[inline]
    pub fn get(&mut self, number: u32) -> &mut Group {
        let group = &mut self.groups[number as usize];
        if !std::mem::replace(&mut group.is_dirty, true) {
            self.dirty.push(number);
        }
        group
    }

    /// Begins a group of a key that has none.
    pub fn open(&mut self, hash: u64, key: &[u8], first: Timestamp) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            (self.groups.len() - 1) as u32
        });
        let group = &mut self.groups[number as usize];
        (group.hash, group.first, group.last) = (hash, first, first);
        (group.parts, group.weight, group.started) = (0, 0, false);
        group.sums.clear();
        group.bytes.clear();
        group.bytes.extend_from_slice(key);
        group.key_len = key.len() as u32;
        group.generation = group.generation.wrapping_add(1);
        self.index.insert(hash, number);
        self.order.push_back((first, number, group.generation));
        number
    }

    /// A group, to read it.
    pub fn group(&self, number: u32) -> &Group {
        &self.groups[number as usize]
    }

    /// Ends a group.
    pub fn close(&mut self, number: u32) {
        self.closed.push((self.group(number).hash, self.group(number).key().into()));
        self.remove(number);
        while let Some((_, number, generation)) = self.order.front() {
            let group = &self.groups[*number as usize];
            if group.generation == *generation && group.is_open() {
                break;
            }
            self.order.pop_front();
        }
    }

    /// The oldest group, and when it began.
    #[inline]
    pub fn oldest(&self) -> Option<(Timestamp, u32)> {
        self.order.front().map(|(first, number, _)| (*first, *number))
    }

    /// Writes all groups, or those that changed and the keys that were closed since the last call.
    pub fn save(&mut self, full: bool, chunks: &mut Chunks) {
        let closed = std::mem::take(&mut self.closed);
        let dirty = std::mem::take(&mut self.dirty);
        if !full {
            for (hash, key) in closed {
                let out = chunks.record();
                out.u64(hash);
                out.u32(0);
                out.bytes(&key);
            }
        }
        let all = if full { (0..self.groups.len() as u32).collect() } else { Vec::new() };
        for number in all.iter().chain(dirty.iter().filter(|_| !full)) {
            let group = &self.groups[*number as usize];
            if !group.is_open() {
                continue;
            }
            let out = chunks.record();
            out.u64(group.hash);
            out.u32(group.parts);
            out.i64(group.first);
            out.i64(group.last);
            out.u128(group.tie);
            out.u128(group.ids.0);
            out.u128(group.ids.1);
            out.u64(group.weight);
            out.u8(u8::from(group.started));
            out.u32(group.sums.len() as u32);
            for sum in &group.sums {
                out.u8(u8::from(sum.is_some()));
                out.u128(sum.unwrap_or(0) as u128);
            }
            out.u32(group.key_len);
            out.bytes(&group.bytes);
        }
        dirty.into_iter().for_each(|number| self.groups[number as usize].is_dirty = false);
    }

    /// Reads what [`OpenGroups::save`] wrote, oldest first.
    pub fn load(&mut self, from: &mut StateReader<'_>, keep: &dyn Fn(u64) -> bool) -> Result<(), StateError> {
        while !from.is_empty() {
            let (hash, parts) = (from.u64()?, from.u32()?);
            if parts == 0 {
                if let Some(known) = self.find(hash, from.bytes()?) {
                    self.remove(known);
                }
                continue;
            }
            let mut read = Group { hash, parts, first: from.i64()?, last: from.i64()?, tie: from.u128()?, ..Group::default() };
            read.ids = (from.u128()?, from.u128()?);
            (read.weight, read.started) = (from.u64()?, from.u8()? != 0);
            for _ in 0..from.u32()? {
                let (is_some, sum) = (from.u8()? != 0, from.u128()? as i128);
                read.sums.push(is_some.then_some(sum));
            }
            let key_len = from.u32()?;
            let bytes = from.bytes()?;
            let key = bytes.get(..key_len as usize).ok_or_else(|| StateError("a key is longer than its group".into()))?;
            if !keep(hash) {
                continue;
            }
            if let Some(known) = self.find(hash, key) {
                self.remove(known);
            }
            let number = self.open(hash, key, read.first);
            let group = &mut self.groups[number as usize];
            *group = Group { bytes: bytes.to_vec(), key_len, generation: group.generation, ..read };
        }
        Ok(())
    }

    /// After the last [`OpenGroups::load`]: groups stand in the order in which they were begun.
    pub fn settle(&mut self) {
        let groups = &self.groups;
        self.order.retain(|(_, number, generation)| {
            let group = &groups[*number as usize];
            group.generation == *generation && group.is_open()
        });
        self.order.make_contiguous().sort_by_key(|(first, number, _)| (*first, groups[*number as usize].ids.0));
        self.closed.clear();
    }

    fn remove(&mut self, number: u32) {
        let group = &mut self.groups[number as usize];
        group.parts = 0;
        self.index.remove(group.hash, number);
        self.free.push(number);
    }
}
