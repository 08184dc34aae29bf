//! `threshold` over windows of which the last N hits are enough: the way of most hits, so what few of them need is made only for those.
use std::sync::Arc;

use super::firing::Decision;
use super::payload::Hit;
use super::threshold::{Groups, Threshold};
use crate::clock::Timestamp;
use crate::component::HitBatch;
use crate::component::correlator::AlertRows;
use crate::event::Batch;
use crate::expr::Row;
use crate::expr::eval::BatchRow;
use crate::index::ahead::Ahead;
use crate::simd;
use crate::window::arrivals::Arrival;
use crate::window::evidence::NONE;
use crate::window::general::Measured;
use crate::window::ring::{RingGroups, Update};

/// The hits of a batch on their way into the rings, most of which need nothing else.
struct Run<'a> {
    batch: &'a Batch,
    hits: &'a HitBatch,
    /// Of the next one.
    number: usize,
    ahead: Ahead,
    /// Where windows begin about now, if evidence is kept.
    oldest: Option<Timestamp>,
    /// From when on a time counts as it is.
    settled: Timestamp,
    /// The least weight of a window of which evidence is kept.
    worth: u64,
}

/// At a hit that needs more.
enum Stop {
    /// It has been taken, and fires or is worth its evidence.
    Taken(Update),
    /// It lies behind others. With what its group probably is.
    Unsettled(Option<u32>),
}

impl Run<'_> {
    /// Takes hits up to one that needs more, at which it stands then.
    #[inline]
    fn take(&mut self, ring: &mut RingGroups) -> Option<Stop> {
        let Run { batch, hits, .. } = *self;
        let has_rest = ring.has_rest(self.oldest);
        while let Some(hit) = hits.hits.get(self.number) {
            let rest = |number: usize, group| {
                if ring.prefetch_rest(group, self.oldest) {
                    simd::prefetch_text(batch.input.line(usize::from(hits.hits[number].row)));
                }
            };
            let guess = self.ahead.turn(self.number, &*ring, |number| hits.hits.get(number).map(|hit| hit.hash), has_rest.then_some(rest));
            let time = batch.times[usize::from(hit.row)];
            if time < self.settled.max(hit.before) {
                return Some(Stop::Unsettled(guess));
            }
            let update = ring.hit(guess, hit.hash, hits.key(hit), time, hits.amount(self.number));
            if self.is_worth(&update) {
                return Some(Stop::Taken(update));
            }
            self.number += 1;
        }
        None
    }

    #[inline(always)]
    fn is_worth(&self, update: &Update) -> bool {
        update.fires || update.weight >= self.worth
    }
}

impl Threshold {
    /// Whether a hit of an input touches its ring and nothing else before it fires.
    pub(super) fn is_ring_alone(&self, input: usize) -> bool {
        matches!(self.groups, Groups::Ring(_)) && !self.has_timers() && self.ports[input].condition.is_none()
    }

    /// Takes the hits of a batch that come in order and at once. `input`, `origin`: their numbers.
    pub(super) fn take_into_rings(
        &mut self,
        arrival: &Arrival,
        (input, origin): (usize, u32),
        batch: &Arc<Batch>,
        hits: &HitBatch,
        out: &mut AlertRows,
    ) {
        let Groups::Ring(ring) = &self.groups else { return };
        let has_evidence = self.spec.evidence_max > 0;
        let worth = if has_evidence { ring.half() as u64 } else { u64::MAX };
        let settled = self.arrivals.settled(arrival);
        let mut run = Run { batch, hits, number: 0, ahead: Ahead::default(), oldest: self.evidence_from(self.passed.0), settled, worth };
        let mut last = None;
        loop {
            let Groups::Ring(ring) = &mut self.groups else { return };
            let began = run.number;
            let stop = run.take(ring);
            if let Some(hit) = hits.hits[began..run.number].last() {
                let row = usize::from(hit.row);
                last = Some((batch.times[row], row));
            }
            let (Some(stop), Some(hit)) = (stop, hits.hits.get(run.number)) else { break };
            let (key, amount, row) = (hits.key(hit), hits.amount(run.number), usize::from(hit.row));
            run.number += 1;
            let (time, clamped, update) = match stop {
                Stop::Taken(update) => (batch.times[row], false, update),
                Stop::Unsettled(guess) => {
                    let (judged, _) = self.arrivals.judge(arrival, batch, row, hit.before);
                    let Some((time, clamped)) = self.counted(judged) else {
                        self.ports[input].give_late(batch, row, judged.time, &mut out.late);
                        continue;
                    };
                    if clamped {
                        self.clamped.insert(hit.hash, time);
                    }
                    let Groups::Ring(ring) = &mut self.groups else { return };
                    (time, clamped, ring.hit(guess, hit.hash, key, time, amount))
                }
            };
            last = Some((time, row));
            if !run.is_worth(&update) {
                continue;
            }
            let hit = Hit {
                port: input,
                time,
                hash: hit.hash,
                key,
                amount,
                clamped,
                partition: arrival.partition as u32,
                origin,
                position: batch.input.position(row),
                tie: (arrival.rank, self.arrivals.tie(arrival, batch, row)),
                text: if has_evidence { batch.input.line(row) } else { b"" },
            };
            self.after_ring(update, &hit, &BatchRow { batch, row }, out);
        }
        if let Some((time, row)) = last {
            self.passed = (time, arrival.rank, self.arrivals.tie(arrival, batch, row));
        }
    }

    /// Keeps the evidence of a hit that its ring has taken, and fires.
    #[inline]
    pub(super) fn after_ring<R: Row>(&mut self, update: Update, hit: &Hit<'_>, row: &R, out: &mut AlertRows) {
        let Groups::Ring(ring) = &mut self.groups else { return };
        let mut newest = NONE;
        if self.spec.evidence_max > 0 && update.weight >= ring.half() as u64 {
            let place = ring.evidence(update.group);
            self.evidence.push(place, hit.hash, hit.time, (hit.partition, hit.origin, hit.position), hit.text);
            newest = *place;
        }
        if update.fires {
            let (measured, since) = (Measured { value: i128::from(update.weight), of: 1 }, hit.time.saturating_sub(self.spec.within));
            self.fire(hit, row, Decision { first: update.first, newest, since, ..Decision::at(hit, measured) }, out);
        }
    }
}
