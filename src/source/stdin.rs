//! `stdin`: lines from standard input. Its end is the end of the source.
use std::sync::Arc;

use tokio::io::AsyncReadExt as _;

use super::{BindSource, COMMON, SourceContext, SourceFactory};
use crate::codec::framing::newline::{NewlineFraming, push_line};
use crate::component::source::{Fill, Position, Source};
use crate::component::{BoxFuture, Kind, Outage, OutputNames};
use crate::config::{Options, ROOT};
use crate::event::builder::Positions;
use crate::event::{BatchBuilder, Origin};
use crate::limits::{BATCH_BYTES_MAX, LINE_BYTES_MAX};
use crate::window::watermark::Activity;

/// See the module.
pub static KIND: Kind<BindSource> =
    Kind { name: "stdin", summary: "lines from standard input", fields: &[], outputs: OutputNames::MainAndErrors, bind };

fn bind(options: &Options<'_>) -> Option<(SourceFactory, &'static str)> {
    options.check(&[COMMON, ROOT]);
    let name = options.text("id").unwrap_or_else(|| options.name.to_owned());
    let factory = move |context: SourceContext| -> Box<dyn Source> {
        // A stream has no identity of its own: one is drawn for each run.
        let run = context.clock.now().to_le_bytes();
        let identity = [context.installation.as_slice(), &run, &std::process::id().to_le_bytes()].concat();
        let origin = Arc::new(Origin { source: name.clone(), partition: "stdin".into(), identity });
        Box::new(StdinSource {
            context,
            origin,
            carry: Vec::new(),
            rows: 0,
            started: 0,
            ended: false,
            skipping: false,
            framing: NewlineFraming::default(),
            chunk: Vec::new(),
        })
    };
    Some((Box::new(factory), "raw"))
}

struct StdinSource {
    context: SourceContext,
    origin: Arc<Origin>,
    carry: Vec<u8>,
    rows: u64,
    started: u8,
    ended: bool,
    skipping: bool,
    framing: NewlineFraming,
    chunk: Vec<u8>,
}

impl StdinSource {
    fn frame(&mut self, builder: &mut BatchBuilder) -> Fill {
        let base = self.rows;
        builder.bytes.append(&mut self.carry);
        let carried = builder.bytes.len();
        builder.bytes.extend_from_slice(&self.chunk);
        self.context.discarded.bytes.increment(self.chunk.len() as u64);
        self.chunk.clear();
        let mut start = 0;
        if self.skipping {
            let end = memchr::memchr(b'\n', &builder.bytes).map(|n| n + 1);
            start = end.unwrap_or(builder.bytes.len());
            self.context.discarded.cut_bytes.increment(start as u64);
            self.skipping = end.is_none();
        }
        // What the row limit left over has newlines already: it is looked at again.
        let from = if memchr::memchr(b'\n', &builder.bytes[start..carried.max(start)]).is_some() { start } else { carried.max(start) };
        let framed = self.framing.mark(builder, start, from);
        self.context.discarded.empty.increment(framed.empty);
        let mut rest = framed.rest;
        let waiting = builder.bytes.len() - rest;
        let has_line = builder.bytes[rest..].contains(&b'\n');
        if !has_line && ((self.ended && waiting > 0) || waiting > LINE_BYTES_MAX) {
            push_line(builder, rest, builder.bytes.len());
            self.context.discarded.cut_bytes.increment(waiting.saturating_sub(LINE_BYTES_MAX) as u64);
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
            self.started = self.started.saturating_add(1);
            match self.started {
                1 => return Ok(Fill::Partition(Arc::clone(&self.origin), Activity::Live)),
                2 => return Ok(Fill::Opened),
                _ => {}
            }
            if memchr::memchr(b'\n', &self.carry).is_some() || (self.ended && !self.carry.is_empty()) {
                return Ok(self.frame(builder));
            }
            if self.ended {
                return Ok(Fill::End);
            }
            self.chunk.reserve(BATCH_BYTES_MAX / 4);
            // `read_buf` is cancel-safe: what was read stands in the chunk.
            match tokio::io::stdin().read_buf(&mut self.chunk).await {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(e) => return Err(Outage::new(format!("standard input: {e}"))),
            }
            Ok(self.frame(builder))
        })
    }

    fn position(&self) -> Position {
        Vec::new()
    }
}
