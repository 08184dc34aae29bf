//! `generate`: realistic lines from a seed, with known incidents in them.
use std::sync::Arc;
use std::time::Duration;

use super::generate_lines::{Generator, LineKind};
use super::{BindSource, BoundSource, COMMON, SourceContext};
use crate::component::source::{Fill, Position, Source};
use crate::component::{BoxFuture, Kind, Outage, OutputNames};
use crate::config::{Field, Options, ROOT, Type};
use crate::event::builder::Positions;
use crate::event::{BatchBuilder, Origin};
use crate::limits::SECOND;
use crate::state::{StateReader, StateWriter};
use crate::window::watermark::Activity;

const FIELDS: &[Field] = &[
    Field::required("kind", Type::Word(&["syslog", "cisco", "cef", "json", "dns", "windows"]), "what the lines look like"),
    Field::optional("count", Type::Count, "how many lines; without it there is no end"),
    Field::optional("rate", Type::Count, "lines a second; without it as fast as they are taken"),
    Field::optional("seed", Type::Count, "the same seed gives the same lines; default 1"),
];

/// First time of lines that are not tied to the clock: 2026-01-01.
const FIRST_TIME: i64 = 1_767_225_600 * SECOND;
/// Time between two such lines.
const STEP: i64 = SECOND / 20;

/// See the module.
pub static KIND: Kind<BindSource> =
    Kind { name: "generate", summary: "made-up lines with known incidents", fields: FIELDS, outputs: OutputNames::MainAndErrors, bind };

fn bind(options: &Options<'_>) -> Option<BoundSource> {
    options.check(&[FIELDS, COMMON, ROOT]);
    let word = options.text("kind")?;
    let kind = LineKind::named(&word)?;
    let (count, rate, seed) = (options.count("count"), options.count("rate"), options.count("seed").unwrap_or(1));
    let name = options.text("id").unwrap_or_else(|| options.name.to_owned());
    let factory = move |context: SourceContext| -> Box<dyn Source> {
        let origin = Origin { source: name.clone(), partition: word.clone(), identity: context.installation.clone(), ..Origin::default() };
        Box::new(GenerateSource { origin: Arc::new(origin), kind, count, rate, seed, row: 0, started: 0, since: (0, 0), context })
    };
    let format = match kind {
        LineKind::Syslog | LineKind::Cisco => "syslog",
        LineKind::Json | LineKind::Windows => "json",
        LineKind::Cef | LineKind::Dns => "raw",
    };
    Some(BoundSource::new(Box::new(factory), format))
}

struct GenerateSource {
    context: SourceContext,
    origin: Arc<Origin>,
    kind: LineKind,
    count: Option<u64>,
    rate: Option<u64>,
    seed: u64,
    row: u64,
    started: u8,
    /// Time and row from which the rate counts.
    since: (i64, u64),
}

impl Source for GenerateSource {
    fn connect(&mut self, from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        self.row = from.and_then(|f| StateReader::new(f).u64().ok()).unwrap_or(0);
        self.since = (self.context.clock.now(), self.row);
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
            let mut end = self.count.unwrap_or(u64::MAX);
            if self.row >= end {
                return Ok(Fill::End);
            }
            let now = self.context.clock.now();
            if let Some(rate) = self.rate.filter(|r| *r > 0) {
                let due = (i128::from(now - self.since.0) * i128::from(rate) / i128::from(SECOND)) as u64;
                end = end.min(self.since.1 + due);
                if self.row >= end {
                    return Ok(Fill::Wait(Duration::from_micros((1_000_000 / rate).clamp(1_000, 100_000))));
                }
            }
            let base = self.row;
            let mut line = Vec::new();
            while self.row < end && !builder.is_full() {
                let time = if self.rate.is_some() { now } else { FIRST_TIME + self.row as i64 * STEP };
                line.clear();
                Generator::new(self.seed, self.row).line(self.kind, time, &mut line);
                builder.push_line(&line);
                self.row += 1;
            }
            self.context.discarded.bytes.increment(builder.bytes.len() as u64);
            Ok(Fill::Rows { origin: Arc::clone(&self.origin), base, positions: Positions::Rows })
        })
    }

    fn position(&self) -> Position {
        let mut out = StateWriter::default();
        out.u64(self.row);
        out.bytes
    }
}
