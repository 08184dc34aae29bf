//! `drop`: takes everything and keeps nothing, for measuring and for streams that nobody wants.
use super::{BindSink, COMMON, SinkFactory};
use crate::component::{Body, BoxFuture, Kind, Outage, OutputNames, Sink};
use crate::config::{INPUTS, Options};

/// See the module.
pub static KIND: Kind<BindSink> = Kind { name: "drop", summary: "keeps nothing", fields: &[], outputs: OutputNames::Main, bind };

fn bind(options: &Options<'_>) -> Option<SinkFactory> {
    options.check(&[COMMON, INPUTS]);
    Some(Box::new(|| Box::new(DropSink)))
}

struct DropSink;

impl Sink for DropSink {
    fn connect(&mut self, _last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }
    fn send<'a>(&'a mut self, body: &'a mut Body) -> BoxFuture<'a, Result<(), Outage>> {
        body.sent = body.rows();
        Box::pin(async { Ok(()) })
    }
    fn seal(&mut self) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn discards(&self) -> bool {
        true
    }
}
