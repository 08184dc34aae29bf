//! `drop`: takes everything and keeps nothing, for measuring and for streams that nobody wants.
use std::sync::Arc;

use super::{BindSink, BoundSink, COMMON};
use crate::component::sink::Sent;
use crate::component::{Body, BoxFuture, Kind, Outage, OutputNames, Sink};
use crate::config::{Options, SINK_INPUTS};

/// See the module.
pub static KIND: Kind<BindSink> = Kind { name: "drop", summary: "keeps nothing", fields: &[], outputs: OutputNames::Main, bind };

fn bind(options: &Options<'_>) -> Option<BoundSink> {
    options.check(&[COMMON, SINK_INPUTS]);
    Some(BoundSink::new(|_| Box::new(DropSink)))
}

struct DropSink;

impl Sink for DropSink {
    fn connect(&self, _last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }
    fn send<'a>(&'a self, _body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async { Ok(Sent::All) })
    }
    fn seal(&self, _epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn discards(&self) -> bool {
        true
    }
}
