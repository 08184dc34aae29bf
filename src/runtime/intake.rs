//! Intake: lets a source fill buffers, seals them, deals them to the workers of its lane, and injects barriers.
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::caution::RowByRow;
use super::edge::{EdgeSender, Signal};
use super::epoch::{Report, Reports};
use super::message::{Barrier, Message};
use crate::clock::Clock;
use crate::component::Claim;
use crate::component::source::{Fill, Position, Source};
use crate::event::builder::Pool;
use crate::event::{BatchBuilder, Input};
use crate::limits::{RETRY_MAX_MS, RETRY_MIN_MS};

/// A source that may not read is tended so often.
const TEND_INTERVAL: Duration = Duration::from_millis(200);

/// What the coordinator asks of all intakes.
#[derive(Default)]
pub struct Orders {
    /// The epoch whose barrier is to be injected.
    pub barrier: AtomicU64,
    /// The epoch whose barrier is the last; 0: none.
    pub last: AtomicU64,
    /// The last durable epoch.
    pub durable: AtomicU64,
    /// The last epoch whose record is on the disk, for sinks that hold something of it to release.
    pub prepared: AtomicU64,
    /// What sources claim for it.
    claims: Mutex<Vec<Claim>>,
    /// The last barrier is that of a stop or a reload: what waits in disk buffers is left for later.
    pub hurry: AtomicBool,
    /// All units end where they stand.
    pub called_off: AtomicBool,
}

impl Orders {
    /// The record of an epoch is on the disk.
    pub fn prepare(&self, epoch: u64, claims: Vec<Claim>) {
        *self.claims.lock().unwrap_or_else(PoisonError::into_inner) = claims;
        self.prepared.store(epoch, Ordering::Release);
    }

    /// What sources claim for the epoch that is prepared.
    pub fn claims(&self) -> Vec<Claim> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// See the module.
pub struct Intake {
    /// Number of the source, for reports.
    pub source_number: usize,
    /// Name of the node.
    pub name: String,
    /// Wakes it.
    pub signal: Arc<Signal>,
    source: Box<dyn Source>,
    edges: Vec<EdgeSender>,
    turn: usize,
    pool: Pool<Input>,
    builder: BatchBuilder,
    orders: Arc<Orders>,
    injected: u64,
    committed: u64,
    positions: Vec<(u64, Position)>,
    reports: Reports,
    clock: Clock,
    has_ended: bool,
    tries: u32,
    row_by_row: Option<RowByRow>,
}

/// What an intake does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on at once.
    Again,
    /// Wait for the signal, or so long.
    Wait(Duration),
    /// It is over.
    Done,
}

impl Intake {
    /// An intake of a connected source.
    #[allow(clippy::too_many_arguments)] // the parts of an intake are what they are
    pub fn new(
        source_number: usize,
        name: &str,
        source: Box<dyn Source>,
        edges: Vec<EdgeSender>,
        signal: Arc<Signal>,
        orders: Arc<Orders>,
        reports: Reports,
        clock: Clock,
        row_by_row: Option<RowByRow>,
    ) -> Intake {
        let injected = orders.barrier.load(Ordering::Acquire);
        Intake {
            source_number,
            name: name.to_owned(),
            signal,
            source,
            edges,
            turn: 0,
            pool: Pool::default(),
            builder: BatchBuilder::default(),
            orders,
            injected,
            committed: injected,
            positions: Vec::new(),
            reports,
            clock,
            has_ended: false,
            tries: 0,
            row_by_row,
        }
    }

    /// Injects what is due, commits what is durable, reads once.
    pub async fn step(&mut self) -> Next {
        if let Some(next) = self.inject().await {
            return next;
        }
        self.commit().await;
        if self.has_ended || !self.edges[self.turn].has_room() {
            self.source.tend();
            return if !self.has_ended && self.read_on().await { Next::Again } else { Next::Wait(TEND_INTERVAL) };
        }
        // The fill may be dropped when the signal is raised: sources promise that nothing is lost by that.
        let signal = Arc::clone(&self.signal);
        let filled = tokio::select! {
            biased;
            filled = self.source.fill(&mut self.builder) => Some(filled),
            () = signal.wait() => None,
        };
        match filled {
            None => Next::Again,
            Some(Ok(fill)) => {
                self.tries = 0;
                self.take(fill)
            }
            Some(Err(outage)) => {
                if self.tries == 0 {
                    self.reports.send(Report::Word {
                        level: "warn",
                        event: "source_outage",
                        message: format!("{}: {outage}; trying again", self.name),
                    });
                }
                self.tries = self.tries.saturating_add(1);
                Next::Wait(Duration::from_millis((RETRY_MIN_MS << self.tries.min(10)).min(RETRY_MAX_MS)))
            }
        }
    }

    /// Lets the source read on until the signal is raised. Says whether it is to be looked after again at once.
    async fn read_on(&mut self) -> bool {
        let signal = Arc::clone(&self.signal);
        tokio::select! {
            biased;
            () = signal.wait() => true,
            outcome = tokio::time::timeout(TEND_INTERVAL, self.source.read_on()) => outcome.unwrap_or(true),
        }
    }

    fn take(&mut self, fill: Fill) -> Next {
        match fill {
            Fill::Rows { origin, base, positions } => {
                let builder = std::mem::take(&mut self.builder);
                let input = builder.seal(origin, base, positions, self.clock.now());
                if let Some(careful) = &self.row_by_row
                    && careful.applies(&input, self.orders.durable.load(Ordering::Acquire))
                {
                    self.deal_rows(&input, &careful.clone());
                    return Next::Again;
                }
                let mut shared = self.pool.take();
                let mut next = None;
                if let Some(place) = Arc::get_mut(&mut shared) {
                    next = Some(BatchBuilder::reuse(std::mem::replace(place, input)));
                }
                self.builder = next.unwrap_or_default();
                self.pool.lend(&shared);
                self.edges[self.turn].send(Message::Input(shared));
                self.turn = (self.turn + 1) % self.edges.len();
                Next::Again
            }
            Fill::Partition(origin, activity) => {
                let now = self.clock.now();
                self.send_control(&Message::Partition(origin, activity, now));
                Next::Again
            }
            Fill::Opened => {
                self.send_control(&Message::Opened);
                Next::Again
            }
            Fill::Word(level, event, message) => {
                self.reports.send(Report::Word { level, event, message: format!("{}: {message}", self.name) });
                Next::Again
            }
            Fill::Wait(Duration::ZERO) => Next::Again,
            Fill::Wait(wait) => Next::Wait(wait),
            Fill::End => {
                self.has_ended = true;
                self.send_control(&Message::End);
                self.reports.send(Report::SourceEnded { source: self.source_number });
                Next::Again
            }
        }
    }

    /// Deals each row as an input of its own, but those that are left out.
    fn deal_rows(&mut self, input: &Input, careful: &RowByRow) {
        for row in (0..input.lines.len()).filter(|row| !careful.skips(&input.origin, input.position(*row))) {
            self.edges[self.turn].send(Message::Input(Arc::new(input.only(row))));
            self.turn = (self.turn + 1) % self.edges.len();
        }
    }

    fn send_control(&self, message: &Message) {
        self.edges.iter().for_each(|e| e.send(message.clone()));
    }

    /// Injects barriers that were asked for. Behind the last one nothing is read, and when it is durable the intake is done.
    async fn inject(&mut self) -> Option<Next> {
        let wanted = self.orders.barrier.load(Ordering::Acquire);
        let last = self.orders.last.load(Ordering::Acquire);
        while self.injected < wanted {
            self.injected += 1;
            let barrier = Barrier { epoch: self.injected, is_last: self.injected == last };
            self.send_control(&Message::Barrier(barrier));
            let position = self.source.position();
            self.positions.push((self.injected, position.clone()));
            let claim = self.source.claim();
            self.reports.send(Report::Position { source: self.source_number, epoch: self.injected, position, claim });
        }
        if last == 0 || self.injected < last {
            return None;
        }
        self.commit().await;
        if self.committed >= last {
            return Some(Next::Done);
        }
        self.source.tend();
        Some(Next::Wait(TEND_INTERVAL))
    }

    async fn commit(&mut self) {
        let durable = self.orders.durable.load(Ordering::Acquire);
        if durable <= self.committed {
            return;
        }
        self.committed = durable;
        let done = self.positions.iter().rposition(|(epoch, _)| *epoch <= durable);
        if let Some(done) = done {
            let (_, position) = self.positions.swap_remove(done);
            self.positions.retain(|(epoch, _)| *epoch > durable);
            self.positions.sort_by_key(|(epoch, _)| *epoch);
            // What could not be committed now is committed with the next epoch.
            let _ = self.source.commit(&position).await;
        }
    }
}
