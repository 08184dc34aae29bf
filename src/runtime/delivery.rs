//! Delivery: rows of all inputs of a sink into bodies, bodies to the sink, again and again until they are there.
//!
//! Packing, backing off, splitting, the dead letter and settling are here, so that no sink has to know them. An outage stops what leads to the sink; nothing
//! is lost. What a peer refuses for good goes to the dead letter and is settled when it is on the disk.
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::caution::Suspect;
use super::dead_letter::{self, Letter};
use super::edge::Signal;
use super::epoch::{Report, Reports};
use super::flights::Flights;
use super::intake::Orders;
use super::lane::Step;
use super::message::{Barrier, Message};
use super::ports::{Arrival, Ports};
use crate::clock::{Clock, Stopwatch, Timestamp};
use crate::codec::format::json_out::RowFacts;
use crate::component::sink::{Body, OutRow, Outage, Outcome, Packing, Sent, Sink};
use crate::event::{Batch, Origin};
use crate::metrics::{Counter, Registry};
use crate::plan::PlannedInput;
use crate::window::watermark::PartitionClock;

/// An outage that follows another one so soon is not told.
const TOLD_AGAIN: Duration = Duration::from_secs(5);

/// Tries after which a body that was put off whole is sent in two.
const TRIES_WHOLE: u32 = 3;

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

/// What becomes of rows, counted.
#[derive(Clone)]
pub struct Outcomes {
    accepted: Counter,
    duplicate: Counter,
    rejected: Counter,
    retried: Counter,
    dead_letters: Counter,
}

impl Outcomes {
    /// The counters of a sink.
    pub fn new(registry: &Registry, sink: &str) -> Outcomes {
        let outcome = |word: &str| registry.counter("tripline_sink_rows_total", &[("sink", sink), ("outcome", word)]);
        Outcomes {
            accepted: outcome("accepted"),
            duplicate: outcome("duplicate"),
            rejected: outcome("rejected"),
            retried: outcome("retried"),
            dead_letters: registry.counter("tripline_dead_letters_total", &[("node", sink)]),
        }
    }
}

/// What a delivery is made of.
pub struct Parts {
    /// Number of the sink, for reports.
    pub sink_number: usize,
    /// Name of the node.
    pub name: String,
    /// Its edges.
    pub ports: Ports,
    /// What is known of each input.
    pub inputs: Vec<PlannedInput>,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// How bodies are packed and sent.
    pub packing: Packing,
    /// Where it reports.
    pub reports: Reports,
    /// Counters.
    pub outcomes: Outcomes,
    /// What it is working on.
    pub suspect: Suspect,
    /// What the coordinator asks.
    pub orders: Arc<Orders>,
    /// Where rows go that the peer refuses.
    pub dead_letters: Option<PathBuf>,
    /// The clock.
    pub clock: Clock,
}

/// See the module.
pub struct Delivery {
    parts: Parts,
    /// The body that is being filled.
    body: Body,
    /// Since when.
    filling: Option<Stopwatch>,
    /// Bodies that are to be sent, oldest first.
    waiting: VecDeque<Body>,
    flights: Flights,
    clocks: Vec<(usize, Arc<Origin>, PartitionClock)>,
    /// A barrier that waits for its rows to be there.
    sealing: Option<Barrier>,
    tries: u32,
    /// When an outage was last told, and whether its end is still to be told.
    told: Option<Stopwatch>,
    is_told: bool,
    /// The tries that there had been when the body that came back was sent.
    round: u32,
    /// How it fares.
    pub health: Arc<Health>,
    /// The last epoch, when all before its end is there: it is over when that is durable.
    last: Option<u64>,
    is_over: bool,
    facts: Vec<RowFacts>,
    needs_facts: bool,
    committed: u64,
}

impl Delivery {
    /// A delivery of a connected sink.
    pub fn new(parts: Parts) -> Delivery {
        Delivery {
            body: Body::default(),
            filling: None,
            waiting: VecDeque::new(),
            flights: Flights::new(parts.packing.in_flight),
            clocks: Vec::new(),
            sealing: None,
            tries: 0,
            round: 0,
            told: None,
            is_told: false,
            health: Arc::default(),
            last: None,
            is_over: false,
            facts: Vec::new(),
            needs_facts: parts.sink.needs_facts() || parts.inputs.iter().any(|i| i.of_sink.writer.meta),
            committed: parts.orders.durable.load(Ordering::Acquire),
            parts,
        }
    }

    /// Name of the node.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// What it is working on.
    pub fn suspect(&self) -> &Suspect {
        &self.parts.suspect
    }

    /// Takes what waits, and sends what is due. An outage says how long to wait before the next step.
    pub async fn step(&mut self) -> Result<Step, Duration> {
        if self.is_over {
            return Ok(Step::Done);
        }
        self.commit().await;
        if let Some(last) = self.last {
            self.is_over = self.committed >= last;
            return Ok(if self.is_over { Step::Done } else { Step::Idle });
        }
        let mut step = self.fly().await?;
        if !self.flights.is_empty()
            && let Some(outage) = self.parts.sink.trouble()
        {
            self.tell(&outage);
            self.health.set(1);
        }
        if let Some(barrier) = self.sealing {
            return match self.seal(barrier).await? {
                Step::Idle => Ok(step),
                sealed => Ok(sealed),
            };
        }
        if !self.is_full() && self.waiting.is_empty() {
            step = self.receive(step);
        }
        if self.is_due() {
            self.close_body();
            // Sinks that answer at once need no further step.
            self.fly().await?;
        }
        Ok(step)
    }

    /// Takes a message.
    fn receive(&mut self, idle: Step) -> Step {
        match self.parts.ports.receive() {
            Some(Arrival::Message(port, Message::Rows(batch, rows))) => {
                self.parts.suspect.note(&batch.input);
                self.encode(port, &batch, &rows);
                Step::Worked
            }
            Some(Arrival::Barrier(barrier)) => {
                self.parts.suspect.clear();
                self.sealing = Some(barrier);
                Step::Worked
            }
            Some(_) => Step::Worked,
            None => idle,
        }
    }

    fn is_full(&self) -> bool {
        self.body.bytes.len() >= self.parts.packing.bytes || self.body.rows() >= self.parts.packing.rows
    }

    /// Whether the body that is being filled is to be sent.
    fn is_due(&self) -> bool {
        let is_old = || self.filling.as_ref().is_some_and(|since| since.elapsed() >= self.parts.packing.age);
        self.body.rows() > 0 && (self.is_full() || (self.flights.has_room() && self.parts.ports.is_quiet() && is_old()))
    }

    fn close_body(&mut self) {
        self.filling = None;
        if self.body.rows() > 0 {
            self.waiting.push_back(std::mem::take(&mut self.body));
        }
    }

    /// Waits until there may be something to do, at most so long. Unless it `hears`, only time ends it: bodies under way go on all the same.
    pub async fn idle(&mut self, signal: &Signal, longest: Duration, hears: bool) {
        let age = self.parts.packing.age;
        let due = self.filling.as_ref().map(|since| age.saturating_sub(since.elapsed()));
        let longest = due.filter(|_| hears && !age.is_zero()).map_or(longest, |due| longest.min(due.max(Duration::from_millis(1))));
        let flights = &mut self.flights;
        let landed = std::future::poll_fn(|context| match flights.poll(context) {
            Poll::Ready(()) if hears => Poll::Ready(()),
            _ => Poll::Pending,
        });
        tokio::select! {
            () = landed => {}
            () = signal.wait(), if hears => {}
            () = tokio::time::sleep(longest) => {}
        }
    }

    /// Sends bodies, and takes back those that have landed.
    async fn fly(&mut self) -> Result<Step, Duration> {
        let mut step = Step::Idle;
        loop {
            while self.flights.has_room()
                && let Some(body) = self.waiting.pop_front()
            {
                self.flights.start(&self.parts.sink, body, self.tries);
            }
            let Some((round, body, outcome)) = self.flights.land().await else { return Ok(step) };
            step = Step::Worked;
            self.round = round;
            self.take_back(body, outcome)?;
        }
    }

    fn take_back(&mut self, mut body: Body, outcome: Result<Sent, Outage>) -> Result<(), Duration> {
        match outcome {
            Ok(Sent::All) => {
                self.parts.outcomes.accepted.increment(body.rows() as u64);
                self.flights.grow();
                self.recover();
                if self.body.rows() == 0 && self.body.bytes.capacity() == 0 {
                    body.clear();
                    self.body = body;
                }
                Ok(())
            }
            Ok(Sent::Rows(rows, outage)) => self.settle(&body, rows, outage),
            Ok(Sent::TooLarge(reason)) if body.rows() <= 1 => {
                self.settle(&body, vec![Outcome::Rejected { status: Some(413), reason }; body.rows()], None)
            }
            Ok(Sent::TooLarge(_)) => {
                self.split(&body);
                Ok(())
            }
            Err(outage) => {
                self.flights.collapse();
                let rows = body.rows();
                self.waiting.push_front(body);
                Err(self.back_off(&outage, rows))
            }
        }
    }

    /// Puts a body back as two.
    fn split(&mut self, body: &Body) {
        let half = body.rows() / 2;
        self.waiting.push_front(body.only(|row| row >= half));
        self.waiting.push_front(body.only(|row| row < half));
    }

    /// Counts what became of each row. Those that were refused are on the disk before they count; those that were put off are sent again.
    fn settle(&mut self, body: &Body, mut rows: Vec<Outcome>, outage: Option<Outage>) -> Result<(), Duration> {
        rows.resize(body.rows(), Outcome::Retry);
        let refused = rows.iter().enumerate().filter_map(|(row, outcome)| match outcome {
            Outcome::Rejected { status, reason } => Some((row, *status, reason.as_str())),
            _ => None,
        });
        let refused: Vec<_> = refused.collect();
        if let Err(outage) = self.bury(body, &refused) {
            // Nothing is settled: the peer will refuse them again.
            self.waiting.push_front(body.only(|row| matches!(rows[row], Outcome::Rejected { .. } | Outcome::Retry)));
            self.count(&rows, false);
            return Err(self.back_off(&outage, refused.len()));
        }
        self.count(&rows, true);
        let put_off = rows.iter().filter(|o| **o == Outcome::Retry).count();
        if put_off == 0 {
            self.flights.grow();
            self.recover();
            return Ok(());
        }
        self.flights.shrink();
        let rest = body.only(|row| rows[row] == Outcome::Retry);
        // A peer that is short of memory may never take so much at once.
        if put_off == body.rows() && put_off > 1 && self.tries >= TRIES_WHOLE {
            self.split(&rest);
        } else {
            self.waiting.push_front(rest);
        }
        let outage = outage.unwrap_or_else(|| Outage::new(format!("{put_off} rows were put off")));
        Err(self.back_off(&outage, put_off))
    }

    fn count(&self, rows: &[Outcome], are_buried: bool) {
        let of = |is: fn(&Outcome) -> bool| rows.iter().filter(|o| is(o)).count() as u64;
        let outcomes = &self.parts.outcomes;
        outcomes.accepted.increment(of(|o| *o == Outcome::Accepted));
        outcomes.duplicate.increment(of(|o| *o == Outcome::Duplicate));
        if are_buried {
            let rejected = of(|o| matches!(o, Outcome::Rejected { .. }));
            outcomes.rejected.increment(rejected);
            outcomes.dead_letters.increment(rejected);
        }
    }

    /// Puts refused rows into the dead letter.
    fn bury(&self, body: &Body, refused: &[(usize, Option<u16>, &str)]) -> Result<(), Outage> {
        if refused.is_empty() {
            return Ok(());
        }
        let Some(folder) = &self.parts.dead_letters else { return Err(Outage::new("rows were refused, and this run has no dead letter")) };
        let now = self.parts.clock.now();
        let letters = refused.iter().map(|(row, status, reason)| {
            let (event, id) = body.event(*row).unwrap_or((&body.bytes[body.range(*row..*row + 1)], [b'0'; 32]));
            Letter { id, stage: "sink", reason, status: *status, time: now, event: Some(event), raw: None }
        });
        let what = format!("dead letter of `{}`", self.parts.name);
        dead_letter::put(folder, &self.parts.name, letters).map_err(|e| Outage::new(format!("{what}: {e}")))
    }

    fn encode(&mut self, port: usize, batch: &Batch, rows: &[u16]) {
        if self.needs_facts {
            self.judge(port, batch);
        }
        if self.parts.sink.discards() {
            return self.parts.outcomes.accepted.increment(rows.len() as u64);
        }
        if self.filling.is_none() && !rows.is_empty() {
            self.filling = Some(Stopwatch::start());
        }
        let input = &self.parts.inputs[port].of_sink;
        for row in rows {
            let row = usize::from(*row);
            let facts = self.facts.get(row).copied().unwrap_or_default();
            self.parts.sink.encode(&OutRow { input, batch, row, facts }, &mut self.body);
        }
    }

    /// The time and lateness of each row.
    fn judge(&mut self, port: usize, batch: &Batch) {
        let origin = &batch.input.origin;
        let at = match self.clocks.iter().position(|(p, o, _)| *p == port && o.partition == origin.partition) {
            Some(at) => at,
            None => {
                self.clocks.push((port, Arc::clone(origin), PartitionClock::new(self.parts.inputs[port].policy)));
                self.clocks.len() - 1
            }
        };
        let clock = &mut self.clocks[at].2;
        let is_late = self.parts.inputs[port].is_late;
        self.facts.clear();
        let received: Timestamp = batch.input.received;
        self.facts.extend(batch.times.iter().map(|time| {
            let judged = clock.judge(*time, received);
            RowFacts { time: judged.time, late: is_late || judged.behind.is_some() }
        }));
    }

    /// Seals once all rows before the barrier are there.
    async fn seal(&mut self, barrier: Barrier) -> Result<Step, Duration> {
        if self.body.rows() > 0 {
            self.close_body();
            self.fly().await?;
        }
        if !self.waiting.is_empty() || !self.flights.is_empty() {
            return Ok(Step::Idle);
        }
        match self.parts.sink.seal(barrier.epoch).await {
            Ok(state) => {
                self.recover();
                self.sealing = None;
                let dead_letter = self.parts.dead_letters.as_ref().map_or(0, |folder| dead_letter::length(folder, &self.parts.name));
                self.parts.reports.send(Report::Sealed { sink: self.parts.sink_number, epoch: barrier.epoch, state, dead_letter });
                self.last = barrier.is_last.then_some(barrier.epoch);
                Ok(Step::Worked)
            }
            Err(outage) => {
                self.round = self.tries;
                Err(self.back_off(&outage, 0))
            }
        }
    }

    /// Tells the sink that an epoch is durable.
    async fn commit(&mut self) {
        let durable = self.parts.orders.durable.load(Ordering::Acquire);
        if durable > self.committed {
            self.committed = durable;
            // A commit that fails is made up for by the next epoch's.
            let _ = self.parts.sink.commit(durable).await;
        }
    }

    fn recover(&mut self) {
        if std::mem::take(&mut self.is_told) {
            let message = format!("{}: writes again", self.parts.name);
            self.parts.reports.send(Report::Word { level: "info", event: "sink_recovered", message });
        }
        self.tries = 0;
        self.health.set(0);
    }

    /// Tells an outage. A peer that is busy puts rows off many times a second: that is told once in a while.
    fn tell(&mut self, outage: &Outage) {
        if !self.is_told && self.told.as_ref().is_none_or(|told| told.elapsed() >= TOLD_AGAIN) {
            (self.is_told, self.told) = (true, Some(Stopwatch::start()));
            let message = format!("{}: {outage}; holding and trying again", self.parts.name);
            self.parts.reports.send(Report::Word { level: "warn", event: "sink_outage", message });
        }
    }

    fn back_off(&mut self, outage: &Outage, rows: usize) -> Duration {
        self.parts.outcomes.retried.increment(rows as u64);
        if outage.is_final {
            self.is_over = true;
            self.parts.reports.send(Report::ReaderGone);
            return Duration::ZERO;
        }
        self.tell(outage);
        // Bodies that were under way together fail together: that is one try.
        if self.round >= self.tries {
            self.tries = self.tries.saturating_add(1);
        }
        self.health.set(self.tries);
        let (first, longest) = self.parts.packing.retry;
        let wait = (first * 2u32.saturating_pow((self.tries - 1).min(16))).min(longest);
        // Those that were put off at one time do not come back at one time.
        wait.mul_f64(0.75 + f64::from(spread()) / f64::from(u16::MAX) / 2.0).min(longest)
    }
}

/// A number that differs from call to call and from process to process.
fn spread() -> u16 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0u8) as u16
}
