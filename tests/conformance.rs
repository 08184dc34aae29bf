//! What every source and every sink must keep to, whatever its kind. A kind without a setup here fails the suite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use outside::{fed, folder};
use tripline::clock::Clock;
use tripline::codec::format::json_out::{EventWriter, RowFacts};
use tripline::component::sink::{OutRow, Sent, SinkInput};
use tripline::component::source::{Discarded, Pace, SourceContext};
use tripline::component::{Body, Fill, Sink, Source};
use tripline::event::{Batch, BatchBuilder, Input};
use tripline::metrics::{Counter, Registry};
use tripline::plan::{Plan, load_plan};
use tripline::{sink, source};

const ROWS: usize = 5_000;

/// A source of [`ROWS`] rows by kind; none where it cannot be opened twice and is tried as a process.
fn source_of(kind: &str, folder: &Path) -> Option<String> {
    match kind {
        "file" => {
            let text: String = (0..ROWS).map(|n| format!("line {n} of {ROWS}\n")).collect();
            fs::write(folder.join("in.log"), text).unwrap();
            Some("{type: file, paths: [in.log], follow: false}".into())
        }
        "generate" => Some(format!("{{type: generate, kind: syslog, count: {ROWS}, seed: 7}}")),
        "stdin" => None,
        // Against a real broker, in tests/kafka.rs.
        "kafka" => None,
        other => panic!("the source `{other}` has no setup in tests/conformance.rs"),
    }
}

fn plan_of(folder: &Path, source: &str, sink: &str) -> Plan {
    fs::write(folder.join("pipeline.yaml"), format!("sources: {{a: {source}}}\nsinks: {{o: {sink}}}\n")).unwrap();
    let (plan, faults) = load_plan(&[folder.join("pipeline.yaml")], Clock::System, &|_| None, &[], &Registry::default());
    plan.unwrap_or_else(|| panic!("{faults:?}"))
}

fn open(plan: &Plan) -> Box<dyn Source> {
    let none = Counter::noop;
    (plan.sources[0].factory)(SourceContext {
        folder: plan.folder.clone(),
        installation: vec![3; 16],
        number: 0,
        pace: Pace::default(),
        clock: Clock::System,
        discarded: Discarded { empty: none(), cut_bytes: none(), broken: none(), bytes: none() },
        until_end: true,
        instead: None,
        idle_timeout: 1_000_000_000,
        facts: Vec::new(),
        registry: Registry::default(),
    })
}

/// A row as it was read: partition, position, text.
type Row = (String, u64, Vec<u8>);

/// Reads a source to its end, or so many fills far, and holds it to the order of what a fill may give.
async fn read(source: &mut dyn Source, fills: usize) -> Vec<Row> {
    let (mut rows, mut named, mut opened) = (Vec::new(), BTreeSet::new(), false);
    let mut builder = BatchBuilder::default();
    for _ in 0..fills {
        match source.fill(&mut builder).await.unwrap() {
            Fill::Rows { origin, base, positions } => {
                assert!(opened, "rows came before all partitions were named");
                assert!(named.contains(&origin.partition), "rows of a partition that was not named");
                assert!(!builder.lines.is_empty(), "an empty batch");
                let input = std::mem::take(&mut builder).seal(origin, base, positions, 0);
                for row in 0..input.lines.len() {
                    rows.push((input.origin.partition.clone(), input.position(row), input.line(row).to_vec()));
                }
            }
            Fill::Partition(origin, _) => drop(named.insert(origin.partition.clone())),
            Fill::Opened => assert!(!std::mem::replace(&mut opened, true), "opened twice"),
            Fill::Word(..) => {}
            Fill::Wait(wait) => tokio::time::sleep(wait).await,
            Fill::End => {
                assert!(matches!(source.fill(&mut builder).await.unwrap(), Fill::End), "something came after the end");
                break;
            }
        }
        assert!(builder.lines.is_empty(), "lines without an origin");
    }
    rows
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

#[test]
fn every_source_goes_on_from_any_position() {
    for kind in source::KINDS {
        let folder = folder("");
        let Some(options) = source_of(kind.name, folder.path()) else { continue };
        let plan = plan_of(folder.path(), &options, "{type: drop, inputs: [a]}");
        runtime().block_on(async {
            let mut whole = open(&plan);
            whole.probe().await.unwrap();
            whole.connect(None).await.unwrap();
            let all = read(&mut *whole, usize::MAX).await;
            assert_eq!(all.len(), ROWS, "{}: rows", kind.name);
            assert!(all.windows(2).all(|w| w[0].0 != w[1].0 || w[0].1 < w[1].1), "{}: positions do not grow", kind.name);
            for fills in [0, 1, 2, 3, 4, 5, 8] {
                let mut first = open(&plan);
                first.connect(None).await.unwrap();
                let mut got = read(&mut *first, fills).await;
                let position = first.position();
                drop(first);
                let mut second = open(&plan);
                second.connect(Some(&position)).await.unwrap();
                let is_done = got.len() == ROWS;
                assert!(!second.is_exhausted_at_start() || is_done, "{}: says that nothing is new", kind.name);
                got.extend(read(&mut *second, usize::MAX).await);
                assert!(got == all, "{}: another story after {fills} fills: {} rows", kind.name, got.len());
            }
        });
    }
}

#[test]
fn no_source_loses_what_a_dropped_fill_was_reading() {
    for kind in source::KINDS {
        let folder = folder("");
        let Some(options) = source_of(kind.name, folder.path()) else { continue };
        let plan = plan_of(folder.path(), &options, "{type: drop, inputs: [a]}");
        runtime().block_on(async {
            let mut source = open(&plan);
            source.connect(None).await.unwrap();
            let mut rows = 0;
            let mut builder = BatchBuilder::default();
            for turn in 0.. {
                // Every second fill is given up if it is not done at once.
                let filled = if turn % 2 == 0 {
                    tokio::select! { biased; filled = source.fill(&mut builder) => Some(filled), () = std::future::ready(()) => None }
                } else {
                    Some(source.fill(&mut builder).await)
                };
                match filled.transpose().unwrap() {
                    Some(Fill::Rows { .. }) => rows += std::mem::take(&mut builder).lines.len(),
                    Some(Fill::End) => break,
                    Some(Fill::Wait(wait)) => tokio::time::sleep(wait).await,
                    _ => {}
                }
            }
            assert_eq!(rows, ROWS, "{}", kind.name);
        });
    }
}

#[test]
fn standard_input_gives_every_line_in_order_whatever_the_pieces() {
    let folder = folder("barrier: {interval: 1ms}\nsources: {a: {type: stdin}}\nsinks: {o: {type: file, inputs: [a], path: out.ndjson}}\n");
    let mut child = fed(folder.path());
    let mut input = child.stdin.take().unwrap();
    let text: String = (0..ROWS).map(|n| format!("line {n}\n")).collect();
    for (i, piece) in text.as_bytes().chunks(997).enumerate() {
        input.write_all(piece).unwrap();
        if i % 10 == 0 {
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    let out = fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
    let got: Vec<String> = out.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["message"].to_string()).collect();
    assert!(got.iter().enumerate().all(|(n, l)| *l == format!("\"line {n}\"")) && got.len() == ROWS);
}

/// Reads what a sink wrote into a folder.
type ReadBack = fn(&Path) -> Vec<String>;

/// A sink by kind, and how to read what it wrote, if that can be read back; none where a test of its own stands for it.
fn sink_of(kind: &str) -> Option<(&'static str, Option<ReadBack>)> {
    fn lines_of_file(folder: &Path) -> Vec<String> {
        fs::read_to_string(folder.join("out.ndjson")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
    match kind {
        "file" => Some(("{type: file, inputs: [a], path: out.ndjson}", Some(lines_of_file))),
        "drop" => Some(("{type: drop, inputs: [a]}", None)),
        // Standard output is the test's own. What others keep has no end to come back to: tests/bulk.rs, tests/services.rs, tests/kafka.rs, tests/thehive.rs.
        "stdout" | "elasticsearch" | "kafka" | "thehive" => None,
        other => panic!("the sink `{other}` has no setup in tests/conformance.rs"),
    }
}

/// A body of rows from..to.
fn body(sink: &dyn Sink, from: usize, to: usize) -> Body {
    let lines: Vec<String> = (from..to).map(|n| format!("row {n}")).collect();
    let mut batch = Batch::default();
    batch.reset(Arc::new(Input::of_lines(lines.iter().map(String::as_bytes), Arc::default(), 0)), 0);
    let input = SinkInput { writer: EventWriter { original: true, ..EventWriter::default() }, ..SinkInput::default() };
    let mut body = Body::default();
    (0..lines.len()).for_each(|row| sink.encode(&OutRow { input: &input, batch: &batch, row, facts: RowFacts::default() }, &mut body));
    assert_eq!(body.rows(), to - from);
    assert_eq!(body.ends.last().copied(), Some(body.bytes.len()));
    body
}

#[test]
fn every_sink_comes_back_to_what_it_sealed() {
    for kind in sink::KINDS {
        let Some((options, read_back)) = sink_of(kind.name) else { continue };
        let folder = folder("");
        let plan = plan_of(folder.path(), "{type: generate, kind: syslog, count: 1}", options);
        let make = || (plan.sinks[0].factory)(&[]);
        runtime().block_on(async {
            let sink = make();
            sink.probe().await.unwrap();
            assert!(read_back.is_none_or(|read| read(folder.path()).is_empty()), "{}: a probe wrote", kind.name);
            sink.connect(None).await.unwrap();
            assert_eq!(sink.send(&Arc::new(body(&*sink, 0, 100))).await, Ok(Sent::All), "{}", kind.name);
            let sealed = sink.seal(1).await.unwrap();
            sink.commit(1).await.unwrap();
            // What follows the seal is lost with the process, whether it came out or not.
            sink.send(&Arc::new(body(&*sink, 100, 150))).await.unwrap();
            drop(sink);
            let again = make();
            again.connect(Some(&sealed)).await.unwrap();
            // A part of a body has been delivered by an earlier try: only the rest is sent.
            again.send(&Arc::new(body(&*again, 90, 200).only(|row| row >= 10))).await.unwrap();
            again.seal(2).await.unwrap();
            if let Some(read) = read_back {
                let got = read(folder.path());
                assert!(
                    got.iter().enumerate().all(|(n, l)| l.contains(&format!("\"row {n}\""))) && got.len() == 200,
                    "{}: {} rows",
                    kind.name,
                    got.len()
                );
            }
        });
    }
}
