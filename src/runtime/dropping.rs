//! A source whose rows are dropped, and counted, while what follows has no room for them.
use std::collections::VecDeque;

use crate::component::source::{Fill, Position, Source};
use crate::component::{BoxFuture, Claim, Outage};
use crate::event::BatchBuilder;
use crate::metrics::Counter;

/// See the module.
pub struct Dropping {
    source: Box<dyn Source>,
    dropped: Counter,
    builder: BatchBuilder,
    /// What is no row goes on when there is room.
    waiting: VecDeque<Fill>,
}

impl Dropping {
    /// Drops what a source reads while there is no room for it.
    pub fn new(source: Box<dyn Source>, dropped: Counter) -> Dropping {
        Dropping { source, dropped, builder: BatchBuilder::default(), waiting: VecDeque::new() }
    }
}

impl Source for Dropping {
    fn connect(&mut self, from: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        self.source.connect(from)
    }

    fn probe(&mut self) -> BoxFuture<'_, Result<String, Outage>> {
        self.source.probe()
    }

    fn fill<'a>(&'a mut self, builder: &'a mut BatchBuilder) -> BoxFuture<'a, Result<Fill, Outage>> {
        match self.waiting.pop_front() {
            Some(fill) => Box::pin(async { Ok(fill) }),
            None => self.source.fill(builder),
        }
    }

    fn tend(&mut self) {
        self.source.tend();
    }

    fn read_on(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(async move {
            // Behind its end nothing is read; an outage is told by whoever reads next.
            if matches!(self.waiting.back(), Some(Fill::End)) {
                return false;
            }
            match self.source.fill(&mut self.builder).await {
                Ok(Fill::Rows { .. }) => {
                    self.dropped.increment(self.builder.lines.len() as u64);
                    self.builder.clear();
                }
                Ok(Fill::Wait(_)) | Err(_) => return false,
                Ok(fill) => self.waiting.push_back(fill),
            }
            true
        })
    }

    fn position(&self) -> Position {
        self.source.position()
    }

    fn claim(&self) -> Option<Claim> {
        self.source.claim()
    }

    fn commit(&mut self, upto: &Position) -> BoxFuture<'_, Result<(), Outage>> {
        self.source.commit(upto)
    }

    fn is_exhausted_at_start(&self) -> bool {
        self.source.is_exhausted_at_start()
    }

    fn listening(&self) -> Option<String> {
        self.source.listening()
    }
}
