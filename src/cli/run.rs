//! `run`: state folder, signals, admin port, the run itself and its summary.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::arguments::Arguments;
use super::check::{plan_of, print_faults};
use super::reload::Reloads;
use super::say::say;
use crate::admin::{self, Shown};
use crate::clock::Stopwatch;
use crate::limits::SHARDS_MAX;
use crate::metrics::Registry;
use crate::plan::Plan;
use crate::runtime::assemble::RunOptions;
use crate::runtime::sender::Health;
use crate::runtime::topology::{Host, Outcome, run as run_plan};
use crate::state::{FolderStore, StateError, Store};

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A process on a terminal or in a pipe.
struct Process {
    stops: Arc<AtomicUsize>,
    shown: Shown,
    admin: Option<String>,
    reloads: Option<Reloads>,
}

impl Host for Process {
    fn ready(&mut self, plan: &Plan, listening: &BTreeMap<String, String>, health: &BTreeMap<String, Arc<Health>>) {
        self.shown.lists.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone_from(&plan.lists);
        self.shown.health.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone_from(health);
        say("info", "ready", "all sources are open", json!({"listen": listening, "admin": self.admin}));
    }
    fn word(&mut self, level: &str, event: &str, message: &str) {
        say(level, event, message, json!({}));
    }
    fn stops(&self) -> usize {
        self.stops.load(Ordering::Acquire)
    }
    fn reload(&mut self) -> Option<Plan> {
        self.reloads.as_mut().and_then(Reloads::take)
    }
    fn durable(&mut self, epoch: u64) {
        self.shown.epoch.store(epoch, Ordering::Relaxed);
    }
}

/// The first signal stops, the second ends at once; SIGHUP asks for a reload.
fn watch_signals(stops: &Arc<AtomicUsize>, reloads: Option<Arc<AtomicUsize>>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGTERM]) else { return };
    let stops = Arc::clone(stops);
    let _ = std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                if let Some(reloads) = &reloads {
                    reloads.fetch_add(1, Ordering::AcqRel);
                }
            } else if stops.fetch_add(1, Ordering::AcqRel) > 0 {
                std::process::exit(128 + signal);
            }
        }
    });
}

/// Random once for each state folder: it makes the ids of events from equal files on two machines differ.
fn installation(state: &Path) -> Result<Vec<u8>, StateError> {
    let path = state.join("installation");
    if let Ok(id) = std::fs::read(&path)
        && id.len() == 16
    {
        return Ok(id);
    }
    use std::hash::{BuildHasher as _, RandomState};
    let half = || RandomState::new().hash_one(std::process::id()).to_le_bytes();
    let id = [half(), half()].concat();
    let made = path.with_extension("new");
    std::fs::write(&made, &id)
        .and_then(|()| std::fs::rename(&made, &path))
        .map_err(|e| StateError(format!("state folder {}: {e}", state.display())))?;
    Ok(id)
}

/// The number of shards that is asked for.
pub(super) fn shards(arguments: &Arguments) -> Option<usize> {
    match arguments.value("--shards").map(str::parse::<usize>) {
        None => Some(cores()),
        Some(Ok(n)) if (1..=SHARDS_MAX).contains(&n) => Some(n),
        Some(_) => {
            eprintln!("tripline: `--shards` wants a number from 1 to {SHARDS_MAX}");
            None
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let Some(shards) = shards(arguments) else { return 2 };
    let (plan, faults) = plan_of(&arguments.paths, &Registry::default());
    print_faults(&faults);
    let Some(plan) = plan else { return 2 };
    let state = arguments.value("--state").map_or_else(|| plan.state.clone(), PathBuf::from);
    let opened = FolderStore::open(&state, arguments.has("--fresh")).and_then(|store| Ok((store, installation(&state)?)));
    let (store, installation) = match opened {
        Ok(opened) => opened,
        Err(e) => {
            say("error", "state", &e.0, json!({}));
            return 1;
        }
    };
    let options = RunOptions {
        shards,
        workers: cores(),
        until_end: arguments.has("--until-end"),
        close: arguments.has("--close"),
        installation,
        folder: Some(state),
    };
    let reloads = Reloads::new(arguments.paths.clone(), arguments.has("--watch"), plan.registry.clone());
    execute(plan, &options, Box::new(store), arguments, Some(reloads))
}

/// Runs a plan as a process does: with signals, an admin port, words on standard error and a summary.
pub(super) fn execute(plan: Plan, options: &RunOptions, store: Box<dyn Store>, arguments: &Arguments, reloads: Option<Reloads>) -> u8 {
    let stops = Arc::new(AtomicUsize::new(0));
    watch_signals(&stops, reloads.as_ref().map(Reloads::asked));
    let registry = plan.registry.clone();
    let shown = Shown { registry: registry.clone(), ..Shown::default() };
    let address = arguments.value("--admin").map(str::to_owned).or_else(|| plan.admin.clone()).unwrap_or_else(|| admin::DEFAULT.to_owned());
    let admin = if address == "off" { None } else { admin::listen(&address, shown.clone()) };
    let mut host = Process { stops, shown, admin, reloads };
    let watch = Stopwatch::start();
    let sinks: Vec<String> = plan.sinks.iter().map(|s| s.name.clone()).collect();
    let sources: Vec<String> = plan.sources.iter().map(|s| s.name.clone()).collect();
    let outcome = run_plan(plan, options, store, &mut host);
    let (code, epoch) = match &outcome {
        Ok(Outcome::Durable(epoch) | Outcome::ReaderGone(epoch)) => (0u8, *epoch),
        Err(e) => {
            say("error", "failed", &e.0, json!({}));
            (1, 0)
        }
    };
    summarise(&registry, &sources, &sinks, epoch, watch.elapsed().as_secs_f64());
    if matches!(outcome, Ok(Outcome::ReaderGone(_)) | Err(_)) {
        // Units may still hold what nobody will take: they are not waited for.
        std::process::exit(code.into());
    }
    code
}

fn summarise(registry: &Registry, sources: &[String], sinks: &[String], epoch: u64, wall: f64) {
    let events_in = registry.by_label("tripline_events_in_total", "node");
    let rows = |outcome: &str| registry.by_labels("tripline_sink_rows_total", "sink", &[("outcome", outcome)]);
    let (accepted, duplicates) = (rows("accepted"), rows("duplicate"));
    let ins: BTreeMap<&String, u64> = sources.iter().map(|s| (s, events_in.get(s).copied().unwrap_or(0))).collect();
    let of = |counts: &BTreeMap<String, u64>, sink: &String| counts.get(sink).copied().unwrap_or(0);
    let outs: BTreeMap<&String, u64> = sinks.iter().map(|s| (s, of(&accepted, s) + of(&duplicates, s))).collect();
    let alerts = registry.by_label("tripline_alerts_total", "rule");
    let errors = registry.total("tripline_errors_total");
    let total_in: u64 = ins.values().sum();
    let total_alerts: u64 = alerts.values().sum();
    let message = format!("{total_in} events in, {total_alerts} alerts, {errors} errors in {wall:.2} s");
    say(
        "info",
        "summary",
        &message,
        json!({"in": ins, "out": outs, "alerts": alerts,
            "excepted": registry.by_label("tripline_excepted_total", "rule"), "suppressed": registry.by_label("tripline_suppressed_total", "rule"),
            "late": registry.by_label("tripline_late_total", "rule"), "errors": errors, "dead_letters": registry.total("tripline_dead_letters_total"),
            "duplicates": duplicates.values().sum::<u64>(), "epoch": epoch, "wall_s": wall, "cpu_s": cpu_seconds()}),
    );
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    // Fields 14 and 15 of proc(5), in clock ticks of a hundredth of a second.
    (ticks(11) + ticks(12)) / 100.0
}
