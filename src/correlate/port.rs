//! What a shard knows of its inputs and shares with its like: programs, counters, and small conversions of keys and bounds.
use std::sync::Arc;

use super::alert::AlertPrograms;
use crate::clock::Timestamp;
use crate::codec::format::json_out::{EventWriter, RowFacts};
use crate::component::correlator::{LateRows, push_part};
use crate::component::list_write::Write;
use crate::event::amount::{self, ONE};
use crate::event::{Batch, Slot, Value, text};
use crate::expr::{Program, Row};
use crate::metrics::Registry;
use crate::window::general::{Measure, Measured};
use crate::window::watermark::TimePolicy;

/// What a shard evaluates over the slots of one input.
#[derive(Clone)]
pub struct Port {
    /// Slots that a waiting hit keeps.
    pub payload: Vec<Slot>,
    /// How its source judges time.
    pub policy: TimePolicy,
    /// The bound, where it is an expression.
    pub bound: Option<Program>,
    /// What of `where` reads lists, and so is asked when the hit's turn has come.
    pub condition: Option<Program>,
    /// What a firing writes to a list.
    pub write: Option<Write>,
    /// Holds a firing back.
    pub unless: Option<Program>,
    /// What alerts say.
    pub alert: AlertPrograms,
    /// Fields of the suppression.
    pub suppress_by: Vec<Option<Slot>>,
    /// The input is another rule.
    pub is_rule: bool,
    /// Whether an event may carry a weight.
    pub weighted: bool,
    /// How late events are written, where they leave by an output.
    pub late: Option<EventWriter>,
}

impl Port {
    /// Writes an event that came too late to be a hit, if the rule has an output for it.
    pub(super) fn give_late(&self, batch: &Batch, row: usize, time: Timestamp, out: &mut LateRows) {
        let Some(writer) = &self.late else { return };
        out.origin = Arc::clone(&batch.input.origin);
        out.lines.push(|line| {
            writer.write(batch, row, RowFacts { time, late: true }, line);
            line.pop();
        });
        out.times.push(time);
        out.positions.push(batch.input.position(row));
    }
}

/// Counters of one rule, shared by its shards.
#[derive(Clone)]
pub struct Counters {
    pub(super) alerts: metrics::Counter,
    pub(super) excepted: metrics::Counter,
    pub(super) suppressed: metrics::Counter,
    pub(super) late: metrics::Counter,
    pub(super) idle_return: metrics::Counter,
    pub(super) evicted: metrics::Counter,
    pub(super) forced: metrics::Counter,
    pub(super) unwritten: metrics::Counter,
    pub(super) groups: metrics::Gauge,
    pub(super) watermark: metrics::Gauge,
}

impl Counters {
    /// The counters of a rule.
    pub fn new(registry: &Registry, rule: &str) -> Counters {
        let counter = |name: &str| registry.counter(name, &[("rule", rule)]);
        let with = |name: &str, reason: &str| registry.counter(name, &[("rule", rule), ("reason", reason)]);
        Counters {
            alerts: counter("tripline_alerts_total"),
            excepted: counter("tripline_excepted_total"),
            suppressed: counter("tripline_suppressed_total"),
            late: with("tripline_late_total", "late"),
            idle_return: with("tripline_late_total", "idle_return"),
            evicted: with("tripline_evicted_total", "groups"),
            forced: with("tripline_evicted_total", "forced"),
            unwritten: registry.counter("tripline_discarded_total", &[("node", rule), ("reason", "no_list_key")]),
            groups: registry.gauge("tripline_groups", &[("rule", rule)]),
            watermark: registry.gauge("tripline_watermark_seconds", &[("node", rule)]),
        }
    }
}

/// The bound that an expression gives.
pub(super) fn bound_of(value: Value<'_>, measure: Measure) -> Option<i128> {
    let units = amount::decimal(value)?;
    // Counts are whole: a bound of 2.5 is met by 3.
    Some(if is_whole(measure) { units.div_euclid(ONE) + i128::from(units.rem_euclid(ONE) != 0) } else { units })
}

/// Whether a measure counts, instead of being a decimal.
fn is_whole(measure: Measure) -> bool {
    matches!(measure, Measure::Count | Measure::Distinct)
}

/// Writes a measure as alerts show it: an average is rounded to nine digits of its fraction, halves away from zero.
pub(super) fn write_measure(measured: Measured, kind: Measure, out: &mut Vec<u8>) {
    let Measured { value, of } = measured;
    match i64::try_from(value) {
        Ok(whole) if is_whole(kind) => text::write_number(whole, out),
        Err(_) if is_whole(kind) => out.extend_from_slice(value.to_string().as_bytes()),
        _ => amount::write_decimal((value + value.signum() * of / 2) / of, out),
    }
}

pub(super) fn suppress_key<R: Row>(fields: &[Option<Slot>], tenant: &[u8], row: &R) -> Vec<u8> {
    let mut key = Vec::new();
    push_part(tenant, &mut key);
    for slot in fields {
        let mut text = Vec::new();
        if let Some(slot) = slot {
            row.value(*slot).write_text(&mut text);
        }
        push_part(&text, &mut key);
    }
    key
}
