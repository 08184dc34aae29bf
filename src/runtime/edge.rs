//! Edges: one producer, one consumer, a budget in bytes. A full edge makes its producer wait; closing it wakes both.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::Notify;

use super::message::Message;
use crate::event::Batch;
use crate::limits::{EDGE_BYTES_MAX, EDGE_MESSAGES_MAX};

/// Wakes one unit: a stage's thread, or a task.
#[derive(Debug, Default)]
pub struct Signal {
    raised: AtomicBool,
    thread: OnceLock<Thread>,
    notify: Notify,
}

impl Signal {
    /// A signal that nobody has raised.
    pub fn new() -> Arc<Signal> {
        Arc::default()
    }

    /// Wakes the unit, now or at its next wait.
    pub fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            if let Some(thread) = self.thread.get() {
                thread.unpark();
            }
            self.notify.notify_one();
        }
    }

    /// Blocks the calling thread until the signal is raised.
    pub fn park(&self, longest: Duration) {
        let _ = self.thread.set(std::thread::current());
        if !self.raised.swap(false, Ordering::AcqRel) {
            std::thread::park_timeout(longest);
            self.raised.store(false, Ordering::Release);
        }
    }

    /// Waits in a task until the signal is raised. May be dropped at any time.
    pub async fn wait(&self) {
        while !self.raised.swap(false, Ordering::AcqRel) {
            self.notify.notified().await;
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    turns: usize,
    bytes: usize,
}

impl Queue {
    fn has_room(&self) -> bool {
        self.bytes < EDGE_BYTES_MAX && self.turns < EDGE_MESSAGES_MAX
    }
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    producer: Arc<Signal>,
    consumer: Arc<Signal>,
    gauge: metrics::Gauge,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A queue is whole between any two calls, whoever panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The producer's end.
#[derive(Debug)]
pub struct EdgeSender(Arc<Shared>);

/// The consumer's end.
#[derive(Debug)]
pub struct EdgeReceiver(Arc<Shared>);

/// Makes an edge between the units that two signals wake.
pub fn edge(producer: &Arc<Signal>, consumer: &Arc<Signal>, gauge: metrics::Gauge) -> (EdgeSender, EdgeReceiver) {
    let shared = Arc::new(Shared { queue: Mutex::default(), producer: Arc::clone(producer), consumer: Arc::clone(consumer), gauge });
    (EdgeSender(Arc::clone(&shared)), EdgeReceiver(shared))
}

impl EdgeSender {
    /// Whether the budget allows another message.
    pub fn has_room(&self) -> bool {
        self.0.lock().has_room()
    }

    /// Puts a message. The budget may be passed by one message, so that one larger than it still goes.
    pub fn send(&self, message: Message) {
        let mut queue = self.0.lock();
        queue.bytes += message.bytes();
        queue.turns += message.turns();
        queue.messages.push_back(message);
        self.0.gauge.set(queue.bytes as f64);
        drop(queue);
        self.0.consumer.raise();
    }
}

impl EdgeSender {
    /// Puts the turn of a batch that holds nothing for the consumer. Those that wait one behind the other are taken together, so that a rule costs next to
    /// nothing while nothing comes that it wants.
    pub fn send_quiet(&self, batch: &Arc<Batch>) {
        let mut queue = self.0.lock();
        if let Some(Message::Quiet(batches)) = queue.messages.back_mut() {
            batches.push(Arc::clone(batch));
            queue.turns += 1;
            queue.bytes += batch.input.bytes().len();
            return self.0.gauge.set(queue.bytes as f64);
        }
        drop(queue);
        self.send(Message::Quiet(vec![Arc::clone(batch)]));
    }

    /// Puts the turn of a message that was dropped: any number of them takes the room of one.
    pub fn skip(&self) {
        let mut queue = self.0.lock();
        if let Some(Message::Skipped(turns)) = queue.messages.back_mut() {
            *turns += 1;
            return;
        }
        drop(queue);
        self.send(Message::Skipped(1));
    }
}

impl EdgeReceiver {
    /// Whether the next message is a control, if there is one.
    pub fn next_is_control(&self) -> Option<bool> {
        self.0.lock().messages.front().map(Message::is_control)
    }

    /// Takes the next turn: the next message, or a part of one that is for several turns.
    pub fn receive(&self) -> Option<Message> {
        let mut queue = self.0.lock();
        let message = match queue.messages.front_mut()? {
            Message::Skipped(turns @ 2..) => {
                *turns -= 1;
                return Some(Message::Skipped(1));
            }
            Message::Quiet(batches) if batches.len() > 1 => Message::Quiet(vec![batches.remove(0)]),
            _ => queue.messages.pop_front()?,
        };
        self.taken(queue, message)
    }

    /// Takes the next message, of as many turns as it is for.
    pub fn receive_together(&self) -> Option<Message> {
        let mut queue = self.0.lock();
        let message = queue.messages.pop_front()?;
        self.taken(queue, message)
    }

    fn taken(&self, mut queue: MutexGuard<'_, Queue>, message: Message) -> Option<Message> {
        let was_full = !queue.has_room();
        queue.turns -= message.turns();
        queue.bytes -= message.bytes();
        let has_room = queue.has_room();
        self.0.gauge.set(queue.bytes as f64);
        drop(queue);
        if was_full && has_room {
            self.0.producer.raise();
        }
        Some(message)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.lock().messages.is_empty()
    }
}
