//! `merge` and `aggregate` against their definitions, over arrival orders, partitions, shards and crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod inside;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use inside::{lines, run_pipeline};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const START: i64 = 1_760_000_000;

/// An event: second, key, kind, number, and where it came from.
#[derive(Clone, Debug)]
struct Event {
    second: i64,
    key: Option<u8>,
    kind: char,
    number: i64,
    order: (usize, usize),
}

impl Event {
    fn json(&self) -> Value {
        let mut out = Map::new();
        out.insert("ts".into(), ((START + self.second) * 1000).into());
        if let Some(key) = self.key {
            out.insert("key".into(), format!("k{key}").into());
        }
        out.insert("kind".into(), self.kind.to_string().into());
        // A field that only some have.
        out.insert(format!("of_{}", self.kind), self.number.into());
        if self.number % 3 == 0 {
            out.insert("bytes".into(), self.number.into());
        }
        out.into()
    }
}

/// Second, key, kind, number, delay in thousandths of the lateness.
type Drawn = (i64, Option<u8>, char, i64, i64);

/// Two files, each in an order of arrival within the lateness.
fn files() -> impl Strategy<Value = ([Vec<Event>; 2], i64)> {
    let event = (0i64..100, prop::option::weighted(0.9, 0u8..4), prop::sample::select(vec!['s', 'm', 'e']), 0i64..9, 0i64..1000);
    let file = || prop::collection::vec(event.clone(), 0..100);
    (file(), file(), 0i64..6).prop_map(|(a, b, lateness)| {
        let mut number = 0;
        let arranged = [a, b].map(|events| {
            let mut arrived: Vec<_> = events.into_iter().map(|e| (e.0 * 1000 + e.4 * lateness * 999 / 1000, e)).collect();
            arrived.sort_by_key(|(at, _)| *at);
            let make = |(i, (_, e)): (usize, (i64, Drawn))| Event { second: e.0, key: e.1, kind: e.2, number: e.3, order: (number, i) };
            let out: Vec<Event> = arrived.into_iter().enumerate().map(make).collect();
            number += 1;
            out
        });
        (arranged, lateness)
    })
}

fn write(folder: &Path, files: &[Vec<Event>; 2], lateness: i64, transform: &str) {
    for (name, events) in ["a", "b"].iter().zip(files) {
        let text: String = events.iter().map(|e| e.json().to_string() + "\n").collect();
        fs::write(folder.join(format!("{name}.log")), text).unwrap();
    }
    let source = |n: &str| {
        format!("  {n}: {{type: file, paths: [{n}.log], format: json, time: {{field: ts, format: epoch_ms, lateness: {lateness}s}}}}\n")
    };
    let yaml = format!(
        "barrier: {{interval: 1ms}}\nsources:\n{}{}transforms:\n  g: {transform}\ncorrelations:\n  every: {{type: threshold, inputs: [g], by: [startTime], missing: group, within: 1s, count: 1, trigger: every}}\nsinks:\n  o: {{type: file, inputs: [g], path: out.ndjson, meta: true}}\n  r: {{type: file, inputs: [every], path: rule.ndjson}}\n",
        source("a"),
        source("b")
    );
    fs::write(folder.join("pipeline.yaml"), yaml).unwrap();
}

fn time(second: i64) -> String {
    jiff::Timestamp::from_second(START + second).unwrap().to_string()
}

/// What is open of a key, in the definition.
struct Open {
    parts: Vec<Event>,
    started: bool,
}

#[derive(Clone, Copy, Debug)]
struct Options {
    within: i64,
    start: bool,
    end: bool,
    drop: bool,
    count_max: usize,
    aggregate: bool,
}

/// The definition: parts in order of time; a group is closed by its end, by the next start, by its number, or when its time is over.
fn scan(files: &[Vec<Event>; 2], o: Options, make: &dyn Fn(&[Event], bool) -> Value) -> Vec<Value> {
    let mut events: Vec<Event> = files.iter().flatten().cloned().collect();
    events.sort_by_key(|e| (e.second, e.order));
    let mut open: BTreeMap<Option<u8>, Open> = BTreeMap::new();
    let mut out = Vec::new();
    let close = |group: Open, whole: bool, out: &mut Vec<Value>| {
        if whole || !o.drop {
            out.push(make(&group.parts, whole));
        }
    };
    let due = |open: &mut BTreeMap<Option<u8>, Open>, now: i64, out: &mut Vec<Value>| {
        let over: Vec<Option<u8>> = open.iter().filter(|(_, g)| g.parts[0].second + o.within <= now).map(|(k, _)| *k).collect();
        for key in over {
            let group = open.remove(&key).unwrap();
            let whole = o.aggregate || (group.started && !o.end);
            close(group, whole, out);
        }
    };
    for event in &events {
        due(&mut open, event.second, &mut out);
        if event.key.is_none() && !o.aggregate {
            out.push(event.json());
            continue;
        }
        let (starts, ends) = (o.start && event.kind == 's', o.end && event.kind == 'e');
        if starts && let Some(group) = open.remove(&event.key) {
            let whole = group.started && !o.end;
            close(group, whole, &mut out);
        }
        let group = open.entry(event.key).or_insert_with(|| Open { parts: Vec::new(), started: starts || !o.start });
        group.parts.push(event.clone());
        if ends || group.parts.len() >= o.count_max {
            let group = open.remove(&event.key).unwrap();
            let whole = group.started;
            close(group, whole, &mut out);
        }
    }
    let greatest = events.last().map_or(0, |e| e.second);
    due(&mut open, greatest, &mut out);
    out
}

fn merged(fields: &str, parts: &[Event], whole: bool) -> Value {
    let mut values: Vec<(String, Vec<Value>)> = Vec::new();
    for part in parts {
        for (name, value) in part.json().as_object().unwrap() {
            match values.iter_mut().find(|(n, _)| n == name) {
                Some((_, known)) if !known.contains(value) || fields == "last" => known.push(value.clone()),
                Some(_) => {}
                None => values.push((name.clone(), vec![value.clone()])),
            }
        }
    }
    let mut out = Map::new();
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    for (name, values) in values {
        match fields {
            "first" => drop(out.insert(name, values[0].clone())),
            "last" => drop(out.insert(name, values.last().unwrap().clone())),
            _ if values.len() == 1 => drop(out.insert(name, values[0].clone())),
            "join" => drop(out.insert(name, values.iter().map(text).collect::<Vec<_>>().join(", ").into())),
            _ => values.into_iter().enumerate().for_each(|(i, v)| drop(out.insert(format!("{name}.{}", i + 1), v))),
        }
    }
    if !whole {
        out.insert("tags".into(), json!(["merge_partial"]));
    }
    out.insert("startTime".into(), time(parts[0].second).into());
    out.insert("endTime".into(), time(parts.last().unwrap().second).into());
    out.into()
}

fn aggregated(common: bool, parts: &[Event]) -> Value {
    let all: Vec<Map<String, Value>> = parts.iter().map(|p| p.json().as_object().unwrap().clone()).collect();
    let mut out = all[0].clone();
    if common {
        out.retain(|name, value| all.iter().all(|e| e.get(name) == Some(value)));
    }
    out.remove("bytes");
    let bytes: Vec<i64> = all.iter().filter_map(|e| e.get("bytes")?.as_i64()).collect();
    if !bytes.is_empty() {
        out.insert("bytes".into(), bytes.iter().sum::<i64>().into());
    }
    out.insert("baseEventCount".into(), parts.len().into());
    out.insert("startTime".into(), time(parts[0].second).into());
    out.insert("endTime".into(), time(parts.last().unwrap().second).into());
    out.into()
}

/// Runs and compares. Each event is there once, under an id of its own, and rules behind it see each once, none of them late.
fn compare(folder: &Path, mut want: Vec<Value>) -> Result<(), TestCaseError> {
    let mut got = lines(&folder.join("out.ndjson"));
    let ids: std::collections::BTreeSet<String> = got.iter().map(|e| e["tripline"]["id"].as_str().unwrap().to_owned()).collect();
    prop_assert_eq!(ids.len(), got.len(), "an event was said twice");
    got.iter_mut().for_each(|e| drop(e.as_object_mut().unwrap().remove("tripline")));
    let text = |events: &mut Vec<Value>| {
        let mut all: Vec<String> = events.iter().map(Value::to_string).collect();
        all.sort();
        all
    };
    let want = text(&mut want);
    prop_assert_eq!(text(&mut got), want.clone());
    let alerts = lines(&folder.join("rule.ndjson"));
    let weights: u64 = alerts.iter().map(|a| a["completeness"]["late"].as_u64().unwrap()).sum();
    prop_assert_eq!(weights, 0, "what was gathered came late");
    prop_assert_eq!(alerts.len(), want.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 300, ..ProptestConfig::default() })]
    #[test]
    fn merge_equals_its_definition(
        (files, lateness) in files(), within in 1i64..30, start in any::<bool>(), end in any::<bool>(), drop in any::<bool>(),
        fields in prop::sample::select(vec!["join", "first", "last", "numbered"]), shards in 1usize..5, workers in 1usize..4,
        stops in prop::collection::vec(1usize..4, 0..3)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let option = |is: bool, text: &str| if is { text.to_owned() } else { String::new() };
        let transform = format!(
            "{{type: merge, inputs: [a, b], key: key, timeout: {within}s, fields: {fields}{}{}{}}}",
            option(start, ", start: 'kind == \"s\"'"), option(end, ", end: 'kind == \"e\"'"), option(drop, ", partial: drop")
        );
        write(folder.path(), &files, lateness, &transform);
        run_pipeline(folder.path(), shards, workers, &stops);
        let options = Options { within, start, end, drop, count_max: usize::MAX, aggregate: false };
        compare(folder.path(), scan(&files, options, &|parts, whole| merged(fields, parts, whole)))?;
    }

    #[test]
    fn aggregate_equals_its_definition(
        (files, lateness) in files(), within in 1i64..30, count_max in prop::option::of(1usize..6), common in any::<bool>(),
        shards in 1usize..5, workers in 1usize..4, stops in prop::collection::vec(1usize..4, 0..3)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let max = count_max.map_or(String::new(), |n| format!(", max_count: {n}"));
        let keep = if common { "common" } else { "first" };
        let transform = format!("{{type: aggregate, inputs: [a, b], same: [key], sum: [bytes], interval: {within}s, keep: {keep}{max}}}");
        write(folder.path(), &files, lateness, &transform);
        run_pipeline(folder.path(), shards, workers, &stops);
        let options = Options { within, start: false, end: false, drop: false, count_max: count_max.unwrap_or(usize::MAX), aggregate: true };
        compare(folder.path(), scan(&files, options, &|parts, _| aggregated(common, parts)))?;
    }
}
