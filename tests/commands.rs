//! What the commands say of a pipeline that does not run: what it reaches, which rows of its maps nothing needs, what a saved state is worth to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;

use std::fs;

use outside::{fed, folder, said, text, tripline};

const PIPELINE: &str = "\
sources: {a: {type: file, paths: [in.ndjson], format: json, follow: false, time: {field: ts}}}
lists: {known: {key: user, path: known.csv}}
transforms: {m: {type: map, inputs: [a], files: [m.csv]}}
correlations: {r: {type: threshold, inputs: [m], by: [user], within: 5m, count: 2, unless: 'in_list(\"known\", user)'}}
sinks:
  alerts: {type: file, inputs: [r], path: out/alerts.ndjson}
  events: {type: file, inputs: [m], path: events.ndjson}
";

fn prepared() -> tempfile::TempDir {
    let folder = folder(PIPELINE);
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    put("known.csv", "user\nada\n");
    put("m.csv", "event.user,set.event.kind\nada,person\nbot,machine\nnobody,ghost\n");
    put("in.ndjson", "{\"ts\":\"2026-01-01T00:00:00Z\",\"user\":\"bob\"}\n{\"ts\":\"2026-01-01T00:00:01Z\",\"user\":\"bob\"}\n");
    put("sample.ndjson", "{\"user\":\"ada\"}\n\n{\"user\":\"bot\"}\nno json\n");
    folder
}

#[test]
fn connect_tries_every_wire_and_changes_nothing() {
    let folder = prepared();
    let out = tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]);
    let said = text(&out.stdout);
    assert!(out.status.success(), "{said}");
    assert!(
        said.contains("ok     a: 1 file can be read") && said.contains("ok     alerts: ") && said.contains("alerts.ndjson can be made"),
        "{said}"
    );
    assert!(!folder.path().join("events.ndjson").exists() && !folder.path().join("out").exists());
    fs::remove_file(folder.path().join("in.ndjson")).unwrap();
    fs::write(folder.path().join("out"), "a file where a folder is meant").unwrap();
    let out = tripline(folder.path(), &["check", "pipeline.yaml", "--connect", "--json"]);
    let lines: Vec<serde_json::Value> = text(&out.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |node: &str| lines.iter().find(|l| l["node"] == node).unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert_eq!((&of("a")["ok"], &of("alerts")["ok"], &of("events")["ok"]), (&false.into(), &false.into(), &true.into()));
    assert!(of("a")["message"].as_str().unwrap().contains("no file matches"), "{}", of("a"));
}

#[test]
fn rows_of_a_map_that_a_sample_leaves_alone_are_named() {
    let folder = prepared();
    let out = tripline(folder.path(), &["check", "pipeline.yaml", "--maps", "m=sample.ndjson"]);
    let said_text = said(&out);
    assert!(out.status.success(), "{said_text}");
    assert!(said_text.contains("m.csv:4:1: warning[never_matched]") && said_text.contains("nobody,ghost"), "{said_text}");
    assert!(said_text.contains("2 of 3 rows matched"), "{said_text}");
    assert!(!folder.path().join("events.ndjson").exists());
    assert_eq!(tripline(folder.path(), &["check", "pipeline.yaml", "--maps", "m=sample.ndjson", "--strict"]).status.code(), Some(2));
    for (wanted, word) in [("n=sample.ndjson", "did you mean `m`?"), ("m", "NODE=FILE"), ("m=nix", "nix")] {
        let out = tripline(folder.path(), &["check", "pipeline.yaml", "--maps", wanted]);
        assert_eq!(out.status.code(), Some(2));
        assert!(said(&out).contains(word), "{}", said(&out));
    }
}

#[test]
fn a_diff_says_which_state_a_changed_pipeline_would_keep() {
    let folder = prepared();
    let diff = || {
        let out = tripline(folder.path(), &["explain", "pipeline.yaml", "--diff", ".tripline", "--json"]);
        assert!(out.status.success(), "{}", said(&out));
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()["nodes"].as_array().unwrap().clone()
    };
    let none = tripline(folder.path(), &["explain", "pipeline.yaml", "--diff", ".tripline"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none).contains("holds no state") && !folder.path().join(".tripline").exists());
    assert!(tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]).status.success());
    assert!(diff().iter().all(|n| n["kept"] == true), "{:?}", diff());
    // A title and an exception keep the state, a window does not; a renamed source is another one.
    let changed = PIPELINE.replace("within: 5m", "within: 1h").replace("{a: ", "{b: ").replace("inputs: [a]", "inputs: [b]");
    fs::write(folder.path().join("pipeline.yaml"), changed).unwrap();
    fs::write(folder.path().join("known.csv"), "user\neve\n").unwrap();
    let found = diff();
    let what =
        |family: &str, name: &str| found.iter().find(|n| n["family"] == family && n["name"] == name).unwrap()["what"].as_str().unwrap();
    assert_eq!(what("rule", "r"), "starts empty: `within` was `300 s` and is `3600 s`");
    assert_eq!(what("source", "b"), "is new: reads from its start");
    assert_eq!(what("source", "a"), "is gone: where it was is forgotten");
    assert_eq!(what("sink", "events"), "goes on where it was");
    assert_eq!(what("list", "known"), "has other content than at that epoch");
    let renamed = PIPELINE.replace("count: 2", "count: 2, alert: {title: other}");
    fs::write(folder.path().join("pipeline.yaml"), renamed).unwrap();
    assert!(diff().iter().any(|n| n["name"] == "r" && n["what"] == "keeps its state"));
}

#[test]
fn a_replay_says_the_alerts_of_the_live_run() {
    let live = folder(
        "sources: {a: {type: stdin, format: json, time: {field: ts, format: epoch_s}}, b: {type: file, paths: [b.log], follow: false, format: json, time: {field: ts, format: epoch_s}, multiline: {continue: '^ '}}}
correlations: {r: {type: threshold, inputs: [a, b], by: [user], within: 5m, count: 3, trigger: every}}
sinks: {o: {type: stdout, inputs: [r], form: json}}
",
    );
    let at = live.path();
    let lines: String = (0..300).map(|n| format!("{{\"ts\":{},\"user\":\"u{}\"}}\n", 1_760_000_000 + n * 7, n % 11)).collect();
    fs::write(at.join("history.ndjson"), &lines).unwrap();
    fs::write(at.join("b.log"), "{\"ts\":1760000001,\n \"user\":\"u1\"}\n").unwrap();
    let mut child = fed(at);
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines.as_bytes()).unwrap();
    let live_out = child.wait_with_output().unwrap();
    let ids = |out: &[u8]| -> std::collections::BTreeSet<String> {
        text(out).lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["alert"]["id"].to_string()).collect()
    };
    assert!(ids(&live_out.stdout).len() > 20);
    let state = fs::metadata(at.join(".tripline/store")).unwrap().modified().unwrap();
    let replay =
        tripline(at, &["replay", "pipeline.yaml", "--from", "a=history.ndjson", "--from", "b=b.log", "--admin", "off", "--shards", "3"]);
    assert!(replay.status.success(), "{}", said(&replay));
    assert_eq!(ids(&replay.stdout), ids(&live_out.stdout));
    assert_eq!(fs::metadata(at.join(".tripline/store")).unwrap().modified().unwrap(), state, "a replay touched the state");
    for (words, word) in [
        (vec!["--from", "x=history.ndjson"], "did you mean"),
        (vec!["--from", "a=nix"], "there is no file"),
        (vec![], "says what is to be replayed"),
    ] {
        let out = tripline(at, &[vec!["replay", "pipeline.yaml"], words].concat());
        assert_eq!(out.status.code(), Some(2));
        assert!(said(&out).contains(word) || said(&out).contains("known here"), "{}", said(&out));
    }
}
