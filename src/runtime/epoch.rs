//! The coordinator: one numbered barrier through everything, and the epoch is durable when all has come back.
//!
//! Order: operators' deltas staged → rows settled and sinks sealed → record fsynced → sinks and sources commit. Where a sink holds its epoch in a
//! transaction the record is first only *prepared*, with the one before it: the sink releases what it holds, and then the record counts ([`super::prepared`]
//! answers the question that a crash between the two leaves).
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::caution::Culprit;
pub use super::checkpoint::Sealed;
use super::checkpoint::{Record, UnitState};
use super::edge::Signal;
use super::intake::Orders;
use super::prepared;
use crate::component::Claim;
use crate::limits::EPOCHS_OPEN_MAX;
use crate::state::{Changes, Row, StateError, Store};

/// What units tell the coordinator.
pub enum Report {
    /// A source injected a barrier at a position.
    Position { source: usize, epoch: u64, position: Vec<u8>, claim: Option<Claim> },
    /// A unit saved its state at a barrier.
    State { unit: usize, epoch: u64, saved: Saved },
    /// A sink has everything before a barrier.
    Sealed { sink: usize, epoch: u64, sealed: Sealed },
    /// A sink has released what it held of an epoch.
    Released { epoch: u64 },
    /// A source gives nothing more.
    SourceEnded { source: usize },
    /// Whoever read the output went away.
    ReaderGone,
    /// What a sink held of open epochs is void.
    Rewind { message: String },
    /// The run cannot go on.
    Failed { message: String },
    /// A word for the user.
    Word { level: &'static str, event: &'static str, message: String },
    /// A unit panicked.
    Panicked { name: String, culprit: Option<Culprit> },
}

/// Where reports go. Bounded by what they report: each unit has at most [`EPOCHS_OPEN_MAX`] epochs under way.
#[derive(Clone, Default)]
pub struct Reports {
    queue: Arc<Mutex<VecDeque<Report>>>,
    signal: Arc<Signal>,
}

impl Reports {
    /// Adds a report.
    pub fn send(&self, report: Report) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(report);
        self.signal.raise();
    }

    /// Takes a report.
    pub fn receive(&self) -> Option<Report> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Waits for one.
    pub fn park(&self, longest: Duration) {
        self.signal.park(longest);
    }

    /// Wakes whoever waits.
    pub fn raise(&self) {
        self.signal.raise();
    }
}

/// The steps of an epoch, for tests that stop in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The barrier is under way.
    Open,
    /// Operators have saved.
    Staged,
    /// Sinks have sealed.
    Settled,
    /// The record is on the disk, and a sink is yet to release what it holds.
    Prepared,
    /// The record is durable.
    Durable,
}

/// What a unit saved at a barrier.
#[derive(Clone, Debug)]
pub struct Saved {
    /// It is all of its state, and not only what changed.
    pub is_whole: bool,
    /// Pieces of it.
    pub pieces: Vec<Vec<u8>>,
    /// Rows that it keeps in the store itself: what changed of them.
    pub rows: Vec<Row>,
}

#[derive(Default)]
struct OpenEpoch {
    positions: BTreeMap<usize, Vec<u8>>,
    states: BTreeMap<usize, Saved>,
    sealed: BTreeMap<usize, Sealed>,
    claims: Vec<Claim>,
    is_prepared: bool,
    is_released: bool,
}

/// See the module.
pub struct Coordinator {
    /// The last durable epoch.
    pub record: Record,
    orders: Arc<Orders>,
    open: BTreeMap<u64, OpenEpoch>,
    last_asked: u64,
    last: Option<u64>,
    /// Sources that have ended.
    pub ended: Vec<bool>,
    counts: (usize, usize, usize),
    /// Signals of the intakes and deliveries.
    wakes: Vec<Arc<Signal>>,
    forget: Vec<Vec<u8>>,
    /// What units of before kept in the store is gone.
    has_kept: bool,
}

impl Coordinator {
    /// A coordinator that goes on from a record; its lists of sources, units and sinks are in the order of their numbers.
    pub fn new(record: Record, orders: Arc<Orders>, wakes: Vec<Arc<Signal>>, forget: Vec<Vec<u8>>) -> Coordinator {
        let counts = (record.positions.len(), record.units.len(), record.sinks.len());
        orders.barrier.store(record.epoch, Ordering::Release);
        orders.durable.store(record.epoch, Ordering::Release);
        Coordinator {
            last_asked: record.epoch,
            ended: vec![false; counts.0],
            record,
            orders,
            open: BTreeMap::new(),
            last: None,
            counts,
            wakes,
            forget,
            has_kept: false,
        }
    }

    /// Whether another barrier may be asked for.
    pub fn may_ask(&self) -> bool {
        self.last.is_none() && self.open.len() < EPOCHS_OPEN_MAX
    }

    /// The end comes by a stop or a reload, and is not to wait for what may wait on the disk.
    pub fn hurry(&self) {
        self.orders.hurry.store(true, Ordering::Release);
        self.wakes.iter().for_each(|w| w.raise());
    }

    /// Asks all intakes for a barrier.
    pub fn ask(&mut self, is_last: bool) {
        if self.last.is_some() {
            return;
        }
        self.last_asked += 1;
        if is_last {
            self.last = Some(self.last_asked);
            self.orders.last.store(self.last_asked, Ordering::Release);
        }
        self.open.entry(self.last_asked).or_default();
        self.orders.barrier.store(self.last_asked, Ordering::Release);
        self.wakes.iter().for_each(|w| w.raise());
    }

    /// Takes a report in.
    pub fn take(&mut self, report: Report) {
        match report {
            Report::Position { source, epoch, position, claim } => {
                let open = self.open.entry(epoch).or_default();
                open.positions.insert(source, position);
                open.claims.extend(claim);
            }
            Report::State { unit, epoch, saved } => drop(self.open.entry(epoch).or_default().states.insert(unit, saved)),
            Report::Sealed { sink, epoch, sealed } => drop(self.open.entry(epoch).or_default().sealed.insert(sink, sealed)),
            Report::Released { epoch } => self.open.entry(epoch).or_default().is_released = true,
            Report::SourceEnded { source } => self.ended[source] = true,
            Report::ReaderGone | Report::Rewind { .. } | Report::Failed { .. } | Report::Word { .. } | Report::Panicked { .. } => {}
        }
    }

    /// How far the oldest open epoch has come.
    pub fn phase(&self) -> Option<Phase> {
        let epoch = self.open.values().next()?;
        Some(if epoch.positions.len() < self.counts.0 || epoch.states.len() < self.counts.1 {
            Phase::Open
        } else if epoch.sealed.len() < self.counts.2 {
            Phase::Staged
        } else if epoch.is_prepared {
            Phase::Prepared
        } else {
            Phase::Settled
        })
    }

    /// Makes the oldest epoch durable if all has come back, or prepares it where a sink holds something of it. Returns its number once it is durable.
    pub fn advance(&mut self, store: &mut dyn Store) -> Result<Option<u64>, StateError> {
        let phase = self.phase();
        let Some((number, mut epoch)) = self.open.pop_first() else { return Ok(None) };
        let outcome = match phase {
            Some(Phase::Settled) if epoch.sealed.values().any(|s| s.is_held) => self.prepare(number, &mut epoch, store).map(|()| None),
            Some(Phase::Settled) => self.complete(number, &epoch, store).map(|()| Some(number)),
            Some(Phase::Prepared) if epoch.is_released => self.complete(number, &epoch, store).map(|()| Some(number)),
            _ => Ok(None),
        };
        if !matches!(outcome, Ok(Some(_))) {
            // Nothing was made durable: the epoch stays open, and after a fault it is tried again.
            self.open.insert(number, epoch);
        }
        outcome
    }

    /// The record of an epoch, and what it changes that is not on the disk yet.
    fn record_of(&self, number: u64, epoch: &OpenEpoch) -> (Record, Changes) {
        let mut record = self.record.clone();
        record.epoch = number;
        for (source, position) in &epoch.positions {
            record.positions[*source].1.clone_from(position);
        }
        for (sink, sealed) in &epoch.sealed {
            record.sinks[*sink].1.clone_from(sealed);
        }
        let mut changes = Changes { forget: self.forget.clone(), ..Changes::default() };
        for (unit, saved) in &epoch.states {
            let blobs = record.absorb(*unit, number, saved.is_whole, saved.pieces.clone(), &mut changes.forget);
            if !epoch.is_prepared {
                changes.blobs.extend(blobs);
            }
            if !saved.rows.is_empty() {
                changes.rows.push((record.units[*unit].owner(), saved.rows.clone()));
            }
        }
        (record, changes)
    }

    /// Puts the record of an epoch beside the one before it, and asks for what is held to be released.
    fn prepare(&mut self, number: u64, epoch: &mut OpenEpoch, store: &mut dyn Store) -> Result<(), StateError> {
        let (mut record, changes) = self.record_of(number, epoch);
        // What the store has, and not what the units were made from: a run with another number of shards saves itself anew only now.
        let before = store.record()?.map_or(Ok(Record::default()), |bytes| Record::from_bytes(&bytes))?;
        record.before = Some(Box::new(before));
        let mut blobs = changes.blobs;
        blobs.extend(prepared::rows_to_write(&changes.rows));
        store.publish(&record.to_bytes(), Changes { blobs, ..Changes::default() })?;
        epoch.is_prepared = true;
        self.orders.prepare(number, std::mem::take(&mut epoch.claims));
        self.wakes.iter().for_each(|w| w.raise());
        Ok(())
    }

    fn complete(&mut self, number: u64, epoch: &OpenEpoch, store: &mut dyn Store) -> Result<(), StateError> {
        let (record, mut changes) = self.record_of(number, epoch);
        if epoch.is_prepared && !changes.rows.is_empty() {
            changes.forget.push(prepared::ROWS_KEY.to_vec());
        }
        store.publish(&record.to_bytes(), changes)?;
        if !std::mem::replace(&mut self.has_kept, true) {
            store.keep_rows_of(&record.units.iter().map(UnitState::owner).collect::<Vec<_>>())?;
        }
        self.forget.clear();
        self.record = record;
        self.orders.durable.store(number, Ordering::Release);
        self.wakes.iter().for_each(|w| w.raise());
        Ok(())
    }

    /// Whether the last epoch is durable.
    pub fn is_done(&self) -> bool {
        self.last.is_some_and(|last| self.record.epoch >= last)
    }

    /// Whether the last barrier has been asked for.
    pub fn is_ending(&self) -> bool {
        self.last.is_some()
    }
}
