//! YAML 1.2 (core schema) as a tree in which every node knows its place. Duplicate keys are faults; aliases are bounded.
use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::diagnostic::{Diagnostic, Diagnostics, Place, SourceText};
use crate::limits::{CONFIG_DEPTH_MAX, CONFIG_NODES_MAX};

/// A key of a map.
#[derive(Clone, Debug)]
pub struct Key {
    /// The text.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Data {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order written.
    Map(Vec<(Key, Node)>),
    /// The name of a variable of the environment, of a map with the one key `env`, and its value.
    Env(String, Option<String>),
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// First character of the content (behind an opening quote).
    pub place: Place,
    /// The content.
    pub data: Data,
}

impl Node {
    /// The value of a key.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.name == name).map(|(_, v)| v)
    }

    /// The entries of a map; none where it is no map.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list, or the node itself as the only one.
    pub fn items(&self) -> &[Node] {
        match &self.data {
            Data::List(items) => items,
            Data::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// A scalar as text.
    pub fn text(&self) -> Option<String> {
        match &self.data {
            Data::Text(t) | Data::Env(t, _) => Some(t.clone()),
            Data::Bool(b) => Some(b.to_string()),
            Data::Int(i) => Some(i.to_string()),
            Data::Float(f) => Some(f.to_string()),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "a truth",
            Data::Int(_) | Data::Float(_) => "a number",
            Data::Text(_) | Data::Env(..) => "a text",
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
        }
    }
}

/// Parses a text. Faults are added; what could be read is returned.
pub fn parse(source: &Arc<SourceText>, faults: &mut Diagnostics) -> Option<Node> {
    let mut builder = Builder { source, parser: Parser::new_from_str(&source.text), faults, anchors: HashMap::new(), nodes: 0 };
    loop {
        match builder.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return None,
            (event, span) => return builder.node(event, span, 0),
        }
    }
}

struct Builder<'s> {
    source: &'s Arc<SourceText>,
    parser: Parser<'s, saphyr_parser::StrInput<'s>>,
    faults: &'s mut Diagnostics,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'s> Builder<'s> {
    fn place(&self, span: Span) -> Place {
        Place { source: Arc::clone(self.source), line: span.start.line().max(1), column: span.start.col() + 1 }
    }

    fn next(&mut self) -> Option<(Event<'s>, Span)> {
        match self.parser.next_event()? {
            Ok(event) => Some(event),
            Err(error) => {
                let marker = error.marker();
                let place = Place { source: Arc::clone(self.source), line: marker.line().max(1), column: marker.col() + 1 };
                self.faults.push(
                    Diagnostic::error(&place, "yaml", error.info().to_owned()).help("check the indentation and the quotes around here"),
                );
                None
            }
        }
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Option<Node> {
        let mut place = self.place(span);
        let before = self.nodes;
        self.nodes += 1;
        if depth > CONFIG_DEPTH_MAX || self.nodes > CONFIG_NODES_MAX {
            self.faults.push(
                Diagnostic::error(&place, "too_deep", "the file is nested too deeply, or its aliases expand without end")
                    .help("write it out flat"),
            );
            return None;
        }
        let (data, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => {
                if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
                    place.column += 1;
                }
                (if style == ScalarStyle::Plain { core_schema(&text) } else { Data::Text(text.into_owned()) }, anchor)
            }
            Event::SequenceStart(.., anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(.., anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    self.faults.push(Diagnostic::error(&place, "yaml", "this alias stands inside of what it names").help("remove it"));
                    return None;
                };
                self.nodes += size;
                return Some(node);
            }
            _ => return None,
        };
        let node = Node { place, data };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Some(node)
    }

    fn list(&mut self, depth: usize) -> Option<Data> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Some(Data::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Data> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Some(Data::Map(entries));
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Some(name) = key.text() else {
                self.faults.push(
                    Diagnostic::error(&key.place, "bad_key", format!("a key must be a word, and this is {}", key.kind())).help("quote it"),
                );
                continue;
            };
            if entries.iter().any(|(k, _)| k.name == name) {
                self.faults.push(
                    Diagnostic::error(&key.place, "duplicate_key", format!("`{name}` stands here a second time")).help("keep one of them"),
                );
                continue;
            }
            entries.push((Key { name, place: key.place }, value));
        }
    }
}

/// The meaning of a plain scalar.
fn core_schema(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "true" | "True" | "TRUE" => return Data::Bool(true),
        "false" | "False" | "FALSE" => return Data::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_or_else(|_| Data::Text(text.to_owned()), Data::Int);
    }
    if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
        && let Ok(number) = text.parse::<f64>()
    {
        return Data::Float(number);
    }
    Data::Text(text.to_owned())
}
