//! A sink: encodes rows into bodies and sends bodies. Retry, in-flight limits and settling are the runtime's.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{BoxFuture, Claim};
use crate::codec::format::json_out::{EventWriter, RowFacts};
use crate::diagnostic::Place;
use crate::event::{Batch, Slot};
use crate::expr::Template;
use crate::limits::{BODY_BYTES_MAX, RETRY_MAX_MS, RETRY_MIN_MS};

/// A peer that cannot be used now. The runtime backs off and tries again; nothing is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// What happened, without secrets.
    pub message: String,
    /// What follows.
    pub then: Then,
}

/// What follows from an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It may pass: the runtime tries again.
    Retry,
    /// The reader went away for good: the run ends quietly.
    End,
    /// What the peer held of epochs that are not durable is void: the run goes back to its last epoch.
    Rewind,
    /// Somebody else has taken this place: the run fails.
    Fail,
}

impl Outage {
    /// An outage that may pass.
    pub fn new(message: impl Into<String>) -> Outage {
        Outage { message: message.into(), then: Then::Retry }
    }
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Rows on their way out.
#[derive(Debug, Default)]
pub struct Body {
    /// The encoded rows.
    pub bytes: Vec<u8>,
    /// End of each row in `bytes`.
    pub ends: Vec<usize>,
    /// Of sinks whose peer may refuse a row: what each is.
    pub marks: Vec<Mark>,
}

/// What a row of a body is, for the dead letter.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Where the event begins in the body's bytes.
    pub event_at: usize,
    /// The identity of the event.
    pub id: [u8; 32],
}

impl Body {
    /// Rows in it.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of some rows.
    pub fn range(&self, rows: Range<usize>) -> Range<usize> {
        let end = |row: usize| if row == 0 { 0 } else { self.ends[row - 1] };
        end(rows.start)..end(rows.end)
    }

    /// The event of a row, where the sink marked it.
    pub fn event(&self, row: usize) -> Option<(&[u8], [u8; 32])> {
        let mark = self.marks.get(row)?;
        Some((self.bytes[mark.event_at..self.ends[row]].trim_ascii_end(), mark.id))
    }

    /// A body of some of the rows.
    pub fn only(&self, keep: impl Fn(usize) -> bool) -> Body {
        let mut out = Body::default();
        for row in (0..self.rows()).filter(|row| keep(*row)) {
            let bytes = self.range(row..row + 1);
            if let Some(mark) = self.marks.get(row) {
                out.marks.push(Mark { event_at: mark.event_at - bytes.start + out.bytes.len(), ..*mark });
            }
            out.bytes.extend_from_slice(&self.bytes[bytes]);
            out.ends.push(out.bytes.len());
        }
        out
    }

    /// Makes it empty and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.marks.clear();
    }
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Accepted,
    /// It was there already.
    Duplicate,
    /// It will never be taken: it goes to the dead letter.
    Rejected {
        /// The peer's code, if it has one.
        status: Option<u16>,
        /// Its words.
        reason: String,
    },
    /// Not now.
    Retry,
}

/// What became of a body that reached its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All rows are there.
    All,
    /// Each row by itself, and why some were put off.
    Rows(Vec<Outcome>, Option<Outage>),
    /// The peer takes no body of this size.
    TooLarge(String),
}

/// What becomes of rows for an edge that is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Whoever has them waits.
    #[default]
    Wait,
    /// They are dropped and counted.
    DropNewest,
}

/// How rows are packed into bodies, and bodies sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// A body is sent when it holds so many bytes.
    pub bytes: usize,
    /// Or so many rows.
    pub rows: usize,
    /// Or when its first row is so old. Zero: as soon as nothing more waits.
    pub age: Duration,
    /// Most bodies under way at once.
    pub in_flight: usize,
    /// First and longest wait between two tries.
    pub retry: (Duration, Duration),
    /// Most rows a second; none: no bound.
    pub rate: Option<usize>,
}

impl Packing {
    /// Bodies small enough for a disk buffer of so many bytes.
    pub fn within(self, buffer: Option<u64>) -> Packing {
        let most = buffer.map_or(usize::MAX, |bytes| usize::try_from(bytes / 8).unwrap_or(usize::MAX)).max(1);
        Packing { bytes: self.bytes.min(most), ..self }
    }
}

impl Default for Packing {
    fn default() -> Packing {
        Packing {
            bytes: BODY_BYTES_MAX,
            rows: usize::MAX,
            age: Duration::ZERO,
            in_flight: 1,
            retry: (Duration::from_millis(RETRY_MIN_MS), Duration::from_millis(RETRY_MAX_MS)),
            rate: None,
        }
    }
}

/// What a sink knows of one of its inputs.
#[derive(Clone, Debug, Default)]
pub struct SinkInput {
    /// How its events are written.
    pub writer: EventWriter,
    /// The sink's templates, compiled for this input, in the sink's order.
    pub templates: Vec<Template>,
    /// Slots of the fields that the sink reads, in the sink's order.
    pub reads: Vec<Option<Slot>>,
    /// Slots of the values of the sink's expressions, in the sink's order.
    pub values: Vec<Slot>,
    /// Its events are alerts.
    pub is_alert: bool,
}

/// A row that is to be encoded.
#[derive(Clone, Copy)]
pub struct OutRow<'r> {
    /// Where it comes from.
    pub input: &'r SinkInput,
    /// Its batch.
    pub batch: &'r Batch,
    /// Its number.
    pub row: usize,
    /// Its time, where the sink asked for it.
    pub facts: RowFacts,
}

impl OutRow<'_> {
    /// The identity of the event.
    pub fn identity(&self) -> [u8; 32] {
        let input = &self.batch.input;
        input.origin.event_id(input.position(self.row), input.line(self.row))
    }

    /// Ends a row of a body with the event, marked for the dead letter.
    pub fn end(&self, id: [u8; 32], body: &mut Body) {
        body.marks.push(Mark { event_at: body.bytes.len(), id });
        self.write(&mut body.bytes);
        body.ends.push(body.bytes.len());
    }

    /// Appends the event as JSON and a line feed.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.input.writer.write(self.batch, self.row, self.facts, out);
    }
}

/// Makes the sink once everything is known, given the identity of this installation.
pub type SinkFactory = Box<dyn Fn(&[u8]) -> Box<dyn Sink>>;

/// What the options of a sink came to.
pub struct BoundSink {
    /// Makes it.
    pub factory: SinkFactory,
    /// Texts with fields in braces, which are compiled for each input.
    pub templates: Vec<(String, Place)>,
    /// Fields that it reads of each input.
    pub reads: Vec<String>,
    /// Expressions whose values it wants of each event.
    pub expressions: Vec<(String, Place)>,
    /// Bytes of the disk buffer before it, where the file says nothing.
    pub buffer: Option<u64>,
    /// How its peer may map what it writes: a name and JSON.
    pub index_template: Option<(String, String)>,
    /// Whether it holds an epoch in a transaction. See [`Sink::is_holding`].
    pub is_transactional: bool,
}

impl BoundSink {
    /// A sink that reads nothing but whole events.
    pub fn new(factory: impl Fn(&[u8]) -> Box<dyn Sink> + 'static) -> BoundSink {
        BoundSink {
            factory: Box::new(factory),
            templates: Vec::new(),
            reads: Vec::new(),
            expressions: Vec::new(),
            buffer: None,
            index_template: None,
            is_transactional: false,
        }
    }
}

/// Writes to outside. Several bodies may be under way at once where its packing says so.
pub trait Sink: Send + Sync {
    /// Opens the destination, given what was sealed last. A peer that may come later is no outage here.
    fn connect(&self, last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>>;
    /// Looks whether the destination can be used, and says what is there; changes nothing. For `check --connect`.
    fn probe(&self) -> BoxFuture<'_, Result<String, Outage>> {
        Box::pin(async { Ok("has no peer".to_owned()) })
    }
    /// How bodies are packed and sent.
    fn packing(&self) -> Packing {
        Packing::default()
    }
    /// Whether [`OutRow::facts`] are needed.
    fn needs_facts(&self) -> bool {
        false
    }
    /// Appends a row to a body.
    fn encode(&self, row: &OutRow<'_>, body: &mut Body) {
        row.write(&mut body.bytes);
        body.ends.push(body.bytes.len());
    }
    /// Sends a body, and says what became of each row. After an outage nothing is known of any. The body is shared, so that a request can hold it
    /// without a copy.
    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>>;
    /// What its peer says while bodies are under way, of a client that tries again by itself. Each word once.
    fn trouble(&self) -> Option<Outage> {
        None
    }
    /// Whether an epoch leaves nothing to seal: a row that is settled stays so. Then rows are sent while those of an epoch before are still under way.
    fn is_stateless(&self) -> bool {
        false
    }
    /// Makes what was sent durable, the end of an epoch, and says how to come back to here. No body is under way, unless it [`is_stateless`](Sink::is_stateless).
    fn seal(&self, epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>>;
    /// Whether what was sealed last is seen outside only once it is released. Until then nothing more is sent, and the epoch is not durable.
    fn is_holding(&self) -> bool {
        false
    }
    /// Lets what was sealed at an epoch be seen, together with what sources claim for it: their record is on the disk, and is taken back if
    /// [`Sink::was_released`] says no at the next start. Asked again after an outage that may pass.
    fn release<'a>(&'a self, _epoch: u64, _claims: &'a [Claim]) -> BoxFuture<'a, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }
    /// Whether an epoch that an earlier run sealed like this was released.
    fn was_released<'a>(&'a self, _sealed: &'a [u8]) -> BoxFuture<'a, Result<bool, Outage>> {
        Box::pin(async { Ok(true) })
    }
    /// An epoch is durable.
    fn commit(&self, _epoch: u64) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }
    /// Whether rows that nobody reads may be dropped without encoding.
    fn discards(&self) -> bool {
        false
    }
}
