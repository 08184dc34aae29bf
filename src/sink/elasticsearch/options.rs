//! What the options of `elasticsearch` say.
use std::time::Duration;

use base64::Engine as _;

use super::Elasticsearch;
use super::template::IndexTemplate;
use crate::component::{Kind, OutputNames};
use crate::config::{Field, Options, SINK_INPUTS, Type};
use crate::diagnostic::{Diagnostic, Place};
use crate::limits::{BULK_IN_FLIGHT_MAX, BULK_TIMEOUT_MS};
use crate::net::http::address;
use crate::net::tls::{TLS, TlsOptions};
use crate::sink::{BindSink, BoundSink, COMMON, Compression};

const AUTH: &[Field] = &[
    Field::optional("user", Type::Text, "the user"),
    Field::optional("password", Type::Secret, "the password: a text, {env: NAME} or {file: PATH}"),
    Field::optional("api_key", Type::Secret, "an API key as the server encoded it, in place of a user"),
];

const FIELDS: &[Field] = &[
    Field::optional("endpoints", Type::Texts, "addresses of the nodes, as in https://es-1:9200; this or `cloud_id` must be given"),
    Field::optional("cloud_id", Type::Text, "the id that Elastic Cloud shows for a deployment: NAME:…"),
    Field::optional("index", Type::Template, "the index, with fields in braces"),
    Field::optional("data_stream", Type::Template, "the data stream: TYPE-DATASET-NAMESPACE"),
    Field::optional("alias", Type::Template, "an alias that must be there"),
    Field::optional(
        "id",
        Type::Template,
        "event (default): the event's identity, so that nothing is there twice; none: the server's own; or fields in braces",
    ),
    Field::optional(
        "install_template",
        Type::Bool,
        "puts an index template for its names where none called tripline-NODE is there (`explain --json` prints it); default false",
    ),
    Field::optional("auth", Type::Section(AUTH), "who asks"),
    Field::optional("tls", Type::Section(TLS), "certificates, for https"),
    Field::optional(
        "compression",
        Type::Word(&["none", "gzip", "zstd"]),
        "how bodies are packed; default none; zstd: OpenSearch 2.9 and later",
    ),
    Field::optional("in_flight_max", Type::Count, "most requests under way at once; fewer while the server is busy; default 4"),
    Field::optional("timeout", Type::Duration, "how long a request may take; default 60s"),
    Field::optional("ecs", Type::Bool, "alerts carry names of the Elastic Common Schema beside their own; default false"),
];

/// See the room.
pub static KIND: Kind<BindSink> = Kind {
    name: "elasticsearch",
    summary: "indexes events in Elasticsearch or OpenSearch, each once",
    fields: FIELDS,
    outputs: OutputNames::Main,
    bind,
};

/// What an index name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Index,
    DataStream,
    Alias,
}

/// Where `_id` comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Id {
    Event,
    None,
    Template,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) endpoints: Vec<String>,
    pub(super) target: Target,
    pub(super) id: Id,
    /// The header, with its secret.
    pub(super) authorization: Option<String>,
    pub(super) tls: TlsOptions,
    pub(super) compression: Compression,
    pub(super) in_flight_max: usize,
    pub(super) timeout: Duration,
    pub(super) ecs: bool,
    /// The index template that is to be there.
    pub(super) template: Option<IndexTemplate>,
}

fn bind(options: &Options<'_>) -> Option<BoundSink> {
    options.check(&[FIELDS, COMMON, SINK_INPUTS]);
    let endpoints = endpoints(options);
    let (target, names) = target(options).unzip();
    let index_template = target.zip(names.as_ref()).and_then(|(target, (names, _))| {
        let takes_letters = !options.has("inputs");
        IndexTemplate::new(options.name, target, names, takes_letters)
    });
    let installs = options.bool("install_template", false);
    if let (true, None, Some(node)) = (installs, &index_template, options.get("install_template")) {
        let fault = Diagnostic::error(&node.place, "no_template", "there is no index template for these names");
        options
            .fault(fault.help(
                "an index or data stream with a name of its own, as in \"logs-{tenant}\"; an alias has the templates of its indices",
            ));
    }
    let mut templates: Vec<(String, Place)> = names.into_iter().collect();
    let id = match options.placed("id") {
        None => Id::Event,
        Some((text, _)) if text == "event" => Id::Event,
        Some((text, _)) if text == "none" => Id::None,
        Some((text, place)) if text.contains('{') => {
            templates.push((text, place));
            Id::Template
        }
        Some((text, place)) => {
            let fault = Diagnostic::error(&place, "bad_value", format!("`id` is no `{text}`"));
            options.fault(fault.help("event, none, or fields in braces, as in \"{uid}\""));
            Id::None
        }
    };
    let authorization = authorization(options);
    let tls = TlsOptions::read(options);
    let settings = Settings {
        endpoints: endpoints?,
        target: target?,
        id,
        authorization,
        tls,
        compression: Compression::read(options),
        in_flight_max: options.count("in_flight_max").map_or(BULK_IN_FLIGHT_MAX, |n| (n as usize).max(1)),
        timeout: options.duration("timeout").map_or(Duration::from_millis(BULK_TIMEOUT_MS), |d| Duration::from_nanos(d.unsigned_abs())),
        ecs: options.bool("ecs", false),
        template: index_template.clone().filter(|_| installs),
    };
    Some(BoundSink {
        templates,
        reads: vec!["@timestamp".to_owned()],
        index_template: index_template.map(|template| (template.name, template.body)),
        ..BoundSink::new(move |_| Box::new(Elasticsearch::new(settings.clone())))
    })
}

/// The addresses, without a slash at their end.
fn endpoints(options: &Options<'_>) -> Option<Vec<String>> {
    let mut out = Vec::new();
    let mut is_fine = true;
    if options.has("endpoints") == options.has("cloud_id") {
        let fault =
            Diagnostic::error(options.place(), "missing_key", format!("`{}` needs one of `endpoints` and `cloud_id`", options.name));
        options.fault(fault.help("as in `endpoints: [\"https://es-1:9200\"]`"));
        is_fine = false;
    }
    if let Some((id, place)) = options.placed("cloud_id") {
        match cloud_address(&id) {
            Some(base) => out.push(base),
            None => options.fault(Diagnostic::error(&place, "bad_cloud_id", "this is no cloud id").help("copy the whole of it: NAME:…")),
        }
    }
    for (text, place) in options.texts("endpoints") {
        match address(&text, "write `auth: {user, password: {env: NAME}}`") {
            Ok(base) => out.push(base),
            Err((message, help)) => {
                is_fine = false;
                options.fault(Diagnostic::error(&place, "bad_endpoint", message).help(help));
            }
        }
    }
    (is_fine && !out.is_empty()).then_some(out)
}

/// The address behind a cloud id: base64 of HOST[:PORT]$ELASTICSEARCH$KIBANA behind a name.
fn cloud_address(id: &str) -> Option<String> {
    let (_, encoded) = id.rsplit_once(':')?;
    let text = String::from_utf8(base64::prelude::BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let mut parts = text.split('$');
    let (host, node) = (parts.next()?, parts.next()?);
    let (host, port) = host.split_once(':').unwrap_or((host, "443"));
    let (node, port) = node.split_once(':').unwrap_or((node, port));
    let is_name = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    (is_name(host) && is_name(node) && port.parse::<u16>().is_ok()).then(|| format!("https://{node}.{host}:{port}"))
}

/// The one of `index`, `data_stream` and `alias` that is given.
fn target(options: &Options<'_>) -> Option<(Target, (String, Place))> {
    let given = [("index", Target::Index), ("data_stream", Target::DataStream), ("alias", Target::Alias)];
    let mut given = given.into_iter().filter_map(|(key, target)| Some((target, options.placed(key)?)));
    match (given.next(), given.next()) {
        (Some(one), None) => Some(one),
        (one, _) => {
            let message = if one.is_none() { "where to is not said" } else { "more than one target is given" };
            let fault = Diagnostic::error(options.place(), "bad_target", message);
            options.fault(fault.help("one of `index`, `data_stream` and `alias`, as in `data_stream: logs-auth-default`"));
            None
        }
    }
}

fn authorization(options: &Options<'_>) -> Option<String> {
    let section = options.section("auth")?;
    let (user, password, key) = (section.text("user"), section.secret("password"), section.secret("api_key"));
    match (user, password, key) {
        (None, None, Some(key)) => Some(format!("ApiKey {key}")),
        (Some(user), Some(password), None) => {
            let pair = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
            Some(format!("Basic {pair}"))
        }
        _ => {
            // A secret that could not be read has been told already.
            if !section.has("password") && !section.has("api_key") || section.has("user") == section.has("api_key") {
                let fault = Diagnostic::error(section.place(), "bad_auth", "`auth` takes a user and a password, or an API key");
                section.fault(fault.help("as in `auth: {user: tripline, password: {env: ES_PASSWORD}}`"));
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_id_holds_an_address() {
        let id = |text: &str| format!("my:name:{}", base64::prelude::BASE64_STANDARD.encode(text));
        let of = |text: &str| cloud_address(&id(text));
        assert_eq!(of("eu.cloud.test$abc$def").as_deref(), Some("https://abc.eu.cloud.test:443"));
        assert_eq!(of("eu.cloud.test:9243$abc$").as_deref(), Some("https://abc.eu.cloud.test:9243"));
        assert_eq!(of("eu.cloud.test$abc:9200$def").as_deref(), Some("https://abc.eu.cloud.test:9200"));
        assert_eq!(
            (of("eu.cloud.test"), of("a b$c"), of("$c"), cloud_address("no colon"), cloud_address("a:§")),
            (None, None, None, None, None)
        );
    }
}
