//! `threshold` over windows that hold all their hits: what a hit does to its window, and what a window says at its end.
use std::sync::Arc;

use super::firing::Decision;
use super::options::{Bound, RuleSpec, Trigger};
use super::payload::{self, Hit};
use super::port::{bound_of, write_measure};
use super::threshold::{Groups, Threshold};
use crate::clock::{NEVER, Timestamp};
use crate::component::correlator::AlertRows;
use crate::expr::Row;
use crate::window::general::{Entry, Measure, Measured};

impl Threshold {
    /// The bound as it stands for an event.
    fn bound<R: Row>(&self, spec: &RuleSpec, hit: &Hit<'_>, row: &R) -> Option<i128> {
        match (&spec.bound, &self.ports[hit.port].bound) {
            (Bound::Constant(n), _) => Some(*n),
            (_, Some(program)) => bound_of(program.value(&self.row_of(hit, row, spec, b""), &self.bump), spec.measure),
            _ => None,
        }
    }

    /// Whether `unless` holds a firing back; then it is counted.
    fn is_excepted<R: Row>(&self, spec: &RuleSpec, hit: &Hit<'_>, row: &R, measured: Measured) -> bool {
        let Some(unless) = &self.ports[hit.port].unless else { return false };
        let mut count = Vec::new();
        write_measure(measured, spec.measure, &mut count);
        let excepted = unless.holds(&self.row_of(hit, row, spec, &count), &self.bump);
        self.counters.excepted.increment(u64::from(excepted));
        excepted
    }

    #[inline(never)]
    pub(super) fn take_general<R: Row>(&mut self, hit: &Hit<'_>, row: &R, out: &mut AlertRows) {
        let spec = Arc::clone(&self.spec);
        let bound = self.bound(&spec, hit, row);
        let Groups::General(groups) = &mut self.groups else { return };
        let id = groups.before(hit.hash, hit.key, hit.time);
        let group = groups.group(id);
        let meets = |measured: Measured| bound.is_some_and(|b| spec.holds(measured, b));
        // An empty window fails every bound. Windows that follow each other are armed once, where they begin.
        if spec.is_sliding() && (group.is_empty() || !meets(group.measure(spec.measure))) {
            group.armed = true;
        }
        self.evicted += groups.add(id, Entry { time: hit.time, amount: hit.amount }) as u64;
        if spec.trigger == Trigger::WindowEnd {
            groups.keep_last(id, |bytes| payload::write(hit, &self.ports[hit.port].payload, row, bytes));
        }
        let group = groups.group(id);
        let (measured, first) = (group.measure(spec.measure), group.first());
        if spec.evidence_max > 0 && is_half(&spec, measured, bound) {
            self.evidence.push(&mut group.evidence, hit.hash, hit.time, (hit.partition, hit.origin, hit.position), hit.text);
        }
        let may = match spec.trigger {
            Trigger::First => group.armed,
            Trigger::Every | Trigger::EachThreshold => true,
            Trigger::Per(per) => group.fired == NEVER || hit.time >= group.fired.saturating_add(per),
            Trigger::WindowEnd => false,
        };
        if !may || !meets(measured) {
            return;
        }
        if self.is_excepted(&spec, hit, row, measured) {
            return;
        }
        let Groups::General(groups) = &mut self.groups else { return };
        let group = groups.group(id);
        group.armed = false;
        group.fired = hit.time;
        let (newest, since) = (group.evidence, group.since(hit.time, spec.within));
        if spec.trigger == Trigger::EachThreshold {
            group.consume(spec.measure);
        }
        self.fire(hit, row, Decision { first, newest, since, ..Decision::at(hit, measured) }, out);
    }

    /// The earliest time at which a window says something.
    pub(super) fn window_deadline(&mut self) -> Option<Timestamp> {
        match &mut self.groups {
            Groups::General(groups) => groups.deadline(),
            Groups::Ring(_) => None,
        }
    }

    /// Ends the windows of the earliest deadline: each that meets its bound fires, by what its last hit says.
    pub(super) fn end_windows(&mut self, deadline: Timestamp, out: &mut AlertRows) {
        let spec = Arc::clone(&self.spec);
        let slots = Arc::clone(&self.payload_slots);
        let due = if let Groups::General(groups) = &mut self.groups { groups.due() } else { Vec::new() };
        for id in due {
            let Groups::General(groups) = &mut self.groups else { return };
            let group = groups.group(id);
            let (measured, first, last, newest) = (group.measure(spec.measure), group.first(), group.newest(), group.evidence);
            let (hash, since) = (group.hash(), group.since(deadline, spec.within));
            let bytes = groups.close(id);
            let read = payload::read(&bytes, last, hash, (0, 0), |port| slots.get(port).map_or(&[], Vec::as_slice));
            let Ok((hit, row)) = read else { continue };
            let bound = self.bound(&spec, &hit, &row);
            if !bound.is_some_and(|b| spec.holds(measured, b)) || self.is_excepted(&spec, &hit, &row, measured) {
                continue;
            }
            let tie = super::firing::behind_all(hit.key);
            self.fire(&hit, &row, Decision { anchor: deadline + 1, time: deadline, tie, measured, first, last, newest, since }, out);
        }
    }
}

/// Whether a window is half-way to its bound: from there on evidence is kept. A measure that does not grow with the hits has no half.
fn is_half(spec: &RuleSpec, measured: Measured, bound: Option<i128>) -> bool {
    match spec.measure {
        Measure::Count | Measure::Distinct | Measure::Sum => {
            bound.is_some_and(|b| spec.comparison.holds(measured.value.saturating_mul(2), b))
        }
        Measure::Average | Measure::Rank(_) => true,
    }
}
