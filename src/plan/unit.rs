//! What stands behind lanes with shards and a lane of its own: rules, and transforms that gather events.
use std::sync::Arc;

use super::bind::{Builder, ExtractorFactory, PlannedRule, PlannedTap, TargetPlan};
use super::lane::LaneInProgress;
use crate::component::correlator::Correlator;
use crate::component::view::View;
use crate::config::{Node, Options};
use crate::correlate::options::RuleSpec;
use crate::correlate::port::{Counters, Port};
use crate::correlate::threshold::Threshold;
use crate::metrics::Registry;
use crate::transform::gather::unit::{GatherCounters, Gatherer};
use crate::transform::gather::{GatherPort, GatherSpec, bind_input};
use crate::window::arrivals;

/// What a unit knows of one of its inputs.
pub(super) enum Inlet {
    Rule(Box<Port>),
    Gather(GatherPort),
}

enum Body {
    Rule(Arc<RuleSpec>, Vec<Port>),
    Gather(Arc<GatherSpec>, Vec<GatherPort>),
}

/// A unit whose inputs are being found.
pub(super) struct UnitInProgress {
    pub(super) node: String,
    body: Body,
    inputs: Vec<usize>,
    /// See [`PlannedRule::late`].
    pub(super) late: Option<usize>,
    /// Something behind it keeps state, and must see all that it says.
    pub(super) has_one_shard: bool,
    fingerprint: String,
}

impl UnitInProgress {
    /// A rule.
    pub(super) fn of_rule(spec: RuleSpec, node: &Node, tenant: &str) -> UnitInProgress {
        let inputs: Vec<String> = node.get("inputs").map(Node::items).unwrap_or_default().iter().filter_map(Node::text).collect();
        let condition = node.get("where").and_then(Node::text).unwrap_or_default();
        let fingerprint = spec.fingerprint(&inputs, &condition, tenant);
        UnitInProgress::new(spec.node.clone(), fingerprint, Body::Rule(Arc::new(spec), Vec::new()))
    }

    /// A transform that gathers events.
    pub(super) fn of_gatherer(spec: GatherSpec, tenant: &str) -> UnitInProgress {
        let fingerprint = format!("{}tenant: {tenant}\n", spec.fingerprint);
        UnitInProgress::new(spec.node.clone(), fingerprint, Body::Gather(Arc::new(spec), Vec::new()))
    }

    fn new(node: String, fingerprint: String, body: Body) -> UnitInProgress {
        UnitInProgress { node, body, inputs: Vec::new(), late: None, has_one_shard: false, fingerprint }
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

    /// A way out of a lane, to a further input of this unit.
    pub(super) fn tap(&mut self, number: usize, inlet: Inlet, progress: &mut LaneInProgress, extractor: ExtractorFactory) -> TargetPlan {
        match (&mut self.body, inlet) {
            (Body::Rule(_, ports), Inlet::Rule(port)) => ports.push(*port),
            (Body::Gather(_, ports), Inlet::Gather(port)) => ports.push(port),
            _ => unreachable!("an input is bound by the unit's own kind"),
        }
        self.inputs.push(progress.number);
        progress.taps.push(PlannedTap::Rule(number, self.inputs.len() - 1, extractor));
        TargetPlan::Tap(progress.taps.len() - 1)
    }

    /// What `run` starts.
    pub(super) fn finish(self, registry: &Registry) -> PlannedRule {
        let UnitInProgress { node, body, inputs, late, has_one_shard, fingerprint } = self;
        type Factory = Box<dyn Fn(&[usize]) -> Box<dyn Correlator>>;
        let is_alerting = matches!(body, Body::Rule(..));
        let (factory, is_shardable): (Factory, bool) = match body {
            Body::Rule(spec, ports) => {
                let counters = Counters::new(registry, &node);
                let is_shardable = spec.shard_fields().iter().any(|s| *s);
                let factory = move |inputs: &[usize]| -> Box<dyn Correlator> {
                    let ports = inputs.iter().map(|i| ports[*i].clone()).collect();
                    Box::new(Threshold::new(Arc::clone(&spec), ports, counters.clone()))
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
        };
        PlannedRule { name: node, factory, inputs, is_alerting, is_sharded: !has_one_shard && is_shardable, late, fingerprint }
    }
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
        let (extractor, port) = bind_input(&spec, &options, &mut bind, self.tenant.as_deref(), original, inlet)?;
        if progress.number == usize::MAX {
            return None;
        }
        Some(self.units[unit].tap(unit, Inlet::Gather(port), progress, Box::new(move || Box::new(extractor.clone()))))
    }
}
