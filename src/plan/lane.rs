//! Binding a lane: from its decoders through every transform to every sink and rule that its events reach.
//!
//! A transform with several inputs, or behind a diamond, is bound once for every path, each with its own slots.
use super::bind::{Builder, Errors, PlannedLane, PlannedNode, PlannedTap, TargetPlan, kind_of};
use super::graph::{Family, letters_of, node_of};
use super::sink::PlannedInput;
use super::unit::Inlet;
use crate::codec::format::time::TimeRule;
use crate::codec::format::{Shape, Subject};
use crate::component::bind::Context;
use crate::component::list_write::WriteExtractor;
use crate::component::operator::OperatorFactory;
use crate::component::sink::SinkInput;
use crate::component::source::FactNames;
use crate::component::view::{Lane, View};
use crate::component::{Bind, OutputNames};
use crate::config::Options;
use crate::correlate::copies::WritePort;
use crate::diagnostic::Diagnostic;
use crate::event::Slot;
use crate::expr::Template;
use crate::limits::{LANE_NODES_MAX, SLOTS_MAX, TAGS_MAX};
use crate::transform::formats::Format;
use crate::transform::{BindTransform, BindWrite};
use crate::window::arrivals;
use crate::window::watermark::TimePolicy;

/// What a lane begins with.
pub(super) struct Start<'s> {
    pub(super) name: &'s str,
    pub(super) formats: Vec<Format>,
    pub(super) rule: TimeRule,
    pub(super) policy: TimePolicy,
    pub(super) time_field: Option<String>,
    pub(super) original: bool,
    pub(super) facts: FactNames,
}

/// A lane while it is bound.
pub(super) struct LaneInProgress {
    pub(super) number: usize,
    pub(super) lane: Lane,
    pub(super) policy: TimePolicy,
    pub(super) is_rule: bool,
    /// What flows are late events that left a rule.
    pub(super) is_late: bool,
    /// The rule whose alerts or late events flow.
    pub(super) of_rule: Option<usize>,
    /// Events have a time of their own, from their format or a declared field.
    pub(super) is_timed: bool,
    /// The outputs that lead to where binding is.
    path: Vec<String>,
    rule: TimeRule,
    pub(super) original: bool,
    pub(super) nodes: Vec<PlannedNode>,
    pub(super) taps: Vec<PlannedTap>,
}

impl<'s> Start<'s> {
    /// Alerts are JSON events.
    fn of_rule(name: &'s str) -> Start<'s> {
        Start {
            name,
            formats: vec![Format::Json],
            rule: TimeRule::default(),
            policy: TimePolicy::default(),
            time_field: None,
            original: true,
            facts: FactNames::default(),
        }
    }
}

impl LaneInProgress {
    fn new(start: &Start<'_>, number: usize, is_rule: bool) -> LaneInProgress {
        LaneInProgress {
            number,
            lane: Lane::new(),
            policy: start.policy,
            is_rule,
            is_late: false,
            of_rule: None,
            is_timed: start.time_field.is_some() || start.formats.iter().any(Format::has_time),
            path: Vec::new(),
            rule: start.rule.clone(),
            original: start.original,
            nodes: Vec::new(),
            taps: Vec::new(),
        }
    }
}

impl LaneInProgress {
    /// A node's bind at a place in this lane.
    pub(super) fn bind<'b, 'c>(&'b mut self, node: &'b str, view: &'b mut View, context: &'b mut Context<'c>) -> Bind<'b, 'c> {
        Bind { node, lane: &mut self.lane, view, context, time_rule: self.rule.clone(), state: None }
    }
}

impl Builder<'_, '_> {
    /// Binds everything behind a source.
    pub(super) fn lane(&mut self, start: Start<'_>, number: usize) -> PlannedLane {
        self.bound.push(start.name.to_owned());
        let progress = LaneInProgress::new(&start, number, false);
        self.bind_lane(start, progress)
    }

    /// Binds everything behind a rule: its alerts are JSON events.
    pub(super) fn rule_lane(&mut self, rule: usize, number: usize) -> PlannedLane {
        let name = self.units[rule].node.clone();
        let start = Start::of_rule(&name);
        let progress = LaneInProgress { of_rule: Some(rule), ..LaneInProgress::new(&start, number, true) };
        self.bind_lane(start, progress)
    }

    /// Binds everything behind a rule's output of late events, if somebody reads it: they are JSON events.
    pub(super) fn late_lane(&mut self, rule: usize, number: usize) -> Option<PlannedLane> {
        let name = format!("{}.late", self.units[rule].node);
        self.graph.consumers.get(&name)?;
        self.units[rule].late = Some(number);
        let start = Start::of_rule(&name);
        let progress = LaneInProgress { is_late: true, of_rule: Some(rule), ..LaneInProgress::new(&start, number, true) };
        Some(self.bind_lane(start, progress))
    }

    /// Binds the way of what a rule writes to whoever keeps a copy of the list.
    pub(super) fn writes_lane(&mut self, rule: usize, number: usize) -> Option<PlannedLane> {
        let node = self.units[rule].node.clone();
        let (list, columns) = self.units[rule].written()?;
        self.units[rule].writes = Some(number);
        let name = format!("{node}.list {list}");
        let start = Start::of_rule(&name);
        let mut progress = LaneInProgress { of_rule: Some(rule), ..LaneInProgress::new(&start, number, true) };
        // Its lines are the records themselves.
        let extractor = WriteExtractor::new(None, self.unwritten(&node));
        let roots = self.write_taps(&node, (&list, &columns, false), &mut progress, &extractor);
        Some(PlannedLane { roots, taps: progress.taps, ..PlannedLane::bare(&name, start.rule, start.policy) })
    }

    /// Counts events that lack a part of the key under which they would write.
    fn unwritten(&self, node: &str) -> metrics::Counter {
        self.context.registry.counter("tripline_discarded_total", &[("node", node), ("reason", "no_list_key")])
    }

    /// Ways out of a lane to all who keep a copy of a list, except one that wrote its own already. `write`: list, columns, whether it takes away.
    fn write_taps(
        &mut self,
        writer: &str,
        write: (&str, &[usize], bool),
        progress: &mut LaneInProgress,
        extractor: &WriteExtractor,
    ) -> Vec<TargetPlan> {
        let (list, columns, removes) = write;
        let inlet = arrivals::Inlet { policy: progress.policy, tells: progress.is_rule };
        let mut targets = Vec::new();
        for unit in 0..self.units.len() {
            let Some(number) = self.units[unit].list(list).filter(|_| self.units[unit].node != writer) else { continue };
            let port = WritePort { inlet, list: number, columns: columns.to_vec(), removes };
            let extractor = extractor.clone();
            targets.push(self.units[unit].tap(unit, Inlet::Writes(port), progress, Box::new(move || Box::new(extractor.clone()))));
        }
        targets
    }

    /// Binds the way from a sink to the one that gets what is refused, if there is one: letters are JSON events.
    pub(super) fn letters_lane(&mut self, sink: usize, number: usize) -> Option<PlannedLane> {
        let name = letters_of(&self.sinks[sink].name);
        self.graph.consumers.get(&name)?;
        self.sinks[sink].letters = Some(number);
        let start = Start::of_rule(&name);
        let progress = LaneInProgress::new(&start, number, true);
        Some(self.bind_lane(start, progress))
    }

    fn bind_lane(&mut self, start: Start<'_>, mut progress: LaneInProgress) -> PlannedLane {
        let mut view = View::of_source(start.facts, start.name);
        let mut decoders = Vec::new();
        for (i, format) in start.formats.into_iter().enumerate() {
            let subject =
                if i == 0 { Some(Subject::Line) } else { view.read(&mut progress.lane, "message", start.name).map(Subject::Field) };
            let (shape, names) = format.shape();
            let plan = progress.lane.add_decoder(shape, names, start.name);
            plan.borrow_mut().wanted.event_time = format.has_time() && start.time_field.is_none() && !progress.is_rule;
            view.push_decoder(&plan);
            decoders.push((format, subject, plan));
        }
        let time_field = start.time_field.as_ref().and_then(|f| view.read(&mut progress.lane, f, start.name));
        // Rows of a rule that only sinks read need no decoding at all.
        let roots = self.follow(start.name, &view, &mut progress);
        let errors = format!("{}.errors", start.name);
        let error_roots = self.graph.consumers.contains_key(&errors).then(|| self.follow(&errors, &view, &mut progress));
        self.report_bounds(&progress.lane, start.name);
        PlannedLane {
            name: start.name.to_owned(),
            decoders,
            facts: progress.lane.facts,
            slots: progress.lane.slots,
            rule: start.rule,
            time_field,
            time_is_declared: start.time_field.is_some(),
            policy: start.policy,
            nodes: progress.nodes,
            roots,
            error_roots,
            taps: progress.taps,
        }
    }

    fn report_bounds(&self, lane: &Lane, name: &str) {
        if lane.is_full {
            // A list is no node: who takes its ends is.
            let taker = || self.graph.members.get(self.graph.consumers.get(name)?.first()?);
            let Some(member) = self.graph.members.get(node_of(name)).or_else(taker) else { return };
            let place = &member.key.place;
            let message = format!("what hangs on `{name}` needs more than {SLOTS_MAX} fields or {TAGS_MAX} tags");
            self.faults.borrow_mut().push(Diagnostic::error(place, "too_large", message).help("split the pipeline"));
        }
    }

    /// Binds the consumers of an output.
    fn follow(&mut self, output: &str, view: &View, progress: &mut LaneInProgress) -> Vec<TargetPlan> {
        let consumers: Vec<&str> = self.graph.consumers.get(output).cloned().unwrap_or_default();
        let (mut targets, mut rules) = (Vec::new(), Vec::new());
        progress.path.push(output.to_owned());
        for name in consumers {
            let member = self.graph.members[name];
            self.bound.push(name.to_owned());
            match member.family {
                Family::Transform => targets.extend(self.transform(name, view.clone(), progress)),
                Family::Rule => rules.extend(self.rule_tap(name, view, progress).map(|tap| (name, tap))),
                Family::Sink => targets.extend(self.sink_tap(name, view.clone(), progress)),
                Family::Source => {}
            }
        }
        targets.extend(self.deal_to_rules(output, view, progress, rules));
        progress.path.pop();
        targets
    }

    fn transform(&mut self, name: &str, mut view: View, progress: &mut LaneInProgress) -> Option<TargetPlan> {
        let member = self.graph.members[name];
        let options = Options::new(name, member.node, self.faults);
        let kind = kind_of(&options, crate::transform::KINDS)?;
        let bind_step = match kind.bind {
            BindTransform::Step(bind_step) => bind_step,
            BindTransform::Gather(_) => return self.gather_tap(name, &view, progress),
            BindTransform::Write(bind_write) => return self.list_write(name, bind_write, view, progress),
        };
        if progress.nodes.len() >= LANE_NODES_MAX {
            options.fault(
                Diagnostic::error(&member.key.place, "too_large", "the paths to this node multiply beyond reason")
                    .help("take diamonds out"),
            );
            return None;
        }
        let (factory, state) = {
            let mut bind = progress.bind(name, &mut view, &mut self.context);
            let factory = bind_step(&options, &mut bind);
            (factory, bind.state)
        };
        let number = progress.nodes.len();
        let errors = match kind.outputs {
            OutputNames::MainAndErrors if self.graph.consumers.contains_key(&format!("{name}.errors")) => Errors::Leave,
            OutputNames::MainAndErrors => Errors::GoOn,
            _ => Errors::Never,
        };
        if state.is_some() {
            self.claim_state(name, progress);
        }
        if let Some(factory) = factory {
            progress.nodes.push(PlannedNode { name: name.to_owned(), factory, outputs: Vec::new(), errors, state });
        }
        let bound = progress.nodes.len() > number;
        let mut outputs = vec![self.follow(name, &view, progress)];
        for output in kind.outputs.names(member.node) {
            outputs.push(self.follow(&format!("{name}.{output}"), &view, progress));
        }
        if bound {
            progress.nodes[number].outputs = outputs;
        }
        bound.then_some(TargetPlan::Node(number))
    }

    /// Binds a step that writes a list: its rows go to whoever keeps a copy of it, and on.
    fn list_write(&mut self, name: &str, bind_write: BindWrite, mut view: View, progress: &mut LaneInProgress) -> Option<TargetPlan> {
        let options = Options::new(name, self.graph.members[name].node, self.faults);
        let mut bind = progress.bind(name, &mut view, &mut self.context);
        let written = bind_write(&options, &mut bind);
        let number = progress.nodes.len();
        let factory = crate::transform::filter::resolving(Vec::new());
        progress.nodes.push(PlannedNode { name: name.to_owned(), factory, outputs: Vec::new(), errors: Errors::Never, state: None });
        let mut targets = Vec::new();
        if let Some((write, removes)) = written.filter(|_| progress.number != usize::MAX) {
            let list = write.list.name.clone();
            let columns: Vec<usize> = write.set.iter().map(|(column, _)| *column).collect();
            let extractor = WriteExtractor::new(Some(write), self.unwritten(name));
            targets = self.write_taps(name, (&list, &columns, removes), progress, &extractor);
        }
        targets.extend(self.follow(name, &view, progress));
        progress.nodes[number].outputs = vec![targets];
        Some(TargetPlan::Node(number))
    }

    /// What keeps state stands at one place, where it sees all.
    fn claim_state(&mut self, name: &str, progress: &LaneInProgress) {
        if let Some(rule) = progress.of_rule {
            self.units[rule].has_one_shard = true;
        }
        if self.stateful.iter().any(|n| n == name) {
            let message = format!("`{name}` keeps state and is reached by more than one path: each would have a state of its own");
            let fault = Diagnostic::error(self.graph.members[name].inputs_place(), "two_paths", message);
            self.faults.borrow_mut().push(fault.help("give it one input, or one node for each path"));
        }
        self.stateful.push(name.to_owned());
    }

    fn sink_tap(&mut self, name: &str, mut view: View, progress: &mut LaneInProgress) -> Option<TargetPlan> {
        let sink = self.sink_places.iter().find(|(n, _)| n == name).map(|(_, at)| *at)?;
        let member = self.graph.members[name];
        let options = Options::new(name, member.node, self.faults);
        let (texts, fields) = (self.sinks[sink].templates.clone(), self.sinks[sink].reads.clone());
        let expressions = self.sinks[sink].expressions.clone();
        let mut bind = progress.bind(name, &mut view, &mut self.context);
        // `where` of a sink is a filter before its edge.
        let filter = options.has("where").then(|| crate::transform::filter::of_option(&options, &mut bind));
        let templates: Vec<Template> = texts.iter().filter_map(|(text, place)| bind.template(&options, text, place)).collect();
        let reads: Vec<Option<Slot>> = fields.iter().map(|field| bind.read(field)).collect();
        let mut slots: Vec<Slot> = templates.iter().flat_map(Template::reads).chain(reads.iter().copied().flatten()).collect();
        slots.sort();
        slots.dedup();
        let original = options.bool("original", progress.original);
        let writer = view.event_writer(&mut progress.lane, original, options.bool("meta", false));
        // Behind the writer: what the sink wants beside the event stands in no event.
        let mut bind = progress.bind(name, &mut view, &mut self.context);
        let (computing, values) = crate::transform::set::beside(&expressions, &options, &mut bind)?;
        if !progress.is_rule {
            self.report_copies(name, progress);
        }
        let is_alert = progress.of_rule.is_some_and(|unit| self.units[unit].is_alerting()) && !progress.is_late;
        let input = self.sinks[sink].inputs.len();
        let of_sink = SinkInput { writer, templates, reads, values, is_alert };
        self.sinks[sink].inputs.push(PlannedInput { of_sink, policy: progress.policy, is_late: progress.is_late });
        progress.taps.push(PlannedTap::Sink(sink, input));
        let tap = TargetPlan::Tap(progress.taps.len() - 1);
        // What stands before the edge, in the order in which events pass it.
        let mut steps: Vec<(&str, OperatorFactory)> = Vec::new();
        if let Some(filter) = filter {
            steps.push(("where", filter?));
        }
        steps.extend(computing.map(|factory| ("values", factory)));
        if !slots.is_empty() {
            steps.push(("fields", crate::transform::filter::resolving(slots)));
        }
        let (first, count) = (progress.nodes.len(), steps.len());
        for (at, (part, factory)) in steps.into_iter().enumerate() {
            let next = if at + 1 < count { TargetPlan::Node(first + at + 1) } else { tap };
            let name = format!("{name}.{part}");
            progress.nodes.push(PlannedNode { name, factory, outputs: vec![vec![next]], errors: Errors::Never, state: None });
        }
        Some(if count > 0 { TargetPlan::Node(first) } else { tap })
    }

    /// Warns where an event may reach a sink twice: by two paths that nothing keeps apart.
    fn report_copies(&mut self, sink: &str, progress: &LaneInProgress) {
        let excludes = |other: &[String]| other.iter().any(|a| progress.path.iter().any(|b| a != b && node_of(a) == node_of(b)));
        let other = self.paths.iter().find(|(name, lane, path)| name == sink && *lane == progress.number && !excludes(path));
        if let Some((.., other)) = other {
            let place = self.graph.members[sink].inputs_place();
            let message = format!("events reach `{sink}` twice: by {} and by {}", other.join(" → "), progress.path.join(" → "));
            let warning = Diagnostic::warning(place, "two_paths", message);
            self.faults.borrow_mut().push(
                warning.help("the second copy would be a duplicate: take one of the inputs out, or make the paths exclude each other"),
            );
        }
        self.paths.push((sink.to_owned(), progress.number, progress.path.clone()));
    }

    /// Binds a node that no lane reaches.
    pub(super) fn bind_alone(&mut self, name: &str) {
        // As if behind a rule: of what never comes nothing is to be said but its own faults.
        let mut progress = LaneInProgress::new(&Start::of_rule(name), usize::MAX, true);
        let mut view = View::default();
        let plan = progress.lane.add_decoder(Shape::Json, Vec::new(), name);
        view.push_decoder(&plan);
        match self.graph.members[name].family {
            Family::Transform => drop(self.transform(name, view, &mut progress)),
            Family::Rule => drop(self.rule_tap(name, &view, &mut progress)),
            Family::Sink | Family::Source => {}
        }
    }
}
