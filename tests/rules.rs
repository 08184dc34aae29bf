//! Many rules on one input: what each says is what it says alone, whatever it wants of the events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod inside;
mod outside;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use inside::{lines, run_pipeline};
use serde_json::{Value, json};

/// Conditions of every form: by a text, a number, several values, by two fields, by none.
const CONDITIONS: &[&str] = &[
    r#"code == "4625""#,
    r#"code == 4625 && outcome == "failure""#,
    r#"outcome == "failure" && code in ["4624", "4625.0", "x"]"#,
    r#""4624" == code"#,
    "code in [4624, 4625]",
    r#"code == "4720" || outcome == "failure""#,
    r#"code == "-0" && code == "0""#,
    "code == 0",
    r#"tags == "odd""#,
    r#"has(code) && outcome != "failure""#,
    r#"nothing == "there""#,
    r#"code == "true""#,
    r#"code == "4624" || code == 4625.0 || code in ["4720", "x"]"#,
    r#"(tags == "odd" || "even" == tags) && has(code)"#,
    r#"code == "4720" || (code == 4625 && outcome == "failure")"#,
];

fn pipeline(rules: &[usize]) -> String {
    let rule = |n: &usize| {
        let place = n % CONDITIONS.len();
        format!(
            "  r{n}: {{type: threshold, inputs: [a], where: '{}', by: [user], within: 30s, count: {}}}\n",
            CONDITIONS[place],
            1 + n / CONDITIONS.len()
        )
    };
    let names: Vec<String> = rules.iter().map(|n| format!("r{n}")).collect();
    format!(
        "barrier: {{interval: 1ms}}
sources: {{a: {{type: file, paths: [a.log], format: json, time: {{field: ts, format: epoch_s}}}}}}
correlations:
{}sinks: {{o: {{type: file, inputs: [{}], path: out.ndjson}}}}
",
        rules.iter().map(rule).collect::<String>(),
        names.join(", ")
    )
}

/// The alerts of each rule, by id.
fn said(log: &str, rules: &[usize], shards: usize, stops: &[usize]) -> BTreeMap<String, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| Path::new(folder.path()).join(name);
    fs::write(path("a.log"), log).unwrap();
    fs::write(path("pipeline.yaml"), pipeline(rules)).unwrap();
    run_pipeline(folder.path(), shards, 2, stops);
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for alert in lines(&path("out.ndjson")) {
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        out.entry(text(&alert["rule"]["id"])).or_default().push(text(&alert["alert"]["id"]));
    }
    out.values_mut().for_each(|ids| ids.sort());
    out
}

#[test]
fn many_rules_say_what_each_says_alone() {
    let codes = [
        json!("4624"),
        json!("4625"),
        json!(4625),
        json!(4624.0),
        json!("4720"),
        json!(0),
        json!("-0"),
        json!([4625, "x"]),
        json!(true),
        Value::Null,
    ];
    let tags = [json!("odd"), json!(["even", "odd"]), json!([]), Value::Null];
    let line = |n: usize| {
        let outcome = if n.is_multiple_of(3) { "failure" } else { "success" };
        json!({"ts": 1_760_000_000 + n / 4, "code": codes[n * 7 % codes.len()], "outcome": outcome, "tags": tags[n * 5 % tags.len()], "user": format!("u{}", n * 11 % 13)})
    };
    let log: String = (0..3000).map(|n| format!("{}\n", line(n))).collect();
    let rules: Vec<usize> = (0..CONDITIONS.len() * 4).collect();
    let together = said(&log, &rules, 3, &[2, 1]);
    assert!(together.len() > CONDITIONS.len() * 2, "{:?}", together.keys());
    for rule in rules {
        let alone = said(&log, &[rule], 1, &[]);
        assert_eq!(together.get(&format!("r{rule}")), alone.get(&format!("r{rule}")), "{}", CONDITIONS[rule % CONDITIONS.len()]);
    }
}

#[test]
fn a_rule_whose_inputs_have_ended_holds_nobody_up() {
    let folder = outside::folder(
        "sources:
  old: {type: file, paths: [old.log], follow: false, format: json, time: {field: ts, format: epoch_s}}
  new: {type: stdin, format: json, time: {field: ts, format: epoch_s, idle_timeout: 100ms}}
correlations:
  first: {type: threshold, inputs: [old], by: [user], within: 1m, count: 1}
  second: {type: threshold, inputs: [first, new], by: [user], within: 1m, count: 1}
barrier: {interval: 50ms}
sinks: {o: {type: file, inputs: [second], path: out.ndjson}}
",
    );
    fs::write(folder.path().join("old.log"), "{\"ts\":1760000000,\"user\":\"a\"}\n").unwrap();
    let mut child = outside::fed(folder.path());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"ts\":1760000100,\"user\":\"b\"}\n{\"ts\":1760000200,\"user\":\"c\"}\n").unwrap();
    let said = || lines(&folder.path().join("out.ndjson"));
    outside::until("an alert while standard input is open", || said().iter().any(|alert| alert["key"]["user"] == "b"));
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_alert_names_the_tables_that_it_rests_on_and_their_age_is_a_metric() {
    let folder = outside::folder(
        "barrier: {interval: 50ms}
sources: {a: {type: file, paths: [a.log], format: json}}
tables:
  staff: {type: csv, path: staff.csv, key: login}
  hosts: {type: csv, path: hosts.csv, key: name}
  other: {type: csv, path: other.csv, key: name}
transforms:
  who: {type: enrich, inputs: [a], table: staff, on: {login: user}, set: {owner: full_name}}
  else: {type: filter, inputs: [a], where: 'in_table(\"other\", host)'}
correlations:
  r: {type: threshold, inputs: [who], where: 'in_table(\"hosts\", host)', by: [user], within: 1h, count: 1, trigger: every}
  s: {type: threshold, inputs: [a], by: [user], within: 1h, count: 1, trigger: every}
sinks:
  o: {type: file, inputs: [r, s], path: out.ndjson}
  e: {type: drop, inputs: [else]}
",
    );
    let at = folder.path();
    for (file, rows) in
        [("staff.csv", "login,full_name\nann,Ann\n"), ("hosts.csv", "name\nfw\n"), ("other.csv", "name\nx\n"), ("a.log", "")]
    {
        fs::write(at.join(file), rows).unwrap();
    }
    let append = || {
        let mut log = fs::OpenOptions::new().append(true).open(at.join("a.log")).unwrap();
        log.write_all(b"{\"user\":\"ann\",\"host\":\"fw\"}\n").unwrap();
    };
    let tables = |rule: &str| -> Vec<Value> {
        let alerts = lines(&at.join("out.ndjson")).into_iter().filter(|alert| alert["rule"]["id"] == rule);
        alerts.map(|alert| alert["completeness"]["tables"].clone()).collect()
    };
    let (running, admin) = outside::served(at);
    append();
    outside::until("two alerts", || lines(&at.join("out.ndjson")).len() == 2);
    let before = tables("r").remove(0);
    assert_eq!(before.as_object().unwrap().keys().collect::<Vec<_>>(), ["hosts", "staff"]);
    assert!(before["staff"].as_str().is_some_and(|hash| hash.len() == 32 && hash != before["hosts"]), "{before}");
    assert_eq!(tables("s"), [json!({})]);
    // The content counts, not when it was read; readers take it at a barrier.
    fs::write(at.join("staff.csv"), "login,full_name\nann,Ann B\n").unwrap();
    outside::until("other staff", || {
        append();
        std::thread::sleep(std::time::Duration::from_millis(200));
        tables("r").last().is_some_and(|now| now["staff"] != before["staff"] && now["hosts"] == before["hosts"])
    });
    let page = outside::got(&admin, "/metrics");
    for table in ["staff", "hosts", "other"] {
        let name = format!("tripline_table_age_seconds{{table=\"{table}\"}} ");
        let age = page.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{page}"));
        assert!((0.0..60.0).contains(&age.parse::<f64>().unwrap()), "{table}: {age}");
    }
    outside::stopped(running, at);
    // The epoch record has what was read again.
    let diff = outside::text(&outside::tripline(at, &["explain", "pipeline.yaml", "--diff", ".tripline"]).stdout);
    assert!(!diff.contains("has other content"), "{diff}");
    fs::write(at.join("hosts.csv"), "name\nfx\n").unwrap();
    let diff = outside::text(&outside::tripline(at, &["explain", "pipeline.yaml", "--diff", ".tripline"]).stdout);
    assert!(diff.contains("hosts") && diff.contains("other content"), "{diff}");
}
