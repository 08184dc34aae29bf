//! The runtime: intake, stages, delivery and the epoch that ties them together. It names no concrete component and parses no config.
//!
pub mod assemble;
mod buffered;
pub mod caution;
pub mod checkpoint;
mod crew;
mod dead_letter;
pub mod delivery;
mod disk_buffer;
mod disk_queue;
mod dropping;
pub mod edge;
pub mod epoch;
mod flights;
mod incoming;
pub mod intake;
mod journal;
mod journal_record;
pub mod lane;
pub mod message;
mod outgoing;
pub mod ports;
pub mod prepared;
pub mod probe;
pub mod rule;
pub mod saves;
pub mod sender;
pub mod topology;
