//! Work for a disk that goes on beside a delivery, one piece at a time.
use std::sync::{Arc, Mutex, PoisonError};

use super::edge::Signal;

/// See the module.
pub struct Beside<T> {
    is_busy: bool,
    /// What came of a piece that is over.
    outcome: Arc<Mutex<Option<T>>>,
}

impl<T> Default for Beside<T> {
    fn default() -> Beside<T> {
        Beside { is_busy: false, outcome: Arc::default() }
    }
}

impl<T: Send + 'static> Beside<T> {
    /// Whether a piece has begun whose outcome was not collected.
    pub fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Begins a piece, where none is under way. When it is over, the signal says so.
    pub fn begin(&mut self, signal: &Arc<Signal>, job: impl FnOnce() -> T + Send + 'static) {
        self.is_busy = true;
        let (outcome, signal) = (Arc::clone(&self.outcome), Arc::clone(signal));
        tokio::task::spawn_blocking(move || {
            let came = job();
            *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(came);
            signal.raise();
        });
    }

    /// What came of a piece that is over.
    pub fn collect(&mut self) -> Option<T> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.is_busy &= outcome.is_none();
        outcome
    }
}
