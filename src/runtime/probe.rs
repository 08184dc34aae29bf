//! Trying what a plan reads from and writes to, without running it.
use super::assemble::{RunError, RunOptions, blocking};
use super::incoming::source_context;
use crate::component::Outage;
use crate::component::source::Pace;
use crate::plan::Plan;

/// A source or sink by name, and what was found there.
pub type Probed = (String, Result<String, Outage>);

/// Tries every source and sink.
pub fn probe(plan: &Plan) -> Result<Vec<Probed>, RunError> {
    let runtime = blocking()?;
    let options = RunOptions { shards: 1, workers: 1, until_end: false, close: false, installation: Vec::new(), folder: None };
    let mut out = Vec::new();
    for (number, planned) in plan.sources.iter().enumerate() {
        let mut source = (planned.factory)(source_context(plan, &options, number, &Pace::default()));
        out.push((planned.name.clone(), runtime.block_on(source.probe())));
    }
    for planned in &plan.sinks {
        let sink = (planned.factory)(&options.installation);
        out.push((planned.name.clone(), runtime.block_on(sink.probe())));
    }
    Ok(out)
}
