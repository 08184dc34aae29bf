//! The transaction that holds an epoch: what was written since the last one, the offsets that Kafka sources of the same cluster claim for it, and a marker
//! that tells which epoch it is.
//!
//! The marker is an offset in a consumer group of the sink's own, which bears the transactional id; run and epoch are its metadata. Whoever comes back after a
//! crash between preparing an epoch and hearing that its transaction is committed reads there which it was. A transactional id belongs to one process: the
//! brokers fence whoever had it before.
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::options::Settings;
use super::producer::Producer;
use crate::component::sink::{Outcome, Then};
use crate::component::{Claim, Outage};
use crate::limits::{KAFKA_REFUSED_MAX, KAFKA_TRANSACTION_MS};
use crate::net::kafka::{GroupClaim, TIMEOUT, words};
use crate::state::{StateError, StateReader, StateWriter};

/// A transaction that is so old is not committed any more: the brokers may have given it up.
const AGE_MAX: Duration = Duration::from_millis(KAFKA_TRANSACTION_MS / 4 * 3);

/// What outlives a sink that goes back to its last epoch.
#[derive(Default)]
pub(super) struct Tenure {
    /// The client that has the transactional id. A new one would take the id back from a process that has taken it in the meantime; this one learns of that.
    pub(super) producer: Arc<Mutex<Option<Producer>>>,
    /// What is known of rows, by their identities: a transaction that holds one that a broker refuses fails as a whole, and is made again without it.
    refused: Mutex<HashMap<[u8; 32], Known>>,
}

/// What is known of a row.
#[derive(Clone)]
pub(super) enum Known {
    /// It was refused together with others: it goes alone the next time.
    Suspect,
    /// It was refused.
    Refused(Outcome),
}

/// A transaction that is open.
struct Open {
    /// The topic of its first message, where the marker is put.
    topic: String,
    /// How many of the marker and the claims it holds.
    claimed: usize,
}

/// See the module.
pub(super) struct Transaction {
    pub(super) id: String,
    /// Tells this run from all others.
    run: u64,
    open: Mutex<Option<Open>>,
    tenure: Arc<Tenure>,
    /// How the brokers are called, for messages.
    brokers: String,
}

/// The marker of an epoch: where it stands, and what it says.
struct Marker {
    topic: String,
    words: String,
}

impl Marker {
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = StateWriter::default();
        out.bytes(self.topic.as_bytes());
        out.bytes(self.words.as_bytes());
        out.bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Marker, StateError> {
        let mut from = StateReader::new(bytes);
        Ok(Marker { topic: from.text()?.to_owned(), words: from.text()?.to_owned() })
    }
}

impl Transaction {
    pub(super) fn new(id: String, settings: &Settings) -> Transaction {
        let run = RandomState::new().hash_one(std::process::id());
        let brokers = settings.kafka.brokers().to_owned();
        Transaction { id, run, open: Mutex::default(), tenure: Arc::clone(&settings.tenure), brokers }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self) -> MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.tenure.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Why a row is not to be sent, if a broker has refused it before.
    pub(super) fn refusal(&self, id: &[u8; 32]) -> Option<Outcome> {
        match self.refused().get(id) {
            Some(Known::Refused(outcome)) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// Whether a row is to be sent with no other.
    pub(super) fn goes_alone(&self, id: &[u8; 32]) -> bool {
        matches!(self.refused().get(id), Some(Known::Suspect))
    }

    /// Remembers what became of rows that were sent together, given what the fault says of them.
    pub(super) fn learn<'o>(&self, fault: &Outcome, rows: impl Iterator<Item = ([u8; 32], &'o Outcome)>) {
        let mut refused = self.refused();
        let room = KAFKA_REFUSED_MAX.saturating_sub(refused.len());
        let known = rows.filter_map(|(id, outcome)| match outcome {
            Outcome::Rejected { .. } => Some((id, Known::Refused(outcome.clone()))),
            Outcome::Retry if *fault != Outcome::Retry => Some((id, Known::Suspect)),
            _ => None,
        });
        refused.extend(known.take(room));
    }

    /// Begins a transaction if none is open.
    pub(super) fn begin(&self, producer: &Producer, topic: &str) -> Result<(), Outage> {
        let mut open = self.lock();
        match &*open {
            Some(_) => self.check_age(producer),
            None => {
                producer.begin_transaction().map_err(|e| self.outage(&e, producer))?;
                *open = Some(Open { topic: topic.to_owned(), claimed: 0 });
                Ok(())
            }
        }
    }

    fn check_age(&self, producer: &Producer) -> Result<(), Outage> {
        if producer.transaction_age().is_none_or(|age| age <= AGE_MAX) {
            return Ok(());
        }
        let why = "another sink holds its epoch up, and a transaction may not last for ever (give that sink a disk buffer)";
        Err(Outage { message: format!("{}: the transaction is given up after {AGE_MAX:?}: {why}", self.brokers), then: Then::Rewind })
    }

    /// Whether the producer can be used; else another one has to take its id. Ends what an earlier sink left open when it went back to its last epoch.
    pub(super) fn is_usable(&self, producer: &Producer) -> Result<bool, Outage> {
        let trouble = match producer.transaction_age() {
            _ if producer.is_broken() => self.fatal(producer),
            None => None,
            Some(_) => match producer.abort_transaction() {
                Ok(()) => None,
                // It stands in the middle of a commit that was given up.
                Err(KafkaError::Transaction(e)) if e.code() == RDKafkaErrorCode::Conflict => return Ok(false),
                Err(e) => Some(self.outage(&e, producer)),
            },
        };
        match trouble {
            None => Ok(!producer.is_broken()),
            Some(outage) if outage.then == Then::Rewind => Ok(false),
            Some(outage) => Err(outage),
        }
    }

    /// What follows from an error in a transaction.
    pub(super) fn outage(&self, error: &KafkaError, producer: &Producer) -> Outage {
        if let Some(outage) = self.fatal(producer) {
            return outage;
        }
        let (text, may_pass) = match error {
            KafkaError::Transaction(e) => (e.string(), e.is_retriable() && !e.txn_requires_abort()),
            other => (producer.trouble().words(other), false),
        };
        self.outage_of(&text, if may_pass { Then::Retry } else { Then::Rewind })
    }

    /// What follows from the error that the producer does not survive, if there was one. A transaction that is as old as brokers let one become may have been
    /// ended by them, which looks like another process.
    fn fatal(&self, producer: &Producer) -> Option<Outage> {
        Some(match producer.fatal_error()? {
            (RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch, _)
                if producer.transaction_age().is_none_or(|age| age < Duration::from_millis(KAFKA_TRANSACTION_MS)) =>
            {
                self.outage_of("another process has begun to use this transactional id: give each its own", Then::Fail)
            }
            (_, text) => self.outage_of(&text, Then::Rewind),
        })
    }

    fn outage_of(&self, text: &str, then: Then) -> Outage {
        Outage { message: format!("{}: transaction `{}`: {text}", self.brokers, self.id), then }
    }

    /// What a run that comes back has to know of the open transaction.
    pub(super) fn seal(&self, producer: &Producer, epoch: u64) -> Result<Vec<u8>, Outage> {
        self.check_age(producer)?;
        Ok(self.lock().as_ref().map(|open| self.marker(open, epoch).to_bytes()).unwrap_or_default())
    }

    fn marker(&self, open: &Open, epoch: u64) -> Marker {
        Marker { topic: open.topic.clone(), words: format!("{:016x}/{epoch}", self.run) }
    }

    /// Commits the open transaction with the marker of an epoch and what sources claim for it. Goes on where an outage interrupted it.
    pub(super) fn commit(&self, producer: &Producer, epoch: u64, claims: &[Claim]) -> Result<(), Outage> {
        self.check_age(producer)?;
        let mut slot = self.lock();
        let Some(open) = slot.as_mut() else { return Ok(()) };
        let marker = self.marker(open, epoch);
        let claims: Vec<&GroupClaim> = claims
            .iter()
            .filter_map(|c| c.downcast_ref())
            .filter(|c: &&GroupClaim| Some(c.cluster.as_str()) == producer.cluster())
            .collect();
        let mut outcome = Ok(());
        if open.claimed == 0 {
            outcome = list(&[(marker.topic.clone(), 0, epoch as i64)], &marker.words).and_then(|list| producer.mark(&list));
            open.claimed += usize::from(outcome.is_ok());
        }
        while outcome.is_ok()
            && let Some(claim) = open.claimed.checked_sub(1).and_then(|done| claims.get(done))
        {
            let Some(member) = (claim.member)() else {
                let message = format!("{}: partitions were lost to another member of the group before their epoch was done", self.brokers);
                return Err(Outage { message, then: Then::Rewind });
            };
            outcome = list(&claim.offsets, "").and_then(|list| producer.claim(&list, &member));
            open.claimed += usize::from(outcome.is_ok());
        }
        if let Err(error) = outcome.and_then(|()| producer.commit_transaction()) {
            return Err(self.outage(&error, producer));
        }
        *slot = None;
        self.refused().clear();
        Ok(())
    }

    /// Whether the transaction that an earlier run sealed was committed. It is not open any more: the producer has asked for that.
    pub(super) fn was_committed(&self, settings: &Settings, sealed: &[u8]) -> Result<bool, Outage> {
        let marker = Marker::from_bytes(sealed).map_err(|e| Outage::new(e.to_string()))?;
        let failed = |e: KafkaError| Outage::new(format!("{}: no answer to which transaction was the last: {}", self.brokers, words(&e)));
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&marker.topic, 0);
        let found = self.marker_group(settings).and_then(|group| group.committed_offsets(asked, TIMEOUT)).map_err(failed)?;
        let is_marked = found.elements().iter().any(|e| e.offset() != Offset::Invalid && e.metadata() == marker.words);
        Ok(is_marked)
    }

    /// A client that may read and write offsets of the marker's group, and joins none.
    pub(super) fn marker_group(&self, settings: &Settings) -> Result<BaseConsumer, KafkaError> {
        settings.kafka.config().set("group.id", &self.id).set("enable.auto.commit", "false").create()
    }
}

fn list(offsets: &[(String, i32, i64)], metadata: &str) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        let mut element = list.add_partition(topic, *partition);
        element.set_offset(Offset::Offset(*offset))?;
        element.set_metadata(metadata);
    }
    Ok(list)
}
