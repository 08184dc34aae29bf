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
    /// The raw text.
    pub text: Box<[u8]>,
}

/// Bytes of a record besides its text.
const RECORD_BYTES: usize = std::mem::size_of::<Evidence>();

/// See the module.
#[derive(Debug)]
pub struct EvidenceRing {
    records: VecDeque<Evidence>,
    /// Number of the oldest record.
    first: u64,
    bytes: usize,
    bytes_max: usize,
    /// Number of the first record that was not saved yet.
    unsaved: u64,
    spare: Vec<Box<[u8]>>,
}

impl EvidenceRing {
    /// An empty ring of a bounded size.
    pub fn new(bytes_max: usize) -> EvidenceRing {
        EvidenceRing { records: VecDeque::new(), first: 0, bytes: 0, bytes_max, unsaved: 0, spare: Vec::new() }
    }

    /// Keeps an event; `newest` is its group's newest record before and after.
    pub fn push(&mut self, newest: &mut u64, hash: u64, time: Timestamp, place: (u32, u32, u64), text: &[u8]) {
        let (partition, origin, position) = place;
        // A buffer of the right size is used again: a steady stream of equal lines allocates nothing.
        let text = match self.spare.pop() {
            Some(mut buffer) if buffer.len() == text.len() => {
                buffer.copy_from_slice(text);
                buffer
            }
            _ => text.into(),
        };
        self.bytes += RECORD_BYTES + text.len();
        self.records.push_back(Evidence { previous: *newest, hash, time, partition, origin, position, text });
        *newest = self.first + self.records.len() as u64 - 1;
        while self.bytes > self.bytes_max {
            let Some(old) = self.records.pop_front() else { break };
            self.first += 1;
            self.bytes -= RECORD_BYTES + old.text.len();
            if self.spare.len() < 64 {
                self.spare.push(old.text);
            }
        }
        self.unsaved = self.unsaved.max(self.first);
    }

    /// The newest records of a group that are younger than `oldest`, oldest first, and whether older ones were pushed out.
    pub fn chain(&self, newest: u64, hash: u64, oldest: Timestamp, most: usize) -> (Vec<&Evidence>, bool) {
        let mut out = Vec::new();
        let mut at = newest;
        let mut pushed_out = false;
        while at != NONE && out.len() < most {
            let Some(record) = at.checked_sub(self.first).and_then(|i| self.records.get(i as usize)) else {
                pushed_out = true;
                break;
            };
            if record.hash != hash || record.time <= oldest {
                break;
            }
            out.push(record);
            at = record.previous;
        }
        out.reverse();
        (out, pushed_out)
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
            out.bytes(&record.text);
        }
        self.unsaved = self.first + self.records.len() as u64;
    }

    /// Reads what [`EvidenceRing::save`] wrote behind what is there.
    pub fn load(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        while !from.is_empty() {
            let number = from.u64()?;
            if number != self.first + self.records.len() as u64 {
                // A gap: records that were pushed out before they were saved. What is older cannot be reached any more.
                self.records.clear();
                self.bytes = 0;
                self.first = number;
            }
            let (previous, hash, time) = (from.u64()?, from.u64()?, from.i64()?);
            let (partition, origin, position) = (from.u32()?, from.u32()?, from.u64()?);
            let text: Box<[u8]> = from.bytes()?.into();
            self.bytes += RECORD_BYTES + text.len();
            self.records.push_back(Evidence { previous, hash, time, partition, origin, position, text });
        }
        self.unsaved = self.first + self.records.len() as u64;
        Ok(())
    }
}
