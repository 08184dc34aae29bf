//! The program from outside: bad input, full disks, locks, rotation, rendered faults. Each gets a clear answer and loses nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use outside::{fed, folder, got, said, signal, started, stopped, text, tripline, until};
use serde_json::Value;

fn spawn(folder: &Path, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(words).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run(folder: &Path) -> Output {
    tripline(folder, &["run", "pipeline.yaml", "--until-end", "--admin", "off"])
}

fn rows(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap_or_default().lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
}

const RAW: &str = "sources: {a: {type: file, paths: [in.log]}}\nsinks: {o: {type: file, inputs: [a], path: out.ndjson}}\n";

#[test]
fn strange_bytes_are_kept_tagged_and_counted() {
    let f = folder(RAW);
    fs::write(f.path().join("in.log"), b"nul\0byte\nbad \xff\xfe\n\r\n\nlast without newline").unwrap();
    assert!(run(f.path()).status.success());
    let got = rows(&f.path().join("out.ndjson"));
    assert_eq!(got.len(), 3);
    assert_eq!(got[0]["message"], "nul\0byte");
    assert_eq!((&got[1]["message"], &got[1]["tags"][0]), (&Value::from("bad \u{fffd}\u{fffd}"), &Value::from("invalid_utf8")));
    assert_eq!(got[2]["message"], "last without newline");
}

#[test]
fn a_line_of_64_mib_is_cut_and_the_next_line_is_whole() {
    let f = folder(RAW);
    let mut line = vec![b'x'; 64 << 20];
    line.extend_from_slice(b"\nnext\n");
    fs::write(f.path().join("in.log"), line).unwrap();
    assert!(run(f.path()).status.success());
    let got = rows(&f.path().join("out.ndjson"));
    assert_eq!(got.len(), 2);
    assert_eq!(got[0]["message"].as_str().unwrap().len(), 1 << 20);
    assert_eq!(got[0]["tags"][0], "truncated");
    assert_eq!(got[1]["message"], "next");
}

#[test]
fn a_rotated_and_a_truncated_file_are_each_read_once() {
    let f = folder(
        "sources: {a: {type: file, paths: ['in.log*']}}\nsinks: {o: {type: file, inputs: [a], path: out.ndjson, original: false}}\n",
    );
    let log = f.path().join("in.log");
    fs::write(&log, "one\ntwo\n").unwrap();
    assert!(run(f.path()).status.success());
    fs::rename(&log, f.path().join("in.log.1")).unwrap();
    fs::OpenOptions::new().append(true).open(f.path().join("in.log.1")).unwrap().write_all(b"three\n").unwrap();
    fs::write(&log, "four\n").unwrap();
    assert!(run(f.path()).status.success());
    fs::write(&log, "five\nsix\n").unwrap();
    assert!(run(f.path()).status.success());
    let again = run(f.path());
    assert!(text(&again.stderr).contains("nothing new since the last run"));
    let mut got: Vec<String> = rows(&f.path().join("out.ndjson")).iter().map(|r| r["message"].as_str().unwrap().to_owned()).collect();
    got.sort();
    assert_eq!(got, ["five", "four", "one", "six", "three", "two"]);
}

#[test]
fn a_full_disk_is_held_against_and_named_at_the_stop() {
    let f = folder(
        "stop_timeout: 1s\nsources: {g: {type: generate, kind: json, count: 10}}\nsinks: {o: {type: file, inputs: [g], path: /dev/full}}\n",
    );
    let mut child = started(f.path());
    let said = || fs::read_to_string(f.path().join("words.log")).unwrap();
    until("an outage", || said().contains("sink_outage"));
    assert!(child.try_wait().unwrap().is_none(), "a full disk must not end the run");
    signal(&child, "TERM");
    let status = child.wait().unwrap();
    let said = said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("sink_outage") && said.contains("No space left"), "{said}");
    assert!(said.contains("epoch 1 is still open"), "{said}");
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let f = folder(RAW);
    fs::write(f.path().join("in.log"), "x\n").unwrap();
    fs::write(f.path().join("file"), "").unwrap();
    let output = tripline(f.path(), &["run", "pipeline.yaml", "--until-end", "--state", "file/state"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("state folder file/state: cannot be made"), "{}", text(&output.stderr));
}

#[test]
fn one_process_owns_a_state_folder() {
    let f = folder("sources: {g: {type: generate, kind: json, rate: 100}}\nsinks: {o: {type: drop, inputs: [g]}}\n");
    let child = started(f.path());
    until("it is ready", || fs::read_to_string(f.path().join("words.log")).unwrap().contains("\"ready\""));
    let output = tripline(f.path(), &["run", "pipeline.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("is in use by pid {}", child.id())));
    stopped(child, f.path());
}

#[test]
fn faults_are_rendered_with_place_caret_and_help() {
    let f = folder("sources:\n  a: {type: fiel, paths: [x.log]}\nsinks:\n  o: {type: stdout, inputs: [a], colour: red}\n");
    let output = tripline(f.path(), &["check", "pipeline.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stdout),
        "pipeline.yaml:2:13: error[unknown_type]: there is no type `fiel`\n    a: {type: fiel, paths: [x.log]}\n              ^\n  help: did you mean `file`?\n\
         pipeline.yaml:4:34: error[unknown_key]: `colour` is not known here\n    o: {type: stdout, inputs: [a], colour: red}\n                                   ^\n  \
         help: known here: form, encode, original, meta, where, dead_letter, batch, retry, rate_max, buffer, when_full, inputs, type, description\n2 errors, 0 warnings\n"
    );
}

#[test]
fn bombs_in_a_pipeline_file_are_refused() {
    let f = folder(
        "sources: {a: {type: file, paths: [x]}}\ntransforms:\n  f: {type: filter, inputs: [a], where: 'm.matches(\"((((a{100}){100}){100}){100})\")'}\nsinks: {o: {type: drop, inputs: [f]}}\n",
    );
    let output = tripline(f.path(), &["check", "pipeline.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).contains("pattern is too large"), "{}", text(&output.stdout));
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    (1..40).for_each(|i| bomb.push_str(&format!("a{i}: &a{i} [*a{}, *a{}]\n", i - 1, i - 1)));
    fs::write(f.path().join("pipeline.yaml"), bomb).unwrap();
    let output = tripline(f.path(), &["check", "pipeline.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stdout).contains("aliases expand"), "{}", text(&output.stdout));
}

#[test]
fn one_bad_cell_among_100000_rows_is_found() {
    let f = folder(
        "sources: {a: {type: file, paths: [x]}}\ntransforms: {m: {type: map, inputs: [a], files: [m.csv]}}\nsinks: {o: {type: drop, inputs: [m]}}\n",
    );
    let mut map = String::from("regex.event.name,set.event.category\n");
    (0..100_000).for_each(|i| map.push_str(&if i == 77_000 { "a(b,x\n".to_owned() } else { format!("name{i}$,c{i}\n") }));
    fs::write(f.path().join("m.csv"), map).unwrap();
    let output = tripline(f.path(), &["check", "pipeline.yaml", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let errors: Vec<Value> =
        text(&output.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).filter(|d: &Value| d["severity"] == "error").collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        (&errors[0]["line"], &errors[0]["column"], &errors[0]["code"]),
        (&Value::from(77_002), &Value::from(2), &Value::from("bad_pattern"))
    );
}

#[test]
fn rules_may_follow_rules() {
    let f = folder(
        "sources: {a: {type: file, paths: [in.log], format: json, time: {field: t, format: epoch_s}}}\n\
         correlations:\n  small: {type: threshold, inputs: [a], by: [host], within: 60s, count: 3, trigger: each_threshold, alert: {title: 'small {host}'}}\n  \
         large: {type: threshold, inputs: [small], by: [tenant], within: 600s, count: 4, trigger: each_threshold, alert: {title: 'large {count}'}}\n\
         sinks: {o: {type: file, inputs: [large], path: out.ndjson}}\n",
    );
    let lines: String = (0..60).map(|i| format!("{{\"t\":{},\"host\":\"h{}\"}}\n", 1_760_000_000 + i, i % 5)).collect();
    fs::write(f.path().join("in.log"), lines).unwrap();
    let output = run(f.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let got = rows(&f.path().join("out.ndjson"));
    // 12 lines of each of 5 hosts: 20 small alerts, 5 large ones.
    assert_eq!(got.len(), 5, "{}", text(&output.stderr));
    assert_eq!(got[0]["title"], "large 4");
}

#[test]
fn metrics_and_health_answer() {
    let f = folder(
        "admin: {listen: '127.0.0.1:0'}\nsources: {g: {type: generate, kind: syslog, rate: 500}}\nsinks: {o: {type: drop, inputs: [g]}}\n",
    );
    let mut child = spawn(f.path(), &["run", "pipeline.yaml"]);
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stderr.take().unwrap()), &mut ready).unwrap();
    let address = serde_json::from_str::<Value>(&ready).unwrap()["admin"].as_str().unwrap().to_owned();
    let get = |path: &str| got(&address, path);
    until("events are counted", || get("/metrics").contains("tripline_events_in_total{node=\"g\"}"));
    assert!(get("/health").contains("\"status\":\"ok\""));
    assert!(get("/other").starts_with("HTTP/1.1 404"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn copies_clock_times_and_shared_input_are_warned_about() {
    let f = folder(concat!(
        "sources: {a: {type: file, paths: [in.log]}, b: {type: stdin}, c: {type: stdin}}\n",
        "transforms: {t: {type: set, inputs: [a], fields: {x: '1'}}}\n",
        "correlations: {r: {type: threshold, inputs: [a], by: [message], within: 1m, count: 3}}\n",
        "sinks:\n  o: {type: stdout, inputs: [a, t, r]}\n  apart: {type: drop, inputs: [t, a.errors, b, c]}\n",
    ));
    let out = tripline(f.path(), &["check", "pipeline.yaml"]);
    assert_eq!(out.status.code(), Some(0));
    let said = said(&out);
    assert!(said.contains("events reach `o` twice: by a → t and by a"), "{said}");
    assert!(said.contains("`r` reads events that have no time of their own"), "{said}");
    assert!(!said.contains("`apart` twice") && said.contains("3 warnings"), "{said}");
    assert!(said.contains("`b` reads standard input already"), "{said}");
}

#[test]
fn a_rule_that_is_switched_off_holds_nothing_up() {
    let f = folder(
        "sources: {a: {type: file, paths: [in.ndjson], format: json, time: {field: ts}}}\ncorrelations:\n  off: {type: threshold, inputs: [a], within: 1m, count: 1, enabled: false}\n  on: {type: threshold, inputs: [a], within: 1m, count: 1}\nsinks: {o: {type: file, inputs: [on, off], path: out.ndjson}}\n",
    );
    fs::write(f.path().join("in.ndjson"), "{\"ts\":\"2026-01-01T00:00:00Z\"}\n").unwrap();
    let out = run(f.path());
    assert!(out.status.success(), "{}", text(&out.stderr));
    let alerts = fs::read_to_string(f.path().join("out.ndjson")).unwrap();
    assert!(alerts.lines().count() == 1 && alerts.contains("\"id\":\"on\""), "{alerts}");
}

#[test]
fn a_reader_that_went_away_ends_a_command_quietly() {
    let f = folder("");
    let mut child = spawn(f.path(), &["list", "--schema"]);
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", text(&out.stderr));
}

#[test]
fn lines_that_come_slowly_on_standard_input_come_through() {
    let f = folder("sources: {a: {type: stdin, format: json}}\nsinks: {o: {type: stdout, inputs: [a]}}\n");
    let mut child = fed(f.path());
    let mut input = child.stdin.take().unwrap();
    // Each pause is longer than the time between two barriers, at which a read is given up halfway.
    for half in ["{\"n\":1}\n{\"n\"", ":2}\n", "{\"n\":3}\n{\"n\":4}"] {
        std::thread::sleep(Duration::from_millis(1300));
        input.write_all(half.as_bytes()).unwrap();
    }
    std::thread::sleep(Duration::from_millis(1300));
    drop(input);
    let out = child.wait_with_output().unwrap();
    assert_eq!(text(&out.stdout), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n{\"n\":4}\n");
}
