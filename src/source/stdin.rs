//! `stdin`: lines from standard input. Its end is the end of the source.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncReadExt as _;

use super::{BindSource, BoundSource, COMMON, SourceContext};
use crate::codec::framing::newline::{NewlineFraming, push_line};
use crate::component::source::{Discarded, Fill, Position, Source};
use crate::component::{BoxFuture, Kind, Outage, OutputNames};
use crate::config::{Options, ROOT};
use crate::event::builder::Positions;
use crate::event::{BatchBuilder, Origin};
use crate::limits::{BATCH_BYTES_MAX, LINE_BYTES_MAX};
use crate::window::watermark::Activity;

/// See the module.
pub static KIND: Kind<BindSource> =
    Kind { name: "stdin", summary: "lines from standard input", fields: &[], outputs: OutputNames::MainAndErrors, bind };

fn bind(options: &Options<'_>) -> Option<BoundSource> {
    options.check(&[COMMON, ROOT]);
    let name = options.text("id").unwrap_or_else(|| options.name.to_owned());
    let factory = move |context: SourceContext| -> Box<dyn Source> {
        // A stream has no identity of its own: one is drawn for each run.
        let run = context.clock.now().to_le_bytes();
        let identity = [context.installation.as_slice(), &run, &std::process::id().to_le_bytes()].concat();
        let origin = Arc::new(Origin { source: name.clone(), partition: "stdin".into(), identity, ..Origin::default() });
        let fresh =
            || Stream { input: tokio::io::stdin(), origin, carry: Vec::new(), rows: 0, ended: false, skipping: false, chunk: Vec::new() };
        let stream = left().take().unwrap_or_else(fresh);
        Box::new(StdinSource { context, stream: Some(stream), started: 0, framing: NewlineFraming::default() })
    };
    Some(BoundSource::new(Box::new(factory), "raw"))
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
}

struct StdinSource {
    context: SourceContext,
    /// There until the source is dropped.
    stream: Option<Stream>,
    started: u8,
    framing: NewlineFraming,
}

impl Drop for StdinSource {
    fn drop(&mut self) {
        *left() = self.stream.take();
    }
}

impl Stream {
    fn frame(&mut self, builder: &mut BatchBuilder, framing: &mut NewlineFraming, discarded: &Discarded) -> Fill {
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
        // What the row limit left over has newlines already: it is looked at again.
        let from = if memchr::memchr(b'\n', &builder.bytes[start..carried.max(start)]).is_some() { start } else { carried.max(start) };
        let framed = framing.mark(builder, start, from);
        discarded.empty.increment(framed.empty);
        let mut rest = framed.rest;
        let waiting = builder.bytes.len() - rest;
        let has_line = builder.bytes[rest..].contains(&b'\n');
        if !has_line && ((self.ended && waiting > 0) || waiting > LINE_BYTES_MAX) {
            push_line(builder, rest, builder.bytes.len());
            discarded.cut_bytes.increment(waiting.saturating_sub(LINE_BYTES_MAX) as u64);
            self.skipping = !self.ended;
            rest = builder.bytes.len();
        }
        self.carry.extend_from_slice(&builder.bytes[rest..]);
        builder.bytes.truncate(rest);
        if builder.lines.is_empty() {
            builder.bytes.clear();
            return Fill::Wait(std::time::Duration::ZERO);
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
            let StdinSource { context, stream: Some(stream), started, framing } = self else { return Ok(Fill::End) };
            *started = started.saturating_add(1);
            match *started {
                1 => return Ok(Fill::Partition(Arc::clone(&stream.origin), Activity::Live)),
                2 => return Ok(Fill::Opened),
                _ => {}
            }
            if memchr::memchr(b'\n', &stream.carry).is_some() || (stream.ended && !stream.carry.is_empty()) {
                return Ok(stream.frame(builder, framing, &context.discarded));
            }
            if stream.ended {
                return Ok(Fill::End);
            }
            stream.chunk.reserve(BATCH_BYTES_MAX / 4);
            // `read_buf` is cancel-safe: what was read stands in the chunk, what is being read in the stream.
            match stream.input.read_buf(&mut stream.chunk).await {
                Ok(0) => stream.ended = true,
                Ok(_) => {}
                Err(e) => return Err(Outage::new(format!("standard input: {e}"))),
            }
            Ok(stream.frame(builder, framing, &context.discarded))
        })
    }

    fn position(&self) -> Position {
        Vec::new()
    }
}
