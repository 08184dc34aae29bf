//! Which paths of a JSON document are wanted: a tree of names that learns the order in which keys come.
//!
//! Logs repeat their keys in one order, so each node remembers the last order seen and compares a key with the one that it expects; only a surprise
//! costs a search. A wanted name with dots is looked for as a literal key first, then as a nested path.
use super::Wanted;
use crate::event::Slot;
use crate::event::text::is_same;

/// Learned keys of one object: beyond this many, keys are searched each time.
const LEARNED_MAX: usize = 256;

/// A node of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(u32);

/// What is wanted of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The value itself.
    pub slot: Option<Slot>,
    /// Something inside of it.
    pub node: Option<NodeId>,
    /// The key is the whole of a name that has dots: it wins over the nested path.
    pub literal: bool,
    /// The key ends a nested path of a name that has dots.
    pub nested: bool,
}

/// Nothing is wanted of a value.
pub const NOTHING: Target = Target { slot: None, node: None, literal: false, nested: false };

#[derive(Debug, Default)]
struct Node {
    children: Vec<(Box<[u8]>, Target)>,
    learned: Vec<(Box<[u8]>, Target)>,
    next: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Trie {
    nodes: Vec<Node>,
}

impl Trie {
    /// The tree of the wanted names.
    pub fn new(wanted: &Wanted) -> Trie {
        let mut trie = Trie { nodes: vec![Node::default()] };
        for field in &wanted.fields {
            let dotted = field.name.contains('.');
            trie.add(&[field.name.as_bytes()], field.slot, dotted, false);
            if dotted {
                let path: Vec<&[u8]> = field.name.split('.').map(str::as_bytes).collect();
                trie.add(&path, field.slot, false, true);
            }
        }
        trie
    }

    /// The root of every document.
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn add(&mut self, path: &[&[u8]], slot: Slot, literal: bool, nested: bool) {
        let mut at = 0;
        for (depth, name) in path.iter().enumerate() {
            let child = match self.nodes[at].children.iter().position(|(n, _)| **n == **name) {
                Some(child) => child,
                None => {
                    self.nodes[at].children.push(((*name).into(), NOTHING));
                    self.nodes[at].children.len() - 1
                }
            };
            let fresh = NodeId(self.nodes.len() as u32);
            let target = &mut self.nodes[at].children[child].1;
            if depth + 1 == path.len() {
                (target.slot, target.literal, target.nested) = (Some(slot), literal, nested);
            } else {
                let next = *target.node.get_or_insert(fresh);
                if next == fresh {
                    self.nodes.push(Node::default());
                }
                at = next.0 as usize;
            }
        }
    }

    /// Says that an object of this node begins.
    #[inline(always)]
    pub fn begin(&mut self, node: NodeId) {
        self.nodes[node.0 as usize].next = 0;
    }

    /// What is wanted of a key's value.
    #[inline(always)]
    pub fn find(&mut self, node: NodeId, key: &[u8]) -> Target {
        let node = &mut self.nodes[node.0 as usize];
        if let Some((name, target)) = node.learned.get(node.next)
            && is_same(name, key)
        {
            node.next += 1;
            return *target;
        }
        node.search(key)
    }
}

impl Node {
    #[cold]
    fn search(&mut self, key: &[u8]) -> Target {
        if let Some(at) = self.learned.iter().position(|(n, _)| **n == *key) {
            self.next = at + 1;
            return self.learned[at].1;
        }
        let target = self.children.iter().find(|(n, _)| **n == *key).map_or(NOTHING, |(_, t)| *t);
        if self.learned.len() < LEARNED_MAX {
            // Beside its neighbour, so that optional keys do not break the order for the rest.
            self.learned.insert(self.next.min(self.learned.len()), (key.into(), target));
            self.next += 1;
        }
        target
    }
}
