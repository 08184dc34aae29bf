//! `thehive`: alerts in TheHive 5 and 4, each once, updated when more is known, promoted to cases where a condition holds.
//!
//! The alert's id is its `sourceRef`: what is sent again after a lost reply is answered with "already exist", and updated. Alerts go one after the
//! other, since the server checks for a twin and then inserts. Sources: the vendor's OpenAPI of 5.6.2, and the sources of 4.1 for version 4.
mod alert;
mod api;
mod groups;
mod options;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use self::alert::Alert;
use self::api::{Answer, Api, Peer};
use self::groups::{Group, Groups};
pub use self::options::KIND;
use self::options::Settings;
use crate::codec::format::json_out::write_value;
use crate::component::sink::{OutRow, Outcome, Sent};
use crate::component::{Body, BoxFuture, Outage, Sink};
use crate::event::{text, time};
use crate::expr::eval::BatchRow;

/// Rounds in which a part that the server does not know is taken out of an alert.
const ROUNDS_MAX: usize = 8;

/// See the module.
struct TheHive {
    settings: Settings,
    api: Api,
    groups: Mutex<Groups>,
}

impl TheHive {
    fn new(settings: Settings) -> TheHive {
        TheHive { api: Api::new(&settings), groups: Mutex::new(Groups::new(settings.group_for)), settings }
    }

    fn groups<T>(&self, use_them: impl FnOnce(&mut Groups) -> T) -> T {
        use_them(&mut self.groups.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes an alert, or brings the one that is there up to date.
    async fn deliver(&self, mut alert: Alert) -> Result<Outcome, Outage> {
        let peer = self.api.peer(alert.organisation.as_deref()).await?;
        if let Some(types) = &peer.types {
            alert.know_types(types);
        }
        let key = alert.group_key();
        let (mut group, is_open) = match self.groups(|g| g.open(&key, &alert)) {
            Some(group) => (group, true),
            None => (Group::of(&alert.id, alert.time), false),
        };
        group.take(&alert);
        let mut is_new = !is_open && alert.revision == 1;
        let mut round = 0;
        loop {
            let answer = match is_new {
                true => self.api.create(&peer, &alert, &group).await?,
                false => self.api.update(&peer, &alert, &group).await?,
            };
            round += 1;
            match answer {
                Answer::Done => break,
                Answer::Exists if is_new => is_new = false,
                // It was deleted: it is made again.
                Answer::Missing(_) if !is_new && round < ROUNDS_MAX => is_new = true,
                Answer::Missing(what) | Answer::Refused(400, what) if round < ROUNDS_MAX && alert.leave_out(&what) => {}
                Answer::Missing(what) => return Ok(Outcome::Rejected { status: Some(404), reason: what }),
                Answer::Refused(status, what) => return Ok(Outcome::Rejected { status: Some(status), reason: what }),
                Answer::Exists => return Ok(Outcome::Retry),
            }
        }
        if !is_new {
            for observable in group.unknown(&alert) {
                self.api.add_observable(&peer, &alert, &group, observable).await?;
            }
        }
        if alert.promote && !group.is_promoted {
            self.api.promote(&peer, &alert, &group, is_new, self.settings.case_template.as_deref()).await?;
            group.is_promoted = true;
        }
        group.knows(&alert);
        self.groups(|g| g.keep(key, group, alert.time));
        Ok(if is_new || is_open || alert.revision > 1 { Outcome::Accepted } else { Outcome::Duplicate })
    }

    /// What stands before the event of a row: one JSON object.
    fn write_head(&self, row: &OutRow<'_>, id: &[u8; 32], out: &mut Vec<u8>) {
        let fields = BatchRow { batch: row.batch, row: row.row };
        let mut templates = row.input.templates.iter();
        out.extend_from_slice(b"{\"id\":");
        text::quote(id, out);
        out.extend_from_slice(b",\"time\":\"");
        time::write_rfc3339(row.facts.time, out);
        out.push(b'"');
        let mut word = Vec::new();
        if self.settings.has_organisation
            && let Some(template) = templates.next()
            && template.write_some(&fields, &mut word)
        {
            out.extend_from_slice(b",\"organisation\":");
            text::quote(&word, out);
        }
        out.extend_from_slice(b",\"tags\":[");
        for (number, template) in templates.enumerate() {
            word.clear();
            template.write(&fields, &mut word);
            out.extend_from_slice(if number > 0 { b"," } else { b"" });
            text::quote(&word, out);
        }
        out.extend_from_slice(b"],\"values\":[");
        for (number, slot) in row.input.values.iter().enumerate() {
            let span = row.batch.plain(*slot, row.row);
            out.extend_from_slice(if number > 0 { b"," } else { b"" });
            match row.batch.value(*slot, row.row).is_present() {
                true => write_value(row.batch, span, out),
                false => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(b"]}\n");
    }

    /// The alert of a row of a body.
    fn read(&self, bytes: &[u8]) -> Result<Alert, String> {
        let mut lines = bytes.splitn(2, |b| *b == b'\n');
        let mut next = || serde_json::from_slice::<Value>(lines.next().unwrap_or_default()).map_err(|e| format!("no JSON: {e}"));
        Ok(Alert::new(&next()?, next()?, &self.settings))
    }
}

impl Sink for TheHive {
    /// A peer that is away now may come.
    fn connect(&self, last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        let groups = last.map(|bytes| Groups::load(self.settings.group_for, bytes)).transpose();
        Box::pin(async {
            if let Some(groups) = groups.map_err(|e| Outage::new(e.to_string()))? {
                self.groups(|g| *g = groups);
            }
            self.api.usable()
        })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, Outage>> {
        Box::pin(async {
            let peer: Peer = self.api.peer(None).await?;
            let user = self.api.user().await?;
            Ok(format!("TheHive {}, as {user}", peer.version))
        })
    }

    fn needs_facts(&self) -> bool {
        true
    }

    fn encode(&self, row: &OutRow<'_>, body: &mut Body) {
        let id = row.identity();
        self.write_head(row, &id, &mut body.bytes);
        row.end(id, body);
    }

    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(body.rows());
            for row in 0..body.rows() {
                outcomes.push(match self.read(&body.bytes[body.range(row..row + 1)]) {
                    Err(reason) => Outcome::Rejected { status: None, reason },
                    Ok(alert) => match self.deliver(alert).await {
                        Ok(outcome) => outcome,
                        // What follows waits, so that a later firing does not overtake an earlier one.
                        Err(outage) => {
                            outcomes.resize(body.rows(), Outcome::Retry);
                            return Ok(Sent::Rows(outcomes, Some(outage)));
                        }
                    },
                });
            }
            Ok(Sent::Rows(outcomes, None))
        })
    }

    fn seal(&self, _epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async { Ok(self.groups(|g| g.save())) })
    }
}
