//! What a waiting hit keeps of its event: the fields that the rule may still read, and the text.
//!
//! `input · amount · clamped · partition · origin · position · key length · key · [kind · length · bytes]… · text`
use std::cell::OnceCell;

use super::copies::Copies;
use crate::clock::Timestamp;
use crate::component::correlator::key_parts;
use crate::event::{Kind, Slot, Value};
use crate::expr::Row;
use crate::list::List;
use crate::simd;
use crate::state::{StateError, StateReader, StateWriter};

/// Slots that stand for words of rules instead of fields.
pub const RULE: Slot = Slot(0xfff0);
/// See [`RULE`].
pub const TENANT: Slot = Slot(0xfff1);
/// See [`RULE`].
pub const COUNT: Slot = Slot(0xfff2);
/// See [`RULE`].
pub const KEY: Slot = Slot(0xfff3);

/// A reserved word's slot.
pub fn reserved(name: &str) -> Option<Slot> {
    match name {
        "rule" => Some(RULE),
        "tenant" => Some(TENANT),
        "count" => Some(COUNT),
        "key" => Some(KEY),
        _ => None,
    }
}

/// What a hit is besides its fields.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'h> {
    /// Which input it came from, by number among those that bring hits.
    pub port: usize,
    /// The time that it counts with.
    pub time: Timestamp,
    /// Hash of tenant and key.
    pub hash: u64,
    /// Tenant and key.
    pub key: &'h [u8],
    /// What it adds.
    pub amount: i128,
    /// It came late and was clamped.
    pub clamped: bool,
    /// Number of its partition.
    pub partition: u32,
    /// Number of its origin.
    pub origin: u32,
    /// Its position.
    pub position: u64,
    /// Rank, position and row: the order among equal times.
    pub tie: (u32, u128),
    /// Raw text, where evidence is kept.
    pub text: &'h [u8],
}

/// Bytes before the key.
const HEAD: usize = 41;

/// Writes a hit and the fields of its event that the rule may still read.
#[inline(always)]
pub fn write<R: Row>(hit: &Hit<'_>, slots: &[Slot], row: &R, out: &mut Vec<u8>) {
    // What is of one length is put where it is to stand: what is copied as a whole right behind its making waits for its parts.
    let from = out.len();
    out.extend_from_slice(&[0; HEAD]);
    let head = &mut out[from..from + HEAD];
    head[..4].copy_from_slice(&(hit.port as u32).to_le_bytes());
    head[4..20].copy_from_slice(&hit.amount.to_le_bytes());
    head[20] = u8::from(hit.clamped);
    head[21..25].copy_from_slice(&hit.partition.to_le_bytes());
    head[25..29].copy_from_slice(&hit.origin.to_le_bytes());
    head[29..37].copy_from_slice(&hit.position.to_le_bytes());
    head[37..].copy_from_slice(&(hit.key.len() as u32).to_le_bytes());
    simd::append(hit.key, out);
    let mut w = StateWriter { bytes: std::mem::take(out) };
    for slot in slots {
        let (kind, bytes): (u8, &[u8]) = match row.value(*slot) {
            Value::Text(text) => (Kind::Text as u8, text),
            Value::Number(text) => (Kind::Number as u8, text),
            Value::Bool(truth) => (Kind::Bool as u8, if truth { b"true" } else { b"false" }),
            Value::Json(text) => (Kind::Json as u8, text),
            // A field of an event is never computed.
            Value::Absent | Value::Int(_) | Value::Float(_) => (0, b""),
        };
        w.u8(kind);
        w.bytes(bytes);
    }
    w.bytes(hit.text);
    *out = w.bytes;
}

/// A waiting hit's fields, read when they are asked for: of most hits none is.
pub struct PayloadRow<'p> {
    slots: &'p [Slot],
    fields: &'p [u8],
}

impl<'p> PayloadRow<'p> {
    fn field(r: &mut StateReader<'p>) -> Result<Value<'p>, StateError> {
        let kind = Kind::of_saved(r.u8()?);
        Ok(Value::of(kind, r.bytes()?))
    }
}

impl Row for PayloadRow<'_> {
    fn value(&self, slot: Slot) -> Value<'_> {
        let Some(number) = self.slots.iter().position(|s| *s == slot) else { return Value::Absent };
        let mut r = StateReader::new(self.fields);
        (0..=number).map_while(|_| PayloadRow::field(&mut r).ok()).nth(number).unwrap_or(Value::Absent)
    }
}

/// Reads what [`write()`] wrote. `slots_of`: the slots of an input.
#[inline(always)]
pub fn read<'p>(
    bytes: &'p [u8],
    time: Timestamp,
    hash: u64,
    tie: (u32, u128),
    slots_of: impl Fn(usize) -> &'p [Slot],
) -> Result<(Hit<'p>, PayloadRow<'p>), StateError> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>().ok_or_else(too_short)?;
    let half = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let word = |at: usize| u64::from(half(at)) | u64::from(half(at + 4)) << 32;
    let (port, clamped) = (half(0) as usize, head[20] != 0);
    let amount = (u128::from(word(4)) | u128::from(word(12)) << 64) as i128;
    let (partition, origin, position) = (half(21), half(25), word(29));
    let (key, fields) = rest.split_at_checked(half(37) as usize).ok_or_else(too_short)?;
    let mut r = StateReader::new(fields);
    let slots = slots_of(port);
    for _ in slots {
        PayloadRow::field(&mut r)?;
    }
    let text = r.bytes()?;
    Ok((Hit { port, time, hash, key, amount, clamped, partition, origin, position, tie, text }, PayloadRow { slots, fields }))
}

fn too_short() -> StateError {
    StateError("a waiting hit ends in the middle of a value".into())
}

/// A row with the words of rules, and with the lists as they are at its place in the order.
pub struct RuleRow<'r, R> {
    row: &'r R,
    rule: &'r str,
    key: &'r [u8],
    time: Timestamp,
    count: &'r [u8],
    lists: &'r Copies,
    /// Values of `by`, joined by commas: made when they are asked for.
    joined: OnceCell<Vec<u8>>,
}

impl<'r, R> RuleRow<'r, R> {
    /// An event of a group, by its tenant and key, at a time. `count`: the measure, as text.
    pub fn new(row: &'r R, group: (&'r [u8], Timestamp), rule: &'r str, count: &'r [u8], lists: &'r Copies) -> RuleRow<'r, R> {
        let (key, time) = group;
        RuleRow { row, rule, key, time, count, lists, joined: OnceCell::new() }
    }
}

impl<R: Row> Row for RuleRow<'_, R> {
    #[inline]
    fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            RULE => Value::Text(self.rule.as_bytes()),
            TENANT => Value::Text(key_parts(self.key).next().unwrap_or_default()),
            COUNT => Value::Number(self.count),
            KEY => Value::Text(self.joined.get_or_init(|| key_parts(self.key).skip(1).collect::<Vec<_>>().join(&b','))),
            slot => self.row.value(slot),
        }
    }

    fn time(&self) -> Timestamp {
        self.time
    }

    fn list(&self, number: u16) -> Option<&List> {
        self.lists.get(number)
    }
}
