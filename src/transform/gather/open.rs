//! The events that are being gathered, by key: found by hash, closed in the order in which they were begun.
use std::collections::VecDeque;
use std::ops::Range;

use crate::clock::Timestamp;
use crate::index::KeyIndex;
use crate::index::ahead::Prefetch;
use crate::state::{Chunks, StateError, StateReader, StateWriter};
use crate::window::blocks::{Blocks, Chain};
use crate::window::chunked::Chunked;

/// What came of one key so far.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
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
    /// What it keeps is one event, which is said as it stands.
    pub is_plain: bool,
    is_dirty: bool,
    /// A save has it.
    is_saved: bool,
    key_len: u32,
    /// The key, then each kept part behind its length.
    kept: Chain,
    /// Counts up when the place is used again.
    generation: u32,
}

impl Group {
    fn is_open(&self) -> bool {
        self.parts > 0
    }
}

/// Makes a part that [`OpenGroups::keep`] takes, in place of what `out` holds.
pub fn frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let len = (out.len() - 4) as u32;
    out[..4].copy_from_slice(&len.to_le_bytes());
}

/// The kept parts among the bytes of a group behind its key.
pub fn parts(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, after) = bytes.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        bytes = after;
        Some(part)
    })
}

/// See the module.
#[derive(Debug, Default)]
pub struct OpenGroups {
    index: KeyIndex,
    groups: Chunked<Group>,
    blocks: Blocks,
    /// Sums of a group in units of 10⁻⁹, of what had a value: as many for each as there are sums.
    sums: Vec<Option<i128>>,
    sums_each: usize,
    free: Vec<u32>,
    /// Begun groups, oldest first: time, number, generation. A closed one's entry is skipped.
    order: VecDeque<(Timestamp, u32, u32)>,
    dirty: Vec<u32>,
    /// Hashes and keys that were closed since the last save.
    closed: StateWriter,
    scratch: Vec<u8>,
}

/// Where the sums of a group stand, of which each has so many.
fn sums_of(number: u32, each: usize) -> Range<usize> {
    let from = number as usize * each;
    from..from + each
}

impl Prefetch for OpenGroups {
    #[inline(always)]
    fn index(&self) -> &KeyIndex {
        &self.index
    }

    #[inline(always)]
    fn prefetch_record(&self, number: u32) {
        self.groups.prefetch(number);
    }
}

impl OpenGroups {
    /// No groups; each will have so many sums.
    pub fn new(sums_each: usize) -> OpenGroups {
        OpenGroups { sums_each, ..OpenGroups::default() }
    }

    /// Open groups.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Asks for what a group that was asked for before keeps.
    #[inline(always)]
    pub fn prefetch_kept(&self, number: u32) {
        self.blocks.prefetch(&self.groups[number].kept);
    }

    /// The number of a key's group.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.index.find(hash, |g| {
            let group = &self.groups[g];
            group.hash == hash && group.key_len as usize == key.len() && self.blocks.starts_with(&group.kept, key)
        })
    }

    /// A group, to change it.
    #[inline]
    pub fn get(&mut self, number: u32) -> &mut Group {
        let group = &mut self.groups[number];
        if !std::mem::replace(&mut group.is_dirty, true) {
            self.dirty.push(number);
        }
        group
    }

    /// Its sums.
    pub fn sums(&mut self, number: u32) -> &mut [Option<i128>] {
        &mut self.sums[sums_of(number, self.sums_each)]
    }

    /// Keeps a part, of [`frame`], in a group.
    pub fn keep(&mut self, number: u32, part: &[u8]) {
        self.blocks.append(&mut self.groups[number].kept, part);
    }

    /// Keeps a part in place of all that a group keeps.
    pub fn keep_only(&mut self, number: u32, part: &[u8]) {
        let group = &mut self.groups[number];
        self.blocks.truncate(&mut group.kept, group.key_len as usize);
        self.keep(number, part);
    }

    /// Appends what a group keeps, for [`parts`].
    pub fn read(&self, number: u32, out: &mut Vec<u8>) {
        let group = &self.groups[number];
        self.blocks.read(&group.kept, group.key_len as usize, out);
    }

    /// Bytes that a group keeps.
    pub fn size(&self, number: u32) -> usize {
        self.groups[number].kept.len()
    }

    /// Begins a group of a key that has none.
    pub fn open(&mut self, hash: u64, key: &[u8], first: Timestamp) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.sums.resize((self.groups.len() + 1) * self.sums_each, None);
            self.groups.push(Group::default())
        });
        self.sums(number).fill(None);
        let group = &mut self.groups[number];
        (group.hash, group.first, group.last) = (hash, first, first);
        (group.parts, group.weight, group.started, group.is_plain, group.is_saved) = (0, 0, false, false, false);
        group.key_len = key.len() as u32;
        group.generation = group.generation.wrapping_add(1);
        self.blocks.append(&mut group.kept, key);
        self.index.insert(hash, number);
        self.order.push_back((first, number, group.generation));
        number
    }

    /// A group and its sums, to read them.
    pub fn group(&self, number: u32) -> (&Group, &[Option<i128>]) {
        (&self.groups[number], &self.sums[sums_of(number, self.sums_each)])
    }

    /// Ends a group.
    pub fn close(&mut self, number: u32) {
        let group = &self.groups[number];
        // Of one that came and went between two saves nobody knows.
        if group.is_saved {
            let key = &mut self.scratch;
            key.clear();
            self.blocks.read(&group.kept, 0, key);
            self.closed.u64(group.hash);
            self.closed.bytes(&key[..group.key_len as usize]);
        }
        self.remove(number);
        while let Some((_, number, generation)) = self.order.front() {
            let group = &self.groups[*number];
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
        let mut closed = StateReader::new(&closed.bytes);
        while !full && let (Ok(hash), Ok(key)) = (closed.u64(), closed.bytes()) {
            let out = chunks.record();
            out.u64(hash);
            out.u32(0);
            out.bytes(key);
        }
        let all = if full { (0..self.groups.len() as u32).collect() } else { Vec::new() };
        let mut kept = Vec::new();
        for number in all.iter().chain(dirty.iter().filter(|_| !full)) {
            let group = &mut self.groups[*number];
            if !group.is_open() {
                continue;
            }
            group.is_saved = true;
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
            for sum in &self.sums[sums_of(*number, self.sums_each)] {
                out.u8(u8::from(sum.is_some()));
                out.u128(sum.unwrap_or(0) as u128);
            }
            kept.clear();
            self.blocks.read(&group.kept, 0, &mut kept);
            let (key, parts) = kept.split_at(group.key_len as usize);
            out.bytes(key);
            out.bytes(parts);
        }
        dirty.into_iter().for_each(|number| self.groups[number].is_dirty = false);
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
            let mut sums = Vec::new();
            for _ in 0..self.sums_each {
                let (is_some, sum) = (from.u8()? != 0, from.u128()? as i128);
                sums.push(is_some.then_some(sum));
            }
            let (key, kept) = (from.bytes()?, from.bytes()?);
            if !keep(hash) {
                continue;
            }
            if let Some(known) = self.find(hash, key) {
                self.remove(known);
            }
            let number = self.open(hash, key, read.first);
            self.sums(number).copy_from_slice(&sums);
            let group = &mut self.groups[number];
            self.blocks.append(&mut group.kept, kept);
            *group = Group { kept: group.kept, key_len: group.key_len, generation: group.generation, is_saved: true, ..read };
        }
        Ok(())
    }

    /// After the last [`OpenGroups::load`]: groups stand in the order in which they were begun.
    pub fn settle(&mut self) {
        let groups = &self.groups;
        self.order.retain(|(_, number, generation)| {
            let group = &groups[*number];
            group.generation == *generation && group.is_open()
        });
        self.order.make_contiguous().sort_by_key(|(first, number, _)| (*first, groups[*number].ids.0));
    }

    fn remove(&mut self, number: u32) {
        let group = &mut self.groups[number];
        group.parts = 0;
        self.index.remove(group.hash, number);
        self.blocks.free(&mut group.kept);
        self.free.push(number);
    }
}
