//! The sources of a plan: made, with what stands behind each, and connected where the last run left them.
use super::assemble::{RunError, RunOptions, discarded};
use super::dropping::Dropping;
use super::journal::{self, Journal};
use crate::component::sink::WhenFull;
use crate::component::source::{Discarded, Pace, Position, Source, SourceContext};
use crate::plan::Plan;

/// Makes a source and connects it, given its last position.
pub(super) fn connect(
    plan: &Plan,
    options: &RunOptions,
    number: usize,
    pace: &Pace,
    last: Option<&[u8]>,
    runtime: &tokio::runtime::Runtime,
) -> Result<(Box<dyn Source>, Option<Position>), RunError> {
    let source = &plan.sources[number];
    let failed = |e: String| RunError(format!("{}: {e}", source.name));
    let made = (source.factory)(source_context(plan, options, number, pace));
    let folder = options.folder.as_ref().map(|folder| folder.join("buffer").join(&source.name));
    let dropped = || discarded(plan, &source.name, "buffer_full");
    let when_full = source.buffer.when_full;
    let (mut made, position): (Box<dyn Source>, _) = match (source.buffer.disk, folder) {
        (Some(bytes_max), Some(folder)) => {
            let bytes = plan.registry.gauge("tripline_disk_buffer_bytes", &[("node", &source.name)]);
            let clock = plan.clock.clone();
            let settings = journal::Settings { folder, kind: source.kind, bytes_max, when_full, dropped: dropped(), bytes, clock };
            (Box::new(Journal::new(made, settings)), last.map(<[u8]>::to_vec))
        }
        (_, folder) => {
            let position = last.map(|last| journal::position_without(last, folder, source.kind)).transpose().map_err(failed)?;
            match when_full {
                WhenFull::DropNewest => (Box::new(Dropping::new(made, dropped())), position),
                WhenFull::Wait => (made, position),
            }
        }
    };
    let position = position.filter(|p| !p.is_empty());
    runtime.block_on(made.connect(position.as_deref())).map_err(|e| failed(e.to_string()))?;
    Ok((made, position))
}

pub(super) fn source_context(plan: &Plan, options: &RunOptions, number: usize, pace: &Pace) -> SourceContext {
    let source = &plan.sources[number];
    let discarded = |reason: &str| discarded(plan, &source.name, reason);
    SourceContext {
        folder: plan.folder.clone(),
        installation: options.installation.clone(),
        number,
        pace: pace.clone(),
        clock: plan.clock.clone(),
        discarded: Discarded {
            empty: discarded("empty_line"),
            cut_bytes: discarded("cut_bytes"),
            broken: discarded("broken_archive"),
            bytes: plan.registry.counter("tripline_bytes_in_total", &[("node", &source.name)]),
        },
        until_end: options.until_end,
        instead: None,
        idle_timeout: source.idle_timeout,
        facts: plan.lanes[number].facts.iter().map(|(name, _)| name.clone()).collect(),
        registry: plan.registry.clone(),
    }
}
