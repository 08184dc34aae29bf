//! Files that the `file` sink writes: paths by fields, full files, packed files, through kill -9.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a failed test is what a panic is for
mod outside;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use outside::{finished, folder, killed_after, said, text, tripline};
use serde_json::Value;

fn pipeline(options: &str) -> tempfile::TempDir {
    folder(&format!(
        "barrier: {{interval: 10ms}}
sources: {{a: {{type: file, paths: [in.log], follow: false, format: json}}}}
sinks: {{o: {{type: file, inputs: [a], {options}}}}}
"
    ))
}

fn lines(count: usize, hosts: usize) -> String {
    (0..count).map(|n| format!("{{\"n\":{n},\"host\":\"h{}\",\"text\":\"{}\"}}\n", n % hosts, "x".repeat(n % 90))).collect()
}

fn run(folder: &Path) -> Value {
    finished(folder, &[]).0
}

/// All files below a folder, with what is in them, unpacked.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(files(&path));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let mut text = String::new();
        match path.extension().and_then(|e| e.to_str()) {
            Some("gz") => drop(flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap()),
            Some("zst") => drop(zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap()),
            _ => text = String::from_utf8_lossy(&bytes).into_owned(),
        }
        out.push((path, text));
    }
    out.sort();
    out
}

/// Each row once, in the file of its host, in order.
fn assert_each_once(found: &[(PathBuf, String)], wanted: usize, hosts: usize) {
    let mut seen = vec![0u8; wanted];
    for (path, text) in found {
        let mut last = None;
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}: {line}", path.display()));
            let n = row["n"].as_u64().unwrap() as usize;
            seen[n] += 1;
            assert!(path.to_str().unwrap().contains(&format!("/h{}/", n % hosts)), "{n} is in {}", path.display());
            assert!(last.replace(n).is_none_or(|last| last < n), "{} is out of order", path.display());
        }
    }
    let wrong: Vec<(usize, &u8)> = seen.iter().enumerate().filter(|(_, n)| **n != 1).take(5).collect();
    assert!(wrong.is_empty(), "number and count: {wrong:?}");
}

#[test]
fn each_row_is_in_its_file_once_through_kills() {
    const COUNT: usize = 150_000;
    for (name, compression) in [("ndjson", "none"), ("ndjson.gz", "gzip"), ("ndjson.zst", "zstd")] {
        let options =
            format!("path: 'out/{{host}}/events.{name}', rotate: {{bytes: 20KiB}}, compression: {compression}, batch: {{rows: 200}}");
        let folder = pipeline(&options);
        fs::write(folder.path().join("in.log"), lines(COUNT, 30)).unwrap();
        killed_after(folder.path(), &[40, 70, 110, 60, 150, 90]);
        run(folder.path());
        let found = files(&folder.path().join("out"));
        assert_each_once(&found, COUNT, 30);
        // Full files are seen at epochs, of which a fast machine has few.
        assert!(found.len() > 30, "{} files: none was full", found.len());
        assert!(!found.iter().any(|(path, _)| path.to_str().unwrap().contains("journal")), "the journal is not forgotten");
        // A further run begins where this one ended.
        let more = lines(COUNT + 100, 30).lines().skip(COUNT).map(|l| l.to_owned() + "\n").collect::<String>();
        let mut log = fs::read_to_string(folder.path().join("in.log")).unwrap();
        log.push_str(&more);
        fs::write(folder.path().join("in.log"), log).unwrap();
        run(folder.path());
        assert_each_once(&files(&folder.path().join("out")), COUNT + 100, 30);
    }
}

#[test]
fn more_files_than_may_be_open_and_names_that_lead_nowhere() {
    let folder = pipeline("path: 'out/{host}/x.ndjson'");
    fs::write(folder.path().join("in.log"), lines(30_000, 700)).unwrap();
    run(folder.path());
    let found = files(&folder.path().join("out"));
    assert_eq!(found.len(), 700);
    assert_each_once(&found, 30_000, 700);

    let folder = pipeline("path: 'out/{host}.ndjson'");
    let long = "ü".repeat(300);
    let hosts = ["../../evil", "..", "", "a/b", &long];
    let log: String = hosts.iter().map(|host| serde_json::json!({"host": host}).to_string() + "\n").collect();
    fs::write(folder.path().join("in.log"), log + "{\"none\":1}\n").unwrap();
    let summary = run(folder.path());
    assert_eq!((&summary["out"]["o"], &summary["dead_letters"]), (&6.into(), &0.into()));
    let names: Vec<String> =
        files(&folder.path().join("out")).iter().map(|(p, _)| p.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["-.ndjson", ".._.._evil.ndjson", "_.ndjson", "a_b.ndjson", &("ü".repeat(50) + ".ndjson")]);
    // A path that is a folder takes no row: it is in the dead letter, and the others are written.
    let folder = pipeline("path: 'out/{host}'");
    fs::create_dir_all(folder.path().join("out/taken")).unwrap();
    fs::write(folder.path().join("in.log"), "{\"host\":\"taken\"}\n{\"host\":\"free\"}\n").unwrap();
    let summary = run(folder.path());
    assert_eq!((&summary["out"]["o"], &summary["dead_letters"]), (&1.into(), &1.into()));
    assert!(folder.path().join("out/free").is_file());
}

#[test]
fn one_file_rotates_by_size_and_by_time() {
    let folder = pipeline("path: events.ndjson, rotate: {bytes: 100KiB, every: 1s}, batch: {rows: 500}");
    fs::write(folder.path().join("in.log"), lines(400_000, 1)).unwrap();
    run(folder.path());
    let all = || files(folder.path()).into_iter().filter(|(p, _)| p.to_str().unwrap().contains("/events.")).collect::<Vec<_>>();
    let count = |found: &[(PathBuf, String)]| found.iter().map(|(_, text)| text.lines().count()).sum::<usize>();
    let found = all();
    assert!(found.len() > 1 && count(&found) == 400_000, "{} files, {} rows", found.len(), count(&found));
    // Its second is over: what comes now is in another file.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    fs::write(folder.path().join("in.log"), lines(400_001, 1)).unwrap();
    run(folder.path());
    let later = all();
    assert!(later.len() > found.len() && count(&later) == 400_001, "{} files, then {}", found.len(), later.len());
}

#[test]
fn no_more_rows_a_second_than_may_be() {
    let folder = pipeline("path: events.ndjson, rate_max: 400");
    fs::write(folder.path().join("in.log"), lines(1_000, 1)).unwrap();
    let since = std::time::Instant::now();
    assert_eq!(run(folder.path())["out"]["o"], 1_000);
    // The first 400 at once, the others behind them.
    assert!(since.elapsed() >= std::time::Duration::from_secs(2), "{:?}", since.elapsed());
    assert_eq!(fs::read_to_string(folder.path().join("events.ndjson")).unwrap(), lines(1_000, 1));
}

#[test]
fn events_are_written_as_other_receivers_read_them() {
    let folder = folder(
        "sources: {a: {type: file, paths: [in.log], follow: false, format: json}}
transforms: {b: {type: set, inputs: [a], fields: {name: '\"logged in\"', deviceVendor: '\"Acme|Co\"'}}}
sinks:
  csv: {type: file, inputs: [b], path: out.csv, encode: {type: csv, fields: [host, user.name, n], delimiter: ';'}}
  kv: {type: file, inputs: [b], path: 'by/{host}.log', encode: {type: kv, fields: [host, user.name, n]}}
  cef: {type: file, inputs: [b], path: out.cef, encode: {type: cef, fields: [sourceUserName, user.name, n]}}
  leef: {type: file, inputs: [b], path: out.leef, encode: {type: leef, fields: [user.name, n]}}
  raw: {type: file, inputs: [b], path: out.raw, encode: raw}
  out: {type: stdout, inputs: [b], encode: {type: kv, fields: [n], assign: ':'}}
",
    );
    let at = |name: &str| folder.path().join(name);
    let raw = "{\"host\":\"web-1\",\"user\":{\"name\":\"Ada; \\\"A\\\" = b\\nx\"},\"n\":1.50}\n{\"host\":\"closed\",\"n\":{\"a\": [1, 2]},\"sourceUserName\":\"eve\"}\n";
    fs::write(at("in.log"), raw).unwrap();
    // A folder stands where a file is meant: that row can never be written.
    fs::create_dir_all(at("by/closed.log")).unwrap();
    let out = tripline(folder.path(), &["run", "pipeline.yaml", "--admin", "off"]);
    assert!(out.status.success(), "{}", said(&out));
    let read = |name: &str| fs::read_to_string(at(name)).unwrap();
    assert_eq!(read("out.csv"), "web-1;\"Ada; \"\"A\"\" = b x\";1.50\nclosed;;\"{\"\"a\"\":[1,2]}\"\n");
    assert_eq!(read("by/web-1.log"), "host=web-1 user.name=\"Ada; \\\"A\\\" = b x\" n=1.50\n");
    let version = env!("CARGO_PKG_VERSION");
    let head = format!("Acme\\|Co|tripline|{version}|event|");
    let first = format!("CEF:0|{head}logged in|Unknown|user.name=Ada; \"A\" \\= b\\nx n=1.50\n");
    assert_eq!(read("out.cef"), format!("{first}CEF:0|{head}logged in|Unknown|suser=eve n={{\"a\":[1,2]}}\n"));
    assert_eq!(read("out.leef"), format!("LEEF:1.0|{head}user.name=Ada; \"A\" = b x\tn=1.50\nLEEF:1.0|{head}n={{\"a\":[1,2]}}\n"));
    assert_eq!(read("out.raw"), raw);
    assert_eq!(text(&out.stdout), "n:1.50\nn:\"{\\\"a\\\":[1,2]}\"\n");
    let letter: Value = serde_json::from_str(&read(".tripline/dead_letter/kv.ndjson")).unwrap();
    assert_eq!((&letter["event"]["host"], &letter["event"]["name"]), (&"closed".into(), &"logged in".into()));
}

#[test]
fn what_cannot_be_written_so_is_told_before() {
    let folder = folder(
        "sources: {a: {type: stdin, format: json}}
sinks:
  b: {type: file, inputs: [a], path: b, encode: {type: csv}}
  c: {type: file, inputs: [a], path: c, encode: cvs}
  d: {type: file, inputs: [a], path: d, encode: {type: kv, fields: ['a b'], assign: '::', more: 1}}
  e: {type: stdout, inputs: [a], form: pretty, encode: raw}
",
    );
    let words = said(&tripline(folder.path(), &["check", "pipeline.yaml"]));
    for want in [
        ":3:56: error[missing_key]: `csv` needs its fields",
        ":4:49: error[unknown_format]: events cannot be written as `cvs`",
        ":5:56: error[bad_value]: `a b` can be no key of a pair",
        "error[bad_value]: `assign` is one ASCII character",
        "error[unknown_key]: ",
        ":6:40: error[bad_value]: `form` is for JSON",
    ] {
        assert!(words.contains(want), "{want}\n{words}");
    }
}
