//! Bodies under way to a peer, and how many there may be: one more for each that is taken, until the peer wants less; then half as many, and one more for
//! each window that is taken.
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::component::sink::{Body, Outage, Sent, Sink};

/// A body to send.
#[derive(Debug)]
pub struct Load {
    /// The barriers that had passed before its rows.
    pub barriers: u64,
    /// Its rows.
    pub body: Arc<Body>,
}

/// A body that has come back: the round in which it started, and what became of it.
pub type Landed = (u32, Load, Result<Sent, Outage>);

/// A body that is under way.
struct Flight {
    barriers: u64,
    body: Arc<Body>,
    landing: Pin<Box<dyn Future<Output = Landed> + Send>>,
}

/// See the module.
pub struct Flights {
    /// In the order in which they started.
    flying: Vec<Flight>,
    landed: VecDeque<Landed>,
    /// How many may be under way: grows by steps smaller than one.
    window: f64,
    /// Up to here it grows fast: nothing speaks against it.
    proven: f64,
    most: usize,
}

impl Flights {
    /// None is under way; never more than `most` will be.
    pub fn new(most: usize) -> Flights {
        let most = most.max(1);
        Flights { flying: Vec::new(), landed: VecDeque::new(), window: 1.0, proven: most as f64, most }
    }

    /// Whether another one may start.
    pub fn has_room(&self) -> bool {
        self.flying.len() + self.landed.len() < self.window as usize
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.flying.is_empty() && self.landed.is_empty()
    }

    /// The barriers before each body that is under way.
    pub fn barriers(&self) -> impl Iterator<Item = u64> {
        self.flying.iter().map(|flight| flight.barriers).chain(self.landed.iter().map(|(_, load, _)| load.barriers))
    }

    /// The bodies that are under way.
    pub fn bodies(&self) -> impl Iterator<Item = &Arc<Body>> {
        self.flying.iter().map(|flight| &flight.body).chain(self.landed.iter().map(|(_, load, _)| &load.body))
    }

    /// Sends a body off, in a round of tries.
    pub fn start(&mut self, sink: &Arc<dyn Sink>, load: Load, round: u32) {
        let (sink, barriers, body) = (Arc::clone(sink), load.barriers, Arc::clone(&load.body));
        let landing = Box::pin(async move {
            let outcome = sink.send(&load.body).await;
            (round, load, outcome)
        });
        self.flying.push(Flight { barriers, body, landing });
    }

    /// A body was taken whole.
    pub fn grow(&mut self) {
        let step = if self.window < self.proven { 1.0 } else { 1.0 / self.window };
        self.window = (self.window + step).min(self.most as f64);
    }

    /// The peer wants less.
    pub fn shrink(&mut self) {
        self.proven = (self.window / 2.0).max(1.0);
        self.window = self.proven;
    }

    /// The peer is away: one body at a time finds out when it is back.
    pub fn collapse(&mut self) {
        self.proven = (self.window / 2.0).max(1.0);
        self.window = 1.0;
    }

    /// Drives all that are under way. Ready when some have come back.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut at = 0;
        while let Some(flight) = self.flying.get_mut(at) {
            match flight.landing.as_mut().poll(context) {
                Poll::Pending => at += 1,
                Poll::Ready(landed) => {
                    self.landed.push_back(landed);
                    drop(self.flying.remove(at));
                }
            }
        }
        if self.landed.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Takes one that has come back, without waiting.
    pub async fn land(&mut self) -> Option<Landed> {
        std::future::poll_fn(|context| {
            let _ = self.poll(context);
            Poll::Ready(self.landed.pop_front())
        })
        .await
    }
}
