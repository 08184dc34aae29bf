//! `merge` and `aggregate`: several events become one, by key, in the order of event time.
//!
//! A gatherer takes events out of their lane, as a rule takes hits, and what it makes begins a lane of its own: JSON events, each as old as its last part.
//! [`extract`] finds the keys, [`unit`] takes the parts (`part`) in order, [`open`] holds what is not complete, [`combine`] makes one event of several.
pub mod combine;
pub mod extract;
pub mod open;
mod options;
mod part;
pub mod unit;

use std::sync::Arc;

pub use options::{AGGREGATE_KIND, GatherSpec, MERGE_KIND};

use crate::codec::format::json_out::EventWriter;
use crate::component::Bind;
use crate::component::bind::{compile_at, pattern_at};
use crate::config::Options;
use crate::event::Slot;
use crate::expr::Environment;
use crate::window::arrivals::Inlet;
use extract::{GatherExtractor, KeyPart};

/// What a gatherer knows of one of its inputs.
#[derive(Clone)]
pub struct GatherPort {
    /// How its times are judged.
    pub inlet: Inlet,
    /// How its events are written.
    pub writer: EventWriter,
    /// Fields that are added up.
    pub sums: Vec<Option<Slot>>,
}

/// Binds one input of a gatherer.
pub fn bind_input(
    spec: &Arc<GatherSpec>,
    options: &Options<'_>,
    bind: &mut Bind<'_, '_>,
    original: bool,
    inlet: Inlet,
) -> Option<(GatherExtractor, GatherPort)> {
    let writer = bind.view.event_writer(bind.lane, original, false);
    let mut key = Vec::new();
    for (field, pattern) in &spec.key {
        let pattern = match pattern {
            None => None,
            Some((source, place)) => Some(pattern_at(source, place, options)?),
        };
        key.push(KeyPart::new(bind.read(field), pattern));
    }
    let tenant = bind.tenant();
    let weight = if spec.is_aggregate { bind.read("baseEventCount") } else { None };
    let sums: Vec<Option<Slot>> = spec.sum.iter().map(|field| bind.read(field)).collect();
    let mut condition = |key: &str| match options.placed(key) {
        Some((source, place)) => compile_at(&source, &place, true, options, bind).map(Some),
        None => Some(None),
    };
    let (start, end) = (condition("start")?, condition("end")?);
    let extractor = GatherExtractor::new(tenant, key, !spec.is_aggregate, weight, (start, end), &sums);
    Some((extractor, GatherPort { inlet, writer, sums }))
}
