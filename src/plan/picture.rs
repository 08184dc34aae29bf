//! The nodes of a pipeline file and who takes whose events, drawn for people: mermaid for markdown pages, dot for Graphviz.
use std::collections::BTreeMap;

use super::graph::{Family, Graph};
use crate::config::Node;

/// A node of the picture.
#[derive(Clone, Debug)]
struct Figure {
    name: String,
    family: Family,
    kind: String,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    figures: Vec<Figure>,
    /// Output, and the node that takes it.
    wires: Vec<(String, String)>,
}

/// How a picture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drawing {
    /// <https://mermaid.js.org/syntax/flowchart.html>
    Mermaid,
    /// <https://graphviz.org/doc/info/lang.html>
    Dot,
}

impl Picture {
    /// The picture of a graph, in the order in which the file is written.
    pub fn of(graph: &Graph<'_>) -> Picture {
        let figure = |name: &&str| {
            let member = graph.members[name];
            let kind = member.node.get("type").and_then(Node::text).unwrap_or_default();
            Figure { name: (*name).to_owned(), family: member.family, kind }
        };
        let mut wires: Vec<(String, String)> = graph
            .consumers
            .iter()
            .filter(|(output, _)| graph.members.contains_key(super::graph::node_of(output)))
            .flat_map(|(output, takers)| takers.iter().map(|taker| (output.clone(), (*taker).to_owned())))
            .collect();
        let places: BTreeMap<&str, usize> = graph.order.iter().enumerate().map(|(place, name)| (*name, place)).collect();
        let place = |name: &str| places.get(name);
        wires.sort_by_cached_key(|(output, taker)| (place(super::graph::node_of(output)), output.clone(), place(taker)));
        Picture { figures: graph.order.iter().map(figure).collect(), wires }
    }

    /// The picture as text.
    pub fn draw(&self, drawing: Drawing) -> String {
        let mut out = String::from(match drawing {
            Drawing::Mermaid => "flowchart LR\n",
            Drawing::Dot => "digraph pipeline {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n",
        });
        for Figure { name, family, kind } in &self.figures {
            // Names are words, but some are words of the drawing's own language: `end`, `graph`.
            out.push_str(&match (drawing, family) {
                (Drawing::Mermaid, Family::Source) => format!("  n_{name}([\"{name}<br/>{kind}\"])\n"),
                (Drawing::Mermaid, Family::Transform) => format!("  n_{name}[\"{name}<br/>{kind}\"]\n"),
                (Drawing::Mermaid, Family::Rule) => format!("  n_{name}{{{{\"{name}<br/>{kind}\"}}}}\n"),
                (Drawing::Mermaid, Family::Sink) => format!("  n_{name}[(\"{name}<br/>{kind}\")]\n"),
                (Drawing::Dot, family) => format!("  \"{name}\" [label=\"{name}\\n{kind}\", shape={}];\n", shape(*family)),
            });
        }
        for (output, taker) in &self.wires {
            let (node, label) = output.split_once('.').unwrap_or((output, ""));
            out.push_str(&match (drawing, label) {
                (Drawing::Mermaid, "") => format!("  n_{node} --> n_{taker}\n"),
                (Drawing::Mermaid, label) => format!("  n_{node} -->|{label}| n_{taker}\n"),
                (Drawing::Dot, "") => format!("  \"{node}\" -> \"{taker}\";\n"),
                (Drawing::Dot, label) => format!("  \"{node}\" -> \"{taker}\" [label=\"{label}\"];\n"),
            });
        }
        if drawing == Drawing::Dot {
            out.push_str("}\n");
        }
        out
    }
}

fn shape(family: Family) -> &'static str {
    match family {
        Family::Source => "oval",
        Family::Transform => "box",
        Family::Rule => "hexagon",
        Family::Sink => "cylinder",
    }
}
