//! What the options of `thehive` say.
use std::time::Duration;

use super::TheHive;
use crate::component::{Kind, OutputNames};
use crate::config::{Field, Options, SINK_INPUTS, Type};
use crate::diagnostic::{Diagnostic, Place};
use crate::limits::{THEHIVE_BUFFER_BYTES, THEHIVE_TIMEOUT_MS};
use crate::net::http::address;
use crate::net::tls::{TLS, TlsOptions};
use crate::sink::{BindSink, BoundSink, COMMON};

const PROMOTE: &[Field] = &[
    Field::required("when", Type::Expression, "which alerts become cases, as in severity in [\"high\", \"critical\"]"),
    Field::optional("template", Type::Text, "the case template"),
];

const FIELDS: &[Field] = &[
    Field::required("url", Type::Text, "its address, as in https://thehive:9000"),
    Field::required("key", Type::Secret, "the API key of the user that makes alerts: a text, {env: NAME} or {file: PATH}"),
    Field::optional("version", Type::Word(&["auto", "4", "5"]), "auto (default): the server is asked"),
    Field::optional("organisation", Type::Template, "the organisation, with fields in braces; default: that of the user"),
    Field::optional("alert_type", Type::Text, "the type of its alerts, at most 32 characters; default tripline"),
    Field::optional("tlp", Type::Word(&["clear", "white", "green", "amber", "amber+strict", "red"]), "default amber"),
    Field::optional("pap", Type::Word(&["clear", "white", "green", "amber", "red"]), "default amber"),
    Field::optional("tags", Type::Texts, "tags beside those of the alert, with fields in braces"),
    Field::optional("custom_fields", Type::Map, "NAME of the custom field: expression"),
    Field::optional(
        "group_for",
        Type::Duration,
        "a firing of the same rule, tenant and key within this time updates the first one's alert",
    ),
    Field::optional("promote", Type::Section(PROMOTE), "which alerts become cases at once"),
    Field::optional("dry_run", Type::Bool, "writes each request to standard output and sends none; default false"),
    Field::optional("timeout", Type::Duration, "how long a request may take; default 30s"),
    Field::optional("tls", Type::Section(TLS), "certificates, for https"),
];

/// See the room.
pub static KIND: Kind<BindSink> =
    Kind { name: "thehive", summary: "makes alerts and cases in TheHive", fields: FIELDS, outputs: OutputNames::Main, bind };

/// Which API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Auto,
    Four,
    Five,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) key: String,
    pub(super) version: Version,
    pub(super) has_organisation: bool,
    pub(super) kind: String,
    pub(super) tlp: String,
    pub(super) pap: String,
    /// Names of the custom fields, in the order of their expressions.
    pub(super) custom_fields: Vec<String>,
    pub(super) group_for: i64,
    /// The first expression says which alerts are promoted.
    pub(super) promotes: bool,
    pub(super) case_template: Option<String>,
    pub(super) dry_run: bool,
    pub(super) timeout: Duration,
    pub(super) tls: TlsOptions,
}

fn bind(options: &Options<'_>) -> Option<BoundSink> {
    options.check(&[FIELDS, COMMON, SINK_INPUTS]);
    let url = url(options);
    let organisation = options.placed("organisation");
    let promote = options.section("promote");
    let custom_fields = options.entries("custom_fields");
    let kind = kind(options);
    let dry_run = options.bool("dry_run", false);
    let settings = Settings {
        url: url?,
        key: options.secret("key")?,
        version: match options.text("version").as_deref() {
            Some("4") => Version::Four,
            Some("5") => Version::Five,
            _ => Version::Auto,
        },
        has_organisation: organisation.is_some(),
        kind: kind?,
        tlp: options.text("tlp").unwrap_or_else(|| "amber".to_owned()),
        pap: options.text("pap").unwrap_or_else(|| "amber".to_owned()),
        custom_fields: custom_fields.iter().map(|(name, _)| name.name.clone()).collect(),
        group_for: options.duration("group_for").unwrap_or(0),
        promotes: promote.is_some(),
        case_template: promote.as_ref().and_then(|p| p.text("template")),
        dry_run,
        timeout: options.duration("timeout").map_or(Duration::from_millis(THEHIVE_TIMEOUT_MS), |d| Duration::from_nanos(d.unsigned_abs())),
        tls: TlsOptions::read(options),
    };
    let mut templates: Vec<(String, Place)> = organisation.into_iter().collect();
    templates.extend(options.texts("tags"));
    let mut expressions: Vec<(String, Place)> = promote.and_then(|p| p.placed("when")).into_iter().collect();
    expressions.extend(custom_fields.iter().map(|(_, value)| (value.text().unwrap_or_default(), value.place.clone())));
    let buffer = (!dry_run).then_some(THEHIVE_BUFFER_BYTES);
    Some(BoundSink { templates, expressions, buffer, ..BoundSink::new(move |_| Box::new(TheHive::new(settings.clone()))) })
}

fn url(options: &Options<'_>) -> Option<String> {
    let (text, place) = options.placed("url")?;
    let fault = |(message, help)| options.fault(Diagnostic::error(&place, "bad_endpoint", message).help(help));
    address(&text, "it has a `key`, and no password").map_err(fault).ok()
}

fn kind(options: &Options<'_>) -> Option<String> {
    let Some((text, place)) = options.placed("alert_type") else { return Some("tripline".to_owned()) };
    let is_fine = (1..=32).contains(&text.chars().count()) && !text.contains(';');
    if !is_fine {
        let fault = Diagnostic::error(&place, "bad_value", format!("`{text}` is no type of an alert"));
        options.fault(fault.help("1 to 32 characters, no semicolon"));
    }
    is_fine.then_some(text)
}
