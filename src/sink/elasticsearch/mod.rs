//! `elasticsearch`: `_bulk` requests to Elasticsearch 7, 8, 9 and OpenSearch, each event there once.
//!
//! A row is `{"create":{"_index","_id"}}`, a line feed, the event, a line feed. The `_id` is the event's identity (that of an alert its id, with `-REVISION`
//! from the second on), so what is sent again after a lost reply is answered with 409 and counts as there. Sources: the vendors' reference of the bulk API.
mod endpoints;
mod options;
mod reply;
mod template;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hyper::Method;

use self::endpoints::Endpoints;
pub use self::options::KIND;
use self::options::{Id, Settings, Target};
use crate::codec::format::json_members::{Member, members};
use crate::component::sink::{Mark, OutRow, Outcome, Packing, Sent};
use crate::component::{Body, BoxFuture, Outage, Sink};
use crate::event::{text, time};
use crate::expr::eval::BatchRow;
use crate::limits::BULK_BYTES_MAX;
use crate::net::http::{HttpClient, Reply, status_text};

const BULK: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error";

/// See the module.
struct Elasticsearch {
    settings: Settings,
    endpoints: Endpoints,
    /// An error is a file of `tls` that cannot be used.
    client: Result<HttpClient, String>,
    /// The index template is there, or is not this sink's business.
    is_mapped: AtomicBool,
}

/// A body that a request holds too: it is not copied.
struct Shared(Arc<Body>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Elasticsearch {
    fn new(settings: Settings) -> Elasticsearch {
        let client = HttpClient::new(&settings.tls, settings.timeout).and_then(|client| match &settings.authorization {
            Some(value) => client.with_header("authorization", value, true),
            None => Ok(client),
        });
        let is_mapped = AtomicBool::new(settings.template.is_none());
        Elasticsearch { endpoints: Endpoints::new(settings.endpoints.clone()), settings, client, is_mapped }
    }

    /// Sends a request to an endpoint that is well. One that does not answer is left alone for a while, and the next is asked.
    async fn ask(&self, method: Method, path: &str, headers: &[(&'static str, &'static str)], body: Bytes) -> Result<Reply, Outage> {
        let client = self.client.as_ref().map_err(|e| Outage::new(e.clone()))?;
        let mut last = String::new();
        for endpoint in self.endpoints.rotation() {
            let uri = endpoint.uri(path).map_err(Outage::new)?;
            match client.send(method.clone(), &uri, headers, body.clone()).await {
                Ok(reply) => {
                    endpoint.is_well();
                    return Ok(reply);
                }
                Err(e) => {
                    endpoint.is_away();
                    last = format!("{endpoint}: {e}");
                }
            }
        }
        Err(Outage::new(last))
    }

    /// Puts the index template where none of its name is there: before the first row, which would make the index without it.
    async fn install_template(&self) -> Result<(), Outage> {
        let Some(template) = self.settings.template.as_ref().filter(|_| !self.is_mapped.load(Ordering::Acquire)) else { return Ok(()) };
        let path = format!("/_index_template/{}?create=true", template.name);
        let json = [("content-type", "application/json")];
        let reply = self.ask(Method::PUT, &path, &json, Bytes::from(template.body.clone())).await?;
        match reply.status {
            200 => {}
            400 if String::from_utf8_lossy(&reply.body).contains("already exists") => {}
            401 | 403 => {
                let right = "`install_template` needs the right to manage index templates";
                return Err(Outage::new(format!("answers {}: {right}: {}", status_text(reply.status), reply.excerpt())));
            }
            other => return Err(Outage::new(format!("index template {}: {}: {}", template.name, status_text(other), reply.excerpt()))),
        }
        self.is_mapped.store(true, Ordering::Release);
        Ok(())
    }

    /// Appends the line that says what is to be done with the event.
    fn write_action(&self, row: &OutRow<'_>, id: Option<&[u8]>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"create\":{\"_index\":\"");
        let from = out.len();
        if let Some(template) = row.input.templates.first() {
            template.write(&BatchRow { batch: row.batch, row: row.row }, out);
        }
        text::escape_from(from, out);
        out.push(b'"');
        if let Some(id) = id {
            out.extend_from_slice(b",\"_id\":");
            text::quote(id, out);
        }
        if self.settings.target == Target::Alias {
            out.extend_from_slice(b",\"require_alias\":true");
        }
        out.extend_from_slice(b"}}\n");
    }

    /// Appends an event, with `@timestamp` where it has none.
    fn write_event(&self, row: &OutRow<'_>, out: &mut Vec<u8>) {
        let from = out.len();
        row.write(out);
        let timed = row.input.reads.first().copied().flatten().is_some_and(|slot| row.batch.cell(slot, row.row).is_present());
        let ecs = self.settings.ecs && row.input.is_alert;
        if timed && !ecs {
            return;
        }
        // What is added stands behind the last member.
        let end = out.iter().rposition(|b| *b == b'}').unwrap_or(from);
        let added = if ecs { ecs_members(&out[from..]) } else { Vec::new() };
        out.truncate(end);
        let mut first = members(&out[from..]).next().is_none();
        let mut key = |key: &[u8], out: &mut Vec<u8>| {
            if !std::mem::replace(&mut first, false) {
                out.push(b',');
            }
            out.extend_from_slice(key);
        };
        if !timed {
            key(b"\"@timestamp\":\"", out);
            time::write_rfc3339(row.facts.time, out);
            out.push(b'"');
        }
        if !added.is_empty() {
            key(&added, out);
        }
        out.extend_from_slice(b"}\n");
    }
}

/// What an alert is called in the Elastic Common Schema, beside its own names.
fn ecs_members(alert: &[u8]) -> Vec<u8> {
    let find = |name: &[u8]| members(alert).find(|(key, _)| *key == name).map(|(_, value)| value);
    if find(b"\"event\"").is_some() {
        // It comes from a dead letter, where it stands as it was sent.
        return Vec::new();
    }
    let mut out = b"\"event\":{\"kind\":\"alert\"}".to_vec();
    if let Some(title) = find(b"\"title\"") {
        out.extend_from_slice(b",\"message\":");
        out.extend_from_slice(title);
    }
    if let Some(attack) = find(b"\"attack\"").filter(|a| *a != b"[]") {
        out.extend_from_slice(b",\"threat\":{\"technique\":{\"id\":");
        out.extend_from_slice(attack);
        out.extend_from_slice(b"}}");
    }
    out
}

/// The id and the revision of an alert.
fn alert_of(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, alert): Member<'_> = members(line).find(|(key, _)| *key == b"\"alert\"")?;
    let find = |name: &[u8]| members(alert).find(|(key, _)| *key == name).map(|(_, value)| value);
    Some((find(b"\"id\"")?.strip_prefix(b"\"")?.strip_suffix(b"\"")?, find(b"\"revision\"")?))
}

impl Sink for Elasticsearch {
    /// A peer that is away now may come.
    fn connect(&self, _last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { self.client.as_ref().map(|_| ()).map_err(|e| Outage::new(e.clone())) })
    }

    fn probe(&self) -> BoxFuture<'_, Result<String, Outage>> {
        Box::pin(async {
            let reply = self.ask(Method::GET, "/", &[], Bytes::new()).await?;
            // Whoever may write need not be told the version: that wants the privilege `monitor`. Who it is, everyone is told.
            if reply.status == 403
                && let known = self.ask(Method::GET, "/_security/_authenticate", &[], Bytes::new()).await?
                && known.status == 200
            {
                return Ok(reply::known_as(&known.body));
            }
            match reply.status {
                200 => Ok(reply::product(&reply.body)),
                401 | 403 => Err(Outage::new(format!("answers {}: look at `auth`", status_text(reply.status)))),
                other => Err(Outage::new(format!("answers {}: {}", status_text(other), reply.excerpt()))),
            }
        })
    }

    fn packing(&self) -> Packing {
        Packing { bytes: BULK_BYTES_MAX, in_flight: self.settings.in_flight_max, ..Packing::default() }
    }

    fn needs_facts(&self) -> bool {
        true
    }

    fn encode(&self, row: &OutRow<'_>, body: &mut Body) {
        let event_id = row.identity();
        // The id of an alert stands in its own text, which is written first.
        let alert = (self.settings.id == Id::Event && row.input.is_alert).then(|| {
            let mut alert = Vec::new();
            self.write_event(row, &mut alert);
            alert
        });
        let mut made = Vec::new();
        let id: Option<&[u8]> = match (self.settings.id, alert.as_deref().and_then(alert_of)) {
            (Id::None, _) => None,
            (Id::Event, None) => Some(&event_id),
            (Id::Event, Some((id, b"1"))) => Some(id),
            (Id::Event, Some((id, revision))) => {
                made = [id, b"-", revision].concat();
                Some(&made)
            }
            (Id::Template, _) => {
                if let Some(template) = row.input.templates.get(1) {
                    template.write(&BatchRow { batch: row.batch, row: row.row }, &mut made);
                }
                Some(&made)
            }
        };
        self.write_action(row, id, &mut body.bytes);
        body.marks.push(Mark { event_at: body.bytes.len(), id: event_id });
        match alert {
            Some(alert) => body.bytes.extend_from_slice(&alert),
            None => self.write_event(row, &mut body.bytes),
        }
        body.ends.push(body.bytes.len());
    }

    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async move {
            self.install_template().await?;
            let mut headers = vec![("content-type", "application/x-ndjson")];
            let compression = self.settings.compression;
            if !compression.is_none() {
                headers.push(("content-encoding", compression.name()));
            }
            let bytes = match compression.pack(&body.bytes).map_err(|e| Outage::new(format!("cannot be packed: {e}")))? {
                Cow::Borrowed(_) => Bytes::from_owner(Shared(Arc::clone(body))),
                Cow::Owned(packed) => packed.into(),
            };
            let reply = self.ask(Method::POST, BULK, &headers, bytes).await?;
            match reply.status {
                200 => reply::outcomes(&reply.body, body.rows()).map_err(|e| Outage::new(format!("{e}: {}", reply.excerpt()))),
                413 => Ok(Sent::TooLarge(format!("{} bytes: {}", body.bytes.len(), status_text(413)))),
                // Not now, or not so much: the rows are put off.
                429 => {
                    let outage = Outage::new(format!("answers {}: {}", status_text(429), reply.excerpt()));
                    Ok(Sent::Rows(vec![Outcome::Retry; body.rows()], Some(outage)))
                }
                401 | 403 => Err(Outage::new(format!("answers {}: look at `auth`: {}", status_text(reply.status), reply.excerpt()))),
                other => Err(Outage::new(format!("answers {}: {}", status_text(other), reply.excerpt()))),
            }
        })
    }

    fn is_stateless(&self) -> bool {
        true
    }

    fn seal(&self, _epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
