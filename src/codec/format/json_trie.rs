//! Which paths of a JSON document are wanted: a tree of names that learns the order in which keys come.
//!
//! Logs repeat their keys in one order, so each node remembers the last order seen and compares a key with the one that it expects; only a surprise
//! costs a search. A wanted name with dots is looked for as a literal key first, then as a nested path.
use super::Wanted;
use super::literal::Literal;
use crate::event::Slot;
use crate::limits::NAME_BYTES_MAX;

/// Learned keys of one object: beyond this many, keys are searched each time.
const LEARNED_MAX: usize = 256;

/// A node of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(u32);

/// What is wanted of a key's value, in eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    slot: u16,
    literal: u16,
    /// Nothing inside of it is wanted where this is zero: the root is no value.
    node: u32,
}

const NO_SLOT: u16 = u16::MAX;

/// Nothing is wanted of a value.
pub const NOTHING: Target = Target { slot: NO_SLOT, literal: 0, node: 0 };

impl Target {
    /// Where the value itself goes.
    #[inline(always)]
    pub fn slot(self) -> Option<Slot> {
        (self.slot != NO_SLOT).then_some(Slot(self.slot))
    }

    /// The node of what is wanted inside of it.
    #[inline(always)]
    pub fn node(self) -> Option<NodeId> {
        (self.node != 0).then_some(NodeId(self.node))
    }

    /// The key is the whole of a name that has dots: it wins over the nested path.
    #[inline(always)]
    pub fn is_literal(self) -> bool {
        self.literal != 0
    }
}

#[derive(Debug, Default)]
struct Node {
    children: Vec<(Box<[u8]>, Target)>,
    /// First of the learned keys, in the order in which they were last seen.
    first: RecordId,
    learned: usize,
}

/// A learned key's place among all of them.
type RecordId = u32;

/// The record that ends every list: no key is written like it.
const END: RecordId = 0;

/// A learned key.
#[derive(Debug)]
struct Record {
    /// The key and its closing quote, as they stand in a document.
    quoted: Literal,
    /// The key that is expected after it.
    next: RecordId,
    target: Target,
    key: Box<[u8]>,
}

impl Record {
    fn new(key: &[u8], target: Target, next: RecordId) -> Record {
        // A key with such bytes is never written as it reads.
        let is_plain = !key.iter().any(|b| matches!(b, b'"' | b'\\'));
        let quoted = if is_plain { Literal::new(&[key, b"\""].concat()) } else { Literal::never() };
        Record { quoted, next, target, key: key.into() }
    }
}

/// Where in the learned order an object is.
#[derive(Clone, Copy, Debug)]
pub struct Expected(RecordId);

/// See the module.
#[derive(Debug)]
pub struct Trie {
    nodes: Vec<Node>,
    records: Vec<Record>,
}

impl Trie {
    /// The tree of the wanted names.
    pub fn new(wanted: &Wanted) -> Trie {
        let end = Record { quoted: Literal::never(), ..Record::new(b"", NOTHING, END) };
        let mut trie = Trie { nodes: vec![Node::default()], records: vec![end] };
        for field in &wanted.fields {
            let dotted = field.name.contains('.');
            trie.add(&[field.name.as_bytes()], field.slot, dotted);
            if dotted {
                let path: Vec<&[u8]> = field.name.split('.').map(str::as_bytes).collect();
                trie.add(&path, field.slot, false);
            }
        }
        trie
    }

    /// The root of every document.
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn add(&mut self, path: &[&[u8]], slot: Slot, literal: bool) {
        let mut at = 0;
        for (depth, name) in path.iter().enumerate() {
            let child = match self.nodes[at].children.iter().position(|(n, _)| **n == **name) {
                Some(child) => child,
                None => {
                    self.nodes[at].children.push(((*name).into(), NOTHING));
                    self.nodes[at].children.len() - 1
                }
            };
            let fresh = self.nodes.len() as u32;
            let target = &mut self.nodes[at].children[child].1;
            if depth + 1 == path.len() {
                (target.slot, target.literal) = (slot.0, literal.into());
            } else {
                if target.node == 0 {
                    target.node = fresh;
                    self.nodes.push(Node::default());
                }
                at = self.nodes[at].children[child].1.node as usize;
            }
        }
    }

    /// What an object of this node begins with.
    #[inline(always)]
    pub fn first(&self, node: Option<NodeId>) -> Expected {
        Expected(node.map_or(END, |node| self.nodes[node.0 as usize].first))
    }

    /// Whether the expected key and its closing quote stand at `from`.
    #[inline(always)]
    pub fn is_at(&self, expected: Expected, text: &[u8], from: usize) -> bool {
        self.records[expected.0 as usize].quoted.is_at(text, from)
    }

    /// The expected key's length, what is wanted of its value, and what is expected next.
    #[inline(always)]
    pub fn expected(&self, expected: Expected) -> (u32, Target, Expected) {
        let record = &self.records[expected.0 as usize];
        (record.key.len() as u32, record.target, Expected(record.next))
    }

    /// What is wanted of the value of a key that was not expected. The key is learned.
    #[cold]
    #[inline(never)]
    pub fn search(&mut self, node: NodeId, expected: &mut Expected, key: &[u8]) -> Target {
        let node = &mut self.nodes[node.0 as usize];
        let (mut at, mut before) = (node.first, END);
        while at != END {
            let record = &self.records[at as usize];
            if *record.key == *key {
                *expected = Expected(record.next);
                return record.target;
            }
            if record.next == expected.0 {
                before = at;
            }
            at = record.next;
        }
        let target = node.children.iter().find(|(n, _)| **n == *key).map_or(NOTHING, |(_, t)| *t);
        if node.learned < LEARNED_MAX && key.len() <= NAME_BYTES_MAX {
            // Beside its neighbour, so that optional keys do not break the order for the rest.
            let fresh = self.records.len() as RecordId;
            self.records.push(Record::new(key, target, expected.0));
            node.learned += 1;
            match before {
                END => node.first = fresh,
                before => self.records[before as usize].next = fresh,
            }
        }
        target
    }
}
