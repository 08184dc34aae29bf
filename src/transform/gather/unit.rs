//! A shard of a gatherer: takes parts in the order of event time, and closes what is complete or due.
//!
//! Pieces of its state: `1` the head (always whole), `2` open groups, `3` parts that wait.
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::GatherPort;
use super::combine::{Combiner, Common, Keys};
use super::extract::{ALONE, END, START, role_and_weight};
use super::open::{Group, OpenGroups, frame, parts};
use super::options::GatherSpec;
use super::part::{Event, Part, read_part, write_part};
use crate::clock::{NEVER, Timestamp};
use crate::component::correlator::AlertRows;
use crate::component::{Correlator, HitBatch};
use crate::event::{Batch, Origin, amount, text};
use crate::index::ahead::Ahead;
use crate::limits::{GATHERED_BYTES_MAX, HITS_WAITING_MAX};
use crate::metrics::Registry;
use crate::state::{Chunks, StateError, StateReader};
use crate::window::arrivals::{Arrivals, Inlet, SOON};
use crate::window::watermark::Activity;

const HEAD: u8 = 1;
const GROUPS: u8 = 2;
const WAITING: u8 = 3;

/// Counters of one gatherer, shared by its shards.
#[derive(Clone)]
pub struct GatherCounters {
    partial: metrics::Counter,
    evicted: metrics::Counter,
    forced: metrics::Counter,
    late: metrics::Counter,
    groups: metrics::Gauge,
}

impl GatherCounters {
    /// The counters of a node.
    pub fn new(registry: &Registry, node: &str) -> GatherCounters {
        let evicted = |reason: &str| registry.counter("tripline_evicted_total", &[("rule", node), ("reason", reason)]);
        GatherCounters {
            partial: registry.counter("tripline_discarded_total", &[("node", node), ("reason", "partial")]),
            evicted: evicted("groups"),
            forced: evicted("forced"),
            late: registry.counter("tripline_late_total", &[("node", node), ("reason", "late")]),
            groups: registry.gauge("tripline_groups", &[("rule", node)]),
        }
    }
}

/// Why a group is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    /// Its last part came.
    Ended,
    /// Its time is over, or the next one begins.
    Over,
    /// A bound was reached.
    Cut,
}

/// See the module.
pub struct Gatherer {
    spec: Arc<GatherSpec>,
    ports: Vec<Arc<GatherPort>>,
    arrivals: Arrivals,
    open: OpenGroups,
    /// The last part that was taken.
    passed: (Timestamp, u32, u128),
    counters: GatherCounters,
    combiner: Combiner,
    /// Keys that are written apart from the others.
    hidden: Keys,
    /// Keys of the fields whose values make events equal.
    same: Keys,
    sums: Vec<Option<i128>>,
    line: Vec<u8>,
    kept: Vec<u8>,
    common: Vec<u8>,
}

impl Gatherer {
    /// A shard without state.
    pub fn new(spec: Arc<GatherSpec>, ports: Vec<GatherPort>, counters: GatherCounters) -> Gatherer {
        let own: &[&str] = if spec.is_aggregate { &["startTime", "endTime", "baseEventCount"] } else { &["startTime", "endTime", "tags"] };
        let hidden = own.iter().copied().chain(spec.sum.iter().map(String::as_str)).collect();
        Gatherer {
            arrivals: Arrivals::new(ports.iter().map(|p| p.inlet).collect::<Vec<Inlet>>()),
            open: OpenGroups::new(spec.sum.len()),
            passed: (NEVER, 0, 0),
            counters,
            combiner: Combiner::default(),
            hidden,
            same: spec.key.iter().map(|(field, _)| field.as_str()).collect(),
            sums: Vec::new(),
            line: Vec::new(),
            kept: Vec::new(),
            common: Vec::new(),
            spec,
            ports: ports.into_iter().map(Arc::new).collect(),
        }
    }

    /// Open groups.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes a part in its turn.
    fn take(&mut self, part: &Part<'_>, out: &mut AlertRows) {
        self.close_due(part.time, out);
        self.passed = (part.time, part.tie.0, part.tie.1);
        if part.role & ALONE != 0 {
            return say(part.time, tie_of(part.tie), (part.id, part.id), out, |line| part.event.write(line));
        }
        let mut found = self.open.find(part.hash, part.key);
        if let Some(open) = found.filter(|_| part.role & START != 0) {
            self.close(open, Closed::Over, out);
            found = None;
        }
        let number = match found {
            Some(number) => number,
            None => {
                self.make_room(out);
                self.open.open(part.hash, part.key, part.time)
            }
        };
        let is_full = self.add(number, part);
        if part.role & END != 0 {
            self.close(number, Closed::Ended, out);
        } else if is_full {
            self.close(number, Closed::Cut, out);
        }
    }

    /// Adds a part to its group. True where the group can take no more.
    fn add(&mut self, number: u32, part: &Part<'_>) -> bool {
        let spec = &self.spec;
        let group = self.open.get(number);
        let is_first = group.parts == 0;
        if is_first {
            group.ids.0 = part.id;
            group.started = part.role & START != 0 || !spec.has_start;
        }
        group.ids.1 = part.id;
        group.last = part.time;
        group.tie = tie_of(part.tie);
        group.parts += 1;
        group.weight = group.weight.saturating_add(part.weight);
        let is_heavy = group.weight >= spec.count_max;
        for (sum, value) in self.open.sums(number).iter_mut().zip(part.sums) {
            *sum = match (*sum, value) {
                (Some(sum), Some(value)) => Some(sum.saturating_add(*value)),
                (sum, value) => sum.or(*value),
            };
        }
        if !spec.is_aggregate || is_first {
            frame(&mut self.line, |line| part.event.write(line));
            self.open.keep(number, &self.line);
        } else if spec.keeps_common {
            self.keep_common(number, part);
        }
        is_heavy || self.open.size(number) >= GATHERED_BYTES_MAX
    }

    /// Takes out of what a group keeps what a further event does not have.
    fn keep_common(&mut self, number: u32, part: &Part<'_>) {
        self.kept.clear();
        self.open.read(number, &mut self.kept);
        self.line.clear();
        part.event.write(&mut self.line);
        let kept = parts(&self.kept).next().unwrap_or_default();
        let mut common = Common::default();
        frame(&mut self.common, |out| common = self.combiner.common(kept, &self.line, &self.same, &self.hidden, out));
        let is_plain = &mut self.open.get(number).is_plain;
        if common.is_less || (common.is_plain && !*is_plain) {
            // Less of what was plain is plain too.
            *is_plain |= common.is_plain;
            self.open.keep_only(number, &self.common);
        }
    }

    /// Closes the oldest group where there are too many.
    fn make_room(&mut self, out: &mut AlertRows) {
        while self.open.len() >= self.spec.capacity {
            let Some((_, oldest)) = self.open.oldest() else { return };
            self.counters.evicted.increment(1);
            self.close(oldest, Closed::Cut, out);
        }
    }

    /// Closes the groups whose time is over before `time`. The deadline is half-open.
    fn close_due(&mut self, time: Timestamp, out: &mut AlertRows) {
        while let Some((first, number)) = self.open.oldest()
            && first.saturating_add(self.spec.within - 1) < time
        {
            self.close(number, Closed::Over, out);
        }
    }

    fn close(&mut self, number: u32, why: Closed, out: &mut AlertRows) {
        let reached_end = match why {
            Closed::Ended => true,
            Closed::Over => !self.spec.has_end,
            Closed::Cut => false,
        };
        let is_whole = self.spec.is_aggregate || (self.open.group(number).0.started && reached_end);
        if !is_whole && self.spec.drops_partial {
            self.counters.partial.increment(1);
            return self.open.close(number);
        }
        self.kept.clear();
        self.open.read(number, &mut self.kept);
        let events = &self.kept;
        let (spec, combiner, hidden) = (&self.spec, &mut self.combiner, &self.hidden);
        let (group, sums) = self.open.group(number);
        say(group.last, group.tie, group.ids, out, |line| {
            line.push(b'{');
            match parts(events).next() {
                Some([b'{', members @ .., b'}']) if group.is_plain => {
                    line.extend_from_slice(members);
                    line.extend((!members.is_empty()).then_some(b','));
                }
                _ => combiner.combine(events, spec.fields, &spec.delimiter, hidden, line),
            }
            if spec.is_aggregate {
                write_sums(spec, group, sums, line);
            } else {
                combiner.write_tags(events, is_whole, line);
            }
            combiner.write_times(group.first, group.last, line);
            line.push(b'}');
        });
        self.open.close(number);
    }

    /// Takes the waiting parts that `ready` lets go.
    fn release(&mut self, ready: impl Fn(Timestamp) -> bool, out: &mut AlertRows) {
        // Taken out for as long as its parts are: nothing that takes a part puts one in.
        let mut waiting = std::mem::take(&mut self.arrivals.waiting);
        let mut sums = std::mem::take(&mut self.sums);
        let mut ahead = Ahead::default();
        for turn in 0.. {
            ahead.turn(turn, &self.open, |number| waiting.upcoming(number - turn), Some(|_, group| self.open.prefetch_kept(group)));
            let Some((hit, payload)) = waiting.pop(&ready) else { break };
            let (time, tie, hash) = (hit.time, (hit.rank, hit.tie), hit.hash);
            if let Ok(part) = read_part(payload, (time, tie, hash), &mut sums) {
                self.take(&part, out);
            }
        }
        self.arrivals.waiting = waiting;
        self.sums = sums;
    }

    /// Goes as far as the partitions allow.
    fn advance(&mut self, out: &mut AlertRows) {
        let (watermark, single) = self.arrivals.watermark();
        if !self.arrivals.waiting.is_empty() {
            self.release(|t| t < watermark || (single && t == watermark), out);
            while self.arrivals.waiting.len() > HITS_WAITING_MAX {
                // The bound: the oldest go early.
                let Some(first) = self.arrivals.waiting.first_time() else { break };
                let before = self.arrivals.waiting.len();
                self.release(|t| t <= first, out);
                self.counters.forced.increment((before - self.arrivals.waiting.len()) as u64);
            }
        }
        self.close_due(watermark, out);
        self.counters.groups.set(self.open.len() as f64);
    }
}

impl Correlator for Gatherer {
    fn on_partition(&mut self, port: usize, origin: &Origin, activity: Activity, now: Timestamp, out: &mut AlertRows) {
        self.arrivals.on_partition(port, origin, activity, now);
        self.advance(out);
    }

    fn on_opened(&mut self, _port: usize, out: &mut AlertRows) {
        self.arrivals.on_opened();
        self.advance(out);
    }

    fn on_quiet(&mut self, port: usize, batches: &[Arc<Batch>], out: &mut AlertRows) {
        self.arrivals.pass(port, batches);
        self.advance(out);
    }

    fn on_hits(&mut self, port: usize, batch: &Arc<Batch>, hits: &HitBatch, out: &mut AlertRows) {
        let arrival = self.arrivals.begin(port, batch);
        let (partition, rank) = (arrival.partition as u32, arrival.rank);
        let of_port = Arc::clone(&self.ports[port]);
        let origin = &batch.input.origin;
        let mut sums = std::mem::take(&mut self.sums);
        let is_direct = self.arrivals.is_direct(&arrival);
        let mut ahead = Ahead::default();
        // For one that will wait, the memory of its group is asked for when its turn comes.
        let (coming, waiting) = hits.hits.split_at(if is_direct { hits.hits.len() } else { 0 });
        for (i, hit) in hits.hits.iter().enumerate() {
            if let Some(soon) = waiting.get(i + SOON) {
                self.arrivals.expect(batch, usize::from(soon.row));
            }
            ahead.turn(i, &self.open, |i| coming.get(i).map(|hit| hit.hash), Some(|_, group| self.open.prefetch_kept(group)));
            let row = usize::from(hit.row);
            let (judged, is_pending) = self.arrivals.judge(&arrival, batch, row, hit.before);
            if judged.behind.is_some() {
                self.counters.late.increment(1);
            }
            // Nothing is lost for being late: it counts with the least time that it may have.
            let time = judged.behind.unwrap_or(judged.time).max(self.arrivals.partitions.released);
            let (role, weight) = role_and_weight(hits.amount(i));
            sums.clear();
            sums.extend(of_port.sums.iter().map(|slot| slot.and_then(|slot| amount::decimal(batch.value(slot, row)))));
            let part = Part {
                time,
                tie: (rank, self.arrivals.tie(&arrival, batch, row)),
                hash: hit.hash,
                key: hits.key(hit),
                role,
                weight,
                id: origin.event_hash(batch.input.position(row), batch.input.line(row)),
                sums: &sums,
                event: Event::Row(&of_port, batch, row),
            };
            if self.arrivals.is_next(&arrival, is_pending) {
                self.take(&part, out);
            } else {
                self.arrivals.waiting.push(time, (partition, rank), part.tie.1, hit.hash, |bytes| write_part(&part, bytes));
            }
        }
        self.sums = sums;
        self.arrivals.end(&arrival, batch);
        self.advance(out);
    }

    fn on_watermark(&mut self, port: usize, time: Timestamp, out: &mut AlertRows) {
        self.arrivals.on_watermark(port, time);
        self.advance(out);
    }

    fn on_end(&mut self, close: bool, out: &mut AlertRows) {
        self.release(|_| true, out);
        let greatest = self.arrivals.partitions.greatest();
        self.close_due(if close { Timestamp::MAX } else { greatest }, out);
        self.arrivals.partitions.released = self.arrivals.partitions.released.max(greatest);
    }

    /// What is open will be as old as its last part, so time stands still at the first part of the oldest.
    fn watermark(&self) -> Timestamp {
        let released = self.arrivals.partitions.released;
        self.open.oldest().map_or(released, |(first, _)| first.min(released))
    }

    fn save(&mut self, full: bool) -> Chunks {
        let mut chunks = Chunks::default();
        chunks.begin(HEAD);
        let head = chunks.record();
        self.arrivals.save_head(head);
        head.i64(self.passed.0);
        head.u32(self.passed.1);
        head.u128(self.passed.2);
        chunks.begin(GROUPS);
        self.open.save(full, &mut chunks);
        chunks.begin(WAITING);
        self.arrivals.waiting.save(full, &mut chunks);
        chunks.pieces.retain(|p| p.bytes.len() > 1);
        chunks
    }

    fn load(&mut self, blobs: &[Vec<u8>], keep: &dyn Fn(u64) -> bool) -> Result<(), StateError> {
        let before = self.passed;
        for blob in blobs {
            let mut from = StateReader::new(blob);
            match from.u8()? {
                HEAD => {
                    self.arrivals.load_head(&mut from)?;
                    self.passed = (from.i64()?, from.u32()?, from.u128()?);
                }
                GROUPS => self.open.load(&mut from, keep)?,
                WAITING => self.arrivals.load_waiting(&mut from, &|hash, _| keep(hash))?,
                _ => return Err(StateError("a piece of state of an unknown kind".into())),
            }
        }
        self.arrivals.mend(self.passed);
        self.open.settle();
        self.passed = self.passed.max(before);
        Ok(())
    }

    fn size_hint(&self) -> usize {
        self.open.len() * 512 + self.arrivals.waiting.len() * 512 + 4096
    }
}

/// The order among parts of equal time.
fn tie_of(tie: (u32, u128)) -> u128 {
    u128::from(tie.0) << 96 | tie.1
}

/// Puts an event out. Its identity is made of those of its first and its last part.
fn say(time: Timestamp, tie: u128, ids: (u128, u128), out: &mut AlertRows, write: impl FnOnce(&mut Vec<u8>)) {
    let mut parts = [0; 32];
    parts[..16].copy_from_slice(&ids.0.to_be_bytes());
    parts[16..].copy_from_slice(&ids.1.to_be_bytes());
    out.lines.push(write);
    out.times.push(time);
    out.ties.push(tie);
    out.positions.push(xxh3_64(&parts));
}

/// Writes the sums and the count, each with its comma.
fn write_sums(spec: &GatherSpec, group: &Group, sums: &[Option<i128>], out: &mut Vec<u8>) {
    for (name, sum) in spec.sum.iter().zip(sums) {
        if let Some(sum) = sum {
            text::quote(name.as_bytes(), out);
            out.push(b':');
            amount::write_decimal(*sum, out);
            out.push(b',');
        }
    }
    out.extend_from_slice(b"\"baseEventCount\":");
    text::write_number(i64::try_from(group.weight).unwrap_or(i64::MAX), out);
    out.push(b',');
}
