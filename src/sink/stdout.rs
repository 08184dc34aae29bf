//! `stdout`: one JSON object a line when piped, a readable form on a terminal. A reader that goes away ends the run quietly.
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use super::encode::{ENCODE, Encoding};
use super::{BindSink, BoundSink, COMMON};
use crate::component::sink::{OutRow, Sent, Then};
use crate::component::{Body, BoxFuture, Kind, Outage, OutputNames, Sink};
use crate::config::{Field, Options, SINK_INPUTS, Type};
use crate::diagnostic::Diagnostic;

const FIELDS: &[Field] =
    &[Field::optional("form", Type::Word(&["auto", "json", "pretty"]), "auto (default): pretty on a terminal, json when piped"), ENCODE];

/// See the module.
pub static KIND: Kind<BindSink> =
    Kind { name: "stdout", summary: "writes to standard output", fields: FIELDS, outputs: OutputNames::Main, bind };

fn bind(options: &Options<'_>) -> Option<BoundSink> {
    options.check(&[FIELDS, COMMON, SINK_INPUTS]);
    let form = options.text("form").unwrap_or_else(|| "auto".to_owned());
    let encoding = Encoding::read(options);
    if let Some((_, place)) = options.placed("form").filter(|_| !encoding.is_json()) {
        options.fault(
            Diagnostic::error(&place, "bad_value", "`form` is for JSON, and `encode` wants another text").help("take one of them out"),
        );
    }
    let reads = encoding.reads();
    let factory = move |_: &[u8]| -> Box<dyn Sink> {
        let pretty = form == "pretty" || (form == "auto" && encoding.is_json() && std::io::stdout().is_terminal());
        Box::new(StdoutSink { pretty, encoding: encoding.clone() })
    };
    Some(BoundSink { reads, ..BoundSink::new(factory) })
}

struct StdoutSink {
    pretty: bool,
    encoding: Encoding,
}

/// An alert in two lines, another event as `key=value`.
fn prettify(line: &[u8], out: &mut Vec<u8>) {
    let Ok(serde_json::Value::Object(event)) = serde_json::from_slice::<serde_json::Value>(line) else {
        return out.extend_from_slice(line);
    };
    let text = |key: &str| event.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).unwrap_or_default();
    if event.contains_key("alert") && event.contains_key("severity") {
        let _ = writeln!(out, "{}  {:8}  {}", text("time"), text("severity").to_uppercase(), text("title"));
        let _ = writeln!(out, "    count {}  first {}  last {}  key {}", text("count"), text("first_seen"), text("last_seen"), text("key"));
        return;
    }
    let parts: Vec<String> =
        event.iter().map(|(k, v)| format!("{k}={}", v.as_str().map_or_else(|| v.to_string(), str::to_owned))).collect();
    let _ = writeln!(out, "{}", parts.join("  "));
}

impl Sink for StdoutSink {
    fn connect(&self, _last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }

    fn encode(&self, row: &OutRow<'_>, body: &mut Body) {
        if self.pretty {
            let mut line = Vec::new();
            row.write(&mut line);
            prettify(&line, &mut body.bytes);
        } else {
            self.encoding.write(row, &mut body.bytes);
        }
        body.ends.push(body.bytes.len());
    }

    fn send<'a>(&'a self, body: &'a Arc<Body>) -> BoxFuture<'a, Result<Sent, Outage>> {
        Box::pin(async move {
            let mut out = std::io::stdout().lock();
            match out.write_all(&body.bytes).and_then(|()| out.flush()) {
                Ok(()) => Ok(Sent::All),
                Err(e) => Err(Outage { message: format!("standard output: {e}"), then: Then::End }),
            }
        })
    }

    fn seal(&self, _epoch: u64) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
