//! Which rules an event may be a hit of. Rules that want a field to have a value are found by the value, so that hundreds of them cost little more than a few:
//! an event goes only to those whose `where` it may fulfil, and they ask it all the same.
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::component::operator::{Operator, Outputs};
use crate::event::value::{Num, parse_number};
use crate::event::{Batch, Slot, Value};
use crate::expr::ast::{Binary, Expr, Node, Truth};

/// A value that a rule wants a field to have.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// A text.
    Text(Box<[u8]>),
    /// A number, whole or not.
    Number(Num),
}

impl Wanted {
    fn of(node: &Node) -> Option<Wanted> {
        match node {
            Node::Text(text) => Some(Wanted::Text(text.as_bytes().into())),
            Node::Int(number) => Some(Wanted::Number(Num::Int(*number))),
            Node::Float(number) => Some(Wanted::Number(Num::Float(*number))),
            _ => None,
        }
    }
}

/// What parts of a condition want of fields: one of these values, or it is not true.
pub fn wants(condition: &Expr) -> Vec<(String, Vec<Wanted>)> {
    match &condition.node {
        Node::Truth(Truth::All, parts) => parts.iter().flat_map(wants).collect(),
        Node::Truth(Truth::Any, sides) => {
            let mut sides = sides.iter().map(wants);
            let mut common = sides.next().unwrap_or_default();
            for own in sides {
                common.retain_mut(|(field, values)| {
                    let more = own.iter().find(|(other, _)| other == field);
                    more.iter().for_each(|(_, more)| values.extend_from_slice(more));
                    more.is_some()
                });
            }
            common
        }
        _ => want(condition).into_iter().collect(),
    }
}

/// What a comparison wants of its field.
fn want(comparison: &Expr) -> Option<(String, Vec<Wanted>)> {
    match &comparison.node {
        Node::Binary(Binary::Equal, a, b) => match (&a.node, &b.node) {
            (Node::Name(field), other) | (other, Node::Name(field)) => Some((field.clone(), vec![Wanted::of(other)?])),
            _ => None,
        },
        Node::Binary(Binary::In, a, b) => match (&a.node, &b.node) {
            (Node::Name(field), Node::List(items)) => {
                Some((field.clone(), items.iter().map(|item| Wanted::of(&item.node)).collect::<Option<_>>()?))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The rules that want something of one field.
#[derive(Clone)]
struct FieldIndex {
    slot: Slot,
    texts: HashMap<Box<[u8]>, Vec<u16>, RandomState>,
    /// By the bits of the number: also those of texts that spell one.
    numbers: HashMap<u64, Vec<u16>, RandomState>,
    /// Whether a text may be wanted as a number.
    reads_texts_as_numbers: bool,
    /// All of them: for values that may be equal to others in ways that are not looked up.
    all: Vec<u16>,
}

impl FieldIndex {
    fn of(slot: Slot) -> FieldIndex {
        FieldIndex { slot, texts: HashMap::default(), numbers: HashMap::default(), reads_texts_as_numbers: false, all: Vec::new() }
    }

    fn add(&mut self, wanted: &Wanted, rule: u16) {
        if self.all.last() != Some(&rule) {
            self.all.push(rule);
        }
        let number = match wanted {
            Wanted::Text(text) => {
                self.texts.entry(text.clone()).or_default().push(rule);
                parse_number(text)
            }
            Wanted::Number(number) => {
                self.reads_texts_as_numbers = true;
                Some(*number)
            }
        };
        if let Some(number) = number {
            self.numbers.entry(number.bits()).or_default().push(rule);
        }
    }

    /// Gives an event to the rules that may want it.
    #[inline]
    fn give(&self, value: Value<'_>, mut give: impl FnMut(&[u16])) {
        match value {
            Value::Absent => {}
            Value::Text(text) => {
                self.texts.get(text).into_iter().for_each(|rules| give(rules));
                if self.reads_texts_as_numbers
                    && let Some(number) = parse_number(text)
                {
                    self.numbers.get(&number.bits()).into_iter().for_each(|rules| give(rules));
                }
            }
            Value::Number(text) => match parse_number(text) {
                Some(number) => self.numbers.get(&number.bits()).into_iter().for_each(|rules| give(rules)),
                None => give(&self.all),
            },
            _ => give(&self.all),
        }
    }
}

/// See the module. The output of rule N is N + 1: there is no main one.
#[derive(Clone, Default)]
pub struct Candidates {
    fields: Vec<FieldIndex>,
}

impl Candidates {
    /// A rule wants a field to have one of some values.
    pub fn add(&mut self, slot: Slot, wanted: &[Wanted], rule: u16) {
        let at = self.fields.iter().position(|field| field.slot == slot).unwrap_or_else(|| {
            self.fields.push(FieldIndex::of(slot));
            self.fields.len() - 1
        });
        wanted.iter().for_each(|wanted| self.fields[at].add(wanted, rule));
    }
}

impl Operator for Candidates {
    fn on_batch(&mut self, batch: &mut Batch, rows: &[u16], out: &mut Outputs) {
        for field in &self.fields {
            batch.resolve(field.slot);
            for row in rows {
                field.give(batch.value(field.slot, usize::from(*row)), |rules| {
                    for rule in rules {
                        // A rule may want a value in more than one way.
                        let rows = &mut out.rows[usize::from(*rule) + 1];
                        if rows.last() != Some(row) {
                            rows.push(*row);
                        }
                    }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;
    use proptest::prelude::*;

    use super::*;
    use crate::expr;
    use crate::expr::{Environment, Row};
    use std::sync::Arc;

    struct One;

    impl Environment for One {
        fn slot(&mut self, name: &str) -> Option<Slot> {
            (name == "f").then_some(Slot(0))
        }
        fn table(&mut self, _: &str, _: bool) -> Option<Arc<crate::table::Handle<crate::table::Table>>> {
            None
        }
        fn tables(&self, _: bool) -> Vec<String> {
            Vec::new()
        }
    }

    struct Of<'v>(Value<'v>);

    impl Row for Of<'_> {
        fn value(&self, _: Slot) -> Value<'_> {
            self.0
        }
    }

    const TEXTS: &[&str] =
        &["a", "7", "7.0", "-0", "0", "1e1", "10", "x y", "", "9007199254740993", "9007199254740992", "true", "[7]", "[\"a\"]"];

    proptest! {
        #[test]
        fn no_rule_misses_an_event_that_fulfils_its_condition(
            wanted in prop::collection::vec((0usize..TEXTS.len(), 0usize..TEXTS.len(), 0u8..6), 1..12), asked in 0usize..TEXTS.len(), kind in 0u8..4)
        {
            let quoted = |at: usize| format!("{:?}", TEXTS[at]);
            let number = |at: usize| if parse_number(TEXTS[at].as_bytes()).is_some() && !TEXTS[at].starts_with('-') { TEXTS[at].to_owned() } else { quoted(at) };
            let conditions: Vec<String> = wanted.iter().map(|(a, b, form)| match form {
                0 => format!("f == {}", quoted(*a)),
                1 => format!("{} == f && f != \"zz\"", number(*a)),
                2 => format!("f in [{}, {}]", quoted(*a), number(*b)),
                3 => format!("f == {} && f in [{}]", number(*a), quoted(*a)),
                4 => format!("(f == {} && f != \"zz\") || f == {}", quoted(*a), number(*b)),
                _ => format!("(f in [{}, {}] && f == {}) || (f == {} && f != 5)", number(*a), quoted(*a), number(*a), quoted(*b)),
            }).collect();
            let text = TEXTS[asked].as_bytes();
            let value = match kind {
                0 => Value::Text(text),
                1 if parse_number(text).is_some() => Value::Number(text),
                2 if text.starts_with(b"[") => Value::Json(text),
                _ => Value::Bool(true),
            };
            // A rule may be found by whatever it wants: by the first here, by the last there.
            let mut found = [Vec::new(), Vec::new()];
            for (from, found) in found.iter_mut().enumerate() {
                let mut index = FieldIndex::of(Slot(0));
                for (rule, condition) in conditions.iter().enumerate() {
                    let all = wants(&expr::parse(condition).unwrap());
                    prop_assert!(!all.is_empty());
                    all[from * (all.len() - 1)].1.iter().for_each(|wanted| index.add(wanted, rule as u16));
                }
                index.give(value, |rules| found.extend_from_slice(rules));
            }
            let bump = Bump::new();
            for (rule, condition) in conditions.iter().enumerate() {
                let program = expr::compile_truth(&expr::parse(condition).unwrap(), &mut One).unwrap();
                if program.holds(&Of(value), &bump) {
                    prop_assert!(found.iter().all(|found| found.contains(&(rule as u16))), "{condition} {value:?}");
                }
            }
        }
    }
}
