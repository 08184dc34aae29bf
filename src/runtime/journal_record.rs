//! How a journal's records and positions look as bytes.
//!
//! ```text
//! record    what (u8: 0 rows, 1 a partition), gaps before it (u64), the source's position behind it (u32 length, bytes),
//!           origin: source, partition, identity (u32 length, bytes each), base (u8, u64), known (u8, u128)
//!   of a partition: what became of it (u8)
//!   of rows:  base (u64), what positions count (u8), when it was read (i64), counts of lines, cut lines, told positions and facts (u32 each),
//!           lines (at u32, length u32), cut lines (u32), told positions (u64), facts (kind u8, at u32, length u32), then all bytes
//! position  "journal", version (u8), gaps before it (u64), place (segment u64, offset u64), the source's position there
//! ```
//! A gap is what went on although the disk did not take it. What stands behind one is not read by whoever begins before it: it would miss what is between.
use std::sync::Arc;

use super::disk_queue::Place;
use crate::clock::Timestamp;
use crate::event::builder::{Line, Positions};
use crate::event::span::{Kind, Span};
use crate::event::{BatchBuilder, Origin};
use crate::state::{StateError, StateReader, StateWriter};
use crate::window::watermark::Activity;

/// What no other position begins with: they begin with a version.
const MAGIC: &[u8] = b"journal\x01";

/// Where something stands: behind so many gaps, and where its source stood then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub gaps: u64,
    pub position: Vec<u8>,
}

/// What a record says, beside the lines.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// Lines: position of the first one, what positions count.
    Rows(u64, Positions),
    /// What became of a partition.
    Partition(Activity),
}

const ACTIVITIES: [Activity; 3] = [Activity::Live, Activity::Idle, Activity::Ended];
const POSITIONS: [Positions; 3] = [Positions::Bytes, Positions::Rows, Positions::Told];

fn number<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).unwrap_or_default() as u8
}

/// Writes all of a record but the bytes of its lines.
pub fn write(out: &mut StateWriter, behind: &Standing, origin: &Origin, entry: &Entry, builder: &BatchBuilder, received: Timestamp) {
    out.bytes.clear();
    out.u8(u8::from(matches!(entry, Entry::Partition(_))));
    out.u64(behind.gaps);
    out.bytes(&behind.position);
    for text in [origin.source.as_bytes(), origin.partition.as_bytes(), &origin.identity] {
        out.bytes(text);
    }
    out.u8(u8::from(origin.base.is_some()));
    out.u64(origin.base.unwrap_or_default());
    out.u8(u8::from(origin.known.is_some()));
    out.u128(origin.known.unwrap_or_default());
    let (base, positions) = match entry {
        Entry::Partition(activity) => return out.u8(number(&ACTIVITIES, activity)),
        Entry::Rows(base, positions) => (*base, positions),
    };
    out.u64(base);
    out.u8(number(&POSITIONS, positions));
    out.i64(received);
    for count in [builder.lines.len(), builder.truncated.len(), builder.told.len(), builder.facts.len()] {
        out.u32(count as u32);
    }
    for line in &builder.lines {
        out.u32(line.at);
        out.u32(line.len);
    }
    builder.truncated.iter().for_each(|row| out.u32(u32::from(*row)));
    builder.told.iter().for_each(|position| out.u64(*position));
    for fact in &builder.facts {
        out.u8(fact.kind() as u8);
        out.u32(fact.at() as u32);
        out.u32(fact.len() as u32);
    }
}

/// Where its source stood behind a record.
pub fn behind(record: &[u8]) -> Result<Standing, StateError> {
    let mut from = StateReader::new(record);
    from.u8()?;
    Ok(Standing { gaps: from.u64()?, position: from.bytes()?.to_vec() })
}

/// Reads a record into an empty builder. Gives where its source stood behind it, too.
pub fn read(record: &[u8], builder: &mut BatchBuilder) -> Result<(Standing, Arc<Origin>, Entry), StateError> {
    let mut from = StateReader::new(record);
    let is_partition = from.u8()? == 1;
    let behind = Standing { gaps: from.u64()?, position: from.bytes()?.to_vec() };
    let mut origin = Origin { source: from.text()?.to_owned(), partition: from.text()?.to_owned(), ..Origin::default() };
    from.bytes()?.clone_into(&mut origin.identity);
    let has_base = from.u8()? == 1;
    origin.base = Some(from.u64()?).filter(|_| has_base);
    let is_known = from.u8()? == 1;
    origin.known = Some(from.u128()?).filter(|_| is_known);
    let unknown = || StateError("a record of an unknown form".to_owned());
    if is_partition {
        let activity = ACTIVITIES.get(usize::from(from.u8()?)).ok_or_else(unknown)?;
        return Ok((behind, Arc::new(origin), Entry::Partition(*activity)));
    }
    let base = from.u64()?;
    let positions = POSITIONS.get(usize::from(from.u8()?)).ok_or_else(unknown)?;
    builder.received = Some(from.i64()?);
    let counts = [from.u32()?, from.u32()?, from.u32()?, from.u32()?];
    for _ in 0..counts[0] {
        builder.lines.push(Line { at: from.u32()?, len: from.u32()? });
    }
    for _ in 0..counts[1] {
        builder.truncated.push(from.u32()? as u16);
    }
    for _ in 0..counts[2] {
        builder.told.push(from.u64()?);
    }
    for _ in 0..counts[3] {
        let (kind, at, len) = (Kind::of_saved(from.u8()?), from.u32()? as usize, from.u32()? as usize);
        builder.facts.push(if kind == Kind::Absent { Span::ABSENT } else { Span::new(kind, at, len) });
    }
    builder.bytes.extend_from_slice(from.rest());
    Ok((behind, Arc::new(origin), Entry::Rows(base, *positions)))
}

/// Where a journal is read next, and where its source stands there, as one position.
pub fn save_position(read: Place, standing: &Standing) -> Vec<u8> {
    let mut out = StateWriter { bytes: MAGIC.to_vec() };
    out.u64(standing.gaps);
    read.save(&mut out);
    out.bytes.extend_from_slice(&standing.position);
    out.bytes
}

/// See [`save_position`]; a position of the source alone has no place.
pub fn load_position(saved: &[u8]) -> Result<(Option<Place>, Standing), StateError> {
    let Some(rest) = saved.strip_prefix(MAGIC) else { return Ok((None, Standing { gaps: 0, position: saved.to_vec() })) };
    let mut from = StateReader::new(rest);
    let gaps = from.u64()?;
    let read = Place::load(&mut from)?;
    Ok((Some(read), Standing { gaps, position: from.rest().to_vec() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back_as_they_were(
            lines in proptest::collection::vec("[a-z\u{e9} ]{0,20}", 0..20),
            base: u64,
            marks: (Option<u64>, Option<u128>),
            identity: Vec<u8>,
            behind: (u64, Vec<u8>),
            received: i64,
            positions in 0usize..3,
        ) {
            let origin = Origin { source: "s".into(), partition: "p/1".into(), identity, base: marks.0, known: marks.1 };
            let mut builder = BatchBuilder::default();
            for (row, line) in lines.iter().enumerate() {
                builder.push_line(line.as_bytes());
                builder.push_fact([Kind::Text, Kind::Number, Kind::Absent][row % 3], b"17");
                builder.told.push(base ^ row as u64);
                builder.truncated.extend((row % 4 == 0).then_some(row as u16));
            }
            let (mut out, standing) = (StateWriter::default(), Standing { gaps: behind.0, position: behind.1 });
            let entry = Entry::Rows(base, POSITIONS[positions]);
            write(&mut out, &standing, &origin, &entry, &builder, received);
            out.bytes.extend_from_slice(&builder.bytes);
            prop_assert_eq!(&super::behind(&out.bytes).unwrap(), &standing);
            let mut read_back = BatchBuilder::default();
            prop_assert_eq!(read(&out.bytes, &mut read_back).unwrap(), (standing.clone(), Arc::new(origin.clone()), entry));
            builder.received = Some(received);
            prop_assert_eq!(format!("{read_back:?}"), format!("{builder:?}"));
            for activity in ACTIVITIES {
                write(&mut out, &standing, &origin, &Entry::Partition(activity), &BatchBuilder::default(), 0);
                let (_, _, entry) = read(&out.bytes, &mut BatchBuilder::default()).unwrap();
                prop_assert_eq!(entry, Entry::Partition(activity));
            }
            let place = Place::default();
            let saved = save_position(place, &standing);
            prop_assert_eq!(load_position(&saved).unwrap(), (Some(place), standing));
        }

        /// What is no record is told, whatever it is.
        #[test]
        fn damage_is_no_panic(bytes: Vec<u8>) {
            let _ = (read(&bytes, &mut BatchBuilder::default()), behind(&bytes), load_position(&bytes));
        }
    }
}
