//! Dead letters that are given back: with the identities that they had, to the sink or the source that they are of.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;
mod peer;
mod wire;

use std::fs;
use std::path::Path;

use outside::{finished, folder, killed_after, said, tripline};
use peer::Peer;
use serde_json::{Value, json};

/// Events and alerts into a peer that takes numbers only.
fn pipeline(peer: &Peer) -> tempfile::TempDir {
    let folder = folder(&format!(
        "sources: {{a: {{type: file, paths: [in.log], follow: false, format: json, time: {{field: t}}}}}}
correlations:
  many: {{type: threshold, inputs: [a], by: [n], within: 1h, count: 2, alert: {{title: 'Many of {{n}}', attack: [T1110]}}}}
sinks:
  es: {{type: elasticsearch, inputs: [a], endpoints: ['{0}'], index: logs, meta: true, where: 'keep == true'}}
  alerts: {{type: elasticsearch, inputs: [many], endpoints: ['{0}'], index: alerts, ecs: true}}
",
        peer.address
    ));
    let line = |n: &str, t: usize| format!("{{\"t\":\"2026-11-25T10:00:{t:02}Z\",\"n\":{n},\"k\": 1.0e2 ,\"keep\":true}}\n");
    fs::write(folder.path().join("in.log"), line("1", 0) + &line("\"bad\"", 1) + &line("2", 2) + &line("\"bad\"", 3)).unwrap();
    folder
}

fn replay(folder: &Path, letters: &[&str]) -> (Value, String) {
    let out = tripline(folder, &[&["replay", "pipeline.yaml", "--admin", "off", "--dead-letter"], letters].concat());
    assert!(out.status.success(), "{}", said(&out));
    let text = outside::text(&out.stderr);
    (serde_json::from_str(text.lines().last().unwrap()).unwrap(), text)
}

#[test]
fn what_a_sink_refused_is_there_once_when_it_is_given_back() {
    let peer = Peer::start(&[]);
    let folder = pipeline(&peer);
    // Alerts are refused, too.
    peer.seen.lock().unwrap().refused_index = Some("alerts".to_owned());
    let (summary, _) = finished(folder.path(), &[]);
    assert_eq!((&summary["out"]["es"], &summary["dead_letters"]), (&2.into(), &3.into()));
    let file = |name: &str| format!(".tripline/dead_letter/{name}.ndjson");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let letters: Vec<Value> = read(&file("es")).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    // Nothing is mended yet: they are refused again, and stand beside.
    let (summary, _) = replay(folder.path(), &[&file("es"), &file("alerts")]);
    assert_eq!(summary["dead_letters"], 3);
    let again: Vec<Value> =
        read(".tripline/dead_letter/again/dead_letter/es.ndjson").lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(again.iter().map(|l| &l["id"]).collect::<Vec<_>>(), letters.iter().map(|l| &l["id"]).collect::<Vec<_>>());
    assert_eq!(again.iter().map(|l| &l["event"]).collect::<Vec<_>>(), letters.iter().map(|l| &l["event"]).collect::<Vec<_>>());
    // The mapping is mended.
    peer.seen.lock().unwrap().takes_words = true;
    peer.seen.lock().unwrap().refused_index = None;
    for round in 0..2 {
        let (summary, errors) = replay(folder.path(), &[&file("es"), &file("alerts")]);
        assert_eq!((&summary["out"], &summary["dead_letters"]), (&json!({"es": 2, "alerts": 1}), &0.into()), "{errors}");
        assert_eq!(summary["duplicates"], 3 * round);
    }
    let seen = peer.seen.lock().unwrap();
    for letter in &letters {
        let document = &seen.documents[&("logs".to_owned(), letter["id"].as_str().unwrap().to_owned())];
        assert_eq!((document, &document["tripline"]["id"]), (&letter["event"], &letter["id"]));
    }
    assert_eq!(seen.documents.keys().filter(|(index, _)| index == "logs").count(), 4);
    let ((_, id), alert) = seen.documents.iter().find(|((index, _), _)| index == "alerts").unwrap();
    assert_eq!((&alert["alert"]["id"], &alert["event"]["kind"], &alert["message"]), (&json!(id), &json!("alert"), &json!("Many of bad")));
}

/// What one sink is refused another one gets: each letter once, whatever is killed, and in a disk buffer's own time.
#[test]
fn letters_go_where_the_file_says() {
    for buffer in ["", ", buffer: {disk: 8MiB}"] {
        let peer = Peer::start(&[]);
        let folder = folder(&format!(
            "barrier: {{interval: 20ms}}
sources: {{a: {{type: file, paths: [in.log], format: json}}}}
sinks:
  es: {{type: elasticsearch, inputs: [a], endpoints: ['{0}'], index: logs, batch: {{rows: 100}}, dead_letter: letters{buffer}}}
  letters: {{type: elasticsearch, endpoints: ['{0}'], index: 'of-{{node}}', where: 'status == 400', dead_letter: last}}
  copy: {{type: elasticsearch, inputs: [a], endpoints: ['{0}'], index: copies, dead_letter: last, where: 'i == 7'}}
  last: {{type: file, path: last.ndjson}}
",
            peer.address
        ));
        let line = |n: usize| if n % 50 == 7 { format!("{{\"n\":\"bad\",\"i\":{n}}}\n") } else { format!("{{\"n\":{n}}}\n") };
        fs::write(folder.path().join("in.log"), (0..20_000).map(line).collect::<String>()).unwrap();
        killed_after(folder.path(), &[60, 90, 120, 70, 100]);
        let (summary, words) = finished(folder.path(), &["--until-end"]);
        assert_eq!(summary["errors"], 0, "{words}");
        let seen = peer.seen.lock().unwrap();
        let of = |index: &str| seen.documents.iter().filter(|((i, _), _)| i == index).map(|(_, d)| d.clone()).collect::<Vec<Value>>();
        let mut refused: Vec<u64> = of("of-es").iter().map(|letter| letter["event"]["i"].as_u64().unwrap()).collect();
        refused.sort_unstable();
        let wanted: Vec<u64> = (0..20_000).filter(|n| n % 50 == 7).collect();
        assert_eq!((of("logs").len(), refused), (19_600, wanted), "{words}");
        // The end of the way is a sink without inputs: what two others had no place for.
        let last = fs::read_to_string(folder.path().join("last.ndjson")).unwrap();
        let last: Vec<Value> = last.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(last.len(), 1, "{last:?}");
        assert_eq!((&last[0]["node"], &last[0]["stage"], &last[0]["event"]["i"]), (&json!("copy"), &json!("sink"), &json!(7)));
        assert!(!folder.path().join(".tripline/dead_letter/es.ndjson").exists());
        drop(seen);
        // A letter that went that way can be given back as well.
        peer.seen.lock().unwrap().takes_words = true;
        let (summary, _) = replay(folder.path(), &["last.ndjson"]);
        assert_eq!(summary["out"]["copy"], 1);
    }
}

#[test]
fn a_way_of_letters_leads_to_a_sink_and_to_an_end() {
    let folder = folder(
        "sources: {a: {type: stdin}}
sinks:
  one: {type: drop, inputs: [a], dead_letter: two}
  two: {type: drop, dead_letter: one}
  three: {type: drop, inputs: [a], dead_letter: oen}
  four: {type: drop, inputs: [a], dead_letter: a}
  five: {type: drop}
  six: {type: drop, inputs: [a], dead_letter: file}
",
    );
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml"]));
    for part in [
        "`one` takes events that come from itself: one → two",
        ":5:49: error[unknown_sink]: there is no sink `oen` to take what is refused",
        "did you mean `one`?",
        ":6:48: error[unknown_sink]: there is no sink `a` to take what is refused",
        ":7:9: error[missing_key]: `five` lacks `inputs`",
    ] {
        assert!(words.contains(part), "{part}\n{words}");
    }
    assert!(!words.contains("six"), "{words}");
}

#[test]
fn a_line_that_broke_the_program_goes_through_the_pipeline_again() {
    let folder = folder(
        "sources: {a: {type: file, paths: [in.log], format: json}, b: {type: file, paths: [in.log], format: json}}
transforms: {t: {type: set, inputs: [a], fields: {seen: 'true'}}}
sinks: {out: {type: file, inputs: [t, b], path: out.ndjson, meta: true}}
",
    );
    let letter = |id: &str, node: &str, raw: &Value| json!({"id": id, "node": node, "stage": "transform", "reason": "it panicked", "status": null, "time": "2026-11-25T10:00:00Z", "event": null, "raw": raw});
    let (first, second) = ("0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff");
    let mut other = letter(second, "b", &json!("eyJuIjoyfQ=="));
    other["raw_encoding"] = json!("base64");
    fs::write(folder.path().join("one.ndjson"), format!("{}\n\n", letter(first, "a", &json!("{\"n\":1}")))).unwrap();
    fs::write(folder.path().join("two.ndjson"), other.to_string()).unwrap();
    let (summary, _) = replay(folder.path(), &["one.ndjson", "two.ndjson"]);
    assert_eq!(summary["in"], json!({"a": 1, "b": 1}));
    let out = fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
    let mut rows: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    rows.sort_by_key(|row| row["n"].as_u64());
    assert_eq!((&rows[0]["seen"], &rows[0]["tripline"]["id"], &rows[1]["tripline"]["id"]), (&json!(true), &json!(first), &json!(second)));
}

#[test]
fn what_cannot_be_given_back_is_named_before_anything_goes_out() {
    let folder = folder("sources: {a: {type: stdin}}\nsinks: {out: {type: file, inputs: [a], path: out.ndjson}}\n");
    let good =
        json!({"id": "0".repeat(32), "node": "oat", "stage": "sink", "reason": "", "status": null, "time": "", "event": {}}).to_string();
    for (text, words) in [
        (good.as_str(), "there are letters of `oat`, and this pipeline has no sink of that name: did you mean `out`?"),
        ("{\"id\":\"x\"}", "letters.ndjson:1: this is no line of a dead letter"),
        ("not JSON", "letters.ndjson:1: this is no line of a dead letter"),
    ] {
        fs::write(folder.path().join("letters.ndjson"), text).unwrap();
        let out = tripline(folder.path(), &["replay", "pipeline.yaml", "--dead-letter", "letters.ndjson"]);
        assert!(out.status.code() == Some(2) && said(&out).contains(words), "{}", said(&out));
    }
    for (flags, words) in [
        (&["--dead-letter", "nowhere.ndjson"][..], "nowhere.ndjson: No such file"),
        (&["--dead-letter", "letters.ndjson", "--from", "a=letters.ndjson"], "one at a time"),
        (&["--dead-letter"], "`--dead-letter` wants a value"),
        (&[], "`--dead-letter FILE` says what is to be replayed"),
    ] {
        let out = tripline(folder.path(), &[&["replay", "pipeline.yaml"], flags].concat());
        assert!(out.status.code() == Some(2) && said(&out).contains(words), "{}", said(&out));
    }
    assert!(!folder.path().join("out.ndjson").exists());
}
