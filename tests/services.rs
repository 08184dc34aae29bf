//! The Elasticsearch sink against a real Elasticsearch and a real OpenSearch. What cannot be had here is said as `skipped: …`; with
//! `TRIPLINE_REQUIRE_SERVICES=1` a skip is a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
mod outside;
mod server;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use outside::{finished, folder, killed_after, said, signal, started, text, tripline, until};
use serde_json::Value;
use server::certificates::certificates;
use server::node::Node;

fn lines(folder: &Path, count: usize) {
    let line = |n: usize| format!("{{\"@timestamp\":\"2026-11-25T00:00:{:02}Z\",\"n\":{n},\"host\":\"host{}\"}}\n", n % 60, n % 7);
    fs::write(folder.join("in.log"), (0..count).map(line).collect::<String>()).unwrap();
}

fn pipeline(node: &Node, options: &str) -> tempfile::TempDir {
    folder(&format!(
        "barrier: {{interval: 100ms}}
sources: {{a: {{type: file, paths: [in.log], follow: false, format: json, time: {{field: '@timestamp'}}}}}}
sinks: {{es: {{type: elasticsearch, inputs: [a], endpoints: ['{}'], {options}}}}}
",
        node.url()
    ))
}

/// kill -9 of tripline at some moments, then a run to the end: one document for each event.
fn killed_often(node: &Node, index: &str, options: &str) {
    const COUNT: usize = 30_000;
    let folder = pipeline(node, options);
    lines(folder.path(), COUNT);
    killed_after(folder.path(), &[150, 300, 200]);
    finished(folder.path(), &[]);
    assert_eq!(node.count(index), COUNT as u64);
}

/// A field that one event in so many has of another type: those and no others are in the dead letter, with the server's words.
fn mapping_conflict(node: &Node) {
    let mapping = r#"{"mappings":{"properties":{"n":{"type":"long"}}}}"#;
    assert_eq!(node.ask("PUT", "/strict", mapping).0, 200);
    let folder = pipeline(node, "index: strict");
    lines(folder.path(), 5000);
    let well = fs::read_to_string(folder.path().join("in.log")).unwrap();
    let one_of_a_hundred = |(n, line): (usize, &str)| {
        let bad = line.replace(&format!("\"n\":{n},"), &format!("\"n\":\"x{n}\","));
        if n % 100 == 77 { bad + "\n" } else { line.to_owned() + "\n" }
    };
    fs::write(folder.path().join("in.log"), well.lines().enumerate().map(one_of_a_hundred).collect::<String>()).unwrap();
    let wanted = 50;
    let (summary, _) = finished(folder.path(), &[]);
    assert_eq!((&summary["dead_letters"], &summary["out"]["es"]), (&wanted.into(), &(5000 - wanted).into()));
    assert_eq!(node.count("strict"), 5000 - wanted);
    let letters = fs::read_to_string(folder.path().join(".tripline/dead_letter/es.ndjson")).unwrap();
    assert_eq!(letters.lines().count() as u64, wanted);
    for letter in letters.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()) {
        assert!(letter["status"] == 400 && letter["reason"].as_str().unwrap().contains("failed to parse field [n]"), "{letter}");
        assert!(letter["event"]["n"].as_str().unwrap().starts_with('x'));
    }
}

/// An index that may not be written, by its owner's will and as the server closes it on a full disk: rows are held, and there when it is opened.
fn read_only(node: &Node) {
    assert_eq!(node.ask("PUT", "/closed", "").0, 200);
    let set = |block: &str, value: &str| {
        assert_eq!(node.ask("PUT", "/closed/_settings", &format!(r#"{{"index.blocks.{block}":{value}}}"#)).0, 200)
    };
    for (round, block, status) in [(1, "write", "403"), (2, "read_only_allow_delete", "429")] {
        set(block, "true");
        let folder = pipeline(node, "index: closed, batch: {bytes: 50KiB}, in_flight_max: 1, retry: {max: 100ms}");
        lines(folder.path(), 5000);
        let mut child = started(folder.path());
        let words = || fs::read_to_string(folder.path().join("words.log")).unwrap();
        until("the outage", || words().contains("sink_outage"));
        set(block, "null");
        assert!(child.wait().unwrap().success(), "{}", words());
        assert!(words().contains(&format!("puts rows off with {status}")) && words().contains("sink_recovered"), "{}", words());
        assert_eq!(node.count("closed"), round * 5000);
    }
}

/// The sink's own index template has said how the fields of an index are mapped.
fn mapped(node: &Node, index: &str) {
    let (status, found) = node.ask("GET", &format!("/{index}/_mapping"), "");
    let properties = &found.as_object().unwrap().values().next().unwrap()["mappings"]["properties"];
    assert_eq!((status, &properties["host"]["type"], &properties["n"]["type"]), (200, &"keyword".into(), &"long".into()), "{found}");
    assert_eq!(properties["message"]["type"], "text", "{found}");
}

/// The node dies in the middle and comes back: the run waits, and each event is there once.
fn restarted_in_the_middle(node: &Node) {
    const COUNT: usize = 100_000;
    let folder = pipeline(node, "index: restarted, compression: gzip, batch: {bytes: 200KiB}, retry: {max: 500ms}");
    lines(folder.path(), COUNT);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["run", "pipeline.yaml", "--admin", "off"]).current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    node.server.kill();
    std::thread::sleep(Duration::from_millis(500));
    assert!(node.server.up());
    let out = child.wait_with_output().unwrap();
    let words = text(&out.stderr);
    assert!(out.status.success(), "{words}");
    assert!(words.contains("sink_outage") && words.contains("sink_recovered"), "{words}");
    assert_eq!(node.count("restarted"), COUNT as u64);
}

#[test]
fn elasticsearch() {
    // A real shortage: the memory of requests under way is bounded far below what comes.
    let Some(node) = Node::start(&["node.sh", "es"], "indexing_pressure.memory.limit: 512kb") else { return };
    killed_often(&node, "killed", "index: killed, batch: {bytes: 100KiB}, in_flight_max: 16, retry: {min: 10ms, max: 200ms}");
    mapping_conflict(&node);
    read_only(&node);
    let folder = pipeline(&node, "index: 'mapped-{host}', install_template: true");
    lines(folder.path(), 100);
    finished(folder.path(), &[]);
    mapped(&node, "mapped-host3");
    let folder = pipeline(&node, "index: stormed, batch: {bytes: 300KiB}, in_flight_max: 16, retry: {min: 10ms, max: 100ms}");
    lines(folder.path(), 20_000);
    let (summary, words) = finished(folder.path(), &[]);
    assert_eq!((node.count("stormed"), &summary["dead_letters"]), (20_000, &0.into()));
    assert!(words.contains("429") && words.contains("sink_recovered"), "the server was never short: {words}");
}

/// TLS of a private authority, users and what their roles allow, as the real server has them.
#[test]
fn elasticsearch_with_tls_and_users() {
    let Some(certs) = certificates("node") else { return };
    let at = |name: &str| certs.path().join(name);
    fs::write(at("roles.yml"), "writer: {indices: [{names: ['open-*'], privileges: [auto_configure, create_doc, index]}]}\n").unwrap();
    fs::write(at("users"), "admin right-word superuser\nada right-word writer\n").unwrap();
    let Some(node) = Node::start_secure(certs.path(), "Basic YWRtaW46cmlnaHQtd29yZA==") else { return };
    let authority = format!("tls: {{ca: {}}}", at("ca.pem").display());
    let user = |name: &str, password: &str| format!("auth: {{user: {name}, password: {password}}}, retry: {{max: 100ms}}");
    let connect = |options: &str| {
        let folder = pipeline(&node, &format!("index: open-1, {options}"));
        lines(folder.path(), 10);
        said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]))
    };
    for (options, what) in [
        (user("ada", "right-word"), "certificate"),
        (format!("{authority}, {}", user("ada", "wrong-word")), "401"),
        (authority.clone(), "401"),
    ] {
        let words = connect(&options);
        assert!(words.contains(what) && words.contains("failed es:") && !words.contains("wrong-word"), "{options}: {words}");
    }
    let words = connect(&format!("{authority}, {}", user("admin", "right-word")));
    assert!(words.contains("ok     es: Elasticsearch 9."), "{words}");
    let words = connect(&format!("{authority}, {}", user("ada", "right-word")));
    assert!(words.contains("ok     es: Elasticsearch knows `ada`, and does not tell it its version"), "{words}");
    // With a wrong password nothing is lost, and the right one goes on where it stopped.
    let folder = pipeline(&node, &format!("index: open-1, {authority}, {}", user("ada", "wrong-word")));
    lines(folder.path(), 20_000);
    let mut child = started(folder.path());
    let words = || fs::read_to_string(folder.path().join("words.log")).unwrap();
    until("the outage", || words().contains("sink_outage"));
    assert!(words().contains("401") && !words().contains("wrong-word"), "{}", words());
    child.kill().and_then(|()| child.wait()).unwrap();
    let file = folder.path().join("pipeline.yaml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("wrong-word", "right-word")).unwrap();
    finished(folder.path(), &[]);
    assert_eq!(node.count("open-1"), 20_000);
    // What the role forbids is refused item by item: the others are there at once, and these when it is allowed.
    let folder = pipeline(&node, &format!("index: '{{host}}', {authority}, {}", user("ada", "right-word")));
    lines(folder.path(), 700);
    let text = fs::read_to_string(folder.path().join("in.log")).unwrap();
    fs::write(folder.path().join("in.log"), text.replace(":\"host3\"", ":\"closed-3\"").replace(":\"host", ":\"open-host")).unwrap();
    let mut child = started(folder.path());
    until("what is allowed", || node.count("open-*") == 20_600);
    until("the outage", || fs::read_to_string(folder.path().join("words.log")).unwrap().contains("sink_outage"));
    assert_eq!(node.count("closed-3"), 0);
    let words = fs::read_to_string(folder.path().join("words.log")).unwrap();
    assert!(words.contains("puts rows off with 403"), "{words}");
    child.kill().and_then(|()| child.wait()).unwrap();
    let file = folder.path().join("pipeline.yaml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("user: ada", "user: admin")).unwrap();
    let (summary, _) = finished(folder.path(), &[]);
    assert_eq!((node.count("open-*"), node.count("closed-3"), &summary["dead_letters"]), (20_600, 100, &0.into()));
    api_keys(&node, &authority);
}

/// Keys that the server makes: one that it took back loses nothing and stands in no word; the new one is taken where the old one stood, at SIGHUP.
fn api_keys(node: &Node, authority: &str) {
    let made = || {
        let role = r#"{"indices":[{"names":["keyed"],"privileges":["auto_configure","create_doc"]}]}"#;
        let (status, key) =
            node.ask("POST", "/_security/api_key", &format!(r#"{{"name":"tripline","role_descriptors":{{"writer":{role}}}}}"#));
        assert_eq!(status, 200, "{key}");
        ["id", "encoded"].map(|field| key[field].as_str().unwrap().to_owned())
    };
    let ([id, taken_back], [_, good]) = (made(), made());
    let (status, reply) = node.ask("DELETE", "/_security/api_key", &format!(r#"{{"ids":["{id}"]}}"#));
    assert_eq!((status, reply["invalidated_api_keys"].as_array().map(Vec::len)), (200, Some(1)), "{reply}");
    let folder = pipeline(node, &format!("index: keyed, {authority}, auth: {{api_key: {{file: key}}}}, retry: {{max: 100ms}}"));
    let file = folder.path().join("pipeline.yaml");
    fs::write(&file, format!("stop_timeout: 1s\n{}", fs::read_to_string(&file).unwrap())).unwrap();
    lines(folder.path(), 20_000);
    let key = folder.path().join("key");
    fs::write(&key, format!("{taken_back}\n")).unwrap();
    let connect = || said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
    let refused = connect();
    assert!(refused.contains("failed es:") && refused.contains("401") && !refused.contains(&taken_back), "{refused}");
    let child = started(folder.path());
    let words = || fs::read_to_string(folder.path().join("words.log")).unwrap();
    until("the outage", || words().contains("sink_outage"));
    assert_eq!(node.count("keyed"), 0);
    fs::write(&key, format!("{good}\n")).unwrap();
    signal(&child, "HUP");
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && words().contains("401"), "{}", words());
    assert!(!words().contains(&taken_back) && !words().contains(&good), "{}", words());
    assert_eq!(node.count("keyed"), 20_000);
    let taken = connect();
    assert!(taken.contains("ok     es: Elasticsearch knows `admin` by its API key `tripline`"), "{taken}");
}

#[test]
fn opensearch() {
    let Some(node) = Node::start(&["node.sh", "os"], "") else { return };
    killed_often(
        &node,
        "logs-auth-default",
        "data_stream: logs-auth-default, install_template: true, compression: gzip, batch: {bytes: 100KiB}",
    );
    mapped(&node, "logs-auth-default");
    mapping_conflict(&node);
    restarted_in_the_middle(&node);
    // An alias that nobody made is no reason to lose what was meant for it.
    let folder = pipeline(&node, "alias: nowhere, batch: {rows: 10}");
    lines(folder.path(), 20);
    let (summary, _) = finished(folder.path(), &[]);
    assert_eq!(summary["dead_letters"], 20);
    let letters = fs::read_to_string(folder.path().join(".tripline/dead_letter/es.ndjson")).unwrap();
    assert!(letters.lines().all(|l| l.contains("\"status\":404")), "{letters}");
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
    assert!(words.contains("ok     es: OpenSearch 3.8.0, cluster `test`"), "{words}");
}
