//! A lane's stage: one input at a time through decoder, operators and taps, in one thread, one call per operator and batch.
use std::sync::Arc;

use super::caution::Suspect;
use super::edge::{EdgeReceiver, EdgeSender, Signal};
use super::epoch::Reports;
use super::message::Message;
use super::saves::Saves;
use crate::codec::format::time::TimeRule;
use crate::codec::format::{Decoder, Subject, tag};
use crate::component::operator::{ERRORS, Operator, Outputs};
use crate::component::source::Pace;
use crate::component::{Extractor, HitBatch};
use crate::event::batch::{TIME_MISSING, row_state};
use crate::event::builder::Pool;
use crate::event::{Batch, Input, Slot};
use crate::metrics::Counter;
use crate::plan::Errors;

/// What a step of a unit came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was done.
    Worked,
    /// Nothing to do, or no room to do it.
    Idle,
    /// Nothing will ever be to do.
    Done,
}

/// Where the rows of an output go.
pub enum Target {
    /// To an operator of the lane.
    Node(usize),
    /// To a tap of the lane.
    Tap(usize),
}

/// An operator at its place.
pub struct LaneNode {
    /// The operator.
    pub operator: Box<dyn Operator>,
    /// For each output, where its rows go.
    pub outputs: Vec<Vec<Target>>,
    /// What becomes of rows that it cannot treat.
    pub on_error: Errors,
    /// Rows in.
    pub events_in: Counter,
    /// Rows out of the main output.
    pub events_out: Counter,
    /// Rows that it could not treat.
    pub errors: Counter,
    /// Its saves, if it keeps state.
    pub saves: Option<Saves>,
}

/// Where rows leave the lane.
pub enum Tap {
    /// To a delivery.
    Sink {
        /// The edge.
        edge: EdgeSender,
        /// Rows that the sink wants.
        rows: Pool<Vec<u16>>,
        /// Counts rows that a full edge drops; none: a full edge is waited for.
        dropped: Option<Counter>,
    },
    /// To the shards of a rule.
    Rule {
        /// Finds the hits.
        extractor: Box<dyn Extractor>,
        /// One edge per shard.
        edges: Vec<EdgeSender>,
        /// Memory for hits.
        hits: Pool<HitBatch>,
    },
}

impl Tap {
    fn never_waits(&self) -> bool {
        matches!(self, Tap::Sink { dropped: Some(_), .. })
    }

    fn edges(&self) -> &[EdgeSender] {
        match self {
            Tap::Sink { edge, .. } => std::slice::from_ref(edge),
            Tap::Rule { edges, .. } => edges,
        }
    }
}

/// How a lane gets the time of its events.
pub struct LaneTime {
    /// The declared field.
    pub field: Option<Slot>,
    /// A field is declared, but may not exist.
    pub is_declared: bool,
    /// How it is read.
    pub rule: TimeRule,
}

/// Everything between an input and the taps, without the edges in.
pub struct Lane {
    /// Decoders of `format`, each over the one before.
    pub decoders: Vec<(Box<dyn Decoder>, Option<Subject>)>,
    /// Slots of what the source knows beside the bytes, in its order.
    pub facts: Vec<Slot>,
    /// Slots of a batch.
    pub slots: usize,
    /// Event time.
    pub time: LaneTime,
    /// Operators; outputs lead to later ones.
    pub nodes: Vec<LaneNode>,
    /// Where decoded rows go.
    pub roots: Vec<Target>,
    /// Where refused rows go, if `errors` is wired.
    pub error_roots: Option<Vec<Target>>,
    /// Ways out.
    pub taps: Vec<Tap>,
    /// Rows in.
    pub events_in: Counter,
    /// Refused rows.
    pub errors: Counter,
    /// Tells how far the partitions have come.
    pub pace: Option<Pace>,
    pool: Pool<Batch>,
    selections: Vec<Vec<u16>>,
    tap_rows: Vec<Vec<u16>>,
    outputs: Outputs,
}

impl Lane {
    /// A lane from its parts.
    #[allow(clippy::too_many_arguments)] // the parts of a lane are what they are
    pub fn new(
        decoders: Vec<(Box<dyn Decoder>, Option<Subject>)>,
        facts: Vec<Slot>,
        slots: usize,
        time: LaneTime,
        nodes: Vec<LaneNode>,
        roots: Vec<Target>,
        error_roots: Option<Vec<Target>>,
        taps: Vec<Tap>,
        counters: (Counter, Counter),
        pace: Option<Pace>,
    ) -> Lane {
        let (events_in, errors) = counters;
        Lane {
            decoders,
            facts,
            slots,
            time,
            selections: nodes.iter().map(|_| Vec::new()).collect(),
            tap_rows: taps.iter().map(|_| Vec::new()).collect(),
            nodes,
            roots,
            error_roots,
            taps,
            events_in,
            errors,
            pace,
            pool: Pool::default(),
            outputs: Outputs::default(),
        }
    }

    /// Whether every way out has room.
    pub fn has_room(&self) -> bool {
        self.taps.iter().all(|t| t.never_waits() || t.edges().iter().all(EdgeSender::has_room))
    }

    /// Sends a control to every way out. How far time has come is nothing to a sink.
    pub fn send_control(&self, message: &Message) {
        let is_time = matches!(message, Message::Watermark(_));
        for edge in self.taps.iter().filter(|tap| !is_time || matches!(tap, Tap::Rule { .. })).flat_map(Tap::edges) {
            edge.send(message.clone());
        }
    }

    /// A barrier passes: counters, tables and maps.
    pub fn on_barrier(&mut self) {
        self.nodes.iter_mut().for_each(|n| n.operator.on_barrier());
        for tap in &mut self.taps {
            if let Tap::Rule { extractor, .. } = tap {
                extractor.on_barrier();
            }
        }
    }

    /// Saves what its operators keep.
    pub fn save(&mut self, epoch: u64, reports: &Reports) {
        for node in &mut self.nodes {
            if let Some(saves) = &mut node.saves {
                let size_hint = node.operator.size_hint();
                reports.send(saves.report(epoch, size_hint, |full| node.operator.save(full)));
            }
        }
    }

    /// Takes one input through. `times` and `ties` replace those of the lines, for the alerts of a rule.
    pub fn run(&mut self, input: Arc<Input>, told: Option<(&[i64], &[u128])>) {
        let mut shared = self.pool.take();
        // The pool gives what nobody else holds.
        let Some(batch) = Arc::get_mut(&mut shared) else { return };
        batch.reset(input, self.slots);
        let rows = batch.rows();
        self.events_in.increment(rows as u64);
        let all: Vec<u16> = (0..rows as u16).collect();
        for row in &batch.input.truncated {
            batch.tags[usize::from(*row)] |= 1 << tag::TRUNCATED;
        }
        if !self.facts.is_empty() {
            set_facts(batch, &self.facts);
        }
        let mut good = all;
        let mut bad = Vec::new();
        for (decoder, subject) in &mut self.decoders {
            let Some(subject) = subject else { continue };
            let before = batch.faults.len();
            decoder.decode(batch, &good, *subject);
            if batch.faults.len() > before {
                bad.extend(batch.faults[before..].iter().map(|(row, ..)| *row));
                good.retain(|row| batch.state[usize::from(*row)] & row_state::FAULT == 0);
            }
        }
        bad.sort_unstable();
        self.errors.increment(bad.len() as u64);
        match told {
            Some((times, ties)) => {
                batch.times.copy_from_slice(times);
                batch.ties.extend_from_slice(ties);
            }
            None => self.time.stamp(batch),
        }
        batch.sum_up_times();
        if let Some(pace) = &self.pace {
            let greatest = batch.times_sum.greatest;
            if greatest != TIME_MISSING {
                pace.report(&batch.input.origin, greatest);
            }
        }
        match &self.error_roots {
            Some(targets) => deal(targets, &bad, &mut self.selections, &mut self.tap_rows),
            // Unwired, a refused row goes on in the stream.
            None if !bad.is_empty() => {
                good.extend_from_slice(&bad);
                good.sort_unstable();
            }
            None => {}
        }
        deal(&self.roots, &good, &mut self.selections, &mut self.tap_rows);
        for at in 0..self.nodes.len() {
            self.run_node(at, batch);
        }
        self.give(shared);
    }

    fn run_node(&mut self, at: usize, batch: &mut Batch) {
        let mut rows = std::mem::take(&mut self.selections[at]);
        let node = &mut self.nodes[at];
        node.events_in.increment(rows.len() as u64);
        self.outputs.rows.resize_with(node.outputs.len().max(self.outputs.rows.len()).max(2), Vec::new);
        self.outputs.rows.iter_mut().for_each(Vec::clear);
        if !rows.is_empty() {
            node.operator.on_batch(batch, &rows, &mut self.outputs);
            let failed = if node.on_error == Errors::Never { 0 } else { self.outputs.rows[ERRORS].len() };
            if failed > 0 {
                node.errors.increment(failed as u64);
                if node.on_error == Errors::GoOn {
                    let (main, rest) = self.outputs.rows.split_at_mut(1);
                    main[0].append(&mut rest[ERRORS - 1]);
                    main[0].sort_unstable();
                }
            }
            node.events_out.increment(self.outputs.rows[0].len() as u64);
            for (targets, rows) in node.outputs.iter().zip(&self.outputs.rows) {
                deal(targets, rows, &mut self.selections, &mut self.tap_rows);
            }
        }
        rows.clear();
        self.selections[at] = rows;
    }

    /// Gives the batch to the taps: every one gets its turn, even where nothing is for it, so that collectors keep the order.
    fn give(&mut self, mut shared: Arc<Batch>) {
        let mut found: Vec<(usize, Vec<Arc<HitBatch>>)> = Vec::new();
        if let Some(batch) = Arc::get_mut(&mut shared) {
            for (at, (tap, rows)) in self.taps.iter_mut().zip(&self.tap_rows).enumerate() {
                if let Tap::Rule { extractor, edges, hits } = tap
                    && !rows.is_empty()
                {
                    let mut shards: Vec<Arc<HitBatch>> = edges.iter().map(|_| hits.take()).collect();
                    let mut parts: Vec<&mut HitBatch> = shards.iter_mut().filter_map(Arc::get_mut).collect();
                    parts.iter_mut().for_each(|p| p.clear());
                    extractor.extract(batch, rows, &mut parts);
                    shards.iter().for_each(|shard| hits.lend(shard));
                    found.push((at, shards));
                }
            }
        }
        self.pool.lend(&shared);
        let mut found = found.into_iter().peekable();
        for (at, (tap, selected)) in self.taps.iter_mut().zip(&self.tap_rows).enumerate() {
            match tap {
                Tap::Rule { edges, .. } => {
                    let shards = found.next_if(|(of, _)| *of == at).map_or(Vec::new(), |(_, shards)| shards);
                    for (shard, edge) in edges.iter().enumerate() {
                        match shards.get(shard) {
                            Some(hits) if !hits.hits.is_empty() => edge.send(Message::Hits(Arc::clone(&shared), Arc::clone(hits))),
                            _ => edge.send_quiet(&shared),
                        }
                    }
                }
                Tap::Sink { edge, dropped: Some(dropped), .. } if !edge.has_room() => {
                    dropped.increment(selected.len() as u64);
                    edge.skip();
                }
                Tap::Sink { edge, rows, .. } => {
                    let mut selection = rows.take();
                    if let Some(selection) = Arc::get_mut(&mut selection) {
                        selection.clear();
                        selection.extend_from_slice(selected);
                    }
                    rows.lend(&selection);
                    edge.send(Message::Rows(Arc::clone(&shared), selection));
                }
            }
        }
        self.tap_rows.iter_mut().for_each(Vec::clear);
    }
}

/// Puts what the source told of each row into its slots.
fn set_facts(batch: &mut Batch, slots: &[Slot]) {
    let input = Arc::clone(&batch.input);
    for (row, facts) in input.facts.chunks(slots.len().max(1)).enumerate() {
        slots.iter().zip(facts).for_each(|(slot, fact)| batch.set(*slot, row, *fact));
    }
}

/// Adds rows to what their targets will see.
fn deal(targets: &[Target], rows: &[u16], selections: &mut [Vec<u16>], tap_rows: &mut [Vec<u16>]) {
    for target in targets {
        let to = match target {
            Target::Node(at) => &mut selections[*at],
            Target::Tap(at) => &mut tap_rows[*at],
        };
        let sorted = to.last().is_none_or(|last| rows.first().is_none_or(|first| last < first));
        to.extend_from_slice(rows);
        if !sorted {
            to.sort_unstable();
        }
    }
}

impl LaneTime {
    /// Sets the event times from the declared field.
    fn stamp(&self, batch: &mut Batch) {
        if !self.is_declared {
            return;
        }
        let received = batch.input.received;
        if let Some(field) = self.field {
            batch.resolve(field);
        }
        let mut last = TIME_MISSING;
        for row in 0..batch.rows() {
            let text = self.field.and_then(|field| batch.value(field, row).plain_text());
            let time = text.and_then(|t| self.rule.parse(t, received));
            match time {
                Some(time) => last = time,
                // The last time of its own partition; where the batch has none yet, the collector knows it.
                None => batch.tags[row] |= 1 << tag::TIME_MISSING,
            }
            batch.times[row] = time.unwrap_or(last);
        }
    }
}

/// A worker of a source's lane.
pub struct LaneStage {
    /// Name of the source.
    pub name: String,
    /// From intake.
    pub input: EdgeReceiver,
    /// The work.
    pub lane: Lane,
    /// Wakes it.
    pub signal: Arc<Signal>,
    /// What it is working on.
    pub suspect: Suspect,
    /// Where it reports its state.
    pub reports: Reports,
}

impl LaneStage {
    /// Does one thing.
    pub fn step(&mut self) -> Step {
        if !self.lane.has_room() {
            return Step::Idle;
        }
        match self.input.receive() {
            None => Step::Idle,
            Some(Message::Input(input)) => {
                self.suspect.note(&input);
                self.lane.run(input, None);
                Step::Worked
            }
            Some(Message::Barrier(barrier)) => {
                self.suspect.clear();
                self.lane.save(barrier.epoch, &self.reports);
                self.lane.on_barrier();
                self.lane.send_control(&Message::Barrier(barrier));
                if barrier.is_last { Step::Done } else { Step::Worked }
            }
            Some(message) => {
                self.lane.send_control(&message);
                Step::Worked
            }
        }
    }
}
