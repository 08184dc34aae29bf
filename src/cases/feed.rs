//! What a case puts in the place of sources and sinks: given lines, and a place where what comes is kept.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::component::sink::Sent;
use crate::component::source::{Fill, Position, Source, SourceContext};
use crate::component::{Body, BoxFuture, Outage, Sink};
use crate::event::builder::Positions;
use crate::event::{BatchBuilder, Origin};
use crate::plan::Plan;
use crate::runtime::sender::Health;
use crate::runtime::topology::Host;
use crate::state::{StateReader, StateWriter};
use crate::window::watermark::Activity;

/// Lines of one source, given as one partition; a crash is an end after so many rows of which nothing is remembered but the last epoch.
struct CaseSource {
    origin: Arc<Origin>,
    lines: Arc<Lines>,
    next: usize,
    end: usize,
    started: u8,
}

impl Source for CaseSource {
    fn connect(&mut self, from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        self.next = from.and_then(|f| StateReader::new(f).u64().ok()).unwrap_or(0) as usize;
        Box::pin(async { Ok(()) })
    }
    fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>> {
        self.started = self.started.saturating_add(1);
        let fill = match self.started {
            1 => Fill::Partition(Arc::clone(&self.origin), Activity::Live),
            2 => Fill::Opened,
            _ if self.next >= self.end => Fill::End,
            _ => {
                let base = self.next as u64;
                while self.next < self.end && !builder.is_full() {
                    builder.push_line(&self.lines[self.next]);
                    self.next += 1;
                }
                Fill::Rows { origin: Arc::clone(&self.origin), base, positions: Positions::Rows }
            }
        };
        Box::pin(async move { Ok(fill) })
    }
    fn position(&self) -> Position {
        let mut out = StateWriter::default();
        out.u64(self.next as u64);
        out.bytes
    }
}

/// Lines of one source.
pub(super) type Lines = Vec<Vec<u8>>;
/// Lines of each source.
pub(super) type Inputs = BTreeMap<String, Arc<Lines>>;

/// What reached each sink.
pub(super) type Captured = Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>;

/// Keeps what reached a sink, under the sink's name.
struct CaseSink {
    name: String,
    captured: Captured,
}

impl Sink for CaseSink {
    fn connect(&self, last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        // As a file is cut to its sealed length.
        let length = last.and_then(|l| StateReader::new(l).u64().ok()).unwrap_or(0) as usize;
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).entry(self.name.clone()).or_default().truncate(length);
        Box::pin(async { Ok(()) })
    }
    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = body.bytes.split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec);
        captured.entry(self.name.clone()).or_default().extend(lines);
        Box::pin(async { Ok(Sent::All) })
    }
    fn seal(&self, _epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        let mut out = StateWriter::default();
        out.u64(self.captured.lock().unwrap_or_else(PoisonError::into_inner).get(&self.name).map_or(0, Vec::len) as u64);
        Box::pin(async move { Ok(out.bytes) })
    }
}

/// A host that says nothing.
pub(super) struct Quiet;

impl Host for Quiet {
    fn ready(&mut self, _: &Plan, _: &BTreeMap<String, String>, _: &BTreeMap<String, Arc<Health>>) {}
    fn word(&mut self, _: &str, _: &str, _: &str) {}
    fn stops(&self) -> usize {
        0
    }
}

/// The lines of a file.
pub(super) fn lines_of(path: &Path) -> Result<Arc<Lines>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = bytes.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).filter(|l| !l.is_empty());
    Ok(Arc::new(lines.map(<[u8]>::to_vec).collect()))
}

/// Puts given lines in the place of every source; after `end` of them comes an end.
pub(super) fn give(plan: &mut Plan, inputs: &Inputs, end: Option<usize>) {
    for source in &mut plan.sources {
        let lines = inputs.get(&source.name).cloned().unwrap_or_default();
        let name = source.name.clone();
        source.factory = Box::new(move |context: SourceContext| {
            let origin = Origin { source: name.clone(), partition: name.clone(), identity: context.installation, ..Origin::default() };
            let end = end.unwrap_or(usize::MAX).min(lines.len());
            Box::new(CaseSource { origin: Arc::new(origin), lines: Arc::clone(&lines), next: 0, end, started: 0 })
        });
    }
}

/// Keeps what comes to any sink.
pub(super) fn capture(plan: &mut Plan, captured: &Captured) {
    for sink in &mut plan.sinks {
        let (name, captured) = (sink.name.clone(), Arc::clone(captured));
        sink.factory = Box::new(move |_| Box::new(CaseSink { name: name.clone(), captured: Arc::clone(&captured) }));
    }
}
