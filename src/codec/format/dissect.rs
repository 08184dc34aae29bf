//! `dissect`: a line cut at fixed texts. `%{name}` takes what stands before the next text of the pattern, the last one all that is left.
//!
//! | key | takes |
//! |---|---|
//! | `%{name}` | the part, as the field |
//! | `%{}` `%{?name}` | nothing: the part is passed over |
//! | `%{+name}` | the part, put behind what the field has, with the text before it in between; `%{+name/2}`: at this place among its parts |
//! | `%{name->}` | the part; the text behind it, or the first character of that, may be repeated |

use super::{Decoder, Shape, Subject, Subjects, Wanted, lay_over, refuse};
use crate::event::{Batch, Kind, Slot, Span};
use crate::simd;

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// The field; empty: passed over.
    name: String,
    /// Appended at this place among the parts of its field.
    order: Option<u32>,
    /// The text that follows; empty: the line's end.
    until: String,
    repeats: bool,
}

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DissectPattern {
    /// The text before the first part.
    prefix: String,
    parts: Vec<Part>,
}

impl DissectPattern {
    /// Reads a pattern. A fault has its place, in characters.
    pub fn parse(pattern: &str) -> Result<DissectPattern, (usize, String)> {
        let column = |at: usize| pattern[..at].chars().count();
        let mut at = pattern.find("%{").ok_or((0, "the pattern takes nothing: it has no `%{name}`".to_owned()))?;
        let prefix = pattern[..at].to_owned();
        let mut parts: Vec<Part> = Vec::new();
        while at < pattern.len() {
            let end = pattern[at..].find('}').map(|n| at + n).ok_or((column(at), "`%{` without its `}`".to_owned()))?;
            let next = pattern[end..].find("%{").map_or(pattern.len(), |n| end + n);
            let mut key = &pattern[at + 2..end];
            let repeats = key.ends_with("->");
            key = key.strip_suffix("->").unwrap_or(key);
            if key.starts_with(['*', '&']) {
                return Err((
                    column(at + 2),
                    "names that the line gives (`*` and `&`) are not taken here: format `kv` does that".to_owned(),
                ));
            }
            let (mut name, mut order) = (key, None);
            if let Some(appended) = key.strip_prefix('+') {
                let (base, place) = appended.split_once('/').unwrap_or((appended, "0"));
                let place =
                    place.parse().map_err(|_| (column(at + 2), format!("`{place}` is no place: a number is expected behind `/`")))?;
                (name, order) = (base, Some(place));
            }
            let name = if name.starts_with('?') { "" } else { name };
            let until = pattern[end + 1..next].to_owned();
            if until.is_empty() && next < pattern.len() {
                return Err((column(next), "nothing stands between these two parts: the line could not be cut here".to_owned()));
            }
            parts.push(Part { name: name.to_owned(), order, until, repeats });
            at = next;
        }
        Ok(DissectPattern { prefix, parts })
    }

    /// What the format yields: the fields of the pattern.
    pub fn shape(&self) -> (Shape, Vec<String>) {
        let mut names: Vec<String> = Vec::new();
        for part in self.parts.iter().filter(|p| !p.name.is_empty()) {
            if !names.contains(&part.name) {
                names.push(part.name.clone());
            }
        }
        (Shape::Named, names)
    }
}

/// A field that several parts make.
struct Joined {
    slot: Slot,
    /// The parts in order, each with what stands before it.
    parts: Vec<(usize, String)>,
}

/// See the module.
pub struct DissectDecoder {
    pattern: DissectPattern,
    /// By part: the slot of a field of its own.
    slots: Vec<Option<Slot>>,
    joined: Vec<Joined>,
    found: Vec<(usize, usize)>,
    wanted: Wanted,
    subjects: Subjects,
}

impl DissectDecoder {
    /// A decoder for what the plan wants.
    pub fn new(pattern: DissectPattern, wanted: Wanted) -> DissectDecoder {
        let parts = &pattern.parts;
        let (mut slots, mut joined) = (vec![None; parts.len()], Vec::new());
        for name in pattern.shape().1 {
            let Some(slot) = wanted.slot(&name) else { continue };
            let mut own: Vec<usize> = (0..parts.len()).filter(|i| parts[*i].name == name).collect();
            match own.as_slice() {
                [only] => slots[*only] = Some(slot),
                _ => {
                    own.sort_by_key(|i| parts[*i].order.unwrap_or(0));
                    let before = |i: usize| parts[i.saturating_sub(1)].until.clone();
                    joined.push(Joined { slot, parts: own.into_iter().map(|i| (i, before(i))).collect() });
                }
            }
        }
        DissectDecoder { pattern, slots, joined, found: Vec::new(), wanted, subjects: Subjects::default() }
    }
}

impl Decoder for DissectDecoder {
    fn decode(&mut self, batch: &mut Batch, rows: &[u16], subject: Subject) {
        let DissectDecoder { pattern, slots, joined, found, wanted, subjects } = self;
        lay_over(batch, wanted);
        subjects.each(batch, rows, subject, true, |batch, row, at, bytes| {
            let Some(line) = bytes else { return refuse(batch, row, wanted, "no text to decode") };
            if !cut(pattern, line, found) {
                return refuse(batch, row, wanted, "the line does not fit the pattern");
            }
            let row = usize::from(row);
            for (slot, (from, to)) in slots.iter().zip(found.iter()) {
                if let Some(slot) = slot {
                    batch.set(*slot, row, Span::part(Kind::Text, at + from, to - from));
                }
            }
            for field in joined.iter() {
                let value = batch.derive_with(Kind::Text, |out| {
                    for (i, (part, before)) in field.parts.iter().enumerate() {
                        if i > 0 {
                            out.extend_from_slice(before.as_bytes());
                        }
                        out.extend_from_slice(&line[found[*part].0..found[*part].1]);
                    }
                });
                batch.set(field.slot, row, value);
            }
        });
    }
}

/// Finds where the parts of a line lie. What stands behind the last text of the pattern is passed over.
fn cut(pattern: &DissectPattern, line: &[u8], found: &mut Vec<(usize, usize)>) -> bool {
    found.clear();
    if !line.starts_with(pattern.prefix.as_bytes()) {
        return false;
    }
    let mut at = pattern.prefix.len();
    for part in &pattern.parts {
        let (until, len) = (part.until.as_bytes(), part.until.len());
        let mut end = line.len();
        if let Some(first) = until.first() {
            end = simd::find_near(line, at, [*first]);
            while line.get(end..end + len).is_none_or(|found| len > 1 && found != until) {
                if end >= line.len() {
                    return false;
                }
                end = simd::find_near(line, end + 1, [*first]);
            }
        }
        let padding = if part.repeats { line[at..end].iter().rev().take_while(|b| Some(*b) == until.first()).count() } else { 0 };
        found.push((at, end - padding));
        at = end + len;
        while part.repeats && len > 0 && line[at..].starts_with(part.until.as_bytes()) {
            at += len;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bad_patterns_say_where() {
        assert_eq!(DissectPattern::parse("plain").unwrap_err().0, 0);
        assert_eq!(DissectPattern::parse("é %{a").unwrap_err().0, 2);
        assert_eq!(DissectPattern::parse("%{a}%{b}").unwrap_err().0, 4);
        assert_eq!(DissectPattern::parse("%{a} %{+a/x}").unwrap_err().0, 7);
        assert_eq!(DissectPattern::parse("%{*k}=%{&k}").unwrap_err().0, 2);
    }

    proptest! {
        #[test]
        fn what_was_joined_is_cut_again(values in prop::collection::vec("[a-z]{0,5}", 1..6), pads in 1usize..4) {
            let names: Vec<String> = (0..values.len()).map(|i| format!("%{{f{i}->}}")).collect();
            let pattern = DissectPattern::parse(&format!("<{}", names.join(", "))).unwrap();
            let line = format!("<{}", values.join(&", ".repeat(pads)));
            let mut found = Vec::new();
            let fits = cut(&pattern, line.as_bytes(), &mut found);
            // An empty value and repeated separators cannot be told apart.
            if values.iter().all(|v| !v.is_empty()) {
                prop_assert!(fits);
                let again: Vec<&str> = found.iter().map(|(from, to)| &line[*from..*to]).collect();
                prop_assert_eq!(again, values);
            }
            prop_assert!(!cut(&pattern, &line.as_bytes()[1..], &mut found));
        }
    }
}
