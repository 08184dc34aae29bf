//! Suppression: after an alert, further firings of its key are counted for a while; then one revision says how many there were.
use std::collections::{BTreeMap, HashMap};

use super::alert::Alert;
use crate::clock::Timestamp;
use crate::state::{Chunks, StateError, StateReader};

/// One open suppression.
#[derive(Clone, Debug)]
struct Open {
    opened: Timestamp,
    /// The alert that opened it; count and last_seen are those of the last suppressed firing.
    alert: Alert,
    /// Upper byte: key group.
    hash: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Suppressions {
    length: i64,
    open: HashMap<Vec<u8>, Open>,
    /// Deadlines, then keys: the order in which revisions are said.
    deadlines: BTreeMap<(Timestamp, Vec<u8>), ()>,
}

impl Suppressions {
    /// None open; each lasts `length`.
    pub fn new(length: i64) -> Suppressions {
        Suppressions { length, open: HashMap::new(), deadlines: BTreeMap::new() }
    }

    /// Whether a firing at `time` is held back. If so it is counted.
    pub fn holds(&mut self, key: &[u8], time: Timestamp, count: &[u8]) -> bool {
        match self.open.get_mut(key) {
            Some(open) if time < open.opened.saturating_add(self.length) => {
                open.alert.suppressed += 1;
                open.alert.last_seen = time;
                count.clone_into(&mut open.alert.count);
                true
            }
            _ => false,
        }
    }

    /// Opens a suppression with its alert.
    pub fn open(&mut self, key: &[u8], hash: u64, time: Timestamp, alert: &Alert) {
        let deadline = time.saturating_add(self.length) - 1;
        if let Some(old) = self.open.remove(key) {
            self.deadlines.remove(&(old.opened.saturating_add(self.length) - 1, key.to_vec()));
        }
        self.deadlines.insert((deadline, key.to_vec()), ());
        self.open.insert(key.to_vec(), Open { opened: time, alert: Alert { suppressed: 0, ..alert.clone() }, hash });
    }

    /// The earliest deadline.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadlines.first_key_value().map(|((d, _), ())| *d)
    }

    /// Ends the suppression of the earliest deadline. Gives its revision if something was suppressed, and its key.
    pub fn end_first(&mut self) -> Option<(Alert, Vec<u8>)> {
        let ((deadline, key), ()) = self.deadlines.pop_first()?;
        let open = self.open.remove(&key)?;
        if open.alert.suppressed == 0 {
            return None;
        }
        Some((Alert { revision: 2, time: deadline + 1, ..open.alert }, key))
    }

    /// Writes all that are open.
    pub fn save(&self, chunks: &mut Chunks) {
        for (key, open) in &self.open {
            let out = chunks.record();
            out.bytes(key);
            out.u64(open.hash);
            out.i64(open.opened);
            let a = &open.alert;
            out.bytes(&a.id);
            [a.time, a.first_seen, a.last_seen].iter().for_each(|t| out.i64(*t));
            out.bytes(&a.count);
            out.u64(a.suppressed);
            [&a.head, &a.middle, &a.tail].iter().for_each(|b| out.bytes(b));
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.open.clear();
        self.deadlines.clear();
    }

    /// Takes over what another shard had open.
    pub fn absorb(&mut self, other: Suppressions) {
        self.open.extend(other.open);
        self.deadlines.extend(other.deadlines);
    }

    /// Reads what [`Suppressions::save`] wrote.
    pub fn load(&mut self, from: &mut StateReader<'_>, keep: &dyn Fn(u64) -> bool) -> Result<(), StateError> {
        while !from.is_empty() {
            let key = from.bytes()?.to_vec();
            let (hash, opened) = (from.u64()?, from.i64()?);
            let id = from.bytes()?.try_into().map_err(|_| StateError("an alert that is held back has no id".into()))?;
            let (time, first_seen, last_seen) = (from.i64()?, from.i64()?, from.i64()?);
            let (count, suppressed) = (from.bytes()?.to_vec(), from.u64()?);
            let (head, middle, tail) = (from.bytes()?.to_vec(), from.bytes()?.to_vec(), from.bytes()?.to_vec());
            if keep(hash) {
                let alert = Alert { id, revision: 1, time, first_seen, last_seen, count, suppressed, middle, head, tail };
                self.deadlines.insert((opened.saturating_add(self.length) - 1, key.clone()), ());
                self.open.insert(key, Open { opened, alert, hash });
            }
        }
        Ok(())
    }
}
