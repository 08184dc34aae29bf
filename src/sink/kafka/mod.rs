//! `kafka`: events and alerts as messages, with key and headers from fields, by an idempotent producer.
//!
//! A row counts as there when the broker's report says so. A body is produced row by row in order, and the next one only when all reports of this one
//! are in, so that the order of each partition is that of the events. What was under way at a kill -9 may come twice.
mod options;
mod producer;

use std::sync::{Mutex, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use self::options::KIND;
use self::options::Settings;
use self::producer::{Deliveries, Producer};
use crate::component::sink::{OutRow, Outcome, Sent};
use crate::component::{Body, BoxFuture, Outage, Sink};
use crate::expr::eval::BatchRow;
use crate::net::kafka::words;
use crate::state::{StateError, StateReader, StateWriter};

/// A row as it lies in a body: topic, key, headers, then the event.
struct Message<'b> {
    topic: &'b str,
    key: Option<&'b [u8]>,
    headers: Vec<(&'b str, &'b [u8])>,
    value: &'b [u8],
}

impl<'b> Message<'b> {
    fn read(bytes: &'b [u8]) -> Result<Message<'b>, StateError> {
        let mut from = StateReader::new(bytes);
        let topic = from.text()?;
        let key = if from.u8()? == 1 { Some(from.bytes()?) } else { None };
        let mut headers = Vec::new();
        for _ in 0..from.u32()? {
            headers.push((from.text()?, from.bytes()?));
        }
        Ok(Message { topic, key, headers, value: from.rest().trim_ascii_end() })
    }
}

/// See the module.
struct KafkaSink {
    settings: Settings,
    /// Made anew after a fault that it does not survive.
    producer: Mutex<Option<Producer>>,
}

impl KafkaSink {
    fn new(settings: Settings) -> KafkaSink {
        KafkaSink { settings, producer: Mutex::default() }
    }

    fn producer(&self) -> Result<Producer, Outage> {
        let mut slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(Producer::is_broken) {
            *slot = None;
        }
        match &*slot {
            Some(producer) => Ok(producer.clone()),
            None => {
                let made =
                    Producer::new(&self.settings).map_err(|e| Outage::new(format!("{}: {}", self.settings.kafka.brokers(), words(&e))))?;
                Ok(slot.insert(made).clone())
            }
        }
    }

    fn outage(&self, error: &KafkaError, producer: &Producer) -> Outage {
        Outage::new(format!("{}: {}", self.settings.kafka.brokers(), producer.trouble().words(error)))
    }
}

/// What an error says of a row: refused for good, or not now.
fn outcome(error: &KafkaError) -> Outcome {
    match error.rdkafka_error_code() {
        Some(
            code @ (RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp),
        ) => Outcome::Rejected { status: None, reason: code.to_string() },
        _ if matches!(error, KafkaError::Nul(_)) => Outcome::Rejected { status: None, reason: "the topic's name holds a NUL".to_owned() },
        _ => Outcome::Retry,
    }
}

impl Sink for KafkaSink {
    /// Brokers that are away now may come.
    fn connect(&self, _last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { self.producer().map(drop) })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, Outage>> {
        Box::pin(async {
            let producer = self.producer()?;
            producer.look(self.settings.topic()).map_err(|e| self.outage(&e, &producer))
        })
    }

    fn encode(&self, row: &OutRow<'_>, body: &mut Body) {
        let mut out = StateWriter { bytes: std::mem::take(&mut body.bytes) };
        let fields = BatchRow { batch: row.batch, row: row.row };
        let mut text = Vec::new();
        let mut templates = row.input.templates.iter();
        if let Some(topic) = templates.next() {
            topic.write(&fields, &mut text);
        }
        out.bytes(&text);
        let mut value_of = |template: &crate::expr::Template| {
            text.clear();
            template.write_some(&fields, &mut text).then(|| text.clone())
        };
        match self.settings.has_key.then(|| templates.next().and_then(&mut value_of)).flatten() {
            Some(key) => {
                out.u8(1);
                out.bytes(&key);
            }
            None => out.u8(0),
        }
        let headers: Vec<(&String, Vec<u8>)> =
            self.settings.headers.iter().zip(templates).filter_map(|(name, template)| Some((name, value_of(template)?))).collect();
        out.u32(headers.len() as u32);
        for (name, value) in &headers {
            out.bytes(name.as_bytes());
            out.bytes(value);
        }
        body.bytes = out.bytes;
        row.end(row.identity(), body);
    }

    fn send<'a>(&'a self, body: &'a Body) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async move {
            let producer = self.producer()?;
            let deliveries: Deliveries = producer.begin(body.rows());
            let mut first: Option<Outage> = None;
            for row in 0..body.rows() {
                let message = Message::read(&body.bytes[body.range(row..row + 1)]).map_err(|e| Outage::new(e.to_string()))?;
                if let Err(error) = producer.send(&message, &deliveries, row).await {
                    deliveries.note(row, outcome(&error));
                    if outcome(&error) == Outcome::Retry {
                        // What follows waits for this one.
                        first = Some(self.outage(&error, &producer));
                        (row + 1..body.rows()).for_each(|row| deliveries.note(row, Outcome::Retry));
                        break;
                    }
                }
            }
            let (rows, fault) = deliveries.all().await;
            let outage = first.or_else(|| fault.map(|e| self.outage(&e, &producer)));
            Ok(if rows.iter().all(|r| *r == Outcome::Accepted) { Sent::All } else { Sent::Rows(rows, outage) })
        })
    }

    fn trouble(&self) -> Option<Outage> {
        let slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = slot.as_ref()?.trouble().take()?;
        Some(Outage::new(format!("{}: {trouble}", self.settings.kafka.brokers())))
    }

    fn seal(&self, _epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
