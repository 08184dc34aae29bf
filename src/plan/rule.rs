//! Binding a rule: what it reads of each of its inputs.
use std::sync::Arc;

use super::bind::{Builder, TargetPlan};
use super::lane::LaneInProgress;
use super::unit::Inlet;
use crate::component::Bind;
use crate::component::bind::{compile_at, compile_tree_at};
use crate::component::list_write::Write;
use crate::component::view::View;
use crate::config::{Node, Options};
use crate::correlate::alert::{AlertPrograms, Constants, SEVERITIES, Severity, TablesRead};
use crate::correlate::copies::WritePort;
use crate::correlate::extract::{RuleExtractor, Scratch};
use crate::correlate::options::{Bound, Late, RuleSpec};
use crate::correlate::payload::reserved;
use crate::correlate::port::Port;
use crate::diagnostic::Diagnostic;
use crate::event::Slot;
use crate::expr::ast::{Expr, Truth};
use crate::expr::eval::ListRef;
use crate::expr::{self, Environment, Program, Template};
use crate::list::ListSpec;
use crate::table::{Handle, Table};
use crate::window::arrivals;
use crate::window::general::Measure;

/// Names in a rule's expressions: its reserved words, then fields.
struct RuleNames<'b, 'x, 'c> {
    bind: &'b mut Bind<'x, 'c>,
    /// The lists whose copies the rule keeps.
    lists: &'b [Arc<ListSpec>],
    /// Whether the reserved words mean what they do in rules: in `where` they are fields.
    has_words: bool,
    reads: Vec<Slot>,
}

impl Environment for RuleNames<'_, '_, '_> {
    fn slot(&mut self, name: &str) -> Option<Slot> {
        if let Some(slot) = reserved(name).filter(|_| self.has_words) {
            return Some(slot);
        }
        let slot = self.bind.read(name)?;
        self.reads.push(slot);
        Some(slot)
    }
    fn list(&mut self, name: &str) -> Option<(Arc<ListSpec>, ListRef)> {
        match self.lists.iter().position(|list| list.name == name) {
            Some(number) => Some((Arc::clone(&self.lists[number]), ListRef::Own(number as u16))),
            // What is only written.
            None => self.bind.list(name),
        }
    }
    fn tenant(&mut self) -> Option<Slot> {
        let slot = self.bind.tenant()?;
        self.reads.push(slot);
        Some(slot)
    }
    fn table(&mut self, name: &str, list: bool) -> Option<Arc<Handle<Table>>> {
        self.bind.table(name, list)
    }
    fn tables(&self, list: bool) -> Vec<String> {
        self.bind.tables(list)
    }
}

impl Builder<'_, '_> {
    /// Binds one input of a rule.
    pub(super) fn rule_tap(&mut self, name: &str, view: &View, progress: &mut LaneInProgress) -> Option<TargetPlan> {
        let (unit, spec) = self.units.iter().enumerate().find_map(|(n, u)| Some((n, u.rule(name)?)))?;
        let member = self.graph.members[name];
        let options = Options::new(name, member.node, self.faults);
        if !progress.is_rule && !progress.is_timed {
            let message = format!("`{name}` reads events that have no time of their own: a replay may give other alerts than the live run");
            options.fault(
                Diagnostic::warning(member.inputs_place(), "no_event_time", message)
                    .help("name the field: `time: {field: timestamp}` at the source"),
            );
        }
        if progress.is_late {
            let message = format!("`{name}` reads events that are late by definition: none would count");
            options
                .fault(Diagnostic::error(member.inputs_place(), "late_input", message).help("send them to a sink, or use `late: clamp`"));
            return None;
        }
        // Nobody waits for what nobody reads: such events are counted and no more.
        let is_read = self.graph.consumers.contains_key(&format!("{name}.late"));
        let late = (spec.late == Late::Output && is_read).then(|| view.event_writer(&mut progress.lane, progress.original, false));
        let mut own_view = view.clone();
        let mut bind = progress.bind(name, &mut own_view, &mut self.context);
        let lists = self.units[unit].lists.specs.clone();
        let mut names = RuleNames { bind: &mut bind, lists: &lists, has_words: false, reads: Vec::new() };
        let (condition, condition_of_lists) = conditions(&options, &mut names)?;
        let condition_reads = condition_of_lists.iter().flat_map(|c: &Program| c.reads.clone());
        let mut payload: Vec<Slot> = condition_reads.collect();
        let tenant = bind.tenant();
        let by: Vec<Option<Slot>> = spec.by.iter().map(|b| bind.read(b)).collect();
        let field = spec.field.as_ref().and_then(|f| bind.read(f));
        let weight = if spec.measure == Measure::Count { bind.read("baseEventCount") } else { None };
        let suppress_by: Vec<Option<Slot>> = spec.suppress.iter().flat_map(|(f, _)| f).map(|f| bind.read(f)).collect();
        let mut names = RuleNames { bind: &mut bind, lists: &lists, has_words: true, reads: Vec::new() };
        let bound = match &spec.bound {
            Bound::Expression(source, place) => Some(compile_at(source, place, false, &options, &mut names)?),
            Bound::Constant(_) => None,
        };
        let unless = match options.placed("unless") {
            Some((source, place)) => Some(compile_at(&source, &place, true, &options, &mut names)?),
            None => None,
        };
        let mut alert = alert_programs(&spec, &options, &mut names)?;
        let write = match options.section("write") {
            Some(section) => Some(Write::read(&section, &mut names)?),
            None => None,
        };
        payload.append(&mut names.reads);
        alert.tables = TablesRead::new(&own_view.tables);
        payload.extend(suppress_by.iter().flatten());
        payload.sort();
        payload.dedup();
        let mut reads: Vec<Slot> = payload.clone();
        reads.extend(condition.iter().flat_map(|c| c.reads.iter().copied()));
        reads.extend(by.iter().chain([&tenant, &field, &weight]).flatten());
        reads.sort();
        reads.dedup();
        let missing_key = self.context.registry.counter("tripline_missing_key_total", &[("rule", name)]);
        let extractor = RuleExtractor {
            condition,
            tenant,
            by,
            shard_by: spec.shard_fields(),
            missing_is_value: spec.missing_is_value,
            measure: spec.measure,
            field,
            weight,
            reads,
            missing_key,
            scratch: Scratch::default(),
        };
        let port = Port {
            payload,
            policy: progress.policy,
            condition: condition_of_lists,
            write,
            bound,
            unless,
            alert,
            suppress_by,
            is_rule: progress.is_rule,
            weighted: weight.is_some(),
            late,
        };
        if progress.number == usize::MAX {
            return None;
        }
        self.units[unit].lists.own = own_writes(&port, &lists);
        let tap = self.units[unit].tap(unit, Inlet::Rule(Box::new(port)), progress, Box::new(move || Box::new(extractor.clone())));
        // No row goes to a rule that is switched off, but barriers pass it.
        spec.enabled.then_some(tap)
    }
}

/// What of `where` may be asked at once, and what reads lists that events write: that waits for the hit's turn.
fn conditions(options: &Options<'_>, names: &mut RuleNames<'_, '_, '_>) -> Option<(Option<Program>, Option<Program>)> {
    let Some((source, place)) = options.placed("where") else { return Some((None, None)) };
    let reads_copies = |part: &Expr| {
        let mut found = Vec::new();
        part.lists(&mut found);
        found.iter().any(|name| names.lists.iter().any(|list| list.name == *name))
    };
    let tree = match expr::parse(&source) {
        Ok(tree) if reads_copies(&tree) => tree,
        _ => return Some((Some(compile_at(&source, &place, true, options, names)?), None)),
    };
    let (later, now): (Vec<Expr>, Vec<Expr>) = tree.conjuncts().into_iter().partition(reads_copies);
    let mut compile = |parts: Vec<Expr>| match parts.len() {
        0 => Some(None),
        _ => compile_tree_at(Ok(Expr::truth(Truth::All, parts)), &place, true, options, names).map(Some),
    };
    Some((compile(now)?, compile(later)?))
}

/// How a rule writes a list that it reads itself.
fn own_writes(port: &Port, lists: &[Arc<ListSpec>]) -> Option<WritePort> {
    let write = port.write.as_ref()?;
    let list = lists.iter().position(|list| list.name == write.list.name)?;
    let inlet = arrivals::Inlet { policy: port.policy, tells: port.is_rule };
    Some(WritePort { inlet, list, columns: write.set.iter().map(|(column, _)| *column).collect(), removes: false })
}

fn alert_programs(spec: &RuleSpec, options: &Options<'_>, names: &mut RuleNames<'_, '_, '_>) -> Option<AlertPrograms> {
    let section = options.section("alert");
    let s = section.as_ref();
    let mut template = |key: &str, default: &str| match s.and_then(|s| s.placed(key)) {
        Some((source, place)) => match Template::compile(&source, names) {
            Ok(template) => Some(template),
            Err(fault) => {
                options.fault(Diagnostic::error(&place.plus(fault.at), "bad_template", fault.message).help(fault.help));
                None
            }
        },
        None => Template::compile(&default.replace('{', "{{"), names).ok(),
    };
    let title = template("title", &spec.id)?;
    let description = template("description", "")?;
    let severity = match s.and_then(|s| s.placed("severity")) {
        None => Severity::Word("medium"),
        Some((word, _)) if let Some(known) = SEVERITIES.into_iter().find(|known| *known == word) => Severity::Word(known),
        Some((word, place)) if word.bytes().all(|b| b.is_ascii_alphabetic()) => {
            options.fault(
                Diagnostic::error(&place, "unknown_severity", format!("there is no severity `{word}`"))
                    .help(crate::diagnostic::suggest(&word, SEVERITIES)),
            );
            return None;
        }
        Some((source, place)) => Severity::Program(compile_at(&source, &place, false, options, names)?),
    };
    let words = |key: &str| s.map(|s| s.texts(key)).unwrap_or_default().into_iter().map(|(t, _)| t).collect::<Vec<_>>();
    let mut observables = Vec::new();
    let mut links = Vec::new();
    let mut fields = Vec::new();
    for (kind, node) in s.map(|s| s.entries("observables")).unwrap_or_default() {
        for field in node.items().iter().filter_map(Node::text) {
            let slot = names.slot(&field);
            observables.push((kind.name.clone(), field, slot));
        }
    }
    for (name, node) in s.map(|s| s.entries("links")).unwrap_or_default() {
        match Template::compile(&node.text().unwrap_or_default(), names) {
            Ok(template) => links.push((name.name.clone(), template)),
            Err(fault) => options.fault(Diagnostic::error(&node.place.plus(fault.at), "bad_template", fault.message).help(fault.help)),
        }
    }
    for (name, node) in s.map(|s| s.entries("fields")).unwrap_or_default() {
        if let Some(program) = compile_at(&node.text().unwrap_or_default(), &node.place, false, options, names) {
            fields.push((name.name.clone(), program));
        }
    }
    let constants = Constants::new((&spec.id, &spec.node), &spec.by, &words("attack"), &words("tags"));
    let tables = TablesRead::default();
    Some(AlertPrograms { title, description, severity, observables, links, fields, constants, tables })
}
