//! The client that produces, and the reports of its brokers.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::Notify;

use super::options::Settings;
use super::transaction::Transaction;
use super::{Message, outcome};
use crate::clock::Stopwatch;
use crate::component::sink::Outcome;
use crate::limits::{KAFKA_QUEUE_BYTES_MAX, KAFKA_TRANSACTION_MS};
use crate::net::kafka::{TIMEOUT, Trouble};

/// How long a full queue is waited for before it is tried again.
const FULL: Duration = Duration::from_millis(5);

/// Reports of the rows of one body.
#[derive(Default)]
struct Reports {
    rows: Vec<Option<Outcome>>,
    missing: usize,
    fault: Option<KafkaError>,
}

/// The body that is under way.
#[derive(Clone, Default)]
pub(super) struct Deliveries {
    reports: Arc<Mutex<Reports>>,
    done: Arc<Notify>,
    number: u32,
}

impl Deliveries {
    /// What became of a row.
    pub(super) fn note(&self, row: usize, outcome: Outcome) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = reports.rows.get_mut(row)
            && slot.replace(outcome).is_none()
        {
            reports.missing -= 1;
            if reports.missing == 0 {
                self.done.notify_one();
            }
        }
    }

    fn note_fault(&self, fault: &KafkaError) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).fault.get_or_insert(fault.clone());
    }

    /// What an error of the brokers says of a row. They refuse rows that came together together: which it was is seen when each comes alone.
    fn outcome(&self, error: &KafkaError) -> Outcome {
        match self.reports.lock().unwrap_or_else(PoisonError::into_inner).rows.len() {
            1 => outcome(error),
            _ => Outcome::Retry,
        }
    }

    /// Waits for the reports of all rows. Also the first fault.
    pub(super) async fn all(&self) -> (Vec<Outcome>, Option<KafkaError>) {
        loop {
            {
                let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
                if reports.missing == 0 {
                    let rows = std::mem::take(&mut reports.rows).into_iter().map(|r| r.unwrap_or(Outcome::Retry)).collect();
                    return (rows, reports.fault.take());
                }
            }
            self.done.notified().await;
        }
    }
}

/// Hears the client.
#[derive(Default)]
struct Ear {
    current: Mutex<Deliveries>,
    trouble: Trouble,
    is_broken: AtomicBool,
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, _: &str, message: &str) {
        self.trouble.log(level, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.note(reason);
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.is_broken.store(true, Ordering::Release);
        }
    }
}

impl ProducerContext for Ear {
    /// The number of the body above that of the row.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, body_and_row: usize) {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A report may come for a body that was given up.
        if (body_and_row >> 32) as u32 != current.number {
            return;
        }
        let row = body_and_row & u32::MAX as usize;
        match result {
            Ok(_) => current.note(row, Outcome::Accepted),
            Err((error, _)) => {
                current.note_fault(error);
                current.note(row, current.outcome(error));
            }
        }
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct Producer {
    client: Arc<ThreadedProducer<Ear>>,
    transactions: Option<Arc<Transactions>>,
}

/// What a producer of transactions knows besides.
struct Transactions {
    cluster: String,
    /// Who puts markers.
    group: ConsumerGroupMetadata,
    /// Runs while a transaction is open.
    open: Mutex<Option<Stopwatch>>,
}

impl Producer {
    /// A client; one of transactions ends what its id left open.
    pub(super) fn new(settings: &Settings, transaction: Option<&Transaction>) -> Result<Producer, KafkaError> {
        let mut config = settings.kafka.config();
        config.set("acks", &settings.acks);
        match transaction {
            // A message waits for its brokers for ever: giving up would be guessing whether it is there.
            None => config.set("message.timeout.ms", "0"),
            Some(transaction) => {
                config.set("transactional.id", &transaction.id).set("transaction.timeout.ms", KAFKA_TRANSACTION_MS.to_string())
            }
        };
        config.set("enable.idempotence", if settings.acks == "all" { "true" } else { "false" });
        config.set("compression.type", &settings.compression);
        config.set("message.max.bytes", settings.message_bytes_max.to_string());
        // Java's own choice of a partition, so that a key goes where other producers put it.
        config.set("partitioner", "murmur2_random");
        config.set("linger.ms", "1").set("queue.buffering.max.kbytes", (KAFKA_QUEUE_BYTES_MAX / 1024).to_string());
        config.set("queue.buffering.max.messages", "1000000");
        let client: Arc<ThreadedProducer<Ear>> = Arc::new(config.create_with_context(Ear::default())?);
        let transactions = match transaction {
            None => None,
            Some(transaction) => {
                client.init_transactions(TIMEOUT)?;
                let cluster = client.client().fetch_cluster_id(TIMEOUT).unwrap_or_default();
                let group = transaction.marker_group(settings)?.group_metadata();
                let group = group.ok_or(KafkaError::Global(RDKafkaErrorCode::UnknownGroup))?;
                Some(Arc::new(Transactions { cluster, group, open: Mutex::default() }))
            }
        };
        Ok(Producer { client, transactions })
    }

    /// The cluster that it writes to in transactions.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.transactions.as_ref().map(|t| t.cluster.as_str())
    }

    /// Begins a transaction.
    pub(super) fn begin_transaction(&self) -> Result<(), KafkaError> {
        self.client.begin_transaction()?;
        self.set_open(Some(Stopwatch::start()));
        Ok(())
    }

    fn set_open(&self, open: Option<Stopwatch>) {
        if let Some(transactions) = &self.transactions {
            *transactions.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
        }
    }

    /// For how long a transaction has been open.
    pub(super) fn transaction_age(&self) -> Option<Duration> {
        let open = self.transactions.as_ref()?.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(Stopwatch::elapsed)
    }

    /// Puts a marker into the transaction.
    pub(super) fn mark(&self, marker: &TopicPartitionList) -> Result<(), KafkaError> {
        self.transactions.as_ref().map_or(Ok(()), |t| self.claim(marker, &t.group))
    }

    /// Puts offsets of a group into the transaction.
    pub(super) fn claim(&self, offsets: &TopicPartitionList, group: &ConsumerGroupMetadata) -> Result<(), KafkaError> {
        self.client.send_offsets_to_transaction(offsets, group, TIMEOUT)
    }

    /// Ends the transaction: all of it is seen from now on.
    pub(super) fn commit_transaction(&self) -> Result<(), KafkaError> {
        self.client.commit_transaction(TIMEOUT)?;
        self.set_open(None);
        Ok(())
    }

    /// Ends the transaction: nothing of it is ever seen.
    pub(super) fn abort_transaction(&self) -> Result<(), KafkaError> {
        self.client.abort_transaction(TIMEOUT)?;
        self.set_open(None);
        Ok(())
    }

    /// The error that it does not survive, if there was one.
    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.client.client().fatal_error()
    }

    fn ear(&self) -> Arc<Ear> {
        Arc::clone(self.client.client().context())
    }

    /// Whether another one must take its place.
    pub(super) fn is_broken(&self) -> bool {
        self.ear().is_broken.load(Ordering::Acquire)
    }

    /// What it says of its brokers.
    pub(super) fn trouble(&self) -> Trouble {
        self.ear().trouble.clone()
    }

    /// Begins a body of so many rows.
    pub(super) fn begin(&self, rows: usize) -> Deliveries {
        let ear = self.ear();
        let mut current = ear.current.lock().unwrap_or_else(PoisonError::into_inner);
        let reports = Reports { rows: vec![None; rows], missing: rows, fault: None };
        *current = Deliveries { reports: Arc::new(Mutex::new(reports)), done: Arc::default(), number: current.number.wrapping_add(1) };
        current.clone()
    }

    /// Hands a row over. A full queue is waited for.
    pub(super) async fn send(&self, message: &Message<'_>, deliveries: &Deliveries, row: usize) -> Result<(), KafkaError> {
        loop {
            let mut record: BaseRecord<'_, [u8], [u8], usize> =
                BaseRecord::with_opaque_to(message.topic, (deliveries.number as usize) << 32 | row).payload(message.value);
            if let Some(key) = message.key {
                record = record.key(key);
            }
            if !message.headers.is_empty() {
                let headers = OwnedHeaders::new_with_capacity(message.headers.len());
                let add = |all: OwnedHeaders, (key, value): &(&str, &[u8])| all.insert(Header { key, value: Some(*value) });
                record = record.headers(message.headers.iter().fold(headers, add));
            }
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => tokio::time::sleep(FULL).await,
                Err((error, _)) => return Err(error),
            }
        }
    }

    /// Asks the brokers who they are, and for the topic.
    pub(super) fn look(&self, topic: Option<&str>) -> Result<String, KafkaError> {
        let client = self.client.client();
        let metadata = client.fetch_metadata(topic, TIMEOUT)?;
        if let Some(error) = metadata.topics().iter().filter(|t| Some(t.name()) == topic).find_map(|t| t.error()) {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        let cluster = client.fetch_cluster_id(TIMEOUT).unwrap_or_default();
        let partitions =
            metadata.topics().iter().find(|t| Some(t.name()) == topic).map(|t| format!(", {} partitions", t.partitions().len()));
        Ok(format!("cluster {cluster}, {} brokers{}", metadata.brokers().len(), partitions.unwrap_or_default()))
    }
}
