//! What flows along an edge, in one order: data, news of partitions, watermarks, barriers, the end.
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::component::HitBatch;
use crate::event::{Batch, Input, Origin};
use crate::window::watermark::Activity;

/// A barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Its epoch.
    pub epoch: u64,
    /// Nothing follows: the run ends behind it.
    pub is_last: bool,
}

/// What flows.
#[derive(Clone, Debug)]
pub enum Message {
    /// Raw lines, from intake to a lane.
    Input(Arc<Input>),
    /// Selected rows, from a lane to a delivery.
    Rows(Arc<Batch>, Arc<Vec<u16>>),
    /// Turns of messages that an edge was too full for.
    Skipped(u64),
    /// Hits, from a lane to a shard of a rule.
    Hits(Arc<Batch>, Arc<HitBatch>),
    /// The turns of batches that hold no hit for the shard, which need to know their times only.
    Quiet(Vec<Arc<Batch>>),
    /// A partition appeared, fell silent, or ended; with the present time.
    Partition(Arc<Origin>, Activity, Timestamp),
    /// All partitions that are there at the start have been named.
    Opened,
    /// A rule's time has come so far.
    Watermark(Timestamp),
    /// See [`Barrier`].
    Barrier(Barrier),
    /// Nothing more but barriers.
    End,
}

impl Message {
    /// Bytes that it holds on an edge.
    pub fn bytes(&self) -> usize {
        match self {
            Message::Input(input) => input.bytes().len(),
            Message::Rows(batch, _) | Message::Hits(batch, _) => batch.input.bytes().len(),
            Message::Quiet(batches) => batches.iter().map(|batch| batch.input.bytes().len()).sum(),
            _ => 64,
        }
    }

    /// Turns that it takes of an edge's room.
    pub fn turns(&self) -> usize {
        if let Message::Quiet(batches) = self { batches.len() } else { 1 }
    }

    /// Whether every copy of an edge gets it, instead of one in turn.
    pub fn is_control(&self) -> bool {
        !matches!(self, Message::Input(_) | Message::Rows(..) | Message::Hits(..) | Message::Quiet(_) | Message::Skipped(_))
    }
}
