//! Bodies on their way to one peer, again and again until they are there.
//!
//! Backing off, splitting and the dead letter are here, so that no sink has to know them. What a peer refuses for good goes to the dead letter and is settled
//! when it is on the disk, in the order of the epochs: a row of a later one that is refused waits until those before are sealed.
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::dead_letter::{DeadLetter, Letter};
use super::epoch::{Report, Reports};
use super::flights::{Flights, Landed, Load};
use super::lane::Step;
use super::telling::Telling;
use crate::clock::{Clock, Stopwatch};
use crate::component::sink::{Body, Outage, Outcome, Packing, Sent, Sink, Then};
use crate::metrics::{Counter, Registry};

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
    pub(super) accepted: Counter,
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

/// What a sender is made of.
pub struct SenderParts {
    /// Name of the node.
    pub name: String,
    /// The sink.
    pub sink: Arc<dyn Sink>,
    /// How bodies are packed and sent.
    pub packing: Packing,
    /// Where it reports.
    pub reports: Reports,
    /// Counters.
    pub outcomes: Outcomes,
    /// Where rows go that the peer refuses.
    pub dead_letter: DeadLetter,
    /// The clock.
    pub clock: Clock,
}

/// A time that is waited for.
struct Pause {
    since: Stopwatch,
    length: Duration,
}

impl Pause {
    /// From now on.
    fn new(length: Duration) -> Pause {
        Pause { since: Stopwatch::start(), length }
    }

    fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    fn left(&self) -> Duration {
        self.length.saturating_sub(self.since.elapsed())
    }
}

/// See the module.
pub struct Sender {
    pub(super) parts: SenderParts,
    /// Bodies that are to be sent, oldest first.
    waiting: VecDeque<Load>,
    flights: Flights,
    /// Barriers that have passed while what is before them may be under way, and those of them whose epoch is sealed.
    passed: u64,
    sealed: u64,
    /// What came back with refused rows of an epoch whose turn has not come.
    early: Vec<Landed>,
    tries: u32,
    /// Since when none succeeded.
    trouble: Option<Stopwatch>,
    /// The tries that there had been when the body that came back was sent.
    round: u32,
    /// The peer is left alone.
    rest: Option<Pause>,
    /// As many rows were sent as may be, until it is over.
    pace: Option<Pause>,
    telling: Telling,
    /// How it fares.
    pub health: Arc<Health>,
    /// The sink is of no use any more.
    is_gone: bool,
    /// The memory of bodies that are there.
    spares: Vec<Body>,
}

impl Sender {
    /// A sender to a connected sink.
    pub fn new(parts: SenderParts) -> Sender {
        Sender {
            waiting: VecDeque::new(),
            flights: Flights::new(parts.packing.in_flight),
            passed: 0,
            sealed: 0,
            early: Vec::new(),
            tries: 0,
            trouble: None,
            round: 0,
            rest: None,
            pace: None,
            telling: Telling::default(),
            health: Arc::default(),
            is_gone: false,
            spares: Vec::new(),
            parts,
        }
    }

    /// Takes a body to send.
    pub fn push(&mut self, body: Body) {
        // A body holds a whole batch, which may be more than may go in a second.
        let most = self.parts.packing.rate.unwrap_or(usize::MAX);
        if body.rows() > most {
            for from in (0..body.rows()).step_by(most) {
                let part = body.only(|row| (from..from + most).contains(&row));
                self.waiting.push_back(Load { barriers: self.passed, body: Arc::new(part) });
            }
        } else {
            self.waiting.push_back(Load { barriers: self.passed, body: Arc::new(body) });
        }
    }

    /// An empty body.
    pub fn spare(&mut self) -> Body {
        self.spares.pop().unwrap_or_default()
    }

    /// Takes an empty body back.
    fn give_back(&mut self, body: Body) {
        if self.spares.len() < self.parts.packing.in_flight {
            self.spares.push(body);
        }
    }

    /// A barrier passes: what is pushed from now on belongs to the epoch behind it.
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    /// The epoch before the oldest barrier that passed is sealed.
    pub fn seal(&mut self) {
        self.sealed += 1;
    }

    /// Whether all bodies before the oldest barrier that passed, and whose epoch is not sealed, are settled.
    pub fn is_settled(&self) -> bool {
        let waiting = self.waiting.iter().chain(self.early.iter().map(|(_, load, _)| load)).map(|load| load.barriers);
        waiting.chain(self.flights.barriers()).all(|barriers| barriers > self.sealed)
    }

    /// Whether another body could be sent now.
    pub fn has_room(&self) -> bool {
        self.may_start() && self.waiting.is_empty()
    }

    /// Whether a body may be sent off now.
    fn may_start(&self) -> bool {
        self.flights.has_room() && self.rest.is_none() && self.pace.as_ref().is_none_or(Pause::is_over)
    }

    /// Whether bodies wait for their turn.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether as many bodies wait for their turn as may be under way.
    pub fn is_laden(&self) -> bool {
        self.waiting.len() >= self.parts.packing.in_flight
    }

    /// Whether all bodies are settled.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.flights.is_empty() && self.early.is_empty()
    }

    /// The bodies that are not settled.
    pub fn bodies(&self) -> impl Iterator<Item = &Arc<Body>> {
        let early = self.early.iter().map(|(_, load, _)| &load.body);
        self.flights.bodies().chain(early).chain(self.waiting.iter().map(|load| &load.body))
    }

    /// How long no try has succeeded; none: the last one did.
    pub fn trouble(&self) -> Option<Duration> {
        self.trouble.as_ref().map(Stopwatch::elapsed)
    }

    /// Whether the peer is left alone for now.
    pub fn rests(&self) -> bool {
        self.rest.is_some()
    }

    /// The sink is of no use any more: nothing can follow.
    pub fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Length of the dead letter.
    pub fn dead_letter(&self) -> u64 {
        self.parts.dead_letter.length(&self.parts.name)
    }

    /// How long it may be left alone, at most so long, unless a body lands.
    pub fn until_due(&self, longest: Duration) -> Duration {
        [&self.rest, &self.pace].into_iter().flatten().fold(longest, |longest, pause| longest.min(pause.left()))
    }

    /// Waits until a body has landed.
    pub async fn landed(&mut self) {
        std::future::poll_fn(|context| self.flights.poll(context)).await;
    }

    /// Sends bodies, and takes back those that have landed.
    pub async fn fly(&mut self) -> Step {
        let mut step = Step::Idle;
        // Connections are tasks beside this one, on its thread: where rows never cease to come, they have a turn only here.
        if !self.flights.is_empty() {
            tokio::task::yield_now().await;
        }
        while !self.is_gone {
            self.rest.take_if(|rest| rest.is_over());
            self.pace.take_if(|pace| pace.is_over());
            while self.may_start()
                && let Some(load) = self.next()
            {
                self.pace =
                    self.parts.packing.rate.map(|rate| Pause::new(Duration::from_secs(1).mul_f64(load.body.rows() as f64 / rate as f64)));
                self.flights.start(&self.parts.sink, load, self.tries);
            }
            let due = self.early.iter().position(|(_, load, _)| load.barriers <= self.sealed);
            let landed = match due {
                Some(at) => Some(self.early.remove(at)),
                None => self.flights.land().await,
            };
            let Some((round, load, outcome)) = landed else { break };
            step = Step::Worked;
            if load.barriers > self.sealed && is_refused(&load, &outcome) {
                self.early.push((round, load, outcome));
                continue;
            }
            self.round = round;
            self.take_back(load, outcome);
        }
        if !self.flights.is_empty()
            && let Some(outage) = self.parts.sink.trouble()
        {
            self.tell(&outage);
            self.health.set(1);
        }
        step
    }

    /// The next body to send. While many that came back wait for an epoch before theirs, only its own bodies go.
    fn next(&mut self) -> Option<Load> {
        let is_held = self.early.len() >= self.parts.packing.in_flight;
        let at = self.waiting.iter().position(|load| !is_held || load.barriers <= self.sealed)?;
        self.waiting.remove(at)
    }

    fn take_back(&mut self, load: Load, outcome: Result<Sent, Outage>) {
        let Load { barriers, body } = load;
        match outcome {
            Ok(Sent::All) => {
                self.parts.outcomes.accepted.increment(body.rows() as u64);
                self.flights.grow();
                self.recover();
                // Where the request still holds it, another one is made.
                if let Some(mut body) = Arc::into_inner(body) {
                    body.clear();
                    self.give_back(body);
                }
            }
            Ok(Sent::Rows(rows, outage)) => self.settle(barriers, &body, rows, outage),
            Ok(Sent::TooLarge(reason)) if body.rows() <= 1 => {
                self.settle(barriers, &body, vec![Outcome::Rejected { status: Some(413), reason }; body.rows()], None);
            }
            Ok(Sent::TooLarge(_)) => self.split(barriers, &body),
            Err(outage) => {
                self.flights.collapse();
                let rows = body.rows();
                self.waiting.push_front(Load { barriers, body });
                self.back_off(&outage, rows);
            }
        }
    }

    /// Puts some rows of a body back, before all others.
    fn put_back(&mut self, barriers: u64, body: Body) {
        self.waiting.push_front(Load { barriers, body: Arc::new(body) });
    }

    /// Puts a body back as two.
    fn split(&mut self, barriers: u64, body: &Body) {
        let half = body.rows() / 2;
        self.put_back(barriers, body.only(|row| row >= half));
        self.put_back(barriers, body.only(|row| row < half));
    }

    /// Counts what became of each row. Those that were refused are on the disk before they count; those that were put off are sent again.
    fn settle(&mut self, barriers: u64, body: &Body, mut rows: Vec<Outcome>, outage: Option<Outage>) {
        rows.resize(body.rows(), Outcome::Retry);
        let refused = rows.iter().enumerate().filter_map(|(row, outcome)| match outcome {
            Outcome::Rejected { status, reason } => Some((row, *status, reason.as_str())),
            _ => None,
        });
        let refused: Vec<_> = refused.collect();
        if let Err(outage) = self.bury(body, &refused) {
            // Nothing is settled: the peer will refuse them again.
            self.put_back(barriers, body.only(|row| matches!(rows[row], Outcome::Rejected { .. } | Outcome::Retry)));
            self.count(&rows, false);
            return self.back_off(&outage, refused.len());
        }
        self.count(&rows, true);
        let put_off = rows.iter().filter(|o| **o == Outcome::Retry).count();
        if put_off == 0 {
            self.flights.grow();
            return self.recover();
        }
        self.flights.shrink();
        let rest = body.only(|row| rows[row] == Outcome::Retry);
        // A peer that is short of memory may never take so much at once.
        if put_off == body.rows() && put_off > 1 && self.tries >= TRIES_WHOLE {
            self.split(barriers, &rest);
        } else {
            self.put_back(barriers, rest);
        }
        let outage = outage.unwrap_or_else(|| Outage::new(format!("{put_off} rows were put off")));
        self.back_off(&outage, put_off);
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
    fn bury(&mut self, body: &Body, refused: &[(usize, Option<u16>, &str)]) -> Result<(), Outage> {
        if refused.is_empty() {
            return Ok(());
        }
        let now = self.parts.clock.now();
        let letters = refused.iter().map(|(row, status, reason)| {
            let (event, id) = body.event(*row).unwrap_or((body.bytes[body.range(*row..*row + 1)].trim_ascii_end(), [b'0'; 32]));
            Letter { id, stage: "sink", reason, status: *status, time: now, event: Some(event), raw: None }
        });
        let what = format!("dead letter of `{}`", self.parts.name);
        self.parts.dead_letter.put(&self.parts.name, letters).map_err(|e| Outage::new(format!("{what}: {e}")))
    }

    /// The sink could not seal or release: it is asked again after a rest.
    pub fn put_off(&mut self, outage: &Outage) {
        self.round = self.tries;
        self.back_off(outage, 0);
    }

    /// The peer takes again.
    pub fn recover(&mut self) {
        if self.telling.end() {
            let message = format!("{}: writes again", self.parts.name);
            self.parts.reports.send(Report::Word { level: "info", event: "sink_recovered", message });
        }
        self.tries = 0;
        self.trouble = None;
        self.health.set(0);
    }

    /// Tells an outage, if it is news.
    fn tell(&mut self, outage: &Outage) {
        if self.telling.is_news(&outage.message) {
            let message = format!("{}: {outage}; holding and trying again", self.parts.name);
            self.parts.reports.send(Report::Word { level: "warn", event: "sink_outage", message });
        }
    }

    fn back_off(&mut self, outage: &Outage, rows: usize) {
        self.parts.outcomes.retried.increment(rows as u64);
        if outage.then != Then::Retry {
            self.is_gone = true;
            let message = format!("{}: {outage}", self.parts.name);
            return self.parts.reports.send(match outage.then {
                Then::Rewind => Report::Rewind { message },
                Then::Fail => Report::Failed { message },
                Then::End | Then::Retry => Report::ReaderGone,
            });
        }
        self.tell(outage);
        // Bodies that were under way together fail together: that is one try.
        if self.round >= self.tries {
            self.tries = self.tries.saturating_add(1);
            self.trouble.get_or_insert_with(Stopwatch::start);
        }
        self.health.set(self.tries);
        let (first, longest) = self.parts.packing.retry;
        let wait = (first * 2u32.saturating_pow((self.tries - 1).min(16))).min(longest);
        // Those that were put off at one time do not come back at one time.
        let wait = wait.mul_f64(0.75 + f64::from(spread()) / f64::from(u16::MAX) / 2.0).min(longest);
        self.rest = Some(Pause::new(wait));
    }
}

/// Whether something of a body goes to the dead letter.
fn is_refused(load: &Load, outcome: &Result<Sent, Outage>) -> bool {
    match outcome {
        Ok(Sent::Rows(rows, _)) => rows.iter().any(|row| matches!(row, Outcome::Rejected { .. })),
        Ok(Sent::TooLarge(_)) => load.body.rows() <= 1,
        Ok(Sent::All) | Err(_) => false,
    }
}

/// A number that differs from call to call and from process to process.
fn spread() -> u16 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0u8) as u16
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::component::BoxFuture;
    use crate::runtime::assemble::blocking;

    /// Answers from a task of its own, as a connection does.
    struct Remote;

    impl Sink for Remote {
        fn connect(&self, _last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
            Box::pin(async { Ok(()) })
        }
        fn send<'a>(&'a self, _body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
            Box::pin(async { Handle::current().spawn(async { Sent::All }).await.map_err(|e| Outage::new(e.to_string())) })
        }
        fn seal(&self, _epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
            Box::pin(async { Ok(Vec::new()) })
        }
    }

    #[test]
    fn a_body_lands_though_rows_never_cease_to_come() {
        let registry = Registry::default();
        let mut sender = Sender::new(SenderParts {
            name: "es".to_owned(),
            sink: Arc::new(Remote),
            packing: Packing::default(),
            reports: Reports::default(),
            outcomes: Outcomes::new(&registry, "es"),
            dead_letter: DeadLetter::Nowhere,
            clock: Clock::System,
        });
        sender.push(Body { bytes: b"row\n".to_vec(), ends: vec![4], ..Body::default() });
        blocking().unwrap().block_on(async {
            // Nothing here waits, as where each step finds rows to take.
            for _ in 0..10 {
                sender.fly().await;
            }
        });
        assert!(sender.is_empty());
    }
}
