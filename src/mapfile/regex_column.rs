//! Rows whose first condition is a pattern, for one column: literals decide which patterns are tried at all.
//!
//! Whole values, suffixes at a dot and literals are looked up; what needs a literal is tried only where that literal stands; patterns without one run together
//! as a single anchored automaton whose alternatives are in row order, so that its first match is the first row. No set of patterns is ever run as a set: its cache
//! would thrash by a factor of thousands on values never seen before.
use std::sync::OnceLock;

use daachorse::DoubleArrayAhoCorasick;
use foldhash::{HashMap, HashSet};
use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::{Dot, Hir, Repetition};

use super::shape::{Shape, shape};
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_CACHE_BYTES};
use crate::pattern::Pattern;

/// Places of literals in a value that are not noted: most values have fewer.
const FEW: usize = 32;

/// How a row that a literal points at is decided.
#[derive(Debug)]
enum Verify {
    /// The literal is all.
    Nothing,
    /// It must stand at the start.
    AtStart,
    /// It must stand at the end.
    AtEnd,
    /// The row's pattern must match.
    Pattern,
}

/// A row of the column.
#[derive(Debug)]
struct PatternRow {
    hir: Hir,
    compiled: OnceLock<Option<Pattern>>,
}

/// See the module.
pub struct RegexColumn {
    /// The getter.
    pub column: usize,
    exact: HashMap<Vec<u8>, Vec<u32>>,
    domains: HashMap<Vec<u8>, Vec<u32>>,
    /// Bytes of the longest of them: no longer suffix is looked up.
    longest_domain: usize,
    literals: Option<DoubleArrayAhoCorasick<u32>>,
    /// Rows that a literal points at.
    pointed: Vec<Vec<(u32, Verify)>>,
    /// Patterns without a literal, in row order, as one automaton.
    group: Option<meta::Regex>,
    /// Their rows.
    group_rows: Vec<u32>,
    /// Whether each row is decided by its pattern alone, so that the group's first match is final.
    group_alone: bool,
    patterns: HashMap<u32, PatternRow>,
}

impl std::fmt::Debug for RegexColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegexColumn({} literals, {} without)", self.pointed.len(), self.group_rows.len())
    }
}

impl RegexColumn {
    /// An index over rows and their patterns; `alone`: no row has a further condition.
    pub fn new(column: usize, rows: Vec<(u32, Hir)>, alone: bool) -> RegexColumn {
        let mut index = RegexColumn {
            column,
            exact: HashMap::default(),
            domains: HashMap::default(),
            longest_domain: 0,
            literals: None,
            pointed: Vec::new(),
            group: None,
            group_rows: Vec::new(),
            group_alone: alone,
            patterns: HashMap::default(),
        };
        let mut numbers: HashMap<Vec<u8>, usize> = HashMap::default();
        let mut opaque = Vec::new();
        for (row, hir) in rows {
            let mut point = |literal: Vec<u8>, verify: Verify| {
                if literal.is_empty() {
                    return false;
                }
                let fresh = numbers.len();
                let number = *numbers.entry(literal).or_insert(fresh);
                if number == index.pointed.len() {
                    index.pointed.push(Vec::new());
                }
                index.pointed[number].push((row, verify));
                true
            };
            let is_pointed = match shape(&hir) {
                Shape::Exact(text) => {
                    index.exact.entry(text).or_default().push(row);
                    true
                }
                Shape::DomainSuffix(text) => {
                    index.longest_domain = index.longest_domain.max(text.len());
                    index.domains.entry(text).or_default().push(row);
                    true
                }
                Shape::Prefix(text) => point(text, Verify::AtStart),
                Shape::Suffix(text) => point(text, Verify::AtEnd),
                Shape::Contains(text) => point(text, Verify::Nothing),
                Shape::Requires(texts) => texts.into_iter().all(|t| point(t, Verify::Pattern)),
                Shape::Opaque => false,
            };
            if !is_pointed {
                opaque.push((row, hir.clone()));
            }
            index.patterns.insert(row, PatternRow { hir, compiled: OnceLock::new() });
        }
        let mut ordered: Vec<(Vec<u8>, usize)> = numbers.into_iter().collect();
        ordered.sort_by_key(|(_, n)| *n);
        if !ordered.is_empty() {
            index.literals = DoubleArrayAhoCorasick::with_values(ordered.into_iter().map(|(l, n)| (l, n as u32))).ok();
        }
        index.group = group(opaque.iter().map(|(_, hir)| hir));
        index.group_rows = opaque.into_iter().map(|(row, _)| row).collect();
        index
    }

    /// Rows that no literal leads to.
    pub fn without_literal(&self) -> &[u32] {
        &self.group_rows
    }

    /// The compiled pattern of a row, made when it is first needed.
    pub fn pattern(&self, row: u32) -> Option<&Pattern> {
        let entry = self.patterns.get(&row)?;
        entry.compiled.get_or_init(|| Pattern::from_hirs(std::slice::from_ref(&entry.hir)).ok()).as_ref()
    }

    /// Lowers `best` to the first row whose pattern matches and that `verify` accepts.
    pub fn first(&self, value: &[u8], best: &mut u32, verify: &mut impl FnMut(u32) -> bool) {
        let offer = |row: u32, best: &mut u32, verify: &mut dyn FnMut(u32) -> bool| {
            if row < *best && verify(row) {
                *best = row;
            }
        };
        if let Some(rows) = self.exact.get(value) {
            rows.iter().for_each(|row| offer(*row, best, verify));
        }
        if !self.domains.is_empty() {
            let first_dot = value.len().saturating_sub(self.longest_domain + 1);
            let dots = memchr::memchr_iter(b'.', &value[first_dot..]).map(|at| first_dot + at + 1);
            let whole = (value.len() <= self.longest_domain).then_some(0);
            for from in whole.into_iter().chain(dots) {
                if let Some(rows) = self.domains.get(&value[from..]) {
                    rows.iter().for_each(|row| offer(*row, best, verify));
                }
            }
        }
        if let Some(literals) = &self.literals {
            // Where a value repeats a literal over and over, its rows are asked once more and then no longer: each may look at the whole value.
            let mut met = HashSet::default();
            for (count, found) in literals.find_overlapping_iter(value).enumerate() {
                let is_new = count < FEW || met.insert(found.value());
                if !is_new && found.end() != value.len() {
                    continue;
                }
                for (row, how) in &self.pointed[found.value() as usize] {
                    if *row >= *best || !is_new && !matches!(how, Verify::AtEnd) {
                        continue;
                    }
                    let holds = match how {
                        Verify::Nothing => true,
                        Verify::AtStart => found.start() == 0,
                        Verify::AtEnd => found.end() == value.len(),
                        Verify::Pattern => self.pattern(*row).is_some_and(|p| p.matches(value)),
                    };
                    if holds {
                        offer(*row, best, verify);
                    }
                }
            }
        }
        self.first_of_group(value, best, verify);
    }

    fn first_of_group(&self, value: &[u8], best: &mut u32, verify: &mut impl FnMut(u32) -> bool) {
        let Some(first) = self.group_rows.first().filter(|row| **row < *best) else { return };
        let mut from = *first;
        if let Some(group) = &self.group {
            let Some(found) = group.search_half(&Input::new(value).anchored(Anchored::Yes)) else { return };
            from = self.group_rows[found.pattern().as_usize()];
            if self.group_alone {
                if from < *best && verify(from) {
                    *best = from;
                }
                return;
            }
        }
        // Further conditions may refuse the first match: go on from it, row by row.
        for row in self.group_rows.iter().filter(|row| **row >= from) {
            if *row >= *best {
                return;
            }
            if self.pattern(*row).is_some_and(|p| p.matches(value)) && verify(*row) {
                *best = *row;
                return;
            }
        }
    }
}

/// One automaton for all patterns, each behind a lazy `.*?`: anchored, all matches begin at 0, so the first alternative wins.
fn group<'h>(patterns: impl Iterator<Item = &'h Hir>) -> Option<meta::Regex> {
    let any = Repetition { min: 0, max: None, greedy: false, sub: Box::new(Hir::dot(Dot::AnyChar)) };
    let lead = Hir::repetition(any);
    let hirs: Vec<Hir> = patterns.map(|hir| Hir::concat(vec![lead.clone(), hir.clone()])).collect();
    if hirs.is_empty() {
        return None;
    }
    let config = meta::Config::new().nfa_size_limit(Some(PATTERN_BYTES_MAX * 8)).hybrid_cache_capacity(PATTERN_CACHE_BYTES * 4);
    meta::Builder::new().configure(config).build_many_from_hir(&hirs).ok()
}
