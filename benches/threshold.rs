//! P5: the threshold operator by itself, hits of one partition in batches, against the container style and against itself under harder conditions.
#![allow(clippy::expect_used, clippy::unnecessary_to_owned, dropping_copy_types)] // made-up data is as it was made

mod common;

use std::collections::{HashMap, VecDeque};
use std::hint::black_box;
use std::sync::Arc;

use common::{Bench, Rng, of_options};
use tripline::component::correlator::AlertRows;
use tripline::component::correlator::push_part;
use tripline::component::{Correlator, HitBatch, HitRef};
use tripline::correlate::alert::{AlertPrograms, Constants, Severity, TablesRead};
use tripline::correlate::copies::{InputKind, Listed};
use tripline::correlate::port::{Counters, Port};
use tripline::correlate::threshold::{KIND, Threshold};
use tripline::event::{Batch, Input, Origin};
use tripline::expr::Template;
use tripline::metrics::Registry;
use tripline::window::watermark::{Activity, TimePolicy};
use xxhash_rust::xxh3::xxh3_64;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_760_000_000 * SECOND;

/// A shard of a rule from its options.
fn rule(options: &str, lateness: i64) -> Threshold {
    let spec = of_options(format!("{{type: threshold, inputs: [x], by: [host], within: 60s, {options}}}"), |options| (KIND.bind)(options));
    let alert = AlertPrograms {
        title: Template::default(),
        description: Template::default(),
        severity: Severity::Word("high"),
        observables: Vec::new(),
        links: Vec::new(),
        fields: Vec::new(),
        constants: Constants::new(("x", "x"), &["host".into()], &[], &[]),
        tables: TablesRead::default(),
    };
    let policy = TimePolicy { lateness, ..TimePolicy::default() };
    let port = Port {
        payload: Vec::new(),
        policy,
        condition: None,
        write: None,
        bound: None,
        unless: None,
        alert,
        suppress_by: Vec::new(),
        is_rule: false,
        weighted: false,
        late: None,
    };
    let counters = Counters::new(&Registry::default(), "bench");
    let mut made = Threshold::new(Arc::new(spec), vec![port], Listed::default(), vec![InputKind::Hits(0)], counters);
    let mut out = AlertRows::default();
    made.on_partition(0, &origin(), Activity::Live, START, &mut out);
    made.on_opened(0, &mut out);
    made
}

fn origin() -> Origin {
    Origin { source: "bench".into(), partition: "p".into(), identity: vec![0; 16], ..Origin::default() }
}

/// Batches of 1,024 hits over so many keys, `step` nanoseconds apart. `disorder`: how far times are shuffled. `amounts`: different measured values.
fn batches(n: u64, keys: u64, step: i64, disorder: u64, amounts: u64) -> Vec<(Arc<Batch>, HitBatch)> {
    let mut r = Rng(9);
    let origin = Arc::new(origin());
    let line = [b'x'; 200];
    (0..n / 1024)
        .map(|b| {
            let input = Input::of_lines((0..1024).map(|_| line.as_slice()), Arc::clone(&origin), b * 1024);
            let mut batch = Batch::default();
            batch.reset(Arc::new(input), 1);
            let (mut hits, mut before) = (HitBatch::default(), i64::MIN);
            for row in 0..1024u64 {
                let time = START + (b * 1024 + row) as i64 * step - if disorder > 0 { r.below(disorder) as i64 } else { 0 };
                batch.times[row as usize] = time;
                let at = hits.keys.len() as u32;
                push_part(b"", &mut hits.keys);
                push_part(format!("h{:010}", r.below(keys)).as_bytes(), &mut hits.keys);
                let len = hits.keys.len() as u32 - at;
                let hash = xxh3_64(&hits.keys[at as usize..]);
                if amounts > 0 {
                    hits.amounts.push(i128::from(r.below(amounts)));
                }
                hits.hits.push(HitRef { row: row as u16, hash, key: (at, len), before });
                before = before.max(time);
            }
            batch.sum_up_times();
            (Arc::new(batch), hits)
        })
        .collect()
}

fn feed(rule: &mut Threshold, batches: &[(Arc<Batch>, HitBatch)]) {
    let mut out = AlertRows::default();
    for (batch, hits) in batches {
        rule.on_hits(0, batch, hits, &mut out);
        out.clear();
    }
    black_box(&out);
}

/// The container style: what a first version would do.
fn naive(batches: &[(Arc<Batch>, HitBatch)]) -> u64 {
    let mut groups: HashMap<String, VecDeque<i64>> = HashMap::new();
    let mut fired = 0;
    for (batch, hits) in batches {
        for hit in &hits.hits {
            let key = String::from_utf8_lossy(&hits.keys[hit.key.0 as usize..(hit.key.0 + hit.key.1) as usize]).into_owned();
            let time = batch.times[usize::from(hit.row)];
            let window = groups.entry(key).or_default();
            while window.front().is_some_and(|t| *t <= time - 60 * SECOND) {
                window.pop_front();
            }
            window.push_back(time);
            fired += u64::from(window.len() == 5);
        }
    }
    drop(groups);
    // The allocator puts off the work of freeing millions of small blocks until a large one is wanted: let it be done here, where it belongs.
    drop(black_box(Vec::<u8>::with_capacity(100 << 20)));
    fired
}

fn main() {
    let mut bench = Bench::new("threshold", true);
    let n: u64 = if bench.quick { 4 << 20 } else { 8 << 20 };
    const KEYS: u64 = 1_000_000;
    // 50 µs between hits: a window of 60 s holds 1.2 hits of each of a million keys, and few of them fire.
    const STEP: i64 = 50_000;
    let plain = "count: 5, limits: {evidence: 0}";
    let data = batches(n, KEYS, STEP, 0, 0);
    let bytes = n * 15;
    let mut warm = rule(plain, 0);
    feed(&mut warm, &data);
    println!(
        "{}",
        serde_json::json!({"bench": "threshold", "case": "bytes per key", "bytes_per_key": warm.memory() / warm.groups_len().max(1), "keys": warm.groups_len(), "bar": 128})
    );
    drop(warm);
    let m = bench.interleave(|| feed(&mut rule(plain, 0), &data), || drop(black_box(naive(&data))));
    bench.report("1 M keys / HashMap<String, VecDeque>", "HashMap<String, VecDeque<i64>>", n, bytes, &m);

    let shuffled = batches(n, KEYS, STEP, 5 * SECOND as u64, 0);
    let m = bench.interleave(|| feed(&mut rule(plain, 5 * SECOND), &shuffled), || feed(&mut rule(plain, 0), &data));
    bench.report("lateness 5 s / 0", "lateness 0", n, bytes, &m);
    drop(shuffled);
    let m = bench.interleave(|| feed(&mut rule("count: 5", 0), &data), || feed(&mut rule(plain, 0), &data));
    bench.report("with evidence / without", "without evidence", n, bytes, &m);

    let (few, many) = (batches(n / 4, 1, 1_000, 0, 100), batches(n / 4, 1, 1_000, 0, 100_000));
    let distinct = "distinct: user, count: 1000000, limits: {evidence: 0}";
    let m = bench.interleave(|| feed(&mut rule(distinct, 0), &many), || feed(&mut rule(distinct, 0), &few));
    bench.report("distinct 100000 values / 100", "100 values", n / 4, bytes / 4, &m);
    drop((few, many));

    if !bench.quick {
        let huge = batches(20 << 20, 10_000_000, STEP / 10, 0, 0);
        let per = (20 << 20) as f64 / n as f64;
        let mut m = bench.interleave(|| feed(&mut rule(plain, 0), &huge), || feed(&mut rule(plain, 0), &data));
        m.reference_ns *= per;
        bench.report("10 M keys / 1 M keys", "1 M keys", 20 << 20, (20 << 20) * 15, &m);
    }
    bench.end();
}
