//! Rows that can never be reached: duplicates, and rows that an earlier row covers.
use std::collections::HashMap;

use super::rows::{Condition, MapFile, Span};
use super::shape::{Shape, shape};
use crate::diagnostic::{Diagnostic, Place};
use crate::pattern::Pattern;

/// Pairs of rows that are compared one by one; beyond it only duplicates are looked for, so that a large file still loads at once.
const PAIRS_MAX: usize = 4_000_000;

/// Reports duplicate and shadowed rows.
pub fn lint(file: &MapFile, place: &Place, faults: &mut Vec<Diagnostic>) {
    let at = |line: usize| Place { line, column: 1, ..place.clone() };
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut rows: Vec<usize> = Vec::new();
    for (i, row) in file.rows.iter().enumerate() {
        let key = format!("{:?}", row.conditions.iter().map(text_of).collect::<Vec<_>>());
        if let Some(first) = seen.get(&key) {
            let message = format!("the conditions of this row stand in line {first} already");
            faults.push(Diagnostic::warning(&at(row.line), "duplicate_row", message).help("the first matching row wins: remove one"));
        } else {
            seen.insert(key, row.line);
            rows.push(i);
        }
    }
    // Only a row with something wider than exact cells can cover another one.
    let wide: Vec<usize> =
        rows.iter().copied().filter(|i| !file.rows[*i].conditions.iter().all(|c| matches!(c, Condition::Exact(_)))).collect();
    if wide.len().saturating_mul(rows.len()) > PAIRS_MAX {
        return;
    }
    let patterns: HashMap<&str, Pattern> = wide
        .iter()
        .flat_map(|i| &file.rows[*i].conditions)
        .filter_map(|c| {
            if let Condition::Regex(text, hir) = c {
                Some((text.as_str(), Pattern::from_hirs(std::slice::from_ref(hir)).ok()?))
            } else {
                None
            }
        })
        .collect();
    for later in &rows {
        let covering = wide.iter().take_while(|w| *w < later).find(|w| {
            let pairs = file.rows[**w].conditions.iter().zip(&file.rows[*later].conditions);
            pairs.into_iter().all(|(a, b)| covers(a, b, &patterns))
        });
        if let Some(first) = covering {
            let message = format!("the row in line {} matches all that this row matches", file.rows[*first].line);
            faults.push(
                Diagnostic::warning(&at(file.rows[*later].line), "shadowed_row", message)
                    .help("the first matching row wins: move this row up"),
            );
        }
    }
}

fn text_of(condition: &Condition) -> String {
    match condition {
        Condition::Anything => String::new(),
        Condition::Exact(t) => format!("={t}"),
        Condition::Folded(t) => format!("~{t}"),
        Condition::Regex(t, _) => format!("/{t}"),
        Condition::Ranges(spans) => format!("{spans:?}"),
    }
}

/// Whether every value that meets `b` meets `a`, as far as that is easily seen.
fn covers(a: &Condition, b: &Condition, patterns: &HashMap<&str, Pattern>) -> bool {
    match (a, b) {
        (Condition::Anything, _) => true,
        (_, Condition::Anything) => false,
        (Condition::Exact(a), Condition::Exact(b)) => a == b,
        (Condition::Folded(a), Condition::Folded(b)) => a == b,
        (Condition::Folded(a), Condition::Exact(b)) => *a == super::rows::fold(b),
        (Condition::Regex(a, _), Condition::Exact(b)) => patterns.get(a.as_str()).is_some_and(|p| p.matches(b.as_bytes())),
        (Condition::Regex(a, shape_a), Condition::Regex(b, shape_b)) => a == b || literal_covers(&shape(shape_a), &shape(shape_b)),
        (Condition::Ranges(a), Condition::Exact(b)) => a.iter().any(|s| s.contains(b.as_bytes())),
        (Condition::Ranges(a), Condition::Ranges(b)) => b.iter().all(|inner| a.iter().any(|outer| span_covers(outer, inner))),
        _ => false,
    }
}

/// Prefix in prefix, suffix in suffix, and literals that hold one another.
fn literal_covers(a: &Shape, b: &Shape) -> bool {
    let holds = |text: &[u8], part: &[u8]| memchr::memmem::find(text, part).is_some();
    match (a, b) {
        (Shape::Prefix(a), Shape::Prefix(b) | Shape::Exact(b)) => b.starts_with(a),
        (Shape::Suffix(a), Shape::Suffix(b) | Shape::Exact(b)) => b.ends_with(a),
        (Shape::DomainSuffix(a), Shape::DomainSuffix(b)) => a == b || (b.ends_with(a) && b[..b.len() - a.len()].ends_with(b".")),
        (Shape::Contains(a), Shape::Contains(b) | Shape::Exact(b) | Shape::Prefix(b) | Shape::Suffix(b) | Shape::DomainSuffix(b)) => {
            holds(b, a)
        }
        _ => false,
    }
}

fn span_covers(outer: &Span, inner: &Span) -> bool {
    match (outer, inner) {
        (Span::Addresses(a, b), Span::Addresses(c, d)) => a <= c && d <= b,
        (Span::Numbers(a, b), Span::Numbers(c, d)) => {
            a.compare(*c).is_some_and(std::cmp::Ordering::is_le) && d.compare(*b).is_some_and(std::cmp::Ordering::is_le)
        }
        _ => false,
    }
}
