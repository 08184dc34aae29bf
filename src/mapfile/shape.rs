//! The shape of a pattern: which literal text must be there, and whether that alone decides.
use regex_syntax::hir::{Hir, HirKind, Look};

/// Shortest literal that is worth a prefilter of its own.
const LITERAL_MIN: usize = 3;
/// Most alternatives that are looked for.
const ALTERNATIVES_MAX: usize = 32;

/// What is known of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `^text$`
    Exact(Vec<u8>),
    /// `^text`
    Prefix(Vec<u8>),
    /// `text$`
    Suffix(Vec<u8>),
    /// `(^|\.)text$`: the text, or anything that ends in a dot and the text.
    DomainSuffix(Vec<u8>),
    /// `text`
    Contains(Vec<u8>),
    /// One of these must be there, and the pattern decides.
    Requires(Vec<Vec<u8>>),
    /// Nothing is known.
    Opaque,
}

/// Finds the shape of a pattern.
pub fn shape(hir: &Hir) -> Shape {
    let parts = parts(hir);
    let (start, rest) = match parts.split_first() {
        Some((first, rest)) if is_look(first, Look::Start) => (true, rest),
        _ => (false, parts.as_slice()),
    };
    let (end, rest) = match rest.split_last() {
        Some((last, rest)) if is_look(last, Look::End) => (true, rest),
        _ => (false, rest),
    };
    if let [Part::Literal(text)] = rest {
        let text = text.clone();
        return match (start, end) {
            (true, true) => Shape::Exact(text),
            (true, false) => Shape::Prefix(text),
            (false, true) => Shape::Suffix(text),
            (false, false) => Shape::Contains(text),
        };
    }
    if let (false, true, [Part::Other(first), Part::Literal(text)]) = (start, end, rest)
        && is_label_start(first)
    {
        return Shape::DomainSuffix(text.clone());
    }
    if let Some(required) = required(&parts) { Shape::Requires(required) } else { Shape::Opaque }
}

enum Part<'h> {
    Literal(Vec<u8>),
    Other(&'h Hir),
}

/// The pattern as a row of parts, neighbouring literals joined.
fn parts(hir: &Hir) -> Vec<Part<'_>> {
    let mut out: Vec<Part<'_>> = Vec::new();
    flatten(hir, &mut out);
    out
}

fn flatten<'h>(hir: &'h Hir, out: &mut Vec<Part<'h>>) {
    match hir.kind() {
        HirKind::Concat(items) => items.iter().for_each(|i| flatten(i, out)),
        HirKind::Capture(capture) if matches!(capture.sub.kind(), HirKind::Literal(_) | HirKind::Concat(_)) => flatten(&capture.sub, out),
        HirKind::Empty => {}
        HirKind::Literal(literal) => match out.last_mut() {
            Some(Part::Literal(text)) => text.extend_from_slice(&literal.0),
            _ => out.push(Part::Literal(literal.0.to_vec())),
        },
        _ => out.push(Part::Other(hir)),
    }
}

fn is_look(part: &Part<'_>, look: Look) -> bool {
    matches!(part, Part::Other(hir) if *hir.kind() == HirKind::Look(look))
}

/// `(^|\.)`
fn is_label_start(hir: &Hir) -> bool {
    let hir = match hir.kind() {
        HirKind::Capture(capture) => &capture.sub,
        _ => hir,
    };
    let HirKind::Alternation(items) = hir.kind() else { return false };
    let is_dot = |h: &Hir| matches!(h.kind(), HirKind::Literal(l) if *l.0 == *b".");
    let is_start = |h: &Hir| *h.kind() == HirKind::Look(Look::Start);
    items.len() == 2 && items.iter().any(is_dot) && items.iter().any(is_start)
}

/// Literals one of which every match holds: the longest run, or the best of each alternative.
fn required(parts: &[Part<'_>]) -> Option<Vec<Vec<u8>>> {
    let mut best: Option<Vec<Vec<u8>>> = None;
    for part in parts {
        let found = match part {
            Part::Literal(text) if text.len() >= LITERAL_MIN => Some(vec![text.clone()]),
            Part::Literal(_) => None,
            Part::Other(hir) => required_of(hir),
        };
        let shortest = |set: &Vec<Vec<u8>>| set.iter().map(Vec::len).min().unwrap_or(0);
        if let Some(found) = found
            && best.as_ref().is_none_or(|b| shortest(&found) > shortest(b))
        {
            best = Some(found);
        }
    }
    best
}

fn required_of(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Capture(capture) => required(&parts(&capture.sub)),
        HirKind::Repetition(repetition) if repetition.min > 0 => required(&parts(&repetition.sub)),
        HirKind::Alternation(items) => {
            let mut all = Vec::new();
            for item in items {
                all.extend(required(&parts(item))?);
            }
            (all.len() <= ALTERNATIVES_MAX).then_some(all)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let of = |p: &str| shape(&crate::pattern::parse(p).unwrap());
        let text = |t: &str| t.as_bytes().to_vec();
        assert_eq!(of("^abc$"), Shape::Exact(text("abc")));
        assert_eq!(of(r"\.evil\.com$"), Shape::Suffix(text(".evil.com")));
        assert_eq!(of(r"(^|\.)evil\.com$"), Shape::DomainSuffix(text("evil.com")));
        assert_eq!(of(r"(?:^|\.)evil\.com$"), Shape::DomainSuffix(text("evil.com")));
        assert_eq!(of("log"), Shape::Contains(text("log")));
        assert_eq!(of(r"\d+-update-[a-z]+"), Shape::Requires(vec![text("-update-")]));
        assert_eq!(of("(abc|defg)x*"), Shape::Requires(vec![text("abc"), text("defg")]));
        assert_eq!(of("(abc|d)"), Shape::Opaque);
        assert_eq!(of(r"\d+"), Shape::Opaque);
    }
}
