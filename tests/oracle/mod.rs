//! Definitions to hold the engine to. Nothing here comes from the engine: `tests/tidy.rs` sees to that.
#![allow(dead_code, clippy::unwrap_used)] // each test uses its part
use std::collections::{BTreeSet, HashMap};

/// An event of a test.
#[derive(Clone, Debug)]
pub struct Event {
    /// The time that it counts with, in ns.
    pub time: i64,
    /// Sorts equal times: source, position.
    pub order: (String, u64),
    pub key: String,
    pub value: String,
    pub number: i64,
    pub weight: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Count,
    Distinct,
    Sum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    First,
    Every,
    EachThreshold,
    Per(i64),
}

/// `threshold` with a sliding window, as the specification words it.
#[derive(Clone, Debug)]
pub struct Threshold {
    pub within: i64,
    pub count: i64,
    pub measure: Measure,
    pub trigger: Trigger,
    pub unless_value: Option<String>,
    pub suppress: Option<i64>,
}

/// One alert: key, time, measure, oldest time in the window.
pub type Alert = (String, i64, i64, i64);

/// What came of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub alerts: BTreeSet<(Alert, u32)>,
    pub excepted: u64,
    pub suppressed: u64,
}

impl Threshold {
    fn m(&self, window: &[Event]) -> i64 {
        match self.measure {
            Measure::Count => window.iter().map(|e| e.weight).sum(),
            Measure::Distinct => window.iter().map(|e| &e.value).collect::<BTreeSet<_>>().len() as i64,
            Measure::Sum => window.iter().map(|e| e.number).sum(),
        }
    }

    /// Scans the hits in order.
    pub fn scan(&self, events: &[Event]) -> Outcome {
        let mut hits = events.to_vec();
        hits.sort_by(|a, b| (a.time, &a.order).cmp(&(b.time, &b.order)));
        let mut out = Outcome::default();
        let mut windows: HashMap<String, Vec<Event>> = HashMap::new();
        let mut armed: HashMap<String, bool> = HashMap::new();
        let mut fired: HashMap<String, i64> = HashMap::new();
        let mut opened: HashMap<String, i64> = HashMap::new();
        let mut ordinals: HashMap<(String, i64), u32> = HashMap::new();
        for h in hits {
            let window = windows.entry(h.key.clone()).or_default();
            window.retain(|e| e.time > h.time - self.within);
            let is_armed = armed.entry(h.key.clone()).or_insert(true);
            if window.is_empty() || self.m(window) < self.count {
                *is_armed = true;
            }
            window.push(h.clone());
            let m = self.m(window);
            let may = match self.trigger {
                Trigger::First => *is_armed,
                Trigger::Every | Trigger::EachThreshold => true,
                Trigger::Per(per) => fired.get(&h.key).is_none_or(|t| h.time >= t + per),
            };
            if m < self.count || !may {
                continue;
            }
            if self.unless_value.as_ref() == Some(&h.value) {
                out.excepted += 1;
                continue;
            }
            *is_armed = false;
            fired.insert(h.key.clone(), h.time);
            let first = window.iter().map(|e| e.time).min().unwrap();
            if self.trigger == Trigger::EachThreshold {
                window.clear();
            }
            let ordinal = ordinals.entry((h.key.clone(), h.time)).or_insert(0);
            let number = *ordinal;
            *ordinal += 1;
            if let Some(length) = self.suppress {
                if opened.get(&h.key).is_some_and(|o| h.time < o + length) {
                    out.suppressed += 1;
                    continue;
                }
                opened.insert(h.key.clone(), h.time);
            }
            out.alerts.insert(((h.key.clone(), h.time, m, first), number));
        }
        out
    }
}

/// One getter cell of a map file.
#[derive(Clone, Debug)]
pub enum Cell {
    Anything,
    Exact(String),
    Folded(String),
    Regex(String),
    Range(i64, i64),
    Network(String),
}

/// Whether a value meets a cell, by the plainest means.
pub fn meets(cell: &Cell, value: Option<&str>) -> bool {
    let Some(value) = value else { return matches!(cell, Cell::Anything) };
    match cell {
        Cell::Anything => true,
        Cell::Exact(t) => t == value,
        Cell::Folded(t) => t.to_lowercase() == value.to_lowercase(),
        Cell::Regex(p) => regex_automata::meta::Regex::new(p).unwrap().is_match(value),
        Cell::Range(a, b) => value.parse::<f64>().is_ok_and(|n| *a as f64 <= n && n <= *b as f64),
        Cell::Network(n) => {
            let (base, len) = n.split_once('/').unwrap();
            let number = |t: &str| t.parse::<std::net::Ipv4Addr>().ok().map(u32::from);
            let mask = u32::MAX.checked_shl(32 - len.parse::<u32>().unwrap()).unwrap_or(0);
            number(value).is_some_and(|v| v & mask == number(base).unwrap() & mask)
        }
    }
}
