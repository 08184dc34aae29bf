//! Which alert in TheHive stands for which rule, tenant and key, and what it says already. Saved with every epoch, so that a restart goes on with it.
use std::collections::HashMap;

use super::alert::{Alert, Observable};
use crate::limits::{THEHIVE_GROUPS_MAX, THEHIVE_OBSERVABLES_MAX};
use crate::state::{StateError, StateReader, StateWriter};

/// Version of the saved form.
const VERSION: u8 = 1;

/// One alert in TheHive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// Its `sourceRef`.
    pub(super) reference: String,
    opened: i64,
    /// How often the rule fired.
    pub(super) firings: u64,
    /// The last firing: a further revision of it is no further firing.
    last: String,
    /// When something was seen last.
    pub(super) last_seen: String,
    /// The greatest severity.
    pub(super) severity: u8,
    pub(super) is_promoted: bool,
    observables: Vec<(String, String)>,
}

impl Group {
    /// A group that a firing opens.
    pub(super) fn of(reference: &str, time: i64) -> Group {
        Group { reference: reference.to_owned(), opened: time, ..Group::default() }
    }

    /// Takes a firing, or a further revision of one.
    pub(super) fn take(&mut self, alert: &Alert) {
        if self.last != alert.id {
            self.last.clone_from(&alert.id);
            self.firings += 1;
        }
        self.severity = self.severity.max(alert.severity);
        if alert.last_seen > self.last_seen {
            self.last_seen.clone_from(&alert.last_seen);
        }
    }

    /// The observables that TheHive does not have yet.
    pub(super) fn unknown<'a>(&self, alert: &'a Alert) -> Vec<&'a Observable> {
        alert.observables.iter().filter(|o| !self.observables.iter().any(|(kind, data)| *kind == o.kind && *data == o.data)).collect()
    }

    /// TheHive has the observables of this alert.
    pub(super) fn knows(&mut self, alert: &Alert) {
        let new: Vec<(String, String)> = self.unknown(alert).into_iter().map(|o| (o.kind.clone(), o.data.clone())).collect();
        let room = THEHIVE_OBSERVABLES_MAX.saturating_sub(self.observables.len());
        self.observables.extend(new.into_iter().take(room));
    }

    fn save(&self, out: &mut StateWriter) {
        out.bytes(self.reference.as_bytes());
        out.i64(self.opened);
        out.u64(self.firings);
        out.bytes(self.last.as_bytes());
        out.bytes(self.last_seen.as_bytes());
        out.u8(self.severity);
        out.u8(u8::from(self.is_promoted));
        out.u32(self.observables.len() as u32);
        for (kind, data) in &self.observables {
            out.bytes(kind.as_bytes());
            out.bytes(data.as_bytes());
        }
    }

    fn load(from: &mut StateReader<'_>) -> Result<Group, StateError> {
        let mut group = Group::of(from.text()?, from.i64()?);
        group.firings = from.u64()?;
        from.text()?.clone_into(&mut group.last);
        from.text()?.clone_into(&mut group.last_seen);
        group.severity = from.u8()?;
        group.is_promoted = from.u8()? == 1;
        for _ in 0..from.u32()? {
            group.observables.push((from.text()?.to_owned(), from.text()?.to_owned()));
        }
        Ok(group)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Groups {
    open_for: i64,
    by_key: HashMap<String, Group>,
}

impl Groups {
    /// None; a group is open for so long. Zero: every firing has an alert of its own.
    pub(super) fn new(open_for: i64) -> Groups {
        Groups { open_for, by_key: HashMap::new() }
    }

    /// The group that is open for a firing, or whose last firing it tells more of.
    pub(super) fn open(&self, key: &str, alert: &Alert) -> Option<Group> {
        let is_open = |g: &&Group| alert.time < g.opened.saturating_add(self.open_for) || alert.revision > 1 && g.last == alert.id;
        self.by_key.get(key).filter(is_open).cloned()
    }

    /// Keeps a group for what follows.
    pub(super) fn keep(&mut self, key: String, group: Group, now: i64) {
        if self.open_for == 0 {
            return;
        }
        if self.by_key.len() >= THEHIVE_GROUPS_MAX && !self.by_key.contains_key(&key) {
            self.by_key.retain(|_, g| now < g.opened.saturating_add(self.open_for));
            // All are open: the oldest makes room, and its next firing has an alert of its own.
            if self.by_key.len() >= THEHIVE_GROUPS_MAX
                && let Some(oldest) = self.by_key.iter().min_by_key(|(_, g)| g.opened).map(|(key, _)| key.clone())
            {
                self.by_key.remove(&oldest);
            }
        }
        self.by_key.insert(key, group);
    }

    pub(super) fn save(&self) -> Vec<u8> {
        let mut out = StateWriter::default();
        out.u8(VERSION);
        let mut keys: Vec<&String> = self.by_key.keys().collect();
        keys.sort();
        for key in keys {
            out.bytes(key.as_bytes());
            self.by_key[key].save(&mut out);
        }
        out.bytes
    }

    pub(super) fn load(open_for: i64, bytes: &[u8]) -> Result<Groups, StateError> {
        let mut from = StateReader::new(bytes);
        let version = from.u8()?;
        if version != VERSION {
            return Err(StateError(format!("alerts of TheHive in an unknown form {version}")));
        }
        let mut out = Groups::new(open_for);
        while !from.is_empty() {
            out.by_key.insert(from.text()?.to_owned(), Group::load(&mut from)?);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firing(id: &str, severity: u8, last_seen: &str) -> Alert {
        let mut alert = Alert::default();
        (alert.id, alert.severity, alert.last_seen) = (id.into(), severity, last_seen.into());
        alert
    }

    fn revision(time: i64, id: &str, revision: u64) -> Alert {
        let mut alert = firing(id, 1, "");
        (alert.time, alert.revision) = (time, revision);
        alert
    }

    #[test]
    fn firings_are_counted_once_each_and_groups_come_back() {
        let mut groups = Groups::new(100);
        let mut group = Group::of("a", 10);
        group.take(&firing("a", 2, "t1"));
        group.take(&firing("b", 4, "t3"));
        group.take(&firing("b", 1, "t2"));
        assert_eq!((group.firings, group.last_seen.as_str(), group.severity), (2, "t3", 4));
        groups.keep("k".into(), group.clone(), 10);
        let again = Groups::load(100, &groups.save()).unwrap();
        assert_eq!((again.open("k", &revision(109, "c", 1)), again.open("k", &revision(110, "b", 2))), (Some(group.clone()), Some(group)));
        assert_eq!(
            (again.open("k", &revision(110, "c", 1)), again.open("k", &revision(110, "a", 2)), again.open("l", &revision(50, "c", 1))),
            (None, None, None)
        );
        assert!(Groups::load(1, &[7]).is_err() && Groups::load(1, &groups.save()[..9]).is_err());
    }

    #[test]
    fn groups_are_bounded() {
        let mut groups = Groups::new(i64::MAX);
        for n in 0..=THEHIVE_GROUPS_MAX as i64 {
            groups.keep(n.to_string(), Group::of("r", n), n);
        }
        assert_eq!((groups.by_key.len(), groups.open("0", &firing("r", 1, ""))), (THEHIVE_GROUPS_MAX, None));
    }
}
