//! Requests to TheHive: which version answers, and what its replies mean.
use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, Uri};
use serde_json::{Value, json};

use super::alert::{Alert, Observable, SOURCE};
use super::groups::Group;
use super::options::{Settings, Version};
use crate::clock::Stopwatch;
use crate::component::Outage;
use crate::net::http::{HttpClient, Reply, status_text};

/// What was learnt of a server is asked for again after this: types may be added.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// A server.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    pub(super) version: String,
    pub(super) is_four: bool,
    /// Types of observables; none where it does not tell.
    pub(super) types: Option<BTreeSet<String>>,
    pub(super) tlp: u8,
    pub(super) pap: u8,
}

/// What a reply means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// An alert of this name is there.
    Exists,
    /// Something that the request names is not there.
    Missing(String),
    /// Status and reason.
    Refused(u16, String),
}

/// See the module.
pub(super) struct Api {
    /// An error is a file of `tls` that cannot be used.
    client: Result<HttpClient, String>,
    settings: Settings,
    known: Mutex<Option<(Peer, Stopwatch)>>,
}

/// A name in a path.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// The number of a marking. Red was 3 until 5.1; 5.2 put amber+strict there.
fn tlp(name: &str, has_strict: bool) -> u8 {
    match name {
        "clear" | "white" => 0,
        "green" => 1,
        "amber" => 2,
        "amber+strict" => {
            if has_strict {
                3
            } else {
                2
            }
        }
        _ => {
            if has_strict {
                4
            } else {
                3
            }
        }
    }
}

/// Major and minor number.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split(|c: char| !c.is_ascii_digit()).filter(|p| !p.is_empty()).map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next().and_then(Result::ok).unwrap_or(0)))
}

impl Api {
    pub(super) fn new(settings: &Settings) -> Api {
        let client = HttpClient::new(&settings.tls, settings.timeout)
            .and_then(|client| client.with_header("authorization", &format!("Bearer {}", settings.key), true));
        Api { client, settings: settings.clone(), known: Mutex::default() }
    }

    /// Whether its options can be used at all.
    pub(super) fn usable(&self) -> Result<(), Outage> {
        self.client.as_ref().map(|_| ()).map_err(|e| Outage::new(e.clone()))
    }

    async fn ask(&self, method: Method, path: &str, organisation: Option<&str>, body: Option<&Value>) -> Result<Reply, Outage> {
        let url = format!("{}{path}", self.settings.url);
        if self.settings.dry_run {
            let line = json!({"method": method.as_str(), "url": url, "organisation": organisation, "body": body});
            // Who closed the output does not want to see more.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
            return Ok(Reply { status: 201, body: Bytes::from_static(b"{}") });
        }
        let client = self.client.as_ref().map_err(|e| Outage::new(e.clone()))?;
        let uri: Uri = url.parse().map_err(|e| Outage::new(format!("{url}: {e}")))?;
        let mut headers: Vec<(&'static str, &str)> = vec![("content-type", "application/json")];
        headers.extend(organisation.map(|name| ("x-organisation", name)));
        let body = body.map(Value::to_string).unwrap_or_default();
        let reply = client.send(method, &uri, &headers, Bytes::from(body)).await;
        let reply = reply.map_err(|e| Outage::new(format!("{}: {e}", self.settings.url)))?;
        match reply.status {
            401..=403 => Err(Outage::new(format!("answers {}: look at `key`: {}", status_text(reply.status), reply.excerpt()))),
            429 | 500.. => Err(Outage::new(format!("answers {}: {}", status_text(reply.status), reply.excerpt()))),
            _ => Ok(reply),
        }
    }

    /// The server that answers, and what it knows.
    pub(super) async fn peer(&self, organisation: Option<&str>) -> Result<Peer, Outage> {
        if let Some((peer, since)) = &*self.known.lock().unwrap_or_else(PoisonError::into_inner)
            && since.elapsed() < KNOWN_FOR
        {
            return Ok(peer.clone());
        }
        let (version, is_four) = self.version().await?;
        let has_strict = !is_four && numbers(&version).is_none_or(|n| n >= (5, 2));
        let types = if self.settings.dry_run { None } else { self.types(is_four, organisation).await? };
        let (tlp, pap) = (tlp(&self.settings.tlp, has_strict), tlp(&self.settings.pap, false));
        let peer = Peer { version, is_four, types, tlp, pap };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((peer.clone(), Stopwatch::start()));
        Ok(peer)
    }

    /// The version, and whether it speaks the API of version 4.
    async fn version(&self) -> Result<(String, bool), Outage> {
        let wanted = self.settings.version;
        if self.settings.dry_run {
            return Ok((if wanted == Version::Four { "4" } else { "5.6" }.to_owned(), wanted == Version::Four));
        }
        for (path, at) in [("/api/v1/status/public", "/version"), ("/api/status", "/versions/TheHive")] {
            let reply = self.ask(Method::GET, path, None, None).await?;
            let status: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            if let (200, Some(version)) = (reply.status, status.pointer(at).and_then(Value::as_str)) {
                let is_four = match wanted {
                    Version::Auto => numbers(version).is_some_and(|(major, _)| major < 5),
                    told => told == Version::Four,
                };
                return Ok((version.to_owned(), is_four));
            }
        }
        Err(Outage::new(format!("{}: what answers is no TheHive", self.settings.url)))
    }

    async fn types(&self, is_four: bool, organisation: Option<&str>) -> Result<Option<BTreeSet<String>>, Outage> {
        let reply = if is_four {
            self.ask(Method::GET, "/api/observable/type?range=all", organisation, None).await?
        } else {
            let query = json!({"query": [{"_name": "listObservableType"}, {"_name": "page", "from": 0, "to": 1000}]});
            self.ask(Method::POST, "/api/v1/query?name=observable-types", organisation, Some(&query)).await?
        };
        let found: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        // What an alert names wrongly is told when it is made, if the list cannot be had.
        let names: BTreeSet<String> =
            found.as_array().into_iter().flatten().filter_map(|t| t["name"].as_str().map(str::to_owned)).collect();
        Ok((reply.status == 200 && names.contains("other")).then_some(names))
    }

    /// Whose key it is.
    pub(super) async fn user(&self) -> Result<String, Outage> {
        let reply = self.ask(Method::GET, "/api/v1/user/current", None, None).await?;
        let user: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        user["login"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| Outage::new(format!("answers {}: {}", status_text(reply.status), reply.excerpt())))
    }

    async fn change(&self, method: Method, path: &str, alert: &Alert, body: &Value) -> Result<Answer, Outage> {
        let reply = self.ask(method, path, alert.organisation.as_deref(), Some(body)).await?;
        let said: Option<Value> = serde_json::from_slice(&reply.body).ok();
        let words = || said.as_ref().and_then(|s| s["message"].as_str()).map_or_else(|| reply.excerpt(), str::to_owned);
        Ok(match reply.status {
            204 => Answer::Done,
            // A page of a proxy is no answer.
            200 | 201 if said.as_ref().is_some_and(|s| s.is_object() || s.is_array()) => Answer::Done,
            400 if words().to_lowercase().contains("already exist") => Answer::Exists,
            404 => Answer::Missing(words()),
            status @ (400 | 413) => Answer::Refused(status, words()),
            status => return Err(Outage::new(format!("answers {}: {}", status_text(status), reply.excerpt()))),
        })
    }

    fn alerts(peer: &Peer) -> &'static str {
        if peer.is_four { "/api/alert" } else { "/api/v1/alert" }
    }

    /// Where an alert stands: by its name, which is known without asking.
    fn path(&self, peer: &Peer, group: &Group) -> String {
        format!("{}/{}", Api::alerts(peer), encoded(&format!("{};{SOURCE};{}", self.settings.kind, group.reference)))
    }

    pub(super) async fn create(&self, peer: &Peer, alert: &Alert, group: &Group) -> Result<Answer, Outage> {
        self.change(Method::POST, Api::alerts(peer), alert, &alert.create_body(group, peer)).await
    }

    pub(super) async fn update(&self, peer: &Peer, alert: &Alert, group: &Group) -> Result<Answer, Outage> {
        self.change(Method::PATCH, &self.path(peer, group), alert, &alert.update_body(group, peer)).await
    }

    /// Adds an observable to an alert that is there. One that it does not take is left out: the alert counts.
    pub(super) async fn add_observable(&self, peer: &Peer, alert: &Alert, group: &Group, observable: &Observable) -> Result<(), Outage> {
        let path = format!("{}/{}", self.path(peer, group), if peer.is_four { "artifact" } else { "observable" });
        self.change(Method::POST, &path, alert, &alert.observable_body(observable, peer)).await.map(drop)
    }

    /// Makes a case of an alert, unless there is one. A template that is not there is left out: a case without tasks is better than none.
    pub(super) async fn promote(
        &self,
        peer: &Peer,
        alert: &Alert,
        group: &Group,
        is_new: bool,
        template: Option<&str>,
    ) -> Result<(), Outage> {
        let path = self.path(peer, group);
        if !is_new && !self.settings.dry_run {
            let reply = self.ask(Method::GET, &path, alert.organisation.as_deref(), None).await?;
            let there: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            if !there["caseId"].is_null() || !there["case"].is_null() {
                return Ok(());
            }
        }
        let path = format!("{path}/{}", if peer.is_four { "createCase" } else { "case" });
        let body = template.map_or(json!({}), |name| json!({"caseTemplate": name}));
        let answer = self.change(Method::POST, &path, alert, &body).await?;
        if template.is_some() && matches!(answer, Answer::Missing(_) | Answer::Refused(400, _)) {
            self.change(Method::POST, &path, alert, &json!({})).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markings_have_the_numbers_of_the_version() {
        let of = |has_strict| ["clear", "white", "green", "amber", "amber+strict", "red"].map(|name| tlp(name, has_strict));
        assert_eq!((of(true), of(false)), ([0, 0, 1, 2, 3, 4], [0, 0, 1, 2, 2, 3]));
        assert_eq!((numbers("5.6.2-1"), numbers("4.1.24-1"), numbers("5"), numbers("x")), (Some((5, 6)), Some((4, 1)), Some((5, 0)), None));
        assert_eq!(encoded("a b;é"), "a%20b%3B%C3%A9");
    }
}
