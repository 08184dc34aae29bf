//! The nodes of a cluster: asked in turn, one that does not answer is left alone for a while.
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::Uri;

use crate::clock::Stopwatch;
use crate::limits::{RETRY_MAX_MS, RETRY_MIN_MS};

/// One node.
#[derive(Debug)]
pub struct Endpoint {
    base: String,
    away: Mutex<Option<Away>>,
}

#[derive(Debug)]
struct Away {
    since: Stopwatch,
    tries: u32,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl Endpoint {
    /// The address of a path.
    pub fn uri(&self, path: &str) -> Result<Uri, String> {
        format!("{}{path}", self.base).parse().map_err(|e| format!("{}: {e}", self.base))
    }

    /// It answered.
    pub fn is_well(&self) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// It did not answer.
    pub fn is_away(&self) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = away.as_ref().map_or(1, |a| a.tries.saturating_add(1));
        *away = Some(Away { since: Stopwatch::start(), tries });
    }

    fn may_be_asked(&self) -> bool {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.as_ref().is_none_or(|away| {
            let rest = (RETRY_MIN_MS << away.tries.min(10)).min(RETRY_MAX_MS);
            away.since.elapsed() >= Duration::from_millis(rest)
        })
    }
}

/// See the module.
#[derive(Debug)]
pub struct Endpoints {
    all: Vec<Endpoint>,
    next: AtomicUsize,
}

impl Endpoints {
    /// All nodes, by their addresses.
    pub fn new(bases: Vec<String>) -> Endpoints {
        let all = bases.into_iter().map(|base| Endpoint { base, away: Mutex::new(None) });
        Endpoints { all: all.collect(), next: AtomicUsize::new(0) }
    }

    /// Those that may be asked, each time beginning with the next one; where all are away, all.
    pub fn rotation(&self) -> impl Iterator<Item = &Endpoint> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turned = (0..self.all.len()).map(move |n| &self.all[(first + n) % self.all.len()]);
        let any_is_well = self.all.iter().any(Endpoint::may_be_asked);
        turned.filter(move |e| !any_is_well || e.may_be_asked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_away_is_passed_over() {
        let nodes = Endpoints::new(vec!["a".into(), "b".into()]);
        let names = || nodes.rotation().map(|e| e.base.as_str()).collect::<Vec<_>>();
        assert_eq!((names(), names()), (vec!["a", "b"], vec!["b", "a"]));
        nodes.all[0].is_away();
        assert_eq!((names(), names()), (vec!["b"], vec!["b"]));
        nodes.all[1].is_away();
        assert_eq!(names().len(), 2);
        nodes.all[0].is_well();
        assert_eq!(names(), ["a"]);
    }
}
