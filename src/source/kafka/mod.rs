//! `kafka`: messages of topics, as a member of a consumer group.
//!
//! Each partition of a topic is a partition with an order and a watermark of its own. Positions are offsets; what the state folder holds and what the group
//! has committed may differ after a crash, and the greater one counts: an offset is only committed once its epoch is durable.
mod client;
mod commits;
mod group;
mod partition;
mod source;

use self::source::KafkaSource;
use super::{BindSource, BoundSource, COMMON, SourceContext};
use crate::component::source::{FactNames, Source};
use crate::component::{Kind, OutputNames};
use crate::config::{Field, Options, ROOT, Type};
use crate::diagnostic::Diagnostic;
use crate::event::time;
use crate::net::kafka::{BROKERS, KafkaOptions, SASL_OPTION, TLS_OPTION};

const FIELDS: &[Field] = &[
    BROKERS,
    Field::required("topics", Type::Texts, "the topics; one that begins with ^ is a pattern"),
    Field::required("group", Type::Text, "the consumer group: its members share the partitions"),
    Field::optional(
        "start",
        Type::Text,
        "where a partition begins that the group has not read yet: earliest (default), latest, or a time as in 2026-11-25T00:00:00Z",
    ),
    Field::optional("instance", Type::Text, "a name that stays over restarts, so that they move no partition (static membership)"),
    Field::optional(
        "keyed_by",
        Type::Texts,
        "with several members: the fields that choose a message's partition; `check` refuses what does not group by all of them",
    ),
    TLS_OPTION,
    SASL_OPTION,
    Field::optional("prefetch", Type::Size, "bytes that are fetched ahead, over all partitions; default 64MiB"),
];

/// What is known of a message beside its value.
const FACTS: FactNames =
    FactNames { names: &["kafka.topic", "kafka.partition", "kafka.offset", "kafka.timestamp", "kafka.key"], prefixes: &["kafka.headers."] };

/// See the module.
pub static KIND: Kind<BindSource> =
    Kind { name: "kafka", summary: "messages of Kafka topics", fields: FIELDS, outputs: OutputNames::MainAndErrors, bind };

/// Where a partition begins that nobody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Earliest,
    Latest,
    /// At the first message of this time or later, in milliseconds.
    At(i64),
}

/// See the module.
#[derive(Clone)]
struct Settings {
    name: String,
    kafka: KafkaOptions,
    topics: Vec<String>,
    group: String,
    start: Start,
    instance: Option<String>,
    prefetch: u64,
}

fn bind(options: &Options<'_>) -> Option<BoundSource> {
    options.check(&[FIELDS, COMMON, ROOT]);
    let start = match options.placed("start") {
        None => Start::Earliest,
        Some((text, _)) if text == "earliest" => Start::Earliest,
        Some((text, _)) if text == "latest" => Start::Latest,
        Some((text, place)) => match time::parse_rfc3339(text.as_bytes()) {
            Some(at) => Start::At(at.div_euclid(1_000_000)),
            None => {
                let fault = Diagnostic::error(&place, "bad_start", format!("`start` is no `{text}`"));
                options.fault(fault.help("earliest, latest, or a time as in 2026-11-25T00:00:00Z"));
                Start::Earliest
            }
        },
    };
    let settings = Settings {
        name: options.text("id").unwrap_or_else(|| options.name.to_owned()),
        kafka: KafkaOptions::read(options)?,
        topics: options.texts("topics").into_iter().map(|(topic, _)| topic).collect(),
        group: options.text("group")?,
        start,
        instance: options.text("instance"),
        prefetch: options.size("prefetch").unwrap_or(crate::limits::KAFKA_PREFETCH_BYTES),
    };
    let factory = move |context: SourceContext| -> Box<dyn Source> { Box::new(KafkaSource::new(settings.clone(), context)) };
    Some(BoundSource { factory: Box::new(factory), format: "raw", facts: FACTS, time: Some("kafka.timestamp"), only: None })
}
