//! The threads of a run: one for each unit, one for all rules' shards of a number, driven until they are done, or until all are called off.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use super::assemble::{RunError, blocking};
use super::caution::Suspect;
use super::delivery::Delivery;
use super::edge::Signal;
use super::epoch::{Report, Reports};
use super::intake::{Intake, Next, Orders};
use super::lane::{LaneStage, Step};
use super::rule::RuleStage;

/// See the module.
pub(super) struct Crew {
    threads: Vec<JoinHandle<()>>,
    signals: Vec<Arc<Signal>>,
    orders: Arc<Orders>,
    reports: Reports,
}

impl Crew {
    pub(super) fn new(orders: &Arc<Orders>, reports: &Reports) -> Crew {
        Crew { threads: Vec::new(), signals: Vec::new(), orders: Arc::clone(orders), reports: reports.clone() }
    }

    pub(super) fn start_lane(&mut self, mut stage: LaneStage) -> Result<(), RunError> {
        let (name, suspect, signal, orders) = (stage.name.clone(), stage.suspect.clone(), Arc::clone(&stage.signal), self.orders());
        self.start(name, suspect, Arc::clone(&signal), move || drive(&signal, &orders, || stage.step()))
    }

    /// Starts a thread for each signal: the shards that share one take turns.
    pub(super) fn start_rules(&mut self, rules: Vec<(RuleStage, Arc<Signal>)>) -> Result<(), RunError> {
        let mut groups: Vec<(Arc<Signal>, Vec<RuleStage>)> = Vec::new();
        for (stage, signal) in rules {
            match groups.iter_mut().find(|(of_group, _)| Arc::ptr_eq(of_group, &signal)) {
                Some((_, stages)) => stages.push(stage),
                None => groups.push((signal, vec![stage])),
            }
        }
        for (signal, mut stages) in groups {
            let (orders, reports) = (self.orders(), self.reports.clone());
            let of_thread = Arc::clone(&signal);
            let body = move || drive(&of_thread, &orders, || step_in_turn(&mut stages, &reports));
            // A panic is reported for the shard that it struck.
            self.start("rules".to_owned(), Suspect::default(), signal, body)?;
        }
        Ok(())
    }

    pub(super) fn start_delivery(&mut self, delivery: Delivery, signal: Arc<Signal>) -> Result<(), RunError> {
        let (name, suspect, orders) = (delivery.name().to_owned(), delivery.suspect().clone(), self.orders());
        self.start(name, suspect, Arc::clone(&signal), move || drive_delivery(delivery, &signal, &orders))
    }

    pub(super) fn start_intake(&mut self, intake: Intake) -> Result<(), RunError> {
        let (name, signal, orders) = (intake.name.clone(), Arc::clone(&intake.signal), self.orders());
        self.start(name, Suspect::default(), signal, move || drive_intake(intake, &orders))
    }

    fn orders(&self) -> Arc<Orders> {
        Arc::clone(&self.orders)
    }

    fn start(&mut self, name: String, suspect: Suspect, signal: Arc<Signal>, body: impl FnOnce() + Send + 'static) -> Result<(), RunError> {
        let reports = self.reports.clone();
        let guarded = move || {
            if catch_unwind(AssertUnwindSafe(body)).is_err() {
                reports.send(Report::Panicked { name, culprit: suspect.row() });
            }
            reports.raise();
        };
        self.threads.push(std::thread::Builder::new().spawn(guarded).map_err(|e| RunError(format!("no thread: {e}")))?);
        self.signals.push(signal);
        Ok(())
    }

    /// Waits for all units to be done.
    pub(super) fn join(self) {
        self.threads.into_iter().for_each(|t| drop(t.join()));
    }

    /// Calls all units off where they stand, and waits for them.
    pub(super) fn call_off(self) {
        self.orders.called_off.store(true, Ordering::Release);
        self.signals.iter().for_each(|s| s.raise());
        self.join();
    }
}

fn is_called_off(orders: &Orders) -> bool {
    orders.called_off.load(Ordering::Acquire)
}

/// Gives each shard a turn. One that panics is reported, and ends the turns of all: the run starts again.
fn step_in_turn(stages: &mut Vec<RuleStage>, reports: &Reports) -> Step {
    let mut together = Step::Idle;
    let mut done = false;
    for stage in stages.iter_mut() {
        match catch_unwind(AssertUnwindSafe(|| stage.turn())) {
            Ok(Step::Idle) => {}
            Ok(Step::Worked) => together = Step::Worked,
            Ok(Step::Done) => done = true,
            Err(_) => {
                reports.send(Report::Panicked { name: stage.origin.source.clone(), culprit: stage.suspect.row() });
                reports.raise();
                return Step::Done;
            }
        }
    }
    if done {
        stages.retain(|stage| !stage.is_done());
    }
    match together {
        _ if stages.is_empty() => Step::Done,
        Step::Idle if done => Step::Worked,
        together => together,
    }
}

fn drive(signal: &Signal, orders: &Orders, mut step: impl FnMut() -> Step) {
    while !is_called_off(orders) {
        match step() {
            Step::Worked => {}
            Step::Idle => signal.park(Duration::from_secs(1)),
            Step::Done => return,
        }
    }
}

fn drive_delivery(mut delivery: Delivery, signal: &Signal, orders: &Orders) {
    let Ok(runtime) = blocking() else { return };
    runtime.block_on(async {
        while !is_called_off(orders) {
            match delivery.step().await {
                Step::Worked => {}
                Step::Done => return,
                Step::Idle => delivery.idle(signal, Duration::from_secs(1)).await,
            }
        }
    });
}

fn drive_intake(mut intake: Intake, orders: &Orders) {
    let Ok(runtime) = blocking() else { return };
    let signal = Arc::clone(&intake.signal);
    runtime.block_on(async {
        while !is_called_off(orders) {
            match intake.step().await {
                Next::Again => {}
                Next::Done => return,
                Next::Wait(wait) => drop(tokio::time::timeout(wait, signal.wait()).await),
            }
        }
    });
    drop(intake);
    // A read of standard input may still be under way: it is not waited for.
    runtime.shutdown_background();
}
