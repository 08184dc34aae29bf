//! The inputs of a unit: each collects the workers of one lane in the order in which they were dealt, and barriers align over all of them.
use super::edge::EdgeReceiver;
use super::message::{Barrier, Message};

/// One input: the edges of the workers of one lane. Data goes round; a control stands at the head of all of them.
#[derive(Debug)]
pub struct Port {
    edges: Vec<EdgeReceiver>,
    turn: usize,
    /// Its barrier has come, the others' has not.
    holds: bool,
    has_ended: bool,
}

impl Port {
    /// An input over the edges of all workers.
    pub fn new(edges: Vec<EdgeReceiver>) -> Port {
        Port { edges, turn: 0, holds: false, has_ended: false }
    }

    fn receive(&mut self) -> Option<Message> {
        if let [edge] = &self.edges[..] {
            return edge.receive_together();
        }
        if !self.edges[self.turn].next_is_control()? {
            let message = self.edges[self.turn].receive();
            self.turn = (self.turn + 1) % self.edges.len();
            return message;
        }
        // A control was given to all workers at one point of the rotation: it counts once, when all have passed it on.
        if self.edges.iter().any(|e| e.next_is_control() != Some(true)) {
            return None;
        }
        self.edges.iter().fold(None, |_, e| e.receive())
    }
}

/// What a unit sees of its inputs.
#[derive(Debug)]
pub enum Arrival {
    /// A message of an input: no barrier, no end.
    Message(usize, Message),
    /// An input has ended.
    End(usize, bool),
    /// All inputs have come to a barrier.
    Barrier(Barrier),
}

/// All inputs of a unit.
#[derive(Debug)]
pub struct Ports {
    ports: Vec<Port>,
    next: usize,
}

impl Ports {
    /// Inputs in the order of their numbers.
    pub fn new(ports: Vec<Port>) -> Ports {
        Ports { ports, next: 0 }
    }

    /// Takes what is next, from any input that may give.
    pub fn receive(&mut self) -> Option<Arrival> {
        for _ in 0..self.ports.len() {
            let at = self.next;
            self.next = (self.next + 1) % self.ports.len();
            if self.ports[at].holds {
                continue;
            }
            match self.ports[at].receive() {
                None => {}
                Some(Message::Barrier(barrier)) => {
                    self.ports[at].holds = true;
                    if self.ports.iter().all(|p| p.holds) {
                        self.ports.iter_mut().for_each(|p| p.holds = false);
                        return Some(Arrival::Barrier(barrier));
                    }
                }
                Some(Message::End) => {
                    self.ports[at].has_ended = true;
                    return Some(Arrival::End(at, self.ports.iter().all(|p| p.has_ended)));
                }
                Some(message) => return Some(Arrival::Message(at, message)),
            }
        }
        None
    }

    /// Whether nothing waits that may be taken now.
    pub fn is_quiet(&self) -> bool {
        self.ports.iter().all(|p| p.holds || p.edges[p.turn].is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::edge::{EdgeSender, Signal, edge};
    use super::*;
    use crate::event::Batch;
    use crate::limits::EDGE_MESSAGES_MAX;

    fn workers(count: usize) -> (Vec<EdgeSender>, Ports) {
        let signal = Signal::new();
        let (senders, receivers) = (0..count).map(|_| edge(&signal, &signal, metrics::Gauge::noop())).unzip();
        (senders, Ports::new(vec![Port::new(receivers)]))
    }

    /// Which of some batches came with a message.
    fn of(arrival: Option<Arrival>, batches: &[Arc<Batch>]) -> Vec<usize> {
        let number = |batch: &Arc<Batch>| batches.iter().position(|b| Arc::ptr_eq(b, batch)).unwrap();
        match arrival {
            Some(Arrival::Message(0, Message::Quiet(found))) => found.iter().map(number).collect(),
            Some(Arrival::Message(0, Message::Hits(batch, _))) => vec![100 + number(&batch)],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn quiet_turns_of_one_worker_come_together() {
        let batches: Vec<Arc<Batch>> = (0..EDGE_MESSAGES_MAX).map(|_| Arc::default()).collect();
        let (senders, mut ports) = workers(1);
        senders[0].send_quiet(&batches[0]);
        senders[0].send_quiet(&batches[1]);
        senders[0].send(Message::Hits(Arc::clone(&batches[2]), Arc::default()));
        senders[0].send_quiet(&batches[3]);
        assert_eq!(of(ports.receive(), &batches), [0, 1]);
        assert_eq!(of(ports.receive(), &batches), [102]);
        assert_eq!(of(ports.receive(), &batches), [3]);
        assert!(ports.receive().is_none() && ports.is_quiet());

        // Each takes the room of its turn.
        for batch in &batches {
            assert!(senders[0].has_room());
            senders[0].send_quiet(batch);
        }
        assert!(!senders[0].has_room());
        assert_eq!(of(ports.receive(), &batches).len(), batches.len());
        assert!(senders[0].has_room());
    }

    #[test]
    fn quiet_turns_of_several_workers_go_round() {
        let batches: Vec<Arc<Batch>> = (0..4).map(|_| Arc::default()).collect();
        let (senders, mut ports) = workers(2);
        senders[0].send_quiet(&batches[0]);
        senders[0].send_quiet(&batches[2]);
        assert_eq!(of(ports.receive(), &batches), [0]);
        // It is the other one's turn.
        assert!(ports.receive().is_none());
        senders[1].send(Message::Hits(Arc::clone(&batches[1]), Arc::default()));
        senders[1].send_quiet(&batches[3]);
        assert_eq!(of(ports.receive(), &batches), [101]);
        assert_eq!(of(ports.receive(), &batches), [2]);
        assert_eq!(of(ports.receive(), &batches), [3]);
        assert!(ports.receive().is_none() && ports.is_quiet());
    }
}
