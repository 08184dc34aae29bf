//! A source: fills buffers with lines of one partition at a time, and knows how to go on from a position.
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{BoxFuture, Claim, Outage};
use crate::clock::{Clock, Timestamp};
use crate::event::builder::Positions;
use crate::event::{BatchBuilder, Origin};
use crate::metrics::{Counter, Registry};
use crate::window::watermark::Activity;

/// What a call of [`Source::fill`] gave.
#[derive(Debug)]
pub enum Fill {
    /// The builder holds lines of this partition, beginning at this position.
    Rows {
        /// The partition.
        origin: Arc<Origin>,
        /// Position of the first byte or row.
        base: u64,
        /// What positions count.
        positions: Positions,
    },
    /// A partition appeared, fell silent, spoke again or ended.
    Partition(Arc<Origin>, Activity),
    /// All partitions that are there at the start have been named.
    Opened,
    /// Nothing now; ask again after this long.
    Wait(std::time::Duration),
    /// A word for the user: level, event, message.
    Word(&'static str, &'static str, String),
    /// Nothing any more.
    End,
}

/// A position that only its source understands.
pub type Position = Vec<u8>;

/// Reads from outside. `fill` may be dropped at any await point without loss.
pub trait Source: Send {
    /// Opens what is to be read, from a saved position or from the start.
    fn connect(&mut self, from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>>;
    /// Looks whether there is something to read from, and says what; takes nothing. For `check --connect`.
    fn probe(&mut self) -> BoxFuture<'_, Result<String, Outage>> {
        Box::pin(async { Ok("has no peer".to_owned()) })
    }
    /// Puts lines into an empty builder.
    fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>>;
    /// Called while there is no room for what it would give, a few times a second: a peer may want to hear that it is alive.
    fn tend(&mut self) {}
    /// Called then, too: what has a place of its own for what it reads may read on, and says whether it wants to be called again at once. May be dropped at
    /// any await point without loss.
    fn read_on(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(async { false })
    }
    /// Where the next `fill` begins.
    fn position(&self) -> Position;
    /// What a sink of the same system needs to commit the position with its own output, if there is anything to commit.
    fn claim(&self) -> Option<Claim> {
        None
    }
    /// All before a position is durable.
    fn commit(&mut self, _upto: &Position) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }
    /// Whether the last run left nothing to read, for a word to the user.
    fn is_exhausted_at_start(&self) -> bool {
        false
    }
    /// Address that it listens on, if it does.
    fn listening(&self) -> Option<String> {
        None
    }
}

/// What a source gets besides its options.
#[derive(Clone)]
pub struct SourceContext {
    /// Where relative paths start.
    pub folder: PathBuf,
    /// Identity of this installation, for event ids.
    pub installation: Vec<u8>,
    /// Its place among the sources, as they are written.
    pub number: usize,
    /// How far other partitions have come.
    pub pace: Pace,
    /// The clock.
    pub clock: Clock,
    /// Empty lines and bytes of cut lines.
    pub discarded: Discarded,
    /// `--until-end`.
    pub until_end: bool,
    /// Of a source of files: those that are read instead of its own, once.
    pub instead: Option<Vec<PathBuf>>,
    /// A partition that is silent for so long is idle.
    pub idle_timeout: i64,
    /// The facts that are asked for, in the order in which each row tells them.
    pub facts: Vec<String>,
    /// Its own counters.
    pub registry: Registry,
}

/// Counters of what is left out.
#[derive(Clone)]
pub struct Discarded {
    /// Empty lines.
    pub empty: Counter,
    /// Bytes behind the limit of a line.
    pub cut_bytes: Counter,
    /// Packed files that could not be unpacked to their end.
    pub broken: Counter,
    /// Bytes read.
    pub bytes: Counter,
}

/// Makes the source once everything is known.
pub type SourceFactory = Box<dyn Fn(SourceContext) -> Box<dyn Source>>;

/// Names of what a source knows of its events beside their bytes. They can be read as fields, and stand in no event that nobody puts them in.
#[derive(Clone, Copy, Debug, Default)]
pub struct FactNames {
    /// Whole names.
    pub names: &'static [&'static str],
    /// Beginnings of names.
    pub prefixes: &'static [&'static str],
}

impl FactNames {
    /// Whether a name is one of them.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(&name) || self.prefixes.iter().any(|p| name.len() > p.len() && name.starts_with(p))
    }
}

/// What the options of a source came to.
pub struct BoundSource {
    /// Makes it.
    pub factory: SourceFactory,
    /// The format that is its own.
    pub format: &'static str,
    /// What it knows beside the bytes.
    pub facts: FactNames,
    /// The fact that tells the time of events whose format and options name none.
    pub time: Option<&'static str>,
    /// What the process has one of: a second source of the kind would take a part of its lines, and what was read of it cannot be read again.
    pub only: Option<&'static str>,
}

impl BoundSource {
    /// A source that knows nothing beside the bytes.
    pub fn new(factory: SourceFactory, format: &'static str) -> BoundSource {
        BoundSource { factory, format, facts: FactNames::default(), time: None, only: None }
    }
}

/// How far each partition has come in event time, so that none runs far ahead of the slowest.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    times: Arc<Mutex<HashMap<(String, String), Timestamp>>>,
    skew_max: i64,
}

impl Pace {
    /// A pace that allows so much distance.
    pub fn new(skew_max: i64) -> Pace {
        Pace { times: Arc::default(), skew_max }
    }

    /// Says how far a partition has come. What was under way when it stopped being waited for is not heard.
    pub fn report(&self, origin: &Origin, time: Timestamp) {
        let mut times = self.lock();
        match times.get_mut(&(origin.source.clone(), origin.partition.clone())) {
            Some(old) => *old = time.max(*old),
            None => drop(times.insert((origin.source.clone(), origin.partition.clone()), time)),
        }
    }

    /// A partition no longer holds the others back.
    pub fn release(&self, origin: &Origin) {
        self.lock().insert((origin.source.clone(), origin.partition.clone()), Timestamp::MAX);
    }

    /// A partition that was released speaks again.
    pub fn resume(&self, origin: &Origin) {
        self.lock().remove(&(origin.source.clone(), origin.partition.clone()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Timestamp>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a partition may go on.
    pub fn may_read(&self, origin: &Origin) -> bool {
        let times = self.lock();
        if times.len() < 2 {
            return true;
        }
        let Some(own) = times.get(&(origin.source.clone(), origin.partition.clone())) else { return true };
        let slowest = times.values().copied().min().unwrap_or(*own);
        own.saturating_sub(slowest) <= self.skew_max
    }
}
