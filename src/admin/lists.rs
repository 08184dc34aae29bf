//! A list that events write, as the CSV file that its `path` would be: key, columns, and until when each entry counts.
use std::io::{Result, Write};
use std::sync::PoisonError;

use crate::codec::format::text_out::TextWriter;
use crate::event::{Value, time};
use crate::list::{Entry, ListSpec, SharedList};
use crate::table::rows::KEY_SEPARATOR;

/// Slots that are looked at before writers of the list have their turn.
const SLOTS: usize = 4096;

/// The column that says until when an entry counts.
const EXPIRY: &str = "expiry";

/// Writes all entries that are there when it comes by them.
pub(super) fn write(list: &SharedList, out: &mut impl Write) -> Result<()> {
    let read = || list.read().unwrap_or_else(PoisonError::into_inner);
    let spec = read().spec.clone();
    let columns: Vec<usize> = (0..spec.columns.len()).filter(|column| spec.columns[*column].0 != EXPIRY).collect();
    let mut names = spec.key_names();
    names.extend(columns.iter().map(|column| spec.columns[*column].0.clone()));
    names.push(EXPIRY.to_owned());
    let writer = TextWriter::csv(names.clone(), b',');
    let mut text = Vec::new();
    writer.write(names.iter().map(|name| Value::Text(name.as_bytes())), &mut text);
    text.push(b'\n');
    let mut next = Some(0);
    while let Some(from) = next {
        let list = read();
        list.entries(from..from + SLOTS).for_each(|entry| write_entry(&spec, &columns, entry, &writer, &mut text));
        next = (from + SLOTS < list.slots()).then_some(from + SLOTS);
        drop(list);
        out.write_all(&text)?;
        text.clear();
    }
    Ok(())
}

fn write_entry(spec: &ListSpec, columns: &[usize], entry: &Entry, writer: &TextWriter, out: &mut Vec<u8>) {
    let mut end = Vec::new();
    if entry.expires != i64::MAX {
        time::write_rfc3339(entry.expires, &mut end);
    }
    let key = entry.key.split(|byte| *byte == KEY_SEPARATOR).take(spec.key_parts()).map(Value::Text);
    let values = columns.iter().map(|column| entry.value(*column));
    writer.write(key.chain(values).chain([Value::Text(&end)]), out);
    out.push(b'\n');
}
