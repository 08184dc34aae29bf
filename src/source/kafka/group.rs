//! What the consumer group says: partitions that came and that are to be given back, commits, lag. It is heard where the client is polled, and answered by
//! the source when it can.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;

use crate::metrics::{Counter, Registry};
use crate::net::kafka::{Trouble, words};

/// A topic and the number of a partition.
pub(super) type TopicPartition = (String, i32);

/// See the module.
#[derive(Clone)]
pub(super) enum GroupEvent {
    /// Partitions are ours from now on.
    Assigned(Vec<TopicPartition>),
    /// Partitions are to be given back; lost ones belong to somebody else already.
    Revoked(Vec<TopicPartition>, bool),
}

/// See the module.
pub(super) struct Group {
    events: Mutex<VecDeque<GroupEvent>>,
    /// The source is being closed: partitions are given back at once.
    pub(super) is_closing: AtomicBool,
    /// Wakes the source when a partition has something.
    pub(super) wake: Arc<Notify>,
    pub(super) trouble: Trouble,
    node: String,
    registry: Registry,
    rebalances: Counter,
    commits: (Counter, Counter),
}

impl Group {
    pub(super) fn new(node: &str, registry: &Registry) -> Group {
        let commits = |outcome: &str| registry.counter("tripline_kafka_commits_total", &[("node", node), ("outcome", outcome)]);
        Group {
            events: Mutex::default(),
            is_closing: AtomicBool::new(false),
            wake: Arc::default(),
            trouble: Trouble::default(),
            node: node.to_owned(),
            registry: registry.clone(),
            rebalances: registry.counter("tripline_kafka_rebalances_total", &[("node", node)]),
            commits: (commits("done"), commits("failed")),
        }
    }

    /// The oldest event that waits. It stays until it is answered.
    pub(super) fn first(&self) -> Option<GroupEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).front().cloned()
    }

    /// What came of a commit.
    pub(super) fn note_commit(&self, outcome: KafkaResult<()>) {
        match outcome {
            Ok(()) => self.commits.0.increment(1),
            Err(e) => {
                self.commits.1.increment(1);
                self.trouble.note(&format!("offsets could not be committed: {}", words(&e)));
            }
        }
    }

    /// The oldest event has been answered.
    pub(super) fn answered(&self) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, _: &str, message: &str) {
        self.trouble.log(level, message);
    }

    fn error(&self, _: KafkaError, reason: &str) {
        self.trouble.note(reason);
    }

    fn stats(&self, statistics: Statistics) {
        for (name, topic) in &statistics.topics {
            for (number, partition) in topic.partitions.iter().filter(|(_, p)| p.desired && p.consumer_lag >= 0) {
                let labels = [("node", self.node.as_str()), ("topic", name), ("partition", &number.to_string())];
                self.registry.gauge("tripline_kafka_lag", &labels).set(partition.consumer_lag as f64);
            }
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Group>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<TopicPartition> = list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
        let is_assignment = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        self.rebalances.increment(1);
        if self.is_closing.load(Ordering::Acquire) {
            let answer = if is_assignment { consumer.incremental_assign(list) } else { consumer.incremental_unassign(list) };
            if let Err(e) = answer {
                self.trouble.note(&words(&e));
            }
            return;
        }
        let event = match is_assignment {
            true => GroupEvent::Assigned(partitions),
            false => GroupEvent::Revoked(partitions, consumer.assignment_lost()),
        };
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
        self.wake.notify_one();
    }
}
