//! The engine against its definitions: `threshold` by brute force over arrival orders, partitions, shards and crashes; maps by the naive interpreter; JSON by
//! simd-json; untouched events byte for byte; the ready pipelines' cases, plain and with crashes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::type_complexity)] // a failed test is what a panic is for
mod inside;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use inside::{lines, run_pipeline, run_resharded};
use oracle::{Cell, Event, Measure, Outcome, Threshold, Trigger, Window, meets};
use proptest::prelude::*;
use tripline::codec::format::json::JsonDecoder;
use tripline::codec::format::{Decoder, Subject, Wanted, WantedField};
use tripline::event::{Batch, Input, Kind, Slot, text};
use tripline::metrics::Registry;
use tripline::plan::load_plan;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_760_000_000 * SECOND;

/// Two files of one rule, arrival shuffled within the lateness.
#[derive(Clone, Debug)]
struct Case {
    rule: Threshold,
    files: [Vec<(i64, Event)>; 2],
    lateness: i64,
}

fn case() -> impl Strategy<Value = Case> {
    let trigger = prop_oneof![Just(Trigger::First), Just(Trigger::Every), Just(Trigger::EachThreshold), Just(Trigger::Per(30 * SECOND))];
    let percentile = prop::sample::select(vec![0i64, 10, 50, 95, 100]).prop_map(Measure::Percentile);
    let measure = prop_oneof![3 => Just(Measure::Count), 1 => Just(Measure::Distinct), 1 => Just(Measure::Sum), 1 => Just(Measure::Average), 1 => percentile];
    let sliding = trigger.prop_map(|trigger| (Window::Sliding, trigger));
    let window =
        prop_oneof![(-30i64..30).prop_map(|o| Window::Tumbling(o.max(0) * SECOND)), (1i64..20).prop_map(|g| Window::Session(g * SECOND))];
    let followed = (window, prop_oneof![Just(Trigger::First), Just(Trigger::WindowEnd)]);
    let shape = prop_oneof![2 => sliding, 1 => followed];
    let rule = (1i64..40, 1i64..9, measure, shape, any::<bool>(), prop::option::of(1i64..60)).prop_map(
        |(within, count, measure, (window, trigger), unless, suppress)| Threshold {
            within: within * SECOND,
            count: if matches!(measure, Measure::Average | Measure::Percentile(_)) { count % 4 + 1 } else { count },
            // An average or a rank of values from 0 to 4 reaches no 8.
            measure,
            window,
            trigger,
            unless_value: unless.then(|| "v1".to_owned()),
            suppress: suppress.filter(|_| window == Window::Sliding).map(|s| s * SECOND),
        },
    );
    let event = (0i64..120, 0u8..4, 0u8..4, 0i64..5, prop_oneof![5 => Just(1i64), 1 => 2i64..4], 0i64..1000);
    let file = || prop::collection::vec(event.clone(), 0..120);
    (rule, file(), file(), 0i64..6).prop_map(|(rule, a, b, lateness)| {
        let arrange = |name: &str, events: Vec<(i64, u8, u8, i64, i64, i64)>| {
            let mut arrived: Vec<_> =
                events.into_iter().map(|e| (e.0 * 1000 + if lateness > 0 { e.5 * lateness * 999 / 1000 } else { 0 }, e)).collect();
            arrived.sort_by_key(|(at, _)| *at);
            let make = |(i, (_, (second, key, value, number, weight, _))): (usize, (i64, (i64, u8, u8, i64, i64, i64)))| {
                let time = START + second * SECOND;
                let event =
                    Event { time, order: (name.to_owned(), i as u64), key: format!("k{key}"), value: format!("v{value}"), number, weight };
                (time, event)
            };
            arrived.into_iter().enumerate().map(make).collect::<Vec<_>>()
        };
        Case { rule, files: [arrange("a", a), arrange("b", b)], lateness }
    })
}

fn write_case(case: &Case, folder: &Path) {
    for (name, events) in ["a", "b"].iter().zip(&case.files) {
        let text: String = events
            .iter()
            .map(|(t, e)| {
                let weight = if e.weight > 1 { format!(",\"baseEventCount\":{}", e.weight) } else { String::new() };
                format!("{{\"ts\":{},\"key\":\"{}\",\"value\":\"{}\",\"number\":{}{weight}}}\n", t / 1_000_000, e.key, e.value, e.number)
            })
            .collect();
        fs::write(folder.join(format!("{name}.log")), text).unwrap();
    }
    let rule = &case.rule;
    let measure = match rule.measure {
        Measure::Count => format!("count: {}", rule.count),
        Measure::Distinct => format!("distinct: value, count: {}", rule.count),
        Measure::Sum => format!("sum: number, is: \">= {}\"", rule.count),
        Measure::Average => format!("avg: number, is: \">= {}\"", rule.count),
        Measure::Percentile(0) => format!("min: number, is: \">= {}\"", rule.count),
        Measure::Percentile(100) => format!("max: number, is: \">= {}\"", rule.count),
        Measure::Percentile(p) => format!("percentile: [number, {p}], is: \">= {}\"", rule.count),
    };
    let trigger = match rule.trigger {
        Trigger::First => "first".to_owned(),
        Trigger::Every => "every".to_owned(),
        Trigger::EachThreshold => "each_threshold".to_owned(),
        Trigger::Per(p) => format!("{{per: {}s}}", p / SECOND),
        Trigger::WindowEnd => "window_end".to_owned(),
    };
    let unless = rule.unless_value.as_ref().map_or(String::new(), |v| format!(", unless: 'value == \"{v}\"'"));
    let suppress = rule.suppress.map_or(String::new(), |s| format!(", suppress: {{for: {}s}}", s / SECOND));
    let window = match rule.window {
        Window::Sliding => String::new(),
        Window::Tumbling(offset) => format!(", window: tumbling, offset: {}s", offset / SECOND),
        Window::Session(gap) => format!(", window: session, gap: {}s", gap / SECOND),
    };
    let source = |n: &str| {
        format!(
            "  {n}: {{type: file, paths: [{n}.log], format: json, time: {{field: ts, format: epoch_ms, lateness: {}s}}}}\n",
            case.lateness
        )
    };
    let yaml = format!(
        "barrier: {{interval: 1ms}}\nsources:\n{}{}correlations:\n  r: {{type: threshold, inputs: [a, b], by: [key], within: {}s, {measure}, trigger: {trigger}{window}{unless}{suppress}}}\nsinks:\n  o: {{type: file, inputs: [r], path: out.ndjson}}\n",
        source("a"),
        source("b"),
        rule.within / SECOND
    );
    fs::write(folder.join("pipeline.yaml"), yaml).unwrap();
}

fn nanos(value: &serde_json::Value) -> i64 {
    let time: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
    time.as_nanosecond() as i64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn threshold_equals_the_scan(case in case(), shards in prop::collection::vec(1usize..9, 1..4), workers in 1usize..4, stops in prop::collection::vec(1usize..4, 0..3)) {
        let folder = tempfile::tempdir().unwrap();
        write_case(&case, folder.path());
        run_resharded(folder.path(), &shards, workers, &stops);
        let events: Vec<Event> = case.files.iter().flatten().map(|(_, e)| e.clone()).collect();
        let want: Outcome = case.rule.scan(&events);
        let got = lines(&folder.path().join("out.ndjson"));
        let first: Vec<&serde_json::Value> = got.iter().filter(|a| a["alert"]["revision"] == 1).collect();
        let alerts: BTreeSet<(String, i64, String, i64)> = first
            .iter()
            .map(|a| (a["key"]["key"].as_str().unwrap().to_owned(), nanos(&a["last_seen"]), a["count"].to_string(), nanos(&a["first_seen"])))
            .collect();
        let ids: BTreeSet<&str> = first.iter().map(|a| a["alert"]["id"].as_str().unwrap()).collect();
        prop_assert_eq!(ids.len(), first.len(), "an alert was said twice");
        prop_assert_eq!(first.len(), want.alerts.len());
        prop_assert_eq!(alerts, want.alerts.into_iter().map(|(a, _)| a).collect::<BTreeSet<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn late_events_leave_by_an_output_of_their_own(
        seconds in prop::collection::vec((0i64..600, 0u8..4), 0..300), lateness in 0i64..30, shards in 1usize..5, stops in prop::collection::vec(1usize..4, 0..3)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let line = |(second, key): &(i64, u8)| format!("{{\"ts\": {},\"key\":\"k{key}\"}}", (START / SECOND + second) * 1000);
        fs::write(folder.path().join("a.log"), seconds.iter().map(|e| line(e) + "\n").collect::<String>()).unwrap();
        let yaml = format!(
            "barrier: {{interval: 1ms}}
sources: {{a: {{type: file, paths: [a.log], format: json, time: {{field: ts, format: epoch_ms, lateness: {lateness}s}}}}}}
correlations: {{r: {{type: threshold, inputs: [a], by: [key], within: 1s, count: 1, trigger: every, late: output}}}}
transforms: {{marked: {{type: set, inputs: [r.late], fields: {{was: '\"late\"'}}}}}}
sinks:
  o: {{type: file, inputs: [r], path: out.ndjson}}
  l: {{type: file, inputs: [r.late], path: late.ndjson}}
  m: {{type: file, inputs: [marked], path: marked.ndjson, meta: true}}
"
        );
        fs::write(folder.path().join("pipeline.yaml"), yaml).unwrap();
        run_pipeline(folder.path(), shards, 2, &stops);
        let mut greatest = i64::MIN / 2;
        let (mut late, mut hits) = (Vec::new(), 0);
        for event in &seconds {
            if event.0 < greatest - lateness { late.push(line(event)) } else { hits += 1 }
            greatest = greatest.max(event.0);
        }
        late.sort();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let mut got: Vec<String> = read("late.ndjson").lines().map(str::to_owned).collect();
        got.sort();
        prop_assert_eq!(&got, &late);
        prop_assert_eq!(read("out.ndjson").lines().count(), hits);
        let marked = lines(&folder.path().join("marked.ndjson"));
        let ids: BTreeSet<&str> = marked.iter().map(|e| e["tripline"]["id"].as_str().unwrap()).collect();
        prop_assert_eq!(ids.len(), late.len());
        prop_assert!(marked.iter().all(|e| e["was"] == "late" && e["tripline"]["late"] == true && e["tripline"]["source"] == "a"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn what_is_held_back_is_what_the_definition_says(
        events in prop::collection::vec((0i64..20, 0u8..4, any::<bool>()), 0..300), within in 1i64..60, count in 1usize..4,
        workers in 1usize..4, stops in prop::collection::vec(1usize..4, 0..3)
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut second = 0;
        let mut lines_in = Vec::new();
        for (step, key, has_key) in &events {
            second += step;
            let key = if *has_key || *step > 0 { format!(",\"key\":\"k{key}\"") } else { String::new() };
            lines_in.push((second, key.clone(), format!("{{\"ts\":{}{key},\"n\":{}}}", (START / SECOND + second) * 1000, lines_in.len())));
        }
        fs::write(folder.path().join("a.log"), lines_in.iter().map(|(_, _, l)| l.clone() + "\n").collect::<String>()).unwrap();
        let yaml = format!(
            "barrier: {{interval: 1ms}}
sources: {{a: {{type: file, paths: [a.log], format: json, time: {{field: ts, format: epoch_ms}}}}}}
transforms:
  d: {{type: dedupe, inputs: [a], by: [key], within: {within}s}}
  t: {{type: throttle, inputs: [a], by: [key], count: {count}, within: {within}s}}
correlations: {{every: {{type: threshold, inputs: [t], by: [n], within: 1s, count: 1}}}}
sinks:
  d_out: {{type: file, inputs: [d], path: d.ndjson}}
  t_out: {{type: file, inputs: [t], path: t.ndjson}}
  r_out: {{type: file, inputs: [every], path: r.ndjson}}
"
        );
        fs::write(folder.path().join("pipeline.yaml"), yaml).unwrap();
        run_pipeline(folder.path(), 2, workers, &stops);
        for (name, most) in [("d.ndjson", 1), ("t.ndjson", count)] {
            let mut open: BTreeMap<&str, (i64, usize)> = BTreeMap::new();
            let mut want = Vec::new();
            for (second, key, line) in &lines_in {
                let span = open.entry(key).or_insert((*second, 0));
                if *second >= span.0 + within {
                    *span = (*second, 0);
                }
                span.1 += 1;
                if key.is_empty() || span.1 <= most {
                    want.push(line.as_str());
                }
            }
            let got = fs::read_to_string(folder.path().join(name)).unwrap_or_default();
            prop_assert_eq!(got.lines().collect::<Vec<_>>(), want, "{}", name);
        }
        prop_assert_eq!(lines(&folder.path().join("r.ndjson")).len(), lines(&folder.path().join("t.ndjson")).len());
    }
}

fn cells() -> impl Strategy<Value = Cell> {
    let word = || {
        prop::sample::select(vec![
            "login",
            "LOGIN",
            "fail",
            "10",
            "10.0",
            "a,b",
            "q\"q",
            "Straße",
            "10.0.1.7",
            "fifteen letters",
            "sixteen letters.",
            "just seventeen letters",
        ])
    };
    let pattern =
        prop::sample::select(vec!["^log", "in$", "f[ai]+l", r"\d+", "(?i)FAIL", "^10", r"(^|\.)0\.1\.7$", ".*", "log|fail", "[^a-z]"]);
    prop_oneof![
        1 => Just(Cell::Anything),
        3 => word().prop_map(|w| Cell::Exact(w.into())),
        1 => word().prop_map(|w| Cell::Folded(w.into())),
        3 => pattern.prop_map(|p| Cell::Regex(p.into())),
        1 => (-20i64..20, 0i64..30).prop_map(|(a, n)| Cell::Range(a, a + n)),
        1 => prop::sample::select(vec!["10.0.0.0/16", "10.0.1.0/24", "10.0.1.7/32"]).prop_map(|n| Cell::Network(n.into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn maps_equal_the_naive_interpreter(
        rows in prop::collection::vec((cells(), cells(), cells()), 1..60),
        values in prop::collection::vec(prop::collection::vec(prop::option::of(prop::sample::select(vec!["login", "Login", "fail", "10", "10.5", "-3", "a,b", "10.0.1.7", "10.0.9.1", "", "straße", "fifteen letters", "Sixteen letters.", "sixteen letters.", "just seventeen letters", "just nine ten letters!"])), 3), 1..20),
    ) {
        use tripline::diagnostic::{Place, SourceText};
        use tripline::mapfile::{CompiledMap, Scratch};
        // Columns are of one kind: each row uses one column per kind of its three cells, the others stay empty.
        let kinds = ["event", "ci.event", "regex.event", "range.event", "cidr.event"];
        let header: Vec<String> = (0..3).flat_map(|f| kinds.iter().map(move |k| format!("{k}.f{f}"))).chain(["set.event.row".to_owned()]).collect();
        let quote = |t: &str| format!("\"{}\"", t.replace('"', "\"\""));
        let mut text = header.join(",") + "\n";
        for (i, row) in rows.iter().enumerate() {
            let mut columns = vec![String::new(); 15];
            for (f, cell) in [&row.0, &row.1, &row.2].into_iter().enumerate() {
                let (kind, shown) = match cell {
                    Cell::Anything => continue,
                    Cell::Exact(t) => (0, quote(t)),
                    Cell::Folded(t) => (1, quote(t)),
                    Cell::Regex(t) => (2, quote(t)),
                    Cell::Range(a, b) => (3, quote(&format!("{a}-{b}"))),
                    Cell::Network(n) => (4, quote(n)),
                };
                columns[f * 5 + kind] = shown;
            }
            text.push_str(&format!("{},r{i}\n", columns.join(",")));
        }
        let source = Arc::new(SourceText { path: "m.csv".into(), text });
        let mut faults = Vec::new();
        let file = tripline::mapfile::read(&Place { source: Arc::clone(&source), line: 1, column: 1 }, &source.text, &mut faults);
        prop_assert_eq!(file.rows.len(), rows.len());
        let map = CompiledMap::new(file);
        let mut scratch = Scratch::default();
        for event in &values {
            let given: Vec<Option<&[u8]>> = (0..15).map(|i| event[i / 5].map(str::as_bytes)).collect();
            let want = rows.iter().position(|r| [&r.0, &r.1, &r.2].into_iter().zip(event).all(|(c, v)| meets(c, *v)));
            prop_assert_eq!(map.find(&given, &mut scratch).map(|r| r as usize), want);
        }
    }
}

fn decode(line: &[u8], names: &[&str]) -> Option<BTreeMap<String, String>> {
    let fields = names.iter().enumerate().map(|(i, n)| WantedField { name: (*n).into(), slot: Slot(i as u16), base: None });
    let mut decoder = JsonDecoder::new(Wanted { fields: fields.collect(), ..Wanted::default() });
    let mut batch = Batch::default();
    batch.reset(Arc::new(Input::of_lines([line], Arc::default(), 0)), names.len());
    decoder.decode(&mut batch, &[0], Subject::Line);
    if !batch.faults.is_empty() {
        return None;
    }
    let mut out = BTreeMap::new();
    for (i, name) in names.iter().enumerate() {
        let span = batch.cell(Slot(i as u16), 0);
        let mut value = batch.bytes(span).to_vec();
        if span.kind() == Kind::Escaped {
            value.clear();
            text::unescape(batch.bytes(span), &mut value);
        }
        if span.is_present() {
            out.insert((*name).to_owned(), String::from_utf8(value).unwrap());
        }
    }
    Some(out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]
    #[test]
    fn json_is_taken_and_refused_as_simd_json_does(text in r#"\{("[ab]":(1|-2\.5e3|"x\\n\\u00e9"|true|null|\[1, "b"\]|\{"c": \{\}\}),? ?){0,4}\}|[\{\}\[\]",:a1e.+\\ \-]{0,24}"#) {
        let mut copy = text.clone().into_bytes();
        let oracle = simd_json::serde::from_slice::<serde_json::Value>(&mut copy).ok().filter(serde_json::Value::is_object);
        let got = decode(text.as_bytes(), &["a", "b", "b.c"]);
        prop_assert_eq!(got.is_some(), oracle.is_some(), "{}", text);
        if let (Some(got), Some(oracle)) = (got, oracle) {
            for name in ["a", "b"] {
                let want = match &oracle[name] {
                    serde_json::Value::Null => None,
                    serde_json::Value::String(s) => Some(s.clone()),
                    serde_json::Value::Bool(b) => Some(b.to_string()),
                    other => {
                        // Numbers and nested values keep their own spelling: compare what they mean.
                        let mut own = got[name].clone().into_bytes();
                        prop_assert_eq!(&simd_json::serde::from_slice::<serde_json::Value>(&mut own).unwrap(), other);
                        continue;
                    }
                };
                prop_assert_eq!(got.get(name), want.as_ref());
            }
        }
    }
}

#[test]
fn a_literal_dotted_key_wins_and_the_last_of_a_repeated_key_counts() {
    let names = ["a.b", "c"];
    assert_eq!(
        decode(br#"{"a":{"b":1},"c":1,"c":2}"#, &names).unwrap(),
        BTreeMap::from([("a.b".into(), "1".into()), ("c".into(), "2".into())])
    );
    for line in [&br#"{"a.b":2,"a":{"b":1}}"#[..], br#"{"a":{"b":1},"a.b":2}"#, br#"{"a":{"b":1},"\u0061.b":2}"#] {
        assert_eq!(decode(line, &names).unwrap()["a.b"], "2");
    }
}

#[test]
fn nesting_bombs_are_refused() {
    for bomb in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        assert_eq!(decode(format!("{{\"a\":{bomb}").as_bytes(), &["a"]), None);
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(decode(deep.as_bytes(), &["a"]), None);
}

fn pipelines() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    fs::read_dir(root).unwrap().flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect()
}

#[test]
fn the_ready_pipelines_pass_their_cases_also_with_crashes() {
    let mut seen = 0;
    for pipeline in pipelines() {
        for case in tripline::cases::find(&pipeline).unwrap() {
            for crashes in [&[][..], &[3], &[1, 7, 9]] {
                let case = case.clone().with_crashes(crashes);
                let make = |nodes: &[String]| {
                    load_plan(std::slice::from_ref(&case.pipeline), case.clock(), &|_| None, nodes, &Registry::default())
                        .0
                        .ok_or_else(|| "no plan".to_owned())
                };
                let outcome = tripline::cases::run(&case, &make);
                assert!(outcome.is_ok(), "{} {crashes:?}: {outcome:?}", case.name);
                seen += 1;
            }
        }
    }
    assert!(seen >= 15);
}
