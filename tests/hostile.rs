//! Input as the world sends it: clocks that are wrong, dates without a year, files that begin alike or are put in each other's place, a map that breaks while it is used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
mod outside;

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use outside::{folder, signal, started, text, tripline, until};
use serde_json::Value;

/// The alerts of a rule that wants four lines of a host within a minute, and the summary.
fn alerts(times: &[&str]) -> (Vec<Value>, Value) {
    let folder = folder(
        "sources: {a: {type: file, paths: [in.log], follow: false, format: json, time: {field: ts}}}
correlations: {r: {type: threshold, inputs: [a], by: [host], within: 1m, count: 4}}
sinks: {o: {type: stdout, inputs: [r], form: json}}
",
    );
    let lines: String = times.iter().map(|ts| format!("{{\"ts\":\"{ts}\",\"host\":\"h\"}}\n")).collect();
    fs::write(folder.path().join("in.log"), lines).unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let alerts = text(&out.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    (alerts, serde_json::from_str(text(&out.stderr).lines().last().unwrap()).unwrap())
}

#[test]
fn an_event_from_2099_moves_nobody_elses_time() {
    let times = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:10Z", "2099-06-01T00:00:00Z", "2026-01-01T00:00:20Z", "2026-01-01T00:00:30Z"];
    let (alerts, summary) = alerts(&times);
    assert_eq!(summary["late"]["r"], 0, "what follows is not late");
    let [alert] = &alerts[..] else { panic!("{alerts:?}") };
    assert_eq!((&alert["first_seen"], &alert["last_seen"]), (&times[0].into(), &times[4].into()));
    assert_eq!(alert["completeness"]["exact"], true);
}

#[test]
fn a_clock_that_steps_back_hides_nothing() {
    let times = ["12:00:00", "12:00:01", "11:30:00", "11:30:01", "11:30:02"].map(|t| format!("2026-01-01T{t}Z"));
    let (alerts, summary) = alerts(&times.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(summary["late"]["r"], 3);
    let [alert] = &alerts[..] else { panic!("{alerts:?}") };
    // They count with the least time that they may have, and the alert says that it is not exact.
    assert_eq!((&alert["last_seen"], &alert["completeness"]["exact"]), (&"2026-01-01T12:00:01Z".into(), &false.into()));
}

#[test]
fn dates_without_a_year_go_over_new_year() {
    let lines = ["Dec 31 23:59:40", "Dec 31 23:59:50", "Jan  1 00:00:05", "Jan  1 00:00:15"].map(|t| format!("<38>{t} h sshd[1]: text"));
    let folder = folder(
        "sources: {a: {type: file, paths: [in.log], follow: false, format: syslog}}
sinks: {o: {type: stdout, inputs: [a], form: json}}
",
    );
    fs::write(folder.path().join("in.log"), lines.join("\n") + "\n").unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    let times: Vec<jiff::Timestamp> = text(&out.stdout)
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["timestamp"].as_str().unwrap().parse().unwrap())
        .collect();
    let gaps: Vec<i64> = times.windows(2).map(|t| t[1].as_second() - t[0].as_second()).collect();
    assert_eq!(gaps, [10, 15, 10], "{times:?}");
}

/// Messages that a run gives, sorted.
fn messages(folder: &Path) -> Vec<String> {
    let out = tripline(folder, &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let written = fs::read_to_string(folder.join("out.ndjson")).unwrap();
    let message = |l: &str| serde_json::from_str::<Value>(l).unwrap()["message"].as_str().unwrap().to_owned();
    let mut all: Vec<String> = written.lines().map(message).collect();
    all.sort();
    all
}

const FILES: &str = "sources: {a: {type: file, paths: ['*.log'], follow: false, original: false}}
sinks: {o: {type: file, inputs: [a], path: out.ndjson}}
";

#[test]
fn files_that_begin_alike_are_files_of_their_own() {
    let folder = folder(FILES);
    let name = |n: &str| folder.path().join(n);
    fs::write(name("a.log"), "the same header\na1\na2\n").unwrap();
    fs::write(name("b.log"), "the same header\nb1\n").unwrap();
    assert_eq!(messages(folder.path()), ["a1", "a2", "b1", "the same header", "the same header"]);
    // Both grow, one takes a name that sorts behind the other's: each goes on where it was.
    fs::rename(name("a.log"), name("c.log")).unwrap();
    fs::write(name("c.log"), "the same header\na1\na2\na3\n").unwrap();
    fs::write(name("b.log"), "the same header\nb1\nb2\n").unwrap();
    assert_eq!(messages(folder.path()), ["a1", "a2", "a3", "b1", "b2", "the same header", "the same header"]);
}

#[test]
fn a_file_that_is_put_in_anothers_place_is_read_whole() {
    let folder = folder(FILES);
    let name = |n: &str| folder.path().join(n);
    fs::write(name("a.log"), "old 1\nold 2\n").unwrap();
    assert_eq!(messages(folder.path()).len(), 2);
    // As long as what was there, and under its name.
    fs::write(name("new"), "new 1\nnew 2\n").unwrap();
    fs::rename(name("new"), name("a.log")).unwrap();
    assert_eq!(messages(folder.path()), ["new 1", "new 2", "old 1", "old 2"]);
}

#[test]
fn a_map_that_breaks_while_it_is_used_changes_nothing() {
    let folder = folder(
        "sources: {a: {type: file, paths: [in.log], format: json}}
transforms: {m: {type: map, inputs: [a], files: [m.map.csv]}}
sinks: {o: {type: file, inputs: [m], path: out.ndjson}}
",
    );
    let name = |n: &str| folder.path().join(n);
    fs::write(name("m.map.csv"), "event.k,set.event.v\na,one\n").unwrap();
    fs::write(name("in.log"), "{\"k\":\"a\"}\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["run", "pipeline.yaml", "--admin", "off"]).current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let written = || fs::read_to_string(name("out.ndjson")).unwrap_or_default();
    let wait_for = |lines: usize| {
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            written().lines().count() >= lines
        })
    };
    assert!(wait_for(1));
    let append = |line: &str| {
        let mut all = fs::read_to_string(name("in.log")).unwrap();
        all.push_str(line);
        fs::write(name("in.log"), all).unwrap();
    };
    fs::write(name("m.map.csv"), "regex.event.k,set.event.v\na,two\n(a,broken\n").unwrap();
    std::thread::sleep(Duration::from_millis(4500));
    append("{\"k\":\"a\"}\n");
    assert!(wait_for(2));
    fs::write(name("m.map.csv"), "event.k,set.event.v\na,three\n").unwrap();
    std::thread::sleep(Duration::from_millis(4500));
    append("{\"k\":\"a\"}\n");
    assert!(wait_for(3));
    signal(&child, "TERM");
    let words = text(&child.wait_with_output().unwrap().stderr);
    assert!(words.contains("reload_failed") && words.contains("m.map.csv:3:1"), "{words}");
    assert_eq!(written(), "{\"k\":\"a\",\"v\":\"one\"}\n{\"k\":\"a\",\"v\":\"one\"}\n{\"k\":\"a\",\"v\":\"three\"}\n");
}

/// Ten million rows are as many as a table may have: they are read while events go on with the table of before, and one row more is refused.
#[test]
fn a_table_that_grows_by_ten_million_rows_holds_nobody_up() {
    const ROWS: usize = 10_000_000;
    let folder = folder(
        "sources: {a: {type: file, paths: [in.log], format: json}}
tables: {staff: {type: csv, path: staff.csv, key: user}}
transforms: {e: {type: enrich, inputs: [a], table: staff, on: {user: user}, set: {dept: dept}, missing: ignore}}
sinks: {o: {type: file, inputs: [e], path: out.ndjson}}
",
    );
    let name = |n: &str| folder.path().join(n);
    let table = |rows: usize| {
        let mut out = BufWriter::new(fs::File::create(name("new.csv")).unwrap());
        out.write_all(b"user,dept\n").unwrap();
        (0..rows).for_each(|n| writeln!(out, "u{n},d{rows}").unwrap());
        out.flush().unwrap();
        fs::rename(name("new.csv"), name("staff.csv")).unwrap();
    };
    table(1);
    fs::write(name("in.log"), "").unwrap();
    let mut child = started(folder.path());
    let mut sent = 0;
    // The newest event's department.
    let mut ask = |user: usize| {
        let mut file = fs::OpenOptions::new().append(true).open(name("in.log")).unwrap();
        writeln!(file, "{{\"user\":\"u{user}\"}}").unwrap();
        sent += 1;
        let since = Instant::now();
        let out = || fs::read_to_string(name("out.ndjson")).unwrap_or_default();
        until("the event", || out().lines().count() == sent);
        assert!(since.elapsed() < Duration::from_secs(10), "an event waited for {:?}", since.elapsed());
        serde_json::from_str::<Value>(out().lines().last().unwrap()).unwrap()["dept"].as_str().map(str::to_owned)
    };
    assert_eq!((ask(0).as_deref(), ask(7)), (Some("d1"), None));
    table(ROWS);
    let mut before = 0;
    until("the table", || {
        let newest = ask(ROWS - 1);
        before += usize::from(newest.is_none());
        newest.as_deref() == Some("d10000000")
    });
    assert!(before > 5, "{before} events went by while it was read");
    table(ROWS + 1);
    let words = || fs::read_to_string(name("words.log")).unwrap();
    until("the refusal", || {
        ask(0);
        words().contains("more than 10000000 rows")
    });
    assert_eq!(ask(ROWS - 1).as_deref(), Some("d10000000"));
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB").parse::<u64>().unwrap();
    assert!(peak < 1 << 20, "{peak} KiB");
    child.kill().and_then(|()| child.wait()).unwrap();
}

#[test]
fn a_value_that_repeats_what_patterns_need_is_no_bomb() {
    let folder = folder(
        "sources: {a: {type: file, paths: [in.log], follow: false, original: false}}
transforms: {m: {type: map, inputs: [a], files: [m.map.csv]}}
sinks: {o: {type: file, inputs: [m], path: out.ndjson}}
",
    );
    let rows = "regex.event.message,set.event.v\nb-x[^y]*y[0-9],pattern\n(^|\\.)bad\\.com$,domain\n-x.b-end$,end\n";
    fs::write(folder.path().join("m.map.csv"), rows).unwrap();
    let lines = [format!("{}y", "ab-x".repeat(250_000)), "/a.".repeat(330_000) + "bad.com", "ab-x".repeat(250_000) + "ab-x.b-end"];
    fs::write(folder.path().join("in.log"), lines.join("\n") + "\n").unwrap();
    let started = Instant::now();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(started.elapsed().as_secs() < 20, "it took {:?}", started.elapsed());
    let out = fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
    let set: Vec<_> = out.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["v"].clone()).collect();
    assert_eq!(set, [Value::Null, "domain".into(), "end".into()]);
}
