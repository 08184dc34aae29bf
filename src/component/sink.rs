//! A sink: encodes rows into bodies and sends bodies. Retry, in-flight limits and settling are the runtime's.

use super::BoxFuture;
use crate::codec::format::json_out::{EventWriter, RowFacts};
use crate::event::Batch;

/// A peer that cannot be used now. The runtime backs off and tries again; nothing is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// What happened, without secrets.
    pub message: String,
    /// Nothing can follow: the reader went away for good, and the run ends quietly.
    pub is_final: bool,
}

impl Outage {
    /// An outage that may pass.
    pub fn new(message: impl Into<String>) -> Outage {
        Outage { message: message.into(), is_final: false }
    }
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Rows on their way out.
#[derive(Debug, Default)]
pub struct Body {
    /// The encoded rows.
    pub bytes: Vec<u8>,
    /// End of each row in `bytes`.
    pub ends: Vec<usize>,
    /// Rows that a try has delivered already: they are not sent again.
    pub sent: usize,
}

impl Body {
    /// Rows in it.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Makes it empty and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.sent = 0;
    }
}

/// Makes the sink once everything is known.
pub type SinkFactory = Box<dyn Fn() -> Box<dyn Sink>>;

/// Writes to outside.
pub trait Sink: Send {
    /// Opens the destination, given what was sealed last.
    fn connect(&mut self, last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>>;
    /// Looks whether the destination can be used, and says what is there; changes nothing. For `check --connect`.
    fn probe(&mut self) -> BoxFuture<'_, Result<String, Outage>> {
        Box::pin(async { Ok("has no peer".to_owned()) })
    }
    /// Appends a row to a body.
    fn encode(&self, writer: &EventWriter, batch: &Batch, row: usize, facts: RowFacts, body: &mut Body) {
        writer.write(batch, row, facts, &mut body.bytes);
        body.ends.push(body.bytes.len());
    }
    /// Sends a body. After an outage it is called again with the same body; `body.sent` says what arrived.
    fn send<'a>(&'a mut self, body: &'a mut Body) -> BoxFuture<'a, Result<(), Outage>>;
    /// Makes what was sent durable and says how to come back to here.
    fn seal(&mut self) -> BoxFuture<'_, Result<Vec<u8>, Outage>>;
    /// An epoch is durable.
    fn commit(&mut self, _epoch: u64) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }
    /// Whether rows that nobody reads may be dropped without encoding.
    fn discards(&self) -> bool {
        false
    }
}
