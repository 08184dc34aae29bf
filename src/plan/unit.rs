//! What stands behind lanes with shards and a lane of its own: rules, and transforms that gather events.
use std::sync::Arc;

use super::bind::{Builder, ExtractorFactory, PlannedRule, PlannedTap, TargetPlan};
use super::graph::Graph;
use super::lane::LaneInProgress;
use super::lists::{unit_of, writers_of};
use crate::component::bind::WrittenList;
use crate::component::correlator::Correlator;
use crate::component::view::View;
use crate::config::{Node, Options};
use crate::correlate::copies::{InputKind, Listed, WritePort};
use crate::correlate::keeper::{Keeper, ListCounters};
use crate::correlate::options::RuleSpec;
use crate::correlate::port::{Counters, Port};
use crate::correlate::threshold::Threshold;
use crate::list::{ListSpec, SharedList, Storage};
use crate::metrics::Registry;
use crate::transform::gather::unit::{GatherCounters, Gatherer};
use crate::transform::gather::{GatherPort, GatherSpec, bind_input};
use crate::window::arrivals;

/// What a unit knows of one of its inputs.
pub(super) enum Inlet {
    Rule(Box<Port>),
    Gather(GatherPort),
    Writes(WritePort),
}

enum Body {
    Rule(Arc<RuleSpec>, Vec<Port>),
    Gather(Arc<GatherSpec>, Vec<GatherPort>),
    Keep(Arc<SharedList>),
}

/// A unit whose inputs are being found.
pub(super) struct UnitInProgress {
    pub(super) node: String,
    body: Body,
    /// The lanes of its inputs, and what they bring.
    inputs: Vec<(usize, InputKind)>,
    /// The lists that events write whose copies it keeps, and who writes them.
    pub(super) lists: Listed,
    /// See [`PlannedRule::late`].
    pub(super) late: Option<usize>,
    /// See [`PlannedRule::writes`].
    pub(super) writes: Option<usize>,
    /// Something behind it keeps state, and must see all that it says.
    pub(super) has_one_shard: bool,
    fingerprint: String,
}

impl UnitInProgress {
    /// A rule.
    pub(super) fn of_rule(spec: RuleSpec, node: &Node, tenant: &str, specs: Vec<Arc<ListSpec>>, graph: &Graph<'_>) -> UnitInProgress {
        let inputs: Vec<String> = node.get("inputs").map(Node::items).unwrap_or_default().iter().filter_map(Node::text).collect();
        let condition = node.get("where").and_then(Node::text).unwrap_or_default();
        let mut fingerprint = spec.fingerprint(&inputs, &condition, tenant);
        specs.iter().for_each(|list| fingerprint.push_str(&list_fingerprint(list, graph)));
        let unit = UnitInProgress::new(spec.node.clone(), fingerprint, Body::Rule(Arc::new(spec), Vec::new()));
        UnitInProgress { lists: Listed { specs, ..Listed::default() }, ..unit }
    }

    /// What keeps a list for transforms.
    pub(super) fn of_list(list: &WrittenList, graph: &Graph<'_>) -> UnitInProgress {
        let (spec, shared) = (Arc::clone(&list.spec), Arc::clone(&list.shared));
        let unit = UnitInProgress::new(unit_of(&spec.name), list_fingerprint(&spec, graph), Body::Keep(shared));
        UnitInProgress { lists: Listed { specs: vec![spec], ..Listed::default() }, ..unit }
    }

    /// A transform that gathers events.
    pub(super) fn of_gatherer(spec: GatherSpec, tenant: &str) -> UnitInProgress {
        let fingerprint = format!("{}tenant: {tenant}\n", spec.fingerprint);
        UnitInProgress::new(spec.node.clone(), fingerprint, Body::Gather(Arc::new(spec), Vec::new()))
    }

    fn new(node: String, fingerprint: String, body: Body) -> UnitInProgress {
        UnitInProgress {
            node,
            body,
            inputs: Vec::new(),
            lists: Listed::default(),
            late: None,
            writes: None,
            has_one_shard: false,
            fingerprint,
        }
    }

    /// What it says are alerts.
    pub(super) fn is_alerting(&self) -> bool {
        matches!(self.body, Body::Rule(..))
    }

    /// Its options, if it is the rule of a name.
    pub(super) fn rule(&self, name: &str) -> Option<Arc<RuleSpec>> {
        match &self.body {
            Body::Rule(spec, _) if spec.node == name => Some(Arc::clone(spec)),
            _ => None,
        }
    }

    /// Its options, if it is the gatherer of a name.
    fn gatherer(&self, name: &str) -> Option<Arc<GatherSpec>> {
        match &self.body {
            Body::Gather(spec, _) if spec.node == name => Some(Arc::clone(spec)),
            _ => None,
        }
    }

    /// The list that it writes by its firings, and the columns that it sets.
    pub(super) fn written(&self) -> Option<(String, Vec<usize>)> {
        let Body::Rule(_, ports) = &self.body else { return None };
        let write = ports.iter().find_map(|port| port.write.as_ref())?;
        Some((write.list.name.clone(), write.set.iter().map(|(column, _)| *column).collect()))
    }

    /// The number of a list among those whose copies it keeps.
    pub(super) fn list(&self, name: &str) -> Option<usize> {
        self.lists.specs.iter().position(|spec| spec.name == name)
    }

    /// A way out of a lane, to a further input of this unit.
    pub(super) fn tap(&mut self, number: usize, inlet: Inlet, progress: &mut LaneInProgress, extractor: ExtractorFactory) -> TargetPlan {
        let kind = match (&mut self.body, inlet) {
            (Body::Rule(_, ports), Inlet::Rule(port)) => {
                ports.push(*port);
                InputKind::Hits(ports.len() - 1)
            }
            (Body::Gather(_, ports), Inlet::Gather(port)) => {
                ports.push(port);
                InputKind::Hits(ports.len() - 1)
            }
            (Body::Rule(..) | Body::Keep(_), Inlet::Writes(port)) => {
                self.lists.writes.push(port);
                InputKind::Writes(self.lists.writes.len() - 1)
            }
            _ => unreachable!("an input is bound by the unit's own kind"),
        };
        self.inputs.push((progress.number, kind));
        progress.taps.push(PlannedTap::Rule(number, self.inputs.len() - 1, extractor));
        TargetPlan::Tap(progress.taps.len() - 1)
    }

    /// What `run` starts.
    pub(super) fn finish(self, registry: &Registry) -> PlannedRule {
        let UnitInProgress { node, body, inputs, lists, late, writes, has_one_shard, fingerprint } = self;
        let (inputs, kinds): (Vec<usize>, Vec<InputKind>) = inputs.into_iter().unzip();
        type Factory = Box<dyn Fn(&[usize]) -> Box<dyn Correlator>>;
        let is_alerting = matches!(body, Body::Rule(..));
        // There is one copy of what is on the disk, however many shards there are.
        let keeps_rows = lists.specs.iter().any(|list| list.storage == Storage::Disk);
        let (factory, is_shardable): (Factory, bool) = match body {
            Body::Rule(spec, ports) => {
                let counters = Counters::new(registry, &node);
                // What it writes and reads itself it must see from everywhere.
                let is_shardable = spec.shard_fields().iter().any(|s| *s) && lists.own.is_none();
                let factory = move |inputs: &[usize]| -> Box<dyn Correlator> {
                    let kinds = inputs.iter().map(|i| kinds[*i]).collect();
                    Box::new(Threshold::new(Arc::clone(&spec), ports.clone(), lists.clone(), kinds, counters.clone()))
                };
                (Box::new(factory), is_shardable)
            }
            Body::Gather(spec, ports) => {
                let counters = GatherCounters::new(registry, &node);
                let factory = move |inputs: &[usize]| -> Box<dyn Correlator> {
                    let ports = inputs.iter().map(|i| ports[*i].clone()).collect();
                    Box::new(Gatherer::new(Arc::clone(&spec), ports, counters.clone()))
                };
                (Box::new(factory), true)
            }
            Body::Keep(shared) => {
                let counters = ListCounters::new(registry, &lists.specs[0].name);
                let factory = move |inputs: &[usize]| -> Box<dyn Correlator> {
                    let kinds: Vec<InputKind> = inputs.iter().map(|i| kinds[*i]).collect();
                    Box::new(Keeper::new(Arc::clone(&shared), lists.writes.clone(), &kinds, counters.clone()))
                };
                (Box::new(factory), false)
            }
        };
        let is_sharded = is_shardable && !has_one_shard && !keeps_rows;
        PlannedRule { name: node, factory, inputs, is_alerting, is_sharded, late, writes, keeps_rows, fingerprint }
    }
}

/// What a change of makes whoever keeps a copy of a list start anew.
fn list_fingerprint(list: &ListSpec, graph: &Graph<'_>) -> String {
    format!("list: {}, written by {}\n", list.fingerprint(), writers_of(graph, &list.name).join(", "))
}

impl Builder<'_, '_> {
    /// Binds one input of a transform that gathers events.
    pub(super) fn gather_tap(&mut self, name: &str, view: &View, progress: &mut LaneInProgress) -> Option<TargetPlan> {
        let (unit, spec) = self.units.iter().enumerate().find_map(|(n, u)| Some((n, u.gatherer(name)?)))?;
        let options = Options::new(name, self.graph.members[name].node, self.faults);
        let mut own_view = view.clone();
        let inlet = arrivals::Inlet { policy: progress.policy, tells: progress.is_rule };
        let original = progress.original;
        let mut bind = progress.bind(name, &mut own_view, &mut self.context);
        let (extractor, port) = bind_input(&spec, &options, &mut bind, original, inlet)?;
        if progress.number == usize::MAX {
            return None;
        }
        Some(self.units[unit].tap(unit, Inlet::Gather(port), progress, Box::new(move || Box::new(extractor.clone()))))
    }
}
