//! P8: a real Kafka broker → RFC 5424 → map → `_bulk` into a peer that answers at once: processor time for each event, against a bare poll loop of the
//! client library. Needs what `tests/services/kafka.sh` needs.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a bench that cannot start says so

mod common;
#[path = "../tests/server/mod.rs"]
mod server;
#[path = "../tests/wire/mod.rs"]
mod wire;

use std::cell::Cell;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Bench, Measured, cpu_of_children, outcome_map, rfc5424};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use server::broker::Broker;

const PARTITIONS: i32 = 4;

/// The reference: takes all messages of a topic and counts their bytes.
fn poll(address: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address).set("group.id", "bare").set("enable.auto.commit", "false");
    config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "true").set("fetch.queue.backoff.ms", "5");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&["lines"]).unwrap();
    let (mut ended, mut bytes) = (0, 0);
    while ended < PARTITIONS {
        match consumer.poll(Duration::from_secs(10)) {
            // An event of the group was heard.
            None => {}
            Some(Ok(message)) => bytes += message.payload_len(),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(e)) => panic!("{e}"),
        }
    }
    std::hint::black_box(bytes);
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|w| w == "--poll") {
        return poll(&words[at + 1]);
    }
    let mut bench = Bench::new("kafka", false);
    let n: u64 = if bench.quick { 300_000 } else { 1_000_000 };
    let Some(broker) = Broker::start() else { return };
    broker.topic("lines", PARTITIONS);
    let text = rfc5424(n);
    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    broker.send("lines", lines.enumerate().map(|(at, line)| (at as i32 % PARTITIONS, String::from_utf8_lossy(line).into_owned())));
    let peer = wire::listen(|asked| match asked.method.as_str() {
        "POST" => Some((200, "{\"errors\":false}".to_owned())),
        _ => Some((200, "{\"version\":{\"number\":\"9.0.0\"}}".to_owned())),
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("map.csv"), outcome_map()).unwrap();
    let pipeline = |group: u32| {
        format!(
            "sources: {{k: {{type: kafka, brokers: ['{}'], topics: [lines], group: g{group}, format: syslog, time: {{field: timestamp}}}}}}
transforms: {{m: {{type: map, inputs: [k], files: [map.csv]}}}}
sinks: {{es: {{type: elasticsearch, inputs: [m], endpoints: ['{peer}'], index: logs, original: false}}}}
",
            broker.address()
        )
    };
    let (ours_cpu, reference_cpu, group) = (Cell::new(0.0), Cell::new(0.0), Cell::new(0));
    let timed = |command: &mut Command, cpu: &Cell<f64>| {
        let before = cpu_of_children();
        let out = command.stdin(Stdio::null()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        cpu.set(cpu.get() + cpu_of_children() - before);
    };
    let ours = || {
        group.set(group.get() + 1);
        std::fs::write(folder.path().join("pipeline.yaml"), pipeline(group.get())).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        command.args(["run", "pipeline.yaml", "--fresh", "--until-end", "--admin", "off"]).current_dir(folder.path());
        timed(&mut command, &ours_cpu);
    };
    let reference = || timed(Command::new(std::env::current_exe().unwrap()).args(["--poll", &broker.address()]), &reference_cpu);
    bench.interleave(ours, reference);
    let runs = (bench.runs() + 1) as f64;
    let m = Measured { ours_ns: ours_cpu.get() / runs, reference_ns: reference_cpu.get() / runs, allocations: 0 };
    bench.report("CPU, Kafka to _bulk / poll loop", "CPU of BaseConsumer::poll", n, text.len() as u64, &m);
    bench.end();
}
