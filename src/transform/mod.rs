//! Transforms: steps that decode, categorise, filter, set, join and thin out. A kind is a file.
pub mod decode;
pub mod dedupe;
pub mod enrich;
pub mod filter;
pub mod formats;
pub mod map;
pub mod map_reload;
pub mod redact;
pub mod remove;
pub mod route;
pub mod sample;
pub mod set;

pub use crate::component::operator::OperatorFactory;
use crate::component::{Bind, Kind};
use crate::config::Options;

/// Reads the options of a transform at its place in a lane.
pub type BindTransform = fn(&Options<'_>, &mut Bind<'_, '_>) -> Option<OperatorFactory>;

/// All kinds of transforms.
pub const KINDS: &[&Kind<BindTransform>] = &[
    &decode::KIND,
    &dedupe::DEDUPE_KIND,
    &enrich::KIND,
    &filter::KIND,
    &map::KIND,
    &redact::KIND,
    &remove::KIND,
    &remove::RENAME_KIND,
    &route::KIND,
    &sample::KIND,
    &set::KIND,
    &dedupe::THROTTLE_KIND,
];
