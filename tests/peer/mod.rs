//! A node that answers `_bulk` as a strict one does, and deals what a real one seldom deals.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // each test uses its part
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tripline::codec::format::json_members::members;

use crate::wire::{Asked, listen};

/// What a request is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deal {
    /// Rightly.
    Well,
    /// Every so many items are put off with 429, the others taken.
    PutOff(usize),
    /// The whole request with a status, and nothing is taken.
    Status(u16),
    /// The connection is closed before anything is taken.
    ResetBefore,
    /// Everything is taken, then the connection is closed without a word.
    ResetAfter,
    /// A page of a proxy.
    Html,
    /// One item fewer than there are rows; nothing is taken.
    ItemMissing,
    /// Nothing is said for ever.
    Silence,
}

/// What the node holds and has seen.
#[derive(Default)]
pub struct Seen {
    /// Documents by index and id.
    pub documents: BTreeMap<(String, String), Value>,
    /// Requests.
    pub requests: usize,
    /// What the next ones are answered with; then all go well.
    pub deals: VecDeque<Deal>,
    /// It is being repaired: 503 to all that comes.
    pub is_away: bool,
    /// How long it takes over a request.
    pub takes: Duration,
    /// Documents of this index are refused.
    pub refused_index: Option<String>,
    /// Its mapping takes any value.
    pub takes_words: bool,
    /// Bodies beyond this are answered with 413.
    pub bytes_max: usize,
    /// Index templates by name.
    pub templates: BTreeMap<String, Value>,
    /// Values of `authorization`.
    pub authorizations: Vec<String>,
    /// Documents that were there already.
    pub duplicates: usize,
    /// The most bytes of a body.
    pub largest: usize,
}

/// See the module.
#[derive(Clone)]
pub struct Peer {
    pub address: String,
    pub seen: Arc<Mutex<Seen>>,
}

impl Peer {
    /// Starts on a free port.
    pub fn start(deals: &[Deal]) -> Peer {
        let seen = Seen { deals: deals.iter().cloned().collect(), bytes_max: usize::MAX, ..Seen::default() };
        let seen = Arc::new(Mutex::new(seen));
        let shared = Arc::clone(&seen);
        Peer { address: listen(move |asked| answer(&asked, &shared)), seen }
    }

    /// Goes away, or comes back.
    pub fn away(&self, is_away: bool) {
        self.seen.lock().unwrap().is_away = is_away;
    }

    /// Documents of an index.
    pub fn documents(&self, index: &str) -> Vec<Value> {
        self.seen.lock().unwrap().documents.iter().filter(|((i, _), _)| i == index).map(|(_, d)| d.clone()).collect()
    }
}

fn answer(asked: &Asked, seen: &Mutex<Seen>) -> Option<(u16, String)> {
    if asked.path.starts_with("/_bulk") {
        let takes = seen.lock().unwrap().takes;
        std::thread::sleep(takes);
    }
    let mut seen = seen.lock().unwrap();
    seen.authorizations.extend(asked.header("authorization").map(str::to_owned));
    if asked.method == "PUT"
        && let Some(name) = asked.path.strip_prefix("/_index_template/").and_then(|rest| rest.strip_suffix("?create=true"))
    {
        if seen.templates.contains_key(name) {
            let reason = format!("index template [{name}] already exists");
            return Some((400, json!({"error": {"type": "illegal_argument_exception", "reason": reason}, "status": 400}).to_string()));
        }
        seen.templates.insert(name.to_owned(), serde_json::from_slice(&asked.body).unwrap());
        return Some((200, json!({"acknowledged": true}).to_string()));
    }
    if asked.method != "POST" || !asked.path.starts_with("/_bulk") {
        return Some((200, json!({"cluster_name": "peer", "version": {"number": "9.0.0"}}).to_string()));
    }
    assert_eq!(asked.header("content-type"), Some("application/x-ndjson"));
    seen.requests += 1;
    let deal = if seen.is_away { Deal::Status(503) } else { seen.deals.pop_front().unwrap_or(Deal::Well) };
    seen.largest = seen.largest.max(asked.body.len());
    match deal {
        _ if asked.body.len() > seen.bytes_max => Some((413, String::new())),
        Deal::ResetBefore => None,
        Deal::Silence => {
            drop(seen);
            std::thread::sleep(Duration::from_secs(3600));
            None
        }
        Deal::Status(status) => Some((status, json!({"error": {"type": "of_the_test"}, "status": status}).to_string())),
        Deal::Html => Some((200, "<html>\n<body>It works!</body></html>".to_owned())),
        deal => {
            let mut items = bulk(&mut seen, &asked.body, &deal);
            match deal {
                Deal::ResetAfter => return None,
                Deal::ItemMissing => drop(items.pop()),
                _ => {}
            }
            let errors = items.iter().any(|i| i["create"]["error"].is_object()) || deal == Deal::ItemMissing;
            Some((200, json!({"errors": errors, "items": items}).to_string()))
        }
    }
}

/// Takes the rows of a body, strictly.
fn bulk(seen: &mut Seen, body: &[u8], deal: &Deal) -> Vec<Value> {
    assert_eq!(body.last(), Some(&b'\n'), "a bulk body ends in a line feed");
    let lines: Vec<&[u8]> = body[..body.len() - 1].split(|b| *b == b'\n').collect();
    assert_eq!(lines.len() % 2, 0, "an action and a document for each row");
    let mut items = Vec::new();
    for (at, pair) in lines.chunks(2).enumerate() {
        let action: Value = serde_json::from_slice(pair[0]).unwrap();
        let document: Value = serde_json::from_slice(pair[1]).unwrap();
        let action = action["create"].as_object().expect("only `create` is sent");
        let index = action["_index"].as_str().unwrap().to_owned();
        let id = action.get("_id").map_or_else(|| format!("auto-{}", seen.documents.len()), |id| id.as_str().unwrap().to_owned());
        let error =
            |status: u16, kind: &str, reason: &str| json!({"create": {"status": status, "error": {"type": kind, "reason": reason}}});
        if *deal == Deal::ItemMissing {
            items.push(json!({"create": {"status": 201}}));
        } else if matches!(deal, Deal::PutOff(every) if at % every == 0) {
            items.push(error(429, "es_rejected_execution_exception", "rejected execution"));
        } else if seen.refused_index.as_ref() == Some(&index) {
            items.push(error(404, "index_not_found_exception", "no such index"));
        } else if document["n"] == "bad" && !seen.takes_words {
            items.push(error(400, "document_parsing_exception", "failed to parse field [n] of type [long]"));
        } else if seen.documents.contains_key(&(index.clone(), id.clone())) {
            seen.duplicates += 1;
            items.push(error(409, "version_conflict_engine_exception", "document already exists"));
        } else {
            assert!(document["@timestamp"].is_string(), "a document has its time");
            let mut keys: Vec<&[u8]> = members(pair[1]).map(|(key, _)| key).collect();
            keys.sort_unstable();
            assert!(keys.windows(2).all(|two| two[0] != two[1]), "a key stands twice: {document}");
            seen.documents.insert((index, id), document);
            items.push(json!({"create": {"status": 201}}));
        }
    }
    items
}
