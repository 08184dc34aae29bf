//! Transforms from outside: what comes out of a pipeline of one of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;

use std::fs;
use std::path::Path;

use outside::{folder, said, text, tripline};

/// Runs lines through transforms and returns the lines of each output, written by a file sink.
fn through(format: &str, transforms: &str, outputs: &[&str], lines: &[&str]) -> Vec<Vec<String>> {
    let mut pipeline = format!(
        "sources: {{a: {{type: file, paths: [in.log], follow: false, original: false, format: {format}}}}}\ntransforms:\n{transforms}\nsinks:\n"
    );
    for (i, output) in outputs.iter().enumerate() {
        pipeline += &format!("  o{i}: {{type: file, inputs: [{output}], path: out{i}.ndjson}}\n");
    }
    let folder = folder(&pipeline);
    fs::write(folder.path().join("in.log"), lines.join("\n") + "\n").unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let read =
        |i| fs::read_to_string(folder.path().join(format!("out{i}.ndjson"))).unwrap_or_default().lines().map(str::to_owned).collect();
    (0..outputs.len()).map(read).collect()
}

#[test]
fn routes_by_the_first_condition_or_by_all() {
    let lines = [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":5}"#, r#"{"x":0}"#];
    let outputs = ["r.small", "r.odd", "r.unmatched"];
    let first = through("json", "  r: {type: route, inputs: [a], routes: {small: n < 3, odd: n % 2 == 1}}", &outputs, &lines);
    assert_eq!(first, [vec![lines[0], lines[1]], vec![lines[2]], vec![lines[3]]]);
    let all = through("json", "  r: {type: route, inputs: [a], first: false, routes: {small: n < 3, odd: n % 2 == 1}}", &outputs, &lines);
    assert_eq!(all, [vec![lines[0], lines[1]], vec![lines[0], lines[2]], vec![lines[3]]]);
}

#[test]
fn a_route_has_named_outputs_only() {
    let pipeline = "sources: {a: {type: stdin, format: json}}\ntransforms: {r: {type: route, inputs: [a], routes: {x: n == 1}}}\nsinks: {o: {type: drop, inputs: [r, r.y, r.x]}}\n";
    let folder = folder(pipeline);
    let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
    let said = said(&out);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        said.contains("`r` has no output without a name") && said.contains("`r` has no output `y`") && said.contains("r.x, r.unmatched"),
        "{said}"
    );
}

#[test]
fn members_are_cut_out_of_json() {
    let remove = "  t: {type: remove, inputs: [a], fields: [a, 'b', 'c.d', e]}";
    let cases = [
        (r#"{"a":1,"z":2}"#, r#"{"z":2}"#),
        (r#"{"z":2, "a" : 1 }"#, r#"{"z":2 }"#),
        (r#"{"a":1}"#, "{}"),
        (r#"{ "a":1, "b":[1,2], "e":null }"#, "{    }"),
        (r#"{"c":{"d":"x","k":"y\"}"},"z":"\\"}"#, r#"{"c":{"k":"y\"}"},"z":"\\"}"#),
        (r#"{"z\"":1,"a":"t","c":{"d":1}}"#, r#"{"z\"":1,"c":{}}"#),
        (r#"{"z": 1.0e2 , "y":"\u0041"}"#, r#"{"z": 1.0e2 , "y":"\u0041"}"#),
    ];
    let lines: Vec<&str> = cases.iter().map(|c| c.0).collect();
    let got = through("json", remove, &["t"], &lines);
    for (got, (line, expected)) in got[0].iter().zip(cases) {
        assert_eq!(got, expected, "from {line}");
        serde_json::from_str::<serde_json::Value>(got).unwrap_or_else(|e| panic!("{e}: {got}"));
    }
}

#[test]
fn fields_take_other_names() {
    let rename = "  t: {type: rename, inputs: [a], fields: {old: new, x: y, y: x}}";
    let got = through("json", rename, &["t"], &[r#"{"old":"v","k":1}"#, r#"{"x":1,"y":2}"#, r#"{"new":"kept"}"#]);
    assert_eq!(got[0], [r#"{"k":1,"new":"v"}"#, r#"{"x":2,"y":1}"#, r#"{"new":"kept"}"#]);
    let got = through(
        "kv",
        "  t: {type: rename, inputs: [a], fields: {src: source}}\n  u: {type: remove, inputs: [t], fields: [pass]}",
        &["u"],
        &["src=h pass=secret k=1"],
    );
    assert_eq!(got[0], [r#"{"k":"1","source":"h"}"#]);
}

#[test]
fn patterns_are_blackened() {
    let redact = "  t: {type: redact, inputs: [a], fields: [m], pattern: '\\d{4}', with: '****'}\n  u: {type: redact, inputs: [t], fields: [secret]}";
    let got = through("json", redact, &["u"], &[r#"{"m":"card 1234 5678\n9","secret":5}"#, r#"{"m":"none","k":"1234"}"#]);
    assert_eq!(got[0], [r#"{"m":"card **** ****\n9","secret":"[redacted]"}"#, r#"{"m":"none","k":"1234"}"#]);
}

#[test]
fn a_sample_takes_its_share() {
    let lines: Vec<String> = (0..4000).map(|i| format!("{{\"i\":{i}}}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let sample = "  t: {type: sample, inputs: [a], one_in: 4}";
    let got = through("json", sample, &["t"], &lines);
    assert!((900..1100).contains(&got[0].len()), "{}", got[0].len());
}

#[test]
fn events_are_joined_with_tables_of_every_type() {
    let folder = folder(
        "sources: {a: {type: file, paths: [in.log], follow: false, format: json}}
tables:
  zones: {type: prefix, path: zones.csv, column: network}
  hosts: {type: json, path: hosts.json, key: name}
  users: {type: csv, path: users.csv, key: [domain, login], delimiter: ';'}
  geo: {type: mmdb, path: places.mmdb}
transforms:
  z: {type: enrich, inputs: [a], table: zones, on: {network: ip}, set: {zone: zone}, missing: tag}
  h: {type: enrich, inputs: [z], table: hosts, on: {name: host}, set: {owner: owner.mail}}
  g: {type: enrich, inputs: [h], table: geo, on: {ip: ip}, set: {country: country.iso_code}}
  s: {type: set, inputs: [g], fields: {dept: 'lookup(\"users\", \"dept\", domain, user)', inside: 'in_table(\"zones\", ip)', city: 'lookup(\"geo\", \"city.names.en\", ip)'}}
sinks: {o: {type: file, inputs: [s], path: out.ndjson}}
",
    );
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let places = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/places.mmdb");
    fs::copy(places, folder.path().join("places.mmdb")).unwrap();
    put("zones.csv", "network,zone\n10.0.0.0/8,inside\n10.7.0.0/16,dmz\n2001:db8::/32,lab\n");
    put("hosts.json", "[{\"name\":\"h1\",\"owner\":{\"mail\":\"a@b\"}},{\"name\":\"h2\",\"owner\":null}]");
    put("users.csv", "domain;login;dept\ncorp;ada;research\n");
    put(
        "in.log",
        "{\"ip\":\"10.7.1.1\",\"host\":\"h1\",\"domain\":\"corp\",\"user\":\"ada\"}\n{\"ip\":\"2001:db8::7\",\"host\":\"h2\"}\n{\"ip\":\"192.0.2.1\"}\n{\"ip\":\"no address\"}\n",
    );
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let got = fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
    let want = [
        r#"{"ip":"10.7.1.1","host":"h1","domain":"corp","user":"ada","zone":"dmz","owner":"a@b","dept":"research","inside":true}"#,
        r#"{"ip":"2001:db8::7","host":"h2","zone":"lab","country":"JP","inside":true,"city":"Nara"}"#,
        r#"{"ip":"192.0.2.1","country":"FR","inside":false,"city":"Paris","tags":["z.missing"]}"#,
        r#"{"ip":"no address","inside":false,"tags":["z.missing"]}"#,
    ];
    assert_eq!(got.lines().collect::<Vec<_>>(), want);
}

#[test]
fn a_table_says_what_it_lacks() {
    let folder = folder(
        "sources: {a: {type: stdin, format: json}}
tables:
  p: {type: prefix, path: t.csv, key: a}
  j: {type: json, path: t.csv}
  c: {type: csv, path: t.csv, key: a, column: b}
  x: {type: cvs, path: t.csv, key: a}
  m: {type: mmdb, path: t.csv, key: ip}
sinks: {o: {type: drop, inputs: [a]}}
",
    );
    fs::write(folder.path().join("t.csv"), "a,b\n1,2\n").unwrap();
    let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
    let said = said(&out);
    for word in [
        "a mmdb table has no `key`",
        "this is no MaxMind DB that can be read",
        "a prefix table has no `key`",
        "`p` lacks `column`",
        "`j` lacks `key`",
        "a csv table has no `column`",
        "did you mean `csv`?",
    ] {
        assert!(said.contains(word), "{word}\n{said}");
    }
}

#[test]
fn what_keeps_state_stands_at_one_place() {
    let folder = folder(
        "sources: {a: {type: stdin, format: json}, b: {type: stdin, format: json}}\ntransforms: {d: {type: dedupe, inputs: [a, b], by: [x], within: 0s}}\nsinks: {o: {type: drop, inputs: [d]}}\n",
    );
    let said = said(&tripline(folder.path(), &["check", "pipeline.yaml"]));
    assert!(said.contains("`d` keeps state and is reached by more than one path") && said.contains("`within` is at least 1"), "{said}");
}

#[test]
fn alerts_of_all_shards_are_deduplicated_together() {
    let folder = folder(
        "sources: {a: {type: file, paths: [in.log], follow: false, format: json, time: {field: ts, format: epoch_s}}}
correlations: {r: {type: threshold, inputs: [a], by: [user], within: 1m, count: 1, trigger: every, alert: {title: same}}}
transforms: {d: {type: dedupe, inputs: [r], by: [title], within: 1h}}
sinks: {o: {type: file, inputs: [d], path: out.ndjson}}
",
    );
    let lines: String = (0..50).map(|n| format!("{{\"ts\":{},\"user\":\"u{n}\"}}\n", 1_760_000_000 + n)).collect();
    fs::write(folder.path().join("in.log"), lines).unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off", "--shards", "8"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(fs::read_to_string(folder.path().join("out.ndjson")).unwrap().lines().count(), 1);
    let diff = said(&tripline(folder.path(), &["explain", "pipeline.yaml", "--diff", ".tripline"]));
    assert!(diff.contains("node     d                        keeps its state"), "{diff}");
}
