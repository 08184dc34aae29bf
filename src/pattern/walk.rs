//! A walk: backtracking over the shape of a pattern, with a bound on its steps.
//!
//! The patterns of log lines are ambiguous to an automaton that has to tell where groups lie, and nearly plain to a walk: the next byte decides which
//! branch is taken, and a run of characters ends where its class ends. Both find the same: the leftmost match, and of those the one that comes first when
//! branches are tried in order. Where a text makes it go back too often, a walk gives up, and the automaton answers in linear time.
use memchr::memmem::Finder;
use regex_syntax::hir::{Hir, Look};

use super::shape::{Node, NodeId, Shape, Start, needed};
use crate::limits::{WALK_STEPS_FREE, WALK_STEPS_PER_BYTE};

/// Bytes of a run that count as a step.
const BYTES_PER_STEP: usize = 8;

/// A group that took no part.
pub(super) const UNSET: usize = usize::MAX;

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
enum Back {
    /// These ways of a branch are left.
    Branch { node: NodeId, open: u16, at: usize },
    /// A run that ended at `at` and may end earlier, not before `least`.
    Greedy { node: NodeId, least: usize, at: usize },
    /// A run that ended at `at` and may end later.
    Lazy { node: NodeId, at: usize },
    /// What a group had been.
    Slot { slot: u32, old: usize },
}

/// Memory of a walk.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    back: Vec<Back>,
    /// Steps that are left: below nothing, the walk gives up.
    steps: isize,
}

impl Path {
    /// A run was followed from one place to another: many bytes at once are cheap, and not for nothing.
    #[inline(always)]
    fn spend(&mut self, from: usize, to: usize) {
        self.steps -= (from.abs_diff(to) / BYTES_PER_STEP) as isize;
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    shape: Shape,
    /// What may come first: close at hand, for most of many patterns go no further.
    first: Start,
    needed: Option<Finder<'static>>,
}

impl Walk {
    /// A walk over a pattern, if it can be walked.
    pub(super) fn new(hir: &Hir) -> Option<Walk> {
        let shape = Shape::of(hir)?;
        // Where there is one place to begin at, the first step is as fast.
        let needed = needed(hir).filter(|_| !shape.is_anchored).map(|text| Finder::new(text).into_owned());
        Some(Walk { first: shape.starts[shape.first as usize], shape, needed })
    }

    /// Whether it may match a text that begins with this byte, or is empty.
    pub(super) fn may_match_from(&self, first: Option<u8>) -> bool {
        !self.shape.is_anchored || self.first.may_be_at(first.as_slice(), 0)
    }

    /// Finds the leftmost match. `slots`: begin and end of each group; where there is no match, only the first is of use. None: it gave up.
    pub(super) fn find(&self, text: &[u8], slots: &mut [usize], path: &mut Path) -> Option<bool> {
        slots[0] = UNSET;
        if self.shape.is_anchored && !self.first.may_be_at(text, 0) {
            return Some(false);
        }
        slots.fill(UNSET);
        if self.needed.as_ref().is_some_and(|needed| needed.find(text).is_none()) {
            return Some(false);
        }
        path.steps = WALK_STEPS_FREE + WALK_STEPS_PER_BYTE * text.len() as isize;
        let last = if self.shape.is_anchored { 0 } else { text.len() };
        for at in 0..=last {
            if !self.first.may_be_at(text, at) || text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80) {
                continue;
            }
            path.back.clear();
            if let Some(end) = self.from(text, at, slots, path)? {
                (slots[0], slots[1]) = (at, end);
                return Some(true);
            }
            slots.fill(UNSET);
        }
        Some(false)
    }

    /// The end of the match that begins at `at`.
    fn from(&self, text: &[u8], mut at: usize, slots: &mut [usize], path: &mut Path) -> Option<Option<usize>> {
        let mut node = self.shape.first;
        loop {
            path.steps -= 1;
            if path.steps < 0 {
                return None;
            }
            let on = match &self.shape.nodes[node as usize] {
                Node::Match => return Some(Some(at)),
                Node::Byte { byte, next } => (text.get(at) == Some(byte)).then(|| (*next, at + 1)),
                Node::Literal { text: literal, next } => text[at..].starts_with(literal).then(|| (*next, at + literal.len())),
                Node::Part { part, next } => {
                    let end = part.pass(text, at);
                    path.spend(at, end.unwrap_or_else(|end| end));
                    end.ok().map(|end| (*next, end))
                }
                Node::One { chars, next } => chars.step(text, at).map(|end| (*next, end)),
                Node::Run { chars, stops, is_optional, keeps, next } => {
                    let end = stops.find(text, at);
                    path.spend(at, end);
                    if end == at && !is_optional {
                        None
                    } else if *keeps {
                        Some((*next, end))
                    } else {
                        let least = if *is_optional { Some(at) } else { chars.step(text, at) };
                        least.and_then(|least| self.give_back(text, node, *next, least, end, path))
                    }
                }
                Node::Greedy { chars, least, most, keeps, next } => {
                    let (first, end, is_enough) = chars.counted(text, at, *least, *most);
                    path.spend(at, end);
                    match is_enough {
                        false => None,
                        true if *keeps => Some((*next, end)),
                        true => self.give_back(text, node, *next, first, end, path),
                    }
                }
                Node::Lazy { chars, least, next, .. } => {
                    let (_, end, is_enough) = chars.counted(text, at, *least, *least);
                    path.spend(at, end);
                    if is_enough { self.go_on(text, node, *next, end, path) } else { None }
                }
                Node::Branch { ways, open } => branch(node, ways, open[self.shape.class(text, at)], at, path),
                Node::Save { slot, next } => {
                    let place = &mut slots[*slot as usize];
                    // Without a place to go back to nobody asks what it had been.
                    if !path.back.is_empty() {
                        path.back.push(Back::Slot { slot: *slot, old: *place });
                    }
                    *place = at;
                    Some((*next, at))
                }
                Node::Look { look, next } => is_at(*look, text, at).then_some((*next, at)),
            };
            let on = match on {
                Some(on) => Some(on),
                None => self.back(text, slots, path),
            };
            match on {
                Some(on) => (node, at) = on,
                None => return Some(None),
            }
        }
    }

    /// Goes back to the last place where there was another way.
    #[inline(never)]
    fn back(&self, text: &[u8], slots: &mut [usize], path: &mut Path) -> Option<(NodeId, usize)> {
        loop {
            path.steps -= 1;
            let on = match path.back.pop()? {
                Back::Slot { slot, old } => {
                    slots[slot as usize] = old;
                    None
                }
                Back::Branch { node, open, at } => match &self.shape.nodes[node as usize] {
                    Node::Branch { ways, .. } => branch(node, ways, open, at, path),
                    _ => None,
                },
                Back::Greedy { node, least, at } => match &self.shape.nodes[node as usize] {
                    Node::Run { next, .. } | Node::Greedy { next, .. } => self.give_back(text, node, *next, least, before(text, at), path),
                    _ => None,
                },
                Back::Lazy { node, at } => match &self.shape.nodes[node as usize] {
                    Node::Lazy { chars, next, .. } => chars.step(text, at).and_then(|end| self.go_on(text, node, *next, end, path)),
                    _ => None,
                },
            };
            if on.is_some() {
                return on;
            }
        }
    }

    /// Ends a run at the last place, not behind `end` and not before `least`, where what follows may begin.
    #[inline(always)]
    fn give_back(&self, text: &[u8], node: NodeId, next: NodeId, least: usize, mut end: usize, path: &mut Path) -> Option<(NodeId, usize)> {
        let (start, from) = (&self.shape.starts[next as usize], end);
        while end > least && !start.may_be_at(text, end) {
            end = before(text, end);
        }
        path.spend(from, end);
        if !start.may_be_at(text, end) {
            return None;
        }
        if end > least {
            path.back.push(Back::Greedy { node, least, at: end });
        }
        Some((next, end))
    }

    /// Ends a run at the first place, not before `end`, where what follows may begin.
    #[inline(always)]
    fn go_on(&self, text: &[u8], node: NodeId, next: NodeId, mut end: usize, path: &mut Path) -> Option<(NodeId, usize)> {
        let Node::Lazy { chars, stops, .. } = &self.shape.nodes[node as usize] else { return None };
        let start = &self.shape.starts[next as usize];
        let from = end;
        match stops {
            Some(stops) => end = stops.find(text, end),
            None => {
                while !start.may_be_at(text, end)
                    && let Some(next) = chars.step(text, end)
                {
                    end = next;
                }
            }
        }
        path.spend(from, end);
        if !start.may_be_at(text, end) {
            return None;
        }
        path.back.push(Back::Lazy { node, at: end });
        Some((next, end))
    }
}

/// Takes the first open way of a branch.
#[inline(always)]
fn branch(node: NodeId, ways: &[NodeId], open: u16, at: usize, path: &mut Path) -> Option<(NodeId, usize)> {
    let way = *ways.get(open.trailing_zeros() as usize)?;
    let rest = open & (open - 1);
    if rest != 0 {
        path.back.push(Back::Branch { node, open: rest, at });
    }
    Some((way, at))
}

/// Where the character before `at` begins.
#[inline(always)]
fn before(text: &[u8], at: usize) -> usize {
    let mut before = at - 1;
    while before > 0 && text[before] & 0xc0 == 0x80 {
        before -= 1;
    }
    before
}

/// Whether a place is such a one.
fn is_at(look: Look, text: &[u8], at: usize) -> bool {
    let is_word = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let is_boundary = || is_word(at.checked_sub(1).and_then(|before| text.get(before))) != is_word(text.get(at));
    match look {
        Look::Start => at == 0,
        Look::End => at == text.len(),
        Look::StartLF => at == 0 || text[at - 1] == b'\n',
        Look::EndLF => at == text.len() || text[at] == b'\n',
        Look::WordAscii => is_boundary(),
        Look::WordAsciiNegate => !is_boundary(),
        // `Shape` lets no other pass.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_automata::meta;
    use regex_syntax::hir::Hir;

    use super::super::parse;
    use super::{BYTES_PER_STEP, Node, Path, UNSET, Walk};

    /// What the automaton finds, as slots.
    fn automaton(hir: &Hir, text: &str) -> Option<Vec<usize>> {
        let regex = meta::Builder::new().build_from_hir(hir).unwrap();
        let mut captures = regex.create_captures();
        regex.captures(text, &mut captures);
        let slots = (0..captures.group_len()).flat_map(|g| captures.get_group(g).map_or([UNSET; 2], |s| [s.start, s.end]));
        captures.is_match().then(|| slots.collect())
    }

    /// What a walk finds; none where it gives up.
    fn walked(walk: &Walk, groups: usize, text: &str) -> Option<Option<Vec<usize>>> {
        let mut slots = vec![UNSET; groups * 2];
        let is_match = walk.find(text.as_bytes(), &mut slots, &mut Path::default())?;
        Some(is_match.then_some(slots))
    }

    fn both_agree(pattern: &str, texts: &[String]) {
        let hir = parse(pattern).unwrap();
        let Some(walk) = Walk::new(&hir) else { return };
        let groups = hir.properties().explicit_captures_len() + 1;
        for text in texts {
            if let Some(found) = walked(&walk, groups, text) {
                assert_eq!(found, automaton(&hir, text), "{pattern} in {text:?}");
            }
        }
    }

    /// Patterns with all that a walk knows, and some that it does not.
    fn pattern() -> impl Strategy<Value = String> {
        let atom = prop::sample::select(vec![
            "a",
            "b",
            "é",
            "ab",
            "[ab]",
            "[^a]",
            ".",
            "\\d",
            "[é-ü]",
            "\\w",
            "[^\\x00-\\x60]",
            "^",
            "$",
            "(?-u:\\b)",
            "(?-u:\\B)",
            "(?m:^)",
            "(?m:$)",
            "\\b",
        ]);
        atom.prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
            let times = prop::sample::select(vec!["*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
                (inner.clone(), times).prop_map(|(part, times)| format!("(?:{part}){times}")),
                inner.prop_map(|part| format!("({part})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn finds_what_the_automaton_finds(pattern in pattern(), texts in prop::collection::vec("[abcéü1 \n_]{0,9}", 1..6)) {
            both_agree(&pattern, &texts);
        }
    }

    #[test]
    fn parts_that_end_plainly_are_passed_at_once() {
        let parts = |pattern: &str| {
            let walk = Walk::new(&parse(pattern).unwrap()).unwrap();
            walk.shape.nodes.iter().filter(|node| matches!(node, Node::Part { .. })).count()
        };
        let texts =
            ["", "a", "ab", "abc", "aab c", "aabb ", "ab1é c", "éé", " ab\nc", "b c", "ba", "aa_ b", "ab\n", "1 1 1"].map(str::to_owned);
        for (pattern, count) in [
            ("(?:a|ab)c", 1),
            ("((?:a|bb)+)( |$)", 1),
            ("^(?:a|ab|[é-ü]+)$", 1),
            ("(?:(?:a|bb)*)(?-u:\\b) ", 1),
            ("(?:(?:ab?|b)(?-u:\\b)) ", 1),
            ("(?:b|(?:a|1)*)(\n| )", 1),
            ("(?:a|ab)( (?:1|[b-c]{2}))?", 0),
            // What follows may begin with what it ends with, a place is asked about before it, a group is inside.
            ("(?:a|ab)b", 0),
            ("(?-u:\\b)(?:a|ab)b", 0),
            ("(?:(?-u:\\b)a|b) ", 0),
            ("(?:1?(?-u:\\b)b|c) ", 0),
            ("(?:a|(b)) ", 0),
            ("(?:a|ab)", 0),
        ] {
            assert_eq!(parts(pattern), count, "{pattern}");
            both_agree(pattern, &texts);
        }
    }

    #[test]
    fn a_text_that_asks_for_too_much_is_given_up() {
        let walk = Walk::new(&parse("(?:a|aa)+(b)").unwrap()).unwrap();
        assert_eq!(walked(&walk, 2, &"a".repeat(300)), None);
        assert_eq!(walked(&walk, 2, "aaab"), Some(Some(vec![0, 4, 3, 4])));
        // Few steps, each over all that is left of the text.
        for pattern in ["([^x]*)y", "([^x]*?)y", "(é*)y", "([a-zé]{0,9999})y"] {
            let walk = Walk::new(&parse(pattern).unwrap()).unwrap();
            for text in ["a", "é"] {
                let (text, mut path) = (text.repeat(200_000), Path::default());
                walk.find(text.as_bytes(), &mut [UNSET; 4], &mut path);
                // The run that spends the last step is followed to its end, and back.
                assert!(path.steps >= -1 - (2 * text.len() / BYTES_PER_STEP) as isize, "{pattern}: {}", path.steps);
            }
        }
    }
}
