//! Which way a body takes to its sink: straight, or through the disk buffer.
//!
//! A sink without state is given bodies past the buffer until it falls behind; then what is under way goes in first.
use super::Delivery;
use crate::component::sink::Outage;
use crate::runtime::buffered::{Buffered, Put};

impl Delivery {
    /// Hands the body on: to the sender, or to the disk buffer. A disk that takes nothing leaves it where it is, or the next one.
    pub(super) fn close_body(&mut self) {
        if self.body.rows() == 0 {
            return;
        }
        let goes_by = self.goes_by();
        if !goes_by && self.overflows() && !self.keep() {
            return;
        }
        let is_sent = match &mut self.buffer {
            None => true,
            Some(buffer) if goes_by => {
                buffer.recover();
                self.is_direct = true;
                true
            }
            // All before it is delivered or under way: it is sent from memory. If all is delivered, what finds no room on the disk needs no detour.
            Some(buffer) if buffer.is_read() && !self.sender.is_laden() => match buffer.put(&self.body, self.sender.is_empty()) {
                Put::Queued => {
                    buffer.skip();
                    true
                }
                Put::Dropped => false,
                Put::Held if self.sender.is_empty() => {
                    self.is_direct = true;
                    true
                }
                Put::Held => return,
            },
            Some(buffer) => {
                if !buffer.begin(&mut self.body, &self.signal) {
                    return;
                }
                false
            }
        };
        if is_sent {
            let spare = self.sender.spare();
            self.sender.push(std::mem::replace(&mut self.body, spare));
        } else {
            self.body.clear();
        }
        self.filling = None;
    }

    /// Whether the disk buffer is for what the sink does not keep up with only. Where an epoch leaves something to seal, what came after the last seal must
    /// be there to come again.
    fn overflows(&self) -> bool {
        self.buffer.is_some() && self.sender.parts.sink.is_stateless()
    }

    /// Whether the sink keeps up, so that the body needs no detour; all that is under way could still take it.
    fn goes_by(&self) -> bool {
        let Some(buffer) = self.buffer.as_ref().filter(|_| self.overflows()) else { return false };
        if self.sender.is_empty() {
            return buffer.is_read();
        }
        let bodies = self.sender.bodies().map(|body| &**body).chain([&self.body]);
        self.is_direct && !self.sender.is_laden() && buffer.fits(bodies)
    }

    /// Puts what went by the disk buffer into it, if something did: the sink does not keep up. Says whether nothing is under way any more that is not there.
    pub(super) fn keep(&mut self) -> bool {
        if !self.is_direct {
            return true;
        }
        // All before these bodies is settled.
        let sealed = self.sealed_now(Vec::new());
        let overflows = self.overflows();
        let Some(buffer) = self.buffer.as_mut().filter(|_| overflows) else { return false };
        if buffer.keep(self.sender.bodies().map(|body| &**body)) {
            self.sealed.1 = sealed;
            self.is_direct = false;
        }
        !self.is_direct
    }

    /// Takes bodies out of the disk buffer while the peer can take them. While a barrier waits for those under way
    /// it does not, unless all is to be delivered, or rows before it wait for room.
    pub(super) fn refill(&mut self) {
        let may_read = self.sealing.front().is_none_or(|barrier| self.drains(*barrier)) || self.waits_for_room();
        let Some(buffer) = self.buffer.as_mut().filter(|_| may_read) else { return };
        while self.sender.has_room() && !buffer.is_read() {
            match buffer.next(|| self.sender.spare(), &self.signal) {
                Ok(Some(body)) => self.sender.push(body),
                Ok(None) => break,
                Err(e) => {
                    let message = format!("disk buffer: {e}: its rows cannot be read");
                    return self.sender.put_off(&Outage::new(message));
                }
            }
        }
        if self.sender.is_empty() {
            for body in buffer.turn_back() {
                self.is_direct = true;
                self.sender.push(body);
            }
        }
    }

    /// Whether rows wait for room in the disk buffer.
    pub(super) fn waits_for_room(&self) -> bool {
        self.body.rows() > 0 || self.buffer.as_ref().is_some_and(Buffered::is_coming)
    }
}
