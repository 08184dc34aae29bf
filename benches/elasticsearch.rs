//! P8c: a real Kafka broker → RFC 5424 → map → `_bulk` into a real Elasticsearch: events a second, against a loop that posts the same bodies, ready made,
//! as many at a time. On both sides from the first landed body on: the start of a program, and a group's of Kafka, is not in it. Needs what `tests/services/kafka.sh` and `tests/services/node.sh` need.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a bench that cannot start says so

mod common;
#[path = "../tests/server/mod.rs"]
mod server;
#[path = "../tests/wire/mod.rs"]
mod wire;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Bench, Measured, median, outcome_map, rfc5424};
use server::broker::Broker;
use server::node::Node;

const PARTITIONS: i32 = 4;
/// Bodies under way at once, on both sides.
const IN_FLIGHT: usize = 4;

/// As the vendor advises for logs: seldom refreshed, texts as keywords.
const INDEX: &str = r#"{"settings": {"refresh_interval": "30s", "number_of_replicas": 0},
    "mappings": {"dynamic_templates": [{"texts": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": 1024}}}]}}"#;

/// Reads the topic into `_bulk` at `address`.
fn run(folder: &Path, broker: &Broker, address: &str, group: u32) {
    let pipeline = format!(
        "sources: {{k: {{type: kafka, brokers: ['{}'], topics: [lines], group: g{group}, format: syslog, time: {{field: timestamp}}}}}}
transforms: {{m: {{type: map, inputs: [k], files: [map.csv]}}}}
sinks: {{es: {{type: elasticsearch, inputs: [m], endpoints: ['{address}'], index: logs, original: false, in_flight_max: {IN_FLIGHT}}}}}
",
        broker.address()
    );
    std::fs::write(folder.join("pipeline.yaml"), pipeline).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["run", "pipeline.yaml", "--fresh", "--until-end", "--admin", "off"]).current_dir(folder);
    let out = command.stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// The reference: posts the bodies.
fn post(node: &Node, bodies: &[String]) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..IN_FLIGHT {
            threads.spawn(|| {
                while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (status, reply) = node.ask("POST", "/_bulk?filter_path=errors", body);
                    assert_eq!((status, reply["errors"].as_bool()), (200, Some(false)), "{reply}");
                }
            });
        }
    });
}

fn main() {
    let mut bench = Bench::new("elasticsearch", false);
    let n: u64 = if bench.quick { 200_000 } else { 600_000 };
    let Some(broker) = Broker::start() else { return };
    let Some(node) = Node::start(&["node.sh", "es"], "--heap=2g") else { return };
    broker.topic("lines", PARTITIONS);
    let text = rfc5424(n);
    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    broker.send("lines", lines.enumerate().map(|(at, line)| (at as i32 % PARTITIONS, String::from_utf8_lossy(line).into_owned())));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("map.csv"), outcome_map()).unwrap();
    // What tripline sends, taken down once.
    let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
    let taken = Arc::clone(&bodies);
    let peer = wire::listen(move |asked| match asked.method.as_str() {
        "POST" => {
            taken.lock().unwrap().push(String::from_utf8(asked.body).unwrap());
            Some((200, "{\"errors\":false}".to_owned()))
        }
        _ => Some((200, "{\"version\":{\"number\":\"9.0.0\"}}".to_owned())),
    });
    run(folder.path(), &broker, &peer, 0);
    let bodies = std::mem::take(&mut *bodies.lock().unwrap());
    let mut group = 0;
    // Nanoseconds for all events, at the pace of those behind the first body.
    let timed = |work: &(dyn Fn() + Sync)| {
        node.ask("DELETE", "/logs", "");
        assert_eq!(node.ask("PUT", "/logs", INDEX).0, 200);
        let (landed, start) = std::thread::scope(|threads| {
            let first = threads.spawn(|| {
                loop {
                    let stats = node.ask("GET", "/logs/_stats/indexing?filter_path=_all.primaries.indexing.index_total", "").1;
                    match stats.pointer("/_all/primaries/indexing/index_total").and_then(serde_json::Value::as_u64) {
                        Some(landed @ 1..) => return (landed, Instant::now()),
                        _ => std::thread::sleep(Duration::from_millis(20)),
                    }
                }
            });
            work();
            first.join().unwrap()
        });
        let took = start.elapsed().as_nanos() as f64;
        assert_eq!(node.count("logs"), n);
        took * n as f64 / (n - landed) as f64
    };
    let (mut ours, mut reference) = (Vec::new(), Vec::new());
    for _ in 0..bench.runs().min(5) {
        group += 1;
        ours.push(timed(&|| run(folder.path(), &broker, &node.url(), group)));
        reference.push(timed(&|| post(&node, &bodies)));
    }
    let m = Measured { ours_ns: median(ours), reference_ns: median(reference), allocations: 0 };
    bench.report("Kafka to Elasticsearch / ready-made bodies", "posts alone", n, text.len() as u64, &m);
    bench.end();
}
