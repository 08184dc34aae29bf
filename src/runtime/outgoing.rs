//! The sinks of a plan: connected, each with its disk buffer, and what delivers to them.
use std::sync::Arc;
use std::time::Duration;

use super::assemble::{RunError, RunOptions, discarded};
use super::buffered::{Buffered, BufferedParts};
use super::caution::Caution;
use super::checkpoint::Record;
use super::dead_letter::{self, DeadLetter};
use super::delivery::{Delivery, Parts};
use super::disk_buffer::DiskBuffer;
use super::edge::{EdgeReceiver, Signal};
use super::epoch::{Reports, Sealed};
use super::intake::Orders;
use super::lane::Lane;
use super::ports::{Port, Ports};
use super::sender::{Outcomes, SenderParts};
use crate::component::Sink;
use crate::plan::{Plan, PlannedSink};

/// A sink that is connected, and its disk buffer.
pub(super) type Connected = (Arc<dyn Sink>, Option<Buffered>);

/// What was sealed by each sink, by name.
pub(super) type AllSealed = Vec<(String, Sealed)>;

/// Connects all sinks, from what an epoch knows of them.
pub(super) fn connect(
    plan: &Plan,
    options: &RunOptions,
    old: &Record,
    reports: &Reports,
    runtime: &tokio::runtime::Runtime,
) -> Result<(Vec<Connected>, AllSealed), RunError> {
    let (mut sinks, mut all) = (Vec::new(), Vec::new());
    for (name, sealed) in &old.sinks {
        let is_buffered = plan.sinks.iter().any(|s| s.name == *name && s.buffer.is_some());
        if !is_buffered && sealed.buffer.is_some_and(|bounds| !bounds.is_empty()) {
            let what = format!("{name}: rows wait in its disk buffer, and this pipeline has none for it");
            return Err(RunError(format!("{what}: run with `buffer: {{disk: …}}` until they are delivered, or forget them with --fresh")));
        }
    }
    for planned in &plan.sinks {
        let failed = |e: &dyn std::fmt::Display| RunError(format!("{}: {e}", planned.name));
        let sink: Arc<dyn Sink> = Arc::from((planned.factory)(&options.installation));
        let last = old.sinks.iter().find(|(n, _)| *n == planned.name).map(|(_, sealed)| sealed);
        let state = runtime.block_on(async {
            sink.connect(last.map(|sealed| sealed.state.as_slice()).filter(|s| !s.is_empty())).await?;
            sink.seal(old.epoch).await
        });
        let buffer = open_buffer(plan, planned, options, reports, last).map_err(|e| failed(&format!("disk buffer: {e}")))?;
        let sealed = Sealed {
            state: state.map_err(|e| failed(&e))?,
            dead_letter: options.dead_letters().map_or(0, |folder| dead_letter::length(&folder, &planned.name)),
            buffer: buffer.as_ref().map(Buffered::bounds),
            is_held: false,
        };
        all.push((planned.name.clone(), sealed));
        sinks.push((sink, buffer));
    }
    Ok((sinks, all))
}

/// Opens the disk buffer before a sink, if it has one.
fn open_buffer(
    plan: &Plan,
    planned: &PlannedSink,
    options: &RunOptions,
    reports: &Reports,
    last: Option<&Sealed>,
) -> std::io::Result<Option<Buffered>> {
    let (Some(bytes_max), Some(folder)) = (planned.buffer, &options.folder) else { return Ok(None) };
    let folder = folder.join("buffer").join(&planned.name);
    let disk = DiskBuffer::open(&folder, planned.kind, bytes_max, last.and_then(|sealed| sealed.buffer))?;
    let bytes = plan.registry.gauge("tripline_disk_buffer_bytes", &[("node", &planned.name)]);
    let dropped = discarded(plan, &planned.name, "buffer_full");
    let parts = BufferedParts { disk, when_full: planned.when_full, dropped, bytes, name: planned.name.clone(), reports: reports.clone() };
    Ok(Some(Buffered::new(parts)))
}

/// Makes what delivers to the sinks.
#[allow(clippy::too_many_arguments)] // a step of `Topology::new`, cut out for its length
pub(super) fn deliveries(
    plan: &Plan,
    options: &RunOptions,
    sinks: Vec<Connected>,
    sealed: &[(String, Sealed)],
    ends: Vec<Vec<(usize, Vec<EdgeReceiver>)>>,
    signals: Vec<Arc<Signal>>,
    letters: Vec<Option<Lane>>,
    reports: &Reports,
    caution: &Caution,
    orders: &Arc<Orders>,
) -> Vec<(Delivery, Arc<Signal>)> {
    let mut out = Vec::new();
    let parts = plan.sinks.iter().zip(sinks).zip(ends).zip(signals).zip(letters);
    for (sink_number, ((((planned, (sink, buffer)), ends), signal), letters)) in parts.enumerate() {
        let sender = SenderParts {
            name: planned.name.clone(),
            packing: planned.packing.over(sink.packing()).within(planned.buffer),
            sink,
            reports: reports.clone(),
            outcomes: Outcomes::new(&plan.registry, &planned.name),
            dead_letter: match (letters, options.dead_letters()) {
                (Some(lane), _) => DeadLetter::Sink(Box::new(lane)),
                (None, Some(folder)) => DeadLetter::File(folder),
                (None, None) => DeadLetter::Nowhere,
            },
            clock: plan.clock.clone(),
        };
        let delivery = Delivery::new(Parts {
            sink_number,
            inputs: ends.iter().map(|(input, _)| planned.inputs[*input].clone()).collect(),
            ports: Ports::new(ends.into_iter().map(|(_, edges)| Port::new(edges)).collect()),
            sender,
            buffer,
            sealed: sealed[sink_number].1.clone(),
            suspect: caution.suspect(),
            orders: Arc::clone(orders),
            signal: Arc::clone(&signal),
            end_timeout: Duration::from_nanos(plan.stop_timeout.unsigned_abs()),
        });
        out.push((delivery, signal));
    }
    out
}
