//! Delivery: rows of all inputs of a sink into bodies, through the disk buffer where there is one, to the sender; and the sink's part of an epoch.
//!
//! Without a disk buffer an outage stops what leads to the sink, and an epoch waits for all its rows to be settled; where the sink has no state, rows of
//! the next epochs are sent meanwhile. With one, what is synced there is settled: the epoch then says how far the sink has come since it was last idle, and
//! what it sealed then.
mod detour;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::buffered::{Buffered, REST};
use super::caution::Suspect;
use super::disk_queue::Place;
use super::edge::Signal;
use super::epoch::{Report, Reports, Sealed};
use super::intake::Orders;
use super::judged::Judged;
use super::lane::Step;
use super::message::{Barrier, Message};
use super::ports::{Arrival, Ports};
use super::sender::{Health, Sender, SenderParts};
use crate::clock::Stopwatch;
use crate::component::sink::{Body, OutRow};
use crate::event::Batch;
use crate::plan::PlannedInput;

/// How long a barrier waits for a body under way, and all that leads to the sink with it, before a buffered sink seals what it had before: a peer that is
/// quick need not be sent it again after a crash, and one that is slow stops nothing.
const PATIENCE: Duration = Duration::from_millis(100);

/// The same where the seal would give disk back.
const LONG_PATIENCE: Duration = Duration::from_secs(2);

/// Cells of a column that come into the cache together.
const CELLS_OF_A_LINE: usize = 8;

/// What a delivery is made of.
pub struct Parts {
    /// Number of the sink, for reports.
    pub sink_number: usize,
    /// Its edges.
    pub ports: Ports,
    /// What is known of each input.
    pub inputs: Vec<PlannedInput>,
    /// What is made of the sender.
    pub sender: SenderParts,
    /// Where rows wait, if on the disk.
    pub buffer: Option<Buffered>,
    /// What the sink sealed at the start.
    pub sealed: Sealed,
    /// What it is working on.
    pub suspect: Suspect,
    /// What the coordinator asks.
    pub orders: Arc<Orders>,
    /// Wakes it.
    pub signal: Arc<Signal>,
    /// How long a peer that takes nothing is tried for when all else has ended, before its rows are left on the disk.
    pub end_timeout: Duration,
}

/// An epoch that is under way: what the sink had sealed then.
struct UnderWay {
    epoch: u64,
    sealed: u64,
    read: Option<Place>,
}

/// See the module.
pub struct Delivery {
    sink_number: usize,
    ports: Ports,
    inputs: Vec<PlannedInput>,
    sender: Sender,
    buffer: Option<Buffered>,
    suspect: Suspect,
    orders: Arc<Orders>,
    signal: Arc<Signal>,
    end_timeout: Duration,
    reports: Reports,
    /// The body that is being filled.
    body: Body,
    /// Since when.
    filling: Option<Stopwatch>,
    /// Bodies are under way that went by the disk buffer, and nothing is in it.
    is_direct: bool,
    /// Barriers that wait for their rows to be there, oldest first. Only a sink that runs ahead takes rows meanwhile: no further than epochs may be open, so
    /// that a row that is put off for ever stops the rest in the end, and what is read again after a crash is bounded. Fewer would starve a peer that takes
    /// longer over the bodies under way than an epoch lasts.
    sealing: VecDeque<Barrier>,
    runs_ahead: bool,
    /// A barrier that waits for the disk, and what the sink had sealed at it, in which epoch.
    syncing: Option<(Barrier, u64, Sealed)>,
    /// Since the barrier came, or a body last landed.
    waited: Stopwatch,
    /// What the sink sealed last, and in which epoch.
    sealed: (u64, Sealed),
    under_way: VecDeque<UnderWay>,
    /// An epoch of which the sink holds what it sealed: nothing more is sent until it is released.
    held: Option<u64>,
    /// The last epoch, when all before its end is there: it is over when that is durable.
    last: Option<u64>,
    is_over: bool,
    judged: Judged,
    needs_facts: bool,
    committed: u64,
}

impl Delivery {
    /// A delivery of a connected sink.
    pub fn new(parts: Parts) -> Delivery {
        let Parts { sink_number, ports, inputs, sender, buffer, sealed, suspect, orders, signal, end_timeout } = parts;
        let committed = orders.durable.load(Ordering::Acquire);
        Delivery {
            sink_number,
            ports,
            runs_ahead: buffer.is_none() && sender.sink.is_stateless(),
            needs_facts: sender.sink.needs_facts() || inputs.iter().any(|i| i.of_sink.writer.meta),
            inputs,
            reports: sender.reports.clone(),
            sender: Sender::new(sender),
            buffer,
            suspect,
            orders,
            signal,
            end_timeout,
            body: Body::default(),
            filling: None,
            is_direct: false,
            sealing: VecDeque::new(),
            syncing: None,
            waited: Stopwatch::start(),
            sealed: (committed, sealed),
            under_way: VecDeque::new(),
            held: None,
            last: None,
            is_over: false,
            judged: Judged::default(),
            committed,
        }
    }

    /// Name of the node.
    pub fn name(&self) -> &str {
        &self.sender.parts.name
    }

    /// How it fares.
    pub fn health(&self) -> &Arc<Health> {
        &self.sender.health
    }

    /// What it is working on.
    pub fn suspect(&self) -> &Suspect {
        &self.suspect
    }

    /// Takes what waits, and sends what is due.
    pub async fn step(&mut self) -> Step {
        self.commit().await;
        if let Some(epoch) = self.held {
            return self.release(epoch).await;
        }
        if let Some(last) = self.last {
            self.is_over |= self.committed >= last;
            return if self.is_over { Step::Done } else { Step::Idle };
        }
        if let Some(buffer) = &mut self.buffer {
            buffer.write_on(&self.signal);
        }
        self.refill();
        let mut step = self.fly().await;
        if self.sender.is_gone() {
            return Step::Done;
        }
        if self.report_seal() == Step::Worked {
            return Step::Worked;
        }
        if let Some(barrier) = self.sealing.front().copied() {
            if self.syncing.is_none() && self.seal(barrier).await == Step::Worked {
                return Step::Worked;
            }
            if !self.runs_ahead {
                return step;
            }
        }
        if !self.is_full() && (self.buffer.is_some() || !self.sender.has_waiting()) {
            step = self.receive(step);
        }
        if self.is_due() {
            self.close_body();
            // Sinks that answer at once need no further step.
            self.fly().await;
        }
        step
    }

    async fn fly(&mut self) -> Step {
        let step = self.sender.fly().await;
        if step == Step::Worked {
            self.waited = Stopwatch::start();
        }
        self.is_direct &= !self.sender.is_empty();
        step
    }

    /// Takes a message.
    fn receive(&mut self, idle: Step) -> Step {
        match self.ports.receive() {
            Some(Arrival::Message(port, Message::Rows(batch, rows))) => {
                self.suspect.note(&batch.input);
                self.encode(port, &batch, &rows);
                Step::Worked
            }
            Some(Arrival::Barrier(barrier)) => {
                self.suspect.clear();
                if self.runs_ahead {
                    self.close_body();
                    self.sender.pass();
                }
                self.sealing.push_back(barrier);
                Step::Worked
            }
            Some(_) => Step::Worked,
            None => idle,
        }
    }

    fn is_full(&self) -> bool {
        self.body.bytes.len() >= self.packing().bytes || self.body.rows() >= self.packing().rows
    }

    /// Whether the body that is being filled is to be sent.
    fn is_due(&self) -> bool {
        let is_old = || self.filling.as_ref().is_some_and(|since| since.elapsed() >= self.packing().age);
        self.body.rows() > 0 && (self.is_full() || (self.sender.has_room() && self.ports.is_quiet() && is_old()))
    }

    fn packing(&self) -> &crate::component::sink::Packing {
        &self.sender.parts.packing
    }

    /// Waits until there may be something to do, at most so long.
    pub async fn idle(&mut self, signal: &Signal, longest: Duration) {
        let mut longest = self.sender.until_due(longest);
        if let Some(since) = &self.filling
            && self.sender.has_room()
            && !self.packing().age.is_zero()
        {
            longest = longest.min(self.packing().age.saturating_sub(since.elapsed()).max(Duration::from_millis(1)));
        }
        if self.buffer.as_ref().is_some_and(Buffered::rests) {
            longest = longest.min(REST);
        }
        if !self.sealing.is_empty() && self.buffer.is_some() {
            longest = longest.min(PATIENCE);
        }
        tokio::select! {
            () = self.sender.landed() => {}
            () = signal.wait() => {}
            () = tokio::time::sleep(longest) => {}
        }
    }

    fn encode(&mut self, port: usize, batch: &Batch, rows: &[u16]) {
        if self.needs_facts {
            self.judged.judge(port, &self.inputs[port], batch);
        }
        if self.sender.parts.sink.discards() {
            return self.sender.parts.outcomes.accepted.increment(rows.len() as u64);
        }
        if self.filling.is_none() && !rows.is_empty() {
            self.filling = Some(Stopwatch::start());
        }
        let input = &self.inputs[port].of_sink;
        for row in rows {
            let row = usize::from(*row);
            if row.is_multiple_of(CELLS_OF_A_LINE) {
                input.writer.prefetch(batch, row + 2 * CELLS_OF_A_LINE);
            }
            let facts = self.judged.of(row);
            self.sender.parts.sink.encode(&OutRow { input, batch, row, facts }, &mut self.body);
        }
    }

    /// Seals once all rows before the barrier are settled.
    async fn seal(&mut self, barrier: Barrier) -> Step {
        if !self.runs_ahead {
            if self.body.rows() > 0 {
                self.close_body();
                self.fly().await;
            }
            if self.waits_for_room() {
                return Step::Idle;
            }
        }
        if self.runs_ahead {
            if !self.sender.is_settled() {
                return Step::Idle;
            }
            self.sealed = (barrier.epoch, self.sealed_now(Vec::new()));
            self.sender.seal();
        } else if self.is_idle(barrier) {
            let is_sealed = !self.sender.rests() && self.seal_sink(barrier.epoch).await;
            if !is_sealed && self.buffer.is_none() {
                return Step::Idle;
            }
        } else if self.buffer.is_none() || self.is_patient(barrier) || !self.keep() {
            return Step::Idle;
        }
        let (epoch, mut sealed) = self.sealed.clone();
        if let (Some(buffer), Some(bounds)) = (&self.buffer, &mut sealed.buffer) {
            bounds.written = buffer.bounds().written;
            if barrier.is_last && !bounds.is_empty() {
                buffer.tell("warn", "buffer_left", "rows wait in it for the next run");
            }
        }
        self.sealing.pop_front();
        self.syncing = Some((barrier, epoch, sealed));
        self.report_seal();
        Step::Worked
    }

    /// Reports what was sealed at a barrier, once the rows before it that wait in the disk buffer are on the disk.
    fn report_seal(&mut self) -> Step {
        if let (Some((.., Sealed { buffer: Some(bounds), .. })), Some(buffer)) = (&self.syncing, &mut self.buffer)
            && !bounds.is_empty()
            && !buffer.is_synced(bounds.written, &self.signal)
        {
            return Step::Idle;
        }
        let Some((Barrier { epoch, is_last }, of, sealed)) = self.syncing.take() else { return Step::Idle };
        self.under_way.push_back(UnderWay { epoch, sealed: of, read: sealed.buffer.map(|bounds| bounds.read) });
        self.last = is_last.then_some(epoch);
        self.held = sealed.is_held.then_some(epoch);
        self.sender.parts.dead_letter.on_barrier(Barrier { epoch, is_last });
        self.reports.send(Report::Sealed { sink: self.sink_number, epoch, sealed });
        Step::Worked
    }

    /// Whether what waits on the disk is to be delivered before the run ends: not if the end comes by a stop or a reload.
    fn drains(&self, barrier: Barrier) -> bool {
        barrier.is_last && !self.orders.hurry.load(Ordering::Acquire)
    }

    /// Whether a barrier waits for bodies of a buffered sink that are under way, and at the end for those on the disk.
    fn is_patient(&self, barrier: Barrier) -> bool {
        match self.sender.trouble() {
            trouble if self.drains(barrier) => trouble.is_none_or(|lasts| lasts < self.end_timeout),
            trouble => trouble.is_none() && self.waited.elapsed() < if self.would_free() { LONG_PATIENCE } else { PATIENCE },
        }
    }

    /// Whether the disk holds whole segments only because what the sink took of them is not sealed.
    fn would_free(&self) -> bool {
        let (Some(buffer), Some(sealed)) = (&self.buffer, &self.sealed.1.buffer) else { return false };
        buffer.bounds().read.is_segments_behind(&sealed.read)
    }

    /// Whether the sink has all that it was given, and at the end all that waits for it.
    fn is_idle(&self, barrier: Barrier) -> bool {
        self.sender.is_empty() && (!self.drains(barrier) || self.buffer.as_ref().is_none_or(Buffered::is_read))
    }

    /// Whether the sink has sealed what it was given.
    async fn seal_sink(&mut self, epoch: u64) -> bool {
        match self.sender.parts.sink.seal(epoch).await {
            Ok(state) => {
                self.sender.recover();
                self.sealed = (epoch, self.sealed_now(state));
                true
            }
            Err(outage) => {
                self.sender.put_off(&outage);
                false
            }
        }
    }

    /// What is sealed, with a state of the sink.
    fn sealed_now(&self, state: Vec<u8>) -> Sealed {
        let buffer = self.buffer.as_ref().map(Buffered::bounds);
        Sealed { state, dead_letter: self.sender.dead_letter(), buffer, is_held: self.sender.parts.sink.is_holding() }
    }

    /// Lets the sink release an epoch whose record is on the disk.
    async fn release(&mut self, epoch: u64) -> Step {
        self.fly().await;
        if self.orders.prepared.load(Ordering::Acquire) < epoch || self.sender.rests() {
            return Step::Idle;
        }
        match self.sender.parts.sink.release(epoch, &self.orders.claims()).await {
            Ok(()) => {
                self.held = None;
                self.sender.recover();
                self.reports.send(Report::Released { epoch });
                Step::Worked
            }
            Err(outage) => {
                self.sender.put_off(&outage);
                if self.sender.is_gone() { Step::Done } else { Step::Idle }
            }
        }
    }

    /// Tells the sink that an epoch is durable, and gives the disk back what it need not keep.
    async fn commit(&mut self) {
        let durable = self.orders.durable.load(Ordering::Acquire);
        if durable <= self.committed {
            return;
        }
        self.committed = durable;
        let mut settled = None;
        while let Some(epoch) = self.under_way.pop_front_if(|epoch| epoch.epoch <= durable) {
            settled = Some(epoch);
        }
        let Some(UnderWay { sealed, read, .. }) = settled else { return };
        // A commit that fails is made up for by the next epoch's.
        let _ = self.sender.parts.sink.commit(sealed).await;
        if let (Some(buffer), Some(read)) = (&mut self.buffer, read) {
            buffer.forget(read);
        }
    }
}
