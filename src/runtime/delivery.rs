//! Delivery: rows of all inputs of a sink into bodies, bodies to the sink, again and again until they are there.
//!
//! Backing off, holding and settling are here, so that no sink has to know them. An outage stops what leads to the sink; nothing is lost.
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::caution::Suspect;
use super::epoch::{Report, Reports};
use super::intake::Orders;
use super::lane::Step;
use super::message::{Barrier, Message};
use super::ports::{Arrival, Ports};
use crate::clock::Timestamp;
use crate::codec::format::json_out::RowFacts;
use crate::component::{Body, Outage, Sink};
use crate::event::{Batch, Origin};
use crate::limits::{BODY_BYTES_MAX, RETRY_MAX_MS, RETRY_MIN_MS};
use crate::metrics::Counter;
use crate::plan::PlannedInput;
use crate::window::watermark::PartitionClock;

/// How a sink fares, for `/health`.
#[derive(Debug, Default)]
pub struct Health(AtomicU8);

impl Health {
    /// `ok`, `retrying` or `held`.
    pub fn word(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            0 => "ok",
            1 => "retrying",
            _ => "held",
        }
    }

    fn set(&self, tries: u32) {
        self.0.store(
            if tries == 0 {
                0
            } else if tries < 10 {
                1
            } else {
                2
            },
            Ordering::Relaxed,
        );
    }
}

/// See the module.
pub struct Delivery {
    /// Number of the sink, for reports.
    pub sink_number: usize,
    /// Name of the node.
    pub name: String,
    ports: Ports,
    inputs: Vec<PlannedInput>,
    sink: Box<dyn Sink>,
    body: Body,
    reports: Reports,
    clocks: Vec<(usize, Arc<Origin>, PartitionClock)>,
    /// A barrier that waits for its rows to be there.
    sealing: Option<Barrier>,
    tries: u32,
    /// How it fares.
    pub health: Arc<Health>,
    accepted: Counter,
    retried: Counter,
    is_over: bool,
    facts: Vec<RowFacts>,
    needs_facts: bool,
    /// What it is working on.
    pub suspect: Suspect,
    orders: Arc<Orders>,
    committed: u64,
}

impl Delivery {
    /// A delivery of a connected sink.
    #[allow(clippy::too_many_arguments)] // the parts of a delivery are what they are
    pub fn new(
        sink_number: usize,
        name: &str,
        ports: Ports,
        inputs: Vec<PlannedInput>,
        sink: Box<dyn Sink>,
        reports: Reports,
        outcomes: (Counter, Counter),
        suspect: Suspect,
        orders: Arc<Orders>,
    ) -> Delivery {
        let needs_facts = inputs.iter().any(|i| i.writer.meta);
        Delivery {
            sink_number,
            name: name.to_owned(),
            ports,
            inputs,
            sink,
            body: Body::default(),
            reports,
            clocks: Vec::new(),
            sealing: None,
            tries: 0,
            health: Arc::default(),
            accepted: outcomes.0,
            retried: outcomes.1,
            is_over: false,
            facts: Vec::new(),
            needs_facts,
            suspect,
            committed: orders.durable.load(Ordering::Acquire),
            orders,
        }
    }

    /// Takes what waits, and sends what is due. An outage says how long to wait before the next step.
    pub async fn step(&mut self) -> Result<Step, Duration> {
        if self.is_over {
            return Ok(Step::Done);
        }
        self.commit().await;
        if self.sealing.is_some() {
            return self.seal().await;
        }
        match self.ports.receive() {
            Some(Arrival::Message(port, Message::Rows(batch, rows))) => {
                self.suspect.note(&batch.input);
                self.encode(port, &batch, &rows);
                if self.body.bytes.len() >= BODY_BYTES_MAX || self.ports.is_quiet() {
                    self.flush().await?;
                }
                Ok(Step::Worked)
            }
            Some(Arrival::Barrier(barrier)) => {
                self.suspect.clear();
                self.sealing = Some(barrier);
                self.seal().await
            }
            Some(_) => Ok(Step::Worked),
            None => {
                let had = self.body.rows() > 0;
                self.flush().await?;
                Ok(if had { Step::Worked } else { Step::Idle })
            }
        }
    }

    fn encode(&mut self, port: usize, batch: &Batch, rows: &[u16]) {
        if self.needs_facts {
            self.judge(port, batch);
        }
        if self.sink.discards() {
            return self.accepted.increment(rows.len() as u64);
        }
        let writer = &self.inputs[port].writer;
        for row in rows {
            let row = usize::from(*row);
            let facts = self.facts.get(row).copied().unwrap_or_default();
            self.sink.encode(writer, batch, row, facts, &mut self.body);
        }
    }

    /// The time and lateness of each row, for `meta`.
    fn judge(&mut self, port: usize, batch: &Batch) {
        let origin = &batch.input.origin;
        let at = match self.clocks.iter().position(|(p, o, _)| *p == port && o.partition == origin.partition) {
            Some(at) => at,
            None => {
                self.clocks.push((port, Arc::clone(origin), PartitionClock::new(self.inputs[port].policy)));
                self.clocks.len() - 1
            }
        };
        let clock = &mut self.clocks[at].2;
        let is_late = self.inputs[port].is_late;
        self.facts.clear();
        let received: Timestamp = batch.input.received;
        self.facts.extend(batch.times.iter().map(|time| {
            let judged = clock.judge(*time, received);
            RowFacts { time: judged.time, late: is_late || judged.behind.is_some() }
        }));
    }

    async fn flush(&mut self) -> Result<(), Duration> {
        if self.body.rows() == 0 {
            return Ok(());
        }
        let before = self.body.sent;
        match self.sink.send(&mut self.body).await {
            Ok(()) => {
                self.accepted.increment((self.body.rows() - before) as u64);
                self.body.clear();
                self.recover();
                Ok(())
            }
            Err(outage) => {
                self.accepted.increment((self.body.sent - before) as u64);
                Err(self.back_off(&outage))
            }
        }
    }

    async fn seal(&mut self) -> Result<Step, Duration> {
        self.flush().await?;
        let Some(barrier) = self.sealing else { return Ok(Step::Idle) };
        match self.sink.seal().await {
            Ok(state) => {
                self.recover();
                self.sealing = None;
                self.reports.send(Report::Sealed { sink: self.sink_number, epoch: barrier.epoch, state });
                self.is_over = barrier.is_last;
                Ok(Step::Worked)
            }
            Err(outage) => Err(self.back_off(&outage)),
        }
    }

    /// Tells the sink that an epoch is durable.
    async fn commit(&mut self) {
        let durable = self.orders.durable.load(Ordering::Acquire);
        if durable > self.committed {
            self.committed = durable;
            // A commit that fails is made up for by the next epoch's.
            let _ = self.sink.commit(durable).await;
        }
    }

    fn recover(&mut self) {
        if self.tries > 0 {
            self.reports.send(Report::Word { level: "info", event: "sink_recovered", message: format!("{}: writes again", self.name) });
        }
        self.tries = 0;
        self.health.set(0);
    }

    fn back_off(&mut self, outage: &Outage) -> Duration {
        self.retried.increment((self.body.rows() - self.body.sent) as u64);
        if outage.is_final {
            self.is_over = true;
            self.reports.send(Report::ReaderGone);
            return Duration::ZERO;
        }
        if self.tries == 0 {
            self.reports.send(Report::Word {
                level: "warn",
                event: "sink_outage",
                message: format!("{}: {outage}; holding and trying again", self.name),
            });
        }
        self.tries = self.tries.saturating_add(1);
        self.health.set(self.tries);
        let wait = RETRY_MIN_MS << (self.tries - 1).min(10);
        Duration::from_millis(wait.min(RETRY_MAX_MS))
    }
}
