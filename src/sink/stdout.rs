//! `stdout`: one JSON object a line when piped, a readable form on a terminal. A reader that goes away ends the run quietly.
use std::io::{IsTerminal as _, Write as _};

use super::{BindSink, COMMON, SinkFactory};
use crate::codec::format::json_out::{EventWriter, RowFacts};
use crate::component::{Body, BoxFuture, Kind, Outage, OutputNames, Sink};
use crate::config::{Field, INPUTS, Options, Type};
use crate::event::Batch;

const FIELDS: &[Field] =
    &[Field::optional("form", Type::Word(&["auto", "json", "pretty"]), "auto (default): pretty on a terminal, json when piped")];

/// See the module.
pub static KIND: Kind<BindSink> =
    Kind { name: "stdout", summary: "writes to standard output", fields: FIELDS, outputs: OutputNames::Main, bind };

fn bind(options: &Options<'_>) -> Option<SinkFactory> {
    options.check(&[FIELDS, COMMON, INPUTS]);
    let form = options.text("form").unwrap_or_else(|| "auto".to_owned());
    Some(Box::new(move || {
        let pretty = form == "pretty" || (form == "auto" && std::io::stdout().is_terminal());
        Box::new(StdoutSink { pretty })
    }))
}

struct StdoutSink {
    pretty: bool,
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
    fn connect(&mut self, _last: Option<&[u8]>) -> BoxFuture<'_, Result<(), Outage>> {
        Box::pin(async { Ok(()) })
    }

    fn encode(&self, writer: &EventWriter, batch: &Batch, row: usize, facts: RowFacts, body: &mut Body) {
        if self.pretty {
            let mut line = Vec::new();
            writer.write(batch, row, facts, &mut line);
            prettify(&line, &mut body.bytes);
        } else {
            writer.write(batch, row, facts, &mut body.bytes);
        }
        body.ends.push(body.bytes.len());
    }

    fn send<'a>(&'a mut self, body: &'a mut Body) -> BoxFuture<'a, Result<(), Outage>> {
        Box::pin(async move {
            let from = if body.sent == 0 { 0 } else { body.ends[body.sent - 1] };
            let mut out = std::io::stdout().lock();
            match out.write_all(&body.bytes[from..]).and_then(|()| out.flush()) {
                Ok(()) => {
                    body.sent = body.rows();
                    Ok(())
                }
                Err(e) => Err(Outage { message: format!("standard output: {e}"), is_final: true }),
            }
        })
    }

    fn seal(&mut self) -> BoxFuture<'_, Result<Vec<u8>, Outage>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
