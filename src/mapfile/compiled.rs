//! A map file as indexes: which row is the first that matches an event.
use super::exact::{ExactIndex, is_whole};
use super::interval::IntervalIndex;
use super::regex_column::RegexColumn;
use super::rows::{Condition, Getter, GetterKind, MapFile, fold};

/// No row.
const NONE: u32 = u32::MAX;

/// A column, its rows with their patterns, and whether none of them has a further condition.
type RegexRows = (usize, Vec<(u32, regex_syntax::hir::Hir)>, bool);

/// A compiled map file.
#[derive(Debug)]
pub struct CompiledMap {
    /// The file.
    pub file: MapFile,
    exact: Vec<ExactIndex>,
    regex: Vec<RegexColumn>,
    intervals: Vec<IntervalIndex>,
    /// The first row without any condition.
    unconditional: u32,
    /// Per row, the conditions that its index does not decide.
    rest: Vec<Vec<u16>>,
    /// A bit for each row that has such conditions: most have none, and the bits stay in the cache.
    has_rest: Vec<u64>,
    folds: bool,
}

/// Scratch memory of one reader.
#[derive(Debug, Default)]
pub struct Scratch {
    folded: Vec<Option<String>>,
}

impl CompiledMap {
    /// Compiles a file.
    pub fn new(file: MapFile) -> CompiledMap {
        let mut map = CompiledMap {
            exact: Vec::new(),
            regex: Vec::new(),
            intervals: Vec::new(),
            unconditional: NONE,
            rest: Vec::new(),
            has_rest: Vec::new(),
            folds: file.getters.iter().any(|g| g.kind == GetterKind::Folded),
            file,
        };
        let mut regex_rows: Vec<RegexRows> = Vec::new();
        let mut interval_rows: Vec<(usize, Vec<u32>)> = Vec::new();
        for (number, row) in map.file.rows.iter().enumerate() {
            let number = number as u32;
            let present: Vec<usize> = (0..row.conditions.len()).filter(|i| !row.conditions[*i].is_anything()).collect();
            let keyed: Vec<(usize, bool)> = present.iter().filter_map(|i| key_column(*i, &row.conditions[*i])).collect();
            let decided = if !keyed.is_empty() {
                insert_exact(&mut map.exact, keyed, &row.conditions, number)
            } else if let Some((column, hir)) =
                present.iter().find_map(|i| if let Condition::Regex(_, hir) = &row.conditions[*i] { Some((*i, hir)) } else { None })
            {
                let alone = present.len() == 1;
                match regex_rows.iter_mut().find(|(c, ..)| *c == column) {
                    Some((_, rows, all_alone)) => {
                        rows.push((number, hir.clone()));
                        *all_alone &= alone;
                    }
                    None => regex_rows.push((column, vec![(number, hir.clone())], alone)),
                }
                vec![column]
            } else if let Some(column) = present.first() {
                match interval_rows.iter_mut().find(|(c, _)| c == column) {
                    Some((_, rows)) => rows.push(number),
                    None => interval_rows.push((*column, vec![number])),
                }
                vec![*column]
            } else {
                map.unconditional = map.unconditional.min(number);
                Vec::new()
            };
            map.rest.push(present.iter().filter(|i| !decided.contains(i)).map(|i| *i as u16).collect());
        }
        map.has_rest = map.rest.chunks(64).map(|rows| rows.iter().rev().fold(0, |bits, r| bits << 1 | u64::from(!r.is_empty()))).collect();
        map.regex = regex_rows.into_iter().map(|(column, rows, alone)| RegexColumn::new(column, rows, alone)).collect();
        let spans = |column: usize, row: u32| match &map.file.rows[row as usize].conditions[column] {
            Condition::Ranges(spans) => (row, spans.as_slice()),
            _ => (row, &[][..]),
        };
        map.intervals =
            interval_rows.iter().map(|(column, rows)| IntervalIndex::new(*column, rows.iter().map(|r| spans(*column, *r)))).collect();
        map
    }

    /// The first row that matches, given the canonical text of each getter's field.
    #[inline]
    pub fn find(&self, values: &[Option<&[u8]>], scratch: &mut Scratch) -> Option<u32> {
        let mut best = self.unconditional;
        if self.folds {
            self.fold(values, &mut scratch.folded);
        }
        for index in &self.exact {
            if let Some(rows) = index.find(values, &scratch.folded) {
                if rows.first() < best && self.rest_holds(rows.first(), values) {
                    best = rows.first();
                } else if let Some(row) = index.more(rows).iter().take_while(|row| **row < best).find(|row| self.rest_holds(**row, values))
                {
                    best = *row;
                }
            }
        }
        if !self.regex.is_empty() || !self.intervals.is_empty() {
            best = self.find_before(best, values);
        }
        (best != NONE).then_some(best)
    }

    #[inline(never)]
    fn fold(&self, values: &[Option<&[u8]>], folded: &mut Vec<Option<String>>) {
        let fold_of = |(getter, value): (&Getter, &Option<&[u8]>)| {
            let text = std::str::from_utf8((*value)?).ok()?;
            (getter.kind == GetterKind::Folded).then(|| fold(text))
        };
        folded.clear();
        folded.extend(self.file.getters.iter().zip(values).map(fold_of));
    }

    /// The first row that a pattern or a range finds before another.
    #[inline(never)]
    fn find_before(&self, mut best: u32, values: &[Option<&[u8]>]) -> u32 {
        for index in &self.regex {
            if let Some(value) = values[index.column] {
                index.first(value, &mut best, &mut |row| self.rest_holds(row, values));
            }
        }
        for index in &self.intervals {
            if let Some(value) = values[index.column] {
                index.each(value, |row| {
                    if row < best && self.rest_holds(row, values) {
                        best = row;
                    }
                });
            }
        }
        best
    }

    /// Whether the conditions hold that a row's index did not decide.
    #[inline]
    fn rest_holds(&self, row: u32, values: &[Option<&[u8]>]) -> bool {
        self.has_rest[row as usize / 64] >> (row % 64) & 1 == 0 || self.all_rest_holds(row, values)
    }

    #[inline(never)]
    fn all_rest_holds(&self, row: u32, values: &[Option<&[u8]>]) -> bool {
        self.rest[row as usize].iter().all(|column| {
            let column = usize::from(*column);
            let condition = &self.file.rows[row as usize].conditions[column];
            match condition {
                Condition::Regex(text, hir) => {
                    values[column].is_some_and(|value| self.rest_pattern(text, hir).is_some_and(|p| p.matches(value)))
                }
                other => other.holds(values[column], None),
            }
        })
    }

    /// The compiled pattern of a regex cell that no index holds; equal cells share one.
    fn rest_pattern(&self, text: &str, hir: &regex_syntax::hir::Hir) -> Option<std::sync::Arc<crate::pattern::Pattern>> {
        use std::cell::RefCell;
        thread_local! {
            static PATTERNS: RefCell<foldhash::HashMap<String, Option<std::sync::Arc<crate::pattern::Pattern>>>> = RefCell::default();
        }
        PATTERNS.with(|patterns| {
            let mut patterns = patterns.borrow_mut();
            if let Some(found) = patterns.get(text) {
                return found.clone();
            }
            let compiled = crate::pattern::Pattern::from_hirs(std::slice::from_ref(hir)).ok().map(std::sync::Arc::new);
            patterns.insert(text.to_owned(), compiled.clone());
            compiled
        })
    }

    /// Rows whose pattern holds no literal to look for: they cost the most.
    pub fn rows_without_literal(&self) -> Vec<u32> {
        self.regex.iter().flat_map(|r| r.without_literal()).copied().collect()
    }
}

fn key_column(i: usize, condition: &Condition) -> Option<(usize, bool)> {
    match condition {
        Condition::Exact(_) => Some((i, false)),
        Condition::Folded(_) => Some((i, true)),
        _ => None,
    }
}

fn insert_exact(indexes: &mut Vec<ExactIndex>, columns: Vec<(usize, bool)>, conditions: &[Condition], row: u32) -> Vec<usize> {
    let cells: Vec<&str> = columns
        .iter()
        .filter_map(|(i, _)| match &conditions[*i] {
            Condition::Exact(text) | Condition::Folded(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    // A long cell is found by its hash, and compared with the rest.
    let whole = |at: &usize| is_whole(cells[*at], *at, columns.len());
    let decided = (0..columns.len()).filter(whole).map(|at| columns[at].0).collect();
    let at = indexes.iter().position(|index| index.columns == columns).unwrap_or_else(|| {
        indexes.push(ExactIndex::new(columns));
        indexes.len() - 1
    });
    indexes[at].insert(&cells, row);
    decided
}
