//! Lists that events write: a million entries that end, against a map of owned texts with an index of their ends.
#![allow(clippy::expect_used, dropping_copy_types)] // made-up data is as it was made

mod common;

use std::collections::{BTreeSet, HashMap};
use std::hint::black_box;
use std::sync::Arc;

use common::{Bench, Rng};
use tripline::event::Value;
use tripline::list::{Evict, List, ListSpec, Merge};

const TTL: i64 = 3_600_000_000_000;
const STEP: i64 = 1_000_000;

fn spec() -> Arc<ListSpec> {
    Arc::new(ListSpec {
        name: "leases".into(),
        key: vec!["address".into()],
        tenant: None,
        columns: vec![("host".into(), Merge::Last)],
        ttl: Some(TTL),
        is_sliding: true,
        capacity: usize::MAX,
        evict: Evict::Oldest,
        clear: None,
        expiry_event: false,
        base: None,
    })
}

/// A list of the container style.
#[derive(Default)]
struct Naive {
    entries: HashMap<String, (i64, HashMap<String, String>)>,
    ends: BTreeSet<(i64, String)>,
}

impl Naive {
    fn write(&mut self, key: &str, time: i64, host: &str) {
        while let Some((end, _)) = self.ends.first()
            && *end <= time
        {
            let (_, key) = self.ends.pop_first().expect("it is there");
            self.entries.remove(&key);
        }
        let entry = self.entries.entry(key.to_owned()).or_default();
        self.ends.remove(&(entry.0, key.to_owned()));
        entry.0 = time + TTL;
        entry.1.insert("host".to_owned(), host.to_owned());
        self.ends.insert((entry.0, key.to_owned()));
    }
}

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn main() {
    let mut bench = Bench::new("lists", true);
    let entries: u64 = if bench.quick { 200_000 } else { 1_000_000 };
    let n = entries;
    let mut r = Rng(7);
    let keys: Vec<String> = (0..entries).map(|i| format!("10.{}.{}.{}", i >> 16, i >> 8 & 255, i & 255)).collect();
    let joined: Vec<Vec<u8>> = keys.iter().map(|key| [key.as_bytes(), &[0xff]].concat()).collect();
    let picks: Vec<usize> = (0..n).map(|_| r.below(entries) as usize).collect();
    let write = |list: &mut List, pick: usize, at: i64| {
        list.write(&joined[pick], at * STEP, &[(0, Value::Text(b"host-of-it"))]);
    };
    let before = resident();
    let mut ours = List::new(spec());
    (0..entries as usize).for_each(|pick| write(&mut ours, pick, 0));
    let per_entry = resident().saturating_sub(before) / entries;
    println!("{{\"bench\":\"lists\",\"case\":\"bytes per entry\",\"bytes_per_entry\":{per_entry},\"entries\":{entries}}}");
    let mut peer = Naive::default();
    keys.iter().for_each(|key| peer.write(key, 0, "host-of-it"));
    let (mut ours_at, mut peer_at) = (0, 0);
    let m = bench.interleave(
        || {
            for pick in &picks {
                ours_at += 1;
                write(&mut ours, *pick, ours_at);
            }
        },
        || {
            for pick in &picks {
                peer_at += 1;
                peer.write(&keys[*pick], peer_at * STEP, "host-of-it");
            }
        },
    );
    bench.report("write, 1 M entries that end / map of texts", "map of texts", n, n * 12, &m);
    let m = bench.interleave(
        || drop(black_box(picks.iter().filter_map(|pick| ours.find(&joined[*pick], ours_at * STEP)).map(|e| e.key.len()).sum::<usize>())),
        || {
            let live = |pick: &usize| peer.entries.get(&keys[*pick]).filter(|(end, _)| *end > peer_at * STEP);
            drop(black_box(picks.iter().filter_map(live).map(|(_, columns)| columns.len()).sum::<usize>()));
        },
    );
    bench.report("find, 1 M entries / map of texts", "map of texts", n, n * 12, &m);
    bench.end();
}
