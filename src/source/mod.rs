//! Sources: where events come from. A kind is a file.
pub mod file;
mod file_content;
mod file_reader;
mod file_tracked;
pub mod generate;
mod generate_lines;
#[cfg(feature = "kafka")]
pub mod kafka;
mod multiline;
pub mod stdin;

use crate::component::Kind;
pub use crate::component::source::{BoundSource, SourceContext, SourceFactory};
use crate::config::{Field, Options, Type};

/// Reads the options of a source.
pub type BindSource = fn(&Options<'_>) -> Option<BoundSource>;

/// All kinds of sources.
pub const KINDS: &[&Kind<BindSource>] = &[
    &file::KIND,
    &generate::KIND,
    #[cfg(feature = "kafka")]
    &kafka::KIND,
    &stdin::KIND,
];

/// Options of `time:`.
pub const TIME: &[Field] = &[
    Field::optional("field", Type::Text, "the field that tells the event's time"),
    Field::optional(
        "format",
        Type::Text,
        "auto (default), rfc3339, syslog, epoch_s, epoch_ms, epoch_us, epoch_ns, or a form as that of strftime: %d/%b/%Y:%H:%M:%S %z",
    ),
    Field::optional("zone", Type::Text, "zone of times without one; default UTC"),
    Field::optional("year", Type::Count, "year of dates without one; default: the nearest"),
    Field::optional("lateness", Type::Duration, "how far behind its partition an event may come; default 0s"),
    Field::optional("idle_timeout", Type::Duration, "silence after which a partition is not waited for; default 1s"),
    Field::optional("jump_max", Type::Duration, "how far ahead a time is believed at once; default 1h"),
    Field::optional("skew_max", Type::Duration, "how far a partition may run ahead of the slowest; default 10m"),
];

/// Options of every source.
pub const COMMON: &[Field] = &[
    Field::optional("format", Type::Any, "NAME, {type: NAME, …}, or a list that unpacks `message` step by step"),
    Field::optional("time", Type::Section(TIME), "event time"),
    Field::optional("id", Type::Text, "name in event ids; default: the node's name"),
    Field::optional("original", Type::Bool, "whether whole events carry `event.original`; default true"),
];
