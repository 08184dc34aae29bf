//! A pipeline of several files: what is included, rules one a file, paths that start from the file that names them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;

use std::fs;

use outside::{folder, said, text, tripline};

const MAIN: &str = "\
include: [parts/*.yaml, parts/nested/more.yaml]
rules: [rules]
correlations: {}
sinks:
  alerts: {type: stdout, inputs: [many, few]}
";

#[test]
fn files_come_together_and_each_speaks_of_its_own_folder() {
    let folder = folder(MAIN);
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("parts/nested")).unwrap();
    fs::create_dir_all(at("rules/deep")).unwrap();
    fs::write(at("parts/in.log"), "{\"user\":\"a\"}\n{\"user\":\"a\"}\n{\"user\":\"b\"}\n").unwrap();
    fs::write(at("parts/source.yaml"), "sources:\n  in: {type: file, paths: [in.log], follow: false, format: json}\n").unwrap();
    // Includes its includer: each file is read once.
    fs::write(at("parts/nested/more.yaml"), "include: [../../pipeline.yaml]\ntables:\n  who: {type: csv, path: who.csv, key: login}\n")
        .unwrap();
    fs::write(at("parts/nested/who.csv"), "login,name\na,Ann\n").unwrap();
    fs::write(at("rules/many.yaml"), "type: threshold\ninputs: [in]\nby: [user]\nwithin: 1h\ncount: 2\n").unwrap();
    let few = "correlations:\n  few: {type: threshold, inputs: [in], where: 'in_table(\"who\", user)', within: 1h, count: 1}\n";
    fs::write(at("rules/deep/anything.yml"), few).unwrap();
    fs::write(at("rules/notes.txt"), "no rule").unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(text(&out.stderr).contains("\"alerts\":{\"few\":1,\"many\":1}"), "{}", said(&out));
}

#[test]
fn faults_of_all_files_come_at_once() {
    let folder = folder(
        "include: [none.yaml, 'no/*.yaml', bad.yaml, empty.yaml]\nrules: [nowhere]\nsources:\n  in: {type: stdin}\nsinks:\n  o: {type: drop, inputs: [in]}\n",
    );
    fs::write(folder.path().join("bad.yaml"), "sinks:\n  o: {type: drop, inputs: [in]}\n  p: {type: drop, inputs: [inn]}\nstate: x\n")
        .unwrap();
    fs::write(folder.path().join("empty.yaml"), "# nothing yet\n").unwrap();
    let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
    let said = text(&out.stdout);
    for expected in [
        "pipeline.yaml:1:11: error[unreadable]: none.yaml cannot be read",
        "pipeline.yaml:1:23: error[missing_file]: no file is like `no/*.yaml`",
        "pipeline.yaml:2:9: error[missing_file]: `nowhere` cannot be listed",
        "bad.yaml:2:3: error[duplicate_key]: `o` stands in another file too",
        "bad.yaml:3:28: error[unknown_input]: there is no node `inn`",
        "empty.yaml:1:1: error[empty_file]",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    assert_eq!(out.status.code(), Some(2));
}

#[test]
fn a_pipeline_is_drawn() {
    let folder = folder(concat!(
        "sources: {end: {type: stdin}}\ntransforms:\n  a: {type: decode, inputs: [end], format: json}\n",
        "correlations: {r: {type: threshold, inputs: [a], within: 1m, count: 1}}\nsinks:\n  o: {type: drop, inputs: [r, a.errors]}\n"
    ));
    let mermaid = tripline(folder.path(), &["graph", "pipeline.yaml"]);
    assert_eq!(
        text(&mermaid.stdout),
        concat!(
            "flowchart LR\n  n_end([\"end<br/>stdin\"])\n  n_a[\"a<br/>decode\"]\n  n_r{{\"r<br/>threshold\"}}\n  n_o[(\"o<br/>drop\")]\n",
            "  n_end --> n_a\n  n_a --> n_r\n  n_a -->|errors| n_o\n  n_r --> n_o\n"
        )
    );
    let dot = text(&tripline(folder.path(), &["graph", "pipeline.yaml", "--format", "dot"]).stdout);
    assert!(dot.starts_with("digraph pipeline {") && dot.contains("\"a\" -> \"o\" [label=\"errors\"];") && dot.ends_with("}\n"), "{dot}");
    assert_eq!(tripline(folder.path(), &["graph", "pipeline.yaml", "--format", "svg"]).status.code(), Some(2));
}

#[test]
fn windows_measures_and_triggers_that_do_not_go_together_are_refused() {
    let rules = [
        ("window: session, count: 2", "a session lacks `gap`"),
        ("gap: 1m, count: 2", "`gap` goes with sessions"),
        ("window: session, gap: 1m, offset: 1m, count: 2", "`offset` goes with tumbling windows"),
        ("trigger: window_end, count: 2", "a sliding window has no end to fire at"),
        ("window: tumbling, trigger: every, count: 2", "a tumbling window or a session fires once"),
        ("avg: n, count: 2", "`count` does not go with `avg`"),
        ("max: n", "`max` lacks `is`"),
        ("min: n, max: n, is: '>= 1'", "keep one of min, max"),
        ("percentile: n, is: '>= 1'", "`percentile` wants a field and a number"),
        ("percentile: [n, 101], is: '>= 1'", "`percentile` wants a field and a number"),
        ("distinct: n, is: '>= 1', count: 2", "`is` goes with sum, avg, min, max and percentile"),
    ];
    let mut pipeline = "sources: {a: {type: stdin, format: json, time: {field: ts}}}\ncorrelations:\n".to_owned();
    for (i, (options, _)) in rules.iter().enumerate() {
        pipeline += &format!("  r{i}: {{type: threshold, inputs: [a], within: 5m, {options}}}\n");
    }
    let folder = folder(&(pipeline + "sinks: {o: {type: drop, inputs: [a]}}\n"));
    let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
    let said = said(&out);
    let faults: Vec<&str> = said.lines().filter(|l| l.contains(": error[")).collect();
    for (i, (_, message)) in rules.iter().enumerate() {
        let line = format!("pipeline.yaml:{}:", i + 3);
        assert!(said.lines().any(|l| l.starts_with(&line) && l.contains("error[")), "{message} has no line {line}\n{said}");
        assert!(said.contains(message), "{message}\n{said}");
    }
    assert_eq!(faults.len(), 12, "{said}");
}

#[test]
fn late_events_do_not_enter_a_rule() {
    let rule = |late: &str, input: &str| {
        format!(
            "sources: {{a: {{type: stdin, format: json, time: {{field: ts}}}}}}\ncorrelations:\n  r: {{type: threshold, inputs: [a], within: 1m, count: 2, late: {late}}}\n  s: {{type: threshold, inputs: [{input}], within: 1m, count: 2}}\nsinks: {{o: {{type: drop, inputs: [r, s]}}}}\n"
        )
    };
    let folder = folder(&rule("output", "r.late"));
    let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
    assert!(said(&out).contains("`s` reads events that are late by definition"), "{}", said(&out));
    std::fs::write(folder.path().join("pipeline.yaml"), rule("drop", "r.late")).unwrap();
    let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
    assert!(said(&out).contains("`r` has no output `late`") && said(&out).contains("`r` has its main output only"), "{}", said(&out));
}

#[cfg(feature = "kafka")]
#[test]
fn groups_that_reach_over_partitions_are_refused() {
    let folder = folder(
        "sources: {a: {type: kafka, brokers: [localhost:9092], topics: [t], group: g, keyed_by: [user, host], format: json}}
transforms:
  once: {type: dedupe, inputs: [a], by: [user], within: 1m}
  sum: {type: aggregate, inputs: [once], interval: 1m, same: [user, host]}
correlations:
  r: {type: threshold, inputs: [sum], by: [user, host], within: 1m, count: 1}
  s: {type: threshold, inputs: [r], by: [key.user], within: 1m, count: 1}
  t: {type: threshold, inputs: [a], within: 1m, count: 1}
sinks: {o: {type: drop, inputs: [s, t]}}
",
    );
    let words = said(&tripline(folder.path(), &["check", "."]));
    for want in [
        ":3:41: error[keyed_by]: `once` reads partitions that are keyed by `host`, and does not group by it",
        ":7:41: error[keyed_by]: `s` reads partitions that are keyed by `key.host`, and does not group by it",
        "`t` reads partitions that are keyed by `host`",
        "`t` reads partitions that are keyed by `user`",
    ] {
        assert!(words.contains(want), "{want}\n{words}");
    }
    assert_eq!(words.matches("error[keyed_by]").count(), 4, "{words}");
}
