//! How the saves of a unit follow each other: what changed at every barrier, and all of it when the changes outgrow it.
use super::epoch::{Report, Saved};
use crate::state::Chunks;

/// The saves of one unit.
#[derive(Debug)]
pub struct Saves {
    /// Its number in the record.
    unit: usize,
    /// Bytes of changes since all was saved.
    delta_bytes: usize,
    /// The store holds a whole save that changes may follow.
    has_whole: bool,
}

impl Saves {
    /// Of a unit by number; `has_whole`: the store holds a whole save of it.
    pub fn new(unit: usize, has_whole: bool) -> Saves {
        Saves { unit, delta_bytes: 0, has_whole }
    }

    /// Saves at a barrier. `size_hint`: about how many bytes all of it takes.
    pub fn report(&mut self, epoch: u64, size_hint: usize, save: impl FnOnce(bool) -> Chunks) -> Report {
        let full = !self.has_whole || self.delta_bytes > 2 * size_hint;
        let Chunks { pieces, rows } = save(full);
        let pieces: Vec<Vec<u8>> = pieces.into_iter().map(|p| p.bytes).collect();
        let bytes: usize = pieces.iter().map(Vec::len).sum();
        self.delta_bytes = if full { 0 } else { self.delta_bytes + bytes };
        self.has_whole = true;
        Report::State { unit: self.unit, epoch, saved: Saved { is_whole: full, pieces, rows } }
    }
}
