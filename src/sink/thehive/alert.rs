//! An alert as TheHive wants it: bodies of requests for version 5 (`/api/v1`) and version 4 (`/api`), within the vendor's limits.
use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::api::Peer;
use super::groups::Group;
use super::options::Settings;
use crate::event::time;

/// The source of all alerts.
pub(super) const SOURCE: &str = "tripline";
const TITLE_CHARS: usize = 512;
const TAG_CHARS: usize = 128;
const DATA_CHARS: usize = 4096;
const LINK_CHARS: usize = 512;
const DESCRIPTION_CHARS: usize = 1_048_576;

/// Something that was observed, by TheHive's type.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Observable {
    pub(super) kind: String,
    pub(super) data: String,
    /// The type that the rule gave it, where TheHive does not know that, and its role.
    tags: BTreeSet<String>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Alert {
    pub(super) id: String,
    pub(super) revision: u64,
    /// When it was decided.
    pub(super) time: i64,
    pub(super) severity: u8,
    count: u64,
    suppressed: u64,
    pub(super) last_seen: String,
    pub(super) organisation: Option<String>,
    pub(super) promote: bool,
    pub(super) observables: Vec<Observable>,
    kind: String,
    title: String,
    description: String,
    /// Rows of the table in the description.
    facts: Vec<(String, String)>,
    rule: String,
    tenant: String,
    key: String,
    attack: Vec<String>,
    has_procedures: bool,
    tags: Vec<String>,
    links: Vec<(String, String)>,
    texts: Vec<String>,
    custom_fields: Vec<(String, Value)>,
    /// What TheHive did not know and what became of it.
    notes: Vec<String>,
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn texts(value: &Value) -> impl Iterator<Item = String> + '_ {
    value.as_array().into_iter().flatten().map(text_of).filter(|text| !text.is_empty())
}

impl Alert {
    /// From what the sink wrote before the event, and the event: an alert of a rule, or any other.
    pub(super) fn new(head: &Value, event: Value, settings: &Settings) -> Alert {
        let mut values = head["values"].as_array().cloned().unwrap_or_default().into_iter();
        let promote = settings.promotes && values.next() == Some(Value::Bool(true));
        let custom_fields = settings.custom_fields.iter().cloned().zip(values).filter(|(_, value)| !value.is_null()).collect();
        let is_alert = event["alert"]["id"].is_string();
        let time = if is_alert { &event["time"] } else { &head["time"] };
        let mut alert = Alert {
            id: text_of(if is_alert { &event["alert"]["id"] } else { &head["id"] }),
            revision: event["alert"]["revision"].as_u64().unwrap_or(1),
            time: time.as_str().and_then(|t| time::parse_rfc3339(t.as_bytes())).unwrap_or(0),
            organisation: head["organisation"].as_str().map(str::to_owned),
            promote,
            custom_fields,
            kind: settings.kind.clone(),
            tags: texts(&head["tags"]).map(|tag| cut(tag.trim(), TAG_CHARS)).filter(|tag| !tag.is_empty()).collect(),
            count: 1,
            severity: 2,
            has_procedures: true,
            ..Alert::default()
        };
        match is_alert {
            true => alert.take_alert(&event),
            false => alert.take_event(&event),
        }
        alert.tags.sort();
        alert.tags.dedup();
        alert
    }

    fn take_alert(&mut self, event: &Value) {
        let text = |name: &str| text_of(&event[name]);
        self.severity = match event["severity"].as_str() {
            Some("low") => 1,
            Some("high") => 3,
            Some("critical") => 4,
            _ => 2,
        };
        self.count = event["count"].as_f64().map_or(1, |n| n as u64);
        self.suppressed = event["suppressed"].as_u64().unwrap_or(0);
        self.last_seen = text("last_seen");
        (self.title, self.description, self.tenant) = (text("title"), text("description"), text("tenant"));
        self.rule = text_of(&event["rule"]["id"]);
        self.key = event["key"].to_string();
        self.attack = texts(&event["attack"]).collect();
        self.tags.extend(texts(&event["tags"]).map(|tag| cut(&tag, TAG_CHARS)));
        self.tags.push(cut(&format!("rule:{}", self.rule), TAG_CHARS));
        self.tags.extend(self.attack.iter().map(|id| cut(id, TAG_CHARS)));
        self.facts.push(("rule".to_owned(), text_of(&event["rule"]["name"])));
        if !self.tenant.is_empty() {
            self.facts.push(("tenant".to_owned(), self.tenant.clone()));
        }
        for (name, value) in event["key"].as_object().into_iter().flatten() {
            self.facts.push((name.clone(), text_of(value)));
        }
        self.facts.push(("first seen".to_owned(), text("first_seen")));
        if event["completeness"]["exact"] == false {
            self.facts.push(("completeness".to_owned(), event["completeness"].to_string()));
        }
        self.links.extend(event["links"].as_object().into_iter().flatten().map(|(name, link)| (name.clone(), text_of(link))));
        self.texts.extend(event["events"].as_array().into_iter().flatten().map(|e| text_of(&e["text"])));
        for found in event["observables"].as_array().into_iter().flatten() {
            let role = text_of(&found["role"]);
            let tags = Some(cut(&role, TAG_CHARS)).filter(|tag| !tag.is_empty()).into_iter().collect();
            self.observables.push(Observable { kind: text_of(&found["type"]), data: cut(&text_of(&found["value"]), DATA_CHARS), tags });
        }
        self.tidy_observables();
    }

    fn take_event(&mut self, event: &Value) {
        let first = ["title", "message", "event.original"].iter().find_map(|name| event[*name].as_str().filter(|t| !t.is_empty()));
        self.title = first.unwrap_or("Event").to_owned();
        self.key = self.id.clone();
        let fields = event.as_object().into_iter().flatten();
        self.facts.extend(fields.map(|(name, value)| (name.clone(), text_of(value))));
    }

    /// Two equal observables, or an empty one, would have the whole alert refused.
    fn tidy_observables(&mut self) {
        let mut kept: Vec<Observable> = Vec::new();
        for observable in std::mem::take(&mut self.observables).into_iter().filter(|o| !o.data.is_empty() && !o.kind.is_empty()) {
            match kept.iter_mut().find(|k| (&k.kind, &k.data) == (&observable.kind, &observable.data)) {
                Some(same) => same.tags.extend(observable.tags),
                None => kept.push(observable),
            }
        }
        self.observables = kept;
    }

    /// What firings have in common that one alert stands for.
    pub(super) fn group_key(&self) -> String {
        json!([self.organisation, self.rule, self.tenant, self.key]).to_string()
    }

    /// Observables of a type that TheHive does not know are `other`, with their type as a tag.
    pub(super) fn know_types(&mut self, types: &BTreeSet<String>) {
        for observable in self.observables.iter_mut().filter(|o| !types.contains(&o.kind)) {
            let kind = std::mem::replace(&mut observable.kind, "other".to_owned());
            observable.tags.insert(cut(&kind, TAG_CHARS));
        }
        self.tidy_observables();
    }

    /// Takes out what TheHive says that it does not know. False where it is nothing of this.
    pub(super) fn leave_out(&mut self, what: &str) -> bool {
        let words = what.to_lowercase().replace([' ', '_'], "");
        let before = (self.observables.clone(), self.custom_fields.len(), self.has_procedures);
        if words.contains("observabletype") || words.contains("datatype") {
            let (known, unknown): (BTreeSet<String>, _) =
                self.observables.iter().map(|o| o.kind.clone()).partition(|kind| !what.contains(kind.as_str()));
            match unknown.contains("other") {
                true => self.observables.retain(|o| o.kind != "other"),
                false => self.know_types(&known),
            }
        } else if words.contains("customfield") {
            let notes = &mut self.notes;
            self.custom_fields.retain(|(name, value)| {
                let is_known = !what.contains(name.as_str());
                if !is_known {
                    notes.push(format!("custom field {name} is not known here: {}", text_of(value)));
                }
                is_known
            });
        } else if words.contains("pattern") || words.contains("procedure") {
            self.has_procedures = false;
        }
        before != (self.observables.clone(), self.custom_fields.len(), self.has_procedures)
    }

    fn title(&self) -> String {
        let title = cut(&self.title, TITLE_CHARS);
        if title.is_empty() { "Alert".to_owned() } else { title }
    }

    /// Markdown: what the rule says, a table of facts, links, and the lines that stand behind it.
    fn describe(&self, group: &Group) -> String {
        let cell = |text: &str| text.replace('|', "\\|").replace(['\n', '\r'], " ");
        let mut out = String::new();
        if !self.description.is_empty() {
            out.push_str(&self.description);
            out.push_str("\n\n");
        }
        out.push_str("| field | value |\n|---|---|\n");
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(out, "| {} | {} |", cell(name), cell(value));
        };
        self.facts.iter().for_each(|(name, value)| row(name, value));
        if !self.last_seen.is_empty() {
            row("last seen", &group.last_seen);
            row("count", &self.count.to_string());
        }
        if group.firings > 1 {
            row("firings", &group.firings.to_string());
        }
        if self.suppressed > 0 {
            row("suppressed", &self.suppressed.to_string());
        }
        self.notes.iter().for_each(|note| row("note", note));
        for (name, link) in &self.links {
            let _ = write!(out, "\n[{}]({})\n", cell(name), link.replace(['(', ')', ' '], ""));
        }
        if !self.texts.is_empty() {
            // Indented, so that nothing in them is markup.
            out.push_str("\nEvents:\n\n");
            for line in self.texts.iter().flat_map(|text| text.lines()) {
                let _ = writeln!(out, "    {line}");
            }
        }
        cut(&out, DESCRIPTION_CHARS)
    }

    fn observable(&self, observable: &Observable, peer: &Peer) -> Value {
        json!({"dataType": observable.kind, "data": observable.data, "tags": observable.tags, "tlp": peer.tlp, "pap": peer.pap})
    }

    /// The body that adds an observable.
    pub(super) fn observable_body(&self, observable: &Observable, peer: &Peer) -> Value {
        let mut body = self.observable(observable, peer);
        if peer.is_four {
            body["message"] = json!(self.title());
            body.as_object_mut().map(|b| b.remove("pap"));
        }
        body
    }

    /// The body that makes it.
    pub(super) fn create_body(&self, group: &Group, peer: &Peer) -> Value {
        let mut body = json!({
            "type": self.kind, "source": SOURCE, "sourceRef": group.reference, "title": self.title(), "description": self.describe(group),
            "severity": group.severity, "date": self.time.div_euclid(1_000_000), "tags": self.tags, "tlp": peer.tlp, "pap": peer.pap,
        });
        if let Some((_, link)) = self.links.iter().find(|(_, link)| !link.is_empty() && link.chars().count() <= LINK_CHARS) {
            body["externalLink"] = json!(link);
        }
        let observables: Vec<Value> = self.observables.iter().map(|o| self.observable_body(o, peer)).collect();
        body[if peer.is_four { "artifacts" } else { "observables" }] = json!(observables);
        if !self.custom_fields.is_empty() {
            body["customFields"] = if peer.is_four { self.custom_fields_of_four() } else { self.custom_fields_of_five() };
        }
        if !peer.is_four && self.has_procedures && !self.attack.is_empty() {
            let procedure = |id: &String| json!({"patternId": cut(id, TAG_CHARS), "occurDate": self.time.div_euclid(1_000_000)});
            body["procedures"] = self.attack.iter().map(procedure).collect();
        }
        body
    }

    /// The body that brings it up to date.
    pub(super) fn update_body(&self, group: &Group, peer: &Peer) -> Value {
        let mut body = json!({"description": self.describe(group), "severity": group.severity});
        if !peer.is_four {
            body["addTags"] = json!(self.tags);
            body["lastSyncDate"] = json!(self.time.div_euclid(1_000_000));
        }
        body
    }

    fn custom_fields_of_five(&self) -> Value {
        self.custom_fields.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    }

    fn custom_fields_of_four(&self) -> Value {
        let typed = |(order, (name, value)): (usize, &(String, Value))| {
            let kind = match value {
                Value::Bool(_) => "boolean",
                Value::Number(n) if n.is_f64() => "float",
                Value::Number(_) => "integer",
                _ => "string",
            };
            let value = if kind == "string" { json!(text_of(value)) } else { value.clone() };
            (name.clone(), json!({kind: value, "order": order}))
        };
        Value::Object(self.custom_fields.iter().enumerate().map(typed).collect::<Map<_, _>>())
    }
}
