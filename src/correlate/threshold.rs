//! `threshold`: fires when what is measured of the hits in a window meets a bound.
//!
//! The definition is the scan in `docs/correlation.md`; `tests/` holds the operator to it.
use std::collections::HashMap;
use std::sync::Arc;

use bumpalo::Bump;

use super::BindRule;
use super::alert::{Alert, Parts};
use super::copies::{Copies, InputKind, Listed, WritePort, arrive, waiting_write};
use super::options::{Bound, COMMON, Late, RuleSpec, Trigger};
use super::ordinals::Ordinals;
use super::payload::{self, Hit};
use super::port::{Counters, Port};
use super::suppress::Suppressions;
use crate::clock::{NEVER, Timestamp};
use crate::component::correlator::AlertRows;
use crate::component::list_write::Write;
use crate::component::{Correlator, HitBatch, Kind, OutputNames};
use crate::config::{Field, Options, Type};
use crate::event::{Batch, Origin, Slot};
use crate::expr::eval::BatchRow;
use crate::expr::{Program, Row};
use crate::index::KeyIndex;
use crate::index::ahead::{Ahead, Prefetch};
use crate::state::{Chunks, OwnRows, StateError};
use crate::window::arrivals::{Arrival, Arrivals, Inlet, SOON, number_of};
use crate::window::evidence::EvidenceRing;
use crate::window::general::{GeneralGroups, Measure};
use crate::window::ring::{RING_MAX, RingGroups};
use crate::window::watermark::{Activity, Judged};

const FIELDS: &[Field] = &[
    Field::required("within", Type::Duration, "length of the window"),
    Field::optional("count", Type::CountOrExpression, "how many hits, or different values, make it fire"),
    Field::optional("distinct", Type::Text, "counts the different values of this field"),
    Field::optional("sum", Type::Text, "adds up this field"),
    Field::optional("avg", Type::Text, "averages this field"),
    Field::optional("min", Type::Text, "takes the least of this field"),
    Field::optional("max", Type::Text, "takes the greatest of this field"),
    Field::optional("percentile", Type::Any, "[field, P]: takes the value that P per cent do not exceed, by nearest rank"),
    Field::optional("is", Type::Text, "the bound of sum, avg, min, max and percentile, as in \">= 1000\""),
    Field::optional("trigger", Type::Any, "first (default), every, each_threshold, {per: 5m}; window_end of a tumbling or session window"),
    Field::optional("window", Type::Word(&["sliding", "tumbling", "session"]), "sliding (default), tumbling, session"),
    Field::optional("offset", Type::Duration, "where tumbling windows begin, from 1970 on; default 0s"),
    Field::optional("gap", Type::Duration, "the pause that ends a session"),
];

/// See the module.
pub static KIND: Kind<BindRule> = Kind {
    name: "threshold",
    summary: "so many events, different values or so large a sum within a time",
    fields: FIELDS,
    outputs: OutputNames::MainAndLate,
    bind: |options: &Options<'_>| {
        options.check(&[COMMON, FIELDS, crate::config::INPUTS]);
        let mut spec = RuleSpec::common(options);
        spec.read_trigger(options);
        spec.read_window(options);
        spec.read_measure(options);
        Some(spec)
    },
};

/// The groups, in the form that the rule allows.
pub(super) enum Groups {
    Ring(RingGroups),
    General(GeneralGroups),
}

impl Prefetch for Groups {
    #[inline(always)]
    fn index(&self) -> &KeyIndex {
        match self {
            Groups::Ring(ring) => ring.index(),
            Groups::General(groups) => groups.index(),
        }
    }

    #[inline(always)]
    fn known(&self, hash: u64) -> u64 {
        match self {
            Groups::Ring(ring) => ring.known(hash),
            Groups::General(groups) => groups.known(hash),
        }
    }

    #[inline(always)]
    fn prefetch_record(&self, group: u32) {
        match self {
            Groups::Ring(ring) => ring.prefetch_record(group),
            Groups::General(groups) => groups.prefetch_record(group),
        }
    }
}

impl Groups {
    /// Asks for what lies outside of a group that was asked for before, for a hit that measures `amount`. `oldest`: where windows begin about now, if evidence is
    /// kept.
    #[inline(always)]
    fn prefetch_rest(&self, group: u32, amount: i128, oldest: Option<Timestamp>) {
        match self {
            Groups::Ring(ring) => _ = ring.prefetch_rest(group, oldest),
            Groups::General(groups) => groups.prefetch_rest(group, amount),
        }
    }
}

/// One shard of a rule.
pub struct Threshold {
    pub(super) spec: Arc<RuleSpec>,
    /// The inputs that bring hits.
    pub(super) ports: Vec<Port>,
    /// The inputs that bring writes to lists.
    writes: Vec<WritePort>,
    /// What each port of the unit is.
    inputs: Vec<InputKind>,
    /// The lists that it reads.
    pub(super) lists: Copies,
    /// How it writes a list that it reads itself.
    pub(super) own_writes: Option<WritePort>,
    pub(super) groups: Groups,
    pub(super) arrivals: Arrivals,
    pub(super) evidence: EvidenceRing,
    /// The numbers of an alert's records.
    pub(super) chain: Vec<u64>,
    pub(super) suppressions: Option<Suppressions>,
    pub(super) origins: Vec<Origin>,
    pub(super) ordinals: Ordinals,
    /// The last hit that was taken.
    pub(super) passed: (Timestamp, u32, u128),
    /// When a group last had a clamped hit.
    pub(super) clamped: HashMap<u64, Timestamp>,
    pub(super) forced: u64,
    pub(super) late: u64,
    pub(super) evicted: u64,
    /// A shard of the last run has been read.
    pub(super) has_loaded: bool,
    pub(super) counters: Counters,
    pub(super) bump: Bump,
    /// The last alert, its parts, and its measure as text: their memory makes the next one.
    pub(super) alert: Alert,
    pub(super) parts: Parts,
    pub(super) count: Vec<u8>,
    /// Slots of waiting hits, by input.
    pub(super) payload_slots: Arc<Vec<Vec<Slot>>>,
}

impl Threshold {
    /// A shard without state. `inputs`: what each port of the unit is.
    pub fn new(spec: Arc<RuleSpec>, ports: Vec<Port>, lists: Listed, inputs: Vec<InputKind>, counters: Counters) -> Threshold {
        let weighted = ports.iter().any(|p| p.weighted);
        let consume = spec.trigger == Trigger::EachThreshold;
        let simple = spec.is_sliding()
            && ports.iter().all(|p| p.unless.is_none())
            && matches!(spec.trigger, Trigger::First | Trigger::EachThreshold);
        let groups = match spec.bound {
            Bound::Constant(n) if simple && spec.measure == Measure::Count && n <= RING_MAX as i128 => {
                Groups::Ring(RingGroups::new(n as usize, spec.within, weighted, consume))
            }
            _ => Groups::General(GeneralGroups::new(
                spec.measure,
                spec.window,
                spec.within,
                spec.hits_max,
                spec.trigger == Trigger::WindowEnd,
            )),
        };
        let inlet = |input: &InputKind| match input {
            InputKind::Hits(number) => Inlet { policy: ports[*number].policy, tells: ports[*number].is_rule },
            InputKind::Writes(number) => lists.writes[*number].inlet,
        };
        Threshold {
            arrivals: Arrivals::new(inputs.iter().map(inlet).collect()),
            groups,
            evidence: EvidenceRing::new(spec.evidence_max),
            chain: Vec::new(),
            suppressions: spec.suppress.as_ref().map(|(_, length)| Suppressions::new(*length)),
            origins: Vec::new(),
            ordinals: Ordinals::default(),
            passed: (NEVER, 0, 0),
            clamped: HashMap::new(),
            forced: 0,
            late: 0,
            evicted: 0,
            has_loaded: false,
            counters,
            bump: Bump::new(),
            alert: Alert::default(),
            parts: Parts::default(),
            count: Vec::new(),
            payload_slots: Arc::new(ports.iter().map(|p| p.payload.clone()).collect()),
            lists: Copies::new(&lists.specs),
            own_writes: lists.own,
            writes: lists.writes,
            inputs,
            spec,
            ports,
        }
    }

    /// The time that a hit counts with; none where it does not count.
    #[inline]
    pub(super) fn counted(&mut self, judged: Judged) -> Option<(Timestamp, bool)> {
        let mut time = judged.time;
        let mut clamped = false;
        if let Some(limit) = judged.behind {
            self.late += 1;
            self.counters.late.increment(1);
            if self.spec.late != Late::Clamp || judged.greatest.saturating_sub(judged.time) > self.spec.late_max {
                return None;
            }
            (time, clamped) = (limit, true);
        }
        if time < self.arrivals.partitions.released {
            self.counters.idle_return.increment(1);
            (time, clamped) = (self.arrivals.partitions.released, true);
        }
        Some((time, clamped))
    }

    /// Where a window begins that ends at a time, if evidence of it is kept.
    pub(super) fn evidence_from(&self, time: Timestamp) -> Option<Timestamp> {
        (self.spec.evidence_max > 0).then_some(time.saturating_sub(self.spec.within))
    }

    /// Takes a hit in its turn. `guess`: what was said when its memory was asked for.
    fn take<R: Row>(&mut self, guess: Option<u32>, hit: &Hit<'_>, row: &R, out: &mut AlertRows) {
        if self.has_timers() {
            self.pass_to(hit.time, out);
        }
        if let Some(condition) = &self.ports[hit.port].condition
            && !condition.holds(&self.row_of(hit, row, &self.spec, b""), &self.bump)
        {
            return;
        }
        self.passed = (hit.time, hit.tie.0, hit.tie.1);
        if hit.clamped {
            self.clamped.insert(hit.hash, hit.time);
        }
        match &mut self.groups {
            Groups::Ring(ring) => {
                let update = ring.hit(guess, hit.hash, hit.key, hit.time, hit.amount);
                self.after_ring(update, hit, row, out);
            }
            Groups::General(_) => self.take_general(hit, row, out),
        }
    }

    /// Takes the waiting hits that `ready` lets go.
    fn release(&mut self, ready: impl Fn(Timestamp) -> bool, out: &mut AlertRows) {
        let slots = Arc::clone(&self.payload_slots);
        // Taken out for as long as its hits are: nothing that takes a hit puts one in.
        let mut waiting = std::mem::take(&mut self.arrivals.waiting);
        let oldest = self.evidence_from(self.passed.0);
        let mut ahead = Ahead::default();
        for turn in 0.. {
            let rest = |_, group| self.groups.prefetch_rest(group, 0, oldest);
            let guess = ahead.turn(turn, &self.groups, |number| waiting.upcoming(number - turn), Some(rest));
            let Some((hit, payload)) = waiting.pop(&ready) else { break };
            if let Some((writer, record)) = waiting_write(payload) {
                self.take_write((hit.time, hit.rank, hit.tie), writer, record, out);
                continue;
            }
            let read = payload::read(payload, hit.time, hit.hash, (hit.rank, hit.tie), |port| slots.get(port).map_or(&[], Vec::as_slice));
            if let Ok((hit, row)) = read {
                self.take(guess, &hit, &row, out);
            }
        }
        self.arrivals.waiting = waiting;
    }

    /// Takes a write to a list in its turn.
    fn take_write(&mut self, place: (Timestamp, u32, u128), writer: usize, record: &[u8], out: &mut AlertRows) {
        if self.has_timers() {
            self.pass_to(place.0, out);
        }
        self.passed = place;
        if let Some(port) = self.writes.get(writer) {
            self.lists.write(port, place.0, record);
        }
    }

    /// Goes as far as the partitions allow.
    fn advance(&mut self, out: &mut AlertRows) {
        let (watermark, single) = self.arrivals.watermark();
        if !self.arrivals.waiting.is_empty() {
            self.release(|t| t < watermark || (single && t == watermark), out);
            while self.arrivals.waiting.len() > self.spec.waiting_max {
                // The bound: the oldest go early, and say so.
                let Some(first) = self.arrivals.waiting.first_time() else { break };
                let before = self.arrivals.waiting.len();
                self.release(|t| t <= first, out);
                let forced = (before - self.arrivals.waiting.len()) as u64;
                self.forced += forced;
                self.counters.forced.increment(forced);
            }
        }
        self.pass_to(watermark, out);
    }

    /// A batch has been judged. `groups_before`: how many groups there were before it.
    fn end_batch(&mut self, arrival: &Arrival, batch: &Batch, groups_before: usize, out: &mut AlertRows) {
        self.arrivals.end(arrival, batch);
        self.advance(out);
        self.sweep(self.groups_len().saturating_sub(groups_before));
    }

    /// Gives up groups whose window is empty, and the oldest ones where there are too many.
    fn sweep(&mut self, came: usize) {
        let now = self.passed.0;
        let evicted = match &mut self.groups {
            Groups::Ring(ring) => {
                ring.sweep(now, came);
                if ring.len() > self.spec.groups_max { ring.evict(self.spec.groups_max, now) } else { 0 }
            }
            Groups::General(groups) => {
                let per = if let Trigger::Per(per) = self.spec.trigger { per } else { 0 };
                groups.sweep(now, per, came);
                if groups.len() > self.spec.groups_max { groups.evict(self.spec.groups_max, now, per) } else { 0 }
            }
        };
        if evicted > 0 {
            self.evicted += evicted as u64;
            self.counters.evicted.increment(evicted as u64);
        }
        if self.clamped.len() > 4096 {
            let oldest = now.saturating_sub(self.spec.within);
            self.clamped.retain(|_, t| *t > oldest);
        }
        self.counters.groups.set(self.groups_len() as f64);
        if self.arrivals.partitions.released != NEVER {
            self.counters.watermark.set(self.arrivals.partitions.released as f64 / 1e9);
        }
    }

    /// Bytes that the groups hold, where they are rings.
    pub fn memory(&self) -> usize {
        if let Groups::Ring(ring) = &self.groups { ring.memory() } else { 0 }
    }

    /// Open groups.
    pub fn groups_len(&self) -> usize {
        match &self.groups {
            Groups::Ring(ring) => ring.len(),
            Groups::General(groups) => groups.len(),
        }
    }
}

impl Correlator for Threshold {
    fn on_partition(&mut self, port: usize, origin: &Origin, activity: Activity, now: Timestamp, out: &mut AlertRows) {
        self.arrivals.on_partition(port, origin, activity, now);
        self.advance(out);
    }

    fn on_opened(&mut self, _port: usize, out: &mut AlertRows) {
        self.arrivals.on_opened();
        self.advance(out);
    }

    fn on_quiet(&mut self, port: usize, batches: &[Arc<Batch>], out: &mut AlertRows) {
        self.bump.reset();
        self.arrivals.pass(port, batches);
        self.advance(out);
        self.sweep(0);
    }

    fn on_hits(&mut self, port: usize, batch: &Arc<Batch>, hits: &HitBatch, out: &mut AlertRows) {
        self.bump.reset();
        let input = match self.inputs[port] {
            InputKind::Hits(number) => number,
            InputKind::Writes(number) => {
                arrive(&mut self.arrivals, port, number, batch, hits);
                return self.advance(out);
            }
        };
        let arrival = self.arrivals.begin(port, batch);
        let origin = number_of(&mut self.origins, &batch.input.origin);
        let (partition, rank) = (arrival.partition as u32, arrival.rank);
        let groups_before = self.groups_len();
        let is_direct = self.arrivals.is_direct(&arrival);
        if is_direct && arrival.is_plain() && self.is_ring_alone(input) {
            self.take_into_rings(&arrival, (input, origin), batch, hits, out);
            return self.end_batch(&arrival, batch, groups_before, out);
        }
        let oldest = self.evidence_from(self.passed.0);
        let mut ahead = Ahead::default();
        // For a hit that will wait, the memory of its group is asked for when its turn comes.
        let (coming, waiting) = hits.hits.split_at(if is_direct { hits.hits.len() } else { 0 });
        for (i, hit) in hits.hits.iter().enumerate() {
            let rest = |i, group| self.groups.prefetch_rest(group, hits.amount(i), oldest);
            if let Some(soon) = waiting.get(i + SOON) {
                self.arrivals.expect(batch, usize::from(soon.row));
            }
            let guess = ahead.turn(i, &self.groups, |i| coming.get(i).map(|hit| hit.hash), Some(rest));
            let row = usize::from(hit.row);
            let (judged, is_pending) = self.arrivals.judge(&arrival, batch, row, hit.before);
            let Some((time, clamped)) = self.counted(judged) else {
                self.ports[input].give_late(batch, row, judged.time, &mut out.late);
                continue;
            };
            let position = batch.input.position(row);
            let tie = self.arrivals.tie(&arrival, batch, row);
            let text = if self.spec.evidence_max > 0 { batch.input.line(row) } else { b"" };
            let key = hits.key(hit);
            let hit = Hit {
                port: input,
                time,
                hash: hit.hash,
                key,
                amount: hits.amount(i),
                clamped,
                partition,
                origin,
                position,
                tie: (rank, tie),
                text,
            };
            if self.arrivals.is_next(&arrival, is_pending) {
                self.take(guess, &hit, &BatchRow { batch, row }, out);
            } else {
                let slots = &self.ports[input].payload;
                let write = |bytes: &mut Vec<u8>| payload::write(&hit, slots, &BatchRow { batch, row }, bytes);
                self.arrivals.waiting.push(time, (partition, rank), tie, hit.hash, write);
            }
        }
        self.end_batch(&arrival, batch, groups_before, out);
    }

    fn on_watermark(&mut self, port: usize, time: Timestamp, out: &mut AlertRows) {
        self.arrivals.on_watermark(port, time);
        self.advance(out);
    }

    fn on_end(&mut self, close: bool, out: &mut AlertRows) {
        self.bump.reset();
        self.release(|_| true, out);
        let greatest = self.arrivals.partitions.greatest();
        self.pass_to(if close { Timestamp::MAX } else { greatest }, out);
        self.arrivals.partitions.released = self.arrivals.partitions.released.max(greatest);
    }

    fn watermark(&self) -> Timestamp {
        self.arrivals.partitions.released
    }

    fn has_room(&self) -> bool {
        self.lists.has_room()
    }

    fn attach(&mut self, rows: OwnRows) {
        self.lists.attach(&rows);
    }

    fn save(&mut self, full: bool) -> Chunks {
        for port in &mut self.ports {
            port.alert.refresh();
            port.bound.iter_mut().chain(&mut port.unless).chain(&mut port.condition).for_each(Program::refresh);
            port.write.iter_mut().for_each(Write::refresh);
        }
        self.save_state(full)
    }

    fn load(&mut self, blobs: &[Vec<u8>], keep: &dyn Fn(u64) -> bool) -> Result<(), StateError> {
        self.load_state(blobs, keep)
    }

    fn size_hint(&self) -> usize {
        self.groups_len() * 96 + self.lists.size_hint() + self.arrivals.waiting.len() * 256 + 4096
    }
}
