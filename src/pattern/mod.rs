//! Regular expressions: linear-time, bounded in memory, refused at load with the place of the fault.
//!
//! The syntax is that of the `regex` crate: no lookaround, no backreferences. Matching is unanchored and case-sensitive.
use regex_automata::meta;
use regex_syntax::hir::Hir;

use crate::limits::{PATTERN_BYTES_MAX, PATTERN_CACHE_BYTES};

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    regex: meta::Regex,
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
        Pattern::from_hirs(&[parse(pattern)?])
    }

    /// Compiles several shapes into one pattern that reports the first that matches, by index.
    pub fn from_hirs(hirs: &[Hir]) -> Result<Pattern, PatternFault> {
        let config = meta::Config::new().nfa_size_limit(Some(PATTERN_BYTES_MAX)).hybrid_cache_capacity(PATTERN_CACHE_BYTES);
        let built = meta::Builder::new().configure(config).build_many_from_hir(hirs);
        built.map(|regex| Pattern { regex }).map_err(|e| PatternFault {
            at: 0,
            message: format!("pattern is too large: {e}"),
            help: "shorten the counted repetitions",
        })
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

    /// A place to put captures in.
    pub fn captures(&self) -> regex_automata::util::captures::Captures {
        self.regex.create_captures()
    }

    /// Gives all matches with their groups, from left to right.
    pub fn each(&self, text: &[u8], mut take: impl FnMut(&regex_automata::util::captures::Captures)) {
        self.regex.captures_iter(text).for_each(|captures| take(&captures));
    }

    /// Finds the leftmost match and its groups.
    pub fn find(&self, text: &[u8], captures: &mut regex_automata::util::captures::Captures) {
        self.regex.captures(text, captures);
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
