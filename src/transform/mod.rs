//! Transforms: steps that decode, categorise, filter, set, join and thin out, and what makes one event of several. A kind is a file.
pub mod decode;
pub mod dedupe;
pub mod enrich;
pub mod filter;
pub mod formats;
pub mod gather;
pub mod map;
pub mod map_reload;
pub mod redact;
pub mod remove;
pub mod route;
pub mod sample;
pub mod set;
pub mod update_list;

use crate::component::list_write::Write;
pub use crate::component::operator::OperatorFactory;
use crate::component::{Bind, Kind};
use crate::config::Options;

/// Reads what a step writes to a list, and whether it takes away.
pub type BindWrite = fn(&Options<'_>, &mut Bind<'_, '_>) -> Option<(Write, bool)>;

/// Reads the options of a transform.
pub enum BindTransform {
    /// A step, at its place in a lane.
    Step(fn(&Options<'_>, &mut Bind<'_, '_>) -> Option<OperatorFactory>),
    /// A step that writes a list. Its events go on.
    Write(BindWrite),
    /// What takes events out of their lanes and begins one of its own: see [`gather`].
    Gather(fn(&Options<'_>) -> Option<gather::GatherSpec>),
}

/// All kinds of transforms.
pub const KINDS: &[&Kind<BindTransform>] = &[
    &gather::AGGREGATE_KIND,
    &decode::KIND,
    &dedupe::DEDUPE_KIND,
    &enrich::KIND,
    &filter::KIND,
    &map::KIND,
    &gather::MERGE_KIND,
    &redact::KIND,
    &remove::KIND,
    &remove::RENAME_KIND,
    &route::KIND,
    &sample::KIND,
    &set::KIND,
    &dedupe::THROTTLE_KIND,
    &update_list::KIND,
];
