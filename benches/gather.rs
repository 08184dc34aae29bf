//! P4b: `merge` and `aggregate` by themselves, with a million keys open, against hash maps of events that are maps.
#![allow(clippy::expect_used)] // made-up data is as it was made

mod common;

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::Arc;

use common::{Bench, Rng, of_options, strings, wanted};
use tripline::codec::format::json::JsonDecoder;
use tripline::codec::format::json_out::EventWriter;
use tripline::codec::format::{Decoder, Subject};
use tripline::component::correlator::AlertRows;
use tripline::component::{Correlator, Extractor, HitBatch};
use tripline::event::{Batch, Input, Origin, Slot};
use tripline::expr::{Environment, compile_truth, parse};
use tripline::metrics::Registry;
use tripline::table::{Handle, Table};
use tripline::transform::BindTransform;
use tripline::transform::gather::extract::{GatherExtractor, KeyPart};
use tripline::transform::gather::unit::{GatherCounters, Gatherer};
use tripline::transform::gather::{AGGREGATE_KIND, GatherPort, GatherSpec, MERGE_KIND};
use tripline::window::arrivals::Inlet;
use tripline::window::watermark::{Activity, TimePolicy};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_760_000_000 * SECOND;

type Event = BTreeMap<String, String>;

fn spec(kind: &str, options: &str) -> Arc<GatherSpec> {
    let of = if kind == "merge" { &MERGE_KIND } else { &AGGREGATE_KIND };
    let BindTransform::Gather(bind) = of.bind else { unreachable!("both gather") };
    Arc::new(of_options(format!("{{type: {kind}, inputs: [x], {options}, capacity: 4000000}}"), bind))
}

/// Each of so many keys comes twice, all first parts before all second ones: then every key is open.
fn lines(keys: u64) -> Vec<(String, Event)> {
    let mut r = Rng(3);
    let mut order: Vec<u64> = (0..keys).collect();
    let mut out = Vec::new();
    for round in 0..2 {
        for i in (1..order.len()).rev() {
            order.swap(i, r.below(i as u64 + 1) as usize);
        }
        for key in &order {
            let (name, value) = if round == 0 {
                ("ip", format!("10.{}.{}.{}", key >> 16, key >> 8 & 255, key & 255))
            } else {
                ("mac", format!("00:0c:29:{key:08x}"))
            };
            let event = Event::from([
                ("host".to_owned(), "fw-a.example.net".to_owned()),
                ("session".to_owned(), format!("s{key:010}")),
                ("user".to_owned(), format!("user{}", key % 5000)),
                (name.to_owned(), value),
            ]);
            out.push((serde_json::to_string(&event).expect("a map is JSON"), event));
        }
    }
    out
}

fn batches(lines: &[(String, Event)]) -> Vec<Arc<Batch>> {
    let origin = Arc::new(Origin { source: "bench".into(), partition: "p".into(), identity: vec![0; 16], ..Origin::default() });
    let mut decoder = JsonDecoder::new(wanted(&strings(&["session", "mac"]), false));
    let make = |(b, part): (usize, &[(String, Event)])| {
        let input = Input::of_lines(part.iter().map(|(line, _)| line.as_bytes()), Arc::clone(&origin), b as u64 * 1024);
        let mut batch = Batch::default();
        batch.reset(Arc::new(input), 2);
        let rows: Vec<u16> = (0..part.len() as u16).collect();
        decoder.decode(&mut batch, &rows, Subject::Line);
        for row in 0..part.len() {
            batch.times[row] = START + (b * 1024 + row) as i64 * 1000;
        }
        Arc::new(batch)
    };
    lines.chunks(1024).enumerate().map(make).collect()
}

/// The one name of the condition.
struct Mac;

impl Environment for Mac {
    fn slot(&mut self, _: &str) -> Option<Slot> {
        Some(Slot(1))
    }
    fn table(&mut self, _: &str, _: bool) -> Option<Arc<Handle<Table>>> {
        None
    }
    fn tables(&self, _: bool) -> Vec<String> {
        Vec::new()
    }
}

fn feed(spec: &Arc<GatherSpec>, batches: &mut [Arc<Batch>]) -> u64 {
    let inlet = Inlet { policy: TimePolicy::default(), tells: false };
    let port = GatherPort { inlet, writer: EventWriter { splice: true, ..EventWriter::default() }, sums: Vec::new() };
    let counters = GatherCounters::new(&Registry::default(), "bench");
    let mut gatherer = Gatherer::new(Arc::clone(spec), vec![port], counters);
    let key = vec![KeyPart::new(Some(Slot(0)), None)];
    let end = spec.has_end.then(|| compile_truth(&parse("has(mac)").expect("made here"), &mut Mac).expect("made here"));
    let mut extractor = GatherExtractor::new(None, key, !spec.is_aggregate, None, (None, end), &[]);
    let mut out = AlertRows::default();
    let mut hits = HitBatch::default();
    let origin = Arc::clone(&batches[0].input.origin);
    gatherer.on_partition(0, &origin, Activity::Live, START, &mut out);
    gatherer.on_opened(0, &mut out);
    let rows: Vec<u16> = (0..1024).collect();
    let mut said = 0;
    for batch in batches {
        hits.clear();
        let own = Arc::get_mut(batch).expect("nobody else holds it");
        own.sum_up_times();
        let rows = &rows[..own.rows()];
        extractor.extract(own, rows, &mut [&mut hits]);
        gatherer.on_hits(0, batch, &hits, &mut out);
        said += out.lines.len() as u64;
        black_box(&out);
        out.clear();
    }
    gatherer.on_end(true, &mut out);
    said + out.lines.len() as u64
}

/// The container style: open events by key, each a list of its parts.
fn naive(lines: &[(String, Event)], aggregate: bool) -> u64 {
    let mut open: HashMap<String, (Vec<Event>, u64)> = HashMap::new();
    let mut said = 0;
    for (_, event) in lines {
        let key = event["session"].clone();
        let group = open.entry(key.clone()).or_default();
        group.1 += 1;
        match group.0.first_mut() {
            Some(first) if aggregate => first.retain(|name, value| event.get(name) == Some(value)),
            _ => group.0.push(event.clone()),
        }
        if group.1 == 2 {
            let (parts, count) = open.remove(&key).unwrap_or_default();
            let mut whole = Event::new();
            for (name, value) in parts.into_iter().flatten() {
                whole.entry(name).or_insert(value);
            }
            whole.insert("count".to_owned(), count.to_string());
            said += u64::from(serde_json::to_string(&whole).is_ok_and(|text| !black_box(text).is_empty()));
        }
    }
    said
}

fn main() {
    let mut bench = Bench::new("gather", true);
    let keys: u64 = if bench.quick { 250_000 } else { 1_000_000 };
    let lines = lines(keys);
    let mut batches = batches(&lines);
    let (n, bytes) = (lines.len() as u64, lines.iter().map(|(line, _)| line.len() as u64).sum());
    let merge = spec("merge", "key: session, timeout: 1h, end: has(mac), fields: first");
    let aggregate = spec("aggregate", "same: [session], interval: 1h, max_count: 2");
    assert_eq!((feed(&merge, &mut batches), feed(&aggregate, &mut batches)), (keys, keys));
    let m = bench.interleave(|| _ = black_box(feed(&merge, &mut batches)), || _ = black_box(naive(&lines, false)));
    bench.report("merge, 1 M open keys / HashMap", "HashMap<String, Vec<BTreeMap>>", n, bytes, &m);
    let m = bench.interleave(|| _ = black_box(feed(&aggregate, &mut batches)), || _ = black_box(naive(&lines, true)));
    bench.report("aggregate, 1 M open keys / HashMap", "HashMap<String, BTreeMap>", n, bytes, &m);
    bench.end();
}
