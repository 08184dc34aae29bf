//! What the options of `kafka` say.
use super::KafkaSink;
use crate::component::{Kind, OutputNames};
use crate::config::{Field, INPUTS, Options, Type};
use crate::net::kafka::{BROKERS, KafkaOptions, SASL_OPTION, TLS_OPTION};
use crate::sink::{BindSink, BoundSink, COMMON};

const FIELDS: &[Field] = &[
    BROKERS,
    Field::required("topic", Type::Template, "the topic, with fields in braces"),
    Field::optional(
        "key",
        Type::Template,
        "the key, with fields in braces: events of one key stay in order; none where the fields are absent",
    ),
    Field::optional("headers", Type::Map, "NAME: text with fields in braces; left out where the fields are absent"),
    Field::optional(
        "acks",
        Type::Word(&["all", "1", "0"]),
        "who has to have a message before it counts: all (default; only so is it never there twice by a retry), 1 or 0",
    ),
    Field::optional("compression", Type::Word(&["none", "gzip", "snappy", "lz4", "zstd"]), "how messages are packed; default none"),
    Field::optional("message_bytes_max", Type::Size, "a larger message goes to the dead letter; default 1MiB, as the brokers have it"),
    TLS_OPTION,
    SASL_OPTION,
];

/// See the room.
pub static KIND: Kind<BindSink> =
    Kind { name: "kafka", summary: "sends events to Kafka topics", fields: FIELDS, outputs: OutputNames::Main, bind };

/// See the module.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) kafka: KafkaOptions,
    topic: String,
    pub(super) has_key: bool,
    /// Names of the headers, in the order of their templates.
    pub(super) headers: Vec<String>,
    pub(super) acks: String,
    pub(super) compression: String,
    pub(super) message_bytes_max: u64,
}

impl Settings {
    /// The topic, where it is the same for all events.
    pub(super) fn topic(&self) -> Option<&str> {
        (!self.topic.contains('{')).then_some(&self.topic)
    }
}

fn bind(options: &Options<'_>) -> Option<BoundSink> {
    options.check(&[FIELDS, COMMON, INPUTS]);
    let topic = options.placed("topic")?;
    let key = options.placed("key");
    let headers = options.entries("headers");
    let settings = Settings {
        kafka: KafkaOptions::read(options)?,
        topic: topic.0.clone(),
        has_key: key.is_some(),
        headers: headers.iter().map(|(name, _)| name.name.clone()).collect(),
        acks: options.text("acks").unwrap_or_else(|| "all".to_owned()),
        compression: options.text("compression").unwrap_or_else(|| "none".to_owned()),
        message_bytes_max: options.size("message_bytes_max").unwrap_or(crate::limits::KAFKA_MESSAGE_BYTES_MAX),
    };
    let mut templates = vec![topic];
    templates.extend(key);
    templates.extend(headers.iter().map(|(_, value)| (value.text().unwrap_or_default(), value.place.clone())));
    Some(BoundSink { templates, ..BoundSink::new(move || Box::new(KafkaSink::new(settings.clone()))) })
}
