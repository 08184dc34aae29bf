//! The disk buffer behind a source: what it reads goes to a file queue first, and on from there, so it reads on while what follows has no room, and what it
//! cannot read again outlives a kill -9.
//!
//! Each record says where the source stood behind it. An epoch knows up to where the queue was read; at a start, the source goes on behind the last whole
//! record, and what waits between the two goes first. While nothing waits, rows go on from memory and the queue is only written. If the disk takes nothing
//! then, they go on all the same, and what is written later says that there was a gap.
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::disk_queue::{DiskQueue, Nature, Place};
use super::journal_record::{self, Entry, Standing};
use crate::clock::{Clock, Stopwatch};
use crate::component::sink::WhenFull;
use crate::component::source::{Fill, Position, Source};
use crate::component::{BoxFuture, Outage};
use crate::event::{BatchBuilder, Origin};
use crate::limits::BATCH_BYTES_MAX;
use crate::metrics::Counter;
use crate::state::StateWriter;

/// What a batch may take in the queue, with its tables.
const RECORD_BYTES: u64 = 2 * BATCH_BYTES_MAX as u64;

/// A source that reads ahead is told so often that what it read is on the disk.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a full queue, or a disk that takes nothing, is left alone.
const REST: Duration = Duration::from_millis(100);

/// An empty queue keeps so much on the disk.
const TURN_OVER_BYTES: u64 = BATCH_BYTES_MAX as u64;

/// Batches that are read ahead at once.
const AHEAD_MAX: usize = 16;

/// What a journal is made of, beside its source.
pub struct Settings {
    /// Where its segments lie.
    pub folder: PathBuf,
    /// The kind of the source.
    pub kind: &'static str,
    /// Most bytes of it.
    pub bytes_max: u64,
    /// What becomes of rows that find no room.
    pub when_full: WhenFull,
    /// Counts those that are dropped.
    pub dropped: Counter,
    /// Bytes on the disk.
    pub bytes: metrics::Gauge,
    /// Tells when a row was read.
    pub clock: Clock,
}

/// See the module.
pub struct Journal {
    source: Box<dyn Source>,
    settings: Settings,
    /// There once it is connected.
    queue: Option<DiskQueue>,
    /// Where the source stood behind the last record that was read, and stands now.
    read: Standing,
    written: Standing,
    /// What is no row and came while rows waited: it goes on when those before it have.
    waiting: VecDeque<(Place, Fill)>,
    /// What was read ahead, and is in no record yet.
    ahead: BatchBuilder,
    held: Option<(Arc<Origin>, Entry)>,
    has_ended: bool,
    since_commit: Stopwatch,
    /// A sync that is under way, and where the source stood when it began.
    syncing: Option<(JoinHandle<std::io::Result<Place>>, Position)>,
    /// Where it was told that all before is durable.
    told: Position,
    /// Since when a disk that took nothing is left alone.
    rest: Option<Stopwatch>,
    /// Whether the end of an outage of the disk is still to be told, and whether one of the source was.
    is_troubled: bool,
    is_source_away: bool,
    scratch: StateWriter,
    /// The record that was read last.
    record: Vec<u8>,
}

fn nature(kind: &str) -> Nature<'_> {
    Nature { magic: b"tripline journal", version: 1, name: "disk buffer", owner: ("source", kind) }
}

fn outage(what: &str, e: impl std::fmt::Display) -> Outage {
    Outage::new(format!("disk buffer: {what}{e}"))
}

/// The position of a source whose pipeline has no journal for it any more; an error if rows still wait in one.
pub fn position_without(saved: &[u8], folder: Option<PathBuf>, kind: &str) -> Result<Vec<u8>, String> {
    let (read, mut last) = journal_record::load_position(saved).map_err(|e| e.0)?;
    let mut waits = false;
    if let (Some(read), Some(folder)) = (read, folder) {
        let found = |record: &[u8]| {
            waits |= follows(record, &mut last);
            waits
        };
        DiskQueue::recover(&folder, nature(kind), u64::MAX, Some(read), found).map_err(|e| format!("disk buffer: {e}"))?;
    }
    if waits {
        let help = "run with `buffer: {disk: …}` on what reads it until they have gone on, or forget them with --fresh";
        return Err(format!("rows wait in its disk buffer, and this pipeline has none for it: {help}"));
    }
    Ok(last.position)
}

/// Whether a record follows on something without a gap; if so, it is the next one to follow on.
fn follows(record: &[u8], last: &mut Standing) -> bool {
    let behind = journal_record::behind(record).ok().filter(|behind| behind.gaps == last.gaps);
    behind.map(|behind| *last = behind).is_some()
}

impl Journal {
    /// A journal of a source that is not connected yet.
    pub fn new(source: Box<dyn Source>, settings: Settings) -> Journal {
        Journal {
            source,
            settings,
            queue: None,
            read: Standing::default(),
            written: Standing::default(),
            waiting: VecDeque::new(),
            ahead: BatchBuilder::default(),
            held: None,
            has_ended: false,
            since_commit: Stopwatch::start(),
            syncing: None,
            told: Position::new(),
            rest: None,
            is_troubled: false,
            is_source_away: false,
            scratch: StateWriter::default(),
            record: Vec::new(),
        }
    }

    /// Opens the queue with what waits in it. Gives the position at which the source goes on.
    fn open(&mut self, from: Option<&[u8]>) -> Result<Position, Outage> {
        let (place, mut last) = journal_record::load_position(from.unwrap_or_default()).map_err(|e| outage("", e.0))?;
        self.read.clone_from(&last);
        let found = |record: &[u8]| follows(record, &mut last);
        let Settings { folder, kind, bytes_max, .. } = &self.settings;
        let queue = DiskQueue::recover(folder, nature(kind), *bytes_max, place, found).map_err(|e| outage("", e))?;
        let cut = queue.cut_bytes();
        self.queue = Some(queue);
        if cut > 0 {
            let what = "at its end are no whole record, or stand behind what the disk did not take: they are cut off";
            self.tell("warn", "buffer_cut", format!("disk buffer: {cut} bytes {what}, and read again where the source can"));
        }
        self.written.gaps = last.gaps;
        Ok(last.position)
    }

    fn queue(&mut self) -> Result<&mut DiskQueue, Outage> {
        self.queue.as_mut().ok_or_else(|| outage("", "it is not open"))
    }

    /// Where the queue is read, and written.
    fn places(&self) -> (Place, Place) {
        self.queue.as_ref().map(|queue| (queue.bounds().read, queue.bounds().written)).unwrap_or_default()
    }

    /// Whether rows wait in the queue, or for it.
    fn has_waiting(&self) -> bool {
        let (read, written) = self.places();
        read != written || self.held.is_some()
    }

    fn has_room(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.has_room(RECORD_BYTES))
    }

    /// Writes what was read into a record. Says no where there is no room, or where the disk takes nothing, which is told once.
    fn append(&mut self, origin: &Origin, entry: &Entry, builder: &BatchBuilder) -> bool {
        if self.rest.as_ref().is_some_and(|since| since.elapsed() < REST) {
            return false;
        }
        let received = builder.received.unwrap_or_default();
        journal_record::write(&mut self.scratch, &self.written, origin, entry, builder, received);
        let Some(queue) = &mut self.queue else { return false };
        let outcome = queue.append([&self.scratch.bytes, &builder.bytes]);
        self.settings.bytes.set(queue.bytes() as f64);
        self.rest = matches!(outcome, Err(_) | Ok(false)).then(Stopwatch::start);
        match outcome {
            Ok(is_in) => {
                if is_in && std::mem::take(&mut self.is_troubled) {
                    self.tell("info", "buffer_recovered", "rows go on again".to_owned());
                }
                is_in
            }
            Err(e) => {
                if !std::mem::replace(&mut self.is_troubled, true) {
                    self.tell("warn", "buffer_outage", format!("disk buffer: {e}"));
                }
                false
            }
        }
    }

    fn tell(&mut self, level: &'static str, event: &'static str, message: String) {
        self.waiting.push_front((Place::default(), Fill::Word(level, event, message)));
    }

    /// What the source gave while nothing waited goes on, and into the queue beside that.
    fn pass(&mut self, fill: Fill, builder: &mut BatchBuilder) -> Fill {
        self.written.position = self.source.position();
        self.read.clone_from(&self.written);
        let (origin, entry) = match &fill {
            Fill::Rows { origin, base, positions } => (Arc::clone(origin), Entry::Rows(*base, *positions)),
            Fill::Partition(origin, activity) => (Arc::clone(origin), Entry::Partition(*activity)),
            _ => return fill,
        };
        builder.received = Some(self.settings.clock.now());
        let is_in = self.append(&origin, &entry, builder);
        match &mut self.queue {
            Some(queue) if is_in => queue.skip(),
            _ => {
                self.written.gaps += 1;
                self.read.gaps = self.written.gaps;
            }
        }
        fill
    }

    /// Lets the source read into the queue. Says whether it had something. May be dropped at any await point.
    async fn read_ahead(&mut self) -> Result<bool, Outage> {
        if let Some((origin, entry)) = self.held.take() {
            self.keep(origin, entry);
            return Ok(self.held.is_none());
        }
        if self.since_commit.elapsed() >= COMMIT_INTERVAL && (self.syncing.is_some() || self.written.position != self.told) {
            self.commit_source().await?;
        }
        let waits = self.settings.when_full == WhenFull::Wait && !self.has_room();
        if waits && self.has_waiting() && !self.has_ended && !std::mem::replace(&mut self.is_troubled, true) {
            self.tell("warn", "buffer_outage", "disk buffer: it is full: the source waits for what follows".to_owned());
        }
        if waits || self.has_ended {
            return Ok(false);
        }
        let fill = self.source.fill(&mut self.ahead).await?;
        self.is_source_away = false;
        self.written.position = self.source.position();
        self.ahead.received = Some(self.settings.clock.now());
        match fill {
            Fill::Rows { .. } if !self.has_room() => {
                self.settings.dropped.increment(self.ahead.lines.len() as u64);
                self.ahead.clear();
            }
            Fill::Rows { origin, base, positions } => self.keep(origin, Entry::Rows(base, positions)),
            Fill::Partition(origin, activity) => self.keep(origin, Entry::Partition(activity)),
            Fill::Word(level, event, message) => self.tell(level, event, message),
            Fill::Wait(_) => return Ok(false),
            fill @ (Fill::Opened | Fill::End) => {
                self.has_ended |= matches!(fill, Fill::End);
                self.waiting.push_back((self.places().1, fill));
            }
        }
        Ok(true)
    }

    /// The same; that the source is away holds nothing else up, and is told once.
    async fn try_to_read_ahead(&mut self) -> bool {
        match self.read_ahead().await {
            Ok(is_busy) => is_busy,
            Err(outage) => {
                if !std::mem::replace(&mut self.is_source_away, true) {
                    self.tell("warn", "source_outage", format!("{outage}; trying again"));
                }
                false
            }
        }
    }

    /// Puts what was read ahead into the queue. What it does not take now is held, and nothing more is read.
    fn keep(&mut self, origin: Arc<Origin>, entry: Entry) {
        let mut ahead = std::mem::take(&mut self.ahead);
        if self.append(&origin, &entry, &ahead) {
            ahead.clear();
        } else {
            self.held = Some((origin, entry));
        }
        self.ahead = ahead;
    }

    /// Reads the next record.
    fn next(&mut self, builder: &mut BatchBuilder) -> Result<Option<Fill>, Outage> {
        let mut record = std::mem::take(&mut self.record);
        if !self.queue()?.next(&mut record).map_err(|e| outage("its rows cannot be read: ", e))? {
            return Ok(None);
        }
        let (behind, origin, entry) = journal_record::read(&record, builder).map_err(|e| outage("", e.0))?;
        self.record = record;
        self.read = behind;
        if !self.has_waiting() {
            // Between here and where the source stands nothing is left but what was dropped.
            self.read.clone_from(&self.written);
        }
        Ok(Some(match entry {
            Entry::Rows(base, positions) => Fill::Rows { origin, base, positions },
            Entry::Partition(activity) => Fill::Partition(origin, activity),
        }))
    }

    /// What waits and is due.
    fn due(&mut self) -> Option<Fill> {
        let read = self.places().0;
        self.waiting.pop_front_if(|(place, _)| *place <= read).map(|(_, fill)| fill)
    }

    /// Tells the source of a sync that is over, and begins the next one.
    async fn commit_source(&mut self) -> Result<(), Outage> {
        self.since_commit = Stopwatch::start();
        if self.syncing.as_ref().is_some_and(|(sync, _)| !sync.is_finished()) {
            return Ok(());
        }
        self.finish_sync().await?;
        // What is held is in no record.
        if self.held.is_none() && self.written.position != self.told {
            let sync = self.queue()?.sync();
            self.syncing = Some((tokio::task::spawn_blocking(sync), self.written.position.clone()));
        }
        Ok(())
    }

    /// Waits for a sync that is under way, and tells the source.
    async fn finish_sync(&mut self) -> Result<(), Outage> {
        let Some((sync, written)) = self.syncing.take() else { return Ok(()) };
        let upto = sync.await.map_err(|e| outage("", e))?.map_err(|e| outage("", e))?;
        self.queue()?.note_synced(upto);
        self.source.commit(&written).await?;
        self.told = written;
        Ok(())
    }
}

impl Source for Journal {
    fn connect(&mut self, from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        let position = self.open(from);
        Box::pin(async move {
            let position = position?;
            self.source.connect(Some(position.as_slice()).filter(|p| !p.is_empty())).await?;
            self.written.position = self.source.position();
            if !self.has_waiting() {
                self.read.clone_from(&self.written);
            }
            Ok(())
        })
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<String, Outage>> {
        self.source.probe()
    }

    fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>> {
        Box::pin(async move {
            loop {
                if let Some(fill) = self.due() {
                    return Ok(fill);
                }
                if self.has_waiting() {
                    // The source keeps pace with what is read from the disk.
                    tokio::select! {
                        biased;
                        _ = self.try_to_read_ahead() => {}
                        () = std::future::ready(()) => {}
                    }
                    match self.next(builder)? {
                        Some(fill) => return Ok(fill),
                        None if self.held.is_some() => return Ok(Fill::Wait(REST)),
                        None => continue,
                    }
                }
                if self.has_ended {
                    return Ok(Fill::Wait(REST));
                }
                if self.has_room() {
                    let fill = self.source.fill(builder).await?;
                    return Ok(self.pass(fill, builder));
                }
                if !self.read_ahead().await? {
                    return Ok(Fill::Wait(REST));
                }
            }
        })
    }

    fn read_on(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            for _ in 0..AHEAD_MAX {
                if !self.try_to_read_ahead().await {
                    return false;
                }
            }
            true
        })
    }

    fn tend(&mut self) {
        self.source.tend();
    }

    fn position(&self) -> Position {
        journal_record::save_position(self.places().0, &self.read)
    }

    fn commit(&mut self, upto: &Position) -> BoxFuture<'_, Result<(), Outage>> {
        let upto = upto.clone();
        let place = journal_record::load_position(&upto).map(|(place, _)| place);
        Box::pin(async move {
            // Where nothing was read since, this may be the last call.
            let (may_be_last, is_troubled) = (upto == self.position(), self.is_troubled);
            if let Some(place) = place.map_err(|e| outage("", e.0))? {
                let queue = self.queue()?;
                queue.forget(place).map_err(|e| outage("", e))?;
                if is_troubled || queue.last_bytes() >= TURN_OVER_BYTES {
                    queue.turn_over(place).map_err(|e| outage("", e))?;
                }
                let bytes = queue.bytes();
                self.settings.bytes.set(bytes as f64);
            }
            if may_be_last && !self.has_waiting() {
                // The epoch holds all of it.
                self.told.clone_from(&self.written.position);
                return self.source.commit(&self.told).await;
            }
            self.commit_source().await?;
            if may_be_last {
                self.finish_sync().await?;
                self.commit_source().await?;
                self.finish_sync().await?;
            }
            Ok(())
        })
    }

    fn is_exhausted_at_start(&self) -> bool {
        !self.has_waiting() && self.source.is_exhausted_at_start()
    }

    fn listening(&self) -> Option<String> {
        self.source.listening()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::event::builder::Positions;
    use crate::metrics::Registry;
    use crate::window::watermark::Activity;
    use proptest::prelude::*;

    /// Counts. What it has given it gives again if it can go back, and never if it cannot.
    struct Counting {
        next: Arc<Mutex<u64>>,
        goes_back: bool,
        committed: Arc<Mutex<u64>>,
        origin: Arc<Origin>,
    }

    const COUNT: u64 = 120;

    impl Source for Counting {
        fn connect(&mut self, from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
            if self.goes_back {
                *self.next.lock().unwrap() = from.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            }
            Box::pin(async { Ok(()) })
        }

        fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>> {
            let mut next = self.next.lock().unwrap();
            let (base, origin) = (*next, Arc::clone(&self.origin));
            let fill = match base {
                COUNT => Fill::End,
                _ if base % 7 == 3 => Fill::Partition(origin, Activity::Live),
                _ => Fill::Rows { origin, base, positions: Positions::Rows },
            };
            if base < COUNT {
                *next += 1;
                builder.push_line(format!("{base}{}", "x".repeat(base as usize * 400)).as_bytes());
            }
            if !matches!(fill, Fill::Rows { .. }) {
                builder.clear();
            }
            Box::pin(async { Ok(fill) })
        }

        fn position(&self) -> Position {
            self.next.lock().unwrap().to_le_bytes().to_vec()
        }

        fn commit(&mut self, upto: &Position) -> BoxFuture<'_, Result<(), Outage>> {
            *self.committed.lock().unwrap() = u64::from_le_bytes(upto.as_slice().try_into().unwrap());
            Box::pin(async { Ok(()) })
        }
    }

    struct World {
        folder: tempfile::TempDir,
        next: Arc<Mutex<u64>>,
        committed: Arc<Mutex<u64>>,
        goes_back: bool,
        when_full: WhenFull,
    }

    impl World {
        fn new(goes_back: bool, when_full: WhenFull) -> World {
            World { folder: tempfile::tempdir().unwrap(), next: Arc::default(), committed: Arc::default(), goes_back, when_full }
        }

        async fn open(&self, from: Option<&[u8]>) -> Journal {
            let (next, committed, goes_back) = (Arc::clone(&self.next), Arc::clone(&self.committed), self.goes_back);
            let source = Box::new(Counting { next, goes_back, committed, origin: Arc::default() });
            let registry = Registry::default();
            let settings = Settings {
                folder: self.folder.path().to_owned(),
                kind: "counting",
                bytes_max: 2 << 20,
                when_full: self.when_full,
                dropped: registry.counter("dropped", &[]),
                bytes: registry.gauge("bytes", &[]),
                clock: Clock::fixed(5),
            };
            let mut journal = Journal::new(source, settings);
            journal.connect(from).await.unwrap();
            journal
        }
    }

    /// The numbers that a fill gave; none at its end.
    async fn fill(journal: &mut Journal) -> Option<Option<u64>> {
        let mut builder = BatchBuilder::default();
        match journal.fill(&mut builder).await.unwrap() {
            Fill::Rows { base, .. } => {
                assert!(builder.received == Some(5) && builder.bytes.starts_with(base.to_string().as_bytes()));
                Some(Some(base))
            }
            Fill::End => None,
            _ => Some(None),
        }
    }

    fn block<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn check(steps: Vec<u8>, goes_back: bool) {
        let world = World::new(goes_back, WhenFull::Wait);
        block(async {
            let mut journal = world.open(None).await;
            // What was given behind the last durable position, and before it.
            let (mut durable, mut given, mut position) = (Vec::new(), Vec::new(), None::<Position>);
            let mut has_ended = false;
            for step in steps {
                match step {
                    0 | 1 if !has_ended => match fill(&mut journal).await {
                        None => has_ended = true,
                        Some(row) => given.extend(row),
                    },
                    2 if !has_ended => drop(journal.read_on().await),
                    3 => {
                        let now = journal.position();
                        durable.append(&mut given);
                        journal.commit(&now).await.unwrap();
                        position = Some(now);
                    }
                    4 => {
                        drop(journal);
                        given.clear();
                        has_ended = false;
                        // Without a durable position, what cannot be read again is gone, as it is without a journal.
                        if position.is_none() && !goes_back {
                            *world.next.lock().unwrap() = 0;
                        }
                        journal = world.open(position.as_deref()).await;
                    }
                    // The disk takes nothing, or takes all again. What cannot be read again is in danger then.
                    5 if goes_back => journal.rest = journal.rest.is_none().then(Stopwatch::start),
                    _ => assert!(*world.committed.lock().unwrap() <= *world.next.lock().unwrap()),
                }
            }
            while !has_ended {
                match fill(&mut journal).await {
                    None => has_ended = true,
                    Some(row) => given.extend(row),
                }
                let now = journal.position();
                durable.append(&mut given);
                journal.commit(&now).await.unwrap();
            }
            let wanted: Vec<u64> = (0..COUNT).filter(|n| n % 7 != 3).collect();
            assert_eq!(durable, wanted);
            assert_eq!(*world.committed.lock().unwrap(), COUNT);
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })] // each commit waits for the disk

        /// Behind the last durable position come all rows, each once and in order, however far was read ahead, whenever it died or the disk failed.
        #[test]
        fn nothing_is_lost_or_said_twice(steps in proptest::collection::vec(0u8..6, 1..120), goes_back: bool) {
            check(steps, goes_back);
        }
    }

    #[test]
    fn what_stands_behind_a_gap_is_read_again() {
        // Durable; a row that the disk does not take, and one that it takes; dead.
        check(vec![0, 3, 5, 0, 5, 0, 4], true);
        // Durable behind the gap.
        check(vec![0, 3, 5, 0, 3, 5, 0, 4], true);
    }

    #[test]
    fn a_full_queue_waits_or_drops_and_what_waits_is_not_forgotten() {
        for when_full in [WhenFull::Wait, WhenFull::DropNewest] {
            let world = World::new(true, when_full);
            block(async {
                let mut journal = world.open(None).await;
                while journal.read_on().await {}
                let has_all = *world.next.lock().unwrap() == COUNT;
                assert_eq!(has_all, when_full == WhenFull::DropNewest);
                assert!(journal.queue().unwrap().bytes() <= 2 << 20);
                let position = journal.position();
                drop(journal);
                let without = |position: &[u8]| position_without(position, Some(world.folder.path().to_owned()), "counting");
                assert!(without(&position).unwrap_err().contains("rows wait in its disk buffer"));
                let mut journal = world.open(Some(&position)).await;
                while journal.has_waiting() {
                    fill(&mut journal).await;
                    let now = journal.position();
                    journal.commit(&now).await.unwrap();
                }
                let position = journal.position();
                drop(journal);
                assert_eq!(without(&position).unwrap(), world.next.lock().unwrap().to_le_bytes());
                assert_eq!(without(&[1, 2]).unwrap(), [1, 2]);
            });
        }
    }
}
