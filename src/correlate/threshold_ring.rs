//! `threshold` over windows of which the last N hits are enough: the way of most hits, so what few of them need is made only for those.
use std::sync::Arc;

use super::firing::Decision;
use super::payload::Hit;
use super::threshold::{Groups, Threshold};
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
use crate::window::ring::Update;

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
        let oldest = self.evidence_from(self.passed.0);
        let mut ahead = Ahead::default();
        let mut last = None;
        for (i, hit) in hits.hits.iter().enumerate() {
            let Groups::Ring(ring) = &self.groups else { return };
            let guess = ahead.turn(
                i,
                ring,
                |i| hits.hits.get(i).map(|h| h.hash),
                |i, group| {
                    if ring.prefetch_rest(group, oldest) {
                        simd::prefetch_text(batch.input.line(usize::from(hits.hits[i].row)));
                    }
                },
            );
            let row = usize::from(hit.row);
            let (judged, _) = self.arrivals.judge(arrival, batch, row, hit.before);
            let Some((time, clamped)) = self.counted(judged) else {
                self.ports[input].give_late(batch, row, judged.time, &mut out.late);
                continue;
            };
            last = Some((time, row));
            let Groups::Ring(ring) = &mut self.groups else { return };
            let key = hits.key(hit);
            let update = ring.hit(guess, hit.hash, key, time, hits.amount(i));
            if clamped {
                self.clamped.insert(hit.hash, time);
            }
            if !update.fires && update.weight < worth {
                continue;
            }
            let hit = Hit {
                port: input,
                time,
                hash: hit.hash,
                key,
                amount: hits.amount(i),
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
