//! The texts that an alert shows: one ring of bytes per shard, records of a group chained from the newest back.
//!
//! A record is `previous · hash · time · origin · position · length · text`. The oldest records are overwritten first; an alert says how many were.
use std::collections::VecDeque;

use crate::clock::Timestamp;
use crate::state::{Chunks, StateError, StateReader};

/// No evidence.
pub const NONE: u64 = u64::MAX;

/// One kept event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    previous: u64,
    /// Hash of the group's key.
    pub hash: u64,
    /// The time that it counts with.
    pub time: Timestamp,
    /// Number of its partition.
    pub partition: u32,
    /// Number of its origin.
    pub origin: u32,
    /// Position in the partition.
    pub position: u64,
    /// Where the raw text lies: number of the page, place in it.
    page: u64,
    at: u32,
    len: u32,
}

/// Bytes of a record besides its text.
const RECORD_BYTES: usize = std::mem::size_of::<Evidence>();

/// Bytes of a page, which a longer text has for itself.
const PAGE: usize = 1 << 16;

/// See the module.
#[derive(Debug)]
pub struct EvidenceRing {
    records: VecDeque<Evidence>,
    /// Number of the oldest record.
    first: u64,
    /// The texts, one behind the other.
    pages: VecDeque<Vec<u8>>,
    first_page: u64,
    spare: Vec<Vec<u8>>,
    bytes: usize,
    bytes_max: usize,
    /// Number of the first record that was not saved yet.
    unsaved: u64,
}

impl EvidenceRing {
    /// An empty ring of a bounded size.
    pub fn new(bytes_max: usize) -> EvidenceRing {
        EvidenceRing {
            records: VecDeque::new(),
            first: 0,
            pages: VecDeque::new(),
            first_page: 0,
            spare: Vec::new(),
            bytes: 0,
            bytes_max,
            unsaved: 0,
        }
    }

    /// The raw text of a record.
    pub fn text(&self, record: &Evidence) -> &[u8] {
        let page = record.page.checked_sub(self.first_page).and_then(|at| self.pages.get(at as usize));
        page.and_then(|page| page.get(record.at as usize..(record.at + record.len) as usize)).unwrap_or_default()
    }

    /// Puts a record and its text behind the others, and gives up the oldest where there are too many bytes.
    fn keep(&mut self, record: Evidence, text: &[u8]) {
        let (page, at) = self.put(text);
        self.bytes += RECORD_BYTES + text.len();
        self.records.push_back(Evidence { page, at, len: text.len() as u32, ..record });
        // The newest stays, however long it is: a ring that was empty when it was saved would count from the start again.
        while self.bytes > self.bytes_max && self.records.len() > 1 {
            self.drop_first();
        }
    }

    /// Puts a text behind the others and says where it lies.
    fn put(&mut self, text: &[u8]) -> (u64, u32) {
        let has_room = self.pages.back().is_some_and(|page| page.capacity() - page.len() >= text.len());
        if !has_room {
            let fresh = self.spare.pop().filter(|page| page.capacity() >= text.len());
            self.pages.push_back(fresh.unwrap_or_else(|| Vec::with_capacity(PAGE.max(text.len()))));
        }
        let number = self.first_page + self.pages.len() as u64 - 1;
        let Some(page) = self.pages.back_mut() else { return (number, 0) };
        page.extend_from_slice(text);
        (number, (page.len() - text.len()) as u32)
    }

    /// Gives up the oldest record, and the pages before the one that is the oldest then.
    fn drop_first(&mut self) -> bool {
        let Some(old) = self.records.pop_front() else { return false };
        self.first += 1;
        self.bytes -= RECORD_BYTES + old.len as usize;
        let needed = self.records.front().map_or(self.first_page + self.pages.len() as u64, |first| first.page);
        while self.first_page < needed {
            self.first_page += 1;
            let Some(mut page) = self.pages.pop_front() else { break };
            if self.spare.is_empty() && page.capacity() == PAGE {
                page.clear();
                self.spare.push(page);
            }
        }
        true
    }

    /// Keeps an event; `newest` is its group's newest record before and after.
    pub fn push(&mut self, newest: &mut u64, hash: u64, time: Timestamp, place: (u32, u32, u64), text: &[u8]) {
        let (partition, origin, position) = place;
        self.keep(Evidence { previous: *newest, hash, time, partition, origin, position, page: 0, at: 0, len: 0 }, text);
        *newest = self.first + self.records.len() as u64 - 1;
        self.unsaved = self.unsaved.max(self.first);
    }

    /// Puts the newest records of a group that are younger than `oldest` in the place of `out`, by number, oldest first. Says whether older ones were
    /// pushed out.
    pub fn chain(&self, newest: u64, hash: u64, oldest: Timestamp, most: usize, out: &mut Vec<u64>) -> bool {
        out.clear();
        let mut at = newest;
        let mut pushed_out = false;
        while at != NONE && out.len() < most {
            let Some(record) = self.get(at) else {
                pushed_out = true;
                break;
            };
            if record.hash != hash || record.time <= oldest {
                break;
            }
            out.push(at);
            at = record.previous;
        }
        out.reverse();
        pushed_out
    }

    /// A record that was not pushed out.
    pub fn get(&self, number: u64) -> Option<&Evidence> {
        number.checked_sub(self.first).and_then(|i| self.records.get(i as usize))
    }

    /// Writes all records, or those since the last call.
    pub fn save(&mut self, full: bool, chunks: &mut Chunks) {
        let from = if full { self.first } else { self.unsaved };
        for (i, record) in self.records.iter().enumerate().skip((from - self.first) as usize) {
            let out = chunks.record();
            out.u64(self.first + i as u64);
            out.u64(record.previous);
            out.u64(record.hash);
            out.i64(record.time);
            out.u32(record.partition);
            out.u32(record.origin);
            out.u64(record.position);
            out.bytes(self.text(record));
        }
        self.unsaved = self.first + self.records.len() as u64;
    }

    /// Reads what [`EvidenceRing::save`] wrote behind what is there.
    pub fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        while !from.is_empty() {
            let number = from.u64()?;
            if number != self.first + self.records.len() as u64 {
                // A gap: records that were pushed out before they were saved. What is older cannot be reached any more.
                while self.drop_first() {}
                self.first = number;
            }
            let (previous, hash, time) = (from.u64()?, from.u64()?, from.i64()?);
            let (partition, origin, position) = (from.u32()?, from.u32()?, from.u64()?);
            self.keep(Evidence { previous, hash, time, partition, origin, position, page: 0, at: 0, len: 0 }, from.bytes()?);
        }
        self.unsaved = self.first + self.records.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chains_are_what_was_kept_and_not_pushed_out(
            steps in prop::collection::vec((0u64..5, 0i64..3, prop_oneof![8 => 0usize..300, 1 => Just(PAGE / 3), 1 => Just(2 * PAGE)]), 1..120),
            bytes_max in prop_oneof![Just(2_000usize), Just(4 * PAGE)], full: bool) {
            let mut ring = EvidenceRing::new(bytes_max);
            let mut newest = [NONE; 5];
            let mut kept: VecDeque<(u64, i64, Vec<u8>)> = VecDeque::new();
            let mut saved: Vec<Vec<u8>> = Vec::new();
            let mut time = 0;
            for (number, (group, step, len)) in steps.into_iter().enumerate() {
                time += step;
                let text = vec![number as u8; len];
                ring.push(&mut newest[group as usize], group, time, (0, 0, number as u64), &text);
                kept.push_back((group, time, text));
                let size = |kept: &VecDeque<(u64, i64, Vec<u8>)>| kept.iter().map(|k| RECORD_BYTES + k.2.len()).sum::<usize>();
                while size(&kept) > bytes_max && kept.len() > 1 {
                    kept.pop_front();
                }
                if number % 7 == 6 {
                    let mut chunks = Chunks::default();
                    chunks.begin(0);
                    ring.save(full, &mut chunks);
                    if full {
                        saved.clear();
                    }
                    saved.extend(chunks.pieces.into_iter().map(|piece| piece.bytes[1..].to_vec()));
                    let mut read = EvidenceRing::new(bytes_max);
                    saved.iter().try_for_each(|piece| read.load(&mut StateReader::new(piece))).unwrap();
                    ring = read;
                }
                let mut found = Vec::new();
                ring.chain(newest[group as usize], group, time - 4, 9, &mut found);
                let texts: Vec<&[u8]> = found.iter().map(|at| ring.text(ring.get(*at).unwrap())).collect();
                let mut expected: Vec<&[u8]> = kept.iter().filter(|k| k.0 == group && k.1 > time - 4).map(|k| k.2.as_slice()).collect();
                expected.drain(..expected.len().saturating_sub(9));
                prop_assert_eq!(texts.len(), expected.len());
                prop_assert!(texts == expected);
                prop_assert!(ring.pages.iter().map(Vec::capacity).sum::<usize>() <= 2 * ring.bytes.max(bytes_max) + 4 * PAGE);
            }
        }
    }
}
