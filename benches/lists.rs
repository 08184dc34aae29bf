//! Lists that events write: a million entries that end, against a map of owned texts with an index of their ends.
#![allow(clippy::expect_used, dropping_copy_types)] // made-up data is as it was made

mod common;

use std::collections::{BTreeSet, HashMap};
use std::hint::black_box;
use std::sync::Arc;

use common::{Bench, Rng};
use tripline::event::Value;
use tripline::list::{Evict, List, ListSpec, Merge, Storage};
use tripline::state::{Changes, Chunks, FolderStore, OwnRows, Store as _};

const TTL: i64 = 3_600_000_000_000;
const STEP: i64 = 1_000_000;

fn spec(storage: Storage) -> Arc<ListSpec> {
    Arc::new(ListSpec {
        name: "leases".into(),
        key: vec!["address".into()],
        tenant: None,
        columns: vec![("host".into(), Merge::Last)],
        ttl: Some(TTL),
        is_sliding: true,
        capacity: usize::MAX,
        storage,
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
    let mut ours = List::new(spec(Storage::Memory));
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
        || drop(black_box(picks.iter().filter_map(|pick| ours.find(&joined[*pick], ours_at * STEP, |e| e.key.len())).sum::<usize>())),
        || {
            let live = |pick: &usize| peer.entries.get(&keys[*pick]).filter(|(end, _)| *end > peer_at * STEP);
            drop(black_box(picks.iter().filter_map(live).map(|(_, columns)| columns.len()).sum::<usize>()));
        },
    );
    bench.report("find, 1 M entries / map of texts", "map of texts", n, n * 12, &m);
    on_the_disk(&mut bench, &joined, &picks, &mut ours, ours_at);
    bench.end();
}

/// The same list in rows of a store that syncs an epoch for every 50,000 writes, against the one in memory.
fn on_the_disk(bench: &mut Bench, keys: &[Vec<u8>], picks: &[usize], memory: &mut List, mut now: i64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = FolderStore::open(folder.path(), true).expect("a store in it");
    let rows = store.rows("bench").expect("rows of it");
    let mut disk = List::new(spec(Storage::Disk));
    disk.attach(
        0,
        &OwnRows::new(
            rows,
            Arc::new(|e| {
                eprintln!("{e}");
                std::process::exit(1);
            }),
        ),
    );
    let mut epoch = |disk: &mut List| {
        let mut chunks = Chunks::default();
        disk.save(0, false, &mut chunks);
        store.publish(b"", Changes { rows: vec![("bench".to_owned(), chunks.rows)], ..Changes::default() }).expect("the disk has room");
    };
    let set = [(0, Value::Text(b"host-of-it"))];
    let before = resident();
    for keys in keys.chunks(50_000) {
        keys.iter().for_each(|key| drop(disk.write(key, now * STEP, &set)));
        epoch(&mut disk);
    }
    let per_entry = resident().saturating_sub(before) / keys.len() as u64;
    println!(
        "{{\"bench\":\"lists\",\"case\":\"bytes of memory per entry on the disk\",\"bytes_per_entry\":{per_entry},\"entries\":{}}}",
        keys.len()
    );
    let (n, mut then) = (picks.len() as u64, now);
    let m = bench.interleave(
        || {
            for picks in picks.chunks(50_000) {
                for pick in picks {
                    now += 1;
                    disk.write(&keys[*pick], now * STEP, &set);
                }
                epoch(&mut disk);
            }
        },
        || {
            for pick in picks {
                then += 1;
                memory.write(&keys[*pick], then * STEP, &set);
            }
        },
    );
    bench.report("write, 1 M entries on the disk, epochs synced / in memory", "in memory", n, n * 12, &m);
    let found = |list: &List, now: i64| picks.iter().filter_map(|pick| list.find(&keys[*pick], now * STEP, |e| e.key.len())).sum::<usize>();
    let m = bench.interleave(|| drop(black_box(found(&disk, now))), || drop(black_box(found(memory, then))));
    bench.report("find, 1 M entries on the disk / in memory", "in memory", n, n * 12, &m);
}
