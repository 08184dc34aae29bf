//! Kafka to Kafka in transactions, against a real broker: readers of committed messages see each event once, in its order, whatever is killed.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
mod outside;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use outside::{finished, folder, killed_after, said, started, stopped, tripline, until};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::message::Message as _;
use serde_json::Value;
use server::broker::{Broker, TIMEOUT, wait_for};

const PARTITIONS: i32 = 4;

/// What readers of committed messages see of a topic, each partition in its order.
fn committed(broker: &Broker, topic: &str) -> Vec<Value> {
    broker.messages(topic, PARTITIONS).iter().map(|message| serde_json::from_slice(message.payload().unwrap()).unwrap()).collect()
}

/// Each number once, and those of one source partition in their order: they have one key.
fn assert_each_once(rows: &[Value], wanted: usize) {
    let mut seen = vec![0u32; wanted];
    let mut last: BTreeMap<u64, u64> = BTreeMap::new();
    for row in rows {
        let (n, p) = (row["n"].as_u64().unwrap(), row["p"].as_u64().unwrap());
        seen[n as usize] += 1;
        let before = last.insert(p, n);
        assert!(before.is_none_or(|before| before < n), "{n} of partition {p} comes after {before:?}");
    }
    let wrong: Vec<(usize, &u32)> = seen.iter().enumerate().filter(|(_, count)| **count != 1).take(5).collect();
    assert!(wrong.is_empty(), "{} rows of {wanted}; number and count: {wrong:?}", rows.len());
}

fn numbered(from: usize, to: usize) -> impl Iterator<Item = (i32, String)> {
    (from..to).map(|n| (n as i32 % PARTITIONS, format!("{{\"n\":{n},\"p\":{}}}", n as i32 % PARTITIONS)))
}

/// A pipeline from a topic to a topic.
fn pipeline(broker: &Broker, from: &str, options: &str) -> tempfile::TempDir {
    folder(&format!(
        "barrier: {{interval: 100ms}}
sources: {{k: {{type: kafka, brokers: ['{0}'], topics: [{from}], group: {from}, format: json}}}}
sinks: {{o: {{type: kafka, inputs: [k], brokers: ['{0}'], key: '{{p}}', batch: {{rows: 500}}, {options}}}}}
",
        broker.address()
    ))
}

/// Moments that differ, from a seed.
fn moments(count: usize, most: u64) -> impl Iterator<Item = Duration> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..count).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        Duration::from_millis(50 + state % most)
    })
}

#[test]
fn each_event_is_seen_once_through_kills() {
    let Some(broker) = Broker::start() else { return };
    let count: usize = std::env::var("CHAOS").ok().and_then(|n| n.parse().ok()).unwrap_or(60_000);
    const KILLS: usize = 20;
    broker.topic("in", PARTITIONS);
    broker.topic("out", PARTITIONS);
    let folder = pipeline(&broker, "in", "topic: out, transactional: true");
    let since = Instant::now();
    let mut child = started(folder.path());
    let part = count / (KILLS + 1);
    for (kill, moment) in moments(KILLS, 1_200).enumerate() {
        broker.send("in", numbered(kill * part, (kill + 1) * part));
        std::thread::sleep(moment);
        // The broker dies once, too.
        if kill == 10 {
            broker.0.kill();
            assert!(broker.0.up());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        child = started(folder.path());
    }
    broker.send("in", numbered(KILLS * part, count));
    until("the last event", || committed(&broker, "out").len() >= count);
    stopped(child, folder.path());
    println!("{count} events, {KILLS} kills, {:.0} s", since.elapsed().as_secs_f64());
    assert_each_once(&committed(&broker, "out"), count);
    // What another folder finds: the group's offsets came with the messages.
    let other = pipeline(&broker, "in", "topic: out, transactional: other");
    assert_eq!(finished(other.path(), &["--until-end"]).0["in"]["k"], 0);
    assert_each_once(&committed(&broker, "out"), count);
}

/// Members of one group, each with its own state folder: one is killed, others come, and nothing is seen twice.
#[test]
fn members_of_a_group_share_the_work() {
    let Some(broker) = Broker::start() else { return };
    const COUNT: usize = 40_000;
    broker.topic("shared", PARTITIONS);
    broker.topic("out", PARTITIONS);
    let members: Vec<tempfile::TempDir> = (0..3).map(|_| pipeline(&broker, "shared", "topic: out, transactional: true")).collect();
    let first = started(members[0].path());
    let mut second = started(members[1].path());
    for part in 0..20 {
        broker.send("shared", numbered(part * 1000, (part + 1) * 1000));
        std::thread::sleep(Duration::from_millis(150));
    }
    until("the first half", || committed(&broker, "out").len() == COUNT / 2);
    broker.send("shared", numbered(COUNT / 2, COUNT * 3 / 4));
    second.kill().unwrap();
    second.wait().unwrap();
    let third = started(members[2].path());
    broker.send("shared", numbered(COUNT * 3 / 4, COUNT));
    until("the second half", || committed(&broker, "out").len() >= COUNT);
    // The one that was killed comes back to a group that has gone on.
    let second = started(members[1].path());
    std::thread::sleep(Duration::from_secs(4));
    for (child, member) in [(first, 0), (second, 1), (third, 2)] {
        stopped(child, members[member].path());
    }
    assert_each_once(&committed(&broker, "out"), COUNT);
}

/// From a file, whose position only the state folder knows.
#[test]
fn a_file_goes_in_once() {
    let Some(broker) = Broker::start() else { return };
    const COUNT: usize = 30_000;
    broker.topic("out", PARTITIONS);
    let folder = pipeline(&broker, "in", "topic: out, transactional: of-the-file");
    let file = folder.path().join("pipeline.yaml");
    let yaml = fs::read_to_string(&file).unwrap();
    let source = "sources: {k: {type: file, paths: [in.log], format: json}}";
    let lines: Vec<&str> = yaml.lines().map(|line| if line.starts_with("sources:") { source } else { line }).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    fs::write(folder.path().join("in.log"), numbered(0, COUNT).map(|(_, line)| line + "\n").collect::<String>()).unwrap();
    killed_after(folder.path(), &[300, 500, 200, 700, 350, 450, 600, 250]);
    finished(folder.path(), &["--until-end"]);
    assert_each_once(&committed(&broker, "out"), COUNT);
}

#[test]
fn what_a_broker_refuses_goes_to_the_dead_letter_and_nothing_else_does() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("big", PARTITIONS);
    let small = NewTopic::new("small", PARTITIONS, TopicReplication::Fixed(1)).set("max.message.bytes", "2000");
    wait_for(broker.admin().create_topics([&small], &AdminOptions::new().operation_timeout(Some(TIMEOUT)))).unwrap();
    let event = |n: usize| {
        let pad = if n % 300 == 7 { "x".repeat(3000) } else { String::new() };
        let topic = if n % 60 == 8 { "no topic" } else { "small" };
        (n as i32 % PARTITIONS, format!("{{\"n\":{n},\"p\":{},\"t\":\"{topic}\",\"pad\":\"{pad}\"}}", n as i32 % PARTITIONS))
    };
    broker.send("big", (0..600).map(event));
    let folder = pipeline(&broker, "big", "topic: '{t}', transactional: true, batch: {rows: 1}");
    let file = folder.path().join("pipeline.yaml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("batch: {rows: 500}, ", "")).unwrap();
    let (summary, words) = finished(folder.path(), &["--until-end"]);
    assert!(words.contains("rewound"), "{words}");
    let letters = fs::read_to_string(folder.path().join(".tripline/dead_letter/o.ndjson")).unwrap();
    let reasons: Vec<String> =
        letters.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()["reason"].as_str().unwrap().to_owned()).collect();
    let of = |what: &str| reasons.iter().filter(|r| r.contains(what)).count();
    assert_eq!((reasons.len(), of("MessageSizeTooLarge"), of("`no topic` is no name of a topic")), (12, 2, 10), "{summary} {reasons:?}");
    let rows = committed(&broker, "small");
    assert_eq!(rows.len(), 588);
}

#[test]
fn whoever_comes_later_with_the_same_id_takes_it_over() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("fence", PARTITIONS);
    broker.topic("out", PARTITIONS);
    let mut folders = (0..2).map(|_| pipeline(&broker, "fence", "topic: out, transactional: same"));
    let (older, newer) = (folders.next().unwrap(), folders.next().unwrap());
    let mut first = started(older.path());
    broker.send("fence", numbered(0, 1000));
    until("the first events", || committed(&broker, "out").len() == 1000);
    // Looking whether the brokers are there takes nobody's place.
    let words = said(&tripline(newer.path(), &["check", "pipeline.yaml", "--connect"]));
    assert!(words.contains("ok     o: cluster"), "{words}");
    broker.send("fence", numbered(1000, 1040));
    until("what follows", || committed(&broker, "out").len() == 1040);
    let second = started(newer.path());
    let mut sent = 1040;
    until("the end of the older one", || {
        broker.send("fence", numbered(sent, sent + 40));
        sent += 40;
        std::thread::sleep(Duration::from_millis(100));
        first.try_wait().unwrap().is_some()
    });
    let words = fs::read_to_string(older.path().join("words.log")).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(1), "{words}");
    assert!(words.contains("another process has begun to use this transactional id"), "{words}");
    until("all events", || committed(&broker, "out").len() >= sent);
    stopped(second, newer.path());
    assert_each_once(&committed(&broker, "out"), sent);
}

#[test]
fn a_place_that_was_taken_is_not_taken_back() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("held", PARTITIONS);
    broker.topic("free", PARTITIONS);
    broker.topic("out", PARTITIONS);
    let options = "topic: out, transactional: same";
    let (older, newer) = (pipeline(&broker, "held", options), pipeline(&broker, "free", options));
    // A second sink that cannot write holds the epoch up until the transaction is too old, and the run goes back.
    let text = fs::read_to_string(older.path().join("pipeline.yaml")).unwrap();
    let stuck = "sinks: {e: {type: file, inputs: [k], path: '{p}/out', retry: {max: 1s}}, ";
    fs::write(older.path().join("pipeline.yaml"), text.replace("sinks: {", stuck)).unwrap();
    let in_its_way: Vec<_> = (0..PARTITIONS).map(|p| older.path().join(p.to_string())).collect();
    in_its_way.iter().for_each(|file| fs::write(file, "").unwrap());
    let mut first = started(older.path());
    broker.send("held", numbered(0, 40));
    let words = || fs::read_to_string(older.path().join("words.log")).unwrap();
    until("the outage", || words().contains("sink_outage"));
    let since = Instant::now();
    let second = started(newer.path());
    broker.send("free", numbered(0, 1000));
    until("the first events", || committed(&broker, "out").len() == 1000);
    std::thread::sleep(Duration::from_secs(16).saturating_sub(since.elapsed()));
    in_its_way.iter().for_each(|file| fs::remove_file(file).unwrap());
    until("the end of the older one", || first.try_wait().unwrap().is_some());
    assert_eq!(first.wait().unwrap().code(), Some(1), "{}", words());
    assert!(words().contains("another process has begun to use this transactional id"), "{}", words());
    broker.send("free", numbered(1000, 1040));
    until("what follows", || committed(&broker, "out").len() == 1040);
    stopped(second, newer.path());
    assert_each_once(&committed(&broker, "out"), 1040);
}

#[test]
fn what_a_transaction_cannot_hold_is_refused() {
    let folder = folder(
        "sources: {a: {type: stdin}}
sinks:
  one: {type: kafka, inputs: [a], brokers: ['k:9092'], topic: t, transactional: true, buffer: {disk: 1GiB}}
  two: {type: kafka, inputs: [a], brokers: ['k:9092'], topic: u, transactional: id, acks: '1'}
",
    );
    let out = tripline(folder.path(), &["check", "pipeline.yaml"]);
    let words = said(&out);
    assert_eq!(out.status.code(), Some(2), "{words}");
    for part in [
        ":3:95: error[transaction]: what waits in a disk buffer cannot stand in a transaction",
        ":4:92: error[bad_value]: a transaction wants all brokers, and `acks` is `1`",
        "error[transaction]: `one` is transactional too, and one transaction holds an epoch",
    ] {
        assert!(words.contains(part), "{part}\n{words}");
    }
}
