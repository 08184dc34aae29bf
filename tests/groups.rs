//! A consumer group that refuses offsets, played by the cluster that the vendor's client library has for tests.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
mod outside;

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use outside::{folder, started, stopped, until};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

const TOPIC: &str = "events";
const PARTITIONS: i32 = 4;

struct Cluster(MockCluster<'static, DefaultProducerContext>);

impl Cluster {
    fn start() -> Cluster {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
        Cluster(cluster)
    }

    fn send(&self, from: i32, to: i32) {
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", self.0.bootstrap_servers()).create().unwrap();
        for n in from..to {
            producer.send(BaseRecord::<str, str>::to(TOPIC).partition(n % PARTITIONS).payload(&format!("{{\"n\":{n}}}"))).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    /// Refuses offsets as a group does that moves partitions.
    fn refuse(&self) {
        self.0.request_errors(RDKafkaApiKey::OffsetCommit, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS; 2_000]);
    }

    fn take_again(&self) {
        self.0.clear_request_errors(RDKafkaApiKey::OffsetCommit);
    }

    fn member(&self, options: &str) -> tempfile::TempDir {
        folder(&format!(
            "barrier: {{interval: 100ms}}
sources: {{k: {{type: kafka, brokers: ['{}'], topics: [{TOPIC}], group: g, format: json{options}}}}}
sinks: {{o: {{type: file, inputs: [k], path: out.ndjson}}}}
",
            self.0.bootstrap_servers()
        ))
    }
}

/// Starts a member that reads so many messages, of which the group takes no offset.
fn refused(cluster: &Cluster, member: &Path, messages: i32) -> Child {
    cluster.send(0, messages);
    cluster.refuse();
    let child = started(member);
    until("what the first member reads", || count(member) == messages as usize);
    child
}

fn count(folder: &Path) -> usize {
    fs::read(folder.join("out.ndjson")).unwrap_or_default().iter().filter(|b| **b == b'\n').count()
}

/// A partition is not given back before the group has taken how far it was read.
///
/// This cluster counts its members as in step once the leader has told it who gets what; whoever asks later must join again, and a member that still gives
/// back partitions, which does not join, is thrown out after a session. So the second member leads: that is the one with the least name.
#[test]
fn a_partition_is_given_back_with_its_offset() {
    let cluster = Cluster::start();
    let (one, two) = (cluster.member(", instance: b"), cluster.member(", instance: a"));
    let first = refused(&cluster, one.path(), 4_000);
    // Another one comes and waits for its share. This cluster takes a session's time for each step.
    let second = started(two.path());
    std::thread::sleep(Duration::from_secs(25));
    assert_eq!(count(two.path()), 0, "partitions were given back before their offsets were taken");
    cluster.take_again();
    let mut sent = 4_000;
    until("a share for the second member", || {
        std::thread::sleep(Duration::from_millis(500));
        cluster.send(sent, sent + PARTITIONS);
        sent += PARTITIONS;
        count(two.path()) > 0
    });
    until("the rest", || count(one.path()) + count(two.path()) >= sent as usize);
    stopped(second, two.path());
    stopped(first, one.path());
    assert_eq!(count(one.path()) + count(two.path()), sent as usize);
}

/// A member that is stopped waits a while until the group has taken how far it has read.
#[test]
fn a_member_leaves_with_its_offsets() {
    let cluster = Cluster::start();
    let (one, two) = (cluster.member(""), cluster.member(""));
    let first = refused(&cluster, one.path(), 400);
    std::thread::scope(|scope| {
        scope.spawn(|| stopped(first, one.path()));
        std::thread::sleep(Duration::from_secs(1));
        cluster.take_again();
    });
    // Whoever comes next has nothing to read again.
    let second = started(two.path());
    cluster.send(400, 400 + PARTITIONS);
    until("what the second member reads", || count(two.path()) >= PARTITIONS as usize);
    stopped(second, two.path());
    assert_eq!((count(one.path()), count(two.path())), (400, PARTITIONS as usize));
}

/// A group that takes no offsets at all does not hold a member that is stopped for ever.
#[test]
fn a_member_leaves_without_them_at_last() {
    let cluster = Cluster::start();
    let member = cluster.member("");
    let child = refused(&cluster, member.path(), 400);
    let since = Instant::now();
    stopped(child, member.path());
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
}
