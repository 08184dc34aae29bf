//! What happens when a threshold fires: its alert, the evidence in it, and what a suppression holds back.
use super::alert::{Alert, Completeness, id_of, write_event};
use super::options::{RuleSpec, Trigger};
use super::payload::{Hit, RuleRow};
use super::port::{suppress_key, write_measure};
use super::suppress::Suppressions;
use super::threshold::Threshold;
use crate::clock::Timestamp;
use crate::component::correlator::{AlertRows, key_parts};
use crate::event::text;
use crate::expr::Row;
use crate::limits::EVIDENCE_EVENTS_MAX;
use crate::simd;
use crate::window::general::Measured;

/// When and why a rule fires.
pub(super) struct Decision {
    /// The time in the alert's id.
    pub(super) anchor: Timestamp,
    /// When it was decided.
    pub(super) time: Timestamp,
    /// Its place among what is decided at the same time.
    pub(super) tie: u128,
    /// The measure.
    pub(super) measured: Measured,
    /// Oldest and newest hit of the window.
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// Where the newest evidence lies.
    pub(super) newest: u64,
    /// What lies at or before this is not in the window.
    pub(super) since: Timestamp,
}

impl Decision {
    /// Decided by a hit; the rest is the window's to say.
    pub(super) fn at(hit: &Hit<'_>, measured: Measured) -> Decision {
        let tie = (u128::from(hit.tie.0) << 96) | hit.tie.1;
        Decision { anchor: hit.time, time: hit.time, tie, measured, first: hit.time, last: hit.time, newest: u64::MAX, since: hit.time }
    }
}

/// Behind every hit of its time, by key among its like.
pub(super) fn behind_all(key: &[u8]) -> u128 {
    u128::MAX << 96 | key.iter().take(8).fold(0u128, |n, b| n << 8 | u128::from(*b)) << 8
}

fn say(spec: &RuleSpec, alert: &Alert, tie: u128, out: &mut AlertRows) {
    if spec.shadow {
        return;
    }
    out.lines.push(|line| alert.write(line));
    out.times.push(alert.time);
    out.ties.push(tie);
}

impl Threshold {
    /// Kept out of the way of the hits that do not fire.
    #[inline(never)]
    pub(super) fn fire<R: Row>(&mut self, hit: &Hit<'_>, row: &R, decision: Decision, out: &mut AlertRows) {
        let Decision { anchor, time, tie, measured, first, last, newest, since } = decision;
        // The end of a window comes once.
        let number = if self.spec.trigger == Trigger::WindowEnd { 0 } else { self.ordinals.next(hit.key, anchor) };
        self.count.clear();
        write_measure(measured, self.spec.measure, &mut self.count);
        let tenant = key_parts(hit.key).next().unwrap_or_default();
        self.write_list(hit, row, time, tie, out);
        let suppress_key = self.spec.suppress.is_some().then(|| suppress_key(&self.ports[hit.port].suppress_by, tenant, row));
        if let (Some(suppressions), Some(key)) = (&mut self.suppressions, &suppress_key)
            && suppressions.holds(key, time, &self.count)
        {
            return self.counters.suppressed.increment(1);
        }
        let (alert, programs) = (&mut self.alert, &self.ports[hit.port].alert);
        alert.clear();
        alert.id = programs.constants.ids.id(tenant, key_parts(hit.key).skip(1), anchor, number);
        (alert.time, alert.first_seen, alert.last_seen) = (time, first, last);
        alert.count.extend_from_slice(&self.count);
        let rule_row = RuleRow::new(row, (hit.key, hit.time), &self.spec.id, &self.count, &self.lists);
        alert.describe(hit.key, programs, &rule_row, &self.bump, &mut self.parts);
        let evidence_evicted = self.write_events(newest, since, hit);
        let clamped = self.clamped.get(&hit.hash).is_some_and(|t| *t > since);
        let completeness = Completeness {
            exact: !clamped && self.forced == 0 && self.evicted == 0,
            watermark_lag_ms: time.saturating_sub(self.arrivals.partitions.released).max(0) / 1_000_000,
            late: self.late,
            evicted: self.evicted,
            forced: self.forced,
            evidence_evicted,
        };
        self.alert.finish(&completeness, &self.ports[hit.port].alert.tables, &mut self.parts);
        if let (Some(suppressions), Some(key)) = (&mut self.suppressions, &suppress_key) {
            suppressions.open(key, hit.hash, time, &self.alert);
        }
        self.counters.alerts.increment(1);
        say(&self.spec, &self.alert, tie, out);
    }

    /// An event as the rule's expressions see it.
    pub(super) fn row_of<'r, R: Row>(&'r self, hit: &'r Hit<'_>, row: &'r R, spec: &'r RuleSpec, count: &'r [u8]) -> RuleRow<'r, R> {
        RuleRow::new(row, (hit.key, hit.time), &spec.id, count, &self.lists)
    }

    /// Writes to the list that the rule writes: its own copy at once, those of others by way of the order.
    fn write_list<R: Row>(&mut self, hit: &Hit<'_>, row: &R, time: Timestamp, tie: u128, out: &mut AlertRows) {
        let port = &self.ports[hit.port];
        let Some(write) = port.write.as_ref().filter(|_| !self.spec.shadow) else { return };
        let mut record = Vec::new();
        if !write.write(&self.row_of(hit, row, &self.spec, &self.count), &self.bump, &mut record) {
            return self.counters.unwritten.increment(1);
        }
        out.writes.push(&record, time, tie);
        if let Some(own) = &self.own_writes {
            self.lists.write(own, time, &record);
        }
    }

    /// Writes the kept events of a group and the ids of the alerts among them, and says whether some were pushed out.
    fn write_events(&mut self, newest: u64, since: Timestamp, hit: &Hit<'_>) -> bool {
        if self.spec.evidence_max == 0 {
            return false;
        }
        let pushed_out = self.evidence.chain(newest, hit.hash, since, EVIDENCE_EVENTS_MAX, &mut self.chain);
        self.chain
            .iter()
            .filter_map(|number| self.evidence.get(*number))
            .for_each(|record| simd::prefetch_text(self.evidence.text(record)));
        for record in self.chain.iter().filter_map(|number| self.evidence.get(*number)) {
            let Some(origin) = self.origins.get(record.origin as usize) else { continue };
            let raw = self.evidence.text(record);
            write_event(&origin.event_id(record.position, raw), record.time, raw, &mut self.parts.events);
            if self.ports[hit.port].is_rule
                && let Some(id) = id_of(raw)
            {
                if !self.parts.related.is_empty() {
                    self.parts.related.push(b',');
                }
                text::quote(id, &mut self.parts.related);
            }
        }
        pushed_out
    }

    /// Whether time alone may make it say something.
    pub(super) fn has_timers(&self) -> bool {
        self.suppressions.is_some() || self.spec.trigger == Trigger::WindowEnd
    }

    /// Says what is due before `time`: windows that end, and the revisions of suppressions. At one deadline windows come first: a suppression still holds
    /// at its last moment.
    #[inline(never)]
    pub(super) fn pass_to(&mut self, time: Timestamp, out: &mut AlertRows) {
        loop {
            let window = self.window_deadline().filter(|d| *d < time);
            let suppression = self.suppressions.as_ref().and_then(Suppressions::deadline).filter(|d| *d < time);
            match (window, suppression) {
                (Some(end), other) if other.is_none_or(|other| end <= other) => self.end_windows(end, out),
                (_, Some(_)) => {
                    if let Some((alert, key)) = self.suppressions.as_mut().and_then(Suppressions::end_first) {
                        say(&self.spec, &alert, behind_all(&key), out);
                    }
                }
                _ => return,
            }
        }
    }
}
