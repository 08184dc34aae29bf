//! `kafka`: events and alerts as messages, with key and headers from fields, by an idempotent producer.
//!
//! A row counts as there when the broker's report says so. A body is produced row by row in order, and the next one only when all reports of this one
//! are in, so that the order of each partition is that of the events. What was under way at a kill -9 may come twice, unless a [`transaction`] holds it.
mod options;
mod producer;
mod transaction;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use self::options::KIND;
use self::options::Settings;
use self::producer::Producer;
use self::transaction::Transaction;
use crate::component::sink::{OutRow, Outcome, Sent, Then};
use crate::component::{Body, BoxFuture, Claim, Outage, Sink};
use crate::expr::eval::BatchRow;
use crate::net::kafka::words;
use crate::state::{StateError, StateReader, StateWriter};

/// The longest name of a topic.
const TOPIC_BYTES_MAX: usize = 249;

/// Parts that a row may have: a key, a text in the place of the event.
const KEY: u8 = 1;
const TEXT: u8 = 2;

/// A row as it lies in a body: topic, key, headers, text, then the event.
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
        let parts = from.u8()?;
        let key = if parts & KEY != 0 { Some(from.bytes()?) } else { None };
        let mut headers = Vec::new();
        for _ in 0..from.u32()? {
            headers.push((from.text()?, from.bytes()?));
        }
        // Behind a text stands the event, for the dead letter.
        let value = if parts & TEXT != 0 { from.bytes()? } else { from.rest() };
        Ok(Message { topic, key, headers, value: value.strip_suffix(b"\n").unwrap_or(value) })
    }
}

/// See the module.
struct KafkaSink {
    settings: Settings,
    /// Made anew after a fault that it does not survive.
    producer: Arc<Mutex<Option<Producer>>>,
    transaction: Option<Transaction>,
}

impl KafkaSink {
    fn new(settings: Settings, installation: &[u8]) -> KafkaSink {
        let transaction = settings.transactional_id(installation).map(|id| Transaction::new(id, &settings));
        let producer = if transaction.is_some() { Arc::clone(&settings.tenure.producer) } else { Arc::default() };
        KafkaSink { settings, producer, transaction }
    }

    /// The client. One of transactions has fenced whoever had its id, and ended what that left open; the thread waits for it, as nothing else has to be done.
    fn producer(&self) -> Result<Producer, Outage> {
        let mut slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        // What stands in an open transaction cannot be put into another one.
        if let Some(producer) = slot.as_ref().filter(|_| !self.is_holding())
            && !self.transaction.as_ref().map_or(Ok(!producer.is_broken()), |t| t.is_usable(producer))?
        {
            *slot = None;
        }
        match &*slot {
            Some(producer) => Ok(producer.clone()),
            None => Ok(slot.insert(self.new_producer(self.transaction.as_ref())?).clone()),
        }
    }

    fn new_producer(&self, transaction: Option<&Transaction>) -> Result<Producer, Outage> {
        let failed = |e: KafkaError| Outage::new(format!("{}: {}", self.settings.kafka.brokers(), words(&e)));
        Producer::new(&self.settings, transaction).map_err(failed)
    }

    /// Sends some rows of a body, and waits for what becomes of them. Also what went wrong.
    async fn produce(&self, producer: &Producer, body: &Body, rows: Range<usize>) -> Result<(Vec<Outcome>, Option<KafkaError>), Outage> {
        let deliveries = producer.begin(rows.len());
        let mut stopped = None;
        for (at, row) in rows.clone().enumerate() {
            let message = Message::read(&body.bytes[body.range(row..row + 1)]).map_err(|e| Outage::new(e.to_string()))?;
            if let Some(refusal) = self.refusal(&message, body, row) {
                deliveries.note(at, refusal);
                continue;
            }
            if let Some(transaction) = &self.transaction {
                transaction.begin(producer, message.topic)?;
            }
            if let Err(error) = producer.send(&message, &deliveries, at).await {
                deliveries.note(at, outcome(&error));
                if outcome(&error) == Outcome::Retry {
                    // What follows waits for this one.
                    (at + 1..rows.len()).for_each(|at| deliveries.note(at, Outcome::Retry));
                    stopped = Some(error);
                    break;
                }
            }
        }
        let (outcomes, fault) = deliveries.all().await;
        Ok((outcomes, stopped.or(fault)))
    }

    /// Sends a body within the transaction. What went wrong with a row has gone wrong with all of it.
    async fn send_in(&self, transaction: &Transaction, producer: &Producer, body: &Body) -> Result<Sent, Outage> {
        let id = |row: usize| body.marks.get(row).map(|mark| mark.id).unwrap_or_default();
        let mut all = Vec::with_capacity(body.rows());
        while all.len() < body.rows() {
            let first = all.len();
            let end = match transaction.goes_alone(&id(first)) {
                true => first + 1,
                false => (first + 1..body.rows()).find(|row| transaction.goes_alone(&id(*row))).unwrap_or(body.rows()),
            };
            let rows = first..end;
            let (outcomes, fault) = self.produce(producer, body, rows.clone()).await?;
            if let Some(fault) = fault {
                transaction.learn(&outcome(&fault), rows.map(id).zip(&outcomes));
                return Err(transaction.outage(&fault, producer));
            }
            all.extend(outcomes);
        }
        Ok(if all.iter().all(|o| *o == Outcome::Accepted) { Sent::All } else { Sent::Rows(all, None) })
    }

    /// Why a row is not to be sent: a transaction must not hold what a broker will refuse.
    fn refusal(&self, message: &Message<'_>, body: &Body, row: usize) -> Option<Outcome> {
        let transaction = self.transaction.as_ref()?;
        let is_name = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
        if !message.topic.bytes().all(is_name) || matches!(message.topic, "" | "." | "..") || message.topic.len() > TOPIC_BYTES_MAX {
            return Some(Outcome::Rejected { status: None, reason: format!("`{}` is no name of a topic", message.topic) });
        }
        transaction.refusal(&body.marks.get(row)?.id)
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
        Box::pin(async {
            match self.producer() {
                Err(outage) if self.transaction.is_none() => Err(outage),
                _ => Ok(()),
            }
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, Outage>> {
        Box::pin(async {
            // One of transactions would take the place of a process that is at work.
            let producer = self.new_producer(None)?;
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
        let key = self.settings.has_key.then(|| templates.next().and_then(&mut value_of)).flatten();
        let encoding = &self.settings.encoding;
        out.u8(if key.is_some() { KEY } else { 0 } | if encoding.is_json() { 0 } else { TEXT });
        if let Some(key) = &key {
            out.bytes(key);
        }
        let headers: Vec<(&String, Vec<u8>)> =
            self.settings.headers.iter().zip(templates).filter_map(|(name, template)| Some((name, value_of(template)?))).collect();
        out.u32(headers.len() as u32);
        for (name, value) in &headers {
            out.bytes(name.as_bytes());
            out.bytes(value);
        }
        if !encoding.is_json() {
            text.clear();
            encoding.write(row, &mut text);
            out.bytes(&text);
        }
        body.bytes = out.bytes;
        row.end(row.identity(), body);
    }

    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async move {
            let producer = self.producer()?;
            if let Some(transaction) = &self.transaction {
                return self.send_in(transaction, &producer, body).await;
            }
            let (rows, fault) = self.produce(&producer, body, 0..body.rows()).await?;
            let is_refused = fault.as_ref().is_some_and(|e| outcome(e) != Outcome::Retry);
            Ok(match fault {
                _ if rows.iter().all(|r| *r == Outcome::Accepted) => Sent::All,
                // One of them is to blame.
                Some(fault) if is_refused && rows.iter().all(|r| *r == Outcome::Retry) => Sent::TooLarge(words(&fault)),
                fault => Sent::Rows(rows, fault.map(|e| self.outage(&e, &producer))),
            })
        })
    }

    fn trouble(&self) -> Option<Outage> {
        let slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = slot.as_ref()?.trouble().take()?;
        Some(Outage::new(format!("{}: {trouble}", self.settings.kafka.brokers())))
    }

    fn is_stateless(&self) -> bool {
        self.transaction.is_none()
    }

    fn seal(&self, epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async move {
            match &self.transaction {
                Some(transaction) if transaction.is_open() => transaction.seal(&self.producer()?, epoch),
                _ => Ok(Vec::new()),
            }
        })
    }

    fn is_holding(&self) -> bool {
        self.transaction.as_ref().is_some_and(Transaction::is_open)
    }

    fn release<'a>(&'a self, epoch: u64, claims: &'a [Claim]) -> BoxFuture<'a, Result<(), Outage>> {
        Box::pin(async move {
            let Some(transaction) = &self.transaction else { return Ok(()) };
            transaction.commit(&self.producer()?, epoch, claims)
        })
    }

    fn was_released<'a>(&'a self, sealed: &'a [u8]) -> BoxFuture<'a, Result<bool, Outage>> {
        Box::pin(async move {
            let Some(transaction) = &self.transaction else {
                let message = "its last epoch may stand in a transaction or not: run with `transactional` as it was until it has said so";
                return Err(Outage { message: message.to_owned(), then: Then::Fail });
            };
            self.producer()?;
            transaction.was_committed(&self.settings, sealed)
        })
    }
}
