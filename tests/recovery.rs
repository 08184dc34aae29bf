//! What a run does about itself: it starts again after a panic and leaves out the row that causes it, and it takes a changed pipeline without losing a line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outside::{folder, signal};
use serde_json::Value;
use tripline::clock::{Clock, Stopwatch};
use tripline::component::sink::{Body, OutRow, Outage, Outcome as SinkOutcome, Sent, Sink};
use tripline::component::{BoxFuture, Operator, Outputs};
use tripline::event::Batch;
use tripline::metrics::Registry;
use tripline::plan::{Plan, load_plan};
use tripline::runtime::assemble::RunOptions;
use tripline::runtime::sender::Health;
use tripline::runtime::topology::{Host, run};
use tripline::state::{Changes, MemoryStore, Rows, StateError, Store, Stored};

/// Lets all rows pass and panics at some: at each `broken` one always, at each `moody` one the first two times.
struct Fragile(Arc<AtomicU32>);

impl Operator for Fragile {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        for row in rows {
            let line = batch.input.line(usize::from(*row));
            assert!(!line.starts_with(b"broken"), "a broken row");
            assert!(!line.starts_with(b"moody") || self.0.fetch_add(1, Ordering::Relaxed) >= 2, "a moody row");
        }
        out.rows[0].extend_from_slice(rows);
    }
}

/// Refuses some rows, panics at others, and takes the rest.
struct FragileSink(Arc<Mutex<String>>);

impl Sink for FragileSink {
    fn connect(&self, _: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }
    fn encode(&self, row: &OutRow<'_>, body: &mut Body) {
        assert!(!row.batch.input.line(row.row).starts_with(b"broken"), "a broken row");
        row.end(row.identity(), body);
    }
    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        let judge = |row: usize| {
            let text = str::from_utf8(&body.bytes[body.range(row..row + 1)]).unwrap();
            if text.contains("refused") {
                return SinkOutcome::Rejected { status: Some(400), reason: "refused".to_owned() };
            }
            self.0.lock().unwrap().push_str(text);
            SinkOutcome::Accepted
        };
        let rows = (0..body.rows()).map(judge).collect();
        Box::pin(async { Ok(Sent::Rows(rows, None)) })
    }
    fn seal(&self, _: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[derive(Default)]
struct Listener(Vec<String>);

impl Host for Listener {
    fn ready(&mut self, _: &tripline::plan::Plan, _: &BTreeMap<String, String>, _: &BTreeMap<String, Arc<Health>>) {}
    fn word(&mut self, _: &str, event: &str, _: &str) {
        self.0.push(event.to_owned());
    }
    fn stops(&self) -> usize {
        0
    }
}

/// What came of a run.
struct Ran {
    outcome: Result<(), String>,
    out: String,
    /// Dead letters of the source and of the sink.
    dead: [String; 2],
    words: Vec<String>,
}

/// Runs lines through one unit that was broken.
fn through(lines: &[String], with_dead_letter: bool, break_it: impl FnOnce(&mut Plan)) -> Ran {
    let folder = folder(
        "barrier: {interval: 5ms}\nsources: {a: {type: file, paths: [in.log], original: false}}\ntransforms: {t: {type: filter, inputs: [a], where: 'true'}}\nsinks: {o: {type: file, inputs: [t], path: out.ndjson}}\n",
    );
    fs::write(folder.path().join("in.log"), lines.join("\n") + "\n").unwrap();
    let (plan, _) = load_plan(&[folder.path().join("pipeline.yaml")], Clock::System, &|_| None, &[], &Registry::default());
    let mut plan = plan.unwrap();
    break_it(&mut plan);
    let state = folder.path().join("state");
    let options = RunOptions {
        shards: 2,
        workers: 2,
        until_end: true,
        close: false,
        installation: vec![1; 16],
        folder: with_dead_letter.then(|| state.clone()),
    };
    let mut host = Listener::default();
    let outcome = run(plan, &options, Box::new(MemoryStore::default()), &mut host).map(drop).map_err(|e| e.0);
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let dead = ["a", "o"].map(|node| read(&state.join(format!("dead_letter/{node}.ndjson"))));
    Ran { outcome, out: read(&folder.path().join("out.ndjson")), dead, words: host.0 }
}

fn with_a_fragile_operator(plan: &mut Plan) {
    let moods = Arc::new(AtomicU32::new(0));
    plan.lanes[0].nodes[0].factory = Box::new(move || Box::new(Fragile(Arc::clone(&moods))));
}

#[test]
fn a_row_that_breaks_a_unit_is_left_out_and_no_other() {
    let name = |i: usize| match i {
        700 | 2_500 | 2_501 => format!("broken {i}"),
        _ => format!("line {i}"),
    };
    let lines: Vec<String> = (0..4_000).map(name).collect();
    let Ran { outcome, out, dead: [dead, _], words } = through(&lines, true, with_a_fragile_operator);
    outcome.unwrap();
    let got: Vec<String> = out.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["message"].as_str().unwrap().to_owned()).collect();
    let want: Vec<&String> = lines.iter().filter(|l| l.starts_with("line")).collect();
    assert!(got.iter().eq(want), "{} lines came out", got.len());
    let mut dead: Vec<Value> = dead.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    dead.sort_by_key(|d| d["raw"].as_str().unwrap().to_owned());
    assert_eq!(dead.iter().map(|d| &d["raw"]).collect::<Vec<_>>(), ["broken 2500", "broken 2501", "broken 700"]);
    assert!(dead.iter().all(|d| d["node"] == "a" && d["stage"] == "transform" && d["id"].as_str().unwrap().len() == 32), "{dead:?}");
    assert_eq!(words.iter().filter(|w| *w == "dead_letter").count(), 3);
}

#[test]
fn what_a_sink_was_refused_before_a_panic_stands_in_the_dead_letter_once() {
    let name = |i: usize| match i {
        100 | 700 | 1_499 => format!("refused {i}"),
        900 | 1_490 => format!("broken {i}"),
        _ => format!("line {i}"),
    };
    let lines: Vec<String> = (0..1_500).map(name).collect();
    let taken = Arc::new(Mutex::new(String::new()));
    let taken_too = Arc::clone(&taken);
    let ran = through(&lines, true, move |plan| plan.sinks[0].factory = Box::new(move |_| Box::new(FragileSink(Arc::clone(&taken_too)))));
    ran.outcome.unwrap();
    let texts = |dead: &str, of: fn(&Value) -> &Value| -> Vec<String> {
        let mut texts: Vec<String> = dead.lines().map(|l| of(&serde_json::from_str(l).unwrap()).as_str().unwrap().to_owned()).collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(&ran.dead[1], |letter| &letter["event"]["message"]), ["refused 100", "refused 1499", "refused 700"]);
    // Whichever unit a row breaks, its text is one of its source: there it can be replayed.
    assert_eq!(texts(&ran.dead[0], |letter| &letter["raw"]), ["broken 1490", "broken 900"]);
    let taken = taken.lock().unwrap();
    assert!((0..1_500).filter(|i| name(*i).starts_with("line")).all(|i| taken.contains(&format!("\"line {i}\""))));
}

#[test]
fn a_fault_that_passes_costs_no_row() {
    let lines: Vec<String> = (0..50).map(|i| if i == 20 { "moody".into() } else { format!("line {i}") }).collect();
    let Ran { outcome, out, dead: [dead, _], words } = through(&lines, true, with_a_fragile_operator);
    outcome.unwrap();
    assert_eq!((out.lines().count(), dead.as_str()), (50, ""));
    assert_eq!(words.iter().filter(|w| *w == "panicked").count(), 2);
}

#[test]
fn without_a_dead_letter_a_panic_ends_the_run() {
    let Ran { outcome, .. } = through(&["broken".into()], false, with_a_fragile_operator);
    assert!(outcome.unwrap_err().contains("`a` panicked"));
}

/// A running process whose words are read line by line.
struct Running {
    child: Child,
    words: BufReader<ChildStderr>,
}

impl Running {
    fn start(folder: &Path, words: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        command.args(words).current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        Running { child, words: BufReader::new(stderr) }
    }

    /// Reads words until one of an event comes.
    fn until(&mut self, event: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.words.read_line(&mut line).unwrap(), 0, "it ended without `{event}`");
            let word: Value = serde_json::from_str(&line).unwrap();
            if word["event"] == event {
                return word;
            }
        }
    }

    fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    fn stop(mut self) -> Value {
        self.signal("TERM");
        let summary = self.until("summary");
        assert!(self.child.wait().unwrap().success());
        summary
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let start = Stopwatch::start();
    while !is_there() {
        assert!(start.elapsed() < Duration::from_secs(20), "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const LIVE: &str = "\
barrier: {interval: 20ms}
sources: {a: {type: file, paths: [in.ndjson], format: json, time: {field: ts, idle_timeout: 10m}}}
correlations: {r: {type: threshold, inputs: [a], by: [user], within: 1h, count: 3, alert: {title: first}}}
sinks:
  alerts: {type: file, inputs: [r], path: alerts.ndjson}
  events: {type: file, inputs: [a], path: events.ndjson}
";

fn append(folder: &Path, from: usize, count: usize) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(folder.join("in.ndjson")).unwrap();
    for n in from..from + count {
        writeln!(file, "{{\"ts\":\"2026-01-01T00:{:02}:{:02}Z\",\"user\":\"u\",\"n\":{n}}}", n / 60, n % 60).unwrap();
    }
}

fn count(folder: &Path, name: &str) -> usize {
    fs::read_to_string(folder.join(name)).unwrap_or_default().lines().count()
}

#[test]
fn a_reload_keeps_state_and_loses_no_line() {
    let folder = folder(LIVE);
    let at = folder.path();
    append(at, 0, 2);
    let mut running = Running::start(at, &["run", "pipeline.yaml", "--admin", "off"]);
    running.until("ready");
    wait_for("first events", || count(at, "events.ndjson") == 2);
    // A faulty file changes nothing and says why.
    fs::write(at.join("pipeline.yaml"), LIVE.replace("count: 3", "cuont: 3")).unwrap();
    running.signal("HUP");
    while !running.until("reload")["message"].as_str().unwrap().contains("did you mean `count`?") {}
    running.until("reload_failed");
    // A title keeps the two hits that the window holds; a sink that is new writes what comes from now on.
    fs::write(
        at.join("pipeline.yaml"),
        LIVE.replace("title: first", "title: second") + "  more: {type: file, inputs: [a], path: more.ndjson}\n",
    )
    .unwrap();
    running.signal("HUP");
    running.until("reloaded");
    running.until("ready");
    append(at, 2, 1);
    wait_for("alert", || count(at, "alerts.ndjson") == 1);
    assert!(fs::read_to_string(at.join("alerts.ndjson")).unwrap().contains("\"title\":\"second\""));
    // Many reloads while lines come.
    for round in 0..5 {
        append(at, 3 + round * 100, 100);
        running.signal("HUP");
        running.until("reloaded");
    }
    wait_for("all events", || count(at, "events.ndjson") == 503);
    assert_eq!(count(at, "more.ndjson"), 501);
    let summary = running.stop();
    assert_eq!((&summary["in"]["a"], &summary["alerts"]["r"]), (&503.into(), &1.into()));
    let events = fs::read_to_string(at.join("events.ndjson")).unwrap();
    let numbers: Vec<u64> = events.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["n"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..503));
}

#[test]
fn a_watched_pipeline_is_loaded_when_one_of_its_files_changes() {
    let folder = folder(&("rules: [rules]\n".to_owned() + &LIVE.replace("correlations:", "#").replace("inputs: [r]", "inputs: [r, s]")));
    let at = folder.path();
    fs::create_dir(at.join("rules")).unwrap();
    let rule = |title: &str| format!("type: threshold\ninputs: [a]\nby: [user]\nwithin: 1h\ncount: 3\nalert: {{title: {title}}}\n");
    fs::write(at.join("rules/r.yaml"), rule("one")).unwrap();
    fs::write(at.join("rules/s.yaml"), rule("other") + "enabled: false\n").unwrap();
    append(at, 0, 2);
    let mut running = Running::start(at, &["run", "pipeline.yaml", "--admin", "off", "--watch"]);
    running.until("ready");
    wait_for("first events", || count(at, "events.ndjson") == 2);
    fs::write(at.join("rules/r.yaml"), rule("two")).unwrap();
    running.until("reloaded");
    append(at, 2, 1);
    wait_for("alert", || count(at, "alerts.ndjson") == 1);
    assert!(fs::read_to_string(at.join("alerts.ndjson")).unwrap().contains("\"title\":\"two\""));
    running.stop();
}

#[test]
fn a_sink_that_cannot_be_opened_at_a_reload_leaves_all_as_it_was() {
    let folder = folder(LIVE);
    let at = folder.path();
    append(at, 0, 1);
    let mut running = Running::start(at, &["run", "pipeline.yaml", "--admin", "off"]);
    running.until("ready");
    fs::write(at.join("pipeline.yaml"), LIVE.to_owned() + "  bad: {type: file, inputs: [a], path: in.ndjson/under/a/file}\n").unwrap();
    running.signal("HUP");
    assert!(running.until("reload_failed")["message"].as_str().unwrap().contains("the pipeline goes on as it was"));
    append(at, 1, 4);
    wait_for("events", || count(at, "events.ndjson") == 5);
    running.stop();
    assert_eq!(count(at, "alerts.ndjson"), 1);
}

#[test]
fn standard_input_flows_on_over_a_reload() {
    let pipeline =
        "barrier: {interval: 20ms}\nsources: {a: {type: stdin, format: json}}\nsinks: {o: {type: file, inputs: [a], path: out.ndjson}}\n";
    let folder = folder(pipeline);
    let at = folder.path();
    let mut running = Running::start(at, &["run", "pipeline.yaml", "--admin", "off"]);
    let mut input = running.child.stdin.take().unwrap();
    running.until("ready");
    input.write_all(b"{\"n\":1}\n{\"n\"").unwrap();
    wait_for("first line", || count(at, "out.ndjson") == 1);
    running.signal("HUP");
    running.until("reloaded");
    input.write_all(b":2}\n{\"n\":3}\n").unwrap();
    wait_for("the rest", || count(at, "out.ndjson") == 3);
    drop(input);
    running.until("summary");
    assert!(running.child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(at.join("out.ndjson")).unwrap(), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
}

/// A store whose rows cannot be read after so many times.
#[derive(Clone)]
struct Torn(MemoryStore, Arc<AtomicU32>);

impl Store for Torn {
    fn record(&self) -> Result<Option<Vec<u8>>, StateError> {
        self.0.record()
    }
    fn blob(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.blob(key)
    }
    fn rows(&self, owner: &str) -> Result<Arc<dyn Rows>, StateError> {
        Ok(Arc::new(TornRows(self.0.rows(owner)?, Arc::clone(&self.1))))
    }
    fn publish(&mut self, record: &[u8], changes: Changes) -> Result<(), StateError> {
        self.0.publish(record, changes)
    }
    fn keep_rows_of(&mut self, owners: &[String]) -> Result<(), StateError> {
        self.0.keep_rows_of(owners)
    }
}

struct TornRows(Arc<dyn Rows>, Arc<AtomicU32>);

impl TornRows {
    fn read(&self) -> Result<(), StateError> {
        let left = self.1.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(left.saturating_sub(1))).unwrap();
        if left == 0 { Err(StateError("a sector is bad".into())) } else { Ok(()) }
    }
}

impl Rows for TornRows {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.read()?;
        self.0.get(key)
    }
    fn scan(&self, from: &[u8], before: &[u8], most: usize) -> Result<Vec<Stored>, StateError> {
        self.read()?;
        self.0.scan(from, before, most)
    }
}

#[test]
fn a_history_that_cannot_be_read_ends_the_run_and_says_nothing_wrong() {
    let folder = folder(
        "barrier: {interval: 5ms}
sources: {a: {type: file, paths: [in.log], format: json, time: {field: ts, format: epoch_s}}}
lists: {seen: {key: [ip], storage: disk}}
transforms: {learn: {type: update_list, inputs: [a], list: seen, key: {ip: ip}}}
correlations:
  again: {type: threshold, inputs: [a], where: 'in_list(\"seen\", ip)', by: [ip], within: 1ms, count: 1, trigger: every}
sinks: {o: {type: file, inputs: [again], path: out.ndjson}}
",
    );
    // Each address comes once: whoever says `again` has it from nowhere.
    let line = |n: u32| format!("{{\"ts\": {}, \"ip\": \"10.0.{}.{}\"}}\n", 1_760_000_000 + n, n / 256, n % 256);
    fs::write(folder.path().join("in.log"), (0..5_000).map(line).collect::<String>()).unwrap();
    let go = |store: &Torn| {
        let (plan, _) = load_plan(&[folder.path().join("pipeline.yaml")], Clock::System, &|_| None, &[], &Registry::default());
        let options = RunOptions { shards: 2, workers: 2, until_end: true, close: false, installation: vec![1; 16], folder: None };
        run(plan.unwrap(), &options, Box::new(store.clone()), &mut Listener::default()).map(drop).map_err(|e| e.0)
    };
    let store = Torn(MemoryStore::default(), Arc::new(AtomicU32::new(3_000)));
    let said = go(&store).unwrap_err();
    assert!(said.starts_with("state of ") && said.contains("a sector is bad"), "{said}");
    // At a start, too.
    let said = go(&store).unwrap_err();
    assert!(said.starts_with("state of ") && said.contains("a sector is bad"), "{said}");
    store.1.store(u32::MAX, Ordering::Release);
    go(&store).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("out.ndjson")).unwrap_or_default(), "");
}
