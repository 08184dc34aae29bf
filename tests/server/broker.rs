//! A real Kafka broker, and clients of it.
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Server;

/// How long something of a server may take.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A broker, and clients of it.
pub struct Broker(pub Server);

impl Broker {
    pub fn start() -> Option<Broker> {
        Server::start(&["kafka.sh"], |_| Vec::new()).map(Broker)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.0.port)
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address()).set("group.id", "tests").set("enable.auto.commit", "false");
        config
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    pub fn topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = wait_for(self.admin().create_topics([&topic], &AdminOptions::new().operation_timeout(Some(TIMEOUT))));
        made.unwrap().into_iter().for_each(|topic| drop(topic.unwrap()));
    }

    /// All messages of a topic that readers of committed ones see, each partition in its order.
    pub fn messages(&self, topic: &str, partitions: i32) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer =
            self.config().set("isolation.level", "read_committed").set("enable.partition.eof", "true").create().unwrap();
        let mut list = TopicPartitionList::new();
        (0..partitions).for_each(|p| list.add_partition_offset(topic, p, Offset::Beginning).unwrap());
        consumer.assign(&list).unwrap();
        let (mut out, mut ended) = (Vec::new(), 0);
        while ended < partitions {
            match consumer.poll(TIMEOUT).expect("no message and no end") {
                Ok(message) => out.push(message.detach()),
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                Err(e) => panic!("{e}"),
            }
        }
        out
    }

    /// Sends messages: partition and value.
    pub fn send(&self, topic: &str, messages: impl IntoIterator<Item = (i32, String)>) {
        let producer: BaseProducer = self.config().set("linger.ms", "5").create().unwrap();
        for (partition, value) in messages {
            let mut record = BaseRecord::<str, str>::to(topic).partition(partition).payload(&value);
            while let Err((_, again)) = producer.send(record) {
                producer.poll(Duration::from_millis(5));
                record = again;
            }
        }
        producer.flush(TIMEOUT).unwrap();
    }
}

/// Runs a client's future.
pub fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
