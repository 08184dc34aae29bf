//! From a plan to units and edges: signals, lanes with their ways out, shards with what the store holds of them, connected sinks and sources.
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::caution::Caution;
use super::checkpoint::{Record, UnitState};
use super::delivery::Delivery;
use super::edge::{EdgeReceiver, Signal, edge};
use super::epoch::{Coordinator, Report, Reports};
use super::intake::{Intake, Orders};
use super::lane::{Lane, LaneNode, LaneStage, LaneTime, Tap, Target};
use super::ports::{Port, Ports};
use super::rule::{RuleLanes, RuleStage};
use super::saves::Saves;
use super::sender::Health;
use super::{incoming, outgoing};
use crate::component::Operator;
use crate::component::correlator::shard_of;
use crate::component::sink::WhenFull;
use crate::component::source::Pace;
use crate::event::Origin;
use crate::event::builder::Pool;
use crate::metrics::Counter;
use crate::plan::{Plan, PlannedLane, PlannedNode, PlannedTap, TargetPlan};
use crate::state::{Changes, OwnRows, StateError, Store};

/// How a plan is to be run.
pub struct RunOptions {
    /// Shards of each rule.
    pub shards: usize,
    /// Workers of each source's lane.
    pub workers: usize,
    /// Files end at their end.
    pub until_end: bool,
    /// Open windows and deadlines are closed at the end.
    pub close: bool,
    /// Identity of this installation.
    pub installation: Vec<u8>,
    /// The state folder, for dead letters and disk buffers. None: the first panic ends the run, and rows wait in memory.
    pub folder: Option<PathBuf>,
}

impl RunOptions {
    /// Where rows go that are refused or break a unit.
    pub fn dead_letters(&self) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join("dead_letter"))
    }
}

/// All units of a run, ready to be driven.
pub struct Topology {
    /// One for each source.
    pub intakes: Vec<Intake>,
    /// Workers of lanes.
    pub lanes: Vec<LaneStage>,
    /// Shards of rules.
    pub rules: Vec<(RuleStage, Arc<Signal>)>,
    /// One for each sink.
    pub deliveries: Vec<(Delivery, Arc<Signal>)>,
    /// Ties them together.
    pub coordinator: Coordinator,
    /// What it asks of intakes.
    pub orders: Arc<Orders>,
    /// What units say.
    pub reports: Reports,
    /// How sinks fare.
    pub health: BTreeMap<String, Arc<Health>>,
    /// Sources without anything new.
    pub exhausted: Vec<String>,
    /// Addresses that sources listen on.
    pub listening: BTreeMap<String, String>,
}

/// A port of a rule's shard: whether it comes from a rule, which input it is, its edges.
type RuleEnd = (bool, usize, Vec<EdgeReceiver>);

/// The ends of edges while units are made.
#[derive(Default)]
struct Ends {
    /// For each sink: lane, input, edges of one port.
    sinks: Vec<Vec<(usize, Vec<EdgeReceiver>)>>,
    /// For each rule and shard: whether the port is a rule's, input, edges of one port.
    rules: Vec<Vec<Vec<RuleEnd>>>,
}

struct Maker<'p> {
    plan: &'p Plan,
    shards: Vec<usize>,
    sink_signals: Vec<Arc<Signal>>,
    rule_signals: Vec<Vec<Arc<Signal>>>,
    ends: Ends,
    pace: Pace,
    /// What the store holds of nodes that keep state, and their numbers in the record.
    states: NodeStates,
}

impl Maker<'_> {
    /// Makes the instances of a lane. Workers of a source share ports; shards of a rule have one each.
    fn lane(&mut self, number: usize, signals: &[Arc<Signal>]) -> Result<Vec<Lane>, RunError> {
        let planned = &self.plan.lanes[number];
        let is_rule = number >= self.plan.sources.len();
        let mut instances: Vec<Vec<Tap>> = signals.iter().map(|_| Vec::new()).collect();
        for tap in &planned.taps {
            let mut sink_edges = Vec::new();
            let mut shard_edges: Vec<Vec<EdgeReceiver>> = Vec::new();
            for (instance, signal) in instances.iter_mut().zip(signals) {
                match tap {
                    PlannedTap::Sink(sink, input) => {
                        let (sender, receiver) =
                            edge(signal, &self.sink_signals[*sink], self.gauge(&planned.name, &self.plan.sinks[*sink].name));
                        let to = &self.plan.sinks[*sink];
                        // With a disk buffer it is the buffer that may be full.
                        let drops = to.when_full == WhenFull::DropNewest && to.buffer.is_none();
                        let dropped = drops.then(|| discarded(self.plan, &to.name, "edge_full"));
                        instance.push(Tap::Sink { edge: sender, rows: Pool::default(), dropped });
                        sink_edges.push(receiver);
                        if is_rule {
                            self.ends.sinks[*sink].push((*input, std::mem::take(&mut sink_edges)));
                        }
                    }
                    PlannedTap::Rule(rule, _, extractor) => {
                        shard_edges.resize_with(self.shards[*rule], Vec::new);
                        let mut senders = Vec::new();
                        for (shard, edges) in shard_edges.iter_mut().enumerate() {
                            let (sender, receiver) =
                                edge(signal, &self.rule_signals[*rule][shard], self.gauge(&planned.name, &self.plan.rules[*rule].name));
                            senders.push(sender);
                            edges.push(receiver);
                        }
                        instance.push(Tap::Rule { extractor: extractor(), edges: senders, hits: Pool::default() });
                        if is_rule {
                            self.end_rule(tap, is_rule, &mut shard_edges);
                        }
                    }
                }
            }
            if !is_rule {
                match tap {
                    PlannedTap::Sink(sink, input) => self.ends.sinks[*sink].push((*input, sink_edges)),
                    PlannedTap::Rule(..) => self.end_rule(tap, is_rule, &mut shard_edges),
                }
            }
        }
        instances.into_iter().map(|taps| self.instance(planned, taps, is_rule)).collect()
    }

    fn end_rule(&mut self, tap: &PlannedTap, is_rule: bool, shard_edges: &mut [Vec<EdgeReceiver>]) {
        if let PlannedTap::Rule(rule, input, _) = tap {
            for (shard, edges) in shard_edges.iter_mut().enumerate() {
                self.ends.rules[*rule][shard].push((is_rule, *input, std::mem::take(edges)));
            }
        }
    }

    fn gauge(&self, from: &str, to: &str) -> metrics::Gauge {
        self.plan.registry.gauge("tripline_edge_bytes", &[("from", from), ("to", to)])
    }

    fn instance(&self, planned: &PlannedLane, taps: Vec<Tap>, is_rule: bool) -> Result<Lane, RunError> {
        let registry = &self.plan.registry;
        let counter = |name: &str, node: &str| registry.counter(name, &[("node", node)]);
        let target = |t: &TargetPlan| match t {
            TargetPlan::Node(n) => Target::Node(*n),
            TargetPlan::Tap(n) => Target::Tap(*n),
        };
        let node_of = |node: &PlannedNode| -> Result<LaneNode, RunError> {
            let (operator, saves) = self.operator(node)?;
            Ok(LaneNode {
                operator,
                saves,
                outputs: node.outputs.iter().map(|o| o.iter().map(target).collect()).collect(),
                on_error: node.errors,
                events_in: counter("tripline_events_in_total", &node.name),
                events_out: registry.counter("tripline_events_out_total", &[("node", &node.name), ("output", "main")]),
                errors: registry.counter("tripline_errors_total", &[("node", &node.name), ("reason", "decode")]),
            })
        };
        let nodes: Result<Vec<LaneNode>, RunError> = planned.nodes.iter().map(node_of).collect();
        let decoders = planned
            .decoders
            .iter()
            .map(|(format, subject, wanted)| (format.decoder(wanted.borrow().wanted.clone(), &planned.rule), *subject));
        let time = LaneTime { field: planned.time_field, is_declared: planned.time_is_declared, rule: planned.rule.clone() };
        let counters = (
            counter("tripline_events_in_total", &planned.name),
            registry.counter("tripline_errors_total", &[("node", &planned.name), ("reason", "decode")]),
        );
        Ok(Lane::new(
            decoders.collect(),
            planned.facts.iter().map(|(_, slot)| *slot).collect(),
            planned.slots.len(),
            time,
            nodes?,
            planned.roots.iter().map(target).collect(),
            planned.error_roots.as_ref().map(|t| t.iter().map(target).collect()),
            taps,
            counters,
            (!is_rule).then(|| self.pace.clone()),
        ))
    }

    /// An operator with what the store holds of it.
    fn operator(&self, node: &PlannedNode) -> Result<(Box<dyn Operator>, Option<Saves>), RunError> {
        let mut operator = (node.factory)();
        let Some((unit, blobs)) = node.state.as_ref().and_then(|_| self.states.get(&node.name)) else { return Ok((operator, None)) };
        for blob in blobs {
            operator.load(blob).map_err(|e| unreadable(&node.name, e))?;
        }
        Ok((operator, Some(Saves::new(*unit, !blobs.is_empty()))))
    }
}

/// Why a run could not start or go on.
#[derive(Debug)]
pub struct RunError(pub String);

impl From<StateError> for RunError {
    fn from(e: StateError) -> RunError {
        RunError(e.0)
    }
}

impl Topology {
    /// Makes all units, connects sinks and sources, and loads what the store holds.
    pub fn new(plan: &Plan, options: &RunOptions, store: &mut dyn Store, caution: &Caution) -> Result<Topology, RunError> {
        let old = store.record()?.map(|bytes| Record::from_bytes(&bytes)).transpose()?.unwrap_or_default();
        let shards: Vec<usize> = plan.rules.iter().map(|r| if r.is_sharded { options.shards } else { 1 }).collect();
        let mut record = Record { epoch: old.epoch, ..Record::default() };
        record.contents = plan.content_hashes();
        let runtime = blocking()?;
        let reports = Reports::default();
        let (sinks, sealed) = outgoing::connect(plan, options, &old, &reports, &runtime)?;
        record.sinks = sealed;
        // What sinks found is durable before the first byte goes out; what the last run left stays readable until the first epoch.
        let mut start = Record { sinks: record.sinks.clone(), ..old.clone() };
        store.publish(&start.to_bytes(), Changes::default())?;
        let orders = Arc::new(Orders::default());
        let pace = Pace::new(plan.sources.iter().map(|s| s.skew_max).min().unwrap_or(crate::limits::SKEW_MAX));
        let signals = |n: usize| (0..n).map(|_| Signal::new()).collect::<Vec<_>>();
        let mut maker = Maker {
            plan,
            sink_signals: signals(plan.sinks.len()),
            rule_signals: rule_signals(&shards, &signals(options.shards)),
            ends: Ends {
                sinks: plan.sinks.iter().map(|_| Vec::new()).collect(),
                rules: shards.iter().map(|s| (0..*s).map(|_| Vec::new()).collect()).collect(),
            },
            shards: shards.clone(),
            pace: pace.clone(),
            states: node_states(plan, &old, &mut record, store)?,
        };
        let mut lanes = Vec::new();
        let mut parts = Vec::new();
        for number in 0..plan.sources.len() {
            // What keeps state must see all events, in their order.
            let workers = if plan.lanes[number].nodes.iter().any(|n| n.state.is_some()) { 1 } else { options.workers };
            let (intake_signal, worker_signals) = (Signal::new(), signals(workers));
            let mut senders = Vec::new();
            let instances = maker.lane(number, &worker_signals)?;
            for (lane, signal) in instances.into_iter().zip(worker_signals) {
                let (sender, input) = edge(&intake_signal, &signal, maker.gauge("intake", &plan.lanes[number].name));
                senders.push(sender);
                lanes.push(LaneStage {
                    name: plan.lanes[number].name.clone(),
                    input,
                    lane,
                    signal,
                    suspect: caution.suspect(),
                    reports: reports.clone(),
                });
            }
            parts.push((intake_signal, senders));
        }
        let mut rule_lanes: Vec<Vec<RuleLanes>> = Vec::new();
        for (number, rule) in plan.rules.iter().enumerate() {
            let signals = maker.rule_signals[number].clone();
            let alerts = maker.lane(plan.sources.len() + number, &signals)?;
            let mut beside = |lane: Option<usize>| lane.map(|lane| maker.lane(lane, &signals)).transpose().map(Option::unwrap_or_default);
            let (mut late, mut writes) = (beside(rule.late)?.into_iter(), beside(rule.writes)?.into_iter());
            let lanes = |alerts| RuleLanes { alerts, late: late.next(), writes: writes.next() };
            rule_lanes.push(alerts.into_iter().map(lanes).collect());
        }
        let mut letters = Vec::new();
        for (number, sink) in plan.sinks.iter().enumerate() {
            let signal = Arc::clone(&maker.sink_signals[number]);
            letters.push(sink.letters.map(|lane| maker.lane(lane, &[signal])).transpose()?.and_then(|mut lanes| lanes.pop()));
        }
        let Maker { ends, rule_signals, sink_signals, .. } = maker;
        let mut forget: Vec<Vec<u8>> = Vec::new();
        let rules = make_rules(
            plan,
            options,
            &old,
            &mut record,
            store,
            &mut forget,
            rule_lanes,
            ends.rules,
            rule_signals,
            &reports,
            &orders,
            caution,
        )?;
        let deliveries =
            outgoing::deliveries(plan, options, sinks, &record.sinks, ends.sinks, sink_signals, letters, &reports, caution, &orders);
        let wakes = parts.iter().map(|(signal, _)| signal).chain(deliveries.iter().map(|(_, signal)| signal)).cloned().collect();
        let mut intakes = Vec::new();
        let (mut exhausted, mut listening) = (Vec::new(), BTreeMap::new());
        let mut begins_journal = false;
        orders.barrier.store(record.epoch, Ordering::Release);
        for (number, (signal, senders)) in parts.into_iter().enumerate() {
            let source = &plan.sources[number];
            let last = old.positions.iter().find(|(n, _)| *n == source.name).map(|(_, p)| p.as_slice()).filter(|p| !p.is_empty());
            let (made, position) = incoming::connect(plan, options, number, &pace, last, &runtime)?;
            if source.buffer.disk.is_some() && position.is_none() {
                // Before its first epoch a journal is known, too: what it holds then may be there nowhere else.
                start.positions.retain(|(name, _)| *name != source.name);
                start.positions.push((source.name.clone(), made.position()));
                begins_journal = true;
            }
            record.positions.push((source.name.clone(), position.unwrap_or_default()));
            if made.is_exhausted_at_start() {
                exhausted.push(source.name.clone());
            }
            if let Some(address) = made.listening() {
                listening.insert(source.name.clone(), address);
            }
            intakes.push(Intake::new(
                number,
                &source.name,
                made,
                senders,
                signal,
                Arc::clone(&orders),
                reports.clone(),
                plan.clock.clone(),
                caution.row_by_row(),
            ));
        }
        if begins_journal {
            store.publish(&start.to_bytes(), Changes::default())?;
        }
        let health = deliveries.iter().map(|(d, _)| (d.name().to_owned(), Arc::clone(d.health()))).collect();
        let coordinator = Coordinator::new(record, Arc::clone(&orders), wakes, forget);
        Ok(Topology { intakes, lanes, rules, deliveries, coordinator, orders, reports, health, exhausted, listening })
    }
}

/// Shards of a number share a thread, whatever their rules; rules of one shard are spread over the threads.
fn rule_signals(shards: &[usize], threads: &[Arc<Signal>]) -> Vec<Vec<Arc<Signal>>> {
    let thread = |rule: usize, count: usize, shard: usize| if count == 1 { rule % threads.len() } else { shard };
    let of_rule = |(rule, count): (usize, &usize)| (0..*count).map(|shard| Arc::clone(&threads[thread(rule, *count, shard)])).collect();
    shards.iter().enumerate().map(of_rule).collect()
}

/// By node: its number in the record, and the pieces of its state.
type NodeStates = HashMap<String, (usize, Vec<Vec<u8>>)>;

/// Gives every node that keeps state its place in the record, and reads what the store holds of it.
fn node_states(plan: &Plan, old: &Record, record: &mut Record, store: &dyn Store) -> Result<NodeStates, RunError> {
    let mut out = NodeStates::new();
    for (name, fingerprint) in plan.stateful_nodes() {
        let anew = || UnitState { name: name.to_owned(), fingerprint: fingerprint.to_owned(), since: old.epoch + 1, blobs: Vec::new() };
        let unit = old.units.iter().find(|u| u.name == name && u.fingerprint == fingerprint).cloned().unwrap_or_else(anew);
        out.insert(name.to_owned(), (record.units.len(), pieces_of(&unit, store)?));
        record.units.push(unit);
    }
    Ok(out)
}

/// The pieces of a unit's state, oldest first.
fn pieces_of(unit: &UnitState, store: &dyn Store) -> Result<Vec<Vec<u8>>, RunError> {
    let missing = || unreadable(&unit.name, "a piece is missing");
    unit.blobs.iter().map(|key| store.blob(key)?.ok_or_else(missing)).collect()
}

/// What ends a run that cannot read what a unit saved.
fn unreadable(unit: &str, why: impl std::fmt::Display) -> RunError {
    RunError(format!("state of {unit}: {why}; start with --fresh"))
}

/// Counts what a node drops.
pub(super) fn discarded(plan: &Plan, node: &str, reason: &str) -> Counter {
    plan.registry.counter("tripline_discarded_total", &[("node", node), ("reason", reason)])
}

#[allow(clippy::too_many_arguments)] // a step of `Topology::new`, cut out for its length
fn make_rules(
    plan: &Plan,
    options: &RunOptions,
    old: &Record,
    record: &mut Record,
    store: &dyn Store,
    forget: &mut Vec<Vec<u8>>,
    lanes: Vec<Vec<RuleLanes>>,
    ends: Vec<Vec<Vec<RuleEnd>>>,
    signals: Vec<Vec<Arc<Signal>>>,
    reports: &Reports,
    orders: &Arc<Orders>,
    caution: &Caution,
) -> Result<Vec<(RuleStage, Arc<Signal>)>, RunError> {
    let mut out = Vec::new();
    let mut kept: Vec<String> = record.units.iter().filter(|u| !u.blobs.is_empty()).map(|u| u.name.clone()).collect();
    for (((rule, lanes), ends), signals) in plan.rules.iter().zip(lanes).zip(ends).zip(signals) {
        let shards = signals.len();
        let prefix = format!("{}/", rule.name);
        let before: Vec<&UnitState> =
            old.units.iter().filter(|u| u.name.starts_with(&prefix) && u.fingerprint == rule.fingerprint).collect();
        let same = before.len() == shards;
        for (shard, ((lanes, mut ends), signal)) in lanes.into_iter().zip(ends).zip(signals).enumerate() {
            // Ports of sources keep their numbers whatever the number of shards of other rules.
            ends.sort_by_key(|(is_rule, input, _)| (*is_rule, *input));
            let inputs: Vec<usize> = ends.iter().map(|(_, input, _)| *input).collect();
            let ports = Ports::new(ends.into_iter().map(|(_, _, edges)| Port::new(edges)).collect());
            let mut correlator = (rule.factory)(&inputs);
            let name = format!("{prefix}{shard}");
            let since = before.iter().find(|u| same && u.name == name).map_or(old.epoch + 1, |u| u.since);
            let mut unit = UnitState { name: name.clone(), fingerprint: rule.fingerprint.clone(), since, blobs: Vec::new() };
            let fault = Arc::new(OnceLock::new());
            if rule.keeps_rows {
                correlator.attach(OwnRows::new(store.rows(&unit.owner())?, on_fault(&name, reports, orders, &fault)));
            }
            let keep = move |hash: u64| shard_of(hash, shards) == shard;
            for state in before.iter().filter(|u| !same || u.name == name) {
                correlator.load(&pieces_of(state, store)?, &keep).map_err(|e| unreadable(&name, e))?;
                if same {
                    unit.blobs.clone_from(&state.blobs);
                    kept.push(state.name.clone());
                }
            }
            if let Some(e) = fault.get() {
                return Err(unreadable(&name, e));
            }
            let has_whole = !unit.blobs.is_empty();
            let number = record.units.len();
            record.units.push(unit);
            let origin = Arc::new(Origin { source: rule.name.clone(), identity: rule.name.clone().into_bytes(), ..Origin::default() });
            out.push((
                RuleStage::new(
                    ports,
                    correlator,
                    lanes,
                    origin,
                    options.close,
                    reports.clone(),
                    caution.suspect(),
                    Saves::new(number, has_whole),
                ),
                signal,
            ));
        }
    }
    forget.extend(old.units.iter().filter(|u| !kept.contains(&u.name)).flat_map(|u| u.blobs.iter().cloned()));
    Ok(out)
}

/// What happens where a unit cannot read what it keeps in the store: on a thread of its own it ends the run, and waits for that; while it is made, which is on this
/// thread, it leaves the fault behind.
fn on_fault(
    unit: &str,
    reports: &Reports,
    orders: &Arc<Orders>,
    fault: &Arc<OnceLock<StateError>>,
) -> Arc<dyn Fn(StateError) + Send + Sync> {
    let (unit, reports, orders) = (unit.to_owned(), reports.clone(), Arc::clone(orders));
    let (maker, fault) = (std::thread::current().id(), Arc::clone(fault));
    Arc::new(move |e| {
        if std::thread::current().id() == maker {
            let _ = fault.set(e);
            return;
        }
        reports.send(Report::Failed { message: format!("state of {unit}: {e}") });
        while !orders.called_off.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(10));
        }
    })
}

/// A runtime for the calling thread.
pub(super) fn blocking() -> Result<tokio::runtime::Runtime, RunError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| RunError(format!("no runtime: {e}")))
}
