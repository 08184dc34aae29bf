//! Runs of a pipeline within this process, with crashes between epochs.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tripline::clock::Clock;
use tripline::metrics::Registry;
use tripline::plan::load_plan;
use tripline::runtime::assemble::RunOptions;
use tripline::runtime::sender::Health;
use tripline::runtime::topology::{Host, run};
use tripline::state::MemoryStore;

/// Stops a run after so many durable epochs, as a crash does: nothing later survives.
struct Crashing(usize);

impl Host for Crashing {
    fn ready(&mut self, _: &tripline::plan::Plan, _: &BTreeMap<String, String>, _: &BTreeMap<String, Arc<Health>>) {}
    fn word(&mut self, level: &str, _: &str, message: &str) {
        assert_ne!(level, "error", "{message}");
    }
    fn stops(&self) -> usize {
        usize::from(self.0 == 0)
    }
    fn durable(&mut self, _: u64) {
        self.0 = self.0.saturating_sub(1);
    }
}

/// Runs a pipeline to its end, stopped after each of these numbers of epochs on the way.
pub fn run_pipeline(folder: &Path, shards: usize, workers: usize, stops: &[usize]) {
    run_resharded(folder, &[shards], workers, stops);
}

/// The same, with these numbers of shards in turn.
pub fn run_resharded(folder: &Path, shards: &[usize], workers: usize, stops: &[usize]) {
    let store = MemoryStore::default();
    for (stop, shards) in stops.iter().copied().chain([usize::MAX]).zip(shards.iter().copied().cycle()) {
        let (plan, faults) = load_plan(&[folder.join("pipeline.yaml")], Clock::System, &|_| None, &[], &Registry::default());
        let plan = plan.unwrap_or_else(|| panic!("{:?}", faults.iter().map(|f| f.render()).collect::<Vec<_>>()));
        let options = RunOptions { shards, workers, until_end: true, close: false, installation: vec![1; 16], folder: None };
        run(plan, &options, Box::new(store.clone()), &mut Crashing(stop)).unwrap();
    }
}

/// The lines of a file as JSON.
pub fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}
