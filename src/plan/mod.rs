//! From a pipeline file to a plan: a graph of nodes, then lanes of bound operators, rules with their inputs, and sinks.
//!
//! Nothing here touches the network or starts anything. All faults are found in one go.
pub mod bind;
mod buffers;
mod candidates;
pub mod explain;
pub mod files;
pub mod graph;
mod keyed;
mod lane;
pub mod lists;
pub mod picture;
mod rule;
mod sink;
pub mod tables;
mod time_section;
mod unit;

pub use bind::{Errors, Plan, PlannedLane, PlannedNode, PlannedRule, PlannedSource, PlannedTap, TargetPlan, plan};
pub use files::{load_letters_plan, load_plan};
pub use lists::Readings;
pub use sink::{PlannedInput, PlannedSink};
