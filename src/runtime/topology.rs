//! The run of a plan: one thread for each unit, the coordinator in the caller's. A changed pipeline file and a panic are both answered by ending all units
//! and starting again from the last epoch, which is how a run begins.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::assemble::{RunError, RunOptions, Topology};
use super::caution::{Answer, Caution, Culprit};
use super::checkpoint::Record;
use super::crew::Crew;
use super::dead_letter::{self, Letter};
use super::epoch::{Coordinator, Phase, Report, Reports};
use super::prepared;
use super::sender::Health;
use crate::clock::Stopwatch;
use crate::component::sink::Then;
use crate::limits::{RELOAD_INTERVAL_MS, RETRY_MAX_MS, RETRY_MIN_MS};
use crate::plan::Plan;
use crate::state::Store;

/// What the caller of a run is told and asked.
pub trait Host {
    /// All sources of a plan are open.
    fn ready(&mut self, plan: &Plan, listening: &BTreeMap<String, String>, health: &BTreeMap<String, Arc<Health>>);
    /// A word for the user.
    fn word(&mut self, level: &str, event: &str, message: &str);
    /// How many times a stop was asked for.
    fn stops(&self) -> usize;
    /// An epoch is durable.
    fn durable(&mut self, _epoch: u64) {}
    /// A plan that is to take the place of the running one, if there is one now.
    fn reload(&mut self) -> Option<Plan> {
        None
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is durable.
    Durable(u64),
    /// The reader of the output went away.
    ReaderGone(u64),
}

/// Why the units of a run ended.
enum End {
    Over(Outcome),
    Reload(Box<Plan>),
    /// The same, from the last epoch: the one after it was given up.
    Torn(Box<Plan>),
    Panicked(String, Option<Culprit>),
    Rewind(String),
}

/// Runs a plan to its end.
pub fn run(mut plan: Plan, options: &RunOptions, mut store: Box<dyn Store>, host: &mut dyn Host) -> Result<Outcome, RunError> {
    let mut caution = Caution::default();
    let mut before: Option<Plan> = None;
    let mut is_first = true;
    let mut rewinds = Rewinds::default();
    go_back(&plan, options, &mut *store, host)?;
    loop {
        let topology = match (Topology::new(&plan, options, &mut *store, &caution), before.take()) {
            (Ok(topology), _) => topology,
            (Err(e), None) => return Err(e),
            (Err(e), Some(old)) => {
                host.word("error", "reload_failed", &format!("{}: the pipeline goes on as it was", e.0));
                plan = old;
                continue;
            }
        };
        if std::mem::take(&mut is_first) {
            topology.exhausted.iter().for_each(|source| {
                let state = plan.state.display();
                host.word(
                    "info",
                    "nothing_new",
                    &format!("{source}: nothing new since the last run (state {state}); --fresh reads it again"),
                );
            });
        }
        match run_units(&mut plan, topology, &mut *store, host)? {
            (_, End::Over(outcome)) => return Ok(outcome),
            (_, End::Reload(new)) => {
                host.word("info", "reloaded", "the pipeline was loaded again");
                before = Some(std::mem::replace(&mut plan, *new));
            }
            (epoch, End::Torn(new)) => {
                let why = "its sinks did not take the rows of the next epoch";
                host.word("warn", "reloaded", &format!("the pipeline was loaded again, starting behind epoch {epoch}: {why}"));
                before = Some(std::mem::replace(&mut plan, *new));
                go_back(&plan, options, &mut *store, host)?;
            }
            (epoch, End::Rewind(message)) => {
                host.word("warn", "rewound", &format!("{message}: starting again behind epoch {epoch}"));
                rewinds.rest(epoch, host);
                go_back(&plan, options, &mut *store, host)?;
            }
            (epoch, End::Panicked(name, culprit)) => {
                recover(&plan, options, &mut caution, epoch, (&name, culprit), host)?;
                go_back(&plan, options, &mut *store, host)?;
            }
        }
    }
}

/// How often the run went back to the same epoch.
#[derive(Default)]
struct Rewinds {
    epoch: u64,
    tries: u32,
}

impl Rewinds {
    /// Waits, each time twice as long.
    fn rest(&mut self, epoch: u64, host: &dyn Host) {
        self.tries = if epoch == self.epoch { self.tries + 1 } else { 0 };
        self.epoch = epoch;
        sleep(Duration::from_millis((RETRY_MIN_MS << self.tries.min(10)).min(RETRY_MAX_MS / 10)), host);
    }
}

/// Sleeps, unless a stop is asked for.
fn sleep(longest: Duration, host: &dyn Host) {
    let since = Stopwatch::start();
    while since.elapsed() < longest && host.stops() == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Leaves nothing of what came behind the last epoch: it comes again.
fn go_back(plan: &Plan, options: &RunOptions, store: &mut dyn Store, host: &mut dyn Host) -> Result<(), RunError> {
    settle(plan, options, store, host)?;
    cut_dead_letters(options, store)
}

/// Learns whether an epoch that was only prepared counts. A peer that cannot say is asked until it can.
fn settle(plan: &Plan, options: &RunOptions, store: &mut dyn Store, host: &mut dyn Host) -> Result<(), RunError> {
    let mut is_told = false;
    loop {
        match prepared::settle(plan, options, store)? {
            prepared::Answer::Settled => return Ok(()),
            prepared::Answer::Unknown(outage) if host.stops() > 0 || outage.then == Then::Fail => return Err(RunError(outage.message)),
            prepared::Answer::Unknown(outage) => {
                if !std::mem::replace(&mut is_told, true) {
                    host.word("warn", "sink_outage", &format!("{outage}; whether its last epoch counts is asked again"));
                }
                sleep(Duration::from_millis(RETRY_MAX_MS / 10), host);
            }
        }
    }
}

/// What was refused behind the last epoch comes again, and would stand in the dead letter twice.
pub fn cut_dead_letters(options: &RunOptions, store: &dyn Store) -> Result<(), RunError> {
    let (Some(folder), Some(record)) = (options.dead_letters(), store.record()?) else { return Ok(()) };
    for (node, sealed) in Record::from_bytes(&record)?.sinks {
        dead_letter::cut(&folder, &node, sealed.dead_letter).map_err(|e| RunError(format!("dead letter of `{node}`: {e}")))?;
    }
    Ok(())
}

/// Starts the units of a topology and coordinates them. Gives the last durable epoch, too.
fn run_units(plan: &mut Plan, topology: Topology, store: &mut dyn Store, host: &mut dyn Host) -> Result<(u64, End), RunError> {
    let Topology { intakes, lanes, rules, deliveries, mut coordinator, orders, reports, health, listening, .. } = topology;
    let mut crew = Crew::new(&orders, &reports);
    lanes.into_iter().try_for_each(|stage| crew.start_lane(stage))?;
    crew.start_rules(rules)?;
    deliveries.into_iter().try_for_each(|(delivery, signal)| crew.start_delivery(delivery, signal))?;
    intakes.into_iter().try_for_each(|intake| crew.start_intake(intake))?;
    host.ready(plan, &listening, &health);
    let end = coordinate(plan, &mut coordinator, &reports, store, host)?;
    match &end {
        // Whoever holds rows for a reader that went away is not waited for.
        End::Over(Outcome::ReaderGone(_)) => {}
        End::Panicked(..) | End::Rewind(_) | End::Torn(_) => crew.call_off(),
        End::Over(_) | End::Reload(_) => crew.join(),
    }
    Ok((coordinator.record.epoch, end))
}

/// Answers a panic of a unit behind an epoch.
fn recover(
    plan: &Plan,
    options: &RunOptions,
    caution: &mut Caution,
    epoch: u64,
    (name, culprit): (&str, Option<Culprit>),
    host: &mut dyn Host,
) -> Result<(), RunError> {
    let give_up = || RunError(format!("`{name}` panicked: this is a fault of the program; the state is that of epoch {epoch}"));
    let Some(folder) = options.dead_letters() else { return Err(give_up()) };
    let sources: Vec<&str> = plan.sources.iter().map(|s| s.name.as_str()).collect();
    match caution.learn(epoch, culprit, &sources) {
        Answer::GiveUp => Err(give_up()),
        Answer::Again => {
            host.word("error", "panicked", &format!("`{name}` panicked, a fault of the program: starting again behind epoch {epoch}"));
            Ok(())
        }
        Answer::Without(row) => {
            let reason = format!("`{name}` panicked at this row");
            // Its text is one of its source, whichever unit it broke: there it can be replayed.
            let node = row.origin.source.as_str();
            let id = row.origin.event_id(row.position, &row.line);
            let time = plan.clock.now();
            let letter = Letter { id, stage: "transform", reason: &reason, status: None, time, event: None, raw: Some(&row.line) };
            dead_letter::put(&folder, node, std::iter::once(letter)).map_err(|e| RunError(format!("dead letter of `{node}`: {e}")))?;
            plan.registry.counter("tripline_dead_letters_total", &[("node", node)]).increment(1);
            let place = format!("{}:{} at {}", row.origin.source, row.origin.partition, row.position);
            host.word(
                "error",
                "dead_letter",
                &format!("`{name}` panics at a row of {place}: it is left out and stands in the dead letter"),
            );
            Ok(())
        }
    }
}

fn coordinate(
    plan: &mut Plan,
    coordinator: &mut Coordinator,
    reports: &Reports,
    store: &mut dyn Store,
    host: &mut dyn Host,
) -> Result<End, RunError> {
    let interval = Duration::from_nanos(plan.barrier_interval.unsigned_abs());
    let (epoch_gauge, seconds_gauge) = (plan.registry.gauge("tripline_epoch", &[]), plan.registry.gauge("tripline_epoch_seconds", &[]));
    plan.show_ages();
    let (mut asked, mut reloaded) = (Stopwatch::start(), Stopwatch::start());
    let mut stopping: Option<Stopwatch> = None;
    let mut troubled = false;
    let mut next: Option<(Box<Plan>, Stopwatch)> = None;
    let stop_timeout = Duration::from_nanos(plan.stop_timeout.unsigned_abs());
    loop {
        while let Some(report) = reports.receive() {
            match &report {
                Report::Word { level, event, message } => host.word(level, event, message),
                Report::ReaderGone => return Ok(End::Over(Outcome::ReaderGone(coordinator.record.epoch))),
                Report::Rewind { message } => return Ok(End::Rewind(message.clone())),
                Report::Failed { message } => return Err(RunError(message.clone())),
                Report::Panicked { name, culprit } => return Ok(End::Panicked(name.clone(), culprit.clone())),
                _ => {}
            }
            coordinator.take(report);
        }
        loop {
            match coordinator.advance(store) {
                Ok(None) => break,
                Ok(Some(epoch)) => {
                    troubled = false;
                    epoch_gauge.set(epoch as f64);
                    seconds_gauge.set(asked.elapsed().as_secs_f64());
                    host.durable(epoch);
                }
                Err(e) => {
                    if !std::mem::replace(&mut troubled, true) {
                        host.word("warn", "state_outage", &format!("{e}; holding and trying again"));
                    }
                    std::thread::sleep(Duration::from_millis(crate::limits::RETRY_MIN_MS));
                    break;
                }
            }
        }
        if coordinator.is_done() {
            return Ok(match next.filter(|_| stopping.is_none()) {
                Some((plan, _)) => End::Reload(plan),
                None => End::Over(Outcome::Durable(coordinator.record.epoch)),
            });
        }
        if host.stops() > 0 && stopping.is_none() {
            stopping = Some(Stopwatch::start());
            coordinator.hurry();
        }
        if stopping.is_none()
            && let Some(plan) = host.reload()
        {
            next = Some((Box::new(plan), Stopwatch::start()));
            coordinator.hurry();
            coordinator.ask(true);
        }
        // A sink may be away for what the new plan mends: where all can be read again, it is not waited for longer than at a stop.
        let may_tear = stopping.is_none() && plan.sources.iter().all(|source| source.is_replayable);
        if let Some((plan, _)) = next.take_if(|(_, since)| may_tear && since.elapsed() >= stop_timeout) {
            return Ok(End::Torn(plan));
        }
        if (stopping.is_some() || coordinator.ended.iter().all(|e| *e)) && !coordinator.is_ending() {
            coordinator.ask(true);
        } else if asked.elapsed() >= interval && coordinator.may_ask() {
            asked = Stopwatch::start();
            coordinator.ask(false);
        }
        if let Some(since) = &stopping
            && since.elapsed() >= stop_timeout
        {
            let where_ = match coordinator.phase() {
                Some(Phase::Open) => "operators have not come to its barrier",
                Some(Phase::Prepared) => "a sink does not release what it holds of it",
                _ => "a sink does not take its rows",
            };
            return Err(RunError(format!("epoch {} is still open after {:?}: {where_}", coordinator.record.epoch + 1, since.elapsed())));
        }
        if reloaded.elapsed() >= Duration::from_millis(RELOAD_INTERVAL_MS) {
            reloaded = Stopwatch::start();
            let mut has_changed = false;
            for reload in &mut plan.reloads {
                match reload.check() {
                    Ok(true) => {
                        host.word("info", "reloaded", "a changed file was read again");
                        has_changed = true;
                    }
                    Ok(false) => {}
                    Err(message) => host.word("error", "reload_failed", &message),
                }
            }
            if has_changed {
                coordinator.record.contents = plan.content_hashes();
            }
            plan.show_ages();
        }
        reports.park(interval.saturating_sub(asked.elapsed()).clamp(Duration::from_millis(1), Duration::from_millis(50)));
    }
}
