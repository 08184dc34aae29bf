//! Comparing values: numbers by value, texts by bytes, a number with a text that spells one.
use std::cmp::Ordering;

use bumpalo::Bump;

use super::array::elements;
use super::ast::Binary;
use crate::event::Value;

/// The order of two single values; none where they cannot be compared.
#[inline]
pub fn order(a: Value<'_>, b: Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(&b)),
        (Value::Json(_), _) | (_, Value::Json(_)) | (Value::Bool(_), _) | (_, Value::Bool(_)) => None,
        (a, b) => a.number()?.compare(b.number()?),
    }
}

/// Whether a comparison holds. On an array it asks for some element; `!=` asks that no element be equal.
#[inline]
pub fn holds<'a>(op: Binary, a: Value<'a>, b: Value<'a>, bump: &'a Bump) -> bool {
    match (a, b) {
        (Value::Absent, _) | (_, Value::Absent) => return false,
        (Value::Json(_), _) => {
            if let Some(mut items) = elements(a, bump) {
                return if op == Binary::NotEqual {
                    !items.any(|i| holds(Binary::Equal, i, b, bump))
                } else {
                    items.any(|i| holds(op, i, b, bump))
                };
            }
        }
        (_, Value::Json(_)) => {
            if let Some(mut items) = elements(b, bump) {
                return if op == Binary::NotEqual {
                    !items.any(|i| holds(Binary::Equal, a, i, bump))
                } else {
                    items.any(|i| holds(op, a, i, bump))
                };
            }
        }
        _ => {}
    }
    let Some(order) = order(a, b) else { return false };
    match op {
        Binary::Equal => order.is_eq(),
        Binary::NotEqual => order.is_ne(),
        Binary::Less => order.is_lt(),
        Binary::LessEqual => order.is_le(),
        Binary::Greater => order.is_gt(),
        Binary::GreaterEqual => order.is_ge(),
        _ => false,
    }
}
