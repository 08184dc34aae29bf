//! What follows from a panic. The run starts again at its last epoch; where the same epoch breaks [`PANICS_MAX`] times, its rows are taken one by one, and
//! the one that breaks a unit is left out.
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::{Input, Origin};
use crate::limits::{CULPRITS_MAX, PANICS_MAX};

/// A row that broke a unit.
#[derive(Clone, Debug)]
pub struct Culprit {
    /// Where it came from.
    pub origin: Arc<Origin>,
    /// Its position in its partition.
    pub position: u64,
    /// Its text.
    pub line: Vec<u8>,
}

/// What a unit is working on. Known only while rows are taken one by one.
#[derive(Clone, Debug, Default)]
pub struct Suspect(Option<Arc<Mutex<Option<Culprit>>>>);

impl Suspect {
    /// A unit takes the only row of an input.
    #[inline]
    pub fn note(&self, input: &Input) {
        if let Some(place) = &self.0
            && !input.lines.is_empty()
        {
            *lock(place) = Some(Culprit { origin: Arc::clone(&input.origin), position: input.position(0), line: input.line(0).to_vec() });
        }
    }

    /// Whether rows are taken one by one.
    pub fn is_sought(&self) -> bool {
        self.0.is_some()
    }

    /// What follows is the fault of no row.
    pub fn clear(&self) {
        if let Some(place) = &self.0 {
            *lock(place) = None;
        }
    }

    /// The row that the unit was working on.
    pub fn row(&self) -> Option<Culprit> {
        self.0.as_ref().and_then(|place| lock(place).clone())
    }
}

fn lock(place: &Mutex<Option<Culprit>>) -> MutexGuard<'_, Option<Culprit>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Source, partition and position of a row.
type Place = (String, String, u64);

/// Rows are taken one by one until an epoch is durable, and some are left out.
#[derive(Clone, Debug)]
pub struct RowByRow {
    /// The epoch behind which only inputs that hold a row to be left out are taken row by row.
    until: u64,
    skipped: Arc<HashSet<Place>>,
}

impl RowByRow {
    /// Whether an input is taken row by row.
    pub fn applies(&self, input: &Input, durable: u64) -> bool {
        let holds = |(source, partition, position): &Place| {
            let rows = input.lines.len();
            *source == input.origin.source
                && *partition == input.origin.partition
                && rows > 0
                && (input.position(0)..=input.position(rows - 1)).contains(position)
        };
        durable < self.until || self.skipped.iter().any(holds)
    }

    /// Whether a row is left out.
    pub fn skips(&self, origin: &Origin, position: u64) -> bool {
        self.skipped.contains(&(origin.source.clone(), origin.partition.clone(), position))
    }
}

/// What a panic is answered with.
#[derive(Debug)]
pub enum Answer {
    /// The run starts again.
    Again,
    /// It starts again without this row.
    Without(Culprit),
    /// It ends.
    GiveUp,
}

/// What the panics of a run have taught. See the module.
#[derive(Debug, Default)]
pub struct Caution {
    /// The epoch behind which it broke.
    epoch: u64,
    panics: u32,
    /// An epoch may end before such a row was come to: it stays left out.
    skipped: Arc<HashSet<Place>>,
}

impl Caution {
    /// How intakes deal rows now.
    pub fn row_by_row(&self) -> Option<RowByRow> {
        let until = if self.panics >= PANICS_MAX { self.epoch + 1 } else { 0 };
        (until > 0 || !self.skipped.is_empty()).then(|| RowByRow { until, skipped: Arc::clone(&self.skipped) })
    }

    /// What a unit says it is working on.
    pub fn suspect(&self) -> Suspect {
        Suspect((self.panics >= PANICS_MAX).then(Arc::default))
    }

    /// A unit panicked behind an epoch. `sources`: names of those whose rows can be left out.
    pub fn learn(&mut self, epoch: u64, culprit: Option<Culprit>, sources: &[&str]) -> Answer {
        if epoch != self.epoch {
            (self.epoch, self.panics) = (epoch, 0);
        }
        let was_careful = self.panics >= PANICS_MAX;
        self.panics += 1;
        match culprit {
            _ if !was_careful => Answer::Again,
            Some(culprit) if self.skipped.len() < CULPRITS_MAX && sources.contains(&culprit.origin.source.as_str()) => {
                let place = (culprit.origin.source.clone(), culprit.origin.partition.clone(), culprit.position);
                Arc::make_mut(&mut self.skipped).insert(place);
                Answer::Without(culprit)
            }
            _ => Answer::GiveUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_left_out_though_an_epoch_ends_before_it() {
        let origin = Arc::new(Origin { source: "a".into(), partition: "p".into(), ..Origin::default() });
        let culprit = Culprit { origin: Arc::clone(&origin), position: 5, line: b"x".to_vec() };
        let mut caution = Caution::default();
        for _ in 0..PANICS_MAX {
            assert!(matches!(caution.learn(1, None, &["a"]), Answer::Again));
        }
        assert!(matches!(caution.learn(1, Some(culprit), &["a"]), Answer::Without(_)));
        let input = |base: u64| Input::of_lines((0..3).map(|_| &b"x"[..]), Arc::clone(&origin), base);
        let careful = caution.row_by_row().unwrap();
        assert!(careful.applies(&input(0), 1) && careful.applies(&input(3), 2) && !careful.applies(&input(6), 2));
        // Another panic, behind a later epoch: the row is left out still.
        assert!(matches!(caution.learn(2, None, &["a"]), Answer::Again));
        let later = caution.row_by_row().unwrap();
        assert!(later.applies(&input(4), 2) && later.skips(&origin, 5) && !later.applies(&input(0), 2));
    }
}
