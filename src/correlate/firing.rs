//! What happens when a threshold fires: its alert, the evidence in it, and what a suppression holds back.
use std::sync::Arc;

use super::alert::{Alert, Completeness, id_of, write_event};
use super::payload::{Hit, RuleRow, key_parts};
use super::port::{count_text, join, suppress_key};
use super::threshold::Threshold;
use crate::clock::Timestamp;
use crate::component::correlator::AlertRows;
use crate::event::{id, text};
use crate::expr::Row;
use crate::limits::EVIDENCE_EVENTS_MAX;

impl Threshold {
    pub(super) fn fire<R: Row>(&mut self, hit: &Hit<'_>, row: &R, measure: i128, first: Timestamp, newest: u64, out: &mut AlertRows) {
        let spec = Arc::clone(&self.spec);
        let ordinal = self.firings.entry(hit.key.to_vec()).or_insert(0);
        let number = *ordinal;
        *ordinal += 1;
        let count = count_text(measure, spec.measure);
        let parts: Vec<&[u8]> = key_parts(hit.key).collect();
        let suppress_key = spec.suppress.is_some().then(|| suppress_key(&self.ports[hit.port].suppress_by, parts[0], row));
        if let (Some(suppressions), Some(key)) = (&mut self.suppressions, &suppress_key)
            && suppressions.holds(key, hit.time, &count)
        {
            self.counters.suppressed.increment(1);
            return;
        }
        let id = id::alert_id(&spec.id, parts[0], parts[1..].iter().copied(), hit.time, number);
        let mut alert = std::mem::take(&mut self.alert);
        alert.clear();
        alert.id.extend(id.iter().map(|b| char::from(*b)));
        (alert.time, alert.first_seen, alert.last_seen) = (hit.time, first, hit.time);
        alert.count.clone_from(&count);
        let joined = join(&parts);
        let rule_row = RuleRow { row, rule: &spec.id, tenant: parts[0], count: count.as_bytes(), key: &joined };
        alert.describe((&spec.id, &spec.node), &spec.by, &parts, &self.ports[hit.port].alert, &rule_row, &self.bump);
        let (events, related, evidence_evicted) = self.events(newest, hit);
        let clamped = self.clamped.get(&hit.hash).is_some_and(|t| *t > hit.time.saturating_sub(spec.within));
        let completeness = Completeness {
            exact: !clamped && self.forced == 0 && self.evicted == 0,
            watermark_lag_ms: hit.time.saturating_sub(self.partitions.released).max(0) / 1_000_000,
            late: self.late,
            evicted: self.evicted,
            forced: self.forced,
            evidence_evicted,
        };
        alert.finish(&events, &related, &completeness);
        if let (Some(suppressions), Some(key)) = (&mut self.suppressions, &suppress_key) {
            suppressions.open(key, hit.hash, hit.time, &alert);
        }
        self.counters.alerts.increment(1);
        self.say(&alert, (u128::from(hit.tie.0) << 96) | hit.tie.1, out);
        self.alert = alert;
    }

    pub(super) fn say(&self, alert: &Alert, tie: u128, out: &mut AlertRows) {
        if self.spec.shadow {
            return;
        }
        out.lines.push(alert.to_json());
        out.times.push(alert.time);
        out.ties.push(tie);
    }

    /// The kept events of a group as written, the ids of the alerts among them, and whether some were pushed out.
    fn events(&self, newest: u64, hit: &Hit<'_>) -> (Vec<u8>, Vec<u8>, bool) {
        let (mut events, mut related) = (Vec::new(), Vec::new());
        if self.spec.evidence_max == 0 {
            return (events, related, false);
        }
        let oldest = hit.time.saturating_sub(self.spec.within);
        let (kept, pushed_out) = self.evidence.chain(newest, hit.hash, oldest, EVIDENCE_EVENTS_MAX);
        for record in kept {
            if let Some(origin) = self.origins.get(record.origin as usize) {
                let id = id::event_id(&origin.identity, origin.partition.as_bytes(), record.position, &record.text);
                write_event(&id, record.time, &record.text, &mut events);
                if self.ports[hit.port].is_rule
                    && let Some(id) = id_of(&record.text)
                {
                    if !related.is_empty() {
                        related.push(b',');
                    }
                    text::quote(id, &mut related);
                }
            }
        }
        (events, related, pushed_out)
    }

    /// Says the revisions of suppressions whose deadline lies before `time`.
    pub(super) fn end_suppressions(&mut self, time: Timestamp, out: &mut AlertRows) {
        while let Some(suppressions) = &mut self.suppressions
            && suppressions.deadline().is_some_and(|d| d < time)
        {
            if let Some((alert, key)) = suppressions.end_first() {
                // Behind every hit of its time, by key among its like.
                let head = key.iter().take(8).fold(0u128, |n, b| n << 8 | u128::from(*b));
                self.say(&alert, u128::MAX << 96 | head, out);
            }
        }
    }
}
