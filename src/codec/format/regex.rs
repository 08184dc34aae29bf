//! `regex`: named groups of a pattern become fields; what `grok` writes out is such a pattern too. A line that no pattern matches anywhere is refused.
use super::json::is_number;
use super::{Decoder, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::{Batch, Kind, Slot, Span};
use crate::pattern::{Found, Pattern};

/// A group that is a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its index in the pattern.
    pub index: usize,
    /// Name of the field.
    pub field: String,
    /// A text that is a number is one.
    pub is_number: bool,
}

/// A pattern and the fields that it yields.
#[derive(Clone, Debug)]
pub struct NamedPattern {
    /// The pattern.
    pub pattern: Pattern,
    /// Its groups. Several may yield one field: the first that took part counts.
    pub groups: Vec<Group>,
}

impl From<Pattern> for NamedPattern {
    fn from(pattern: Pattern) -> NamedPattern {
        let named = pattern.group_names().into_iter().enumerate();
        let groups = named.filter_map(|(index, name)| Some(Group { index, field: field_name(&name?), is_number: false })).collect();
        NamedPattern { pattern, groups }
    }
}

/// One of several patterns, with where its groups go.
struct Trial {
    pattern: Pattern,
    found: Found,
    /// Group, slot and whether it may be a number; the last of a slot counts.
    groups: Vec<(usize, Slot, bool)>,
}

/// The trials that a text is worth, by what it begins with: of many anchored patterns few are asked.
struct Candidates {
    /// By the first byte; the last is that of an empty text.
    lists: Vec<u32>,
    /// Numbers of trials in their order, each list once.
    distinct: Vec<Vec<u32>>,
}

impl Candidates {
    fn new(trials: &[Trial]) -> Candidates {
        let mut distinct: Vec<Vec<u32>> = Vec::new();
        let mut list = |first: Option<u8>| {
            let may_match = (0u32..).zip(trials).filter(|(_, trial)| trial.pattern.may_match_from(first));
            let list: Vec<u32> = may_match.map(|(number, _)| number).collect();
            distinct.iter().position(|other| *other == list).unwrap_or_else(|| {
                distinct.push(list);
                distinct.len() - 1
            }) as u32
        };
        Candidates { lists: (0..=u8::MAX).map(Some).chain([None]).map(&mut list).collect(), distinct }
    }

    #[inline(always)]
    fn of(&self, text: &[u8]) -> &[u32] {
        let list = text.first().map_or(256, |byte| usize::from(*byte));
        &self.distinct[self.lists[list] as usize]
    }
}

/// See the module.
pub struct RegexDecoder {
    trials: Vec<Trial>,
    candidates: Candidates,
    wanted: Wanted,
    subjects: Subjects,
}

/// Names that the groups of patterns yield, in order, each once.
pub fn names(patterns: &[NamedPattern]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for group in patterns.iter().flat_map(|p| &p.groups) {
        if !out.contains(&group.field) {
            out.push(group.field.clone());
        }
    }
    out
}

/// A group's name as a field's: `__` stands for the dot that a group's name cannot hold.
pub(super) fn field_name(group: &str) -> String {
    group.replace("__", ".")
}

impl RegexDecoder {
    /// A decoder that tries the patterns in order.
    pub fn new(patterns: Vec<NamedPattern>, wanted: Wanted) -> RegexDecoder {
        let trial = |NamedPattern { pattern, groups }: NamedPattern| {
            // From last to first, so that the first that took part is set last.
            let groups = groups.iter().rev().filter_map(|g| Some((g.index, wanted.slot(&g.field)?, g.is_number))).collect();
            Trial { found: pattern.found(), pattern, groups }
        };
        let trials: Vec<Trial> = patterns.into_iter().map(trial).collect();
        RegexDecoder { candidates: Candidates::new(&trials), trials, wanted, subjects: Subjects::default() }
    }
}

impl Decoder for RegexDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let RegexDecoder { trials, candidates, wanted, subjects } = self;
        lay_over(batch, wanted);
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(text) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            for number in candidates.of(text) {
                let Trial { pattern, found, groups } = &mut trials[*number as usize];
                if !pattern.find(text, found) {
                    continue;
                }
                for (group, slot, may_be_number) in groups.iter() {
                    if let Some(part) = found.group(*group) {
                        let kind = if *may_be_number && is_number(&text[part.clone()]) { Kind::Number } else { Kind::Text };
                        batch.set(*slot, usize::from(row), Span::new(kind, at + part.start, part.len()));
                    }
                }
                return;
            }
            refuse(batch, row, wanted, "no pattern matches");
        });
    }
}
