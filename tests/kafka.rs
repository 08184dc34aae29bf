//! Kafka against a real broker. What cannot be had here is said as `skipped: …`; with `TRIPLINE_REQUIRE_SERVICES=1` a skip is a failure.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
mod outside;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use outside::{finished, folder, killed_after, said, started, stopped, text, tripline, until};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;
use server::Server;
use server::broker::{Broker, TIMEOUT, wait_for};
use server::certificates::certificates;

/// What the tests ask of a broker besides.
trait Asked {
    fn pipeline(&self, topic: &str, options: &str, rest: &str) -> tempfile::TempDir;
}

impl Asked for Broker {
    fn pipeline(&self, topic: &str, options: &str, rest: &str) -> tempfile::TempDir {
        folder(&format!(
            "barrier: {{interval: 100ms}}
sources: {{k: {{type: kafka, brokers: ['{}'], topics: [{topic}], group: {topic}, format: json, {options}}}}}
{rest}
",
            self.address()
        ))
    }
}

const TO_FILE: &str = "sinks: {o: {type: file, inputs: [k], path: out.ndjson, meta: true}}";

fn numbered(partitions: i32, from: usize, to: usize) -> impl Iterator<Item = (i32, String)> {
    (from..to).map(move |n| (n as i32 % partitions, format!("{{\"n\":{n},\"text\":\"message {n}\"}}")))
}

/// Reads to the end of what is there now.
fn run(folder: &Path) -> (Value, String) {
    finished(folder, &["--until-end"])
}

fn rows(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("out.ndjson")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn count(folder: &Path) -> usize {
    fs::read(folder.join("out.ndjson")).unwrap_or_default().iter().filter(|b| **b == b'\n').count()
}

/// Each of the numbers once, and in order within each partition.
fn assert_each_once(rows: &[Value], wanted: usize) {
    let mut seen = vec![0u32; wanted];
    let mut last: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let (n, meta) = (row["n"].as_u64().unwrap(), &row["tripline"]);
        seen[n as usize] += 1;
        let (partition, position) = (meta["partition"].as_str().unwrap(), meta["position"].as_u64().unwrap());
        let before = last.insert(partition, (position, n));
        let is_next = before.is_none_or(|(at, number)| at < position && number < n);
        assert!(is_next, "{partition} is out of order at {position}, number {n}, behind (position, number) {before:?}");
    }
    let wrong: Vec<(usize, &u32)> = seen.iter().enumerate().filter(|(_, count)| **count != 1).take(5).collect();
    assert!(wrong.is_empty(), "{} rows of {wanted}; number and count: {wrong:?}", rows.len());
}

#[test]
fn each_message_is_read_once_through_kills() {
    let Some(broker) = Broker::start() else { return };
    const COUNT: usize = 60_000;
    broker.topic("kills", 4);
    broker.send("kills", numbered(4, 0, COUNT));
    let folder = broker.pipeline("kills", "", TO_FILE);
    killed_after(folder.path(), &[400, 700, 500, 900]);
    run(folder.path());
    assert_each_once(&rows(folder.path()), COUNT);
    // What came since is read by a further run, and no more.
    broker.send("kills", numbered(4, COUNT, COUNT + 10));
    let (summary, _) = run(folder.path());
    assert_eq!(summary["in"]["k"], 10);
    assert_each_once(&rows(folder.path()), COUNT + 10);
    // Another folder goes on where the group has come to.
    let other = broker.pipeline("kills", "", TO_FILE);
    assert_eq!(run(other.path()).0["in"]["k"], 0);

    // A broker that dies and comes back: the run waits for it.
    let child = started(folder.path());
    std::thread::sleep(Duration::from_secs(1));
    broker.0.kill();
    std::thread::sleep(Duration::from_secs(1));
    assert!(broker.0.up());
    broker.send("kills", numbered(4, COUNT + 10, COUNT + 1000));
    until("the rest", || count(folder.path()) == COUNT + 1000);
    let words = stopped(child, folder.path());
    assert!(words.contains("source_outage") && words.contains("source_recovered"), "{words}");
    assert_each_once(&rows(folder.path()), COUNT + 1000);
}

/// The same behind a disk buffer, which the offsets do not run ahead of.
#[test]
fn a_disk_buffer_behind_it_repeats_nothing() {
    let Some(broker) = Broker::start() else { return };
    const COUNT: usize = 40_000;
    broker.topic("journal", 3);
    broker.send("journal", numbered(3, 0, COUNT));
    let rest = "transforms: {t: {type: set, inputs: [k], fields: {seen: n}, buffer: {disk: 64MiB}}}
sinks: {o: {type: file, inputs: [t], path: out.ndjson, meta: true}}";
    let folder = broker.pipeline("journal", "", rest);
    killed_after(folder.path(), &[400, 600, 500, 700]);
    run(folder.path());
    assert_each_once(&rows(folder.path()), COUNT);
    // Another member goes on where this one has come to: all that was read is committed.
    let other = broker.pipeline("journal", "", rest);
    assert_eq!(run(other.path()).0["in"]["k"], 0);
    broker.send("journal", numbered(3, COUNT, COUNT + 90));
    run(folder.path());
    assert_each_once(&rows(folder.path()), COUNT + 90);
}

#[test]
fn what_is_known_of_a_message_can_be_read() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("facts", 2);
    let producer: BaseProducer = broker.config().create().unwrap();
    let headers =
        OwnedHeaders::new().insert(Header { key: "host", value: Some("a") }).insert(Header { key: "host", value: Some("b\u{e9}") });
    let record = BaseRecord::to("facts").partition(1).key("k\"1").payload("{\"a\":1}").headers(headers).timestamp(1_772_000_000_123);
    producer.send(record).unwrap();
    producer.send(BaseRecord::<str, str>::to("facts").partition(1).key("tombstone")).unwrap();
    producer.send(BaseRecord::<str, str>::to("facts").partition(1).payload("{\"a\":2}").timestamp(1_772_000_001_000)).unwrap();
    producer.flush(TIMEOUT).unwrap();
    let set =
        "transforms: {s: {type: set, inputs: [k], fields: {topic: kafka.topic, p: kafka.partition, o: kafka.offset, at: kafka.timestamp, \
               key: kafka.key, host: kafka.headers.host, none: kafka.headers.none}}}
sinks:
  o: {type: file, inputs: [s], path: out.ndjson}
  plain: {type: file, inputs: [k], path: plain.ndjson, meta: true}";
    let folder = broker.pipeline("facts", "", set);
    run(folder.path());
    let out = fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
    let wanted = "{\"a\":1,\"topic\":\"facts\",\"p\":1,\"o\":0,\"at\":\"2026-02-25T06:13:20.123Z\",\"key\":\"k\\\"1\",\"host\":\"bé\"}
{\"a\":2,\"topic\":\"facts\",\"p\":1,\"o\":2,\"at\":\"2026-02-25T06:13:21Z\"}
";
    assert_eq!(out, wanted);
    // Events without a time of their own have the message's; the identity is that of the offset.
    let plain = fs::read_to_string(folder.path().join("plain.ndjson")).unwrap();
    let first: Value = serde_json::from_str(plain.lines().next().unwrap()).unwrap();
    let meta = &first["tripline"];
    assert_eq!((&meta["time"], &meta["partition"], &meta["position"]), (&"2026-02-25T06:13:20.123Z".into(), &"facts/1".into(), &0.into()));

    // Where a partition begins that nobody has read.
    let at = |start: &str, group: &str| {
        let folder = broker.pipeline("facts", &format!("start: '{start}', id: {group}"), TO_FILE);
        let file = folder.path().join("pipeline.yaml");
        fs::write(&file, fs::read_to_string(&file).unwrap().replace("group: facts", &format!("group: {group}"))).unwrap();
        run(folder.path()).0["in"]["k"].as_u64().unwrap()
    };
    assert_eq!((at("earliest", "e"), at("latest", "l"), at("2026-02-25T06:13:21Z", "t"), at("2027-01-01T00:00:00Z", "u")), (2, 0, 1, 0));
}

/// Members come and go: between them they read each message once, but for those that a killed one had not committed.
#[test]
fn a_group_shares_the_partitions() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("group", 6);
    let members: Vec<tempfile::TempDir> = (0..3).map(|_| broker.pipeline("group", "", TO_FILE)).collect();
    let total = || members.iter().map(|m| count(m.path())).sum::<usize>();
    let first = started(members[0].path());
    broker.send("group", numbered(6, 0, 20_000));
    until("the first part", || total() == 20_000);
    let second = started(members[1].path());
    // While partitions move, messages come.
    for part in 0..20 {
        broker.send("group", numbered(6, 20_000 + part * 500, 20_500 + part * 500));
        std::thread::sleep(Duration::from_millis(100));
    }
    until("the second part", || total() == 30_000);
    broker.send("group", numbered(6, 30_000, 36_000));
    until("the third part", || total() == 36_000);
    assert!(count(members[1].path()) > 0, "the second member was given nothing");
    // One leaves in order.
    let words = stopped(first, members[0].path());
    assert!(!words.contains("not_drained"), "{words}");
    broker.send("group", numbered(6, 36_000, 40_000));
    until("the fourth part", || total() == 40_000);
    let all = |of: &[tempfile::TempDir]| of.iter().flat_map(|m| rows(m.path())).collect::<Vec<Value>>();
    let mut seen = vec![0u32; 40_000];
    all(&members).iter().for_each(|row| seen[row["n"].as_u64().unwrap() as usize] += 1);
    assert!(seen.iter().all(|n| *n == 1), "moved partitions were read twice or not at all");
    // One is killed while it reads, and another one comes.
    let mut second = second;
    let third = started(members[2].path());
    broker.send("group", numbered(6, 40_000, 50_000));
    second.kill().unwrap();
    second.wait().unwrap();
    broker.send("group", numbered(6, 50_000, 51_000));
    let ids =
        || all(&members).iter().map(|row| row["tripline"]["id"].as_str().unwrap().to_owned()).collect::<std::collections::BTreeSet<_>>();
    until("the last part", || total() >= 51_000 && ids().len() == 51_000);
    stopped(third, members[2].path());
}

#[test]
fn what_is_gone_or_foreign_is_told() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("gone", 1);
    broker.send("gone", numbered(1, 0, 100));
    let folder = broker.pipeline("gone", "", TO_FILE);
    run(folder.path());
    // Retention has taken what was not read yet.
    broker.send("gone", numbered(1, 100, 200));
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset("gone", 0, Offset::Offset(150)).unwrap();
    wait_for(broker.admin().delete_records(&upto, &AdminOptions::new())).unwrap();
    let (summary, words) = run(folder.path());
    assert!(words.contains("the 50 messages from offset 100 on were deleted before they were read"), "{words}");
    assert_eq!(summary["in"]["k"], 50);
    // The topic is deleted while it is read, and made anew.
    let child = started(folder.path());
    std::thread::sleep(Duration::from_secs(2));
    wait_for(broker.admin().delete_topics(&["gone"], &AdminOptions::new())).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    broker.topic("gone", 1);
    broker.send("gone", numbered(1, 200, 210));
    until("the new topic's rows", || count(folder.path()) == 160);
    stopped(child, folder.path());

    // The state of one cluster, and the brokers of another.
    let other = Broker(Server::start(&["kafka.sh"], |_| Vec::new()).unwrap());
    other.topic("gone", 1);
    let file = folder.path().join("pipeline.yaml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace(&broker.address(), &other.address())).unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off", "--until-end"]);
    assert_eq!(out.status.code(), Some(1));
    let words = said(&out);
    assert!(words.contains("is the cluster") && words.contains("start with --fresh"), "{words}");
    // What `check --connect` says.
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
    assert!(words.contains("1 partitions of gone"), "{words}");
    let folder = broker.pipeline("nowhere", "", TO_FILE);
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
    assert!(words.contains("topic `nowhere`: UnknownTopicOrPartition"), "{words}");
}

/// The hash by which Java's producer chooses the partition of a key: Murmur2 of 32 bits with its seed, without the sign, over the number of partitions.
fn java_partition(key: &[u8], partitions: u32) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ key.len() as u32;
    let chunks = key.chunks_exact(4);
    let rest = chunks.remainder();
    for chunk in chunks {
        let mut word = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        word = (word ^ word >> 24).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    if !rest.is_empty() {
        rest.iter().enumerate().for_each(|(at, byte)| hash ^= u32::from(*byte) << (8 * at));
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    ((hash ^ hash >> 15) & 0x7fff_ffff) % partitions
}

/// A pipeline from a file to a topic.
fn to_topic(broker: &Broker, lines: &str, options: &str) -> tempfile::TempDir {
    let folder = folder(&format!(
        "sources: {{a: {{type: file, paths: [in.log], follow: false, format: json}}}}
sinks: {{k: {{type: kafka, inputs: [a], brokers: ['{}'], {options}}}}}
",
        broker.address()
    ));
    fs::write(folder.path().join("in.log"), lines).unwrap();
    folder
}

#[test]
fn events_become_messages() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("out", 5);
    let line = |n: usize| match n % 10 {
        9 => format!("{{\"n\":{n},\"host\":\"hôst{}\"}}\n", n % 37),
        _ => format!("{{\"n\":{n},\"user\":\"user{}\",\"host\":\"host{}\"}}\n", n % 101, n % 37),
    };
    let lines: String = (0..20_000).map(line).collect();
    let options = "topic: out, key: '{user}', headers: {host: 'of {host}', none: '{nobody}'}, compression: zstd, batch: {bytes: 64KiB}";
    let folder = to_topic(&broker, &lines, options);
    let (summary, _) = run(folder.path());
    assert_eq!(summary["out"]["k"], 20_000);
    let messages = broker.messages("out", 5);
    assert_eq!(messages.len(), 20_000);
    let mut last: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    let mut values: Vec<(u64, String)> = Vec::new();
    for message in &messages {
        let event: Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
        assert_eq!(message.key().map(text), event["user"].as_str().map(str::to_owned));
        let headers: Vec<(&str, String)> = message.headers().unwrap().iter().map(|h| (h.key, text(h.value.unwrap()))).collect();
        assert_eq!(headers, [("host", format!("of {}", event["host"].as_str().unwrap()))]);
        if let Some(key) = message.key() {
            assert_eq!(message.partition() as u32, java_partition(key, 5), "{}", text(key));
            let n = event["n"].as_u64().unwrap();
            assert!(last.insert(key.to_vec(), n).is_none_or(|before| before < n), "a key is out of order");
        }
        values.push((event["n"].as_u64().unwrap(), text(message.payload().unwrap()) + "\n"));
    }
    values.sort();
    assert_eq!(values.into_iter().map(|(_, value)| value).collect::<String>(), lines, "not the events' own bytes");
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
    assert!(words.contains("1 brokers, 5 partitions"), "{words}");

    // Other texts than JSON. What is refused stands in the dead letter as the event that it is.
    broker.topic("texts", 1);
    let long = format!("{{\"user\":\"a,b\",\"n\":0}}\n{{\"n\":1,\"user\":\"{}\"}}\n{{\"n\":2}}\n", "x".repeat(9000));
    let folder = to_topic(&broker, &long, "topic: texts, key: 'k{n}', message_bytes_max: 8KiB, encode: {type: csv, fields: [user, n]}");
    run(folder.path());
    let texts: Vec<(String, String)> =
        broker.messages("texts", 1).iter().map(|m| (text(m.key().unwrap()), text(m.payload().unwrap()))).collect();
    assert_eq!(texts, [("k0".to_owned(), "\"a,b\",0".to_owned()), ("k2".to_owned(), ",2".to_owned())]);
    let letter = fs::read_to_string(folder.path().join(".tripline/dead_letter/k.ndjson")).unwrap();
    let letter: Value = serde_json::from_str(&letter).unwrap();
    assert_eq!((&letter["event"]["n"], letter["event"]["user"].as_str().map(str::len)), (&1.into(), Some(9000)));

    // What no broker takes is in the dead letter; what follows goes on.
    broker.topic("small", 1);
    let long = format!("{{\"n\":0}}\n{{\"n\":1,\"text\":\"{}\"}}\n{{\"n\":2}}\n", "x".repeat(9000));
    let folder = to_topic(&broker, &long, "topic: small, message_bytes_max: 8KiB");
    let (summary, _) = run(folder.path());
    assert_eq!((&summary["dead_letters"], &summary["out"]["k"]), (&1.into(), &2.into()));
    let letter = fs::read_to_string(folder.path().join(".tripline/dead_letter/k.ndjson")).unwrap();
    assert!(letter.contains("MessageSizeTooLarge") && letter.contains("\"n\":1"), "{letter}");
    assert_eq!(broker.messages("small", 1).len(), 2);

    // A topic that takes less than that refuses whole batches: only the row that is to blame is left out.
    let narrow = NewTopic::new("narrow", 1, TopicReplication::Fixed(1)).set("max.message.bytes", "2000");
    wait_for(broker.admin().create_topics([&narrow], &AdminOptions::new().operation_timeout(Some(TIMEOUT)))).unwrap();
    let mixed: String = (0..60).map(|n| format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "x".repeat(if n == 33 { 3000 } else { 100 }))).collect();
    let folder = to_topic(&broker, &mixed, "topic: narrow");
    let (summary, _) = run(folder.path());
    assert_eq!((&summary["dead_letters"], &summary["out"]["k"]), (&1.into(), &59.into()));
    assert_eq!(broker.messages("narrow", 1).len(), 59);

    // A topic that is not there holds the sink until somebody makes it.
    let folder = to_topic(&broker, "{\"n\":0}\n", "topic: later");
    let child = started(folder.path());
    until("a word of the missing topic", || fs::read_to_string(folder.path().join("words.log")).is_ok_and(|w| w.contains("UnknownTopic")));
    broker.topic("later", 1);
    until("the row", || broker.messages("later", 1).len() == 1);
    let mut child = child;
    assert!(child.wait().unwrap().success());
}

/// The broker dies while messages are under way: each is there once all the same, in order.
#[test]
fn a_broker_that_dies_is_waited_for() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("died", 1);
    const COUNT: usize = 200_000;
    let lines: String = (0..COUNT).map(|n| format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "y".repeat(200))).collect();
    let folder = to_topic(&broker, &lines, "topic: died, batch: {rows: 5000}");
    let mut child = started(folder.path());
    std::thread::sleep(Duration::from_millis(700));
    broker.0.kill();
    until("a word of the outage", || fs::read_to_string(folder.path().join("words.log")).is_ok_and(|w| w.contains("sink_outage")));
    assert!(broker.0.up());
    let status = child.wait().unwrap();
    let words = fs::read_to_string(folder.path().join("words.log")).unwrap();
    assert!(status.success() && words.contains("sink_recovered"), "{words}");
    let numbers = broker
        .messages("died", 1)
        .iter()
        .map(|m| serde_json::from_slice::<Value>(m.payload().unwrap()).unwrap()["n"].as_u64().unwrap())
        .collect::<Vec<_>>();
    assert!(numbers.iter().copied().eq(0..COUNT as u64), "{} messages", numbers.len());
}

/// A connection that is taken and never answered is told, by `check` too, and nothing is lost.
#[test]
fn a_broker_that_never_answers_is_told_and_waited_for() {
    let Some(broker) = Broker::start() else { return };
    broker.topic("mute", 1);
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap().to_string();
    std::thread::spawn(move || mute.incoming().collect::<Vec<_>>());
    let to = to_topic(&broker, &numbered(1, 0, 1000).map(|(_, line)| line + "\n").collect::<String>(), "topic: mute");
    let from = broker.pipeline("mute", "", TO_FILE);
    for (folder, word) in [(&to, "sink_outage"), (&from, "source_outage")] {
        let file = folder.path().join("pipeline.yaml");
        let well = fs::read_to_string(&file).unwrap();
        fs::write(&file, well.replace(&broker.address(), &address)).unwrap();
        let told = said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
        assert!(told.contains(&format!("failed k: {address}: ")), "{told}");
        let mut child = started(folder.path());
        until(word, || fs::read_to_string(folder.path().join("words.log")).unwrap().contains(word));
        child.kill().and_then(|()| child.wait()).unwrap();
        fs::write(&file, well).unwrap();
        run(folder.path());
    }
    assert_eq!((broker.messages("mute", 1).len(), count(from.path())), (1000, 1000));
}

#[test]
fn secured_brokers_are_read_and_written() {
    let Some(certs) = certificates("broker client expired") else { return };
    let at = |name: &str| certs.path().join(name).display().to_string();
    let store = at("broker.pem");
    let authority = at("ca.pem");
    let scram_module = |bits: u16| {
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        format!("listener.name.scram.scram-sha-{bits}.sasl.jaas.config={module}")
    };
    let lines = |port: u16| {
        let all = |more: &str| {
            let at = |name: &str, plus: u16| format!("{name}://127.0.0.1:{},", port + plus);
            format!("{more}{}{}{}{}PLAINTEXT://127.0.0.1:{port}", at("SECURE", 2), at("MUTUAL", 3), at("SCRAM", 4), at("EXPIRED", 5))
        };
        vec![
            format!("listeners={}", all(&format!("CONTROLLER://127.0.0.1:{},", port + 1))),
            format!("advertised.listeners={}", all("")),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,SCRAM:SASL_SSL,EXPIRED:SSL".to_owned(),
            "listener.name.secure.sasl.enabled.mechanisms=PLAIN".to_owned(),
            "listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512".to_owned(),
            scram_module(256),
            scram_module(512),
            "--add-scram=SCRAM-SHA-512=[name=eve,password=right]".to_owned(),
            "--add-scram=SCRAM-SHA-256=[name=bob,password=right]".to_owned(),
            format!("listener.name.expired.ssl.keystore.location={}", at("expired.pem")),
            "listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_ada=\"right\";".to_owned(),
            "ssl.keystore.type=PEM".to_owned(),
            format!("ssl.keystore.location={store}"),
            "ssl.truststore.type=PEM".to_owned(),
            format!("ssl.truststore.location={authority}"),
            "listener.name.mutual.ssl.client.auth=required".to_owned(),
        ]
    };
    let Some(broker) = Server::start(&["kafka.sh"], lines).map(Broker) else { return };
    broker.topic("secret", 1);
    broker.topic("copy", 1);
    broker.send("secret", numbered(1, 0, 100));
    let pipeline = |port: u16, options: &str, group: &str| {
        let wire = format!("brokers: ['127.0.0.1:{port}'], {options}");
        folder(&format!(
            "barrier: {{interval: 100ms}}
stop_timeout: 1s
sources: {{k: {{type: kafka, {wire}, topics: [secret], group: {group}, format: json}}}}
sinks: {{o: {{type: file, inputs: [k], path: out.ndjson}}, copy: {{type: kafka, {wire}, inputs: [k], topic: copy}}}}
"
        ))
    };
    let sasl = |password: &str| format!("tls: {{ca: {authority}}}, sasl: {{user: ada, password: {password}}}");
    let scram = |bits: u16, user: &str, password: &str| {
        format!("tls: {{ca: {authority}}}, sasl: {{mechanism: SCRAM-SHA-{bits}, user: {user}, password: {password}}}")
    };
    let client = format!("tls: {{ca: {authority}, cert: {}, key: {}}}", at("client.crt"), at("client.key"));
    let port = broker.0.port;
    let right = [
        (port + 2, sasl("right"), "sasl"),
        (port + 3, client, "mutual"),
        (port + 4, scram(512, "eve", "right"), "scram512"),
        (port + 4, scram(256, "bob", "right"), "scram256"),
    ];
    for (port, options, group) in right {
        let folder = pipeline(port, &options, group);
        let (summary, words) = run(folder.path());
        assert_eq!((&summary["in"]["k"], &summary["out"]["copy"]), (&100.into(), &100.into()), "{words}");
        let words = said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
        assert!(words.contains("1 partitions of secret") && !words.contains("right"), "{words}");
    }
    // What is wrong is told, and no secret with it.
    let wrong = [
        (port + 2, sasl("wr0ng"), "Authentication"),
        (port + 2, "tls: {}, sasl: {user: ada, password: right}".to_owned(), "certificate"),
        (port + 3, format!("tls: {{ca: {authority}}}"), "SSL"),
        (port + 4, scram(512, "eve", "wr0ng"), "Authentication"),
        (port + 5, format!("tls: {{ca: {authority}}}"), "expired"),
    ];
    let check = |(port, options, word): &(u16, String, &str)| {
        let folder = pipeline(*port, options, "wrong");
        let words = said(&tripline(folder.path(), &["check", "pipeline.yaml", "--connect"]));
        assert!(words.contains("failed k") && words.contains("failed copy") && words.contains(word), "{word}: {words}");
        assert!(!words.contains("wr0ng") && !words.contains("right"), "{words}");
    };
    std::thread::scope(|scope| wrong.iter().for_each(|case| drop(scope.spawn(move || check(case)))));
}
