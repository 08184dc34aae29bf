//! Loading a pipeline again while it runs: at SIGHUP, and with `--watch` whenever a file of it changes. A faulty file changes nothing and says why.
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::check::{environment, plan_of};
use super::say::say;
use crate::clock::Stopwatch;
use crate::config::load::content_hash;
use crate::diagnostic::Severity;
use crate::limits::RELOAD_INTERVAL_MS;
use crate::metrics::Registry;
use crate::plan::Plan;

/// See the module.
pub(super) struct Reloads {
    paths: Vec<PathBuf>,
    registry: Registry,
    /// How many SIGHUPs have come, and how many of them were answered.
    asked: Arc<AtomicUsize>,
    answered: usize,
    /// With `--watch`: what the files held, and when that was looked at.
    watch: Option<(u128, Stopwatch)>,
}

impl Reloads {
    pub(super) fn new(paths: Vec<PathBuf>, watch: bool, registry: Registry) -> Reloads {
        let watch = watch.then(|| (content_hash(&paths, &environment), Stopwatch::start()));
        Reloads { paths, registry, asked: Arc::default(), answered: 0, watch }
    }

    /// Counts the times that a reload was asked for.
    pub(super) fn asked(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.asked)
    }

    /// The pipeline as it stands now, if it is to be loaded again and has no faults.
    pub(super) fn take(&mut self) -> Option<Plan> {
        if !self.is_due() {
            return None;
        }
        let (plan, faults) = plan_of(&self.paths, &self.registry);
        for fault in &faults {
            let level = if fault.severity == Severity::Error { "error" } else { "warn" };
            say(level, "reload", fault.render().trim_end(), json!({}));
        }
        if plan.is_none() {
            say("error", "reload_failed", "the changed pipeline has faults: it goes on as it was", json!({}));
        }
        plan
    }

    fn is_due(&mut self) -> bool {
        let asked = self.asked.load(Ordering::Acquire);
        let mut is_due = std::mem::replace(&mut self.answered, asked) != asked;
        if let Some((seen, looked)) = &mut self.watch
            && (is_due || looked.elapsed().as_millis() >= u128::from(RELOAD_INTERVAL_MS))
        {
            let content = content_hash(&self.paths, &environment);
            is_due |= std::mem::replace(seen, content) != content;
            *looked = Stopwatch::start();
        }
        is_due
    }
}
