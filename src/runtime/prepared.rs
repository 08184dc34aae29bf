//! The question that a run leaves when it ends between preparing an epoch and hearing that a sink has released what it held of it: does the epoch count?
//! Its record and the one before it are both on the disk, and only the sink's peer knows.
use super::assemble::{RunError, RunOptions, blocking};
use super::checkpoint::Record;
use crate::component::Outage;
use crate::plan::Plan;
use crate::state::Store;

/// What came of a question to a peer.
pub enum Answer {
    /// There is one record now.
    Settled,
    /// The peer cannot say now.
    Unknown(Outage),
}

/// Asks the sink that holds something of a prepared epoch whether it was released, and makes that epoch or the one before it the last one.
pub fn settle(plan: &Plan, options: &RunOptions, store: &mut dyn Store) -> Result<Answer, RunError> {
    let Some(bytes) = store.record()? else { return Ok(Answer::Settled) };
    let mut record = Record::from_bytes(&bytes)?;
    let Some(before) = record.before.take() else { return Ok(Answer::Settled) };
    let runtime = blocking()?;
    let mut is_released = true;
    for (name, sealed) in record.sinks.iter().filter(|(_, sealed)| sealed.is_held) {
        let planned = plan.sinks.iter().find(|s| s.name == *name).ok_or_else(|| {
            let what = format!("{name}: epoch {} may stand in its transaction or not, and this pipeline cannot ask", record.epoch);
            RunError(format!("{what}: run with this sink until it has said so, or start with --fresh"))
        })?;
        let sink = (planned.factory)(&options.installation);
        match runtime.block_on(sink.was_released(&sealed.state)) {
            Ok(released) => is_released &= released,
            Err(outage) => return Ok(Answer::Unknown(Outage { message: format!("{name}: {outage}"), ..outage })),
        }
    }
    let (kept, other) = if is_released { (&record, &*before) } else { (&*before, &record) };
    store.publish(Vec::new(), &kept.to_bytes(), &other.blobs_beside(kept))?;
    Ok(Answer::Settled)
}
