//! Many constants that a value may equal: found by the value, so that a thousand cost what ten do.
use bumpalo::Bump;
use foldhash::{HashMap, HashSet};

use super::array::elements;
use super::eval::Constant;
use crate::event::Value;
use crate::event::value::{Num, parse_number};

/// From so many constants on, a set is faster than one look at each.
pub const MANY: usize = 8;

/// See the module. It agrees with [`super::compare::holds`] for each constant.
#[derive(Debug, Default)]
pub struct ConstantSet {
    texts: HashSet<Box<[u8]>>,
    /// By the bits of the decimal: each number, and whether a text spells it. Texts are compared with texts by their bytes.
    numbers: HashMap<u64, Vec<(Num, bool)>>,
    /// Whether a text may be asked for as a number.
    reads_texts: bool,
    truths: Vec<bool>,
}

impl ConstantSet {
    /// Adds a constant.
    pub fn insert(&mut self, constant: Constant) {
        match constant {
            Constant::Bool(truth) => self.truths.push(truth),
            Constant::Int(number) => self.insert_number(Num::Int(number), false),
            Constant::Float(number) => self.insert_number(Num::Float(number), false),
            Constant::Text(text) => {
                if let Some(number) = parse_number(&text) {
                    self.insert_number(number, true);
                }
                self.texts.insert(text);
            }
            Constant::Absent => {}
        }
    }

    fn insert_number(&mut self, number: Num, is_text: bool) {
        self.reads_texts |= !is_text;
        self.numbers.entry(number.bits()).or_default().push((number, is_text));
    }

    /// Whether a value, or some element of an array, equals one of them.
    #[inline]
    pub fn contains<'a>(&self, value: Value<'a>, bump: &'a Bump) -> bool {
        match value {
            Value::Absent => false,
            Value::Bool(truth) => self.truths.contains(&truth),
            Value::Text(text) => self.texts.contains(text) || self.reads_texts && self.has_number(parse_number(text), false),
            Value::Int(_) | Value::Float(_) | Value::Number(_) => self.has_number(value.number(), true),
            Value::Json(_) => elements(value, bump).is_some_and(|mut items| items.any(|item| self.contains(item, bump))),
        }
    }

    fn has_number(&self, asked: Option<Num>, may_be_text: bool) -> bool {
        let equals = |asked: Num| {
            let alike = self.numbers.get(&asked.bits());
            alike.is_some_and(|all| {
                all.iter().any(|(own, is_text)| (may_be_text || !is_text) && own.compare(asked).is_some_and(|order| order.is_eq()))
            })
        };
        asked.is_some_and(equals)
    }
}
