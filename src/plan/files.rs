//! Files of a pipeline to a plan; a test may listen to any node.
use std::path::PathBuf;

use super::bind::{Plan, plan};
use crate::clock::Clock;
use crate::config::load::{Environment, load_all};
use crate::config::{Data, Key, Node};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::metrics::Registry;

/// What the sinks are called that listen to nodes.
pub const CAPTURE: &str = "case_of_";

/// Reads files and makes a plan; `captures` names outputs of nodes that get a sink of their own. A plan that
/// takes another's place counts on in its registry. All faults come back, sorted.
pub fn load_plan(
    paths: &[PathBuf],
    clock: Clock,
    env: &Environment,
    captures: &[String],
    registry: &Registry,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut faults = Diagnostics::default();
    let Some(mut joined) = load_all(paths, env, &mut faults) else { return (None, faults.sorted()) };
    for (number, output) in captures.iter().enumerate() {
        capture(&mut joined.root, number, output);
    }
    let (plan, faults) = plan(&joined.root, &joined.folder, clock, registry, faults);
    (plan, faults.sorted())
}

/// What the sources are called that give a sink its dead letters.
pub const LETTERS: &str = "dead_letter_of_";

/// Reads files and makes a plan of sinks alone: each takes JSON events of a source of its own, as they were sent. With each sink: whether those are alerts.
pub fn load_letters_plan(
    paths: &[PathBuf],
    env: &Environment,
    sinks: &[(String, bool)],
    registry: &Registry,
) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut faults = Diagnostics::default();
    let Some(mut joined) = load_all(paths, env, &mut faults) else { return (None, faults.sorted()) };
    keep_sinks(&mut joined.root, sinks);
    let (plan, faults) = plan(&joined.root, &joined.folder, Clock::System, registry, faults);
    (plan, faults.sorted())
}

/// Makes nodes at one place.
struct Maker(Place);

impl Maker {
    fn node(&self, data: Data) -> Node {
        Node { place: self.0.clone(), data }
    }

    fn text(&self, text: &str) -> Node {
        self.node(Data::Text(text.to_owned()))
    }

    fn key(&self, name: &str) -> Key {
        Key { name: name.to_owned(), place: self.0.clone() }
    }

    fn map<const N: usize>(&self, entries: [(&str, Node); N]) -> Node {
        self.node(Data::Map(entries.into_iter().map(|(name, node)| (self.key(name), node)).collect()))
    }
}

/// Leaves nothing of a pipeline but some of its sinks, which take sources of their own.
fn keep_sinks(root: &mut Node, kept: &[(String, bool)]) {
    let make = Maker(root.place.clone());
    let Data::Map(top) = &mut root.data else { return };
    let mut sources = Vec::new();
    top.retain(|(key, _)| !matches!(key.name.as_str(), "sources" | "transforms" | "correlations" | "rules"));
    if let Some((_, Node { data: Data::Map(sinks), .. })) = top.iter_mut().find(|(key, _)| key.name == "sinks") {
        sinks.retain(|(key, _)| kept.iter().any(|(name, _)| *name == key.name));
        for (key, sink) in sinks {
            let Data::Map(options) = &mut sink.data else { continue };
            // What was to be written, and what stands beside it, was settled when it was sent. What is refused again stays at hand.
            options.retain(|(key, _)| !matches!(key.name.as_str(), "inputs" | "where" | "meta" | "dead_letter"));
            let source = format!("{LETTERS}{}", key.name);
            options.push((make.key("inputs"), make.node(Data::List(vec![make.text(&source)]))));
            let are_alerts = kept.iter().any(|(name, are_alerts)| *name == key.name && *are_alerts);
            let made = match are_alerts {
                true => make.map([
                    ("type", make.text("stdin")),
                    ("format", make.text("json")),
                    ("time", make.map([("field", make.text("time"))])),
                ]),
                false => make.map([("type", make.text("stdin")), ("format", make.text("json"))]),
            };
            sources.push((make.key(&source), made));
        }
    }
    top.push((make.key("sources"), make.node(Data::Map(sources))));
}

/// Adds a sink that takes an output.
fn capture(root: &mut Node, number: usize, output: &str) {
    let make = Maker(root.place.clone());
    let sink = make.map([("type", make.text("drop")), ("inputs", make.node(Data::List(vec![make.text(output)])))]);
    let Data::Map(top) = &mut root.data else { return };
    let name = make.key(&format!("{CAPTURE}{number}"));
    match top.iter_mut().find(|(k, _)| k.name == "sinks") {
        Some((_, Node { data: Data::Map(sinks), .. })) => sinks.push((name, sink)),
        _ => top.push((make.key("sinks"), make.node(Data::Map(vec![(name, sink)])))),
    }
}
