//! `stdin`: lines from standard input. Its end is the end of the source.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::multiline::{self, Joining};
use super::{BindSource, BoundSource, COMMON, SourceContext};
use crate::codec::framing::newline::{NewlineFraming, push_line};
use crate::component::source::{Fill, Position, Source};
use crate::component::{BoxFuture, Kind, Outage, OutputNames};
use crate::config::{Field, Options, ROOT};
use crate::event::builder::Positions;
use crate::event::{BatchBuilder, Origin};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, LINE_BYTES_MAX};
use crate::window::watermark::Activity;

const FIELDS: &[Field] = &[multiline::FIELD];

/// See the module.
pub static KIND: Kind<BindSource> =
    Kind { name: "stdin", summary: "lines from standard input", fields: FIELDS, outputs: OutputNames::MainAndErrors, bind };

fn bind(options: &Options<'_>) -> Option<BoundSource> {
    options.check(&[FIELDS, COMMON, ROOT]);
    let joining = Joining::of(options);
    let name = options.text("id").unwrap_or_else(|| options.name.to_owned());
    let factory = move |context: SourceContext| -> Box<dyn Source> {
        // A stream has no identity of its own: one is drawn for each run.
        let run = context.clock.now().to_le_bytes();
        let identity = [context.installation.as_slice(), &run, &std::process::id().to_le_bytes()].concat();
        let origin = Arc::new(Origin { source: name.clone(), partition: "stdin".into(), identity, ..Origin::default() });
        let mut stream = left().take().unwrap_or_else(|| Stream::new(origin));
        // What was left was framed by what another pipeline said.
        stream.has_whole_lines = stream.carry.contains(&b'\n');
        let lines = Lines { framing: NewlineFraming::default(), joining: joining.clone() };
        Box::new(StdinSource { context, stream: Some(stream), started: 0, lines })
    };
    Some(BoundSource { only: Some("standard input"), ..BoundSource::new(Box::new(factory), "raw") })
}

/// The process has one standard input. What a source had of it when the pipeline was loaded anew is the next one's: a read that is under way, a line
/// that is not whole, its name for event ids.
static LEFT: Mutex<Option<Stream>> = Mutex::new(None);

fn left() -> MutexGuard<'static, Option<Stream>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard input, as far as it was read.
struct Stream {
    /// Kept over the reads: one that was given up halfway holds bytes.
    input: tokio::io::Stdin,
    origin: Arc<Origin>,
    carry: Vec<u8>,
    rows: u64,
    ended: bool,
    skipping: bool,
    chunk: Vec<u8>,
    /// The carry holds lines that are to be looked at without reading more.
    has_whole_lines: bool,
    /// Since when the last event, which stands in the carry, waits for a line that goes on with it.
    open_since: Option<i64>,
}

/// How bytes become events.
struct Lines {
    framing: NewlineFraming,
    joining: Option<Joining>,
}

struct StdinSource {
    context: SourceContext,
    /// There until the source is dropped.
    stream: Option<Stream>,
    started: u8,
    lines: Lines,
}

impl Drop for StdinSource {
    fn drop(&mut self) {
        *left() = self.stream.take();
    }
}

impl Stream {
    fn new(origin: Arc<Origin>) -> Stream {
        Stream {
            input: tokio::io::stdin(),
            origin,
            carry: Vec::new(),
            rows: 0,
            ended: false,
            skipping: false,
            chunk: Vec::new(),
            has_whole_lines: false,
            open_since: None,
        }
    }

    /// Makes events of what was read. `is_silent`: an open one is over.
    fn frame(&mut self, builder: &mut BatchBuilder, lines: &mut Lines, context: &SourceContext, is_silent: bool) -> Fill {
        let discarded = &context.discarded;
        let base = self.rows;
        builder.bytes.append(&mut self.carry);
        let carried = builder.bytes.len();
        builder.bytes.extend_from_slice(&self.chunk);
        discarded.bytes.increment(self.chunk.len() as u64);
        self.chunk.clear();
        let mut start = 0;
        if self.skipping {
            let end = memchr::memchr(b'\n', &builder.bytes).map(|n| n + 1);
            start = end.unwrap_or(builder.bytes.len());
            discarded.cut_bytes.increment(start as u64);
            self.skipping = end.is_none();
        }
        // What the row limit left over, and the lines of an event that is not over, are looked at again.
        let from = if self.has_whole_lines || lines.joining.is_some() { start } else { carried.max(start) };
        let framed = lines.framing.mark(builder, start, from);
        if lines.joining.is_none() {
            discarded.empty.increment(framed.empty);
        }
        let mut rest = framed.rest;
        let waiting = builder.bytes.len() - rest;
        self.has_whole_lines = builder.lines.len() == BATCH_ROWS_MAX;
        if !self.has_whole_lines && ((self.ended && waiting > 0) || waiting > LINE_BYTES_MAX) {
            push_line(builder, rest, builder.bytes.len());
            discarded.cut_bytes.increment(waiting.saturating_sub(LINE_BYTES_MAX) as u64);
            self.skipping = !self.ended;
            rest = builder.bytes.len();
        }
        self.open_since = None;
        if let Some(Joining { multiline, .. }) = &lines.joining {
            let is_over = (self.ended || is_silent) && !self.has_whole_lines;
            if let Some(open) = multiline.join(builder, is_over) {
                (rest, self.open_since) = (open, Some(context.clock.now()));
            }
        }
        self.carry.extend_from_slice(&builder.bytes[rest..]);
        builder.bytes.truncate(rest);
        if builder.lines.is_empty() {
            builder.bytes.clear();
            return Fill::Wait(Duration::ZERO);
        }
        self.rows += builder.lines.len() as u64;
        Fill::Rows { origin: Arc::clone(&self.origin), base, positions: Positions::Rows }
    }
}

impl Source for StdinSource {
    fn connect(&mut self, _from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }

    fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>> {
        Box::pin(async move {
            let StdinSource { context, stream: Some(stream), started, lines } = self else { return Ok(Fill::End) };
            *started = started.saturating_add(1);
            match *started {
                1 => return Ok(Fill::Partition(Arc::clone(&stream.origin), Activity::Live)),
                2 => return Ok(Fill::Opened),
                _ => {}
            }
            if stream.has_whole_lines || (stream.ended && !stream.carry.is_empty()) {
                return Ok(stream.frame(builder, lines, context, false));
            }
            if stream.ended {
                return Ok(Fill::End);
            }
            stream.chunk.reserve(BATCH_BYTES_MAX / 4);
            // `read_buf` is cancel-safe: what was read stands in the chunk, what is being read in the stream.
            let read = stream.input.read_buf(&mut stream.chunk);
            let read = match (&lines.joining, stream.open_since) {
                (Some(Joining { timeout, .. }), Some(since)) => {
                    let rest = (timeout - (context.clock.now() - since)).clamp(0, *timeout);
                    match tokio::time::timeout(Duration::from_nanos(rest as u64), read).await {
                        Ok(read) => read,
                        Err(_) => return Ok(stream.frame(builder, lines, context, true)),
                    }
                }
                _ => read.await,
            };
            match read {
                Ok(0) => stream.ended = true,
                Ok(_) => {}
                Err(e) => return Err(Outage::new(format!("standard input: {e}"))),
            }
            Ok(stream.frame(builder, lines, context, false))
        })
    }

    fn position(&self) -> Position {
        Vec::new()
    }
}
