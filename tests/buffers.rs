//! Disk buffers: an outage of one sink stops nothing else, and nothing is lost or said twice, whatever is killed, full or away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
mod outside;
mod peer;
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use outside::{fed, finished, folder, got, killed_after, said, served, signal, started, text, tripline, until};
use peer::Peer;
use serde_json::Value;

/// A pipeline from a file of JSON lines to a peer and to a file.
fn pipeline(peer: &Peer, options: &str) -> tempfile::TempDir {
    let folder = folder(&format!(
        "barrier: {{interval: 50ms}}
stop_timeout: 2s
sources: {{a: {{type: file, paths: [in.log], format: json, follow: false}}}}
sinks:
  es: {{type: elasticsearch, inputs: [a], endpoints: ['{}'], index: logs, batch: {{rows: 50}}, retry: {{min: 5ms, max: 20ms}}, {options}}}
  out: {{type: file, inputs: [a], path: out.ndjson}}
",
        peer.address
    ));
    fs::write(folder.path().join("in.log"), "").unwrap();
    folder
}

/// Changes the pipeline of a folder, and gives what it was.
fn change(folder: &Path, changes: &[(&str, &str)]) -> String {
    let path = folder.join("pipeline.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, changes.iter().fold(text.clone(), |text, (from, to)| text.replace(from, to))).unwrap();
    text
}

/// Appends events of about 200 bytes, which are much alike.
fn events(folder: &Path, numbers: std::ops::Range<usize>) {
    events_with(folder, numbers, |_| "x".repeat(180));
}

/// Appends events of about 200 bytes, which cannot be packed by much.
fn events_unalike(folder: &Path, numbers: std::ops::Range<usize>) {
    events_with(folder, numbers, |n| {
        (0u64..11).map(|at| format!("{:016x}", xxhash_rust::xxh3::xxh3_64_with_seed(&at.to_le_bytes(), n as u64))).collect()
    });
}

fn events_with(folder: &Path, numbers: std::ops::Range<usize>, pad: impl Fn(usize) -> String) {
    let text: String = numbers.map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", pad(n))).collect();
    let mut file = fs::OpenOptions::new().append(true).create(true).open(folder.join("in.log")).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Each event is there, once.
fn assert_all(peer: &Peer, count: usize) {
    let documents = peer.documents("logs");
    let numbers: BTreeSet<u64> = documents.iter().map(|d| d["n"].as_u64().unwrap()).collect();
    assert_eq!((documents.len(), numbers.len()), (count, count));
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

fn buffer_bytes(folder: &Path) -> u64 {
    let segments = fs::read_dir(folder.join(".tripline/buffer/es")).unwrap();
    segments.map(|segment| segment.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn an_outage_stops_nothing_else_and_what_waits_outlives_the_run() {
    let peer = Peer::start(&[]);
    peer.away(true);
    let folder = pipeline(&peer, "buffer: {disk: 64MiB}");
    events_unalike(folder.path(), 0..20_000);
    let started = Instant::now();
    let (summary, errors) = finished(folder.path(), &[]);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!((&summary["out"]["out"], &summary["out"]["es"]), (&20_000.into(), &0.into()));
    assert!(errors.contains("buffer_left") && errors.contains("disk buffer of es: rows wait in it for the next run"), "{errors}");
    assert!(buffer_bytes(folder.path()) > 20_000 * 200);
    // The next run delivers them before its own.
    peer.away(false);
    events(folder.path(), 20_000..20_100);
    let (summary, errors) = finished(folder.path(), &[]);
    assert_eq!((&summary["out"]["out"], &summary["out"]["es"]), (&100.into(), &20_100.into()));
    assert!(!errors.contains("buffer_left"), "{errors}");
    assert_all(&peer, 20_100);
    assert_eq!(lines(&folder.path().join("out.ndjson")), 20_100);
    assert_eq!(peer.seen.lock().unwrap().duplicates, 0);
}

/// Each answer takes longer than epochs are apart: they do not wait for it.
#[test]
fn a_slow_peer_stops_nothing_else() {
    let peer = Peer::start(&[]);
    peer.seen.lock().unwrap().takes = Duration::from_millis(900);
    let folder = pipeline(&peer, "buffer: {disk: 64MiB}");
    events(folder.path(), 0..300_000);
    let mut child = started(folder.path());
    let since = Instant::now();
    until("the other sink has all", || lines(&folder.path().join("out.ndjson")) == 300_000);
    let took = since.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(peer.documents("logs").len() < 20_000);
    // It is killed behind, and goes on as quick as others.
    child.kill().unwrap();
    child.wait().unwrap();
    peer.seen.lock().unwrap().takes = Duration::ZERO;
    finished(folder.path(), &[]);
    assert_all(&peer, 300_000);
    assert_eq!(lines(&folder.path().join("out.ndjson")), 300_000);
}

#[test]
fn what_a_sink_keeps_up_with_is_not_written() {
    let peer = Peer::start(&[]);
    let folder = pipeline(&peer, "buffer: {disk: 64MiB}");
    change(folder.path(), &[("follow: false", "follow: true"), ("interval: 50ms", "interval: 1h"), ("batch: {", "batch: {age: 10ms, ")]);
    let mut child = started(folder.path());
    for round in 0..20 {
        events(folder.path(), round * 100..(round + 1) * 100);
        until("all is delivered", || peer.documents("logs").len() == (round + 1) * 100);
    }
    assert!(buffer_bytes(folder.path()) < 100);
    // Nothing lands any more: what is under way goes to the disk when more waits than may be under way.
    peer.away(true);
    events_unalike(folder.path(), 2_000..42_000);
    until("the buffer holds it", || buffer_bytes(folder.path()) > 30_000 * 200);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_stop_does_not_wait_for_a_peer_that_is_away() {
    let peer = Peer::start(&[]);
    peer.away(true);
    let folder = pipeline(&peer, "buffer: {disk: 64MiB}");
    change(folder.path(), &[("follow: false", "follow: true"), ("stop_timeout: 2s\n", "")]);
    events(folder.path(), 0..5_000);
    let mut child = started(folder.path());
    until("the other sink has all", || lines(&folder.path().join("out.ndjson")) == 5_000);
    let asked = Instant::now();
    signal(&child, "TERM");
    assert!(child.wait().unwrap().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    peer.away(false);
    finished(folder.path(), &["--until-end"]);
    assert_all(&peer, 5_000);
}

#[test]
fn a_kill_repeats_nothing_and_loses_nothing_whether_the_peer_is_there_or_not() {
    let peer = Peer::start(&[]);
    // A second buffered sink, which remembers nothing of its own: what is there once is there by its sealed lengths.
    let folder = pipeline(&peer, "buffer: {disk: 64MiB}");
    let mut text = fs::read_to_string(folder.path().join("pipeline.yaml")).unwrap();
    text.push_str("  second: {type: file, inputs: [a], path: 'second-{pad}.ndjson', buffer: {disk: 64MiB}}\n");
    fs::write(folder.path().join("pipeline.yaml"), text).unwrap();
    events(folder.path(), 0..30_000);
    let bad: String = (0..50).map(|n| format!("{{\"n\":\"bad\",\"of\":{n}}}\n")).collect();
    let mut all = fs::read_to_string(folder.path().join("in.log")).unwrap();
    all.push_str(&bad);
    fs::write(folder.path().join("in.log"), all).unwrap();
    for (round, wait) in [40, 90, 60, 120, 70, 50].into_iter().enumerate() {
        peer.away(round % 2 == 1);
        killed_after(folder.path(), &[wait]);
    }
    peer.away(false);
    finished(folder.path(), &[]);
    assert_all(&peer, 30_000);
    assert_eq!(lines(&folder.path().join("out.ndjson")), 30_050);
    let second = fs::read_to_string(folder.path().join(format!("second-{}.ndjson", "x".repeat(100)))).unwrap_or_default();
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let numbers: Vec<u64> = second.lines().filter_map(|l| serde_json::from_str::<Value>(l).unwrap()["n"].as_u64()).collect();
    assert!(numbers.iter().copied().eq(0..30_000), "{} lines in {names:?}", numbers.len());
    assert_eq!(lines(&folder.path().join(".tripline/dead_letter/es.ndjson")), 50, "one letter for each event that was refused");
}

/// A peer goes away in the middle of the work: the buffer has been emptied and given back to the disk just before.
#[test]
fn a_kill_loses_nothing_when_the_peer_goes_away_in_the_middle() {
    let peer = Peer::start(&[]);
    let folder = pipeline(&peer, "buffer: {disk: 64MiB}");
    change(folder.path(), &[("follow: false", "follow: true")]);
    let mut child = started(folder.path());
    let mut count = 0;
    for round in 0..4 {
        // It goes away at whatever moment of an epoch.
        for step in 0..16 {
            peer.away(step > 7);
            events(folder.path(), count..count + 5);
            count += 5;
            std::thread::sleep(Duration::from_millis(43 + round as u64 * 3));
        }
        until("the other sink has all", || lines(&folder.path().join("out.ndjson")) == count);
        std::thread::sleep(Duration::from_millis(300));
        child.kill().unwrap();
        child.wait().unwrap();
        peer.away(false);
        child = started(folder.path());
        until("all is delivered", || peer.documents("logs").len() >= count);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_all(&peer, count);
    assert_eq!(lines(&folder.path().join("out.ndjson")), count);
}

#[test]
fn a_full_buffer_waits_or_drops_as_it_is_told() {
    for (when_full, kept) in [("wait", 20_000), ("drop_newest", 0)] {
        let peer = Peer::start(&[]);
        peer.away(true);
        let folder = pipeline(&peer, &format!("buffer: {{disk: 1MiB}}, when_full: {when_full}"));
        events_unalike(folder.path(), 0..20_000);
        let mut child = started(folder.path());
        let errors = || fs::read_to_string(folder.path().join("words.log")).unwrap();
        if when_full == "wait" {
            until("the buffer is full", || errors().contains("disk buffer of es: it is full"));
            std::thread::sleep(Duration::from_millis(300));
            assert!(child.try_wait().unwrap().is_none());
            assert!(buffer_bytes(folder.path()) <= 1 << 20);
            peer.away(false);
        }
        assert!(child.wait().unwrap().success(), "{}", errors());
        peer.away(false);
        let summary: Value = serde_json::from_str(errors().lines().last().unwrap()).unwrap();
        assert_eq!(summary["out"]["out"], 20_000, "the other sink has all");
        finished(folder.path(), &[]);
        if kept > 0 {
            assert_all(&peer, kept);
            assert!(errors().contains("buffer_recovered"), "{}", errors());
        } else {
            let count = peer.documents("logs").len();
            assert!((2_000..6_000).contains(&count), "the oldest fill the buffer: {count}");
            assert_all(&peer, count);
        }
    }
}

#[test]
fn a_full_edge_in_memory_drops_what_it_was_told_to_drop() {
    let peer = Peer::start(&[]);
    peer.away(true);
    let folder = pipeline(&peer, "when_full: drop_newest");
    change(folder.path(), &[("barrier: {interval: 50ms}", "barrier: {interval: 1h}")]);
    events(folder.path(), 0..200_000);
    let mut child = started(folder.path());
    until("the other sink has all", || lines(&folder.path().join("out.ndjson")) == 200_000);
    peer.away(false);
    assert!(child.wait().unwrap().success());
    let count = peer.documents("logs").len();
    assert!((10_000..190_000).contains(&count), "{count}");
    assert_all(&peer, count);
}

#[test]
fn a_full_disk_holds_until_the_peer_is_back() {
    let peer = Peer::start(&[]);
    holds_while_the_disk_is_full(&peer, pipeline(&peer, "buffer: {disk: 64MiB}"));
    let peer = Peer::start(&[]);
    holds_while_the_disk_is_full(&peer, behind_a_source(&peer, "type: file, paths: [in.log], follow: false", "buffer: {disk: 64MiB}"));
}

fn holds_while_the_disk_is_full(peer: &Peer, folder: tempfile::TempDir) {
    let count = 60_000;
    peer.away(true);
    let buffer = folder.path().join(".tripline/buffer");
    fs::create_dir_all(&buffer).unwrap();
    events(folder.path(), 0..count);
    // The buffer's folder is a small disk of its own.
    let script = "mount -t tmpfs -o size=2m none .tripline/buffer || exit 99; exec \"$0\" run pipeline.yaml --admin off";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, env!("CARGO_BIN_EXE_tripline")]).current_dir(folder.path());
    let errors = fs::File::create(folder.path().join("words.log")).unwrap();
    let Ok(mut child) = command.stdout(Stdio::null()).stderr(errors).spawn() else { return println!("skipped: there is no unshare") };
    let errors = || fs::read_to_string(folder.path().join("words.log")).unwrap();
    let mut ended = None;
    until("the disk is full", || {
        ended = child.try_wait().unwrap();
        ended.is_some() || errors().contains("No space left on device")
    });
    if ended.is_some() && !errors().contains("ready") {
        return println!("skipped: no small disk can be made here: {}", errors());
    }
    assert!(errors().contains("buffer_outage"), "{}", errors());
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "{}", errors());
    peer.away(false);
    assert!(child.wait().unwrap().success(), "{}", errors());
    assert!(errors().contains("buffer_recovered"), "{}", errors());
    assert_all(peer, count);
    assert_eq!(peer.seen.lock().unwrap().duplicates, 0);
}

/// Bytes of memory that a process holds.
fn resident(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_is_flat_however_long_a_sink_is_away() {
    let peer = Peer::start(&[]);
    let folder = pipeline(&peer, "");
    let text = change(folder.path(), &[("follow: false", "follow: true")]);
    let mut child = started(folder.path());
    std::thread::sleep(Duration::from_secs(1));
    let idle = resident(&child);
    assert!(idle <= 32 << 20, "{idle} bytes when nothing happens");
    child.kill().unwrap();
    child.wait().unwrap();
    let options = "buffer: {disk: 64MiB}, when_full: drop_newest, batch: {bytes: 5MiB}";
    let text = text
        .replace("{type: file, paths: [in.log], format: json, follow: false}", "{type: generate, kind: json}")
        .replace("batch: {rows: 50}", options);
    fs::write(
        folder.path().join("pipeline.yaml"),
        text.replace("  out:", "  out: {type: drop, inputs: [a]}\n  not:")
            .lines()
            .filter(|l| !l.contains("not:"))
            .map(|l| format!("{l}\n"))
            .collect::<String>(),
    )
    .unwrap();
    peer.away(true);
    let mut child = started(folder.path());
    // Ten minutes: SECONDS=600.
    let seconds = std::env::var("SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(4);
    let most = (0..seconds * 4).map(|_| {
        std::thread::sleep(Duration::from_millis(250));
        resident(&child)
    });
    let most = most.max().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // Bodies: one that is filled, four under way, four that wait, one that comes from the disk; two edges of a megabyte at each side of the lane, and batches.
    let declared = 10 * (5 << 20) + 16 * (1 << 20);
    assert!(most <= idle + declared, "{most} bytes, {idle} when nothing happened");
}

#[test]
fn what_waits_is_not_forgotten_by_a_changed_pipeline_or_program() {
    let peer = Peer::start(&[]);
    peer.away(true);
    let folder = pipeline(&peer, "buffer: {disk: 64MiB}");
    events(folder.path(), 0..100);
    finished(folder.path(), &[]);
    let run = || tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    // Without a buffer, without the sink, with another kind.
    let pipeline = folder.path().join("pipeline.yaml");
    let whole = fs::read_to_string(&pipeline).unwrap();
    let other = "es: {type: file, path: other.ndjson, buffer: {disk: 64MiB}, inputs";
    let changes = [
        (whole.replace("buffer: {disk: 64MiB}", "buffer: memory"), "es: rows wait in its disk buffer, and this pipeline has none for it"),
        (whole.lines().filter(|l| !l.contains("  es:")).map(|l| format!("{l}\n")).collect(), "es: rows wait in its disk buffer"),
        (
            whole.lines().map(|l| if l.contains("  es:") { format!("  {other}: [a]}}\n") } else { format!("{l}\n") }).collect(),
            "was not written by a sink of type file",
        ),
    ];
    for (changed, words) in changes {
        fs::write(&pipeline, changed).unwrap();
        let out = run();
        assert!(out.status.code() == Some(1) && said(&out).contains(words), "{}", said(&out));
    }
    fs::write(&pipeline, whole).unwrap();
    // A program that writes another form.
    let segment = fs::read_dir(folder.path().join(".tripline/buffer/es")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&segment).unwrap();
    let mut older = bytes.clone();
    older["tripline buffer".len()] = 0;
    fs::write(&segment, older).unwrap();
    let out = run();
    assert!(
        said(&out).contains("it has form 0, and this program reads form 3: let the program that wrote it deliver it first"),
        "{}",
        said(&out)
    );
    fs::write(&segment, bytes).unwrap();
    peer.away(false);
    finished(folder.path(), &[]);
    assert_all(&peer, 100);
    // `--fresh` forgets.
    peer.away(true);
    events(folder.path(), 100..200);
    finished(folder.path(), &[]);
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off", "--fresh"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
}

#[test]
fn options_that_make_no_buffer_are_named() {
    let peer = Peer::start(&[]);
    for (options, words) in [
        ("buffer: disk", "`disk` is no buffer"),
        ("buffer: {disk: 4KiB}", "4096 bytes are too few for a disk buffer"),
        ("buffer: {memory: 4KiB}", "`memory`"),
        ("buffer: {disk: many}", "`disk` wants"),
        ("when_full: explode", "`when_full` wants"),
    ] {
        let folder = pipeline(&peer, options);
        let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
        assert!(out.status.code() == Some(2) && said(&out).contains(words), "{options}: {}", said(&out));
    }
}

/// A pipeline from a source by a transform, whose edge has these options, to a peer that nothing stands before.
fn behind_a_source(peer: &Peer, source: &str, options: &str) -> tempfile::TempDir {
    let folder = folder(&format!(
        "barrier: {{interval: 50ms}}
stop_timeout: 500ms
sources: {{a: {{{source}, format: json}}}}
transforms: {{t: {{type: set, inputs: [a], fields: {{seen: a}}, {options}}}}}
sinks:
  es: {{type: elasticsearch, inputs: [t], endpoints: ['{}'], index: logs, batch: {{rows: 50}}, retry: {{min: 5ms, max: 20ms}}}}
",
        peer.address
    ));
    fs::write(folder.path().join("in.log"), "").unwrap();
    folder
}

/// All that stands in the segments of a source's buffer.
fn in_buffer(folder: &Path) -> String {
    let segments = fs::read_dir(folder.join(".tripline/buffer/a")).into_iter().flatten();
    let mut segments: Vec<_> = segments.map(|segment| segment.unwrap().path()).collect();
    segments.sort();
    segments.iter().map(|path| text(&fs::read(path).unwrap())).collect()
}

#[test]
fn what_was_read_from_a_pipe_outlives_a_kill() {
    let peer = Peer::start(&[]);
    let folder = behind_a_source(&peer, "type: stdin", "buffer: {disk: 64MiB}");
    let line = |n: usize| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(180));
    // Far more than may wait in memory is read while the peer is away.
    for (round, is_away) in [true, false, true, true].into_iter().enumerate() {
        peer.away(is_away);
        let mut child = fed(folder.path());
        let mut stdin = child.stdin.take().unwrap();
        let numbers = round * 25_000..(round + 1) * 25_000;
        let last = line(numbers.end - 1);
        numbers.for_each(|n| stdin.write_all(line(n).as_bytes()).unwrap());
        stdin.flush().unwrap();
        until("all is read", || in_buffer(folder.path()).contains(&last) || peer.documents("logs").len() == (round + 1) * 25_000);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    peer.away(false);
    let mut child = fed(folder.path());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    assert_all(&peer, 100_000);
}

#[test]
fn files_that_are_gone_while_a_sink_is_away_were_read() {
    let peer = Peer::start(&[]);
    peer.away(true);
    let folder = behind_a_source(&peer, "type: file, paths: [in.log]", "buffer: {disk: 64MiB}");
    events(folder.path(), 0..50_000);
    let plan = said(&tripline(folder.path(), &["explain", "pipeline.yaml"]));
    assert!(plan.contains("intake → a  deal  at most 1048576 bytes, then 67108864 on the disk"), "{plan}");
    let mut child = started(folder.path());
    until("all is read", || in_buffer(folder.path()).contains("{\"n\":49999,"));
    fs::remove_file(folder.path().join("in.log")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // A pipeline without the buffer does not forget what waits in it.
    let file = folder.path().join("pipeline.yaml");
    let pipeline = fs::read_to_string(&file).unwrap();
    fs::write(&file, pipeline.replace("buffer: {disk: 64MiB}", "buffer: memory")).unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off", "--until-end"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(said(&out).contains("a: rows wait in its disk buffer, and this pipeline has none for it"), "{}", said(&out));
    fs::write(&file, &pipeline).unwrap();
    peer.away(false);
    fs::write(folder.path().join("in.log"), "").unwrap();
    events(folder.path(), 50_000..50_100);
    finished(folder.path(), &["--until-end"]);
    assert_all(&peer, 50_100);
    assert_eq!(peer.seen.lock().unwrap().duplicates, 0);
    // What is empty is left without a word.
    fs::write(&file, pipeline.replace("buffer: {disk: 64MiB}", "buffer: memory")).unwrap();
    finished(folder.path(), &["--until-end"]);
    assert_all(&peer, 50_100);
}

#[test]
fn what_finds_no_room_behind_a_source_is_dropped_and_counted_if_it_is_told_so() {
    for options in ["when_full: drop_newest", "when_full: drop_newest, buffer: {disk: 1MiB}"] {
        let peer = Peer::start(&[]);
        peer.away(true);
        let folder = behind_a_source(&peer, "type: file, paths: [in.log]", options);
        events(folder.path(), 0..100_000);
        let (mut child, admin) = served(folder.path());
        let dropped = || {
            let page = got(&admin, "/metrics");
            let line = page.lines().find(|l| l.starts_with("tripline_discarded_total{node=\"a\",reason=\"buffer_full\"}"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default() as usize
        };
        until("rows are dropped", || dropped() > 70_000);
        peer.away(false);
        until("the rest is there", || peer.documents("logs").len() + dropped() >= 100_000);
        assert_all(&peer, 100_000 - dropped());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_transaction_holds_nothing_that_waits_on_a_disk() {
    let folder = folder(
        "sources: {a: {type: stdin, format: json}}
transforms: {t: {type: set, inputs: [a], fields: {b: a}, buffer: {disk: 1GiB}}, u: {type: set, inputs: [t], fields: {c: a}, buffer: {disk: 1KiB}}}
sinks: {k: {type: kafka, inputs: [u], brokers: ['localhost:1'], topic: t, transactional: true}}
",
    );
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml"]));
    assert!(words.contains("pipeline.yaml:2:") && words.contains("what waits in a disk buffer cannot stand in a transaction"), "{words}");
    assert!(words.contains("1024 bytes are too few for a disk buffer"), "{words}");
}
