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
    Average,
    /// Nearest rank; 0 is the minimum, 100 the maximum.
    Percentile(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    First,
    Every,
    EachThreshold,
    Per(i64),
    WindowEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    Sliding,
    /// Aligned to 1970 and an offset.
    Tumbling(i64),
    /// Ends after a pause.
    Session(i64),
}

/// `threshold`, as the specification words it.
#[derive(Clone, Debug)]
pub struct Threshold {
    pub within: i64,
    pub count: i64,
    pub measure: Measure,
    pub window: Window,
    pub trigger: Trigger,
    pub unless_value: Option<String>,
    pub suppress: Option<i64>,
}

/// One alert: key, time of its newest hit, measure, oldest time in the window.
pub type Alert = (String, i64, String, i64);

/// A measure as a fraction.
type Fraction = (i128, i128);

/// What came of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub alerts: BTreeSet<(Alert, u32)>,
    pub excepted: u64,
    pub suppressed: u64,
}

impl Threshold {
    fn m(&self, window: &[Event]) -> Fraction {
        let numbers = || window.iter().map(|e| i128::from(e.number));
        match self.measure {
            Measure::Count => (window.iter().map(|e| i128::from(e.weight)).sum(), 1),
            Measure::Distinct => (window.iter().map(|e| &e.value).collect::<BTreeSet<_>>().len() as i128, 1),
            Measure::Sum => (numbers().sum(), 1),
            Measure::Average => (numbers().sum(), window.len() as i128),
            Measure::Percentile(percent) => {
                let mut sorted: Vec<i128> = numbers().collect();
                sorted.sort_unstable();
                let rank = (sorted.len() as i64 * percent + 99) / 100;
                (sorted[rank.max(1) as usize - 1], 1)
            }
        }
    }

    fn reaches(&self, window: &[Event]) -> bool {
        if window.is_empty() {
            return false;
        }
        let (value, of) = self.m(window);
        value >= i128::from(self.count) * of
    }

    /// A measure as an alert shows it: at most nine digits of a fraction.
    fn shown(&self, window: &[Event]) -> String {
        let (value, of) = self.m(window);
        let scaled = value * 1_000_000_000;
        // To the nearest, halves away from zero.
        let units = (scaled.abs() * 2 + of) / (of * 2) * scaled.signum();
        let text = format!("{}.{:09}", units / 1_000_000_000, units % 1_000_000_000);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// What one window of a tumbling or session rule says, once. `ends`: the time from which on its end may be spoken of, if there is one.
    fn speak(&self, window: &[Event], is_over: bool, out: &mut Outcome) {
        let is_excepted = |e: &Event| self.unless_value.as_ref() == Some(&e.value);
        let last = &window[window.len() - 1];
        let alert = |hits: &[Event]| {
            let newest = hits[hits.len() - 1].time;
            ((last.key.clone(), newest, self.shown(hits), hits[0].time), 0)
        };
        if self.trigger == Trigger::WindowEnd {
            if !is_over || !self.reaches(window) {
            } else if is_excepted(last) {
                out.excepted += 1;
            } else {
                out.alerts.insert(alert(window));
            }
            return;
        }
        for upto in 1..=window.len() {
            let hits = &window[..upto];
            if !self.reaches(hits) {
                continue;
            }
            if is_excepted(&hits[upto - 1]) {
                out.excepted += 1;
                continue;
            }
            // More than one hit of a key at one time: only one firing a window, so the ordinal is that of the anchor's first.
            out.alerts.insert(alert(hits));
            return;
        }
    }

    /// Windows that follow each other: the hits of each key are cut into windows, and each says its own.
    fn scan_windows(&self, hits: &[Event], greatest: i64) -> Outcome {
        let mut out = Outcome::default();
        let keys: BTreeSet<&String> = hits.iter().map(|h| &h.key).collect();
        for key in keys {
            let mut rest: Vec<Event> = hits.iter().filter(|h| h.key == *key).cloned().collect();
            while let Some(first) = rest.first().cloned() {
                let (start, mut end) = match self.window {
                    Window::Tumbling(offset) => {
                        let start = (first.time - offset).div_euclid(self.within) * self.within + offset;
                        (start, start + self.within)
                    }
                    Window::Session(gap) => (first.time, (first.time + gap).min(first.time + self.within)),
                    Window::Sliding => unreachable!(),
                };
                let mut window = Vec::new();
                while rest.first().is_some_and(|h| h.time < end) {
                    let hit = rest.remove(0);
                    if let Window::Session(gap) = self.window {
                        end = (hit.time + gap).min(start + self.within);
                    }
                    window.push(hit);
                }
                self.speak(&window, end - 1 < greatest, &mut out);
            }
        }
        out
    }

    /// Scans the hits in order.
    pub fn scan(&self, events: &[Event]) -> Outcome {
        let mut hits = events.to_vec();
        hits.sort_by(|a, b| (a.time, &a.order).cmp(&(b.time, &b.order)));
        if self.window != Window::Sliding {
            return self.scan_windows(&hits, hits.iter().map(|h| h.time).max().unwrap_or(i64::MIN));
        }
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
            if !self.reaches(window) {
                *is_armed = true;
            }
            window.push(h.clone());
            let (reaches, shown) = (self.reaches(window), self.shown(window));
            let may = match self.trigger {
                Trigger::First => *is_armed,
                Trigger::Every | Trigger::EachThreshold => true,
                Trigger::WindowEnd => false,
                Trigger::Per(per) => fired.get(&h.key).is_none_or(|t| h.time >= t + per),
            };
            if !reaches || !may {
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
            out.alerts.insert(((h.key.clone(), h.time, shown, first), number));
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
