//! The plan: what `run` starts, `check` finds fault with and `explain` prints.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use super::buffers::SourceBuffer;
use super::graph::{Family, Graph, TOP, graph};
use super::lists::{Readings, lists_of};
use super::picture::Picture;
use super::sink::PlannedSink;
use super::time_section::{TimeSection, time_options};
use super::unit::UnitInProgress;
use super::{buffers, lane, lists, tables};
use crate::clock::Clock;
use crate::codec::format::Subject;
use crate::codec::format::time::TimeRule;
use crate::component::bind::{Context, Tables};
use crate::component::correlator::{Correlator, Extractor};
use crate::component::operator::OperatorFactory;
use crate::component::source::{BoundSource, SourceFactory};
use crate::component::view::{DecoderPlan, SlotInfo};
use crate::component::{Kind, OutputNames, Reload};
use crate::config::{Node, Options};
use crate::correlate::options::RuleSpec;
use crate::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::event::Slot;
use crate::limits::{BARRIER_INTERVAL_MS, STOP_TIMEOUT_MS};
use crate::list::SharedList;
use crate::mapfile::CompiledMap;
use crate::metrics::Registry;
use crate::table::Handle;
use crate::transform::BindTransform;
use crate::transform::formats::Format;
use crate::window::watermark::TimePolicy;

/// Where the rows of an output go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetPlan {
    /// To an operator of the lane, by number.
    Node(usize),
    /// To a tap of the lane, by number.
    Tap(usize),
}

/// A decoder: its format, what it reads, what it is asked for.
pub type PlannedDecoder = (Format, Option<Subject>, Rc<RefCell<DecoderPlan>>);

/// What becomes of rows that an operator cannot treat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// There are none.
    Never,
    /// They go on with the others.
    GoOn,
    /// They leave the stream by the output `errors`.
    Leave,
}

/// An operator at its place in a lane.
pub struct PlannedNode {
    /// Name of the node.
    pub name: String,
    /// Makes it.
    pub factory: OperatorFactory,
    /// Targets of each output: main, then the kind's others.
    pub outputs: Vec<Vec<TargetPlan>>,
    /// What becomes of rows that it cannot treat.
    pub errors: Errors,
    /// Of what keeps state: what a change of voids it.
    pub state: Option<String>,
}

/// Makes what finds a rule's hits, for one worker.
pub type ExtractorFactory = Box<dyn Fn() -> Box<dyn Extractor>>;

/// Makes a shard of a rule, given which input each of its ports is.
pub type CorrelatorFactory = Box<dyn Fn(&[usize]) -> Box<dyn Correlator>>;

/// A way out of a lane.
pub enum PlannedTap {
    /// To a sink, by number, as its input of a number.
    Sink(usize, usize),
    /// To a rule, by number, as its input of a number.
    Rule(usize, usize, ExtractorFactory),
}

/// Everything behind one source or rule.
pub struct PlannedLane {
    /// The source or rule.
    pub name: String,
    /// Decoders: format, what it reads, what it is asked for.
    pub decoders: Vec<PlannedDecoder>,
    /// What the source is asked for beside the bytes.
    pub facts: Vec<(String, Slot)>,
    /// Slots.
    pub slots: Vec<SlotInfo>,
    /// How times are read.
    pub rule: TimeRule,
    /// The declared time field.
    pub time_field: Option<Slot>,
    /// Whether one is declared.
    pub time_is_declared: bool,
    /// How times are judged.
    pub policy: TimePolicy,
    /// Operators; outputs lead to later ones.
    pub nodes: Vec<PlannedNode>,
    /// Where decoded rows go.
    pub roots: Vec<TargetPlan>,
    /// Where refused rows go, if `errors` is wired.
    pub error_roots: Option<Vec<TargetPlan>>,
    /// Ways out.
    pub taps: Vec<PlannedTap>,
}

/// A source.
pub struct PlannedSource {
    /// Name of the node.
    pub name: String,
    /// Name of its kind.
    pub kind: &'static str,
    /// Makes it.
    pub factory: SourceFactory,
    /// Whether what it gave can be read again.
    pub is_replayable: bool,
    /// Silence after which a partition is idle.
    pub idle_timeout: i64,
    /// How far its partitions may run ahead.
    pub skew_max: i64,
    /// What stands behind it.
    pub buffer: SourceBuffer,
}

/// A rule, or a transform that gathers events: it has shards, and what it says begins a lane.
pub struct PlannedRule {
    /// Name of the node.
    pub name: String,
    /// Makes a shard, given which input each of its ports is: an input that is a sharded rule has a port for each shard.
    pub factory: CorrelatorFactory,
    /// For each input, the lane that it comes from.
    pub inputs: Vec<usize>,
    /// What it says are alerts.
    pub is_alerting: bool,
    /// Whether it may be sharded.
    pub is_sharded: bool,
    /// The lane of its late events, if they leave by an output that somebody reads.
    pub late: Option<usize>,
    /// The lane of what it writes to a list, if it does.
    pub writes: Option<usize>,
    /// Whether it keeps rows in the store itself.
    pub keeps_rows: bool,
    /// What a change of voids its state.
    pub fingerprint: String,
}

/// A pipeline, ready to be started. Lanes: one for each source, one for each rule, then those of late events, of writes to lists, and of dead letters.
pub struct Plan {
    /// Where relative paths start.
    pub folder: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// Sources, by number.
    pub sources: Vec<PlannedSource>,
    /// Rules, by number.
    pub rules: Vec<PlannedRule>,
    /// Sinks, by number.
    pub sinks: Vec<PlannedSink>,
    /// Lanes.
    pub lanes: Vec<PlannedLane>,
    /// Files to watch.
    pub reloads: Vec<Box<dyn Reload>>,
    /// Map files, with the nodes that use them; a node on several paths has one for each.
    pub maps: Vec<(String, Arc<Handle<CompiledMap>>)>,
    /// Tables and lists, for their content hashes.
    pub contents: Tables,
    /// Lists that events write, as transforms see them.
    pub lists: BTreeMap<String, Arc<SharedList>>,
    /// Counters.
    pub registry: Registry,
    /// The clock.
    pub clock: Clock,
    /// Address of the admin port.
    pub admin: Option<String>,
    /// Time between epochs.
    pub barrier_interval: i64,
    /// How long a stop waits.
    pub stop_timeout: i64,
    /// Who writes and who reads which list, for people.
    pub readings: Vec<Readings>,
    /// Its nodes as they are written, for people.
    pub picture: Picture,
}

impl PlannedLane {
    /// A lane that decodes nothing and leads nowhere yet.
    pub(super) fn bare(name: &str, rule: TimeRule, policy: TimePolicy) -> PlannedLane {
        PlannedLane {
            name: name.to_owned(),
            decoders: Vec::new(),
            facts: Vec::new(),
            slots: Vec::new(),
            rule,
            time_field: None,
            time_is_declared: false,
            policy,
            nodes: Vec::new(),
            roots: Vec::new(),
            error_roots: None,
            taps: Vec::new(),
        }
    }
}

impl Plan {
    /// Tables and lists by name, with the hash of what each holds.
    pub fn content_hashes(&self) -> Vec<(String, u128)> {
        self.contents.iter().map(|(name, table)| (name.clone(), table.get().content_hash)).collect()
    }

    /// Says how old what each table holds is.
    pub fn show_ages(&self) {
        let now = self.clock.now();
        for (name, table) in self.contents.iter().filter_map(|(name, table)| Some((name.strip_prefix("tables/")?, table))) {
            if let Some(changed) = table.get().changed {
                let age = now.saturating_sub(changed) as f64 / 1e9;
                self.registry.gauge("tripline_table_age_seconds", &[("table", name)]).set(age);
            }
        }
    }

    /// The nodes of lanes that keep state, with what a change of voids it.
    pub fn stateful_nodes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lanes.iter().flat_map(|lane| &lane.nodes).filter_map(|node| Some((node.name.as_str(), node.state.as_deref()?)))
    }

    /// The rule whose alerts or late events a lane carries.
    pub fn rule_of(&self, lane: usize) -> Option<&PlannedRule> {
        let by_number = lane.checked_sub(self.sources.len()).and_then(|rule| self.rules.get(rule));
        by_number.or_else(|| self.rules.iter().find(|r| r.late == Some(lane) || r.writes == Some(lane)))
    }
}

/// What is being put together.
pub(super) struct Builder<'a, 'c> {
    pub(super) graph: &'a Graph<'a>,
    pub(super) faults: &'a RefCell<Diagnostics>,
    pub(super) context: Context<'c>,
    pub(super) units: Vec<UnitInProgress>,
    pub(super) sinks: Vec<PlannedSink>,
    pub(super) sink_places: Vec<(String, usize)>,
    /// Nodes that some lane reached.
    pub(super) bound: Vec<String>,
    /// Nodes that keep state.
    pub(super) stateful: Vec<String>,
    /// By which outputs events of a lane reach a sink.
    pub(super) paths: Vec<(String, usize, Vec<String>)>,
}

/// Binds a pipeline file. Without errors among the faults there is a plan.
pub fn plan(root: &Node, folder: &Path, clock: Clock, registry: &Registry, faults: Diagnostics) -> (Option<Plan>, Diagnostics) {
    let faults = RefCell::new(faults);
    let top = Options::new("the pipeline file", root, &faults);
    top.check(&[TOP]);
    let graph = graph(root, &outputs_of, &faults);
    if graph.members.values().all(|m| m.family != Family::Source) {
        faults.borrow_mut().push(
            Diagnostic::error(&root.place, "no_source", "the file has no source")
                .help("`sources: {NAME: {type: file, paths: [\"*.log\"]}}`"),
        );
    }
    let mut reloads: Vec<Box<dyn Reload>> = Vec::new();
    let table_map = tables::read(root, &faults, &mut reloads);
    let lists = lists::read(root, &graph, top.text("tenant").as_deref(), &faults, &mut reloads);
    let mut maps = Vec::new();
    let context = Context {
        tables: &table_map,
        lists: &lists.tables,
        written: &lists.written,
        tenant: top.text("tenant"),
        registry: registry.clone(),
        clock: clock.clone(),
        reloads: &mut reloads,
        maps: &mut maps,
    };
    let mut builder = Builder {
        graph: &graph,
        faults: &faults,
        context,
        units: Vec::new(),
        sinks: Vec::new(),
        sink_places: Vec::new(),
        bound: Vec::new(),
        stateful: Vec::new(),
        paths: Vec::new(),
    };
    builder.read_rules();
    builder.read_gatherers();
    builder.units.extend(lists.written.iter().map(|list| UnitInProgress::of_list(list, &graph)));
    builder.read_sinks();
    let (sources, mut lanes) = builder.read_sources();
    for unit in 0..builder.units.len() {
        lanes.push(builder.rule_lane(unit, lanes.len()));
    }
    for unit in 0..builder.units.len() {
        lanes.extend(builder.late_lane(unit, lanes.len()));
    }
    for unit in 0..builder.units.len() {
        lanes.extend(builder.writes_lane(unit, lanes.len()));
    }
    for sink in 0..builder.sinks.len() {
        lanes.extend(builder.letters_lane(sink, lanes.len()));
    }
    builder.bind_unreached();
    let Builder { units, sinks, .. } = builder;
    let rules = units.into_iter().map(|u| u.finish(registry)).collect();
    let picture = Picture::of(&graph);
    let interval = top.section("barrier").and_then(|b| b.duration("interval")).unwrap_or(BARRIER_INTERVAL_MS as i64 * 1_000_000);
    let readings = Readings::of(&graph, &lists.written);
    let contents = lists
        .tables
        .into_iter()
        .chain(lists.bases)
        .map(|(n, t)| (format!("lists/{n}"), t))
        .chain(table_map.into_iter().map(|(n, t)| (format!("tables/{n}"), t)))
        .collect();
    let plan = Plan {
        state: top.path("state").map_or_else(|| folder.join(".tripline"), |(path, _)| path),
        folder: folder.to_owned(),
        sources,
        rules,
        sinks,
        lanes,
        reloads,
        maps,
        contents,
        lists: lists.written.iter().map(|list| (list.spec.name.clone(), Arc::clone(&list.shared))).collect(),
        registry: registry.clone(),
        clock,
        admin: top.section("admin").and_then(|a| a.text("listen")),
        barrier_interval: interval.max(1_000_000),
        picture,
        readings,
        stop_timeout: top.duration("stop_timeout").unwrap_or(STOP_TIMEOUT_MS as i64 * 1_000_000),
    };
    let faults = faults.into_inner();
    (if faults.has_errors() { None } else { Some(plan) }, faults)
}

/// Finds a kind by name, or says what is known.
pub(super) fn kind_of<F>(options: &Options<'_>, kinds: &'static [&'static Kind<F>]) -> Option<&'static Kind<F>> {
    let Some((name, place)) = options.placed("type") else {
        let help = format!("known here: {}", kinds.iter().map(|k| k.name).collect::<Vec<_>>().join(", "));
        options.fault(Diagnostic::error(options.place(), "missing_key", format!("`{}` lacks `type`", options.name)).help(help));
        return None;
    };
    let found = kinds.iter().find(|k| k.name == name).copied();
    if found.is_none() {
        let help = match name.as_str() {
            "kafka" if cfg!(not(feature = "kafka")) => "this program was built without Kafka: build it with the feature `kafka`".to_owned(),
            _ => suggest(&name, kinds.iter().map(|k| k.name)),
        };
        options.fault(Diagnostic::error(&place, "unknown_type", format!("there is no type `{name}`")).help(help));
    }
    found
}

fn outputs_of(family: Family, kind: &str) -> Option<OutputNames> {
    match family {
        Family::Source => crate::source::KINDS.iter().find(|k| k.name == kind).map(|k| k.outputs),
        Family::Transform => crate::transform::KINDS.iter().find(|k| k.name == kind).map(|k| k.outputs),
        Family::Rule => crate::correlate::KINDS.iter().find(|k| k.name == kind).map(|k| k.outputs),
        Family::Sink => None,
    }
}

impl<'a> Builder<'a, '_> {
    pub(super) fn members(&self, family: Family) -> Vec<(&'a str, &'a Node)> {
        self.graph
            .order
            .iter()
            .filter_map(|n| self.graph.members.get(n))
            .filter(|m| m.family == family)
            .map(|m| (m.key.name.as_str(), m.node))
            .collect()
    }

    fn read_rules(&mut self) {
        for (name, node) in self.members(Family::Rule) {
            let options = Options::new(name, node, self.faults);
            let Some(kind) = kind_of(&options, crate::correlate::KINDS) else { continue };
            if let Some(spec) = (kind.bind)(&options) {
                let spec: RuleSpec = spec;
                let lists = lists_of(node, self.context.written);
                let tenant = self.context.tenant.as_deref().unwrap_or_default();
                self.units.push(UnitInProgress::of_rule(spec, node, tenant, lists, self.graph));
            }
        }
    }

    /// Transforms that gather events stand behind lanes, as rules do.
    fn read_gatherers(&mut self) {
        for (name, node) in self.members(Family::Transform) {
            let options = Options::new(name, node, self.faults);
            let kind = options.text("type").and_then(|kind| crate::transform::KINDS.iter().find(|k| k.name == kind));
            if let Some(Kind { bind: BindTransform::Gather(bind), .. }) = kind
                && let Some(spec) = bind(&options)
            {
                self.units.push(UnitInProgress::of_gatherer(spec, self.context.tenant.as_deref().unwrap_or_default()));
            }
        }
    }

    fn read_sources(&mut self) -> (Vec<PlannedSource>, Vec<PlannedLane>) {
        let (mut sources, mut lanes) = (Vec::new(), Vec::new());
        let mut buffers = buffers::of_sources(self.graph, self.faults);
        buffers.values().for_each(|buffer| self.check_claims(buffer));
        for (name, node) in self.members(Family::Source) {
            let options = Options::new(name, node, self.faults);
            let Some(kind) = kind_of(&options, crate::source::KINDS) else { continue };
            let bound: Option<BoundSource> = (kind.bind)(&options);
            let TimeSection { mut rule, policy, field: mut time_field, idle_timeout, skew_max } = time_options(&options);
            let formats: Vec<Format> = match options.get("format") {
                Some(format) => Format::read_chain(format, &options),
                None => Format::by_name(bound.as_ref().map_or("raw", |b| b.format)).into_iter().collect(),
            };
            if let Some(time) = bound.as_ref().and_then(|b| b.time)
                && time_field.is_none()
                && !formats.iter().any(Format::has_time)
            {
                (time_field, rule) = (Some(time.to_owned()), TimeRule::default());
            }
            let (original, facts) = (options.bool("original", true), bound.as_ref().map(|b| b.facts).unwrap_or_default());
            let planned = self.lane(lane::Start { name, formats, rule, policy, time_field, original, facts }, lanes.len());
            let Some(BoundSource { factory, only, .. }) = bound else { continue };
            if let Some((what, first)) = only.zip(sources.iter().find(|s: &&PlannedSource| s.kind == kind.name)) {
                let message = format!("`{}` reads {what} already: each of the two gets pieces of it", first.name);
                self.faults.borrow_mut().push(Diagnostic::warning(options.place(), "shared_input", message).help("take one of them out"));
            }
            lanes.push(planned);
            sources.push(PlannedSource {
                name: name.to_owned(),
                kind: kind.name,
                factory,
                is_replayable: only.is_none(),
                idle_timeout,
                skew_max,
                buffer: buffers.remove(name).unwrap_or_default(),
            });
        }
        (sources, lanes)
    }

    /// Nodes that no lane reaches are bound to an input of any shape, so that their own faults show all the same.
    fn bind_unreached(&mut self) {
        let missing: Vec<&str> = self.graph.order.iter().copied().filter(|n| !self.bound.iter().any(|b| b == n)).collect();
        for name in missing {
            self.bind_alone(name);
        }
    }
}
