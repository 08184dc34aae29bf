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
