//! The whole runtime in one thread from a seed: faulty sources and sinks, a crash in any phase of an epoch, restarts. Nothing lost, nothing said twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tripline::clock::Clock;
use tripline::component::sink::{Outcome, Packing, Sent, Then};
use tripline::component::source::{Fill, Position, Source, SourceContext};
use tripline::component::{Body, BoxFuture, Claim, Outage, Sink};
use tripline::event::builder::Positions;
use tripline::event::{BatchBuilder, Origin};
use tripline::metrics::Registry;
use tripline::plan::{Plan, load_plan};
use tripline::runtime::assemble::{RunOptions, Topology};
use tripline::runtime::caution::Caution;
use tripline::runtime::epoch::{Phase, Report};
use tripline::runtime::prepared::{self, Answer};
use tripline::runtime::topology::cut_dead_letters;
use tripline::state::{MemoryStore, StateReader, StateWriter};
use tripline::window::watermark::Activity;

#[derive(Clone)]
struct Rng(Arc<Mutex<u64>>);

impl Rng {
    fn new(seed: u64) -> Rng {
        Rng(Arc::new(Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1)))
    }
    fn below(&self, n: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state >> 11) % n
    }
}

const EVENTS: usize = 300;

/// Gives a few lines at a time, and fails now and then.
struct SimSource {
    origin: Arc<Origin>,
    next: usize,
    started: u8,
    rng: Rng,
}

impl Source for SimSource {
    fn connect(&mut self, from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        self.next = from.and_then(|f| StateReader::new(f).u64().ok()).unwrap_or(0) as usize;
        Box::pin(async { Ok(()) })
    }
    fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>> {
        self.started = self.started.saturating_add(1);
        let fill = match self.started {
            1 => Ok(Fill::Partition(Arc::clone(&self.origin), Activity::Live)),
            2 => Ok(Fill::Opened),
            _ if self.rng.below(10) == 0 => Err(Outage::new("the simulated source is away")),
            _ if self.next >= EVENTS => Ok(Fill::End),
            _ => {
                let base = self.next as u64;
                for _ in 0..=self.rng.below(20) {
                    if self.next < EVENTS {
                        builder.push_line(line(&self.origin.source, self.next).as_bytes());
                        self.next += 1;
                    }
                }
                Ok(Fill::Rows { origin: Arc::clone(&self.origin), base, positions: Positions::Rows })
            }
        };
        Box::pin(async move { fill })
    }
    fn position(&self) -> Position {
        let mut out = StateWriter::default();
        out.u64(self.next as u64);
        out.bytes
    }
}

fn line(source: &str, i: usize) -> String {
    format!("{{\"ts\":{},\"n\":\"{source}{i}\",\"key\":\"k{}\"}}", 1_760_000_000_000u64 + i as u64 * 500, i * 7 % 5)
}

/// What the outside holds: it outlives every crash, and is cut to what was sealed when a sink comes back.
type Outside = Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>;

struct SimSink {
    name: String,
    outside: Outside,
    rng: Mutex<Rng>,
}

impl Sink for SimSink {
    fn connect(&self, last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        let sealed = last.and_then(|l| StateReader::new(l).u64().ok()).unwrap_or(0) as usize;
        self.outside.lock().unwrap().entry(self.name.clone()).or_default().truncate(sealed);
        Box::pin(async { Ok(()) })
    }
    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async move {
            let mut outside = self.outside.lock().unwrap();
            let rows = outside.entry(self.name.clone()).or_default();
            let outcomes: Vec<Outcome> = (0..body.rows())
                .map(|row| {
                    if self.rng.lock().unwrap().below(12) == 0 {
                        return Outcome::Retry;
                    }
                    rows.push(body.bytes[body.range(row..row + 1)].trim_ascii_end().to_vec());
                    Outcome::Accepted
                })
                .collect();
            if outcomes.iter().all(|o| *o == Outcome::Retry) && !outcomes.is_empty() {
                return Err(Outage::new("the simulated sink is away"));
            }
            Ok(Sent::Rows(outcomes, None))
        })
    }
    fn seal(&self, _epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        let mut out = StateWriter::default();
        out.u64(self.outside.lock().unwrap().get(&self.name).map_or(0, Vec::len) as u64);
        Box::pin(async move { Ok(out.bytes) })
    }
}

/// Knows its rows by what they say, as an index does by their ids: what comes again is there already. Bodies are under way for some time and come back in
/// any order; a row in seventeen is refused.
struct SimIndex {
    outside: Outside,
    rng: Mutex<Rng>,
}

fn is_refused(row: &[u8]) -> bool {
    row.iter().fold(0u64, |sum, byte| sum * 31 % 1_000_003 + u64::from(*byte)) % 17 == 0
}

impl Sink for SimIndex {
    fn connect(&self, _last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        self.outside.lock().unwrap().entry("events".to_owned()).or_default();
        Box::pin(async { Ok(()) })
    }
    fn packing(&self) -> Packing {
        Packing { in_flight: 4, ..Packing::default() }
    }
    fn is_stateless(&self) -> bool {
        true
    }
    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        let below = |n| self.rng.lock().unwrap().below(n);
        Box::pin(async move {
            for _ in 0..below(6) {
                tokio::task::yield_now().await;
            }
            if below(12) == 0 {
                return Err(Outage::new("the simulated index is away"));
            }
            let mut outside = self.outside.lock().unwrap();
            let rows = outside.entry("events".to_owned()).or_default();
            let outcomes = (0..body.rows()).map(|row| {
                let row = body.bytes[body.range(row..row + 1)].trim_ascii_end().to_vec();
                match below(12) {
                    0 => Outcome::Retry,
                    _ if is_refused(&row) => Outcome::Rejected { status: Some(400), reason: "of the test".to_owned() },
                    _ if rows.contains(&row) => Outcome::Duplicate,
                    _ => {
                        rows.push(row);
                        Outcome::Accepted
                    }
                }
            });
            let outcomes = outcomes.collect();
            // The rows are there, and the answer is lost.
            if below(12) == 0 { Err(Outage::new("the simulated reply is lost")) } else { Ok(Sent::Rows(outcomes, None)) }
        })
    }
    fn seal(&self, _epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Holds what it is given in a transaction, which a crash ends; a reply to its commit may be lost.
struct SimTransaction {
    outside: Outside,
    rng: Mutex<Rng>,
    open: Mutex<Vec<Vec<u8>>>,
    sealed: Mutex<Vec<u8>>,
}

impl SimTransaction {
    fn falls(&self, one_in: u64) -> bool {
        self.rng.lock().unwrap().below(one_in) == 0
    }
}

fn void() -> Outage {
    Outage { message: "the simulated transaction is void".to_owned(), then: Then::Rewind }
}

impl Sink for SimTransaction {
    fn connect(&self, _last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        self.outside.lock().unwrap().entry("events".to_owned()).or_default();
        Box::pin(async { Ok(()) })
    }
    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async move {
            if self.falls(60) {
                return Err(void());
            }
            let rows = (0..body.rows()).map(|row| body.bytes[body.range(row..row + 1)].trim_ascii_end().to_vec());
            self.open.lock().unwrap().extend(rows);
            Ok(Sent::All)
        })
    }
    fn seal(&self, epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        let nonce = self.rng.lock().unwrap().below(u64::MAX);
        *self.sealed.lock().unwrap() = format!("{nonce}/{epoch}").into_bytes();
        let sealed = if self.is_holding() { self.sealed.lock().unwrap().clone() } else { Vec::new() };
        Box::pin(async { Ok(sealed) })
    }
    fn is_holding(&self) -> bool {
        !self.open.lock().unwrap().is_empty()
    }
    fn release<'a>(&'a self, _epoch: u64, _claims: &'a [Claim]) -> BoxFuture<'a, Result<(), Outage>> {
        Box::pin(async move {
            if self.falls(12) {
                return Err(void());
            }
            let mut open = self.open.lock().unwrap();
            if !open.is_empty() {
                let mut outside = self.outside.lock().unwrap();
                outside.entry("events".to_owned()).or_default().append(&mut open);
                outside.entry("released".to_owned()).or_default().push(self.sealed.lock().unwrap().clone());
            }
            if self.falls(4) { Err(Outage::new("the simulated reply is lost")) } else { Ok(()) }
        })
    }
    fn was_released<'a>(&'a self, sealed: &'a [u8]) -> BoxFuture<'a, Result<bool, Outage>> {
        let is_away = self.falls(3);
        let was = self.outside.lock().unwrap().get("released").is_some_and(|all| all.iter().any(|s| s == sealed));
        Box::pin(async move { if is_away { Err(Outage::new("the simulated brokers are away")) } else { Ok(was) } })
    }
}

/// Whether events of a pipeline go to the index.
fn has_index(pipeline: &Path) -> bool {
    pipeline.ends_with("index.yaml") || pipeline.ends_with("overflow.yaml")
}

fn plan(pipeline: &Path, outside: &Outside, rng: &Rng) -> Plan {
    let (plan, faults) = load_plan(&[pipeline.to_owned()], Clock::fixed(1_760_000_000_000_000_000), &|_| None, &[], &Registry::default());
    let mut plan = plan.unwrap_or_else(|| panic!("{:?}", faults.iter().map(|f| f.render()).collect::<Vec<_>>()));
    for source in &mut plan.sources {
        let (name, rng) = (source.name.clone(), rng.clone());
        source.factory = Box::new(move |context: SourceContext| {
            let origin = Origin { source: name.clone(), partition: name.clone(), identity: context.installation, ..Origin::default() };
            Box::new(SimSource { origin: Arc::new(origin), next: 0, started: 0, rng: rng.clone() })
        });
    }
    for sink in &mut plan.sinks {
        let (name, outside, rng) = (sink.name.clone(), Arc::clone(outside), rng.clone());
        let is_transactional = pipeline.ends_with("transaction.yaml") && name == "events";
        let is_index = has_index(pipeline) && name == "events";
        sink.factory = Box::new(move |_| {
            let (name, outside, rng) = (name.clone(), Arc::clone(&outside), Mutex::new(rng.clone()));
            if is_transactional {
                return Box::new(SimTransaction { outside, rng, open: Mutex::default(), sealed: Mutex::default() });
            }
            if is_index {
                return Box::new(SimIndex { outside, rng });
            }
            Box::new(SimSink { name, outside, rng })
        });
    }
    plan
}

/// Drives units in an order that the seed decides. Returns the phase in which it crashed; none when it came to its end.
fn live(mut t: Topology, store: &mut MemoryStore, rng: &Rng, steps: u64, runtime: &tokio::runtime::Runtime) -> Option<Phase> {
    let mut just_durable = false;
    for _ in 0..steps {
        match rng.below(5) {
            0 => {
                let at = rng.below(t.intakes.len() as u64) as usize;
                runtime.block_on(t.intakes[at].step());
            }
            1 => {
                let at = rng.below(t.lanes.len() as u64) as usize;
                t.lanes[at].step();
            }
            2 => {
                let at = rng.below(t.rules.len() as u64) as usize;
                t.rules[at].0.step();
            }
            3 => {
                let at = rng.below(t.deliveries.len() as u64) as usize;
                runtime.block_on(t.deliveries[at].0.step());
            }
            _ => {
                while let Some(report) = t.reports.receive() {
                    if let Report::Rewind { .. } = report {
                        return Some(t.coordinator.phase().unwrap_or(Phase::Open));
                    }
                    t.coordinator.take(report);
                }
                if t.coordinator.ended.iter().all(|e| *e) && !t.coordinator.is_ending() {
                    t.coordinator.ask(true);
                } else if rng.below(6) == 0 && t.coordinator.may_ask() {
                    t.coordinator.ask(false);
                }
                // Looking comes before acting, so that a crash may fall between the two.
                if rng.below(4) == 0 {
                    just_durable = t.coordinator.advance(store).unwrap().is_some();
                }
                if t.coordinator.is_done() {
                    return None;
                }
            }
        }
    }
    Some(if just_durable { Phase::Durable } else { t.coordinator.phase().unwrap_or(Phase::Open) })
}

#[test]
fn nothing_is_lost_and_nothing_is_said_twice() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1000);
    let folder = tempfile::tempdir().unwrap();
    let source = |n: &str| format!("  {n}: {{type: stdin, format: json, time: {{field: ts, format: epoch_ms, lateness: 2s}}}}\n");
    let yaml = format!(
        "sources:
{}{}lists:
  seen: {{key: [key], columns: {{n: count}}, ttl: 60s, sliding: true, storage: disk}}
transforms:
  learn: {{type: update_list, inputs: [a, b], list: seen, key: {{key: key}}}}
correlations:
  r: {{type: threshold, inputs: [a, b], by: [key], within: 20s, count: 4, trigger: each_threshold}}
  again: {{type: threshold, inputs: [a, b], where: 'lookup(\"seen\", \"n\", key) == 5', by: [key], within: 1s, count: 1, trigger: every}}
sinks:
  events: {{type: drop, inputs: [a, b], EDGE}}
  alerts: {{type: drop, inputs: [r, again], EDGE}}
",
        source("a"),
        source("b")
    );
    let edges = [
        "retry: {min: 0ms, max: 0ms}",
        "retry: {min: 0ms, max: 0ms}, batch: {rows: 7}",
        "retry: {min: 0ms, max: 0ms}, batch: {rows: 7}, buffer: {disk: 1MiB}",
        "retry: {min: 0ms, max: 0ms}, batch: {rows: 7}",
        "retry: {min: 0ms, max: 0ms}, batch: {rows: 7}, buffer: {disk: 1MiB}",
    ];
    for (name, edge) in ["memory.yaml", "transaction.yaml", "disk.yaml", "index.yaml", "overflow.yaml"].iter().zip(edges) {
        std::fs::write(folder.path().join(name), yaml.replace("EDGE", edge)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut crashes: BTreeMap<Phase, u64> = BTreeMap::new();
    let mut want_alerts: Option<BTreeSet<String>> = None;
    for seed in 0..seeds {
        let rng = Rng::new(seed);
        let outside: Outside = Arc::default();
        let store = MemoryStore::default();
        // Synced for each epoch: not all of them.
        let pipeline = match seed % 8 {
            0 => "disk.yaml",
            1 | 2 => "transaction.yaml",
            3 => "overflow.yaml",
            4 | 5 => "index.yaml",
            _ => "memory.yaml",
        };
        let state = folder.path().join("state");
        let options = || RunOptions {
            shards: 1 + rng.below(4) as usize,
            workers: 1 + rng.below(3) as usize,
            until_end: true,
            close: false,
            installation: vec![7; 16],
            folder: (pipeline == "disk.yaml" || has_index(Path::new(pipeline))).then(|| state.clone()),
        };
        let mut lives = 0;
        loop {
            // The first lives are short; the last may be as long as it needs.
            let steps = if lives < 6 { 200 + rng.below(2_500) } else { u64::MAX };
            let (plan, options) = (plan(&folder.path().join(pipeline), &outside, &rng), options());
            while let Answer::Unknown(_) = prepared::settle(&plan, &options, &mut store.clone()).unwrap() {}
            cut_dead_letters(&options, &store).unwrap();
            let topology = Topology::new(&plan, &options, &mut store.clone(), &Caution::default()).unwrap();
            lives += 1;
            match live(topology, &mut store.clone(), &rng, steps, &runtime) {
                Some(phase) => *crashes.entry(phase).or_default() += 1,
                None => break,
            }
        }
        let letters = std::fs::read_to_string(folder.path().join("state/dead_letter/events.ndjson")).unwrap_or_default();
        let _ = std::fs::remove_dir_all(folder.path().join("state"));
        let outside = outside.lock().unwrap();
        let mut rows: Vec<String> = outside["events"].iter().map(|r| String::from_utf8(r.clone()).unwrap()).collect();
        let refused = letters.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].to_string());
        rows.extend(refused);
        assert_eq!(has_index(Path::new(pipeline)), !letters.is_empty(), "seed {seed}: {letters}");
        let unique: BTreeSet<&String> = rows.iter().collect();
        assert_eq!(rows.len(), unique.len(), "seed {seed}: an event stands twice");
        assert_eq!(rows.len(), 2 * EVENTS, "seed {seed}: events are lost");
        let ids: Vec<String> = outside["alerts"]
            .iter()
            .map(|r| serde_json::from_slice::<serde_json::Value>(r).unwrap()["alert"]["id"].as_str().unwrap().to_owned())
            .collect();
        let unique: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(ids.len(), unique.len(), "seed {seed}: an alert was said twice");
        let want = want_alerts.get_or_insert_with(|| unique.clone());
        assert_eq!(&unique, want, "seed {seed}: other alerts");
        assert!(unique.len() > 50);
    }
    println!("{seeds} seeds: crashes by phase {crashes:?}");
    if seeds >= 1000 {
        for phase in [Phase::Open, Phase::Staged, Phase::Settled, Phase::Prepared, Phase::Durable] {
            assert!(crashes.get(&phase).copied().unwrap_or(0) >= 20, "too few crashes in {phase:?}: {crashes:?}");
        }
    }
}
