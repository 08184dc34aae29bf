//! What a walk goes over: a pattern as nodes, each with the bytes that what begins there may begin with.
//!
//! Nodes are made from the end of the pattern to its beginning, so that each knows what follows it.
use std::collections::HashSet;
use std::sync::Arc;

use regex_syntax::hir::{self, Hir, HirKind, Look};

use super::chars::{ByteSet, Chars, Stops, one_of};
use super::part::Part;
use crate::limits::{PATTERN_NODES_MAX, PATTERN_PART_BYTES, PATTERN_PARTS_BYTES};

/// Ways of one branch; those of a larger one are behind its last.
const WAYS_MAX: usize = 16;

/// What may come at a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Bytes.
    pub(super) bytes: ByteSet,
    /// The end of the text.
    pub(super) end: bool,
}

impl Start {
    /// Whether something may begin at a place.
    #[inline(always)]
    pub(super) fn may_be_at(&self, text: &[u8], at: usize) -> bool {
        text.get(at).map_or(self.end, |byte| self.bytes.has(*byte))
    }

    /// What the other begins with may come, too.
    fn add(&mut self, other: Start) {
        self.bytes.add_all(other.bytes);
        self.end |= other.end;
    }
}

/// A number of a node.
pub(super) type NodeId = u32;

/// One step of a walk.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// The pattern has matched.
    Match,
    /// A byte.
    Byte { byte: u8, next: NodeId },
    /// A text.
    Literal { text: Box<[u8]>, next: NodeId },
    /// A part that is passed at once.
    Part { part: Arc<Part>, next: NodeId },
    /// One character.
    One { chars: Box<Chars>, next: NodeId },
    /// Characters, one or (`is_optional`) none at the least and as many as there are, byte by byte; `keeps`: none is given back, for what follows can begin
    /// with none of them.
    Run { chars: Box<Chars>, stops: Stops, is_optional: bool, keeps: bool, next: NodeId },
    /// The same for other bounds, or where characters are to be looked at.
    Greedy { chars: Box<Chars>, least: u32, most: u32, keeps: bool, next: NodeId },
    /// Characters, as few as will do. `stops`: where what follows may begin, or the run ends; none where characters are to be looked at.
    Lazy { chars: Box<Chars>, stops: Option<Stops>, least: u32, next: NodeId },
    /// One of these, in this order. `open`: a bit for each that may be taken, by the class of what comes next.
    Branch { ways: Box<[NodeId]>, open: Box<[u16]> },
    /// A group begins or ends.
    Save { slot: u32, next: NodeId },
    /// Nothing, at such a place.
    Look { look: Look, next: NodeId },
}

/// A pattern as nodes.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) nodes: Vec<Node>,
    /// What may come at each.
    pub(super) starts: Vec<Start>,
    pub(super) first: NodeId,
    /// Bytes that all branches treat alike are of one class; the last class is the end of the text.
    classes: Box<[u8; 256]>,
    end_class: u8,
    /// It matches at the start of a text or not at all.
    pub(super) is_anchored: bool,
    /// Bytes that its parts may still take.
    parts_left: usize,
}

impl Shape {
    /// The nodes of a pattern; none where it is too large or has parts that a walk does not know.
    pub(super) fn of(hir: &Hir) -> Option<Shape> {
        let mut shape = Shape {
            nodes: vec![Node::Match],
            starts: vec![Start { bytes: ByteSet::ALL, end: true }],
            first: 0,
            classes: Box::new([0; 256]),
            end_class: 0,
            is_anchored: hir.properties().look_set_prefix().contains(Look::Start),
            parts_left: PATTERN_PARTS_BYTES,
        };
        shape.first = shape.add(hir, 0)?;
        shape.open_branches();
        Some(shape)
    }

    /// The class of what comes next.
    #[inline(always)]
    pub(super) fn class(&self, text: &[u8], at: usize) -> usize {
        usize::from(text.get(at).map_or(self.end_class, |byte| self.classes[usize::from(*byte)]))
    }

    /// Finds the classes of bytes, and the ways of each branch that are open to them.
    fn open_branches(&mut self) {
        let Shape { nodes, starts, classes, end_class, .. } = self;
        let ways = nodes.iter().flat_map(|node| if let Node::Branch { ways, .. } = node { &ways[..] } else { &[] });
        let asked: HashSet<ByteSet> = ways.map(|way| starts[*way as usize].bytes).collect();
        let is_like = |byte: u8, other: u8| asked.iter().all(|bytes| bytes.has(byte) == bytes.has(other));
        // A byte of each class.
        let mut known: Vec<u8> = Vec::new();
        for byte in 0..=u8::MAX {
            let class = known.iter().position(|other| is_like(byte, *other)).unwrap_or_else(|| {
                known.push(byte);
                known.len() - 1
            });
            // With 256 classes the end would have none of its own: then the last byte, which is in no text, shares it.
            classes[usize::from(byte)] = class as u8;
        }
        *end_class = known.len().min(usize::from(u8::MAX)) as u8;
        for node in nodes {
            let Node::Branch { ways, open } = node else { continue };
            let mask = |may: &dyn Fn(&Start) -> bool| {
                ways.iter().enumerate().fold(0u16, |mask, (at, way)| mask | u16::from(may(&starts[*way as usize])) << at)
            };
            let of_bytes = known.iter().take(usize::from(*end_class)).map(|byte| mask(&|start: &Start| start.bytes.has(*byte)));
            *open = of_bytes.chain([mask(&|start: &Start| start.end)]).collect();
        }
    }

    fn push(&mut self, node: Node, start: Start) -> Option<NodeId> {
        (self.nodes.len() < PATTERN_NODES_MAX).then(|| {
            self.nodes.push(node);
            self.starts.push(start);
            self.nodes.len() as NodeId - 1
        })
    }

    fn start(&self, node: NodeId) -> Start {
        self.starts[node as usize]
    }

    /// Adds what a part of the pattern matches, before `next`.
    fn add(&mut self, hir: &Hir, next: NodeId) -> Option<NodeId> {
        if let Some(part) = self.part(hir, next) {
            return self.push(Node::Part { part, next }, self.start_of(hir, next));
        }
        match hir.kind() {
            HirKind::Empty => Some(next),
            HirKind::Literal(literal) => {
                let start = Start { bytes: lead(hir), end: false };
                let node = match *literal.0 {
                    [byte] => Node::Byte { byte, next },
                    _ => Node::Literal { text: literal.0.clone(), next },
                };
                self.push(node, start)
            }
            HirKind::Class(class) => {
                let chars = Chars::of(class);
                let start = Start { bytes: chars.bytes, end: false };
                self.push(Node::One { chars: Box::new(chars), next }, start)
            }
            HirKind::Look(look) => match look {
                Look::End => self.push(Node::Look { look: *look, next }, Start { bytes: ByteSet::default(), end: self.start(next).end }),
                Look::Start | Look::StartLF | Look::EndLF | Look::WordAscii | Look::WordAsciiNegate => {
                    let start = self.start(next);
                    self.push(Node::Look { look: *look, next }, start)
                }
                _ => None,
            },
            HirKind::Capture(group) => {
                let start = self.start(next);
                let end = self.push(Node::Save { slot: group.index * 2 + 1, next }, start)?;
                let inner = self.add(&group.sub, end)?;
                let start = self.start(inner);
                self.push(Node::Save { slot: group.index * 2, next: inner }, start)
            }
            HirKind::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.add(part, next)),
            HirKind::Alternation(parts) => {
                let ways = parts.iter().map(|part| self.add(part, next)).collect::<Option<Vec<NodeId>>>()?;
                self.branch(&ways)
            }
            HirKind::Repetition(repetition) => self.repeat(repetition, next),
        }
    }

    /// The automaton of a part, where one can pass it and steps would be many.
    fn part(&mut self, hir: &Hir, next: NodeId) -> Option<Arc<Part>> {
        let is_fit = branches(hir) && hir.properties().explicit_captures_len() == 0 && !looks_back(hir);
        let inside = is_fit.then(|| bytes_of(hir)).filter(|inside| !inside.overlaps(self.start(next).bytes))?;
        self.parts_left = self.parts_left.checked_sub(PATTERN_PART_BYTES)?;
        let part = Part::of(hir, inside)?;
        self.parts_left += PATTERN_PART_BYTES.saturating_sub(part.size());
        Some(part)
    }

    /// What may come at a part of the pattern before `next`.
    fn start_of(&self, hir: &Hir, next: NodeId) -> Start {
        let mut start = Start { bytes: lead(hir), end: false };
        if hir.properties().minimum_len() == Some(0) {
            start.add(self.start(next));
        }
        start
    }

    fn branch(&mut self, ways: &[NodeId]) -> Option<NodeId> {
        if ways.len() > WAYS_MAX {
            let (first, rest) = ways.split_at(WAYS_MAX - 1);
            let rest = self.branch(rest)?;
            return self.branch(&[first, &[rest]].concat());
        }
        let mut start = Start { bytes: ByteSet::default(), end: false };
        ways.iter().for_each(|way| start.add(self.start(*way)));
        self.push(Node::Branch { ways: ways.into(), open: Box::default() }, start)
    }

    fn repeat(&mut self, repetition: &hir::Repetition, next: NodeId) -> Option<NodeId> {
        let hir::Repetition { min, max, greedy, ref sub } = *repetition;
        if let Some(chars) = one_of(sub)
            && (greedy || max.is_none())
        {
            return self.run(chars, min, max, greedy, next);
        }
        // A round that matches nothing has rules of its own.
        if sub.properties().minimum_len().is_none_or(|least| least == 0) {
            return None;
        }
        // To go on comes first where it is greedy.
        let ways = |on: NodeId, out: NodeId| if greedy { [on, out] } else { [out, on] };
        let mut node = next;
        match max {
            None => {
                let mut start = self.start(next);
                start.bytes.add_all(lead(sub));
                let around = self.push(Node::Match, start)?;
                let body = self.add(sub, around)?;
                self.nodes[around as usize] = Node::Branch { ways: ways(body, next).into(), open: Box::default() };
                node = around;
            }
            Some(max) => {
                for _ in min..max {
                    let on = self.add(sub, node)?;
                    node = self.branch(&ways(on, next))?;
                }
            }
        }
        (0..min).try_fold(node, |node, _| self.add(sub, node))
    }

    fn run(&mut self, chars: Chars, least: u32, most: Option<u32>, greedy: bool, next: NodeId) -> Option<NodeId> {
        let follows = self.start(next);
        let keeps = !chars.bytes.overlaps(follows.bytes);
        let mut start = Start { bytes: chars.bytes, end: false };
        if least == 0 {
            start.add(follows);
        }
        // As few as will do are as many as there are, where what follows can begin with none of them.
        let outside = chars.bytes.complement();
        let chars = Box::new(chars);
        let is_bytewise = chars.is_bytewise();
        let node = if !greedy && !keeps {
            let mut ends = outside;
            ends.add_all(follows.bytes);
            Node::Lazy { chars, stops: is_bytewise.then(|| Stops::of(ends)), least, next }
        } else if is_bytewise && least <= 1 && most.is_none() {
            Node::Run { chars, stops: Stops::of(outside), is_optional: least == 0, keeps, next }
        } else {
            Node::Greedy { chars, least, most: most.unwrap_or(u32::MAX), keeps, next }
        };
        self.push(node, start)
    }
}

/// The bytes that a part of a pattern may begin with, as far as it matches something.
fn lead(hir: &Hir) -> ByteSet {
    let mut out = ByteSet::default();
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => literal.0.first().into_iter().for_each(|byte| out.add(*byte)),
        HirKind::Class(class) => out = Chars::of(class).bytes,
        HirKind::Repetition(repetition) => out = lead(&repetition.sub),
        HirKind::Capture(group) => out = lead(&group.sub),
        HirKind::Alternation(parts) => parts.iter().for_each(|part| out.add_all(lead(part))),
        HirKind::Concat(parts) => {
            for part in parts {
                out.add_all(lead(part));
                if part.properties().minimum_len().is_some_and(|least| least > 0) {
                    break;
                }
            }
        }
    }
    out
}

/// Whether a part of the pattern has several ways to go, or goes round.
fn branches(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Alternation(_) => true,
        HirKind::Repetition(repetition) => one_of(&repetition.sub).is_none(),
        HirKind::Concat(parts) => parts.iter().any(branches),
        _ => false,
    }
}

/// Whether a part of the pattern may ask about what stands before it.
fn looks_back(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => false,
        HirKind::Look(_) => true,
        HirKind::Repetition(repetition) => looks_back(&repetition.sub),
        HirKind::Capture(group) => looks_back(&group.sub),
        HirKind::Alternation(parts) => parts.iter().any(looks_back),
        HirKind::Concat(parts) => {
            // A part that may be empty lets the next one look past it.
            let passed = parts.iter().take_while(|part| part.properties().minimum_len() == Some(0)).count();
            parts.iter().take(passed + 1).any(looks_back)
        }
    }
}

/// The bytes that a part of a pattern may match.
fn bytes_of(hir: &Hir) -> ByteSet {
    let mut out = ByteSet::default();
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => literal.0.iter().for_each(|byte| out.add(*byte)),
        HirKind::Class(class) => out = Chars::of(class).bytes,
        HirKind::Repetition(repetition) => out = bytes_of(&repetition.sub),
        HirKind::Capture(group) => out = bytes_of(&group.sub),
        HirKind::Alternation(parts) | HirKind::Concat(parts) => parts.iter().for_each(|part| out.add_all(bytes_of(part))),
    }
    out
}

/// The longest text of two bytes or more that stands in all that matches.
pub(super) fn needed(hir: &Hir) -> Option<&[u8]> {
    match hir.kind() {
        HirKind::Literal(literal) => (literal.0.len() > 1).then_some(&*literal.0),
        HirKind::Capture(group) => needed(&group.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => needed(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(needed).max_by_key(|text| text.len()),
        _ => None,
    }
}
