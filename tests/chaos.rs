//! Kafka or files → tripline → Elasticsearch, real ones, while each of them dies. `CHAOS=2000000 cargo test --release --test chaos` for more events.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
mod outside;
mod server;

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use outside::{folder, started, stopped, until};
use serde_json::Value;
use server::broker::Broker;
use server::node::Node;

const PARTITIONS: i32 = 4;
const KILLS: usize = 20;

/// One of a thousand has text where the index wants a number; each address fails three times in a row, which is one alert.
fn message(n: usize) -> (i32, String) {
    let host = n / 3;
    let value = if n % 1000 == 500 { format!("\"x{n}\"") } else { n.to_string() };
    let second = n / 100;
    let time = format!("2026-11-25T{:02}:{:02}:{:02}.{:02}Z", second / 3600 % 24, second / 60 % 60, second % 60, n % 100);
    (
        host as i32 % PARTITIONS,
        format!("{{\"@timestamp\":\"{time}\",\"n\":{value},\"ip\":\"10.{}.{}.{}\"}}", host >> 16, host >> 8 & 255, host & 255),
    )
}

#[test]
fn each_event_is_there_once_whatever_dies() {
    let events: usize = std::env::var("CHAOS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000) / 3000 * 3000;
    let Some(broker) = Broker::start() else { return };
    let Some(node) = Node::start(&["node.sh", "es"], "thread_pool.write.queue_size: 4") else { return };
    broker.topic("events", PARTITIONS);
    assert_eq!(node.ask("PUT", "/events", r#"{"mappings":{"properties":{"n":{"type":"long"}}}}"#).0, 200);
    let folder = folder(&format!(
        "barrier: {{interval: 200ms}}
sources:
  k: {{type: kafka, brokers: ['{}'], topics: [events], group: chaos, instance: one, format: json, time: {{field: '@timestamp', lateness: 1h}}}}
correlations:
  three: {{type: threshold, inputs: [k], by: [ip], within: 1h, count: 3}}
sinks:
  es: {{type: elasticsearch, inputs: [k], endpoints: ['{url}'], index: events, batch: {{bytes: 300KiB}}, in_flight_max: 8, retry: {{max: 500ms}}}}
  alerts: {{type: elasticsearch, inputs: [three], endpoints: ['{url}'], index: alerts, retry: {{max: 500ms}}}}
",
        broker.address(),
        url = node.url()
    ));
    let since = Instant::now();
    let mut child = started(folder.path());
    let part = events / (KILLS + 2);
    for kill in 0..KILLS {
        broker.send("events", (kill * part..(kill + 1) * part).map(message));
        // Moments that differ: in the first breath, in the middle, when all is quiet.
        std::thread::sleep(Duration::from_millis([50, 300, 700, 1300, 150][kill % 5]));
        match kill {
            7 => broker.0.kill(),
            13 => node.server.kill(),
            _ => {}
        }
        child.kill().unwrap();
        child.wait().unwrap();
        match kill {
            7 => assert!(broker.0.up()),
            13 => assert!(node.server.up()),
            _ => {}
        }
        child = started(folder.path());
    }
    broker.send("events", (KILLS * part..events).map(message));
    let rejected = (0..events).filter(|n| n % 1000 == 500).count();
    let wanted = (events - rejected) as u64;
    while node.count("events") < wanted {
        assert!(since.elapsed() < Duration::from_secs(240), "{} of {wanted} events", node.count("events"));
        std::thread::sleep(Duration::from_millis(300));
    }
    // What would come twice has time to come.
    std::thread::sleep(Duration::from_secs(3));
    stopped(child, folder.path());
    let letters = fs::read_to_string(folder.path().join(".tripline/dead_letter/es.ndjson")).unwrap();
    let mut refused: Vec<Value> = letters.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    refused.sort_by_key(|l| l["event"]["n"].as_str().unwrap().to_owned());
    refused.dedup_by_key(|l| l["event"]["n"].clone());
    let counted = (node.count("events"), letters.lines().count(), refused.len());
    println!(
        "{events} events, {KILLS} kills, {:.0} s: {counted:?} documents, letters, different letters, {} alerts",
        since.elapsed().as_secs_f64(),
        node.count("alerts")
    );
    assert_eq!(counted, (wanted, rejected, rejected));
    assert!(refused.iter().all(|l| l["status"] == 400 && l["reason"].as_str().unwrap().contains("failed to parse field [n]")));
    // Lateness holds the last alerts back; a run to the end closes nothing that is open, and gives those that are due.
    outside::finished(folder.path(), &["--until-end"]);
    assert_eq!(node.count("alerts"), events as u64 / 3, "alerts");
}

/// Files that are renamed, packed, and copied and truncated while they are read, and tripline killed meanwhile.
#[test]
fn each_line_of_rotated_files_is_there_once() {
    const PARTS: usize = 24;
    let events: usize = std::env::var("CHAOS").ok().and_then(|n| n.parse().ok()).unwrap_or(120_000) / PARTS * PARTS;
    let Some(node) = Node::start(&["node.sh", "es"], "") else { return };
    let folder = folder(&format!(
        "barrier: {{interval: 100ms}}
sources: {{a: {{type: file, paths: ['logs/app.log*'], format: json, time: {{field: '@timestamp'}}}}}}
sinks: {{es: {{type: elasticsearch, inputs: [a], endpoints: ['{}'], index: rotated, batch: {{bytes: 200KiB}}, in_flight_max: 8, retry: {{max: 500ms}}}}}}
",
        node.url()
    ));
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let current = logs.join("app.log");
    let mut child = started(folder.path());
    let since = Instant::now();
    for part in 0..PARTS {
        // In small writes, so that lines are read while they are written.
        for numbers in (part * events / PARTS..(part + 1) * events / PARTS).collect::<Vec<_>>().chunks(500) {
            let text: String = numbers.iter().map(|n| format!("{{\"@timestamp\":\"2026-11-25T00:00:00Z\",\"n\":{n}}}\n")).collect();
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&current).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
        std::thread::sleep(Duration::from_millis([0, 150, 400, 30][part % 4]));
        let old = logs.join(format!("app.log.{part}"));
        match part % 3 {
            0 => fs::rename(&current, &old).unwrap(),
            1 => {
                fs::rename(&current, &old).unwrap();
                // What was rotated before is packed now, as logrotate's delaycompress does.
                assert!(Command::new("gzip").arg(logs.join(format!("app.log.{}", part - 1))).status().unwrap().success());
            }
            _ => {
                fs::copy(&current, &old).unwrap();
                fs::OpenOptions::new().write(true).truncate(true).open(&current).unwrap();
            }
        }
        if part % 2 == 0 {
            child.kill().unwrap();
            child.wait().unwrap();
            child = started(folder.path());
        }
    }
    until("all lines", || node.count("rotated") >= events as u64);
    // What would come twice has time to come.
    std::thread::sleep(Duration::from_secs(2));
    stopped(child, folder.path());
    println!("{events} lines, {PARTS} rotations, {} kills, {:.0} s", PARTS / 2, since.elapsed().as_secs_f64());
    assert_eq!(node.count("rotated"), events as u64);
    // Documents are as many as lines: that they are one for each line is asked of their numbers.
    let asked = r#"{"size":0,"aggs":{"sum":{"sum":{"field":"n"}}}}"#;
    let found = node.ask("POST", "/rotated/_search", asked).1;
    let sum = (events as f64) * (events as f64 - 1.0) / 2.0;
    assert_eq!(found["aggregations"]["sum"]["value"].as_f64(), Some(sum), "{found}");
}
