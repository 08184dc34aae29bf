//! Regular expressions: linear-time, bounded in memory, refused at load with the place of the fault.
//!
//! The syntax is that of the `regex` crate: no lookaround, no backreferences. Matching is unanchored and case-sensitive. An automaton tells whether and where
//! a pattern matches; what its groups match is found by a walk where one can be taken, which passes parts without groups by small automata of their own.
mod chars;
mod part;
mod shape;
mod walk;

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex_automata::meta;
use regex_automata::util::captures::Captures;
use regex_syntax::hir::Hir;

use self::walk::{Path, UNSET, Walk};
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_CACHE_BYTES};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: meta::Regex,
    /// None where it has no groups, or is a row's of a map file, whose groups nobody asks for.
    groups: Option<Arc<Groups>>,
}

/// What finds groups: made when a place for them is first asked for, as most patterns are only asked whether they match.
#[derive(Debug)]
struct Groups {
    hir: Hir,
    /// None where the pattern has parts that a walk does not know.
    walk: OnceLock<Option<Walk>>,
}

/// Where a pattern and its groups were found, and memory to find them with.
#[derive(Clone, Debug)]
pub struct Found {
    captures: Captures,
    slots: Vec<usize>,
    path: Path,
}

impl Found {
    /// The bytes of a group that took part; group 0 is the whole match.
    #[inline(always)]
    pub fn group(&self, index: usize) -> Option<Range<usize>> {
        let (from, to) = (self.slots[index * 2], self.slots[index * 2 + 1]);
        let is_match = self.slots[0] != UNSET;
        (is_match && from != UNSET && to != UNSET).then_some(from..to)
    }

    /// Groups of the pattern, the whole match among them.
    pub fn groups(&self) -> usize {
        self.slots.len() / 2
    }
}

/// Why a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternFault {
    /// Characters before the fault.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: &'static str,
}

impl Pattern {
    /// Compiles one pattern.
    pub fn new(pattern: &str) -> Result<Pattern, PatternFault> {
        let hir = parse(pattern)?;
        let built = Pattern::from_hirs(std::slice::from_ref(&hir))?;
        let has_groups = hir.properties().explicit_captures_len() > 0;
        Ok(Pattern { groups: has_groups.then(|| Arc::new(Groups { hir, walk: OnceLock::new() })), ..built })
    }

    /// Compiles several shapes into one pattern that reports the first that matches, by index.
    pub fn from_hirs(hirs: &[Hir]) -> Result<Pattern, PatternFault> {
        let config = meta::Config::new().nfa_size_limit(Some(PATTERN_BYTES_MAX)).hybrid_cache_capacity(PATTERN_CACHE_BYTES);
        let built = meta::Builder::new().configure(config).build_many_from_hir(hirs);
        built.map(|regex| Pattern { regex, groups: None }).map_err(|e| PatternFault {
            at: 0,
            message: format!("pattern is too large: {e}"),
            help: "shorten the counted repetitions",
        })
    }

    /// The walk that finds its groups.
    #[inline]
    fn walk(&self) -> Option<&Walk> {
        let groups = self.groups.as_ref()?;
        groups.walk.get_or_init(|| Walk::new(&groups.hir)).as_ref()
    }

    /// Whether its groups are found by a walk.
    #[cfg(test)]
    pub fn is_walked(&self) -> bool {
        self.walk().is_some()
    }

    /// Whether it may match a text that begins with this byte, or is empty.
    pub fn may_match_from(&self, first: Option<u8>) -> bool {
        self.walk().is_none_or(|walk| walk.may_match_from(first))
    }

    /// Whether the pattern matches anywhere in the text.
    #[inline]
    pub fn matches(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// Appends the text with every match replaced. False, and nothing appended, where there is none.
    pub fn replace_all(&self, text: &[u8], with: &[u8], out: &mut Vec<u8>) -> bool {
        let mut at = 0;
        for found in self.regex.find_iter(text) {
            out.extend_from_slice(&text[at..found.start()]);
            out.extend_from_slice(with);
            at = found.end();
        }
        if at == 0 && out.is_empty() {
            return false;
        }
        out.extend_from_slice(&text[at..]);
        true
    }

    /// Names of the capture groups, by index; group 0 is the whole match.
    pub fn group_names(&self) -> Vec<Option<String>> {
        self.regex.group_info().pattern_names(regex_automata::PatternID::ZERO).map(|n| n.map(str::to_owned)).collect()
    }

    /// A place to find it in.
    pub fn found(&self) -> Found {
        // Now, and not at the first event.
        self.walk();
        let groups = self.regex.group_info().group_len(regex_automata::PatternID::ZERO);
        Found { slots: vec![UNSET; groups * 2], captures: self.regex.create_captures(), path: Path::default() }
    }

    /// Gives all matches with their groups, from left to right.
    pub fn each(&self, text: &[u8], mut take: impl FnMut(&Captures)) {
        self.regex.captures_iter(text).for_each(|captures| take(&captures));
    }

    /// Finds the leftmost match and its groups. Whether there is one.
    pub fn find(&self, text: &[u8], found: &mut Found) -> bool {
        let Found { captures, slots, path } = found;
        if let Some(is_match) = self.walk().and_then(|walk| walk.find(text, slots, path)) {
            return is_match;
        }
        self.regex.captures(text, captures);
        for (group, place) in slots.chunks_exact_mut(2).enumerate() {
            let span = captures.get_group(group);
            place.copy_from_slice(&span.map_or([UNSET; 2], |span| [span.start, span.end]));
        }
        captures.is_match()
    }
}

/// The shape of a pattern, or where it is wrong.
pub fn parse(pattern: &str) -> Result<Hir, PatternFault> {
    // Bytes that are not UTF-8 never reach a pattern, so Unicode classes are safe to keep.
    regex_syntax::ParserBuilder::new().nest_limit(100).utf8(true).build().parse(pattern).map_err(|error| {
        let (at, message) = match &error {
            regex_syntax::Error::Parse(e) => (e.span().start.offset, e.kind().to_string()),
            regex_syntax::Error::Translate(e) => (e.span().start.offset, e.kind().to_string()),
            other => (0, other.to_string()),
        };
        let message = message.lines().next().unwrap_or_default().to_owned();
        let help = if message.contains("look-around") || message.contains("backreference") {
            "matching is linear in the text here: say it with two conditions instead"
        } else {
            "the syntax is that of Rust's `regex`"
        };
        PatternFault { at: pattern.get(..at).map_or(0, |s| s.chars().count()), message, help }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_point_at_their_character() {
        assert_eq!(parse("é(a").unwrap_err().at, 1);
        assert!(parse("(?=a)b").unwrap_err().help.contains("two conditions"));
        assert!(Pattern::new("(((a{100}){100}){100})").is_err());
    }
}
