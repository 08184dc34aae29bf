//! What stands between nodes where one has no room for what another gives: the options `buffer` and `when_full`.
//!
//! A sink has a buffer of its own. What lies between a source and the sinks works on a batch in one go, so the buffer before a transform or a rule stands
//! behind the sources that lead to it.
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::graph::{Family, Graph, node_of};
use crate::component::sink::WhenFull;
use crate::config::{Field, Node, Options, Type};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::limits::DISK_BUFFER_BYTES_MIN;

/// What the options say.
#[derive(Clone, Copy, Debug, Default)]
pub struct EdgeOptions {
    /// None where the file says nothing; then bytes on the disk, none in memory.
    pub buffer: Option<Option<u64>>,
    /// What becomes of rows that find no room.
    pub when_full: WhenFull,
}

impl EdgeOptions {
    /// Reads them.
    pub fn read(options: &Options<'_>) -> EdgeOptions {
        let when_full = match options.text("when_full").as_deref() {
            Some("drop_newest") => WhenFull::DropNewest,
            _ => WhenFull::Wait,
        };
        EdgeOptions { buffer: buffer(options), when_full }
    }
}

const DISK: &[Field] = &[Field::required("disk", Type::Size, "most bytes of it, at least 1MiB")];

fn buffer(options: &Options<'_>) -> Option<Option<u64>> {
    let node = options.get("buffer")?;
    let fault = |message: String| {
        options.fault(Diagnostic::error(&node.place, "bad_value", message).help("`memory`, or {disk: SIZE} with at least 1MiB"));
        None
    };
    let Some(section) = options.section("buffer") else {
        let word = node.text().unwrap_or_default();
        return if word == "memory" { Some(None) } else { fault(format!("`{word}` is no buffer")) };
    };
    section.check(&[DISK]);
    match section.size("disk")? {
        bytes if bytes < DISK_BUFFER_BYTES_MIN => fault(format!("{bytes} bytes are too few for a disk buffer")),
        bytes => Some(Some(bytes)),
    }
}

/// What stands behind a source.
#[derive(Clone, Debug, Default)]
pub struct SourceBuffer {
    /// Most bytes on the disk; none: in memory.
    pub disk: Option<u64>,
    /// What becomes of rows that find no room.
    pub when_full: WhenFull,
    /// Where the file asks for the disk.
    pub(super) place: Option<Place>,
}

/// By source, what the nodes that it leads to ask for: the largest of their sizes, and nothing is dropped that one of them waits for.
pub(super) fn of_sources<'a>(graph: &Graph<'a>, faults: &RefCell<Diagnostics>) -> BTreeMap<&'a str, SourceBuffer> {
    let mut out: BTreeMap<&str, SourceBuffer> = BTreeMap::new();
    for name in &graph.order {
        let member = &graph.members[name];
        let asks = member.node.get("buffer").is_some() || member.node.get("when_full").is_some();
        if !matches!(member.family, Family::Transform | Family::Rule) || !asks {
            continue;
        }
        let edge = EdgeOptions::read(&Options::new(name, member.node, faults));
        let mut sources = BTreeSet::new();
        upstream(graph, name, &mut BTreeSet::new(), &mut sources);
        for source in sources {
            let is_first = !out.contains_key(source);
            let of = out.entry(source).or_default();
            of.when_full = if is_first || of.when_full == edge.when_full { edge.when_full } else { WhenFull::Wait };
            if let Some(bytes) = edge.buffer.flatten() {
                of.disk = of.disk.max(Some(bytes));
                of.place = member.node.get("buffer").map(|node| node.place.clone());
            }
        }
    }
    out
}

/// The sources that lead to a node.
fn upstream<'a>(graph: &Graph<'a>, name: &str, seen: &mut BTreeSet<String>, sources: &mut BTreeSet<&'a str>) {
    let inputs = graph.members.get(name).and_then(|m| m.node.get("inputs")).map(Node::items).unwrap_or_default();
    for input in inputs.iter().filter_map(Node::text) {
        let Some((name, member)) = graph.members.get_key_value(node_of(&input)) else { continue };
        if member.family == Family::Source {
            sources.insert(name);
        } else if seen.insert((*name).to_owned()) {
            upstream(graph, name, seen, sources);
        }
    }
}
