//! The question that a run leaves when it ends between preparing an epoch and hearing that a sink has released what it held of it: does the epoch count?
//! Its record and the one before it are both on the disk, and only the sink's peer knows.
use super::assemble::{RunError, RunOptions, blocking};
use super::checkpoint::Record;
use crate::component::Outage;
use crate::plan::Plan;
use crate::state::{Blob, Changes, Row, StateError, StateReader, StateWriter, Store};

/// The key of the blob of [`rows_to_write`].
pub(super) const ROWS_KEY: &[u8] = b"prepared rows";

/// What came of a question to a peer.
pub enum Answer {
    /// There is one record now.
    Settled,
    /// The peer cannot say now.
    Unknown(Outage),
}

/// Asks the sink that holds something of a prepared epoch whether it was released, and makes that epoch or the one before it the last one.
pub fn settle(plan: &Plan, options: &RunOptions, store: &mut dyn Store) -> Result<Answer, RunError> {
    let Some(bytes) = store.record()? else { return Ok(Answer::Settled) };
    let mut record = Record::from_bytes(&bytes)?;
    let Some(before) = record.before.take() else { return Ok(Answer::Settled) };
    let runtime = blocking()?;
    let mut is_released = true;
    for (name, sealed) in record.sinks.iter().filter(|(_, sealed)| sealed.is_held) {
        let planned = plan.sinks.iter().find(|s| s.name == *name).ok_or_else(|| {
            let what = format!("{name}: epoch {} may stand in its transaction or not, and this pipeline cannot ask", record.epoch);
            RunError(format!("{what}: run with this sink until it has said so, or start with --fresh"))
        })?;
        let sink = (planned.factory)(&options.installation);
        match runtime.block_on(sink.was_released(&sealed.state)) {
            Ok(released) => is_released &= released,
            Err(outage) => return Ok(Answer::Unknown(Outage { message: format!("{name}: {outage}"), ..outage })),
        }
    }
    let (kept, other) = if is_released { (&record, &*before) } else { (&*before, &record) };
    let rows = if is_released { rows_of(store.blob(ROWS_KEY)?)? } else { Vec::new() };
    let forget = other.blobs_beside(kept).into_iter().chain([ROWS_KEY.to_vec()]).collect();
    store.publish(&kept.to_bytes(), Changes { forget, rows, ..Changes::default() })?;
    Ok(Answer::Settled)
}

/// The blob that holds the rows of a prepared epoch, if it has some: one that is written over cannot be had back, so they are written when the epoch counts.
pub(super) fn rows_to_write(rows: &[(String, Vec<Row>)]) -> Option<Blob> {
    let mut out = StateWriter::default();
    for (owner, rows) in rows {
        out.bytes(owner.as_bytes());
        out.u32(rows.len() as u32);
        for (key, value) in rows {
            out.bytes(key);
            out.u8(u8::from(value.is_some()));
            out.bytes(value.as_deref().unwrap_or_default());
        }
    }
    (!rows.is_empty()).then(|| Blob { key: ROWS_KEY.to_vec(), value: out.bytes })
}

fn rows_of(blob: Option<Vec<u8>>) -> Result<Vec<(String, Vec<Row>)>, StateError> {
    let blob = blob.unwrap_or_default();
    let mut from = StateReader::new(&blob);
    let mut out = Vec::new();
    while !from.is_empty() {
        let (owner, count) = (from.text()?.to_owned(), from.u32()?);
        let mut rows = Vec::new();
        for _ in 0..count {
            let (key, has_value, value) = (from.bytes()?, from.u8()? == 1, from.bytes()?);
            rows.push((key.into(), has_value.then(|| value.into())));
        }
        out.push((owner, rows));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_wait_until_their_epoch_counts() {
        let rows =
            vec![("a".to_owned(), vec![(b"k"[..].into(), Some(b"v"[..].into())), (b"l"[..].into(), None)]), ("b".to_owned(), Vec::new())];
        assert_eq!(rows_of(rows_to_write(&rows).map(|blob| blob.value)).unwrap(), rows);
        assert_eq!(rows_to_write(&[]), None);
        assert_eq!(rows_of(None).unwrap(), []);
    }
}
