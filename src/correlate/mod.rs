//! Rules: they find hits in lanes, take them in order of event time, and say alerts that are events again.
//!
//! Here stands `threshold`. A further kind is a file beside it and a line in [`KINDS`].
pub mod alert;
pub mod candidates;
pub mod copies;
pub mod extract;
mod firing;
pub mod keeper;
pub mod options;
mod ordinals;
pub mod payload;
pub mod port;
pub mod suppress;
pub mod threshold;
mod threshold_general;
mod threshold_ring;
mod threshold_state;

use crate::component::Kind;
use crate::config::Options;

/// Reads the options that do not depend on an input.
pub type BindRule = fn(&Options<'_>) -> Option<options::RuleSpec>;

/// All kinds of rules.
pub const KINDS: &[&Kind<BindRule>] = &[&threshold::KIND];
