//! Sinks: where events and alerts go. A kind is a file.
pub mod drop;
pub mod file;
pub mod stdout;

use crate::component::Kind;
pub use crate::component::sink::SinkFactory;
use crate::config::{Field, Options, Type};

/// Reads the options of a sink.
pub type BindSink = fn(&Options<'_>) -> Option<SinkFactory>;

/// All kinds of sinks.
pub const KINDS: &[&Kind<BindSink>] = &[&drop::KIND, &file::KIND, &stdout::KIND];

/// Options of every sink.
pub const COMMON: &[Field] = &[
    Field::optional("original", Type::Bool, "whether events that are no JSON carry `event.original`; default: as the source says"),
    Field::optional("meta", Type::Bool, "adds `tripline`: id, source, partition, position, time, late; default false"),
    Field::optional("where", Type::Expression, "which events are written; default: all"),
];
