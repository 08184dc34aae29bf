//! `regex`: named groups of a pattern become fields. A line that the pattern does not match anywhere is refused.
use regex_automata::util::captures::Captures;

use super::{Decoder, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::{Batch, Kind, Slot, Span};
use crate::pattern::Pattern;

/// See the module.
pub struct RegexDecoder {
    patterns: Vec<Pattern>,
    captures: Vec<Captures>,
    /// Per pattern: group and slot.
    groups: Vec<Vec<(usize, Slot)>>,
    wanted: Wanted,
    subjects: Subjects,
}

/// Names that the groups of patterns yield, in order, each once.
pub fn names(patterns: &[Pattern]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for name in patterns.iter().flat_map(Pattern::group_names).flatten() {
        let name = field_name(&name);
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

/// A group's name as a field's: `__` stands for the dot that a group's name cannot hold.
fn field_name(group: &str) -> String {
    group.replace("__", ".")
}

impl RegexDecoder {
    /// A decoder that tries the patterns in order.
    pub fn new(patterns: Vec<Pattern>, wanted: Wanted) -> RegexDecoder {
        let group_slots = |p: &Pattern| {
            let names = p.group_names();
            names.iter().enumerate().filter_map(|(i, n)| Some((i, wanted.slot(&field_name(n.as_deref()?))?))).collect()
        };
        let groups = patterns.iter().map(group_slots).collect();
        let captures = patterns.iter().map(Pattern::captures).collect();
        RegexDecoder { patterns, captures, groups, wanted, subjects: Subjects::default() }
    }
}

impl Decoder for RegexDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let RegexDecoder { patterns, captures, groups, wanted, subjects } = self;
        lay_over(batch, wanted);
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(text) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            for (i, pattern) in patterns.iter().enumerate() {
                pattern.find(text, &mut captures[i]);
                if !captures[i].is_match() {
                    continue;
                }
                for (group, slot) in &groups[i] {
                    if let Some(found) = captures[i].get_group(*group) {
                        batch.set(*slot, usize::from(row), Span::new(Kind::Text, at + found.start, found.len()));
                    }
                }
                return;
            }
            refuse(batch, row, wanted, "no pattern matches");
        });
    }
}
