//! Every bound of the program, with its reason. A queue, map, buffer, nesting depth or line length that is not bounded here is a bug.

/// Rows of one batch. 256 to 1,024 rows cost the same per row; more only adds latency.
pub const BATCH_ROWS_MAX: usize = 1024;
/// Bytes of one batch's input: fits the second-level cache together with its columns.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Readable zero bytes behind a batch's input, so that a 64-byte mask may read past the last line.
pub const BATCH_TAIL_BYTES: usize = 64;
/// Longest line that is kept; the rest is cut, counted and tagged `truncated`.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Largest value that one field can hold: the length part of a span has 24 bits.
pub const VALUE_BYTES_MAX: usize = (1 << 24) - 1;
/// Deepest JSON nesting: beyond it a document is refused, so that no input can exhaust a stack.
pub const JSON_DEPTH_MAX: usize = 128;
/// Deepest nesting of an expression.
pub const EXPRESSION_DEPTH_MAX: usize = 64;
/// Operators and methods of an expression that follow one of their level: each makes the tree deeper. `&&` and `||` do not.
pub const EXPRESSION_CHAIN_MAX: usize = 256;
/// Deepest YAML nesting of a pipeline file.
pub const CONFIG_DEPTH_MAX: usize = 32;
/// Nodes that aliases of a pipeline file may expand to: an alias bomb ends here.
pub const CONFIG_NODES_MAX: usize = 1_000_000;
/// Bytes of one pipeline file.
pub const CONFIG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Files of one pipeline.
pub const CONFIG_FILES_MAX: usize = 10_000;
/// How deep grok patterns may be made of each other, and bytes of one that is written out.
pub const GROK_DEPTH_MAX: usize = 40;
/// See [`GROK_DEPTH_MAX`].
pub const PATTERN_TEXT_MAX: usize = 1 << 20;
/// Slots of one lane. A slot is a `u16`.
pub const SLOTS_MAX: usize = 4096;
/// Tags of one lane: bits of a `u32`.
pub const TAGS_MAX: usize = 32;
/// Positions in a lane's tree of operators: diamonds multiply paths, and this ends them.
pub const LANE_NODES_MAX: usize = 4096;
/// Memory of one compiled pattern: a regex bomb is refused at load with its place.
pub const PATTERN_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Cache of one lazy automaton.
pub const PATTERN_CACHE_BYTES: usize = 4 * 1024 * 1024;
/// Nodes of a pattern's shape: counted repetitions are written out. Larger ones are not walked.
pub const PATTERN_NODES_MAX: usize = 4096;
/// Memory of the automaton for one part of a pattern, while it is made and then. Larger parts are walked step by step.
pub const PATTERN_PART_BYTES: usize = 128 * 1024;
/// Memory of those of one pattern.
pub const PATTERN_PARTS_BYTES: usize = 512 * 1024;
/// Steps that a walk over a pattern may take in any text, and for each byte of it; then the automaton answers.
pub const WALK_STEPS_FREE: isize = 256;
/// See [`WALK_STEPS_FREE`].
pub const WALK_STEPS_PER_BYTE: isize = 2;
/// Bytes of a name from outside that a decoder remembers: longer ones, which are no real names, are looked up each time.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes that may wait on one edge before its producer waits: a few batches, so that what is handed over still lies in the cache.
pub const EDGE_BYTES_MAX: usize = 1024 * 1024;
/// Messages that may wait on one edge: keeps a stream of nearly empty batches bounded too.
pub const EDGE_MESSAGES_MAX: usize = 64;
/// Epochs that may be open at once before no further barrier is asked for.
pub const EPOCHS_OPEN_MAX: usize = 16;
/// Time between barriers where the pipeline file names none.
pub const BARRIER_INTERVAL_MS: u64 = 1_000;
/// How long a stop waits for sinks.
pub const STOP_TIMEOUT_MS: u64 = 30_000;
/// Rules on one output from which on events are dealt to them by what they want: a few are asked as fast.
pub const RULES_INDEXED_MIN: usize = 4;
/// Messages that a shard of a rule takes before the next shard of its thread has its turn: enough that its groups stay in the cache, few enough that none
/// waits long.
pub const RULE_TURN: usize = 16;
/// Groups of one rule.
pub const GROUPS_MAX: usize = 10_000_000;
/// Hits of one rule that wait for the watermark.
pub const HITS_WAITING_MAX: usize = 1_000_000;
/// Hits of one group in its window.
pub const GROUP_HITS_MAX: usize = 1_000_000;
/// Bytes of evidence of one shard.
pub const EVIDENCE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Events that an alert shows.
pub const EVIDENCE_EVENTS_MAX: usize = 20;
/// Key groups: the hash space that shards divide among them.
pub const KEY_GROUPS: usize = 256;
/// Most shards of one rule.
pub const SHARDS_MAX: usize = 64;
/// Files that one source follows at once.
pub const FILES_MAX: usize = 65_536;
/// Bytes of one delivery body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a table that is no text: the largest databases of addresses have a third of it.
pub const TABLE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Columns of a table whose columns are those of its records.
pub const TABLE_COLUMNS_MAX: usize = 1_000;
/// Rows of one table or list.
pub const TABLE_ROWS_MAX: usize = 10_000_000;
/// Rows of one map file.
pub const MAP_ROWS_MAX: usize = 1_000_000;
/// Shortest and longest wait between two tries of a peer.
pub const RETRY_MIN_MS: u64 = 100;
/// See [`RETRY_MIN_MS`].
pub const RETRY_MAX_MS: u64 = 10_000;
/// Bytes of one stored blob of operator state.
pub const STATE_BLOB_BYTES: usize = 1024 * 1024;
/// How often a table or map file is looked at for a change.
pub const RELOAD_INTERVAL_MS: u64 = 2_000;

/// Nanoseconds in a second, the unit of every timestamp here.
pub const SECOND: i64 = 1_000_000_000;
/// More than this ahead of its partition, a time is pending.
pub const JUMP_MAX: i64 = 3_600 * SECOND;
/// More than this behind its partition, a late hit is dropped even by `late: clamp`.
pub const LATE_MAX: i64 = 3_600 * SECOND;
/// How far a partition may run ahead of the slowest.
pub const SKEW_MAX: i64 = 600 * SECOND;
/// A live partition that is silent for so long stops holding the watermark.
pub const IDLE_TIMEOUT: i64 = SECOND;

/// How often the same epoch may panic before its rows are taken one by one: a fault that time heals is gone by then.
pub const PANICS_MAX: u32 = 3;

/// Rows of one epoch that may be left out because they break a unit. With more it is no row's fault.
pub const CULPRITS_MAX: usize = 100;

/// Keys that `dedupe` and `throttle` remember where nothing else is said: about 200 MB of short ones.
pub const RECENT_KEYS_MAX: usize = 1_000_000;

/// Keys that `merge` and `aggregate` hold open where nothing else is said.
pub const GATHERED_KEYS_MAX: usize = 1_000_000;

/// Bytes of the parts of one key: then it is closed.
pub const GATHERED_BYTES_MAX: usize = 1 << 20;

/// Bytes of one node's dead letter: at the bound what leads there holds, so that nothing is lost and no disk fills up.
pub const DEAD_LETTER_BYTES_MAX: u64 = 1 << 30;

/// Fewest bytes of a disk buffer: bodies of an eighth of it must be worth a write.
pub const DISK_BUFFER_BYTES_MIN: u64 = 1 << 20;

/// Bytes of the disk buffer before TheHive where nothing is said: some hundred thousand alerts.
pub const THEHIVE_BUFFER_BYTES: u64 = 1 << 30;

/// Bytes of one `_bulk` body: of the 5 to 15 MB that the vendors advise, the least, so that a few under way stay small.
pub const BULK_BYTES_MAX: usize = 5 * 1024 * 1024;

/// `_bulk` requests under way at once, where nothing else is said.
pub const BULK_IN_FLIGHT_MAX: usize = 4;

/// How long a `_bulk` request may take.
pub const BULK_TIMEOUT_MS: u64 = 60_000;

/// How long a request to TheHive may take: making an alert takes it 20 s where there are many.
pub const THEHIVE_TIMEOUT_MS: u64 = 30_000;

/// Alerts of TheHive that further firings may update, by rule, tenant and key.
pub const THEHIVE_GROUPS_MAX: usize = 10_000;

/// Observables that are remembered of one of them.
pub const THEHIVE_OBSERVABLES_MAX: usize = 100;

/// How long a connection may take to come about.
pub const HTTP_CONNECT_TIMEOUT_MS: u64 = 5_000;

/// Bytes of one HTTP reply.
pub const HTTP_REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that a Kafka source fetches ahead, over all its partitions.
pub const KAFKA_PREFETCH_BYTES: u64 = 64 * 1024 * 1024;

/// How long a Kafka source waits until what it has read of a partition is durable before it gives the partition back: well below the five minutes after
/// which a group goes on without a member.
pub const KAFKA_DRAIN_MS: u64 = 30_000;

/// How long a Kafka source that is stopped waits until the group has taken its last offsets.
pub const KAFKA_FAREWELL_MS: u64 = 5_000;

/// A member of a Kafka group that was not heard of for so long is dead: what a kill -9 costs before others go on.
pub const KAFKA_SESSION_MS: u64 = 10_000;

/// Bytes of a message to Kafka: what brokers take where nothing else is said.
pub const KAFKA_MESSAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes that wait in a Kafka producer.
pub const KAFKA_QUEUE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long a request to Kafka's brokers may take.
pub const KAFKA_TIMEOUT_MS: u64 = 10_000;

/// How long a transaction of a Kafka sink may be open before the brokers give it up: also how long, after a kill -9, readers of committed messages wait for
/// what it held if nobody comes back.
pub const KAFKA_TRANSACTION_MS: u64 = 20_000;

/// Rows that a Kafka sink of transactions remembers as refused until their epoch is durable.
pub const KAFKA_REFUSED_MAX: usize = 100_000;

/// A partition of Kafka whose end is not known is silent after this and its idle time: a broker that is away must not hold back alerts for ever.
pub const KAFKA_SILENCE: i64 = 10 * SECOND;

/// Files that a `file` sink has open at once: well below the 1,024 that a process may have where nothing else is said.
pub const SINK_FILES_OPEN_MAX: usize = 256;

/// Files that a `file` sink keeps in mind until their time is over.
pub const SINK_FILES_TRACKED_MAX: usize = 10_000;

/// Entries of a list that events write, where the pipeline file names no other bound.
pub const LIST_ENTRIES_MAX: usize = 1_000_000;

/// The same of a list on the disk.
pub const LIST_ROWS_MAX: usize = 100_000_000;

/// Bytes of a list on the disk that changed and are not durable yet, before its writers wait for that.
pub const LIST_CHANGES_MAX: usize = 256 << 20;

/// Different values in one column of an entry of a list.
pub const LIST_SET_MAX: usize = 1_000;

/// Bytes of a file that holds a secret.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024;
