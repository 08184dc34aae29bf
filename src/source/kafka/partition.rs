//! One partition that is read: its queue of fetched messages, and how far it has come.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use super::group::{Group, TopicPartition};
use crate::codec::framing::newline::push_line;
use crate::component::source::Discarded;
use crate::event::span::Kind;
use crate::event::{BatchBuilder, Origin, time};
use crate::limits::LINE_BYTES_MAX;
use crate::state::{StateError, StateReader, StateWriter};

/// What is asked for beside the value of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Header(String),
}

impl Fact {
    /// By the name of its field.
    pub(super) fn named(name: &str) -> Fact {
        match name {
            "kafka.topic" => Fact::Topic,
            "kafka.partition" => Fact::Partition,
            "kafka.offset" => Fact::Offset,
            "kafka.timestamp" => Fact::Timestamp,
            "kafka.key" => Fact::Key,
            other => Fact::Header(other.trim_start_matches("kafka.headers.").to_owned()),
        }
    }

    fn push(&self, message: &BorrowedMessage<'_>, builder: &mut BatchBuilder) {
        let mut push = |kind: Kind, value: Option<&[u8]>| {
            builder.push_fact(if value.is_some() { kind } else { Kind::Absent }, value.unwrap_or_default())
        };
        match self {
            Fact::Topic => push(Kind::Text, Some(message.topic().as_bytes())),
            Fact::Partition => push(Kind::Number, Some(message.partition().to_string().as_bytes())),
            Fact::Offset => push(Kind::Number, Some(message.offset().to_string().as_bytes())),
            Fact::Timestamp => {
                let at = message.timestamp().to_millis().map(|ms| time::rfc3339(ms.saturating_mul(1_000_000)));
                push(Kind::Text, at.as_ref().map(|text| text.as_bytes()));
            }
            Fact::Key => push(Kind::Text, message.key().map(String::from_utf8_lossy).as_ref().map(|text| text.as_bytes())),
            Fact::Header(name) => {
                // Of headers of one name the last counts, as in Kafka's own clients.
                let value = message.headers().and_then(|all| all.iter().filter(|h| h.key == name).last()).and_then(|h| h.value);
                push(Kind::Text, value.map(String::from_utf8_lossy).as_ref().map(|text| text.as_bytes()));
            }
        }
    }
}

/// See the module.
pub(super) struct Partition {
    pub(super) id: TopicPartition,
    pub(super) origin: Arc<Origin>,
    pub(super) queue: PartitionQueue<Group>,
    /// The offset of the next message.
    pub(super) next: i64,
    /// All that the broker has was read.
    pub(super) is_at_end: bool,
    pub(super) silent_since: Option<i64>,
    pub(super) is_idle: bool,
    /// A fault of the broker that is to be answered yet.
    pub(super) fault: Option<KafkaError>,
}

impl Partition {
    pub(super) fn new(id: TopicPartition, origin: Arc<Origin>, queue: PartitionQueue<Group>, next: i64) -> Partition {
        Partition { id, origin, queue, next, is_at_end: false, silent_since: None, is_idle: false, fault: None }
    }

    /// Takes what has been fetched, as far as the builder has room.
    pub(super) fn read(&mut self, facts: &[Fact], discarded: &Discarded, builder: &mut BatchBuilder) -> Result<(), KafkaError> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        let mut bytes = 0;
        while !builder.is_full() {
            match self.queue.poll(Duration::ZERO) {
                None => break,
                // A message behind a seek may come again.
                Some(Ok(message)) if message.offset() < self.next => {}
                Some(Ok(message)) => {
                    self.next = message.offset() + 1;
                    self.is_at_end = false;
                    bytes += message.payload_len();
                    push(&message, facts, discarded, builder);
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.is_at_end = true;
                    break;
                }
                Some(Err(fault)) if builder.lines.is_empty() => return Err(fault),
                Some(Err(fault)) => {
                    self.fault = Some(fault);
                    break;
                }
            }
        }
        discarded.bytes.increment(bytes as u64);
        Ok(())
    }
}

/// A message is a line, whatever stands in it; one without a value is none.
fn push(message: &BorrowedMessage<'_>, facts: &[Fact], discarded: &Discarded, builder: &mut BatchBuilder) {
    let at = builder.bytes.len();
    builder.bytes.extend_from_slice(message.payload().unwrap_or_default());
    let end = builder.bytes.len();
    if !push_line(builder, at, end) {
        discarded.empty.increment(1);
        builder.bytes.truncate(at);
        return;
    }
    builder.bytes.push(b'\n');
    if end - at > LINE_BYTES_MAX {
        discarded.cut_bytes.increment((end - at - LINE_BYTES_MAX) as u64);
    }
    builder.told.push(message.offset() as u64);
    facts.iter().for_each(|fact| fact.push(message, builder));
}

/// Version of the form of a position.
const VERSION: u8 = 1;

/// How far the partitions of a cluster were read: offsets of the next messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    /// The cluster's id; empty until it is known.
    pub(super) cluster: String,
    pub(super) next: BTreeMap<TopicPartition, i64>,
}

impl Offsets {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = StateWriter::default();
        out.u8(VERSION);
        out.bytes(self.cluster.as_bytes());
        for ((topic, number), next) in &self.next {
            out.bytes(topic.as_bytes());
            out.u32(*number as u32);
            out.i64(*next);
        }
        out.bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Offsets, StateError> {
        let mut from = StateReader::new(bytes);
        let version = from.u8()?;
        if version != VERSION {
            return Err(StateError(format!("offsets of an unknown form {version}")));
        }
        let mut out = Offsets { cluster: from.text()?.to_owned(), next: BTreeMap::new() };
        while !from.is_empty() {
            out.next.insert((from.text()?.to_owned(), from.u32()? as i32), from.i64()?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_come_back_as_they_were() {
        let offsets = Offsets { cluster: "c".into(), next: [(("t".into(), 3), 9), (("u".into(), 0), 0)].into() };
        assert_eq!(Offsets::from_bytes(&offsets.to_bytes()).unwrap(), offsets);
        assert!(Offsets::from_bytes(&[9]).is_err());
        assert!(Offsets::from_bytes(&offsets.to_bytes()[..12]).is_err());
    }

    #[test]
    fn facts_go_by_their_names() {
        assert_eq!(Fact::named("kafka.key"), Fact::Key);
        assert_eq!(Fact::named("kafka.headers.a.b"), Fact::Header("a.b".into()));
    }
}
