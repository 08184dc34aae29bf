//! Sinks: where events and alerts go. A kind is a file.
pub mod drop;
pub mod elasticsearch;
mod encode;
pub mod file;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod stdout;
pub mod thehive;

use std::borrow::Cow;
use std::io::Write as _;
use std::time::Duration;

use crate::component::Kind;
pub use crate::component::sink::BoundSink;
use crate::component::sink::Packing;
use crate::config::{Field, Options, Type};

/// Reads the options of a sink.
pub type BindSink = fn(&Options<'_>) -> Option<BoundSink>;

/// All kinds of sinks.
pub const KINDS: &[&Kind<BindSink>] = &[
    &drop::KIND,
    &elasticsearch::KIND,
    &file::KIND,
    #[cfg(feature = "kafka")]
    &kafka::KIND,
    &stdout::KIND,
    &thehive::KIND,
];

/// Options of every sink.
pub const COMMON: &[Field] = &[
    Field::optional("original", Type::Bool, "whether events that are no JSON carry `event.original`; default: as the source says"),
    Field::optional("meta", Type::Bool, "adds `tripline`: id, source, partition, position, time, late; default false"),
    Field::optional("where", Type::Expression, "which events are written; default: all"),
    Field::optional(
        "dead_letter",
        Type::Text,
        "where rows go that its peer refuses for good: file (default: <state>/dead_letter/NODE.ndjson), or a sink, which gets them as events",
    ),
    Field::optional("batch", Type::Section(BATCH), "how much is sent at once"),
    Field::optional("retry", Type::Section(RETRY), "how long a peer that is away is left alone"),
    Field::optional("rate_max", Type::Count, "most rows a second that are sent; default: no bound"),
    Field::optional(
        "buffer",
        Type::Any,
        "where rows wait for it: memory (default; thehive: 1GiB on the disk) or {disk: SIZE}, in the state folder",
    ),
    Field::optional(
        "when_full",
        Type::Word(&["wait", "drop_newest"]),
        "what becomes of rows that find no room: they wait (default), or are dropped and counted",
    ),
];

const BATCH: &[Field] = &[
    Field::optional("bytes", Type::Size, "a body is sent when it is so large; default 1MiB, elasticsearch 5MiB"),
    Field::optional("rows", Type::Count, "or when it has so many rows; default: no bound"),
    Field::optional("age", Type::Duration, "or when its first row is so old; default: as soon as nothing more waits"),
];

const RETRY: &[Field] = &[
    Field::optional("min", Type::Duration, "the first wait; each further one is twice as long; default 100ms"),
    Field::optional("max", Type::Duration, "the longest; default 10s"),
];

/// How bodies are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
    /// By Zstandard.
    Zstd,
}

impl Compression {
    /// What the option `compression` says.
    pub fn read(options: &Options<'_>) -> Compression {
        match options.text("compression").as_deref() {
            Some("gzip") => Compression::Gzip,
            Some("zstd") => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// Whether bodies go as they are.
    pub fn is_none(self) -> bool {
        self == Compression::None
    }

    /// Its name in `content-encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "identity",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// Packs a body.
    pub fn pack(self, body: &[u8]) -> std::io::Result<Cow<'_, [u8]>> {
        Ok(Cow::Owned(match self {
            Compression::None => return Ok(Cow::Borrowed(body)),
            Compression::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 4), flate2::Compression::fast());
                packer.write_all(body)?;
                packer.finish()?
            }
            Compression::Zstd => zstd::encode_all(body, 1)?,
        }))
    }
}

/// What the options `batch` and `retry` of a sink say.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackingOptions {
    bytes: Option<usize>,
    rows: Option<usize>,
    age: Option<Duration>,
    retry: (Option<Duration>, Option<Duration>),
    rate: Option<usize>,
}

impl PackingOptions {
    /// Reads them.
    pub fn read(options: &Options<'_>) -> PackingOptions {
        let (batch, retry) = (options.section("batch"), options.section("retry"));
        let of = |section: &Option<Options<'_>>, key: &str| section.as_ref()?.duration(key).map(|d| Duration::from_nanos(d.unsigned_abs()));
        let at_least_one = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
        PackingOptions {
            bytes: batch.as_ref().and_then(|b| b.size("bytes")).map(at_least_one),
            rows: batch.as_ref().and_then(|b| b.count("rows")).map(at_least_one),
            age: of(&batch, "age"),
            retry: (of(&retry, "min"), of(&retry, "max")),
            rate: options.count("rate_max").map(at_least_one),
        }
    }

    /// What a sink does by itself, with what they say instead.
    pub fn over(&self, own: Packing) -> Packing {
        let first = self.retry.0.unwrap_or(own.retry.0);
        Packing {
            bytes: self.bytes.unwrap_or(own.bytes),
            // A body holds no more than may go in a second.
            rows: self.rows.unwrap_or(own.rows).min(self.rate.unwrap_or(usize::MAX)),
            age: self.age.unwrap_or(own.age),
            in_flight: own.in_flight,
            retry: (first, self.retry.1.unwrap_or(own.retry.1).max(first)),
            rate: self.rate,
        }
    }
}
