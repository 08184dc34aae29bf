//! P6: what durable epochs cost. A threshold over a million keys with a barrier each second against none, and how much an epoch writes when little changed.
#![allow(clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a bench asks the machine

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use common::Bench;
use tripline::clock::Clock;
use tripline::metrics::Registry;
use tripline::runtime::assemble::RunOptions;
use tripline::runtime::sender::Health;
use tripline::runtime::topology::{Host, run};
use tripline::state::FolderStore;
use tripline::window::ring::RingGroups;

struct Quiet;

impl Host for Quiet {
    fn ready(&mut self, _: &tripline::plan::Plan, _: &BTreeMap<String, String>, _: &BTreeMap<String, Arc<Health>>) {}
    fn word(&mut self, _: &str, _: &str, _: &str) {}
    fn stops(&self) -> usize {
        0
    }
}

fn chain(folder: &Path, interval: &str) {
    let yaml = format!(
        "barrier: {{interval: {interval}}}\nsources: {{a: {{type: file, paths: [in.log], follow: false, format: json, time: {{field: t, format: epoch_ms}}}}}}\n\
         correlations: {{r: {{type: threshold, inputs: [a], by: [k], within: 1h, count: 5, limits: {{evidence: 0}}}}}}\nsinks: {{o: {{type: drop, inputs: [r]}}}}\n"
    );
    let path = folder.join("p.yaml");
    std::fs::write(&path, yaml).expect("a temporary folder");
    let (plan, faults) = tripline::plan::load_plan(&[path], Clock::System, &|_| None, &[], &Registry::default());
    let plan = plan.unwrap_or_else(|| panic!("{:?}", faults.iter().map(|f| f.render()).collect::<Vec<_>>()));
    let store = FolderStore::open(&folder.join("state"), true).expect("a temporary folder");
    let options = RunOptions { shards: 1, workers: 1, until_end: true, close: false, installation: vec![0; 16], folder: None };
    run(plan, &options, Box::new(store), &mut Quiet).expect("the chain runs");
}

fn main() {
    let mut bench = Bench::new("epochs", true);
    let n: u64 = if bench.quick { 2_000_000 } else { 6_000_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A million keys first; then each stretch of the log touches a tenth of them.
    let mut r = common::Rng(11);
    let mut lines = String::new();
    for i in 0..n {
        let key = if i < 1_000_000 { i } else { (i / 300_000 * 100_000 + r.below(100_000)) % 1_000_000 };
        let _ = writeln!(lines, "{{\"t\":{},\"k\":\"h{key:010}\"}}", 1_760_000_000_000u64 + i / 1000);
    }
    std::fs::write(folder.path().join("in.log"), &lines).expect("a temporary folder");
    let m = bench.interleave(|| chain(folder.path(), "1s"), || chain(folder.path(), "1h"));
    bench.report("1 M keys, 10 % touched, each second / none", "no epochs", n, lines.len() as u64, &m);

    let mut groups = RingGroups::new(5, 3_600_000_000_000, false, false);
    for i in 0..1_000_000u64 {
        groups.hit(None, i.wrapping_mul(0x9e37_79b9_7f4a_7c15), format!("h{i:013}").as_bytes(), 1, 1);
    }
    let mut whole = tripline::state::Chunks::default();
    groups.save(true, &mut whole);
    for i in 0..100u64 {
        groups.hit(None, i.wrapping_mul(0x9e37_79b9_7f4a_7c15), format!("h{i:013}").as_bytes(), 2, 1);
    }
    let mut delta = tripline::state::Chunks::default();
    groups.save(false, &mut delta);
    let bytes: usize = delta.pieces.iter().map(|p| p.bytes.len()).sum();
    println!(
        "{}",
        serde_json::json!({"bench": "epochs", "case": "bytes of an epoch, 1 M idle keys, 100 touched", "bytes": bytes, "bar": 65_536})
    );
    assert!(bytes < 65_536, "an epoch writes what changed");
    bench.end();
}
