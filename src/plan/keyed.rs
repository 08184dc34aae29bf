//! `keyed_by` of a Kafka source: several members share its partitions, and each sees only its own. What gathers events into groups must then group by what
//! chose the partition, or a member would miss what another one has.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Family, Graph, node_of};
use crate::config::Node;
use crate::diagnostic::{Diagnostic, Diagnostics};

/// What was found of nodes already: ways part and meet again.
type Known = BTreeMap<String, BTreeSet<String>>;

/// The outputs that each node takes.
type Inputs<'g> = BTreeMap<&'g str, Vec<&'g str>>;

/// Refuses nodes whose groups reach over partitions.
pub(super) fn check(graph: &Graph<'_>, faults: &RefCell<Diagnostics>) {
    let (inputs, mut known) = (graph.inputs(), Known::new());
    for (name, member) in &graph.members {
        let kind = member.node.get("type").and_then(Node::text).unwrap_or_default();
        let option = match (member.family, kind.as_str()) {
            (Family::Rule, _) | (Family::Transform, "dedupe" | "throttle") => "by",
            (Family::Transform, "aggregate") => "same",
            (Family::Transform, "merge") => "key",
            _ => continue,
        };
        let node = member.node.get(option);
        let groups: Vec<String> = node.map(Node::items).unwrap_or_default().iter().filter_map(Node::text).collect();
        for field in events_of(&inputs, name).flat_map(|input| keyed(graph, &inputs, input, &mut known)).collect::<BTreeSet<_>>() {
            if !groups.contains(&field) {
                let message = format!("`{name}` reads partitions that are keyed by `{field}`, and does not group by it");
                let place = node.map_or(member.inputs_place(), |node| &node.place);
                let help = format!("add it to `{option}`, or take `keyed_by` out and run one member of the group");
                faults.borrow_mut().push(Diagnostic::error(place, "keyed_by", message).help(help));
            }
        }
    }
}

/// The nodes whose events a node takes.
fn events_of<'g>(inputs: &Inputs<'g>, name: &str) -> impl Iterator<Item = &'g str> {
    inputs.get(name).into_iter().flatten().filter(|output| !output.contains(".list ")).map(|output| node_of(output))
}

/// The fields that chose the partition of a node's events. In an alert they stand under `key`.
fn keyed(graph: &Graph<'_>, inputs: &Inputs<'_>, name: &str, known: &mut Known) -> BTreeSet<String> {
    let Some(member) = graph.members.get(name) else { return BTreeSet::new() };
    if let Some(found) = known.get(name) {
        return found.clone();
    }
    let found: BTreeSet<String> = match member.family {
        Family::Source => member.node.get("keyed_by").map(Node::items).unwrap_or_default().iter().filter_map(Node::text).collect(),
        family => {
            let above = events_of(inputs, name).flat_map(|input| keyed(graph, inputs, input, known));
            above.map(|field| if family == Family::Rule { format!("key.{field}") } else { field }).collect()
        }
    };
    known.insert(name.to_owned(), found.clone());
    found
}
