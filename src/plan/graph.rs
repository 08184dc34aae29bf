//! The nodes of a pipeline file and who takes whose events: unknown inputs, cycles, outputs that nobody reads.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::{keyed, lists};
use crate::component::OutputNames;
use crate::config::{Field, Key, Node, Type, is_name};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, nearest};

/// Families of nodes that events flow through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `sources`
    Source,
    /// `transforms`
    Transform,
    /// `correlations`
    Rule,
    /// `sinks`
    Sink,
}

/// A node.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub key: &'a Key,
    /// Its options.
    pub node: &'a Node,
}

impl<'a> Member<'a> {
    /// Where it says what it takes, to point at; its name where it does not.
    pub fn inputs_place(&self) -> &'a Place {
        self.node.get("inputs").map_or(&self.key.place, |n| &n.place)
    }
}

/// The node of an output: `a` of `a` and of `a.errors`.
pub fn node_of(output: &str) -> &str {
    output.split('.').next().unwrap_or_default()
}

/// The graph.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    /// By name.
    pub members: BTreeMap<&'a str, Member<'a>>,
    /// Names in the order written.
    pub order: Vec<&'a str>,
    /// Who takes an output: `a` or `a.errors`.
    pub consumers: BTreeMap<String, Vec<&'a str>>,
}

impl<'a> Graph<'a> {
    /// The outputs that each node takes.
    pub fn inputs(&self) -> BTreeMap<&'a str, Vec<&str>> {
        let mut inputs: BTreeMap<&'a str, Vec<&str>> = BTreeMap::new();
        for (output, takers) in &self.consumers {
            takers.iter().for_each(|taker| inputs.entry(taker).or_default().push(output));
        }
        inputs
    }

    /// The nodes that take an output of each.
    fn takers(&self) -> BTreeMap<&str, Vec<&'a str>> {
        let mut all: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
        for (output, takers) in &self.consumers {
            all.entry(node_of(output)).or_default().extend(takers);
        }
        all
    }
}

/// Options at the top of a pipeline file.
pub const TOP: &[Field] = &[
    Field::optional("sources", Type::Map, "where events come from"),
    Field::optional("tables", Type::Map, "what events are joined with"),
    Field::optional("lists", Type::Map, "keys that rules consult"),
    Field::optional("transforms", Type::Map, "steps between sources and sinks"),
    Field::optional("correlations", Type::Map, "rules"),
    Field::optional("sinks", Type::Map, "where events and alerts go"),
    Field::optional("include", Type::Texts, "further files whose nodes join this one's; `*` is any name"),
    Field::optional("rules", Type::Texts, "folders of rules, one a file: its name is the file's"),
    Field::optional("state", Type::Text, "the state folder; default `.tripline` beside the file"),
    Field::optional("tenant", Type::Text, "the field that separates customers"),
    Field::optional(
        "admin",
        Type::Section(&[Field::optional("listen", Type::Text, "address of metrics and health; default 127.0.0.1:9617")]),
        "the admin port",
    ),
    Field::optional("barrier", Type::Section(&[Field::optional("interval", Type::Duration, "time between epochs; default 1s")]), "epochs"),
    Field::optional("stop_timeout", Type::Duration, "how long a stop or a reload waits for sinks; default 30s"),
];

/// Reads the graph of a file.
pub fn graph<'a>(root: &'a Node, outputs_of: &dyn Fn(Family, &str) -> Option<OutputNames>, faults: &RefCell<Diagnostics>) -> Graph<'a> {
    let mut graph = Graph::default();
    for (family, key) in
        [(Family::Source, "sources"), (Family::Transform, "transforms"), (Family::Rule, "correlations"), (Family::Sink, "sinks")]
    {
        for (name, node) in root.get(key).map(Node::entries).unwrap_or_default() {
            let fault =
                |message: String, help: &str| faults.borrow_mut().push(Diagnostic::error(&name.place, "bad_name", message).help(help));
            if !is_name(&name.name) {
                fault(format!("`{}` is no name for a node", name.name), "names are made of a-z, 0-9 and _");
            }
            if graph.members.contains_key(name.name.as_str()) {
                fault(format!("there is another node `{}`", name.name), "nodes of all families share one space of names");
                continue;
            }
            graph.members.insert(&name.name, Member { family, key: name, node });
            graph.order.push(&name.name);
        }
    }
    let lists = root.get("lists").map(Node::entries).unwrap_or_default();
    connect(&mut graph, lists, outputs_of, faults);
    connect_letters(&mut graph, faults);
    lists::connect(&mut graph, faults);
    report_cycles(&mut graph, faults);
    keyed::check(&graph, faults);
    // What writes a list is there for that.
    let writers: BTreeSet<&str> = graph.consumers.keys().filter(|output| output.contains(".list ")).map(|output| node_of(output)).collect();
    for name in &graph.order {
        let member = graph.members[name];
        let has_main = outputs(&member, outputs_of).is_none_or(OutputNames::has_main);
        if member.family != Family::Sink && has_main && !writers.contains(name) && !graph.consumers.contains_key(*name) {
            let warning = Diagnostic::warning(&member.key.place, "unread_output", format!("nobody reads the events of `{name}`"));
            faults.borrow_mut().push(warning.help("name it in the `inputs` of a sink, or remove it"));
        }
    }
    graph
}

fn connect<'a>(
    graph: &mut Graph<'a>,
    defined: &[(Key, Node)],
    outputs_of: &dyn Fn(Family, &str) -> Option<OutputNames>,
    faults: &RefCell<Diagnostics>,
) {
    for name in graph.order.clone() {
        let member = graph.members[name];
        if member.family == Family::Source {
            continue;
        }
        for input in member.node.get("inputs").map(Node::items).unwrap_or_default() {
            let Some(wanted) = input.text() else { continue };
            let (node, output) = match wanted.split_once('.') {
                Some((node, output)) => (node, Some(output)),
                None => (wanted.as_str(), None),
            };
            let found = graph.members.get(node).filter(|m| m.family != Family::Sink);
            if let Some((_, list)) = defined.iter().find(|(key, _)| key.name == node).filter(|_| found.is_none()) {
                match lists::report_output(node, output, list, &input.place) {
                    Some(fault) => faults.borrow_mut().push(fault),
                    None => graph.consumers.entry(lists::unit_of(node)).or_default().push(name),
                }
                continue;
            }
            let Some(found) = found else {
                let known = graph.members.values().filter(|m| m.family != Family::Sink && m.key.name != name).map(|m| m.key.name.as_str());
                let help = nearest(node, known)
                    .map_or_else(|| "name a source, a transform or a correlation".to_owned(), |k| format!("did you mean `{k}`?"));
                faults.borrow_mut().push(
                    Diagnostic::error(&input.place, "unknown_input", format!("there is no node `{node}` to take events from")).help(help),
                );
                continue;
            };
            if let Some(outputs) = outputs(found, outputs_of)
                && let Some((message, help)) = unknown_output(node, output, outputs, found.node)
            {
                faults.borrow_mut().push(Diagnostic::error(&input.place, "unknown_output", message).help(help));
                continue;
            }
            let consumers = graph.consumers.entry(wanted).or_default();
            if !consumers.contains(&name) {
                consumers.push(name);
            }
        }
    }
}

/// The output of what a sink's peer refuses.
pub fn letters_of(sink: &str) -> String {
    format!("{sink}.dead_letter")
}

/// Leads what a sink's peer refuses to the sink that `dead_letter` names. Any other sink has inputs.
fn connect_letters<'a>(graph: &mut Graph<'a>, faults: &RefCell<Diagnostics>) {
    let sinks: Vec<Member<'a>> = graph.order.iter().map(|n| graph.members[n]).filter(|m| m.family == Family::Sink).collect();
    for sink in &sinks {
        let Some(wanted) = sink.node.get("dead_letter") else { continue };
        let name = wanted.text().unwrap_or_default();
        match sinks.iter().find(|s| s.key.name == name) {
            Some(other) => drop(graph.consumers.insert(letters_of(&sink.key.name), vec![&other.key.name])),
            None if name == "file" => {}
            None => {
                let known = sinks.iter().map(|s| s.key.name.as_str()).filter(|n| *n != sink.key.name);
                let help =
                    nearest(&name, known).map_or_else(|| "`file`, or the name of a sink".to_owned(), |k| format!("did you mean `{k}`?"));
                let fault = Diagnostic::error(&wanted.place, "unknown_sink", format!("there is no sink `{name}` to take what is refused"));
                faults.borrow_mut().push(fault.help(help));
            }
        }
    }
    for sink in sinks.iter().filter(|s| s.node.get("inputs").is_none()) {
        if !graph.consumers.values().flatten().any(|name| *name == sink.key.name) {
            let fault = Diagnostic::error(&sink.node.place, "missing_key", format!("`{}` lacks `inputs`", sink.key.name));
            faults.borrow_mut().push(fault.help("`inputs`: nodes whose events it takes: NODE or NODE.OUTPUT"));
        }
    }
}

fn outputs(member: &Member<'_>, outputs_of: &dyn Fn(Family, &str) -> Option<OutputNames>) -> Option<OutputNames> {
    outputs_of(member.family, &member.node.get("type").and_then(Node::text)?)
}

/// What is wrong with naming an output of a node, and what to do about it.
fn unknown_output(name: &str, output: Option<&str>, outputs: OutputNames, node: &Node) -> Option<(String, String)> {
    let names = outputs.names(node);
    let known = format!("its outputs: {}", names.iter().map(|n| format!("{name}.{n}")).collect::<Vec<_>>().join(", "));
    match output {
        None if outputs.has_main() => None,
        None => Some((format!("`{name}` has no output without a name"), known)),
        Some(output) if names.iter().any(|n| n == output) => None,
        Some(output) if names.is_empty() => {
            Some((format!("`{name}` has no output `{output}`"), format!("`{name}` has its main output only")))
        }
        Some(output) => Some((format!("`{name}` has no output `{output}`"), known)),
    }
}

/// Reports nodes on a cycle, and takes their edges out.
fn report_cycles(graph: &mut Graph<'_>, faults: &RefCell<Diagnostics>) {
    let takers = graph.takers();
    let takers_of = |name: &str| takers.get(name).into_iter().flatten().copied();
    // Nodes whose inputs are all taken away are taken away too, from the sources on.
    let mut inputs: BTreeMap<&str, usize> = graph.order.iter().map(|name| (*name, 0)).collect();
    for taker in graph.order.iter().flat_map(|name| takers_of(name)) {
        *inputs.entry(taker).or_default() += 1;
    }
    let mut open: Vec<&str> = inputs.iter().filter(|(_, inputs)| **inputs == 0).map(|(name, _)| *name).collect();
    while let Some(name) = open.pop() {
        for taker in takers_of(name) {
            let left = inputs.entry(taker).or_default();
            *left -= 1;
            if *left == 0 {
                open.push(taker);
            }
        }
    }
    // Those behind a cycle are innocent.
    let on_cycle: Vec<&str> = graph.order.iter().copied().filter(|name| inputs[name] > 0 && reaches(&takers, name, name)).collect();
    for name in &on_cycle {
        let member = graph.members[name];
        // A sink is on a cycle by what it is refused.
        let place = member.node.get("dead_letter").filter(|_| member.family == Family::Sink).map_or(member.inputs_place(), |n| &n.place);
        let others =
            on_cycle.iter().copied().filter(|other| other == name || reaches(&takers, name, other) && reaches(&takers, other, name));
        let message = format!("`{name}` takes events that come from itself: {}", others.collect::<Vec<_>>().join(" → "));
        faults.borrow_mut().push(Diagnostic::error(place, "cycle", message).help("events flow one way: take one of these inputs out"));
    }
    graph.consumers.values_mut().for_each(|c| c.retain(|name| !on_cycle.contains(name)));
}

fn reaches(takers: &BTreeMap<&str, Vec<&str>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for next in takers.get(at).into_iter().flatten() {
            if *next == to {
                return true;
            }
            if seen.insert(*next) {
                open.push(next);
            }
        }
    }
    false
}
