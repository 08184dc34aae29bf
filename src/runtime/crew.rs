//! The threads of a run: one for each unit, driven until it is done, or until all are called off.
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

    pub(super) fn start_rule(&mut self, mut stage: RuleStage, signal: Arc<Signal>) -> Result<(), RunError> {
        let (name, suspect, orders) = (stage.origin.source.clone(), stage.suspect.clone(), self.orders());
        self.start(name, suspect, Arc::clone(&signal), move || drive(&signal, &orders, || stage.step()))
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
