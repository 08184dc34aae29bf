//! What is judged of the rows of a batch on their way to a sink, where its rows say it: their times, and whether they are late.
use std::sync::Arc;

use crate::codec::format::json_out::RowFacts;
use crate::event::{Batch, Origin};
use crate::plan::PlannedInput;
use crate::window::watermark::PartitionClock;

/// See the module.
#[derive(Default)]
pub struct Judged {
    /// A clock for each partition of each input.
    clocks: Vec<(usize, Arc<Origin>, PartitionClock)>,
    facts: Vec<RowFacts>,
}

impl Judged {
    /// Judges all rows of a batch that came by an input of this number.
    pub fn judge(&mut self, port: usize, input: &PlannedInput, batch: &Batch) {
        let origin = &batch.input.origin;
        let at = match self.clocks.iter().position(|(p, o, _)| *p == port && o.partition == origin.partition) {
            Some(at) => at,
            None => {
                self.clocks.push((port, Arc::clone(origin), PartitionClock::new(input.policy)));
                self.clocks.len() - 1
            }
        };
        let clock = &mut self.clocks[at].2;
        self.facts.clear();
        self.facts.extend(batch.times.iter().map(|time| {
            let judged = clock.judge(*time, batch.input.received);
            RowFacts { time: judged.time, late: input.is_late || judged.behind.is_some() }
        }));
    }

    /// What is known of a row of the last batch: nothing, if none was judged.
    pub fn of(&self, row: usize) -> RowFacts {
        self.facts.get(row).copied().unwrap_or_default()
    }
}
