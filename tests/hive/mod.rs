//! A TheHive with the real one's semantics, as far as alerts go: names that are unique, catalogues, limits; and faults on demand.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)] // each test uses its part
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::wire::{Asked, listen};

/// What a request for an alert is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deal {
    Well,
    Status(u16),
    /// Nothing is taken, and the connection is closed.
    ResetBefore,
    /// All is taken, and the connection is closed.
    ResetAfter,
    /// A page of a proxy.
    Html,
}

#[derive(Default)]
pub struct State {
    /// Alerts by organisation and `type;source;sourceRef`.
    pub alerts: BTreeMap<(String, String), Value>,
    /// Cases, with the alert that each came from and its template.
    pub cases: Vec<(String, Value)>,
    pub deals: VecDeque<Deal>,
    /// What was asked and answered: `method`, `path`, `body`, `status`, `reply`. What was not answered is not in it.
    pub exchanges: Vec<Value>,
    pub version: &'static str,
    /// Whether the types of observables may be asked for.
    pub tells_types: bool,
}

#[derive(Clone)]
pub struct Hive {
    pub address: String,
    pub state: Arc<Mutex<State>>,
}

pub const KEY: &str = "the-key-of-the-test";
const TYPES: [&str; 5] = ["ip", "domain", "hash", "other", "url"];

impl Hive {
    pub fn start(version: &'static str, deals: &[Deal]) -> Hive {
        let state = State { deals: deals.iter().copied().collect(), version, tells_types: true, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        Hive { address: listen(move |asked| recorded(&asked, &shared)), state }
    }

    pub fn alerts(&self) -> Vec<Value> {
        self.state.lock().unwrap().alerts.values().cloned().collect()
    }
}

fn fault(status: u16, kind: &str, message: String) -> (u16, String) {
    (status, json!({"type": kind, "message": message}).to_string())
}

fn recorded(asked: &Asked, state: &Mutex<State>) -> Option<(u16, String)> {
    let mut state = state.lock().unwrap();
    let (status, reply) = answer(asked, &mut state)?;
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    state.exchanges.push(json!({
        "method": asked.method, "path": asked.path, "body": json(&asked.body), "status": status, "reply": json(reply.as_bytes()),
    }));
    Some((status, reply))
}

fn answer(asked: &Asked, state: &mut State) -> Option<(u16, String)> {
    let is_four = state.version.starts_with('4');
    match asked.path.as_str() {
        "/api/v1/status/public" if is_four => return Some((404, "<html>Not found</html>".to_owned())),
        "/api/v1/status/public" => {
            return Some((200, json!({"version": state.version, "sso": false, "imports": {"mitreCatalog": "17.1"}}).to_string()));
        }
        "/api/status" => return Some((200, json!({"versions": {"TheHive": state.version}}).to_string())),
        _ => {}
    }
    if asked.header("authorization") != Some(&format!("Bearer {KEY}")) {
        return Some(fault(401, "AuthenticationError", "Authentication failure".into()));
    }
    let types = || json!(TYPES.map(|name| json!({"name": name}))).to_string();
    match (asked.path.as_str(), state.tells_types) {
        ("/api/v1/user/current", _) => return Some((200, user())),
        ("/api/v1/query?name=observable-types" | "/api/observable/type?range=all", true) => return Some((200, types())),
        ("/api/v1/query?name=observable-types" | "/api/observable/type?range=all", false) => {
            return Some(fault(404, "NotFoundError", "no such query".into()));
        }
        _ => {}
    }
    let prefix = if is_four { "/api/alert" } else { "/api/v1/alert" };
    let rest = asked.path.strip_prefix(prefix).unwrap_or_else(|| panic!("{} {} is no request for an alert", asked.method, asked.path));
    let organisation = asked.header("x-organisation").unwrap_or("default").to_owned();
    let body: Value = if asked.body.is_empty() { Value::Null } else { serde_json::from_slice(&asked.body).unwrap() };
    let deal = state.deals.pop_front().unwrap_or(Deal::Well);
    match deal {
        Deal::ResetBefore => return None,
        Deal::Html => return Some((200, "<html>It works!</html>".to_owned())),
        Deal::Status(status) => return Some(fault(status, "Of the test", "not now".into())),
        Deal::Well | Deal::ResetAfter => {}
    }
    let mut parts = rest.trim_start_matches('/').split('/');
    let name = parts.next().unwrap().replace("%3B", ";");
    let reply = match (asked.method.as_str(), name.as_str(), parts.next()) {
        ("POST", "", None) => create(state, &organisation, body),
        (method, name, action) => change(state, method, (organisation, name.to_owned()), action, body),
    };
    (deal != Deal::ResetAfter).then_some(reply)
}

fn user() -> String {
    json!({
        "_id": "~8", "_createdBy": "admin", "_createdAt": 1_700_000_000_000_u64, "login": "bot@soc", "name": "bot", "hasKey": true, "hasPassword": false,
        "hasMFA": false, "locked": false, "profile": "analyst", "organisation": "soc", "type": "Service", "extraData": {},
    })
    .to_string()
}

/// `value` as the vendor's programs write it, with what they add to all that they keep.
fn written(value: &Value, kind: &str, others: Value) -> Value {
    let common = json!({"_type": kind, "_createdBy": "bot@soc", "_createdAt": 1_700_000_000_000_u64, "extraData": {}, "papLabel": "AMBER", "tlpLabel": "AMBER"});
    let mut all = value.clone();
    for part in [common, others] {
        all.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
    }
    all
}

/// An alert as it is shown: its observables and procedures are asked for apart. Version 4 shows what it was given.
fn shown(alert: &Value, is_four: bool) -> String {
    if is_four {
        return alert.to_string();
    }
    let count = alert["observables"].as_array().map_or(0, Vec::len);
    let others = json!({
        "severityLabel": "HIGH", "follow": true, "observableCount": count, "status": "New", "stage": "New", "newDate": 1_700_000_000_000_u64, "timeToDetect": 0,
    });
    let mut all = written(alert, "Alert", others);
    all.as_object_mut().unwrap().retain(|name, _| name != "observables" && name != "procedures");
    if let Some(fields) = all["customFields"].as_array_mut() {
        for (order, field) in fields.iter_mut().enumerate() {
            *field =
                json!({"_id": format!("~f{order}"), "name": field["name"], "type": "integer", "value": field["value"], "order": order});
        }
    }
    all.to_string()
}

fn length(value: &Value, least: usize, most: usize) -> bool {
    value.as_str().is_some_and(|text| (least..=most).contains(&text.chars().count()))
}

fn check_tags(tags: &Value) {
    let tags = tags.as_array().unwrap();
    assert!(tags.iter().all(|tag| length(tag, 1, 128)) && tags.iter().enumerate().all(|(i, tag)| !tags[..i].contains(tag)), "{tags:?}");
}

fn check_observable(state: &State, observable: &Value, others: &[Value]) -> Option<(u16, String)> {
    let data = &observable["data"];
    assert!(length(data, 1, 4096), "{observable}");
    check_tags(&observable["tags"]);
    let kind = observable["dataType"].as_str().unwrap();
    assert!(!state.tells_types || TYPES.contains(&kind), "a type was sent that is not in the list: {observable}");
    if !TYPES.contains(&kind) {
        return Some(fault(404, "NotFoundError", format!("ObservableType {kind} not found")));
    }
    let is_same = |o: &&Value| o["dataType"] == observable["dataType"] && o["data"] == *data;
    others.iter().find(is_same).map(|_| fault(400, "CreateError", "Observable already exists".into()))
}

fn create(state: &mut State, organisation: &str, mut body: Value) -> (u16, String) {
    let is_four = state.version.starts_with('4');
    for (field, most) in [("type", 32), ("source", 32), ("sourceRef", 128), ("title", 512)] {
        assert!(length(&body[field], 1, most), "{field} of {body}");
    }
    assert!(length(&body["description"], 1, 1_048_576) && (1..=4).contains(&body["severity"].as_u64().unwrap()));
    assert!(body["date"].as_u64().unwrap() > 1_500_000_000_000, "a date is in milliseconds");
    check_tags(&body["tags"]);
    let artifacts = if is_four { "artifacts" } else { "observables" };
    let observables = body[artifacts].as_array().cloned().unwrap();
    for (at, observable) in observables.iter().enumerate() {
        if let Some(fault) = check_observable(state, observable, &observables[..at]) {
            return fault;
        }
    }
    let fields: Vec<String> = match (&body["customFields"], is_four) {
        (Value::Null, _) => Vec::new(),
        (Value::Array(fields), false) => fields.iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect(),
        (Value::Object(fields), true) => fields.keys().cloned().collect(),
        (other, _) => panic!("custom fields of another version: {other}"),
    };
    if let Some(unknown) = fields.iter().find(|f| *f != "event-count") {
        return fault(404, "NotFoundError", format!("CustomField {unknown} not found"));
    }
    for procedure in body["procedures"].as_array().into_iter().flatten() {
        assert!(procedure["occurDate"].is_u64());
        if !procedure["patternId"].as_str().unwrap().starts_with("T1") {
            return fault(404, "NotFoundError", format!("Pattern {} not found", procedure["patternId"]));
        }
    }
    let name = ["type", "source", "sourceRef"].map(|part| body[part].as_str().unwrap().to_owned()).join(";");
    if state.alerts.contains_key(&(organisation.to_owned(), name.clone())) {
        return fault(400, "CreateError", format!("Alert {} already exist in organisation {organisation}", name.replace(';', ":")));
    }
    body["_id"] = json!(format!("~{}", state.alerts.len()));
    let reply = shown(&body, is_four);
    state.alerts.insert((organisation.to_owned(), name), body);
    (201, reply)
}

fn change(state: &mut State, method: &str, name: (String, String), action: Option<&str>, body: Value) -> (u16, String) {
    let is_four = state.version.starts_with('4');
    // By its name or by its id.
    let Some((name, mut alert)) =
        state.alerts.iter().find(|(of, a)| **of == name || (of.0 == name.0 && a["_id"] == *name.1)).map(|(of, a)| (of.clone(), a.clone()))
    else {
        return fault(404, "NotFoundError", format!("Alert {} not found", name.1));
    };
    let artifacts = if is_four { "artifacts" } else { "observables" };
    let reply = match (method, action) {
        ("GET", None) => (200, shown(&alert, is_four)),
        ("PATCH", None) => {
            for (field, value) in body.as_object().unwrap() {
                match field.as_str() {
                    "description" | "severity" => alert[field] = value.clone(),
                    "lastSyncDate" if !is_four => {}
                    "addTags" if !is_four => {
                        let tags = alert["tags"].as_array_mut().unwrap();
                        tags.extend(value.as_array().unwrap().iter().filter(|tag| !tags.contains(tag)).cloned().collect::<Vec<Value>>());
                    }
                    other => panic!("{other} is no part of an update"),
                }
            }
            if is_four { (200, alert.to_string()) } else { (204, String::new()) }
        }
        ("POST", Some("observable" | "artifact")) => {
            assert_eq!(action, Some(if is_four { "artifact" } else { "observable" }));
            if let Some(fault) = check_observable(state, &body, alert[artifacts].as_array().unwrap()) {
                return fault;
            }
            alert[artifacts].as_array_mut().unwrap().push(body.clone());
            let others = json!({
                "_id": "~o", "external": false, "ignoreSimilarity": false, "ioc": false, "reports": {}, "sighted": false, "startDate": 1_700_000_000_000_u64,
                "pap": 2, "tlp": 2,
            });
            (201, json!([written(&body, "Observable", others)]).to_string())
        }
        ("POST", Some("case" | "createCase")) => {
            assert_eq!(action, Some(if is_four { "createCase" } else { "case" }));
            if !alert["caseId"].is_null() {
                return fault(400, "BadRequest", "Alert is already imported".into());
            }
            if body["caseTemplate"].as_str().is_some_and(|t| t != "brute-force") {
                return fault(404, "NotFoundError", format!("CaseTemplate {} not found", body["caseTemplate"]));
            }
            alert["caseId"] = json!(format!("~case{}", state.cases.len()));
            state.cases.push((name.1.clone(), body["caseTemplate"].clone()));
            let others = json!({
                "title": alert["title"], "description": alert["description"], "severity": alert["severity"], "severityLabel": "HIGH", "pap": 2, "tlp": 2,
                "access": {"_kind": "OrganisationAccessKind"}, "flag": false, "newDate": 1_700_000_000_000_u64, "number": state.cases.len(),
                "stage": "New", "startDate": 1_700_000_000_000_u64, "status": "New", "timeToDetect": 0,
            });
            (201, written(&json!({"_id": alert["caseId"]}), "Case", others).to_string())
        }
        other => panic!("{other:?} is no request for an alert"),
    };
    state.alerts.insert(name, alert);
    reply
}
