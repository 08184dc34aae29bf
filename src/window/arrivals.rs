//! Events of a node's inputs on their way into one order: which time each counts with, and which of them have to wait.
use std::sync::Arc;

use super::reorder::Reorder;
use super::watermark::{Activity, Judged, Partition, PartitionClock, Partitions, TimePolicy};
use crate::clock::{NEVER, Timestamp};
use crate::event::{Batch, Origin};
use crate::limits::{SECOND, SKEW_MAX};
use crate::state::{StateError, StateReader, StateWriter};

/// How many rows ahead memory is asked for where rows will wait.
pub const SOON: usize = 8;

/// What is known of an input before anything came from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inlet {
    /// How its times are judged.
    pub policy: TimePolicy,
    /// It says itself how far its time has come, and what it gives is never late.
    pub tells: bool,
}

/// A batch while its rows are judged.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    inlet: Inlet,
    /// Number of its partition.
    pub partition: usize,
    /// Rank of its partition's name.
    pub rank: u32,
    is_plain: bool,
    /// What is in time need not wait behind anything.
    is_direct: bool,
}

impl Arrival {
    /// Whether none of its rows can be pending or of unknown time.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Arrivals {
    inlets: Vec<Inlet>,
    /// The partitions of all inputs.
    pub partitions: Partitions,
    /// What waits.
    pub waiting: Reorder,
    judged: Vec<(Judged, bool)>,
    /// While state is read: the number here of each partition of the shard that wrote it.
    numbers: Vec<u32>,
}

impl Arrivals {
    /// Before anything came.
    pub fn new(inlets: Vec<Inlet>) -> Arrivals {
        let lateness = inlets.iter().map(|i| i.policy.lateness).max().unwrap_or(0);
        // Fine enough that little comes for the bucket that is being emptied and that none takes long to sort, coarse enough that the ends of all lie in the
        // nearest cache and that a skew between partitions does not make thousands.
        let width = if lateness > 0 { (lateness / 64).min(SECOND).max(lateness / 4096) } else { SKEW_MAX / 4096 };
        let (partitions, waiting) = (Partitions::new(inlets.len()), Reorder::new(width.max(1_000_000)));
        Arrivals { partitions, inlets, waiting, judged: Vec::new(), numbers: Vec::new() }
    }

    fn open(&mut self, port: usize, origin: &Origin) -> usize {
        let before = self.partitions.all.len();
        let found = self.partitions.open(port, &origin.source, &origin.partition, self.inlets[port].policy);
        if self.partitions.all.len() > before && !self.waiting.is_empty() {
            // A new name may stand between the others.
            self.waiting.rerank(&self.partitions.ranks);
        }
        found
    }

    /// An input says what one of its partitions does.
    pub fn on_partition(&mut self, port: usize, origin: &Origin, activity: Activity, now: Timestamp) {
        let at = self.open(port, origin);
        let Inlet { policy, tells } = self.inlets[port];
        let partition = &mut self.partitions.all[at];
        if tells && partition.told.is_none() {
            partition.told = Some(NEVER);
        }
        partition.activity = activity;
        partition.identity.clone_from(&origin.identity);
        if activity == Activity::Idle {
            partition.idle_since = now.saturating_sub(policy.lateness);
        }
    }

    /// An input has named all partitions that it has at the start.
    pub fn on_opened(&mut self) {
        self.partitions.unopened = self.partitions.unopened.saturating_sub(1);
    }

    /// An input that tells its time says how far it has come.
    pub fn on_watermark(&mut self, port: usize, time: Timestamp) {
        for partition in self.partitions.all.iter_mut().filter(|p| p.port == port) {
            partition.told = Some(time);
        }
    }

    /// Batches came that hold nothing for the node: only their times count.
    pub fn pass(&mut self, port: usize, batches: &[Arc<Batch>]) {
        for batch in batches.iter().filter(|batch| batch.rows() > 0) {
            let (at, is_plain) = self.reach(port, batch);
            let clock = &mut self.partitions.all[at].clock;
            if is_plain {
                clock.pass_plain(batch.times_sum);
            } else {
                batch.times.iter().for_each(|time| _ = clock.judge(*time, batch.input.received));
            }
        }
    }

    /// The partition of a batch, which is live, and whether the batch is a plain one.
    fn reach(&mut self, port: usize, batch: &Batch) -> (usize, bool) {
        let at = self.open(port, &batch.input.origin);
        let partition = &mut self.partitions.all[at];
        if partition.activity != Activity::Live {
            partition.activity = Activity::Live;
        }
        (at, self.inlets[port].tells || partition.clock.is_plain(batch.times_sum))
    }

    /// A batch begins.
    pub fn begin(&mut self, port: usize, batch: &Batch) -> Arrival {
        let inlet = self.inlets[port];
        let (at, is_plain) = self.reach(port, batch);
        if !is_plain {
            self.judge_slowly(at, batch);
        }
        Arrival {
            inlet,
            partition: at,
            rank: self.partitions.ranks[at],
            is_plain,
            is_direct: self.partitions.is_single() && inlet.policy.lateness == 0 && !inlet.tells,
        }
    }

    /// Judges the rows of a batch one after another, where some may be pending or of unknown time.
    fn judge_slowly(&mut self, partition: usize, batch: &Batch) {
        self.judged.clear();
        let clock = &mut self.partitions.all[partition].clock;
        self.judged.extend(batch.times.iter().map(|time| {
            let judged = clock.judge(*time, batch.input.received);
            // A pending time lies ahead of what the partition has been believed to reach.
            (judged, judged.time > clock.greatest)
        }));
    }

    /// Judges a row; `before` is the greatest time of the rows before it. Says too whether its time is pending.
    #[inline(always)]
    pub fn judge(&self, arrival: &Arrival, batch: &Batch, row: usize, before: Timestamp) -> (Judged, bool) {
        match arrival.is_plain {
            _ if arrival.inlet.tells => (Judged { time: batch.times[row], behind: None, greatest: NEVER }, false),
            true => (self.partitions.all[arrival.partition].clock.judge_plain(batch.times[row], before), false),
            false => self.judged[row],
        }
    }

    /// The place of a row among those of equal time and rank. The last eight bits are free, for what comes behind the row itself.
    #[inline(always)]
    pub fn tie(&self, arrival: &Arrival, batch: &Batch, row: usize) -> u128 {
        match arrival.inlet.tells {
            // The order in which such an input speaks came with its rows.
            true => batch.ties.get(row).copied().unwrap_or(0),
            false => u128::from(batch.input.position(row)) << 24 | (row as u128) << 8,
        }
    }

    /// Asks for the memory where a row will wait, [`SOON`] rows before it is put there.
    #[inline(always)]
    pub fn expect(&self, batch: &Batch, row: usize) {
        self.waiting.expect(batch.times[row]);
    }

    /// Whether rows may be taken at once, as far as is known before they are looked at.
    #[inline(always)]
    pub fn is_direct(&self, arrival: &Arrival) -> bool {
        arrival.is_direct && self.waiting.is_empty()
    }

    /// Whether a row may be taken at once: nothing before it can still come, unless its time is pending.
    #[inline(always)]
    pub fn is_next(&self, arrival: &Arrival, is_pending: bool) -> bool {
        !is_pending && self.is_direct(arrival)
    }

    /// From this time on a row of a plain batch counts as it is, if none before it in the batch is later and its input has no lateness.
    #[inline(always)]
    pub fn settled(&self, arrival: &Arrival) -> Timestamp {
        self.partitions.released.max(self.partitions.all[arrival.partition].clock.greatest)
    }

    /// A batch has been judged.
    #[inline]
    pub fn end(&mut self, arrival: &Arrival, batch: &Batch) {
        if arrival.is_plain {
            self.partitions.all[arrival.partition].clock.pass_plain(batch.times_sum);
        } else {
            // Such batches are rare, and rules are many.
            self.judged = Vec::new();
        }
    }

    /// How far the node may go, and whether what lies just there may go too.
    pub fn watermark(&mut self) -> (Timestamp, bool) {
        (self.partitions.watermark(), self.partitions.is_single())
    }

    /// Writes what is known of the partitions.
    pub fn save_head(&self, out: &mut StateWriter) {
        out.i64(self.partitions.released);
        out.u32(self.partitions.all.len() as u32);
        for partition in &self.partitions.all {
            out.u32(partition.port as u32);
            out.bytes(partition.name.0.as_bytes());
            out.bytes(partition.name.1.as_bytes());
            partition.clock.save(out);
        }
    }

    /// Reads what [`Arrivals::save_head`] wrote. Shards number their partitions in the order in which they met them: what comes behind goes by the names.
    pub fn load_head(&mut self, from: &mut StateReader<'_>) -> Result<(), StateError> {
        self.partitions.released = from.i64()?;
        self.numbers.clear();
        for _ in 0..from.u32()? {
            let port = from.u32()? as usize;
            let name = (from.text()?.to_owned(), from.text()?.to_owned());
            let inlet = self.inlets.get(port);
            let clock = PartitionClock::load(inlet.map(|i| i.policy).unwrap_or_default(), from)?;
            if let Some(found) = self.partitions.find(port, &name.0, &name.1) {
                self.partitions.all[found].clock = clock;
                self.numbers.push(found as u32);
                continue;
            }
            self.numbers.push(self.partitions.all.len() as u32);
            self.partitions.all.push(Partition {
                port,
                name,
                identity: Vec::new(),
                clock,
                // Until its source names it again, a partition of the last run holds nothing back.
                activity: Activity::Ended,
                told: inlet.is_some_and(|i| i.tells).then_some(NEVER),
                idle_since: NEVER,
            });
        }
        self.partitions.rank();
        Ok(())
    }

    /// Reads what the shard of the last head left waiting; `keep` decides by hash and bytes.
    pub fn load_waiting(&mut self, from: &mut StateReader<'_>, keep: &dyn Fn(u64, &[u8]) -> bool) -> Result<(), StateError> {
        let numbers = &self.numbers;
        self.waiting.load(from, &|number| numbers.get(number as usize).copied().unwrap_or(number), keep)
    }

    /// Older deltas name partitions by number, and still hold what was taken since: up to a place in the order.
    pub fn mend(&mut self, passed: (Timestamp, u32, u128)) {
        self.waiting.rerank(&self.partitions.ranks);
        self.waiting.forget(passed);
    }
}

/// An origin's number among those seen, which grow with it.
pub fn number_of(origins: &mut Vec<Origin>, origin: &Arc<Origin>) -> u32 {
    if let Some(at) = origins.iter().rposition(|o| *o == **origin) {
        return at as u32;
    }
    origins.push(Origin::clone(origin));
    (origins.len() - 1) as u32
}
