//! What the group is told of how far its partitions were read. It is only told what is durable, and told again what it has not taken: while it moves
//! partitions it refuses offsets for a while. The client answers nothing but the call itself, so a thread of its own waits for that.
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::group::{Group, TopicPartition};
use super::partition::Offsets;

/// What was refused is told again after this.
const AGAIN: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Default)]
pub(super) struct Commits {
    /// Offsets of the last durable epoch.
    pub(super) durable: Offsets,
    ledger: Arc<Ledger>,
    thread: Option<JoinHandle<()>>,
}

/// What the source and the thread share.
#[derive(Default)]
struct Ledger {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Default)]
struct Entries {
    /// What the group is to know, and what it is known to hold.
    wanted: BTreeMap<TopicPartition, i64>,
    known: BTreeMap<TopicPartition, i64>,
    is_over: bool,
}

impl Entries {
    fn open(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.wanted.iter().filter(|(id, next)| self.known.get(*id) != Some(*next)).map(|(id, next)| (id, *next))
    }
}

impl Commits {
    /// Begins to tell.
    pub(super) fn start(&mut self, consumer: &Arc<BaseConsumer<Group>>) -> std::io::Result<()> {
        let (consumer, ledger) = (Arc::clone(consumer), Arc::clone(&self.ledger));
        let thread = std::thread::Builder::new().name("kafka-commits".into());
        self.thread = Some(thread.spawn(move || ledger.tell(&consumer))?);
        Ok(())
    }

    /// The group is to know what is durable of these partitions.
    pub(super) fn tell<'a>(&mut self, held: impl Iterator<Item = &'a TopicPartition>) {
        let mut entries = self.ledger.lock();
        for id in held {
            if let Some(next) = self.durable.next.get(id) {
                entries.wanted.insert(id.clone(), *next);
            }
        }
        self.ledger.changed.notify_all();
    }

    /// The group holds this offset of a partition that is ours from now on, or none.
    pub(super) fn heard(&mut self, id: &TopicPartition, offset: Option<i64>) {
        self.forget(id);
        if let Some(offset) = offset {
            self.ledger.lock().known.insert(id.clone(), offset);
        }
    }

    /// A partition is not ours any more.
    pub(super) fn forget(&mut self, id: &TopicPartition) {
        let mut entries = self.ledger.lock();
        entries.wanted.remove(id);
        entries.known.remove(id);
    }

    /// Whether the group is known to hold this offset of a partition.
    pub(super) fn knows(&self, id: &TopicPartition, offset: i64) -> bool {
        self.ledger.lock().known.get(id) == Some(&offset)
    }

    /// Waits until the group knows what it is to know, or for so long.
    pub(super) fn settle(&self, longest: Duration) {
        let entries = self.ledger.lock();
        let _ = self.ledger.changed.wait_timeout_while(entries, longest, |entries| entries.open().next().is_some());
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        let mut entries = self.ledger.lock();
        let is_silent = entries.open().next().is_some();
        entries.is_over = true;
        drop(entries);
        self.ledger.changed.notify_all();
        // A thread that the brokers do not answer is not waited for.
        if let Some(thread) = self.thread.take().filter(|_| !is_silent) {
            let _ = thread.join();
        }
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the group whatever is open, until it is over.
    fn tell(&self, consumer: &BaseConsumer<Group>) {
        let mut entries = self.lock();
        loop {
            entries = self.changed.wait_while(entries, |e| !e.is_over && e.open().next().is_none()).unwrap_or_else(PoisonError::into_inner);
            if entries.is_over {
                return;
            }
            let open: Vec<(TopicPartition, i64)> = entries.open().map(|(id, next)| (id.clone(), next)).collect();
            drop(entries);
            let outcome = commit(consumer, &open);
            let is_taken = outcome.is_ok();
            consumer.client().context().note_commit(outcome);
            entries = self.lock();
            if is_taken {
                for (id, next) in open {
                    // It may have been given back meanwhile.
                    if entries.wanted.contains_key(&id) {
                        entries.known.insert(id, next);
                    }
                }
                self.changed.notify_all();
            } else {
                let wait = self.changed.wait_timeout_while(entries, AGAIN, |e| !e.is_over);
                entries = wait.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

fn commit(consumer: &BaseConsumer<Group>, offsets: &[(TopicPartition, i64)]) -> KafkaResult<()> {
    let mut list = TopicPartitionList::new();
    for (id, next) in offsets {
        list.add_partition_offset(&id.0, id.1, Offset::Offset(*next))?;
    }
    consumer.commit(&list, CommitMode::Sync)
}
