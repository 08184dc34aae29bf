//! The Elasticsearch sink against a strict peer that deals faults: what arrived is there once, what was refused is in the dead letter, nothing else happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;
mod peer;
mod wire;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use outside::{folder, killed_after, said, signal, started, stopped, text, tripline, until};
use peer::{Deal, Peer};
use serde_json::Value;

/// A pipeline from a file of JSON lines to a peer.
fn pipeline(peer: &Peer, more: &str) -> String {
    format!(
        "barrier: {{interval: 50ms}}
sources: {{a: {{type: file, paths: [in.log], follow: false, format: json}}}}
sinks:
  es: {{type: elasticsearch, inputs: [a], endpoints: ['{}'], retry: {{min: 5ms, max: 20ms}}, {more}}}
",
        peer.address
    )
}

fn lines(folder: &Path, from: usize, to: usize) {
    let text: String = (from..to).map(|n| format!("{{\"n\":{n},\"pad\":\"{}\"}}\n", "x".repeat(n % 50))).collect();
    let mut old = fs::read_to_string(folder.join("in.log")).unwrap_or_default();
    old.push_str(&text);
    fs::write(folder.join("in.log"), old).unwrap();
}

fn summary(out: &std::process::Output) -> Value {
    serde_json::from_str(text(&out.stderr).lines().last().unwrap()).unwrap()
}

fn numbers(peer: &Peer, index: &str) -> BTreeSet<u64> {
    peer.documents(index).iter().map(|d| d["n"].as_u64().unwrap()).collect()
}

#[test]
fn whatever_the_peer_deals_each_event_is_there_once() {
    let deals = [
        Deal::Status(503),
        Deal::PutOff(2),
        Deal::ResetAfter,
        Deal::Html,
        Deal::ResetBefore,
        Deal::PutOff(3),
        Deal::Status(429),
        Deal::ItemMissing,
        Deal::ResetAfter,
        Deal::PutOff(1),
        Deal::Status(401),
    ];
    for compression in ["none", "gzip"] {
        let peer = Peer::start(&deals);
        let folder = folder(&pipeline(&peer, &format!("index: logs, compression: {compression}, batch: {{rows: 100}}")));
        lines(folder.path(), 0, 2000);
        let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
        assert!(out.status.success(), "{}", text(&out.stderr));
        assert_eq!(numbers(&peer, "logs").len(), 2000);
        let summary = summary(&out);
        let seen = peer.seen.lock().unwrap();
        assert_eq!(summary["out"]["es"], 2000, "{summary}");
        // Some were there already; of those that were told twice, the first answer was lost.
        let duplicates = summary["duplicates"].as_u64().unwrap() as usize;
        assert!((1..=seen.duplicates).contains(&duplicates) && summary["dead_letters"] == 0, "{summary}");
        let text = text(&out.stderr);
        assert!(text.contains("answers 503 Service Unavailable") && text.contains("sink_recovered"), "{text}");
    }
}

#[test]
fn an_index_template_is_put_once_and_printed() {
    let peer = Peer::start(&[]);
    let folder = folder(&pipeline(&peer, "data_stream: 'logs-{n}-x', install_template: true"));
    lines(folder.path(), 0, 20);
    for _ in 0..2 {
        killed_after(folder.path(), &[200]);
    }
    outside::finished(folder.path(), &["--until-end"]);
    let templates = peer.seen.lock().unwrap().templates.clone();
    let template = &templates["tripline-es"];
    assert_eq!(
        (templates.len(), &template["index_patterns"][0], &template["data_stream"]),
        (1, &"logs-*-x".into(), &serde_json::json!({}))
    );
    let out = tripline(folder.path(), &["explain", "pipeline.yaml", "--json"]);
    assert_eq!(&serde_json::from_slice::<Value>(&out.stdout).unwrap()["index_templates"]["tripline-es"], template);
    // A name that could be any, and two ways to the server.
    let wrong = pipeline(&peer, "index: '{n}', install_template: true, cloud_id: 'x:y'");
    fs::write(folder.path().join("pipeline.yaml"), wrong).unwrap();
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml"]));
    for part in ["error[no_template]", "error[bad_cloud_id]", "`es` needs one of `endpoints` and `cloud_id`"] {
        assert!(words.contains(part), "{part}\n{words}");
    }
}

#[test]
fn refused_rows_are_in_the_dead_letter_with_their_reason() {
    let peer = Peer::start(&[Deal::PutOff(4)]);
    let folder = folder(&pipeline(&peer, "data_stream: logs-test-default"));
    lines(folder.path(), 0, 500);
    let mut all = fs::read_to_string(folder.path().join("in.log")).unwrap();
    all.push_str("{\"n\":\"bad\",\"k\": 1.0e2 }\n");
    fs::write(folder.path().join("in.log"), all).unwrap();
    lines(folder.path(), 500, 900);
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(numbers(&peer, "logs-test-default").len(), 900);
    let letters = fs::read_to_string(folder.path().join(".tripline/dead_letter/es.ndjson")).unwrap();
    let letter: Value = serde_json::from_str(letters.trim_end()).unwrap();
    assert_eq!((&letter["node"], &letter["stage"], &letter["status"]), (&"es".into(), &"sink".into(), &400.into()));
    assert!(letter["reason"].as_str().unwrap().starts_with("document_parsing_exception: failed to parse field [n]"), "{letter}");
    assert!(letters.contains("\"event\":{\"n\":\"bad\",\"k\": 1.0e2 ,\"@timestamp\":\""), "{letters}");
    assert_eq!(letter["id"].as_str().unwrap().len(), 32);
    let summary = summary(&out);
    assert_eq!((&summary["dead_letters"], &summary["out"]["es"]), (&1.into(), &900.into()));
}

#[test]
fn a_body_that_is_too_large_is_split() {
    let peer = Peer::start(&[]);
    peer.seen.lock().unwrap().bytes_max = 2000;
    let folder = folder(&pipeline(&peer, "index: logs"));
    lines(folder.path(), 0, 300);
    let mut all = fs::read_to_string(folder.path().join("in.log")).unwrap();
    all.push_str(&format!("{{\"n\":300,\"pad\":\"{}\"}}\n", "y".repeat(3000)));
    fs::write(folder.path().join("in.log"), all).unwrap();
    lines(folder.path(), 301, 400);
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let got = numbers(&peer, "logs");
    assert!(got.len() == 399 && !got.contains(&300));
    let letters = fs::read_to_string(folder.path().join(".tripline/dead_letter/es.ndjson")).unwrap();
    assert!(letters.contains("\"status\":413") && letters.contains("413 Payload Too Large"), "{letters}");
}

#[test]
fn a_kill_in_the_middle_repeats_nothing() {
    let peer = Peer::start(&[]);
    let folder = folder(&pipeline(&peer, "index: logs, batch: {rows: 50}"));
    lines(folder.path(), 0, 30_000);
    let well = fs::read_to_string(folder.path().join("in.log")).unwrap();
    let mixed = well.lines().enumerate().map(|(n, line)| {
        let bad = format!("{{\"n\":\"bad\",\"of\":{n}}}");
        format!("{}\n", if n % 100 == 7 { &bad } else { line })
    });
    fs::write(folder.path().join("in.log"), mixed.collect::<String>()).unwrap();
    killed_after(folder.path(), &[40, 70, 90, 60]);
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert_eq!(numbers(&peer, "logs").len(), 29_700);
    assert_eq!(peer.seen.lock().unwrap().documents.len(), 29_700, "one document for each event");
    let letters = fs::read_to_string(folder.path().join(".tripline/dead_letter/es.ndjson")).unwrap();
    let refused: Vec<u64> = letters.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["event"]["of"].as_u64().unwrap()).collect();
    assert_eq!(refused.len(), 300, "one letter for each event that was refused");
    assert_eq!(refused.into_iter().collect::<BTreeSet<_>>(), (0..300).map(|n| n * 100 + 7).collect());
}

#[test]
fn a_peer_that_is_away_is_waited_for_and_secrets_are_not_told() {
    let peer = Peer::start(&[Deal::Status(401), Deal::Status(403), Deal::Status(401)]);
    let auth = "index: logs, auth: {user: joe, password: {file: secret.txt}}";
    let folder = folder(&pipeline(&peer, auth));
    fs::write(folder.path().join("secret.txt"), "geheim-7\n").unwrap();
    lines(folder.path(), 0, 10);
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("answers 401 Unauthorized: look at `auth`"), "{}", text(&out.stderr));
    let credentials = "Basic am9lOmdlaGVpbS03";
    assert!(peer.seen.lock().unwrap().authorizations.iter().all(|a| a == credentials));
    let mut told = said(&out);
    for arguments in [&["check", "pipeline.yaml", "--connect"][..], &["explain", "pipeline.yaml", "--json"], &["graph", "pipeline.yaml"]] {
        told += &said(&tripline(folder.path(), arguments));
    }
    assert!(!told.contains("geheim") && !told.contains("am9lO"), "{told}");
    assert!(told.contains("ok     es: Elasticsearch 9.0.0, cluster `peer`"), "{told}");
}

#[test]
fn a_stop_with_a_dead_sink_says_so_and_loses_nothing() {
    let peer = Peer::start(&vec![Deal::Status(503); 100_000]);
    let text_of = pipeline(&peer, "index: logs");
    let folder = folder(&format!("stop_timeout: 300ms\n{}", text_of.replace("follow: false", "follow: true")));
    lines(folder.path(), 0, 10);
    let mut child = started(folder.path());
    until("a refused body", || peer.seen.lock().unwrap().requests > 2);
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let words = fs::read_to_string(folder.path().join("words.log")).unwrap();
    assert!(words.contains("a sink does not take its rows"), "{words}");
    peer.seen.lock().unwrap().deals.clear();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off", "--until-end"]);
    assert!(out.status.success());
    assert_eq!(numbers(&peer, "logs").len(), 10);
}

/// A sink that takes nothing may be what the reload is to mend: it is waited for as long as at a stop, and the new pipeline reads again what it did not take.
#[test]
fn a_reload_with_a_dead_sink_takes_the_new_one() {
    let (dead, well) = (Peer::start(&vec![Deal::Status(401); 100_000]), Peer::start(&[]));
    let text_of = |peer: &Peer| format!("stop_timeout: 300ms\n{}", pipeline(peer, "index: logs").replace("follow: false", "follow: true"));
    let folder = folder(&text_of(&dead));
    lines(folder.path(), 0, 500);
    let child = started(folder.path());
    until("a refused body", || dead.seen.lock().unwrap().requests > 2);
    fs::write(folder.path().join("pipeline.yaml"), text_of(&well)).unwrap();
    signal(&child, "HUP");
    until("all rows", || numbers(&well, "logs").len() == 500);
    lines(folder.path(), 500, 600);
    until("new rows", || numbers(&well, "logs").len() == 600);
    let words = stopped(child, folder.path());
    assert!(words.contains("starting behind epoch"), "{words}");
    assert_eq!((well.documents("logs").len(), dead.documents("logs").len()), (600, 0));
}

/// What came on standard input cannot be read again: the old sink is waited for.
#[test]
fn a_reload_with_a_dead_sink_loses_nothing_of_standard_input() {
    let dead = Peer::start(&vec![Deal::Status(503); 100_000]);
    let text_of = pipeline(&dead, "index: logs").replace("type: file, paths: [in.log], follow: false", "type: stdin");
    let folder = folder(&format!("stop_timeout: 200ms\n{text_of}"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["run", "pipeline.yaml", "--admin", "off"]).current_dir(folder.path()).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    (0..10).for_each(|n| writeln!(input, "{{\"@timestamp\":\"2026-11-25T00:00:00Z\",\"n\":{n}}}").unwrap());
    until("a refused body", || dead.seen.lock().unwrap().requests > 2);
    signal(&child, "HUP");
    let refused = dead.seen.lock().unwrap().requests;
    until("tries behind the time of a stop", || dead.seen.lock().unwrap().requests > refused + 6);
    dead.seen.lock().unwrap().deals.clear();
    until("all rows", || numbers(&dead, "logs").len() == 10);
    writeln!(input, "{{\"@timestamp\":\"2026-11-25T00:00:00Z\",\"n\":10}}").unwrap();
    drop(input);
    let out = child.wait_with_output().unwrap();
    let words = text(&out.stderr);
    assert!(out.status.success() && words.contains("the pipeline was loaded again") && !words.contains("starting behind"), "{words}");
    assert_eq!(numbers(&dead, "logs").len(), 11);
}

#[test]
fn alerts_have_ids_of_their_own() {
    let peer = Peer::start(&[Deal::ResetAfter]);
    let pipeline = format!(
        "sources: {{a: {{type: file, paths: [in.log], follow: false, format: json, time: {{field: ts, format: epoch_s}}}}}}
correlations:
  r: {{type: threshold, inputs: [a], by: [user], within: 1m, count: 3, trigger: every, suppress: {{for: 2m}}, alert: {{title: 'many {{user}}', attack: [T1110]}}}}
sinks:
  es: {{type: elasticsearch, inputs: [a], endpoints: ['{0}'], index: 'events-{{user}}', id: '{{ts}}'}}
  alerts: {{type: elasticsearch, inputs: [r], endpoints: ['{0}'], index: alerts, ecs: true, retry: {{min: 5ms}}}}
",
        peer.address
    );
    let folder = folder(&pipeline);
    let text_in: String = (0..100).map(|n| format!("{{\"ts\":{},\"user\":\"joe\"}}\n", 1_760_000_000 + n * 10)).collect();
    fs::write(folder.path().join("in.log"), text_in).unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let seen = peer.seen.lock().unwrap();
    let alerts: Vec<_> = seen.documents.iter().filter(|((index, _), _)| index == "alerts").collect();
    assert!(alerts.len() > 4, "{} alerts", alerts.len());
    for ((_, id), alert) in &alerts {
        let (own, revision) = (alert["alert"]["id"].as_str().unwrap(), alert["alert"]["revision"].as_u64().unwrap());
        assert_eq!(**id, if revision == 1 { own.to_owned() } else { format!("{own}-{revision}") });
        assert_eq!((&alert["event"]["kind"], &alert["message"]), (&"alert".into(), &"many joe".into()));
        assert_eq!((&alert["threat"]["technique"]["id"][0], &alert["@timestamp"]), (&"T1110".into(), &alert["time"]));
    }
    let events: Vec<&String> = seen.documents.keys().filter(|(index, _)| index == "events-joe").map(|(_, id)| id).collect();
    assert_eq!((events.len(), events[0].as_str()), (100, "1760000000"));
}

#[test]
fn faults_of_its_options_are_told_at_once() {
    let folder = folder(
        "sources: {a: {type: stdin, format: json}}
sinks:
  one: {type: elasticsearch, inputs: [a], endpoints: [es-1, 'http://u:p@es-2:9200'], index: a, alias: b}
  two: {type: elasticsearch, inputs: [a], endpoints: ['http://es:9200'], id: uid, index: x, auth: {user: joe}}
  three: {type: elasticsearch, inputs: [a], endpoints: ['http://es:9200'], index: x, auth: {api_key: {env: TRIPLINE_NO_SUCH_KEY}}, tls: {cert: a.pem}}
",
    );
    let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
    assert_eq!(out.status.code(), Some(2));
    let said = said(&out);
    for part in [
        "an address such as https://es-1:9200 is expected",
        "an address must not hold a password",
        "more than one target is given",
        "`id` is no `uid`",
        "`auth` takes a user and a password, or an API key",
        "the environment has no `TRIPLINE_NO_SUCH_KEY`",
        "`cert` and `key` go together",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
