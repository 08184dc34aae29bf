//! The buffer that a source fills and seals: raw bytes, where each line lies, and where they came from.
use std::ops::Range;
use std::sync::Arc;

use super::id;
use super::span::{Kind, Span};
use crate::clock::Timestamp;
use crate::limits::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, BATCH_TAIL_BYTES};

/// One line of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// First byte.
    pub at: u32,
    /// Bytes, without the line's end.
    pub len: u32,
}

/// Where the lines of an input came from. A partition is what has an order of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Origin {
    /// Name of the source.
    pub source: String,
    /// Name of the partition within the source.
    pub partition: String,
    /// Identity that does not change with names: goes into event ids.
    pub identity: Vec<u8>,
    /// Of a generation of a file: where it begins in the positions of its partition. Neither that nor the partition's name, which is a path, is a part of an
    /// event's identity: a file is renamed and packed, and its lines are the same.
    pub base: Option<u64>,
    /// The hash of the one event of an origin that had its identity before: it comes from a dead letter.
    pub known: Option<u128>,
}

impl Origin {
    /// XXH3-128 over origin, partition, position and bytes of an event.
    pub fn event_hash(&self, position: u64, line: &[u8]) -> u128 {
        let (partition, position) = match self.base {
            Some(base) => (&[][..], position.wrapping_sub(base)),
            None => (self.partition.as_bytes(), position),
        };
        self.known.unwrap_or_else(|| id::event_hash(&self.identity, partition, position, line))
    }

    /// 32 hex digits of that: the identity of an event.
    pub fn event_id(&self, position: u64, line: &[u8]) -> [u8; 32] {
        id::hex(&self.event_hash(position, line).to_be_bytes())
    }
}

/// What positions of an input's lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Positions {
    /// Bytes from the start of the partition.
    #[default]
    Bytes,
    /// A count of events.
    Rows,
    /// Told for each row, in [`Input::told`].
    Told,
}

/// A sealed buffer. After [`BatchBuilder::seal`] nothing writes to it.
#[derive(Debug, Default)]
pub struct Input {
    bytes: Vec<u8>,
    /// The lines, in order.
    pub lines: Vec<Line>,
    /// Lines that were cut at the limit, by row.
    pub truncated: Vec<u16>,
    /// Where they came from.
    pub origin: Arc<Origin>,
    /// Position of the first byte or row.
    pub base: u64,
    /// What positions count.
    pub positions: Positions,
    /// Positions of rows that do not lie one behind the other.
    pub told: Vec<u64>,
    /// What the source knows of each row beside its line: the facts that the plan asked for, row by row.
    pub facts: Vec<Span>,
    /// When it was read.
    pub received: Timestamp,
}

impl Input {
    /// All bytes, with the readable tail.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of a row.
    #[inline(always)]
    pub fn line(&self, row: usize) -> &[u8] {
        let Line { at, len } = self.lines[row];
        &self.bytes[at as usize..(at + len) as usize]
    }

    /// The position of a row in its partition.
    #[inline]
    pub fn position(&self, row: usize) -> u64 {
        match self.positions {
            Positions::Bytes => self.base + u64::from(self.lines[row].at),
            Positions::Rows => self.base + row as u64,
            Positions::Told => self.told.get(row).copied().unwrap_or(self.base),
        }
    }

    /// An input of one of the rows.
    pub fn only(&self, row: usize) -> Input {
        let mut builder = BatchBuilder::default();
        builder.push_line(self.line(row));
        for fact in self.facts_of(row) {
            builder.push_fact(fact.kind(), &self.bytes[fact.at()..fact.at() + fact.len()]);
        }
        builder.told.push(self.position(row));
        builder.truncated.extend(self.truncated.contains(&(row as u16)).then_some(0));
        builder.seal(Arc::clone(&self.origin), self.base, Positions::Told, self.received)
    }

    /// The facts of a row.
    fn facts_of(&self, row: usize) -> &[Span] {
        let width = self.facts.len() / self.lines.len().max(1);
        &self.facts[row * width..(row + 1) * width]
    }

    /// An input of given lines, for tests and for events that the program itself makes.
    pub fn of_lines<'a>(lines: impl IntoIterator<Item = &'a [u8]>, origin: Arc<Origin>, base: u64) -> Input {
        let mut builder = BatchBuilder::default();
        lines.into_iter().for_each(|line| builder.push_line(line));
        builder.seal(origin, base, Positions::Rows, 0)
    }
}

/// Lines that the program itself makes, one behind the other.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Lines {
    /// Adds a line that `write` writes.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The lines from one to before another.
    pub fn iter(&self, lines: Range<usize>) -> impl Iterator<Item = &[u8]> {
        lines.map(|at| &self.bytes[at.checked_sub(1).map_or(0, |before| self.ends[before])..self.ends[at]])
    }

    /// How many lines from one on go into one batch.
    pub fn batch(&self, from: usize) -> usize {
        let mut bytes = 0;
        let fits = |line: &&[u8]| {
            bytes += line.len();
            bytes <= BATCH_BYTES_MAX
        };
        self.iter(from..self.len().min(from + BATCH_ROWS_MAX)).take_while(fits).count().max(1)
    }

    /// Makes it empty and keeps its memory, unless that was much.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(4 * BATCH_BYTES_MAX);
        self.ends.clear();
    }
}

/// An input while it is filled. Its memory comes from an input that nobody reads any more.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// The bytes; a source may read straight into the spare capacity.
    pub bytes: Vec<u8>,
    /// Lines found so far.
    pub lines: Vec<Line>,
    /// Rows cut at the limit.
    pub truncated: Vec<u16>,
    /// See [`Input::told`].
    pub told: Vec<u64>,
    /// See [`Input::facts`].
    pub facts: Vec<Span>,
    /// When it was read, if that is not now.
    pub received: Option<Timestamp>,
}

impl BatchBuilder {
    /// Starts from the memory of an old input.
    pub fn reuse(old: Input) -> BatchBuilder {
        let Input { bytes, lines, truncated, told, facts, .. } = old;
        let mut builder = BatchBuilder { bytes, lines, truncated, told, facts, received: None };
        builder.clear();
        builder
    }

    /// Makes it empty and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.truncated.clear();
        self.told.clear();
        self.facts.clear();
        self.received = None;
    }

    /// Copies one line in.
    pub fn push_line(&mut self, line: &[u8]) {
        self.lines.push(Line { at: self.bytes.len() as u32, len: line.len() as u32 });
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
    }

    /// Adds a fact of the last line. Text is UTF-8.
    pub fn push_fact(&mut self, kind: Kind, value: &[u8]) {
        self.facts.push(if kind == Kind::Absent { Span::ABSENT } else { Span::new(kind, self.bytes.len(), value.len()) });
        self.bytes.extend_from_slice(value);
    }

    /// Whether another line would make it too large.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= BATCH_ROWS_MAX || self.bytes.len() >= BATCH_BYTES_MAX
    }

    /// Ends the filling, now.
    pub fn seal(self, origin: Arc<Origin>, base: u64, positions: Positions, now: Timestamp) -> Input {
        let BatchBuilder { mut bytes, lines, truncated, told, facts, received } = self;
        let received = received.unwrap_or(now);
        bytes.resize(bytes.len() + BATCH_TAIL_BYTES, 0);
        Input { bytes, lines, truncated, origin, base, positions, told, facts, received }
    }
}

/// Inputs that come back when the last reader lets go of them, so that a steady stream allocates nothing.
#[derive(Debug, Default)]
pub struct Pool<T> {
    shared: Vec<Arc<T>>,
    next: usize,
}

impl<T: Default> Pool<T> {
    /// Takes something that nobody else holds, or makes it.
    pub fn take(&mut self) -> Arc<T> {
        for _ in 0..self.shared.len() {
            self.next = (self.next + 1) % self.shared.len();
            if Arc::strong_count(&self.shared[self.next]) == 1 {
                return self.shared.swap_remove(self.next);
            }
        }
        Arc::default()
    }

    /// Remembers what is being given out.
    pub fn lend(&mut self, item: &Arc<T>) {
        if self.shared.len() < crate::limits::EDGE_MESSAGES_MAX * 4 {
            self.shared.push(Arc::clone(item));
        }
    }
}
