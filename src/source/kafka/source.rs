//! Reading as a member of a group: partitions come and go, each is read in its order, and offsets are committed when their epoch is durable.
//!
//! A partition that is to be given back is not read any more. It is given back once the epoch of what was read of it is durable and the group has taken its
//! offset (a group that moves partitions refuses offsets for a while), or, after [`KAFKA_DRAIN_MS`], without that: then whoever gets it reads the rest again,
//! and sinks with identities see duplicates.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::commits::Commits;
use super::group::{Group, GroupEvent, TopicPartition};
use super::partition::{Fact, Offsets, Partition};
use super::{Settings, Start};
use crate::clock::Stopwatch;
use crate::component::source::{Fill, Position, Source, SourceContext};
use crate::component::{BoxFuture, Claim, Outage};
use crate::event::builder::Positions;
use crate::event::{BatchBuilder, Origin};
use crate::limits::{KAFKA_DRAIN_MS, KAFKA_FAREWELL_MS, KAFKA_SILENCE};
use crate::net::kafka::{GroupClaim, TIMEOUT};
use crate::window::watermark::Activity;

/// Longest sleep between two looks at the group's events.
const POLL: Duration = Duration::from_millis(50);
/// A trouble that follows another one so soon is not told.
const TOLD_AGAIN: Duration = Duration::from_secs(30);

/// Partitions that are to be given back.
struct Leaving {
    partitions: Vec<TopicPartition>,
    /// They are somebody else's already.
    is_lost: bool,
    since: Stopwatch,
}

/// See the module.
pub(super) struct KafkaSource {
    settings: Settings,
    context: SourceContext,
    facts: Vec<Fact>,
    /// Before the consumer: their queues must go before it does.
    partitions: Vec<Partition>,
    consumer: Option<Arc<BaseConsumer<Group>>>,
    offsets: Offsets,
    commits: Commits,
    /// Somebody else has partitions of which messages are under way: nothing that holds them may be committed together with offsets.
    has_lost: Arc<AtomicBool>,
    leaving: Option<Leaving>,
    /// What is to be said before the next row.
    news: std::collections::VecDeque<Fill>,
    turn: usize,
    since_start: Stopwatch,
    has_assignment: bool,
    has_opened: bool,
    told: Option<Stopwatch>,
    is_troubled: bool,
}

impl KafkaSource {
    pub(super) fn new(settings: Settings, context: SourceContext) -> KafkaSource {
        KafkaSource {
            facts: context.facts.iter().map(|name| Fact::named(name)).collect(),
            settings,
            context,
            partitions: Vec::new(),
            consumer: None,
            offsets: Offsets::default(),
            commits: Commits::default(),
            has_lost: Arc::default(),
            leaving: None,
            news: std::collections::VecDeque::new(),
            turn: 0,
            since_start: Stopwatch::start(),
            has_assignment: false,
            has_opened: false,
            told: None,
            is_troubled: false,
        }
    }

    fn outage(&self, what: &str, error: &KafkaError, group: Option<&Group>) -> Outage {
        self.settings.outage(what, error, group)
    }

    /// Offsets of one cluster mean nothing in another.
    fn check_cluster(&self, found: &str) -> Result<(), Outage> {
        let saved = &self.offsets.cluster;
        if saved.is_empty() || found.is_empty() || saved == found {
            return Ok(());
        }
        let brokers = self.settings.kafka.brokers();
        Err(Outage::new(format!(
            "the state holds offsets of the cluster `{saved}`, and {brokers} is the cluster `{found}`: name its brokers, or start with --fresh"
        )))
    }

    /// Hears the group, and answers it.
    fn serve(&mut self) -> Result<(), Outage> {
        let Some(consumer) = self.consumer.clone() else { return Ok(()) };
        // Messages come by the queues of their partitions; one that was under way before its queue was there comes again after a seek.
        for _ in 0..100 {
            match consumer.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    let id = (message.topic().to_owned(), message.partition());
                    if let Some(next) = self.partitions.iter().find(|p| p.id == id).map(|p| p.next) {
                        consumer.seek(&id.0, id.1, Offset::Offset(next), TIMEOUT).map_err(|e| self.outage("no seek", &e, None))?;
                    }
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    let error = KafkaError::MessageConsumptionFatal(code);
                    return Err(self.outage("the group has shut this member out", &error, Some(consumer.client().context())));
                }
                Some(Err(error)) => self.tell_trouble(&error, consumer.client().context()),
            }
        }
        let group = Arc::clone(consumer.client().context());
        match group.first() {
            Some(GroupEvent::Assigned(partitions)) => {
                self.take_over(&consumer, &partitions)?;
                group.answered();
            }
            Some(GroupEvent::Revoked(partitions, is_lost)) if self.leaving.is_none() => self.leave(partitions, is_lost),
            _ => {}
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.is_lost |= consumer.assignment_lost();
        }
        let is_drained = |l: &Leaving| l.partitions.iter().all(|p| self.is_drained(p));
        let is_over = |l: &Leaving| l.is_lost || is_drained(l) || l.since.elapsed() >= drain_max();
        if self.leaving.as_ref().is_some_and(is_over) {
            self.give_back(&consumer);
            group.answered();
        }
        Ok(())
    }

    /// A peer that is away is told once in a while; the client goes on trying by itself.
    fn tell_trouble(&mut self, error: &KafkaError, group: &Group) {
        let outage = self.outage("brokers", error, Some(group));
        self.tell(&outage);
    }

    fn tell(&mut self, outage: &Outage) {
        if self.told.as_ref().is_none_or(|told| told.elapsed() >= TOLD_AGAIN) {
            (self.told, self.is_troubled) = (Some(Stopwatch::start()), true);
            self.news.push_back(Fill::Word("warn", "source_outage", format!("{outage}; trying again")));
        }
    }

    /// Begins to read partitions.
    fn take_over(&mut self, consumer: &Arc<BaseConsumer<Group>>, ids: &[TopicPartition]) -> Result<(), Outage> {
        if self.offsets.cluster.is_empty() || !self.has_assignment {
            let cluster = consumer.client().fetch_cluster_id(TIMEOUT);
            let cluster = cluster.ok_or_else(|| Outage::new("the brokers do not say which cluster they are"))?;
            self.check_cluster(&cluster)?;
            self.offsets.cluster = cluster;
        }
        let known = consumer.committed_offsets(list_of(ids), TIMEOUT).map_err(|e| self.outage("no committed offsets", &e, None))?;
        let mut starts = Vec::new();
        for id in ids {
            let committed = match known.find_partition(&id.0, id.1).map(|e| e.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => None,
            };
            self.commits.heard(id, committed);
            starts.push((id.clone(), self.start_of(consumer, id, committed)?));
        }
        self.assign(consumer, &starts)?;
        self.has_assignment = true;
        Ok(())
    }

    /// Reads partitions from these offsets on.
    fn assign(&mut self, consumer: &Arc<BaseConsumer<Group>>, starts: &[(TopicPartition, i64)]) -> Result<(), Outage> {
        let mut list = TopicPartitionList::new();
        for (id, start) in starts {
            list.add_partition_offset(&id.0, id.1, Offset::Offset(*start)).map_err(|e| self.outage("no assignment", &e, None))?;
            let mut queue =
                consumer.split_partition_queue(&id.0, id.1).ok_or_else(|| Outage::new(format!("{} has no partition {}", id.0, id.1)))?;
            let wake = Arc::clone(&consumer.client().context().wake);
            queue.set_nonempty_callback(move || wake.notify_one());
            let origin = Arc::new(Origin {
                source: self.settings.name.clone(),
                partition: format!("{}/{}", id.0, id.1),
                identity: self.offsets.cluster.clone().into_bytes(),
                ..Origin::default()
            });
            self.partitions.retain(|p| p.id != *id);
            self.offsets.next.insert(id.clone(), *start);
            self.context.pace.resume(&origin);
            self.news.push_back(Fill::Partition(Arc::clone(&origin), Activity::Live));
            self.partitions.push(Partition::new(id.clone(), origin, queue, *start));
        }
        consumer.incremental_assign(&list).map_err(|e| self.outage("no assignment", &e, None))
    }

    /// The offset at which a partition goes on: the greater one of what the state holds and what the group has committed, else as `start` says.
    fn start_of(&mut self, consumer: &BaseConsumer<Group>, id: &TopicPartition, committed: Option<i64>) -> Result<i64, Outage> {
        let known = self.offsets.next.get(id).copied().max(committed);
        let (low, high) = consumer.fetch_watermarks(&id.0, id.1, TIMEOUT).map_err(|e| self.outage("no offsets", &e, None))?;
        let Some(next) = known else {
            return Ok(match self.settings.start {
                Start::Earliest => low,
                Start::Latest => high,
                Start::At(ms) => {
                    let mut list = TopicPartitionList::new();
                    let fault = |e: KafkaError| self.outage("no offsets", &e, None);
                    list.add_partition_offset(&id.0, id.1, Offset::Offset(ms)).map_err(fault)?;
                    let found = consumer.offsets_for_times(list, TIMEOUT).map_err(fault)?;
                    match found.elements().first().map(|e| e.offset()) {
                        Some(Offset::Offset(offset)) => offset,
                        _ => high,
                    }
                }
            });
        };
        if (low..=high).contains(&next) {
            return Ok(next);
        }
        let gone = if next < low {
            format!("the {} messages from offset {next} on were deleted before they were read", low - next)
        } else {
            format!("it ends at {high}, and was read up to {next}: it was made anew")
        };
        let word = format!("partition {} of `{}`: {gone}; reading from {low} on", id.1, id.0);
        self.news.push_back(Fill::Word("error", "offsets_gone", word));
        Ok(low)
    }

    /// Stops reading partitions that are to be given back.
    fn leave(&mut self, ids: Vec<TopicPartition>, is_lost: bool) {
        let (gone, kept) = std::mem::take(&mut self.partitions).into_iter().partition(|p| ids.contains(&p.id));
        self.partitions = kept;
        for partition in gone {
            self.context.pace.release(&partition.origin);
            self.news.push_back(Fill::Partition(partition.origin, Activity::Ended));
        }
        self.leaving = Some(Leaving { partitions: ids, is_lost, since: Stopwatch::start() });
    }

    /// Whether all that was read of a partition is durable, and the group knows: it is only told what is durable.
    fn is_drained(&self, id: &TopicPartition) -> bool {
        self.offsets.next.get(id).is_none_or(|next| self.commits.knows(id, *next))
    }

    fn give_back(&mut self, consumer: &BaseConsumer<Group>) {
        let Some(leaving) = self.leaving.take() else { return };
        let open = leaving.partitions.iter().filter(|id| !self.is_drained(id)).count();
        if open > 0 {
            let word = format!(
                "{open} partitions were given back before all that was read of them was durable and committed: the next member reads it again"
            );
            self.news.push_back(Fill::Word("warn", "not_drained", word));
            self.has_lost.store(true, Ordering::Release);
        }
        for id in &leaving.partitions {
            self.commits.forget(id);
        }
        if let Err(e) = consumer.incremental_unassign(&list_of(&leaving.partitions)) {
            let outage = self.outage("partitions could not be given back", &e, None);
            self.news.push_back(Fill::Word("warn", "source_outage", outage.message));
        }
    }

    /// Looks through the partitions for one that has something.
    fn read(&mut self, builder: &mut BatchBuilder) -> Result<Option<Fill>, Outage> {
        let count = self.partitions.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let partition = &mut self.partitions[at];
            if !self.context.pace.may_read(&partition.origin) {
                continue;
            }
            let outcome = partition.read(&self.facts, &self.context.discarded, builder);
            self.offsets.next.insert(partition.id.clone(), partition.next);
            if let Err(fault) = outcome {
                self.mend(at, &fault)?;
                return Ok(None);
            }
            if builder.lines.is_empty() {
                continue;
            }
            let partition = &mut self.partitions[at];
            partition.silent_since = None;
            if std::mem::take(&mut partition.is_idle) {
                self.context.pace.resume(&partition.origin);
            }
            let origin = Arc::clone(&partition.origin);
            let base = builder.told.first().copied().unwrap_or_default();
            self.turn = at + 1;
            if std::mem::take(&mut self.is_troubled) {
                self.news.push_back(Fill::Word("info", "source_recovered", "reads again".to_owned()));
            }
            return Ok(Some(Fill::Rows { origin, base, positions: Positions::Told }));
        }
        Ok(None)
    }

    /// Answers a fault of one partition.
    fn mend(&mut self, at: usize, fault: &KafkaError) -> Result<(), Outage> {
        let Some(consumer) = self.consumer.clone() else { return Ok(()) };
        let id = self.partitions[at].id.clone();
        let is_gone = matches!(fault.rdkafka_error_code(), Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange));
        if !is_gone {
            self.tell_trouble(fault, consumer.client().context());
            return Ok(());
        }
        let next = self.start_of(&consumer, &id, None).inspect_err(|_| self.partitions[at].fault = Some(fault.clone()))?;
        // The client has given the partition up: only a new assignment starts it again.
        self.partitions.remove(at);
        consumer.incremental_unassign(&list_of(std::slice::from_ref(&id))).map_err(|e| self.outage("no assignment", &e, None))?;
        self.assign(&consumer, &[(id, next)])
    }

    /// Tells partitions that have been silent for too long, or, where the run ends at the end of its input, that are over.
    fn look_for_silence(&mut self) -> Option<Fill> {
        let now = self.context.clock.now();
        let until_end = self.context.until_end;
        let timeout = self.context.idle_timeout;
        for partition in self.partitions.iter_mut().filter(|p| !p.is_idle) {
            let since = *partition.silent_since.get_or_insert(now);
            let longest = if partition.is_at_end { timeout } else { timeout.saturating_add(KAFKA_SILENCE) };
            let activity = match (until_end, partition.is_at_end) {
                (true, true) => Activity::Ended,
                (false, _) if now - since >= longest => Activity::Idle,
                _ => continue,
            };
            partition.is_idle = true;
            self.context.pace.release(&partition.origin);
            return Some(Fill::Partition(Arc::clone(&partition.origin), activity));
        }
        None
    }

    fn fill_now(&mut self, builder: &mut BatchBuilder) -> Result<Option<Fill>, Outage> {
        self.serve()?;
        if let Some(news) = self.news.pop_front() {
            return Ok(Some(news));
        }
        if !self.has_opened && (self.has_assignment || self.since_start.elapsed() >= TIMEOUT) {
            self.has_opened = true;
            return Ok(Some(Fill::Opened));
        }
        if let Some(rows) = self.read(builder)? {
            return Ok(Some(rows));
        }
        if let Some(silent) = self.look_for_silence() {
            return Ok(Some(silent));
        }
        let is_over = self.context.until_end && self.has_assignment && self.leaving.is_none() && self.partitions.iter().all(|p| p.is_idle);
        Ok(is_over.then_some(Fill::End))
    }
}

/// Partitions whose offsets this member may commit.
fn held<'a>(partitions: &'a [Partition], leaving: Option<&'a Leaving>) -> impl Iterator<Item = &'a TopicPartition> {
    let leaving = leaving.filter(|l| !l.is_lost).into_iter().flat_map(|l| &l.partitions);
    partitions.iter().map(|p| &p.id).chain(leaving)
}

fn list_of(ids: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, number) in ids {
        list.add_partition(topic, *number);
    }
    list
}

fn drain_max() -> Duration {
    Duration::from_millis(KAFKA_DRAIN_MS)
}

impl Source for KafkaSource {
    fn connect(&mut self, from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        let offsets = from.map_or(Ok(Offsets::default()), Offsets::from_bytes);
        Box::pin(async move {
            self.offsets = offsets.map_err(|e| Outage::new(e.to_string()))?;
            // Brokers that are away now may come; they are told of when they are read from.
            let partitions = match self.settings.look() {
                Ok((cluster, partitions)) => {
                    self.check_cluster(&cluster)?;
                    partitions
                }
                Err(outage) => {
                    self.news.push_back(Fill::Word("warn", "source_outage", format!("{outage}; trying again")));
                    self.is_troubled = true;
                    0
                }
            };
            let consumer = Arc::new(self.settings.member(partitions, &self.context.registry)?);
            self.commits.start(&consumer).map_err(|e| Outage::new(format!("no thread: {e}")))?;
            self.consumer = Some(consumer);
            Ok(())
        })
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<String, Outage>> {
        let found = self.settings.look();
        let topics = self.settings.topics.join(", ");
        Box::pin(async move { found.map(|(cluster, partitions)| format!("cluster {cluster}, {partitions} partitions of {topics}")) })
    }

    fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>> {
        Box::pin(async move {
            if let Some(fill) = self.fill_now(builder)? {
                return Ok(fill);
            }
            if let Some(consumer) = &self.consumer {
                let wake = Arc::clone(&consumer.client().context().wake);
                let _ = tokio::time::timeout(POLL, wake.notified()).await;
            }
            Ok(Fill::Wait(Duration::ZERO))
        })
    }

    fn tend(&mut self) {
        if let Err(outage) = self.serve() {
            self.tell(&outage);
        }
    }

    fn position(&self) -> Position {
        self.offsets.to_bytes()
    }

    fn claim(&self) -> Option<Claim> {
        let consumer = self.consumer.clone()?;
        let of = |id: &TopicPartition| Some((id.0.clone(), id.1, *self.offsets.next.get(id)?));
        let offsets: Vec<_> = held(&self.partitions, self.leaving.as_ref()).filter_map(of).collect();
        let has_lost = Arc::clone(&self.has_lost);
        let member = move || consumer.group_metadata().filter(|_| !has_lost.load(Ordering::Acquire));
        let claim = GroupClaim { cluster: self.offsets.cluster.clone(), offsets, member: Box::new(member) };
        (!claim.offsets.is_empty() || self.has_lost.load(Ordering::Acquire)).then(|| Arc::new(claim) as Claim)
    }

    fn commit(&mut self, upto: &Position) -> BoxFuture<'_, Result<(), Outage>> {
        let done = Offsets::from_bytes(upto).map_err(|e| Outage::new(e.to_string()));
        Box::pin(async move {
            self.commits.durable = done?;
            self.commits.tell(held(&self.partitions, self.leaving.as_ref()));
            Ok(())
        })
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else { return };
        let group = Arc::clone(consumer.client().context());
        self.commits.settle(Duration::from_millis(KAFKA_FAREWELL_MS));
        group.is_closing.store(true, Ordering::Release);
        self.partitions.clear();
        if self.leaving.is_some() {
            self.give_back(&consumer);
            group.answered();
        }
        // The client cannot be closed while it waits for an answer.
        while let Some(event) = group.first() {
            let _ = match event {
                GroupEvent::Assigned(ids) => consumer.incremental_assign(&list_of(&ids)),
                GroupEvent::Revoked(ids, _) => consumer.incremental_unassign(&list_of(&ids)),
            };
            group.answered();
        }
    }
}
