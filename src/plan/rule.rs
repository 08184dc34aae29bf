//! Binding a rule: what it reads of each of its inputs.
use std::sync::Arc;

use super::bind::{Builder, TargetPlan};
use super::lane::LaneInProgress;
use super::unit::Inlet;
use crate::component::Bind;
use crate::component::bind::compile_at;
use crate::component::view::View;
use crate::config::{Node, Options};
use crate::correlate::alert::{AlertPrograms, SEVERITIES, Severity, constants};
use crate::correlate::extract::{RuleExtractor, Scratch};
use crate::correlate::options::{Bound, Late, RuleSpec};
use crate::correlate::payload::reserved;
use crate::correlate::port::Port;
use crate::diagnostic::Diagnostic;
use crate::event::Slot;
use crate::expr::{Environment, Template};
use crate::table::{Handle, Table};
use crate::window::general::Measure;

/// Names in a rule's expressions: its reserved words, then fields.
struct RuleNames<'b, 'x, 'c> {
    bind: &'b mut Bind<'x, 'c>,
    reads: Vec<Slot>,
}

impl Environment for RuleNames<'_, '_, '_> {
    fn slot(&mut self, name: &str) -> Option<Slot> {
        if let Some(slot) = reserved(name) {
            return Some(slot);
        }
        let slot = self.bind.read(name)?;
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
        let condition = if options.has("where") { Some(bind.expression(&options, "where", true)?) } else { None };
        let tenant = self.tenant.as_ref().and_then(|t| bind.read(t));
        let by: Vec<Option<Slot>> = spec.by.iter().map(|b| bind.read(b)).collect();
        let field = spec.field.as_ref().and_then(|f| bind.read(f));
        let weight = if spec.measure == Measure::Count { bind.read("baseEventCount") } else { None };
        let suppress_by: Vec<Option<Slot>> = spec.suppress.iter().flat_map(|(f, _)| f).map(|f| bind.read(f)).collect();
        let mut names = RuleNames { bind: &mut bind, reads: Vec::new() };
        let bound = match &spec.bound {
            Bound::Expression(source, place) => Some(compile_at(source, place, false, &options, &mut names)?),
            Bound::Constant(_) => None,
        };
        let unless = match options.placed("unless") {
            Some((source, place)) => Some(compile_at(&source, &place, true, &options, &mut names)?),
            None => None,
        };
        let alert = alert_programs(&spec, &options, &mut names)?;
        let mut payload = std::mem::take(&mut names.reads);
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
        let tap = self.units[unit].tap(unit, Inlet::Rule(Box::new(port)), progress, Box::new(move || Box::new(extractor.clone())));
        // No row goes to a rule that is switched off, but barriers pass it.
        spec.enabled.then_some(tap)
    }
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
        None => Severity::Word("medium".into()),
        Some((word, _)) if SEVERITIES.contains(&word.as_str()) => Severity::Word(word),
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
    Some(AlertPrograms { title, description, severity, observables, links, fields, constants: constants(&words("attack"), &words("tags")) })
}
