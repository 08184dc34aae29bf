//! Dead letters: what could not be treated, as one JSON object each. The built-in form is a file for each node, whose lines are on the disk before the run goes on;
//! a sink's may go to another sink instead, as events.
use std::fs::OpenOptions;
use std::io::{Error, Result, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::lane::Lane;
use super::message::{Barrier, Message};
use crate::clock::Timestamp;
use crate::event::{Input, Origin, id, time};
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

/// Where rows go that a sink's peer refuses.
pub enum DeadLetter {
    /// This run has none.
    Nowhere,
    /// The file of the node, in this folder.
    File(PathBuf),
    /// Another sink. What went there before a barrier is a part of its epoch.
    Sink(Box<Lane>),
}

impl DeadLetter {
    /// Bytes of the node's file.
    pub fn length(&self, node: &str) -> u64 {
        match self {
            DeadLetter::File(folder) => length(folder, node),
            DeadLetter::Nowhere | DeadLetter::Sink(_) => 0,
        }
    }

    /// Puts rows there, all or none.
    pub fn put<'l>(&mut self, node: &str, letters: impl Iterator<Item = Letter<'l>>) -> Result<()> {
        match self {
            DeadLetter::Nowhere => Err(Error::other("rows were refused, and this run has no dead letter")),
            DeadLetter::File(folder) => put(folder, node, letters),
            DeadLetter::Sink(lane) if !lane.has_room() => Err(Error::other("the sink that gets it takes nothing now")),
            DeadLetter::Sink(lane) => {
                for letter in letters {
                    // What is refused again after a crash is the same letter.
                    let known = Some(id::event_hash(b"dead_letter", node.as_bytes(), 0, &letter.id));
                    let origin = Origin { source: node.to_owned(), partition: "dead_letter".to_owned(), known, ..Origin::default() };
                    let mut input = Input::of_lines([letter.to_json(node).as_bytes()], Arc::new(origin), 0);
                    input.received = letter.time;
                    lane.run(Arc::new(input), None);
                }
                Ok(())
            }
        }
    }

    /// A barrier passes behind all rows before it.
    pub fn on_barrier(&mut self, barrier: Barrier) {
        if let DeadLetter::Sink(lane) = self {
            lane.on_barrier();
            lane.send_control(&Message::Barrier(barrier));
        }
    }
}

/// Bytes of a node's file.
pub fn length(folder: &Path, node: &str) -> u64 {
    std::fs::metadata(path_of(folder, node)).map_or(0, |meta| meta.len())
}

/// Cuts a node's file to what an epoch sealed: what stands behind it will be refused again.
pub fn cut(folder: &Path, node: &str, sealed: u64) -> Result<()> {
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
pub fn put<'l>(folder: &Path, node: &str, letters: impl Iterator<Item = Letter<'l>>) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = path_of(folder, node);
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let length = file.metadata()?.len();
    if length >= DEAD_LETTER_BYTES_MAX {
        return Err(Error::other(format!("{} is full: look at what was refused, then move it away", path.display())));
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
