//! What the options of `kafka` say.
use std::sync::Arc;

use super::KafkaSink;
use super::transaction::Tenure;
use crate::component::{Kind, OutputNames, Sink};
use crate::config::{Field, Options, SINK_INPUTS, Type};
use crate::diagnostic::{Diagnostic, Place};
use crate::net::kafka::{BROKERS, KafkaOptions, SASL_OPTION, TLS_OPTION};
use crate::sink::encode::{ENCODE, Encoding};
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
    Field::optional(
        "transactional",
        Type::Any,
        "true, or a transactional id: an epoch's messages are seen by readers of committed ones all at once, together with the offsets that Kafka sources of this \
         cluster have come to; off unless given",
    ),
    ENCODE,
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
    name: String,
    transactional: Option<Transactional>,
    pub(super) encoding: Encoding,
    pub(super) tenure: Arc<Tenure>,
}

/// What the option `transactional` says.
#[derive(Clone)]
enum Transactional {
    /// The id is that of this installation and node.
    Own,
    Id(String),
}

impl Settings {
    /// The topic, where it is the same for all events.
    pub(super) fn topic(&self) -> Option<&str> {
        (!self.topic.contains('{')).then_some(&self.topic)
    }

    /// The transactional id, if there is to be one.
    pub(super) fn transactional_id(&self, installation: &[u8]) -> Option<String> {
        Some(match self.transactional.as_ref()? {
            Transactional::Id(id) => id.clone(),
            Transactional::Own => {
                let installation: String = installation.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("tripline-{installation}-{}", self.name)
            }
        })
    }
}

fn transactional(options: &Options<'_>) -> Option<Transactional> {
    let node = options.get("transactional")?;
    let fault = |place: &Place, what: &str, help: &'static str| options.fault(Diagnostic::error(place, "bad_value", what).help(help));
    if let Some((acks, place)) = options.placed("acks")
        && acks != "all"
    {
        fault(&place, &format!("a transaction wants all brokers, and `acks` is `{acks}`"), "leave `acks` out");
    }
    match node.text().as_deref() {
        Some("true") => Some(Transactional::Own),
        Some("false") => None,
        Some(id) if !id.is_empty() => Some(Transactional::Id(id.to_owned())),
        _ => {
            fault(&node.place, "`transactional` is neither a truth nor an id", "true, or a text that no other process uses");
            None
        }
    }
}

fn bind(options: &Options<'_>) -> Option<BoundSink> {
    options.check(&[FIELDS, COMMON, SINK_INPUTS]);
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
        name: options.name.to_owned(),
        transactional: transactional(options),
        encoding: Encoding::read(options),
        tenure: Arc::default(),
        message_bytes_max: options.size("message_bytes_max").unwrap_or(crate::limits::KAFKA_MESSAGE_BYTES_MAX),
    };
    let mut templates = vec![topic];
    templates.extend(key);
    templates.extend(headers.iter().map(|(_, value)| (value.text().unwrap_or_default(), value.place.clone())));
    let reads = settings.encoding.reads();
    let is_transactional = settings.transactional.is_some();
    let factory = move |installation: &[u8]| -> Box<dyn Sink> { Box::new(KafkaSink::new(settings.clone(), installation)) };
    Some(BoundSink { templates, reads, is_transactional, ..BoundSink::new(factory) })
}
