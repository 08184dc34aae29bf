//! P1 and P7: the whole chain in the product's own runtime. File → RFC 5424 → exact map of 1,000 rows → filter (20 % pass) → threshold count 5 by host → NDJSON to
//! /dev/null, against a chain in the container style, against reading and framing alone, and over two cores.
#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods, dropping_copy_types)] // a bench asks the machine

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use common::{Bench, Measured};
use tripline::clock::Clock;
use tripline::metrics::Registry;
use tripline::runtime::assemble::RunOptions;
use tripline::runtime::sender::Health;
use tripline::runtime::topology::{Host, run};
use tripline::state::MemoryStore;

struct Quiet;

impl Host for Quiet {
    fn ready(&mut self, _: &tripline::plan::Plan, _: &BTreeMap<String, String>, _: &BTreeMap<String, Arc<Health>>) {}
    fn word(&mut self, level: &str, _: &str, message: &str) {
        assert_ne!(level, "error", "{message}");
    }
    fn stops(&self) -> usize {
        0
    }
}

fn chain(pipeline: &Path, workers: usize, shards: usize) {
    let (plan, faults) = tripline::plan::load_plan(&[pipeline.to_owned()], Clock::System, &|_| None, &[], &Registry::default());
    let plan = plan.unwrap_or_else(|| panic!("{:?}", faults.iter().map(|f| f.render()).collect::<Vec<_>>()));
    let options = RunOptions { shards, workers, until_end: true, close: false, installation: vec![0; 16], folder: None };
    run(plan, &options, Box::new(MemoryStore::default()), &mut Quiet).expect("the chain runs");
}

/// What a first version would do: a map of owned texts for every line.
fn naive(log: &Path, map: &HashMap<Vec<String>, String>) -> usize {
    let mut out = std::fs::OpenOptions::new().write(true).open("/dev/null").expect("/dev/null");
    let mut groups: HashMap<String, VecDeque<i64>> = HashMap::new();
    let mut fired = 0;
    for line in BufReader::with_capacity(1 << 20, std::fs::File::open(log).expect("made here")).lines() {
        let line = line.expect("made here");
        let mut event: BTreeMap<String, String> = BTreeMap::new();
        let (pri, rest) = line[1..].split_once('>').expect("made here");
        event.insert("pri".into(), pri.into());
        let mut parts = rest.splitn(7, ' ');
        for name in ["version", "timestamp", "hostname", "appname", "procid", "msgid"] {
            event.insert(name.into(), parts.next().expect("made here").into());
        }
        let mut rest = parts.next().expect("made here");
        while let Some(element) = rest.strip_prefix('[') {
            let (inside, after) = element.split_once(']').expect("made here");
            let mut words = inside.split(' ');
            let id = words.next().expect("made here").to_owned();
            for (k, v) in words.filter_map(|w| w.split_once('=')) {
                event.insert(format!("sd.{id}.{k}"), v.trim_matches('"').to_owned());
            }
            rest = after;
        }
        event.insert("message".into(), rest.trim_start().into());
        let time = tripline::event::time::parse_rfc3339(event["timestamp"].as_bytes()).expect("made here");
        let key = vec![event["appname"].clone(), event["sd.auth@32473.outcome"].clone()];
        if let Some(category) = map.get(&key) {
            event.insert("categoryOutcome".into(), category.clone());
        }
        if event.get("categoryOutcome").is_none_or(|c| c != "Failure") {
            continue;
        }
        let window = groups.entry(event["hostname"].clone()).or_default();
        while window.front().is_some_and(|t| *t <= time - 5_000_000_000) {
            window.pop_front();
        }
        window.push_back(time);
        fired += usize::from(window.len() == 5);
        let mut bytes = serde_json::to_vec(&event).expect("a map");
        bytes.push(b'\n');
        out.write_all(&bytes).expect("/dev/null");
    }
    fired
}

fn read_and_frame(log: &Path) {
    let mut file = std::fs::File::open(log).expect("made here");
    let mut buffer = vec![0u8; 256 * 1024];
    let mut ends = Vec::new();
    loop {
        let n = file.read(&mut buffer).expect("made here");
        if n == 0 {
            break;
        }
        ends.clear();
        tripline::simd::offsets(&buffer[..n], b'\n', 0, &mut ends);
        black_box(&ends);
    }
}

fn pipeline(folder: &Path, name: &str, logs: &[&str]) -> std::path::PathBuf {
    let paths = logs.join(", ");
    let yaml = format!(
        "sources:\n  logs: {{type: file, paths: [{paths}], follow: false, format: syslog, original: false}}\n\
         transforms:\n  categorize: {{type: map, inputs: [logs], files: [map.csv]}}\n  failures: {{type: filter, inputs: [categorize], where: 'categoryOutcome == \"Failure\"'}}\n\
         correlations:\n  rule: {{type: threshold, inputs: [failures], by: [hostname], within: 5s, count: 5, limits: {{evidence: 0}}}}\n\
         sinks:\n  out: {{type: file, inputs: [failures], path: /dev/null}}\n  alerts: {{type: drop, inputs: [rule]}}\n"
    );
    let path = folder.join(name);
    std::fs::write(&path, yaml).expect("a temporary folder");
    path
}

/// S1: `pipelines/dns_recon` as it stands, but with `rows` more patterns in its map and `n` lines in its log, half of them noise of the collector.
fn dns_recon(folder: &Path, rows: u64, n: u64) -> (std::path::PathBuf, std::path::PathBuf) {
    let ready = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/dns_recon");
    let read = |name: &str| std::fs::read_to_string(ready.join(name)).expect("the ready pipeline");
    let put = |name: &str, text: &[u8]| {
        let path = folder.join("dns").join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a temporary folder");
        std::fs::write(&path, text).expect("a temporary folder");
        path
    };
    let mut map = read("maps/queries.map.csv");
    (0..rows).for_each(|i| map.push_str(&format!("(^|\\.)bad{i}domain\\.com$,,/Malware/{},A name of a feed\n", i % 100)));
    put("maps/queries.map.csv", map.as_bytes());
    put("maps/types.map.csv", read("maps/types.map.csv").as_bytes());
    put("tables/collectors.csv", read("tables/collectors.csv").as_bytes());
    let mut r = common::Rng(9);
    let mut log = Vec::new();
    for i in 0..n {
        let client = if i % 2 == 0 { "10.0.0.9".to_owned() } else { format!("10.{}.{}.{}", r.below(4), r.below(200), 1 + r.below(250)) };
        // Names never seen before, one in fifty of a feed.
        let name = if r.below(50) == 0 {
            format!("w{i}.bad{}domain.com", r.below(rows))
        } else {
            format!("h{i:x}.host{}.example.org", r.below(1 << 40))
        };
        let _ = writeln!(
            log,
            "2026-11-02T{:02}:{:02}:{:02}.{:03}Z queries: info: client @0x7f3a {client}#5353 ({name}): query: {name} IN A +E(0)K (10.0.0.53)",
            i / 36_000_000 % 24,
            i / 600_000 % 60,
            i / 10_000 % 60,
            i / 10 % 1000
        );
    }
    let log = put("logs/queries.log", &log);
    let yaml = read("pipeline.yaml").replace("{type: stdout, inputs: [dns_scan", "{type: drop, inputs: [dns_scan");
    (put("pipeline.yaml", yaml.as_bytes()), log)
}

/// A pipeline of so many rules, each for the lines of one process.
fn rules(folder: &Path, name: &str, count: usize) -> std::path::PathBuf {
    let mut text = "sources: {a: {type: file, paths: [in.log], follow: false, format: syslog}}\ncorrelations:\n".to_owned();
    for n in 0..count {
        text.push_str(&format!(
            "  r{n}: {{type: threshold, inputs: [a], where: 'procid == \"{}\"', by: [hostname], within: 1m, count: 5}}\n",
            1000 + n
        ));
    }
    let names: Vec<String> = (0..count).map(|n| format!("r{n}")).collect();
    text.push_str(&format!("sinks: {{o: {{type: drop, inputs: [{}]}}}}\n", names.join(", ")));
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a temporary folder");
    path
}

fn main() {
    // A child of the bench of two cores.
    if let Some(at) = std::env::args().position(|a| a == "--once") {
        let words: Vec<String> = std::env::args().collect();
        let cores: usize = words[at + 2].parse().expect("a number");
        return chain(Path::new(&words[at + 1]), cores, cores);
    }
    let two_cores = std::env::args().any(|a| a == "--two-cores");
    let mut bench = Bench::new("chain", !two_cores);
    let n: u64 = if bench.quick { 200_000 } else { 1_000_000 };
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
    let lines = common::rfc5424(n);
    let log = folder.path().join("in.log");
    std::fs::write(&log, &lines).expect("a temporary folder");
    let mut text = String::from("event.appname,event.sd.auth@32473.outcome,set.event.categoryOutcome\n");
    let mut map = HashMap::new();
    for i in 0..1000 {
        let (app, outcome, category) = match i {
            0 => ("sshd".to_owned(), "failure", "Failure"),
            1 => ("sshd".to_owned(), "success", "Success"),
            _ => (format!("app{i}"), "failure", "Failure"),
        };
        text.push_str(&format!("{app},{outcome},{category}\n"));
        map.insert(vec![app, outcome.to_owned()], category.to_owned());
    }
    std::fs::write(folder.path().join("map.csv"), text).expect("a temporary folder");
    let one = pipeline(folder.path(), "one.yaml", &["in.log"]);
    let bytes = lines.len() as u64;

    if two_cores {
        let half = lines[..lines.len() / 2].iter().rposition(|b| *b == b'\n').expect("made here") + 1;
        std::fs::write(folder.path().join("a.log"), &lines[..half]).expect("a temporary folder");
        std::fs::write(folder.path().join("b.log"), &lines[half..]).expect("a temporary folder");
        let two = pipeline(folder.path(), "two.yaml", &["a.log", "b.log"]);
        let child = |pipeline: &Path, cores: &str, pinned: bool, cpu: &Cell<f64>| {
            let own = std::env::current_exe().expect("own path").into_os_string();
            let mut words: Vec<std::ffi::OsString> = if pinned { vec!["taskset".into(), "-c".into(), "0".into()] } else { Vec::new() };
            words.extend([own, "--once".into(), pipeline.into(), cores.into()]);
            let before = common::cpu_of_children();
            std::process::Command::new(&words[0]).args(&words[1..]).status().expect("own program runs");
            cpu.set(cpu.get() + common::cpu_of_children() - before);
        };
        for (case, pipeline) in [("two files", &two), ("one file", &one)] {
            // One core: one worker, one shard, all threads on it.
            let (cpu, reference_cpu) = (Cell::new(0.0), Cell::new(0.0));
            let m = bench.interleave(|| child(pipeline, "2", false, &cpu), || child(pipeline, "1", true, &reference_cpu));
            bench.report_as(&format!("{case}, two cores / one core"), "one core", n, bytes, &m, 2, None);
            // Both sides ran equally often.
            let runs = (bench.runs() + 1) as f64;
            let m = Measured { ours_ns: cpu.get() / runs, reference_ns: reference_cpu.get() / runs, allocations: 0 };
            bench.report_as(&format!("{case}, CPU of two cores / one core"), "CPU of one core", n, bytes, &m, 2, None);
        }
        return bench.end();
    }
    let m = bench.interleave(|| chain(&one, 1, 1), || drop(black_box(naive(&log, &map))));
    bench.report("file to alerts / naive chain", "container style", n, bytes, &m);
    let m = bench.interleave(|| chain(&one, 1, 1), || read_and_frame(&log));
    bench.report("file to alerts / read + framing", "read + framing", n, bytes, &m);

    let (dns, dns_log) = dns_recon(folder.path(), 10_000, n);
    let dns_bytes = std::fs::metadata(&dns_log).expect("made here").len();
    let m = bench.interleave(|| chain(&dns, 1, 1), || read_and_frame(&dns_log));
    bench.report("pipelines/dns_recon, 10000 patterns / read + framing", "read + framing", n, dns_bytes, &m);

    // Three rules are asked one by one, three hundred by what they want.
    let (few, many) = (rules(folder.path(), "few.yaml", 3), rules(folder.path(), "many.yaml", 300));
    let m = bench.interleave(|| chain(&many, 1, 1), || chain(&few, 1, 1));
    bench.report("300 rules / 3 rules", "3 rules", n, bytes, &m);

    // Allocations: twice the events must not take more of them, but for what grows with state and with alerts.
    let longer = common::rfc5424(2 * n);
    std::fs::write(folder.path().join("long.log"), &longer).expect("a temporary folder");
    let long = pipeline(folder.path(), "long.yaml", &["long.log"]);
    let count = |pipeline: &Path| {
        let before = common::allocations();
        chain(pipeline, 1, 1);
        common::allocations() - before
    };
    let (short, long) = (count(&one), count(&long));
    let per_event = (long.saturating_sub(short)) as f64 / n as f64;
    let m = Measured { ours_ns: per_event * n as f64, reference_ns: n as f64, allocations: long.saturating_sub(short) };
    if bench.quick {
        println!("chain      allocations: {short} for {n} events, {long} for twice as many: {per_event:.4} per further event");
    } else {
        bench.report("allocations per further event", "one", n, bytes, &m);
    }
    bench.end();
}
