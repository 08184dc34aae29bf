//! A step of a lane: it narrows the selection and adds columns. No I/O, and it cannot fail. One that keeps state sees all events of its lane in one place.
use crate::event::Batch;
use crate::state::{Chunks, StateError};

/// Where an operator puts rows: one selection per named output.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Rows per output, in order.
    pub rows: Vec<Vec<u16>>,
}

/// The main output.
pub const MAIN: usize = 0;
/// Rows that the operator could not treat.
pub const ERRORS: usize = 1;

/// A step.
pub trait Operator: Send {
    /// Treats the selected rows of a batch.
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs);
    /// A barrier passes: the only moment at which tables and maps may change.
    fn on_barrier(&mut self) {}
    /// Writes all that is remembered, or what changed since the last barrier. Asked only of an operator whose bind said that it keeps state.
    fn save(&mut self, _full: bool) -> Chunks {
        Chunks::default()
    }
    /// Reads what was saved, piece by piece, oldest first.
    fn load(&mut self, _blob: &[u8]) -> Result<(), StateError> {
        Ok(())
    }
    /// About how many bytes a full save takes.
    fn size_hint(&self) -> usize {
        0
    }
}

/// Makes an instance for one worker, once all names are bound.
pub type OperatorFactory = Box<dyn Fn() -> Box<dyn Operator>>;
