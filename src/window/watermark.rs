//! Event time of the partitions that reach a node: what is late, and how far the node may go.
//!
//! Whether an event is late is a function of its own partition's order alone. Let M be the greatest earlier time of its partition: an event is late when
//! its time < M − lateness. A time far ahead of M is pending, and joins M only when three in a row are.
use crate::clock::{NEVER, Timestamp};
use crate::event::batch::{TIME_MISSING, TimesSum};
use crate::limits::JUMP_MAX;
use crate::state::{StateError, StateReader, StateWriter};

/// Consecutive pending events after which the least of them is believed.
const PENDING_MAX: usize = 3;

/// How a source's times are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimePolicy {
    /// How far behind M an event may come and still be in time.
    pub lateness: i64,
    /// How far ahead of M a time is believed at once.
    pub jump_max: i64,
}

impl Default for TimePolicy {
    fn default() -> TimePolicy {
        TimePolicy { lateness: 0, jump_max: JUMP_MAX }
    }
}

/// The time that an event has in its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its own time.
    pub time: Timestamp,
    /// M − lateness, where the event came behind it.
    pub behind: Option<Timestamp>,
    /// M before the event.
    pub greatest: Timestamp,
}

/// M of one partition.
#[derive(Clone, Debug)]
pub struct PartitionClock {
    policy: TimePolicy,
    /// Greatest time so far, [`NEVER`] before the first.
    pub greatest: Timestamp,
    /// Time of the last event.
    pub last: Timestamp,
    pending: [Timestamp; PENDING_MAX],
    pending_len: usize,
}

impl PartitionClock {
    /// A partition without events.
    pub fn new(policy: TimePolicy) -> PartitionClock {
        PartitionClock { policy, greatest: NEVER, last: NEVER, pending: [0; PENDING_MAX], pending_len: 0 }
    }

    /// Judges the next event and takes it into M. `now` stands in for M before the first event and for a time that nobody knows.
    #[inline]
    pub fn judge(&mut self, time: Timestamp, now: Timestamp) -> Judged {
        let time = if time == TIME_MISSING { if self.last == NEVER { now } else { self.last } } else { time };
        self.last = time;
        let greatest = self.greatest;
        let measure = if greatest == NEVER { now } else { greatest };
        if time > measure.saturating_add(self.policy.jump_max) {
            self.pending[self.pending_len] = time;
            self.pending_len += 1;
            if self.pending_len == PENDING_MAX {
                let least = self.pending.iter().copied().min().unwrap_or(time);
                self.greatest = greatest.max(least);
                self.pending_len = 0;
            }
            return Judged { time, behind: None, greatest };
        }
        self.pending_len = 0;
        self.greatest = greatest.max(time);
        let behind = (greatest != NEVER && time < greatest.saturating_sub(self.policy.lateness)).then(|| greatest - self.policy.lateness);
        Judged { time, behind, greatest }
    }

    /// Whether no event of a batch can be pending or of unknown time, so that its rows may be judged one by one without the others.
    #[inline]
    pub fn is_plain(&self, batch: TimesSum) -> bool {
        let is_believed = batch.greatest <= self.greatest.saturating_add(self.policy.jump_max);
        self.greatest != NEVER && self.pending_len == 0 && !batch.any_missing && is_believed
    }

    /// Judges one row of a plain batch: `before` is the greatest time of the rows before it.
    #[inline]
    pub fn judge_plain(&self, time: Timestamp, before: Timestamp) -> Judged {
        let greatest = self.greatest.max(before);
        let limit = greatest.saturating_sub(self.policy.lateness);
        Judged { time, behind: (time < limit).then_some(limit), greatest }
    }

    /// Takes a plain batch into M.
    #[inline]
    pub fn pass_plain(&mut self, batch: TimesSum) {
        self.greatest = self.greatest.max(batch.greatest);
        self.last = batch.last;
    }

    /// No later event counts with a smaller time.
    pub fn watermark(&self) -> Timestamp {
        if self.greatest == NEVER { NEVER } else { self.greatest.saturating_sub(self.policy.lateness) }
    }

    /// Writes the partition's state.
    pub fn save(&self, out: &mut StateWriter) {
        out.i64(self.greatest);
        out.i64(self.last);
        out.u8(self.pending_len as u8);
        self.pending.iter().for_each(|p| out.i64(*p));
    }

    /// Reads the partition's state.
    pub fn load(policy: TimePolicy, from: &mut StateReader<'_>) -> Result<PartitionClock, StateError> {
        let mut clock = PartitionClock::new(policy);
        clock.greatest = from.i64()?;
        clock.last = from.i64()?;
        clock.pending_len = usize::from(from.u8()?).min(PENDING_MAX - 1);
        for pending in &mut clock.pending {
            *pending = from.i64()?;
        }
        Ok(clock)
    }
}

/// Whether a partition holds time back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It may give events: the watermark waits for it.
    Live,
    /// It has been silent for too long.
    Idle,
    /// It gives nothing more.
    Ended,
}

/// One partition that reaches a node.
#[derive(Clone, Debug)]
pub struct Partition {
    /// Which input of the node.
    pub port: usize,
    /// Sorts the partitions: source, then partition.
    pub name: (String, String),
    /// Identity for event ids.
    pub identity: Vec<u8>,
    /// Its M.
    pub clock: PartitionClock,
    /// Whether it is waited for.
    pub activity: Activity,
    /// A watermark that came with the stream, for inputs that are other rules.
    pub told: Option<Timestamp>,
    /// Present time that an idle partition's watermark follows.
    pub idle_since: Timestamp,
}

/// All partitions that reach a node.
#[derive(Clone, Debug, Default)]
pub struct Partitions {
    /// By number; numbers are never reused.
    pub all: Vec<Partition>,
    /// Rank of each by name.
    pub ranks: Vec<u32>,
    /// Inputs that have not said yet which partitions they have.
    pub unopened: usize,
    /// Watermark promised so far.
    pub released: Timestamp,
}

impl Partitions {
    /// Before any partition is known.
    pub fn new(ports: usize) -> Partitions {
        Partitions { unopened: ports, released: NEVER, ..Partitions::default() }
    }

    /// The number of a partition.
    pub fn find(&self, port: usize, source: &str, partition: &str) -> Option<usize> {
        self.all.iter().position(|p| p.port == port && p.name.0 == source && p.name.1 == partition)
    }

    /// The number of a partition, which is made if it is new.
    pub fn open(&mut self, port: usize, source: &str, partition: &str, policy: TimePolicy) -> usize {
        if let Some(found) = self.find(port, source, partition) {
            self.all[found].clock.policy = policy;
            return found;
        }
        self.all.push(Partition {
            port,
            name: (source.to_owned(), partition.to_owned()),
            identity: Vec::new(),
            clock: PartitionClock::new(policy),
            activity: Activity::Live,
            told: None,
            idle_since: NEVER,
        });
        self.rank();
        self.all.len() - 1
    }

    /// Sorts by name, bytewise.
    pub fn rank(&mut self) {
        let mut order: Vec<usize> = (0..self.all.len()).collect();
        order.sort_by(|a, b| self.all[*a].name.cmp(&self.all[*b].name));
        self.ranks = vec![0; order.len()];
        // Equal names, such as the shards of one rule, share a rank: what decides among them is the order of their hits.
        let mut rank = 0;
        for pair in order.windows(2) {
            self.ranks[pair[0]] = rank;
            rank += u32::from(self.all[pair[0]].name != self.all[pair[1]].name);
        }
        if let Some(last) = order.last() {
            self.ranks[*last] = rank;
        }
    }

    /// Whether one partition alone reaches the node, so that hits at the watermark may go at once.
    pub fn is_single(&self) -> bool {
        self.unopened == 0 && self.all.len() == 1 && self.all[0].told.is_none()
    }

    /// How far the node may go, never back. None while some input is silent about itself.
    pub fn watermark(&mut self) -> Timestamp {
        if self.unopened > 0 {
            return self.released;
        }
        let own = |p: &Partition| p.told.unwrap_or_else(|| p.clock.watermark());
        let live = self.all.iter().filter(|p| p.activity == Activity::Live).map(own).min();
        let idle = || self.all.iter().filter(|p| p.activity == Activity::Idle).map(|p| own(p).max(p.idle_since)).min();
        let candidate = live.or_else(idle).unwrap_or(NEVER);
        self.released = self.released.max(candidate);
        self.released
    }

    /// The greatest counted time over all partitions: how far time goes when all input has ended.
    pub fn greatest(&self) -> Timestamp {
        self.all.iter().map(|p| p.told.unwrap_or(NEVER).max(p.clock.greatest)).max().unwrap_or(NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn plain_batches_are_judged_as_single_events(times in prop::collection::vec(0i64..50, 1..60), cut in 1usize..20, lateness in 0i64..10) {
            let policy = TimePolicy { lateness, jump_max: 1000 };
            let (mut one, mut batched) = (PartitionClock::new(policy), PartitionClock::new(policy));
            for batch in times.chunks(cut) {
                let max = batch.iter().copied().max().unwrap();
                let want: Vec<Judged> = batch.iter().map(|t| one.judge(*t, 25)).collect();
                let sum = TimesSum { greatest: max, last: batch[batch.len() - 1], any_missing: false };
                if batched.is_plain(sum) {
                    let mut before = NEVER;
                    for (time, want) in batch.iter().zip(&want) {
                        prop_assert_eq!(&batched.judge_plain(*time, before), want);
                        before = before.max(*time);
                    }
                    batched.pass_plain(sum);
                } else {
                    batch.iter().for_each(|t| {
                        batched.judge(*t, 25);
                    });
                }
                prop_assert_eq!(one.watermark(), batched.watermark());
            }
        }
    }

    #[test]
    fn a_lone_jump_is_not_believed_and_three_are() {
        let mut clock = PartitionClock::new(TimePolicy { lateness: 0, jump_max: 10 });
        clock.judge(100, 100);
        clock.judge(500, 100);
        assert_eq!(clock.judge(101, 100).behind, None);
        clock.judge(700, 100);
        clock.judge(600, 100);
        clock.judge(650, 100);
        assert_eq!(clock.greatest, 600);
    }
}
