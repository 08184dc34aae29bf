//! Work for a disk that goes on beside a delivery: pieces on threads of their own, whose outcomes come in the order in which they began.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::edge::Signal;

/// See the module.
pub struct Beside<T> {
    /// What came of each piece, if it is over; oldest first.
    pieces: VecDeque<Arc<Mutex<Option<T>>>>,
}

impl<T> Default for Beside<T> {
    fn default() -> Beside<T> {
        Beside { pieces: VecDeque::new() }
    }
}

impl<T: Send + 'static> Beside<T> {
    /// Pieces that have begun and whose outcome was not collected.
    pub fn count(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is such a piece.
    pub fn is_busy(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Begins a piece. When it is over, the signal says so.
    pub fn begin(&mut self, signal: &Arc<Signal>, job: impl FnOnce() -> T + Send + 'static) {
        let (outcome, signal) = (Arc::default(), Arc::clone(signal));
        self.pieces.push_back(Arc::clone(&outcome));
        tokio::task::spawn_blocking(move || {
            let came = job();
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
            signal.raise();
        });
    }

    /// What came of the oldest piece, if it is over.
    pub fn collect(&mut self) -> Option<T> {
        let outcome = self.pieces.front()?.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        self.pieces.pop_front();
        Some(outcome)
    }
}
