//! A rule in two halves: an extractor in each lane finds the hits, a correlator per shard takes them in order and fires.
use std::ops::Range;
use std::sync::Arc;

use crate::clock::{NEVER, Timestamp};
use crate::event::builder::Positions;
use crate::event::{Batch, Input, Lines, Origin};
use crate::limits::KEY_GROUPS;
use crate::state::{Chunks, OwnRows, StateError};
use crate::window::watermark::Activity;

/// Which shard owns a hash: its upper byte is the key group. Extractors send by it, and shards load their state by it.
#[inline(always)]
pub fn shard_of(hash: u64, shards: usize) -> usize {
    (hash >> 56) as usize * shards / KEY_GROUPS
}

/// The parts of a key.
pub fn key_parts(mut key: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (head, rest) = key.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*head)))?;
        key = rest;
        Some(part)
    })
}

/// Appends a part to a key. A part longer than a key can hold is cut.
#[inline]
pub fn push_part(part: &[u8], out: &mut Vec<u8>) {
    let part = &part[..part.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(part.len() as u16).to_le_bytes());
    out.extend_from_slice(part);
}

/// One hit of a rule in a batch.
#[derive(Clone, Copy, Debug)]
pub struct HitRef {
    /// The row.
    pub row: u16,
    /// Hash of tenant and key.
    pub hash: u64,
    /// Where its key lies in [`HitBatch::keys`].
    pub key: (u32, u32),
    /// Greatest time of the batch's earlier rows.
    pub before: Timestamp,
}

/// The hits of one batch for one shard.
#[derive(Debug, Default)]
pub struct HitBatch {
    /// The hits, in order.
    pub hits: Vec<HitRef>,
    /// What each hit adds: its weight, the hash of its measured value, or the value in units of 10⁻⁹. Empty where it is one for all of them.
    pub amounts: Vec<i128>,
    /// Keys: netstring-like parts, tenant first.
    pub keys: Vec<u8>,
}

impl HitBatch {
    /// The key of a hit.
    #[inline(always)]
    pub fn key(&self, hit: &HitRef) -> &[u8] {
        &self.keys[hit.key.0 as usize..(hit.key.0 + hit.key.1) as usize]
    }

    /// What a hit adds, by its number.
    #[inline(always)]
    pub fn amount(&self, number: usize) -> i128 {
        self.amounts.get(number).copied().unwrap_or(1)
    }

    /// Makes it empty and keeps its memory.
    pub fn clear(&mut self) {
        self.hits.clear();
        self.amounts.clear();
        self.keys.clear();
    }
}

/// What the rows of a batch say about time, while hits are sought among them.
pub struct RowTimes {
    before: Timestamp,
    passed: usize,
}

impl Default for RowTimes {
    fn default() -> RowTimes {
        RowTimes { before: NEVER, passed: 0 }
    }
}

impl RowTimes {
    /// Passes the rows before one, and gives their greatest time.
    #[inline(always)]
    pub fn pass_to(&mut self, batch: &Batch, row: usize) -> Timestamp {
        for time in batch.times.get(self.passed..row).unwrap_or_default() {
            self.before = self.before.max(*time);
        }
        self.passed = row;
        self.before
    }
}

/// Finds hits in a lane.
pub trait Extractor: Send {
    /// Puts the hits among the selected rows into one batch per shard.
    fn extract(&mut self, batch: &mut Batch, rows: &[u16], out: &mut [&mut HitBatch]);
    /// A barrier passes.
    fn on_barrier(&mut self) {}
}

/// What a shard says: events as JSON lines.
#[derive(Debug, Default)]
pub struct AlertRows {
    /// The events.
    pub lines: Lines,
    /// Their times.
    pub times: Vec<Timestamp>,
    /// Rank, position and row of what decided each: the order among equal times.
    pub ties: Vec<u128>,
    /// Positions in their partition, where something says them; else they are counted.
    pub positions: Vec<u64>,
    /// Late events that leave by the rule's output `late`.
    pub late: LateRows,
    /// Writes to a list.
    pub writes: WriteRows,
}

/// Writes that firings make, as [`super::list_write::Write::write`] wrote them.
#[derive(Debug, Default)]
pub struct WriteRows {
    /// The records.
    pub lines: Lines,
    /// The times of the firings.
    pub times: Vec<Timestamp>,
    /// Their places among what is of equal time.
    pub ties: Vec<u128>,
}

impl WriteRows {
    /// Adds one.
    pub fn push(&mut self, record: &[u8], time: Timestamp, tie: u128) {
        self.lines.push(|line| line.extend_from_slice(record));
        self.times.push(time);
        self.ties.push(tie);
    }
}

impl AlertRows {
    /// Makes it empty and keeps its memory.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.times.clear();
        self.ties.clear();
        self.positions.clear();
        self.writes.lines.clear();
        self.writes.times.clear();
        self.writes.ties.clear();
    }
}

/// Events of one batch that came too late to be hits, as JSON lines.
#[derive(Debug, Default)]
pub struct LateRows {
    /// Where they came from.
    pub origin: Arc<Origin>,
    /// The events.
    pub lines: Lines,
    /// Their times.
    pub times: Vec<Timestamp>,
    /// Their positions in their partition.
    pub positions: Vec<u64>,
}

/// One shard of a rule.
pub trait Correlator: Send {
    /// An input says which partitions it has.
    fn on_partition(&mut self, port: usize, origin: &Origin, activity: Activity, now: Timestamp, out: &mut AlertRows);
    /// All partitions of an input that are there at the start have been named.
    fn on_opened(&mut self, port: usize, out: &mut AlertRows);
    /// Batches without hits, in the order in which they came.
    fn on_quiet(&mut self, port: usize, batches: &[Arc<Batch>], out: &mut AlertRows);
    /// The hits of a batch, at least one.
    fn on_hits(&mut self, port: usize, batch: &Arc<Batch>, hits: &HitBatch, out: &mut AlertRows);
    /// An input that is a rule says how far its time has come.
    fn on_watermark(&mut self, port: usize, time: Timestamp, out: &mut AlertRows);
    /// All inputs have ended.
    fn on_end(&mut self, close: bool, out: &mut AlertRows);
    /// How far this shard's time has come.
    fn watermark(&self) -> Timestamp;
    /// Writes all, or what changed since the last barrier. Takes the newest tables.
    fn save(&mut self, full: bool) -> Chunks;
    /// Whether it may take more before the epochs that it saved are durable.
    fn has_room(&self) -> bool {
        true
    }
    /// Takes the rows that it keeps in the store itself, before anything is loaded.
    fn attach(&mut self, _rows: OwnRows) {}
    /// Reads what shards of the last run wrote, oldest first. `keep`: which hashes are this shard's.
    fn load(&mut self, blobs: &[Vec<u8>], keep: &dyn Fn(u64) -> bool) -> Result<(), StateError>;
    /// About how many bytes a full save takes.
    fn size_hint(&self) -> usize;
}

/// An input of some of the lines that a shard said.
pub fn alert_input(rows: &AlertRows, lines: Range<usize>, origin: Arc<Origin>) -> Input {
    let mut input = Input::of_lines(rows.lines.iter(lines.clone()), origin, 0);
    if let Some(positions) = rows.positions.get(lines) {
        (input.positions, input.told) = (Positions::Told, positions.to_vec());
    }
    input
}

/// An input whose lines are late events: they keep their origin and their positions.
pub fn late_input(rows: &LateRows) -> Input {
    let mut input = Input::of_lines(rows.lines.iter(0..rows.lines.len()), Arc::clone(&rows.origin), 0);
    (input.positions, input.told) = (Positions::Told, rows.positions.clone());
    input
}
