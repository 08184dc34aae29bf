//! P3: exact and regex map files against a single hash hit, against the container style, and against a small file.
#![allow(clippy::expect_used, clippy::unnecessary_to_owned, dropping_copy_types)] // made-up data is as it was made

mod common;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use common::{Bench, Rng};
use tripline::diagnostic::{Place, SourceText};
use tripline::mapfile::{CompiledMap, Scratch, read};

fn compile(text: String) -> CompiledMap {
    let source = Arc::new(SourceText { path: "bench.map.csv".into(), text });
    let mut faults = Vec::new();
    let file = read(&Place { source: Arc::clone(&source), line: 1, column: 1 }, &source.text, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    CompiledMap::new(file)
}

/// 47 % domain suffixes, 47 % with an inner literal, 6 % with none.
fn regex_map(rows: u64) -> CompiledMap {
    let mut r = Rng(5);
    let mut text = String::from("regex.event.query,set.event.category\n");
    for i in 0..rows {
        let cell = match r.below(100) {
            0..47 => format!(r"(^|\.)bad{i}domain\.com$"),
            47..94 => format!(r"[a-z0-9]+-track{i}er-[0-9]+"),
            _ => format!(r"^[a-f]{{{}}}\d[g-z]{{{}}}\.", 3 + i % 7, 2 + i % 5),
        };
        text.push_str(&format!("{cell},/Category/{i}\n"));
    }
    compile(text)
}

/// Names never seen before: every one is new.
fn names(n: u64, rows: u64) -> Vec<String> {
    let mut r = Rng(6);
    (0..n)
        .map(|i| match r.below(50) {
            0 => format!("w{i}.bad{}domain.com", r.below(rows)),
            1 => format!("x{i}-track{}er-7.example.net", r.below(rows)),
            _ => format!("h{:x}.host{}.example.org", r.next() & 0xffff_ffff, i),
        })
        .collect()
}

fn main() {
    let mut bench = Bench::new("maps", true);
    let n: u64 = if bench.quick { 200_000 } else { 1_000_000 };
    let rows = 10_000u64;
    let cell = |i: u64| [format!("Vendor{}", i % 50), format!("Product{}", i % 500), format!("CLASS_{i}")];
    let mut text = String::from("event.vendor,event.product,event.class,set.event.category\n");
    (0..rows).for_each(|i| text.push_str(&format!("{},/Category/{}\n", cell(i).join(","), i % 100)));
    let map = compile(text);
    let mut r = Rng(4);
    // Few enough that they stay in the cache, as a line does that was parsed just before.
    const HOT: u64 = 2048;
    let picked: Vec<u64> = (0..HOT).map(|_| r.below(rows + rows / 10)).collect();
    let hot: Vec<[String; 3]> = picked.iter().map(|i| cell(*i)).collect();
    let events = || (0..n / HOT).flat_map(|_| hot.iter());
    let n = n / HOT * HOT;
    let mut scratch = Scratch::default();
    let mut find = || {
        events().fold(0u64, |sum, e| {
            let values = [Some(e[0].as_bytes()), Some(e[1].as_bytes()), Some(e[2].as_bytes())];
            sum + u64::from(map.find(&values, &mut scratch).unwrap_or(0))
        })
    };
    let single: hashbrown::HashMap<u64, u32, foldhash::fast::RandomState> = (0..rows).map(|i| (i, i as u32)).collect();
    let m = bench.interleave(
        || drop(black_box(find())),
        || drop(black_box((0..n / HOT).flat_map(|_| picked.iter()).map(|k| u64::from(single.get(k).copied().unwrap_or(0))).sum::<u64>())),
    );
    bench.report("exact 10000 rows / u64 hash hit", "one u64 hash hit", n, n * 24, &m);
    let naive: HashMap<Vec<String>, u32> = (0..rows).map(|i| (cell(i).to_vec(), i as u32)).collect();
    let m = bench.interleave(
        || drop(black_box(find())),
        || drop(black_box(events().map(|e| u64::from(naive.get(&e.to_vec()).copied().unwrap_or(0))).sum::<u64>())),
    );
    bench.report("exact 10000 rows / HashMap<Vec<String>>", "HashMap<Vec<String>, _>", n, n * 24, &m);

    let n = n / 4;
    let (small, large) = (regex_map(100), regex_map(rows));
    let (for_small, for_large) = (names(n, 100), names(n, rows));
    let (mut a, mut b) = (Scratch::default(), Scratch::default());
    let m = bench.interleave(
        || for_large.iter().for_each(|name| drop(black_box(large.find(&[Some(name.as_bytes())], &mut a)))),
        || for_small.iter().for_each(|name| drop(black_box(small.find(&[Some(name.as_bytes())], &mut b)))),
    );
    bench.report("regex 10000 rows, new names / 100 rows", "the same map of 100 rows", n, n * 24, &m);
    bench.end();
}
