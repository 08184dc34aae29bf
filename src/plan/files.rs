//! Files of a pipeline to a plan; a test may listen to any node.
use std::path::PathBuf;

use super::bind::{Plan, plan};
use crate::clock::Clock;
use crate::config::load::{Environment, load_all};
use crate::config::{Data, Key, Node};
use crate::diagnostic::{Diagnostic, Diagnostics};
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

/// Adds a sink that takes an output.
fn capture(root: &mut Node, number: usize, output: &str) {
    let place = root.place.clone();
    let node = |data| Node { place: place.clone(), data };
    let key = |name: String| Key { name, place: place.clone() };
    let text = |t: &str| node(Data::Text(t.to_owned()));
    let sink = node(Data::Map(vec![(key("type".into()), text("drop")), (key("inputs".into()), node(Data::List(vec![text(output)])))]));
    let Data::Map(top) = &mut root.data else { return };
    let name = key(format!("{CAPTURE}{number}"));
    match top.iter_mut().find(|(k, _)| k.name == "sinks") {
        Some((_, Node { data: Data::Map(sinks), .. })) => sinks.push((name, sink)),
        _ => top.push((key("sinks".into()), node(Data::Map(vec![(name, sink)])))),
    }
}
