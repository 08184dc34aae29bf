//! The built-in dead letter: what could not be treated, one JSON object a line, in a file for each node. A line is on the disk before the run goes on.
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::event::time;
use crate::limits::DEAD_LETTER_BYTES_MAX;

/// A row, and why it is here.
pub struct Letter<'l> {
    /// The identity of the event.
    pub id: [u8; 32],
    /// `decode`, `transform` or `sink`.
    pub stage: &'static str,
    /// Why.
    pub reason: &'l str,
    /// The peer's code, if it has one.
    pub status: Option<u16>,
    /// When.
    pub time: Timestamp,
    /// The event as JSON.
    pub event: Option<&'l [u8]>,
    /// Its raw text, where it never became an event.
    pub raw: Option<&'l [u8]>,
}

impl Letter<'_> {
    fn to_json(&self, node: &str) -> String {
        let mut line = json!({"id": String::from_utf8_lossy(&self.id), "node": node, "stage": self.stage, "reason": self.reason,
            "status": self.status, "time": time::rfc3339(self.time), "event": null});
        match self.raw.map(|raw| (raw, std::str::from_utf8(raw))) {
            None => {}
            Some((_, Ok(text))) => line["raw"] = json!(text),
            Some((raw, Err(_))) => {
                line["raw"] = json!(base64::prelude::BASE64_STANDARD.encode(raw));
                line["raw_encoding"] = json!("base64");
            }
        }
        // An event stands as it was sent: its bytes are not written anew.
        let event = self.event.and_then(|e| std::str::from_utf8(e).ok()).filter(|e| serde_json::from_str::<IgnoredAny>(e).is_ok());
        match event {
            Some(event) => line.to_string().replacen("\"event\":null", &format!("\"event\":{event}"), 1),
            None => {
                if let Some(bytes) = self.event {
                    line["event"] = Value::from(String::from_utf8_lossy(bytes));
                }
                line.to_string()
            }
        }
    }
}

/// Bytes of a node's file.
pub fn length(folder: &Path, node: &str) -> u64 {
    std::fs::metadata(path_of(folder, node)).map_or(0, |meta| meta.len())
}

/// Cuts a node's file to what an epoch sealed: what stands behind it will be refused again.
pub fn cut(folder: &Path, node: &str, sealed: u64) -> std::io::Result<()> {
    if length(folder, node) <= sealed {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(path_of(folder, node))?;
    file.set_len(sealed)?;
    file.sync_all()
}

fn path_of(folder: &Path, node: &str) -> PathBuf {
    folder.join(format!("{node}.ndjson"))
}

/// Puts rows into the file of a node. At its bound it takes no more: whoever calls holds.
pub fn put<'l>(folder: &Path, node: &str, letters: impl Iterator<Item = Letter<'l>>) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = path_of(folder, node);
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let length = file.metadata()?.len();
    if length >= DEAD_LETTER_BYTES_MAX {
        return Err(std::io::Error::other(format!("{} is full: look at what was refused, then move it away", path.display())));
    }
    let mut text = String::new();
    for letter in letters {
        text.push_str(&letter.to_json(node));
        text.push('\n');
    }
    if let Err(e) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
        // No half of a line stays.
        file.set_len(length)?;
        return Err(e);
    }
    Ok(())
}
