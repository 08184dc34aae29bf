//! Windows over event time: which time a hit counts with, in which order hits are taken, and what a group's window holds.
//!
//! [`arrivals`] takes in what comes: [`watermark`] judges lateness and says how far time has come, [`reorder`] keeps hits until then; [`ring`] is a sliding window that needs its last hits only (in [`records`] that never move) and
//! [`general`] one of any kind that holds all, [`values`] counts the different ones, [`ranked`] knows the one of a rank, and [`sweep`] says when to look for windows that are empty; [`recent`] remembers keys for a while, [`evidence`] keeps the texts that an alert shows, and [`blocks`] those of events that are being gathered, in memory that grows by pieces ([`chunked`]).
pub mod arrivals;
pub mod blocks;
pub mod chunked;
pub mod evidence;
pub mod general;
pub mod ranked;
pub mod recent;
pub mod records;
pub mod reorder;
pub mod ring;
mod short_key;
pub mod sweep;
pub mod values;
pub mod watermark;
