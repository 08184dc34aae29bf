//! The run of a plan: one thread for each unit, the coordinator in the caller's.
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::assemble::{RunError, RunOptions, Topology, blocking};
use super::delivery::{Delivery, Health};
use super::edge::Signal;
use super::epoch::{Coordinator, Phase, Report, Reports};
use super::intake::{Intake, Next};
use super::lane::Step;
use crate::clock::Stopwatch;
use crate::limits::RELOAD_INTERVAL_MS;
use crate::plan::Plan;
use crate::state::Store;

/// What the caller of a run is told and asked.
pub trait Host {
    /// All sources are open.
    fn ready(&mut self, listening: &BTreeMap<String, String>, health: &BTreeMap<String, Arc<Health>>);
    /// A word for the user.
    fn word(&mut self, level: &str, event: &str, message: &str);
    /// How many times a stop was asked for.
    fn stops(&self) -> usize;
    /// An epoch is durable.
    fn durable(&mut self, _epoch: u64) {}
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is durable.
    Durable(u64),
    /// The reader of the output went away.
    ReaderGone(u64),
}

/// Runs a plan to its end.
pub fn run(mut plan: Plan, options: &RunOptions, store: Box<dyn Store>, host: &mut dyn Host) -> Result<Outcome, RunError> {
    let topology = Topology::new(&plan, options, store)?;
    for source in &topology.exhausted {
        host.word(
            "info",
            "nothing_new",
            &format!("{source}: nothing new since the last run (state {}); --fresh reads it again", plan.state.display()),
        );
    }
    let Topology { intakes, lanes, rules, deliveries, mut coordinator, reports, health, listening, .. } = topology;
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    let mut start = |name: String, body: Box<dyn FnOnce() + Send>| -> Result<(), RunError> {
        let reports = reports.clone();
        let guarded = move || {
            if catch_unwind(AssertUnwindSafe(body)).is_err() {
                reports.send(Report::Panicked { name });
            }
            reports.raise();
        };
        threads.push(std::thread::Builder::new().spawn(guarded).map_err(|e| RunError(format!("no thread: {e}")))?);
        Ok(())
    };
    for mut stage in lanes {
        start("lane".into(), Box::new(move || drive(&stage.signal.clone(), || stage.step())))?;
    }
    for (mut stage, signal) in rules {
        start("rule".into(), Box::new(move || drive(&signal, || stage.step())))?;
    }
    for (delivery, signal) in deliveries {
        start(delivery.name.clone(), Box::new(move || drive_delivery(delivery, &signal)))?;
    }
    for intake in intakes {
        start(intake.name.clone(), Box::new(move || drive_intake(intake)))?;
    }
    host.ready(&listening, &health);
    let outcome = coordinate(&mut plan, &mut coordinator, &reports, host)?;
    if matches!(outcome, Outcome::Durable(_)) {
        threads.into_iter().for_each(|t| drop(t.join()));
    }
    Ok(outcome)
}

fn coordinate(plan: &mut Plan, coordinator: &mut Coordinator, reports: &Reports, host: &mut dyn Host) -> Result<Outcome, RunError> {
    let interval = Duration::from_nanos(plan.barrier_interval.unsigned_abs());
    let (epoch_gauge, seconds_gauge) = (plan.registry.gauge("tripline_epoch", &[]), plan.registry.gauge("tripline_epoch_seconds", &[]));
    let (mut asked, mut reloaded) = (Stopwatch::start(), Stopwatch::start());
    let mut stopping: Option<Stopwatch> = None;
    let mut troubled = false;
    loop {
        while let Some(report) = reports.receive() {
            match &report {
                Report::Word { level, event, message } => host.word(level, event, message),
                Report::ReaderGone => return Ok(Outcome::ReaderGone(coordinator.record.epoch)),
                Report::Panicked { name } => {
                    return Err(RunError(format!(
                        "`{name}` panicked: this is a fault of the program; the state is that of epoch {}",
                        coordinator.record.epoch
                    )));
                }
                _ => {}
            }
            coordinator.take(report);
        }
        loop {
            match coordinator.advance() {
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
            return Ok(Outcome::Durable(coordinator.record.epoch));
        }
        if host.stops() > 0 && stopping.is_none() {
            stopping = Some(Stopwatch::start());
        }
        if (stopping.is_some() || coordinator.ended.iter().all(|e| *e)) && !coordinator.is_ending() {
            coordinator.ask(true);
        } else if asked.elapsed() >= interval && coordinator.may_ask() {
            asked = Stopwatch::start();
            coordinator.ask(false);
        }
        if let Some(since) = &stopping
            && since.elapsed() >= Duration::from_nanos(plan.stop_timeout.unsigned_abs())
        {
            let where_ = match coordinator.phase() {
                Some(Phase::Open) => "operators have not come to its barrier",
                _ => "a sink does not take its rows",
            };
            return Err(RunError(format!("epoch {} is still open after {:?}: {where_}", coordinator.record.epoch + 1, since.elapsed())));
        }
        if reloaded.elapsed() >= Duration::from_millis(RELOAD_INTERVAL_MS) {
            reloaded = Stopwatch::start();
            for reload in &mut plan.reloads {
                match reload.check() {
                    Ok(true) => host.word("info", "reloaded", "a changed file was read again"),
                    Ok(false) => {}
                    Err(message) => host.word("error", "reload_failed", &message),
                }
            }
        }
        reports.park(interval.saturating_sub(asked.elapsed()).clamp(Duration::from_millis(1), Duration::from_millis(50)));
    }
}

fn drive(signal: &Signal, mut step: impl FnMut() -> Step) {
    loop {
        match step() {
            Step::Worked => {}
            Step::Idle => signal.park(Duration::from_secs(1)),
            Step::Done => return,
        }
    }
}

fn drive_delivery(mut delivery: Delivery, signal: &Signal) {
    let Ok(runtime) = blocking() else { return };
    runtime.block_on(async {
        loop {
            let wait = match delivery.step().await {
                Ok(Step::Worked) => continue,
                Ok(Step::Done) => return,
                Ok(Step::Idle) => Duration::from_secs(1),
                Err(back_off) => {
                    // New rows do not shorten the wait for a peer that is out.
                    tokio::time::sleep(back_off).await;
                    continue;
                }
            };
            let _ = tokio::time::timeout(wait, signal.wait()).await;
        }
    });
}

fn drive_intake(mut intake: Intake) {
    let Ok(runtime) = blocking() else { return };
    let signal = Arc::clone(&intake.signal);
    runtime.block_on(async {
        loop {
            match intake.step().await {
                Next::Again => {}
                Next::Done => return,
                Next::Wait(wait) => drop(tokio::time::timeout(wait, signal.wait()).await),
            }
        }
    });
    // A read of standard input may still be under way: it is not waited for.
    runtime.shutdown_background();
}
