//! tripline turns logs into incidents while they flow.
//!
//! # One idea
//!
//! Bytes enter once and never move; names become slots before the first event; one barrier does everything else.
//!
//! - **Batch.** A source fills a buffer ([`event::BatchBuilder`]) that is sealed and never written again. A field is a column of eight-byte spans into
//!   it ([`event::Span`]); what operators derive goes into an arena beside it. Batches, selections and hits come back through pools, so a steady stream allocates
//!   nothing per event.
//! - **Slots.** Binding a pipeline file gives every field that somebody reads or writes a number in its lane ([`component::view`]). Each write makes a new
//!   slot, so branches that share a batch never disturb each other. A decoder materialises what was asked for; a JSON event goes out as its own bytes with only the changed
//!   paths rewritten ([`codec::format::json_out`]).
//! - **Barrier.** The coordinator ([`runtime::epoch`]) sends a numbered barrier through everything. When all before it is settled the epoch is
//!   durable: one record holds positions, operators' state and what the sinks sealed. Checkpoint, acknowledgement, stop and the flush in a test are this one mechanism.
//!
//! # Floors
//!
//! Imports go down only; `tests/tidy.rs` holds it.
//!
//! | floor | rooms |
//! |---|---|
//! | 7 doors | [`cli`] [`admin`] [`cases`] |
//! | 6 runtime | [`runtime`]: message edge ports intake lane rule saves delivery judged sender flights telling buffered beside disk_buffer disk_queue journal dropping epoch checkpoint prepared caution dead_letter crew assemble incoming outgoing topology probe |
//! | 5 plan | [`plan`]: files graph tables lane rule sink buffers bind explain picture |
//! | 4 components | [`source`] [`transform`] [`correlate`] [`sink`]: they never import each other |
//! | 3 component | [`component`]: the traits, `Kind`, `Bind`, views |
//! | 2 crafts | [`expr`] [`mapfile`] [`list`] [`table`] [`window`] [`codec`] [`config`] [`net`] |
//! | 1 event | [`event`] |
//! | 0 ground | [`limits`] [`clock`] [`metrics`] [`diagnostic`] [`state`] [`pattern`] [`simd`] [`index`] |
//!
//! # A day in the life of an event
//!
//! `source/file` reads (and unpacks) into the builder, framing marks the lines and joins those of one event (`source/kafka` puts in one message after the other, and what it knows beside them), [`runtime::intake`] deals the sealed input to a worker of the source's lane. The worker
//! ([`runtime::lane`]) runs decoder and operators, one call per operator and batch, and gives the batch to its taps: rows to a sink's delivery, hits to the shards of a
//! rule. A shard ([`runtime::rule`]) collects the workers in the rotation in which they were dealt, judges lateness per partition ([`window::watermark`]), keeps
//! hits until the watermark has passed them ([`window::reorder`]), takes them in order and fires. An alert is a JSON event in a lane of its own, so it may enter
//! another rule. What makes one event of several ([`transform::gather`]) is such a shard too. A write to a list goes the way of a hit, to every shard that reads it ([`component::list_write`], [`correlate::copies`]). [`runtime::delivery`] packs rows into bodies, through a disk buffer where there is one, and [`runtime::sender`] sends them,
//! several at once where the sink allows it, until they are there or in the dead letter.
//!
//! # Invariants
//!
//! 1. A [`event::Value`] owns nothing. 2. An input is never written after it is sealed. 3. State keeps extracted keys and values, never a batch. 4. Operators do no
//!    I/O and cannot fail; a bad event is tagged and goes on or to `errors`. 5. Every queue, map and depth has its bound in [`limits`]. 6. Start, recovery,
//!    reload and a changed number of shards are one code path ([`runtime::assemble`], [`runtime::topology`]). 7. Time comes from the event or from the [`clock::Clock`] handed in. 8. A correlation equals its
//!    definition for any arrival order, number of shards and crash: `tests/engine.rs` and `tests/simulation.rs` hold it.
//!
//! # Where this code departs from the plan of the house
//!
//! A rule is its own unit with its own shards (not one operator for all rules of an input). Rules that want a field to have a value are found by the value
//! ([`correlate::candidates`]), and shards of a number share a thread; but every batch still takes a turn at every shard of every rule; turns without
//! hits wait together and are taken as one ([`runtime::edge`]).
//! Every shard of a rule keeps copies of the lists that it reads ([`list`]): nothing is shared and all is in order, at the price of their memory. A list on the disk
//! keeps its entries as rows of the store ([`state::Rows`]), written with the epoch's record; what changed since stands over them in memory, and its rule has one shard.
//! Disk buffers stand before sinks ([`runtime`]: disk_buffer, encoded rows) and behind sources (journal, lines as they were read), and nowhere between. A sink with
//! one seals when it is idle; an epoch of an outage says how far it had come before.
pub mod admin;
pub mod cases;
pub mod cli;
pub mod clock;
pub mod codec;
pub mod component;
pub mod config;
pub mod correlate;
pub mod diagnostic;
pub mod event;
pub mod expr;
pub mod index;
pub mod limits;
pub mod list;
pub mod mapfile;
pub mod metrics;
pub mod net;
pub mod pattern;
pub mod plan;
pub mod runtime;
pub mod simd;
pub mod sink;
pub mod source;
pub mod state;
pub mod table;
pub mod transform;
pub mod window;
