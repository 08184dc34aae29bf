//! A part of what is gathered: an event in its turn, and what is kept of one that waits for it.
use super::GatherPort;
use crate::clock::Timestamp;
use crate::codec::format::json_out::RowFacts;
use crate::event::Batch;
use crate::state::{StateError, StateReader, StateWriter};

/// An event in its turn.
pub(super) struct Part<'p> {
    pub(super) time: Timestamp,
    pub(super) tie: (u32, u128),
    pub(super) hash: u64,
    pub(super) key: &'p [u8],
    pub(super) role: u8,
    pub(super) weight: u64,
    pub(super) id: u128,
    pub(super) sums: &'p [Option<i128>],
    pub(super) event: Event<'p>,
}

/// The event of a part: a row, or what was kept of one.
pub(super) enum Event<'p> {
    Row(&'p GatherPort, &'p Batch, usize),
    Kept(&'p [u8]),
}

impl Event<'_> {
    /// Appends it as a JSON object.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Event::Row(port, batch, row) => {
                port.writer.write(batch, *row, RowFacts::default(), out);
                out.pop();
            }
            Event::Kept(json) => out.extend_from_slice(json),
        }
    }
}

/// Writes what a waiting part keeps.
pub(super) fn write_part(part: &Part<'_>, out: &mut Vec<u8>) {
    let mut w = StateWriter { bytes: std::mem::take(out) };
    w.bytes(part.key);
    w.u8(part.role);
    w.u64(part.weight);
    w.u128(part.id);
    w.u32(part.sums.len() as u32);
    for sum in part.sums {
        w.u8(u8::from(sum.is_some()));
        w.u128(sum.unwrap_or(0) as u128);
    }
    part.event.write(&mut w.bytes);
    *out = w.bytes;
}

/// Reads what [`write_part`] wrote. `place`: time, tie and hash.
pub(super) fn read_part<'p>(
    bytes: &'p [u8],
    place: (Timestamp, (u32, u128), u64),
    sums: &'p mut Vec<Option<i128>>,
) -> Result<Part<'p>, StateError> {
    let mut r = StateReader::new(bytes);
    let (time, tie, hash) = place;
    let (key, role, weight, id) = (r.bytes()?, r.u8()?, r.u64()?, r.u128()?);
    sums.clear();
    for _ in 0..r.u32()? {
        let (is_some, sum) = (r.u8()? != 0, r.u128()? as i128);
        sums.push(is_some.then_some(sum));
    }
    Ok(Part { time, tie, hash, key, role, weight, id, sums, event: Event::Kept(r.rest()) })
}
