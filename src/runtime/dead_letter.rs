//! The built-in dead letter: what could not be treated, one JSON object a line, in a file for each node. A line is on the disk before the run goes on.
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use serde_json::json;

use super::caution::Culprit;
use crate::clock::Timestamp;
use crate::event::{id, time};

/// Puts a row into the file of a node.
pub fn put(folder: &Path, node: &str, stage: &str, reason: &str, row: &Culprit, now: Timestamp) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let id = id::event_id(&row.origin.identity, row.origin.partition.as_bytes(), row.position, &row.line);
    let mut line = json!({"id": String::from_utf8_lossy(&id), "node": node, "stage": stage, "reason": reason, "status": null,
        "time": time::rfc3339(now), "event": null});
    match std::str::from_utf8(&row.line) {
        Ok(text) => line["raw"] = json!(text),
        Err(_) => {
            line["raw"] = json!(base64::prelude::BASE64_STANDARD.encode(&row.line));
            line["raw_encoding"] = json!("base64");
        }
    }
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join(format!("{node}.ndjson")))?;
    writeln!(file, "{line}")?;
    file.sync_all()
}
