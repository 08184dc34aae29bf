//! Evaluating a compiled expression over one row. Values borrow from the row, the program or a bump that is reset per batch.
use std::sync::{Arc, PoisonError};

use bumpalo::Bump;
use memchr::memmem::Finder;

use super::array::elements;
use super::ast::Binary;
use super::compare::holds;
use super::functions;
use super::set::ConstantSet;
use crate::clock::{NEVER, Timestamp};
use crate::event::address::{Network, parse_address};
use crate::event::value::Num;
use crate::event::{Slot, Value};
use crate::list::{Entry, List, SharedList};
use crate::pattern::Pattern;
use crate::table::rows::KEY_SEPARATOR;
use crate::table::{Local, Table};

/// Something that has fields: a row of a batch, or the hit of a rule.
pub trait Row {
    /// A field, escapes resolved.
    fn value(&self, slot: Slot) -> Value<'_>;
    /// The time at which lists are read.
    fn time(&self) -> Timestamp {
        NEVER
    }
    /// A copy of a list that its reader keeps.
    fn list(&self, _number: u16) -> Option<&List> {
        None
    }
}

/// A row of a batch whose read columns are resolved.
pub struct BatchRow<'b> {
    /// The batch.
    pub batch: &'b crate::event::Batch,
    /// The row.
    pub row: usize,
}

impl Row for BatchRow<'_> {
    #[inline(always)]
    fn value(&self, slot: Slot) -> Value<'_> {
        self.batch.value(slot, self.row)
    }

    fn time(&self) -> Timestamp {
        self.batch.times[self.row]
    }
}

/// Which copy of a list is read.
#[derive(Clone, Debug)]
pub enum ListRef {
    /// That of the reader, by number: as of the row's place in the order.
    Own(u16),
    /// One for all: as it is when it is read.
    Shared(Arc<SharedList>),
}

impl ListRef {
    /// What is made of the entry of a key, if there is one.
    fn entry<'a, R: Row, T>(&self, keys: &'a [Op], row: &'a R, bump: &'a Bump, made: impl Fn(&Entry) -> T) -> Option<T> {
        let mut key = bumpalo::collections::Vec::new_in(bump);
        if !key_of(keys, row, bump, &mut |part| key.extend_from_slice(part)) {
            return None;
        }
        match self {
            ListRef::Own(number) => row.list(*number)?.find(&key, row.time(), made),
            ListRef::Shared(list) => list.read().unwrap_or_else(PoisonError::into_inner).find(&key, row.time(), made),
        }
    }
}

/// A constant that owns its text.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A truth.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A decimal.
    Float(f64),
    /// A text.
    Text(Box<[u8]>),
    /// Nothing: a field that cannot exist here.
    Absent,
}

impl Constant {
    fn value(&self) -> Value<'_> {
        match self {
            Constant::Bool(b) => Value::Bool(*b),
            Constant::Int(i) => Value::Int(*i),
            Constant::Float(f) => Value::Float(*f),
            Constant::Text(t) => Value::Text(t),
            Constant::Absent => Value::Absent,
        }
    }
}

/// How two texts are asked about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextTest {
    /// Begins with.
    StartsWith,
    /// Ends with.
    EndsWith,
    /// Holds.
    Contains,
}

/// A step of a program.
#[derive(Clone, Debug)]
pub enum Op {
    /// A constant.
    Constant(Constant),
    /// A field.
    Field(Slot),
    /// `!a`
    Not(Box<Op>),
    /// `-a`
    Negate(Box<Op>),
    /// `a && b …`
    All(Vec<Op>),
    /// `a || b …`
    Any(Vec<Op>),
    /// `a ? b : c`
    Choice(Box<[Op; 3]>),
    /// A comparison.
    Compare(Binary, Box<[Op; 2]>),
    /// `field == "text"`, the commonest condition.
    FieldIsText(Slot, Box<[u8]>),
    /// `a in [b, c]`
    InItems(Box<Op>, Vec<Op>),
    /// The same with many constants, and `a == b || a == c …`.
    InSet(Box<Op>, Arc<ConstantSet>),
    /// Arithmetic, and `+` on texts.
    Arithmetic(Binary, Box<[Op; 2]>),
    /// `has(field)`
    Has(Slot),
    /// Text tests.
    Test(TextTest, Box<[Op; 2]>),
    /// `contains` of a constant, whose finder is made once.
    Contains(Box<(Op, Finder<'static>)>),
    /// `matches`
    Matches(Box<Op>, Pattern),
    /// `size`
    Size(Box<Op>),
    /// `lowerAscii`
    Lower(Box<Op>),
    /// `upperAscii`
    Upper(Box<Op>),
    /// `cidr`
    Cidr(Box<Op>, Vec<Network>),
    /// `in_table`, and `in_list` of a list that nothing writes
    InTable(Local<Table>, Vec<Op>),
    /// `lookup` in one of those
    Lookup(Local<Table>, usize, Vec<Op>),
    /// `in_list`
    InList(ListRef, Vec<Op>),
    /// `lookup` in a list
    ListCell(ListRef, usize, Vec<Op>),
    /// A field that is an empty text where it is absent: a tenant.
    OrEmpty(Slot),
    /// `category`
    Category(Box<Op>, Box<Op>),
    /// `hour` (true) and `weekday` (false)
    Calendar(bool, Box<Op>, crate::expr::functions::ZoneOf),
    /// `hash`
    Hash(Vec<Op>),
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its root.
    pub root: Op,
    /// Fields that it reads.
    pub reads: Vec<Slot>,
}

impl Program {
    /// The value for a row.
    #[inline]
    pub fn value<'a, R: Row>(&'a self, row: &'a R, bump: &'a Bump) -> Value<'a> {
        self.root.eval(row, bump)
    }

    /// Whether it is true for a row.
    #[inline]
    pub fn holds<R: Row>(&self, row: &R, bump: &Bump) -> bool {
        self.root.holds(row, bump)
    }

    /// Takes the newest tables: at a barrier only.
    pub fn refresh(&mut self) {
        self.root.refresh();
    }
}

impl Op {
    /// The tenant as a part of a key: an empty text where there is none.
    pub fn tenant(field: Option<Slot>) -> Op {
        field.map_or(Op::Constant(Constant::Text(Box::default())), Op::OrEmpty)
    }

    /// Whether the step is true for a row.
    #[inline]
    pub fn holds<R: Row>(&self, row: &R, bump: &Bump) -> bool {
        match self {
            Op::FieldIsText(slot, text) => match row.value(*slot) {
                Value::Text(v) => *v == **text,
                other => holds(Binary::Equal, other, Value::Text(text), bump),
            },
            Op::All(items) => items.iter().all(|i| i.holds(row, bump)),
            Op::Any(items) => items.iter().any(|i| i.holds(row, bump)),
            Op::Not(a) => !a.holds(row, bump),
            Op::Compare(op, ab) => holds(*op, ab[0].operand(row, bump), ab[1].operand(row, bump), bump),
            Op::InItems(a, items) => {
                let a = a.operand(row, bump);
                items.iter().any(|i| holds(Binary::Equal, a, i.operand(row, bump), bump))
            }
            Op::InSet(a, set) => set.contains(a.operand(row, bump), bump),
            Op::Has(slot) => row.value(*slot).is_present(),
            Op::Test(test, ab) => text_test(*test, ab[0].operand(row, bump), ab[1].operand(row, bump), bump),
            Op::Contains(of) => some(of.0.operand(row, bump), bump, |v| matches!(v, Value::Text(text) if of.1.find(text).is_some())),
            Op::Matches(a, pattern) => some(a.operand(row, bump), bump, |v| v.plain_text().is_some_and(|t| pattern.matches(t))),
            Op::Cidr(a, networks) => some(a.operand(row, bump), bump, |v| {
                v.plain_text().and_then(parse_address).is_some_and(|n| networks.iter().any(|w| w.contains(n)))
            }),
            Op::InTable(table, keys) => find(table.get(), keys, row, bump).is_some(),
            Op::InList(list, keys) => list.entry(keys, row, bump, |_| ()).is_some(),
            Op::Category(a, b) => match (a.operand(row, bump), b.operand(row, bump)) {
                (Value::Text(value), Value::Text(prefix)) => functions::category(value, prefix),
                _ => false,
            },
            other => other.eval(row, bump) == Value::Bool(true),
        }
    }

    /// The value of a step that is most often a field or a constant.
    #[inline(always)]
    fn operand<'a, R: Row>(&'a self, row: &'a R, bump: &'a Bump) -> Value<'a> {
        match self {
            Op::Field(slot) => row.value(*slot),
            Op::Constant(constant) => constant.value(),
            other => other.eval(row, bump),
        }
    }

    /// The value of the step for a row.
    pub fn eval<'a, R: Row>(&'a self, row: &'a R, bump: &'a Bump) -> Value<'a> {
        match self {
            Op::Constant(c) => c.value(),
            Op::Field(slot) => row.value(*slot),
            Op::Not(_)
            | Op::All(_)
            | Op::Any(_)
            | Op::Compare(..)
            | Op::FieldIsText(..)
            | Op::InItems(..)
            | Op::InSet(..)
            | Op::Has(_)
            | Op::Test(..)
            | Op::Contains(..)
            | Op::Matches(..)
            | Op::Cidr(..)
            | Op::InTable(..)
            | Op::InList(..)
            | Op::Category(..) => Value::Bool(self.holds(row, bump)),
            Op::Negate(a) => match a.eval(row, bump).number() {
                Some(Num::Int(i)) => i.checked_neg().map_or(Value::Absent, Value::Int),
                Some(Num::Float(f)) => Value::Float(-f),
                None => Value::Absent,
            },
            Op::Choice(abc) => abc[if abc[0].holds(row, bump) { 1 } else { 2 }].eval(row, bump),
            Op::Arithmetic(op, ab) => functions::arithmetic(*op, ab[0].eval(row, bump), ab[1].eval(row, bump), bump),
            Op::Size(a) => functions::size(a.eval(row, bump), bump),
            Op::Lower(a) => functions::map_ascii(a.eval(row, bump), bump, u8::to_ascii_lowercase),
            Op::Upper(a) => functions::map_ascii(a.eval(row, bump), bump, u8::to_ascii_uppercase),
            Op::Lookup(table, column, keys) => {
                let cell = find(table.get(), keys, row, bump).and_then(|r| table.get().cell(r, *column));
                cell.map_or(Value::Absent, Value::Text)
            }
            Op::ListCell(list, column, keys) => {
                // A copy: the list may be written while the expression goes on.
                let copy = |entry: &Entry| entry.value(*column).copied_to(|bytes| bump.alloc_slice_copy(bytes));
                list.entry(keys, row, bump, copy).unwrap_or(Value::Absent)
            }
            Op::OrEmpty(slot) => match row.value(*slot) {
                Value::Absent => Value::Text(b""),
                value => value,
            },
            Op::Calendar(hour, a, zone) => functions::calendar(*hour, a.eval(row, bump), zone),
            Op::Hash(items) => functions::hash(items.iter().map(|i| i.eval(row, bump)), bump),
        }
    }

    fn refresh(&mut self) {
        match self {
            Op::InTable(table, keys) | Op::Lookup(table, _, keys) => {
                table.refresh();
                keys.iter_mut().for_each(Op::refresh);
            }
            Op::InList(_, keys) | Op::ListCell(_, _, keys) => keys.iter_mut().for_each(Op::refresh),
            Op::Not(a)
            | Op::Negate(a)
            | Op::Matches(a, _)
            | Op::Size(a)
            | Op::Lower(a)
            | Op::Upper(a)
            | Op::Cidr(a, _)
            | Op::InSet(a, _)
            | Op::Calendar(_, a, _) => a.refresh(),
            Op::Contains(of) => of.0.refresh(),
            Op::All(items) | Op::Any(items) | Op::Hash(items) => items.iter_mut().for_each(Op::refresh),
            Op::Choice(abc) => abc.iter_mut().for_each(Op::refresh),
            Op::Compare(_, ab) | Op::Arithmetic(_, ab) | Op::Test(_, ab) => ab.iter_mut().for_each(Op::refresh),
            Op::InItems(a, items) => {
                a.refresh();
                items.iter_mut().for_each(Op::refresh);
            }
            Op::Category(a, b) => {
                a.refresh();
                b.refresh();
            }
            Op::Constant(_) | Op::Field(_) | Op::FieldIsText(..) | Op::Has(_) | Op::OrEmpty(_) => {}
        }
    }
}

/// Whether a test holds for a value, or for some element of an array.
#[inline(always)]
fn some<'a>(value: Value<'a>, bump: &'a Bump, mut test: impl FnMut(Value<'a>) -> bool) -> bool {
    match elements(value, bump) {
        Some(mut items) => items.any(test),
        None => test(value),
    }
}

fn text_test<'a>(test: TextTest, a: Value<'a>, b: Value<'a>, bump: &'a Bump) -> bool {
    let Value::Text(b) = b else { return false };
    some(a, bump, |v| match (v, test) {
        (Value::Text(a), TextTest::StartsWith) => a.starts_with(b),
        (Value::Text(a), TextTest::EndsWith) => a.ends_with(b),
        (Value::Text(a), TextTest::Contains) => memchr::memmem::find(a, b).is_some(),
        _ => false,
    })
}

/// The row of a table whose key is the values' canonical texts. An absent value finds nothing.
fn find<R: Row>(table: &Table, keys: &[Op], row: &R, bump: &Bump) -> Option<u32> {
    let mut key = bumpalo::collections::Vec::new_in(bump);
    if !key_of(keys, row, bump, &mut |part| key.extend_from_slice(part)) {
        return None;
    }
    table.find_at(&key, row.time())
}

/// Gives the parts of the key of a table or a list, each with the separator behind it. False where one is absent.
pub fn key_of<'a, R: Row>(keys: impl IntoIterator<Item = &'a Op>, row: &'a R, bump: &'a Bump, out: &mut dyn FnMut(&[u8])) -> bool {
    for op in keys {
        match op.eval(row, bump) {
            Value::Absent => return false,
            value => match value.plain_text() {
                Some(text) => out(text),
                None => {
                    let mut text = Vec::new();
                    value.write_text(&mut text);
                    out(&text);
                }
            },
        }
        out(&[KEY_SEPARATOR]);
    }
    true
}
