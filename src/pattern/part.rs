//! A part of a pattern that a small automaton passes at once: it holds no groups, and what follows it begins with none of its bytes. So it ends where its
//! bytes end, and all there is to know is whether it matches up to there.
use std::sync::{Arc, Mutex, PoisonError, Weak};

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;

use super::chars::ByteSet;
use crate::limits::PATTERN_PART_BYTES;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Part {
    automaton: dense::DFA<Vec<u32>>,
    first: StateID,
    /// Bytes that it may hold.
    inside: [bool; 256],
}

/// The parts in use: an address or a date stands in many patterns, and takes a millisecond to make.
static KNOWN: Mutex<Vec<(Hir, Weak<Part>)>> = Mutex::new(Vec::new());

impl Part {
    /// An automaton for a part that holds these bytes. None where it would be too large.
    pub(super) fn of(hir: &Hir, inside: ByteSet) -> Option<Arc<Part>> {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = known.iter().find(|(other, _)| other == hir).and_then(|(_, part)| part.upgrade()) {
            return Some(part);
        }
        let part = Arc::new(Part::new(hir, inside)?);
        known.retain(|(_, part)| part.strong_count() > 0);
        known.push((hir.clone(), Arc::downgrade(&part)));
        Some(part)
    }

    fn new(hir: &Hir, inside: ByteSet) -> Option<Part> {
        let config = thompson::Config::new().nfa_size_limit(Some(PATTERN_PART_BYTES)).which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(hir).ok()?;
        let config = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(PATTERN_PART_BYTES))
            .determinize_size_limit(Some(PATTERN_PART_BYTES));
        let automaton = dense::Builder::new().configure(config).build_from_nfa(&nfa).ok()?;
        let first = automaton.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Part { automaton, first, inside: inside.table() })
    }

    /// Memory of it.
    pub(super) fn size(&self) -> usize {
        self.automaton.memory_usage() + size_of::<Part>()
    }

    /// Where it ends, if it matches at a place; else how far it was followed.
    #[inline(always)]
    pub(super) fn pass(&self, text: &[u8], at: usize) -> Result<usize, usize> {
        let (mut state, mut end) = (self.first, at);
        while let Some(byte) = text.get(end).filter(|byte| self.inside[usize::from(**byte)]) {
            state = self.automaton.next_state(state, *byte);
            if self.automaton.is_dead_state(state) {
                return Err(end);
            }
            end += 1;
        }
        // An automaton knows of a match one byte later.
        let last = match text.get(end) {
            Some(byte) => self.automaton.next_state(state, *byte),
            None => self.automaton.next_eoi_state(state),
        };
        if self.automaton.is_match_state(last) { Ok(end) } else { Err(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn equal_parts_share_an_automaton_and_large_ones_have_none() {
        let of = |pattern: &str| Part::of(&parse(pattern).unwrap(), ByteSet::ALL);
        let (one, same, other) = (of("x(?:a|bc)").unwrap(), of("x(?:a|bc)").unwrap(), of("x(?:a|bd)").unwrap());
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        assert!(one.size() < 4096, "{}", one.size());
        assert!(of(r"(?:\w{20}|x)+").is_none());
    }
}
