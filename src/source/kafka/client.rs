//! The clients of a source: one that looks what is there, and the member of the group.
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use super::Settings;
use super::group::Group;
use crate::component::Outage;
use crate::limits::KAFKA_SESSION_MS;
use crate::metrics::Registry;
use crate::net::kafka::{TIMEOUT, words};

/// The least that is fetched ahead of one partition.
const PREFETCH_MIN_BYTES: u64 = 64 * 1024;

impl Settings {
    /// What went wrong, with what the client said of it.
    pub(super) fn outage(&self, what: &str, error: &KafkaError, group: Option<&Group>) -> Outage {
        let words = group.map_or_else(|| words(error), |g| g.trouble.words(error));
        Outage::new(format!("{}: {what}: {words}", self.kafka.brokers()))
    }

    /// Asks the brokers for the topics, without joining the group: the cluster's id, and how many partitions there are.
    pub(super) fn look(&self) -> Result<(String, usize), Outage> {
        let group = Group::new(&self.name, &Registry::default());
        let consumer: BaseConsumer<Group> =
            self.kafka.config().create_with_context(group).map_err(|e| self.outage("cannot be used", &e, None))?;
        let heard = || {
            // What the client has to say waits to be polled.
            (0..100).take_while(|_| consumer.poll(Duration::ZERO).is_some()).for_each(drop);
            Some(consumer.client().context().as_ref())
        };
        let ask = |topic: Option<&str>| consumer.fetch_metadata(topic, TIMEOUT).map_err(|e| self.outage("no answer", &e, heard()));
        let mut partitions = 0;
        let count = |metadata: &Metadata| metadata.topics().iter().map(|t| t.partitions().len()).sum::<usize>();
        for topic in &self.topics {
            if topic.starts_with('^') {
                partitions += count(&ask(None)?);
                continue;
            }
            let metadata = ask(Some(topic))?;
            if let Some(error) = metadata.topics().iter().find_map(|t| t.error()) {
                let code: RDKafkaErrorCode = error.into();
                return Err(Outage::new(format!("{}: topic `{topic}`: {code}", self.kafka.brokers())));
            }
            partitions += count(&metadata);
        }
        let cluster = consumer.client().fetch_cluster_id(TIMEOUT).unwrap_or_default();
        Ok((cluster, partitions))
    }

    /// A member of the group that shares so many partitions.
    pub(super) fn member(&self, partitions: usize, registry: &Registry) -> Result<BaseConsumer<Group>, Outage> {
        let each = (self.prefetch / partitions.max(1) as u64).max(PREFETCH_MIN_BYTES);
        let mut config = self.kafka.config();
        config.set("group.id", &self.group);
        config.set("partition.assignment.strategy", "cooperative-sticky");
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        // Whoever reads from a place that is not there any more is told so.
        config.set("auto.offset.reset", "error").set("enable.partition.eof", "true");
        // A member that died is missed after this; one that is stopped says so.
        config.set("session.timeout.ms", KAFKA_SESSION_MS.to_string());
        config.set("queued.max.messages.kbytes", (each / 1024).min(2_097_151).to_string());
        config.set("queued.min.messages", "10000").set("fetch.queue.backoff.ms", "5").set("fetch.wait.max.ms", "100");
        config.set("fetch.message.max.bytes", each.min(1024 * 1024).to_string());
        config.set("statistics.interval.ms", "5000");
        if let Some(instance) = &self.instance {
            config.set("group.instance.id", instance);
        }
        let group = Group::new(&self.name, registry);
        let consumer: BaseConsumer<Group> = config.create_with_context(group).map_err(|e| self.outage("cannot be used", &e, None))?;
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|e| self.outage("cannot subscribe", &e, None))?;
        Ok(consumer)
    }
}
