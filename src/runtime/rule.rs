//! A shard of a rule: takes hits from its inputs in the order in which they come, and puts its alerts into a lane of their own.
use std::ops::Range;
use std::sync::Arc;

use super::caution::Suspect;
use super::epoch::Reports;
use super::lane::{Lane, Step};
use super::message::Message;
use super::ports::{Arrival, Ports};
use super::saves::Saves;
use crate::clock::{NEVER, Timestamp};
use crate::component::Correlator;
use crate::component::correlator::{AlertRows, LateRows, alert_input, late_input};
use crate::event::{Input, Lines, Origin};
use crate::limits::RULE_TURN;
use crate::window::watermark::Activity;

/// The lanes that begin at a shard.
pub struct RuleLanes {
    /// Of alerts.
    pub alerts: Lane,
    /// Of late events, if they leave by an output.
    pub late: Option<Lane>,
    /// Of writes to a list, if it makes some.
    pub writes: Option<Lane>,
}

impl RuleLanes {
    fn all(&mut self) -> impl Iterator<Item = &mut Lane> {
        std::iter::once(&mut self.alerts).chain(&mut self.late).chain(&mut self.writes)
    }
}

/// Takes lines through a lane, as many at once as go into a batch. `said`: the lines, their times and their places among equal ones.
fn run_lines(lane: &mut Lane, said: (&Lines, &[Timestamp], &[u128]), input: impl Fn(Range<usize>) -> Input) {
    let (lines, times, ties) = said;
    let mut from = 0;
    while from < lines.len() {
        let rows = from..from + lines.batch(from);
        lane.run(Arc::new(input(rows.clone())), Some((&times[rows.clone()], &ties[rows.clone()])));
        from = rows.end;
    }
}

/// See the module.
pub struct RuleStage {
    /// Its inputs.
    pub ports: Ports,
    /// The rule.
    pub correlator: Box<dyn Correlator>,
    /// Where what it says goes.
    pub lanes: RuleLanes,
    /// Where alerts come from, as other rules see it.
    pub origin: Arc<Origin>,
    /// `--close`.
    pub close: bool,
    /// Where it reports its state.
    pub reports: Reports,
    /// What it is working on.
    pub suspect: Suspect,
    out: AlertRows,
    told: Timestamp,
    has_opened: bool,
    is_done: bool,
    saves: Saves,
}

impl RuleStage {
    /// A shard.
    #[allow(clippy::too_many_arguments)] // the parts of a stage are what they are
    pub fn new(
        ports: Ports,
        correlator: Box<dyn Correlator>,
        lanes: RuleLanes,
        origin: Arc<Origin>,
        close: bool,
        reports: Reports,
        suspect: Suspect,
        saves: Saves,
    ) -> RuleStage {
        let out = AlertRows::default();
        RuleStage { ports, correlator, lanes, origin, close, reports, suspect, out, told: NEVER, has_opened: false, is_done: false, saves }
    }

    /// Does some things, if there are any to do.
    pub fn turn(&mut self) -> Step {
        let mut did = Step::Idle;
        for _ in 0..RULE_TURN {
            match self.step() {
                Step::Worked => did = Step::Worked,
                Step::Done => return Step::Done,
                Step::Idle => break,
            }
        }
        did
    }

    /// Whether the last barrier has passed.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Does one thing.
    pub fn step(&mut self) -> Step {
        if !self.lanes.all().all(|lane| lane.has_room()) || !self.correlator.has_room() {
            return Step::Idle;
        }
        let Some(arrival) = self.ports.receive() else { return Step::Idle };
        match arrival {
            Arrival::Message(port, message) => self.on_message(port, message),
            Arrival::End(_, all) => {
                if all {
                    self.correlator.on_end(self.close, &mut self.out);
                    self.give();
                    // As of a source that has ended, nobody waits for it.
                    self.send_control(&Message::Partition(Arc::clone(&self.origin), Activity::Ended, NEVER));
                    self.send_control(&Message::End);
                }
            }
            Arrival::Barrier(barrier) => {
                self.suspect.clear();
                self.save(barrier.epoch);
                self.lanes.all().for_each(Lane::on_barrier);
                self.send_control(&Message::Barrier(barrier));
                if barrier.is_last {
                    self.is_done = true;
                    return Step::Done;
                }
            }
        }
        self.give();
        Step::Worked
    }

    fn send_control(&mut self, message: &Message) {
        self.lanes.all().for_each(|lane| lane.send_control(message));
    }

    fn on_message(&mut self, port: usize, message: Message) {
        let out = &mut self.out;
        match message {
            Message::Hits(batch, hits) => {
                self.suspect.note(&batch.input);
                self.correlator.on_hits(port, &batch, &hits, out);
            }
            Message::Quiet(batches) => {
                // While rows are taken one by one, so are these: each may be the one that breaks the rule.
                let together = if self.suspect.is_sought() { 1 } else { batches.len().max(1) };
                for batches in batches.chunks(together) {
                    batches.iter().for_each(|batch| self.suspect.note(&batch.input));
                    self.correlator.on_quiet(port, batches, out);
                }
            }
            Message::Partition(origin, activity, now) => self.correlator.on_partition(port, &origin, activity, now, out),
            Message::Opened => {
                self.correlator.on_opened(port, out);
                // Each input says it once, and so does this one to those behind it: they count who has said it.
                if std::mem::replace(&mut self.has_opened, true) {
                    return;
                }
                // Rules behind this one need not know its partitions: they are told its time.
                self.send_control(&Message::Partition(Arc::clone(&self.origin), Activity::Live, NEVER));
                self.send_control(&Message::Opened);
            }
            Message::Watermark(time) => self.correlator.on_watermark(port, time, out),
            Message::Input(_) | Message::Rows(..) | Message::Skipped(_) | Message::Barrier(_) | Message::End => {}
        }
    }

    /// Puts what was said into its lanes, and says how far time has come.
    fn give(&mut self) {
        let out = &self.out;
        let origin = || Arc::clone(&self.origin);
        run_lines(&mut self.lanes.alerts, (&out.lines, &out.times, &out.ties), |rows| alert_input(out, rows, origin()));
        if let Some(lane) = &mut self.lanes.writes {
            let writes = &out.writes;
            run_lines(lane, (&writes.lines, &writes.times, &writes.ties), |rows| Input::of_lines(writes.lines.iter(rows), origin(), 0));
        }
        if let Some(lane) = &mut self.lanes.late
            && !out.late.lines.is_empty()
        {
            // Of one batch at most, so it fits into one.
            lane.run(Arc::new(late_input(&out.late)), Some((&out.late.times, &[])));
            self.out.late = LateRows::default();
        }
        self.out.clear();
        let watermark = self.correlator.watermark();
        if watermark > self.told {
            self.told = watermark;
            self.send_control(&Message::Watermark(watermark));
        }
    }

    fn save(&mut self, epoch: u64) {
        let size_hint = self.correlator.size_hint();
        self.reports.send(self.saves.report(epoch, size_hint, |full| self.correlator.save(full)));
        let reports = self.reports.clone();
        self.lanes.all().for_each(|lane| lane.save(epoch, &reports));
    }
}
