//! The file source over packed and rotated files, called as its users call it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed test is what a panic is for
mod outside;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use outside::{fed, finished, folder, signal, text, tripline, until};

const PIPELINE: &str =
    "sources: {a: {type: file, paths: ['logs/app.log*'], original: false}}\nsinks: {o: {type: file, inputs: [a], path: out.ndjson}}\n";

/// Makes the folder of the logs. Returns the path of a name in it.
fn logs(folder: &tempfile::TempDir) -> impl Fn(&str) -> PathBuf {
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    move |name| logs.join(name)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn numbered(from: usize, to: usize) -> String {
    (from..to).map(|i| format!("line {i}\n")).collect()
}

/// Runs to the end of the files. Messages that came out so far, sorted.
fn run(folder: &Path) -> Vec<String> {
    let out = tripline(folder, &["run", "pipeline.yaml", "--until-end", "--admin", "off"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    messages(folder)
}

fn messages(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("out.ndjson")).unwrap_or_default();
    let message = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["message"].as_str().unwrap().to_owned();
    let mut out: Vec<String> = text.lines().map(message).collect();
    out.sort_by_key(|line| line.trim_start_matches("line ").parse::<usize>().unwrap_or(usize::MAX));
    out
}

/// A run that follows its files.
struct Live<'f> {
    folder: &'f Path,
    child: Child,
}

impl Live<'_> {
    fn start(folder: &Path) -> Live<'_> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        command.args(["run", "pipeline.yaml", "--admin", "off"]).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        Live { folder, child: command.spawn().unwrap() }
    }

    /// Waits until so many events came out, but not for ever.
    fn wait_for(&self, count: usize) {
        for _ in 0..400 {
            if messages(self.folder).len() >= count {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(mut self) {
        signal(&self.child, "TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

fn lines(from: usize, to: usize) -> Vec<String> {
    numbered(from, to).lines().map(str::to_owned).collect()
}

#[test]
fn packed_files_are_read_whole_and_once() {
    let f = folder(PIPELINE);
    let at = logs(&f);
    // Two members, as `cat a.gz b.gz` makes them; the last line has no newline. By their bytes, not by their names.
    fs::write(at("app.log.2"), [gzip(numbered(0, 700).as_bytes()), gzip(b"line 700")].concat()).unwrap();
    fs::write(at("app.log.1.zst"), zstd::encode_all(numbered(701, 3000).as_bytes(), 1).unwrap()).unwrap();
    fs::write(at("app.log"), numbered(3000, 3010)).unwrap();
    assert_eq!(run(f.path()), lines(0, 3010));
    // A second run finds nothing new, and a packed file that moved on is the same one.
    fs::rename(at("app.log.2"), at("app.log.3")).unwrap();
    assert_eq!(run(f.path()), lines(0, 3010));
}

/// As logrotate's copytruncate does it: the copy lies beside what is read, then that begins anew, and may have outgrown its old length before anybody looks.
#[test]
fn a_file_that_is_copied_and_truncated_is_read_once() {
    let f = folder(PIPELINE);
    let at = logs(&f);
    fs::write(at("app.log"), numbered(0, 1000)).unwrap();
    let live = Live::start(f.path());
    live.wait_for(1000);
    let mut upto = 1000;
    for copy in 1..=3 {
        fs::copy(at("app.log"), at(&format!("app.log.{copy}"))).unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        // What comes in the last moment is in the copy alone.
        let last = numbered(upto, upto + 10);
        fs::write(at(&format!("app.log.{copy}")), fs::read_to_string(at("app.log")).unwrap() + &last).unwrap();
        fs::write(at("app.log"), numbered(upto + 10, upto + 3000 * copy)).unwrap();
        upto += 3000 * copy;
        live.wait_for(upto);
    }
    assert_eq!(messages(f.path()), lines(0, upto));
    // A file of its own that holds the same is read when it has been still for a while.
    fs::copy(at("app.log"), at("app.log.twin")).unwrap();
    let all = upto + fs::read_to_string(at("app.log")).unwrap().lines().count();
    live.wait_for(all);
    live.stop();
    assert_eq!(messages(f.path()).len(), all);
}

#[test]
fn a_file_that_was_packed_between_two_runs_continues() {
    let f = folder(PIPELINE);
    let at = logs(&f);
    fs::write(at("app.log"), numbered(0, 100)).unwrap();
    assert_eq!(run(f.path()), lines(0, 100));
    // Two more lines came, then the file was rotated and packed.
    fs::write(at("app.log.1.gz"), gzip(numbered(0, 102).as_bytes())).unwrap();
    fs::remove_file(at("app.log")).unwrap();
    fs::write(at("app.log"), numbered(102, 110)).unwrap();
    assert_eq!(run(f.path()), lines(0, 110));
    assert_eq!(run(f.path()), lines(0, 110));
}

#[test]
fn a_rotation_that_packs_while_the_file_is_read_says_nothing_twice() {
    let f = folder(PIPELINE);
    let at = logs(&f);
    fs::write(at("app.log"), numbered(0, 50)).unwrap();
    let live = Live::start(f.path());
    live.wait_for(50);
    fs::rename(at("app.log"), at("app.log.1")).unwrap();
    fs::write(at("app.log"), numbered(50, 60)).unwrap();
    live.wait_for(60);
    // gzip writes the packed file beside the plain one, then takes that away.
    fs::write(at("app.log.1.gz"), gzip(numbered(0, 50).as_bytes())).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    fs::remove_file(at("app.log.1")).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    fs::OpenOptions::new().append(true).open(at("app.log")).unwrap().write_all(numbered(60, 70).as_bytes()).unwrap();
    live.wait_for(70);
    live.stop();
    assert_eq!(messages(f.path()), lines(0, 70));
    assert_eq!(run(f.path()), lines(0, 70));
}

#[test]
fn broken_and_hostile_packed_files_end() {
    let f = folder(PIPELINE);
    let at = logs(&f);
    let whole = gzip(numbered(0, 20_000).as_bytes());
    fs::write(at("app.log.1"), &whole[..whole.len() / 2]).unwrap();
    // 256 MiB of one byte in a quarter of a megabyte: one line that is cut at its limit.
    fs::write(at("app.log.2"), gzip(&vec![b'x'; 256 << 20])).unwrap();
    let zeros = zstd::encode_all(vec![b'y'; 256 << 20].as_slice(), 1).unwrap();
    fs::write(at("app.log.3"), zeros).unwrap();
    let found = run(f.path());
    let numbered = found.iter().filter(|m| m.starts_with("line ")).count();
    assert!((1_000..20_000).contains(&numbered), "{numbered}");
    let long: Vec<usize> = found.iter().filter(|m| !m.starts_with("line ")).map(String::len).collect();
    assert_eq!(long, [1 << 20, 1 << 20]);
}

#[test]
fn stack_traces_are_one_event() {
    let multiline = "multiline: {start: '^\\d{4}-', timeout: 300ms}, ";
    let f = folder(&PIPELINE.replace("original: false", &format!("{multiline}original: false")));
    let at = logs(&f);
    let first = "2026-03-01 ERROR first\n  at a.B.c(B.java:1)\n\n  at a.B.d(B.java:2)";
    let second = "2026-03-01 ERROR second\n  at e.F(G.java:3)";
    fs::write(at("app.log"), format!("{first}\n{second}\n")).unwrap();
    let live = Live::start(f.path());
    // The second event is over by silence.
    live.wait_for(2);
    // The third is open when the file is replaced.
    let third = "2026-03-01 ERROR third\n  at h.I";
    fs::OpenOptions::new().append(true).open(at("app.log")).unwrap().write_all(format!("{third}\n").as_bytes()).unwrap();
    fs::rename(at("app.log"), f.path().join("elsewhere")).unwrap();
    fs::write(at("app.log"), "2026-03-01 INFO fourth\n").unwrap();
    live.wait_for(4);
    live.stop();
    let mut found = messages(f.path());
    found.sort();
    assert_eq!(found, [first, second, third, "2026-03-01 INFO fourth"]);
}

#[test]
fn standard_input_has_events_of_several_lines_too() {
    let sink = "sinks: {o: {type: file, inputs: [a], path: out.ndjson, original: false}}\n";
    let f = folder(&format!("sources: {{a: {{type: stdin, multiline: {{start: '^\\d', timeout: 300ms}}}}}}\n{sink}"));
    let mut child = fed(f.path());
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"1 first\n  at a\n\n  at b\n2 second\n  at").unwrap();
    until("the first event", || messages(f.path()).len() == 1);
    // What belongs to it comes while it is open, and it is over by silence; the line that is not whole waits.
    input.write_all(b" c\n  at d\n  ha").unwrap();
    until("silence", || messages(f.path()).len() == 2);
    input.write_all(b"lf\n3 third\n").unwrap();
    // More events than a batch has rows, the last without an end.
    let many: Vec<String> = (0..3_000).map(|n| format!("{n}\n +")).collect();
    input.write_all(many.join("\n").as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    let found = messages(f.path());
    assert_eq!(found[..4], ["1 first\n  at a\n\n  at b", "2 second\n  at c\n  at d", "  half", "3 third"]);
    assert_eq!(found[4..], many);

    let lines = "2026-03-01T10:00:00.000000001Z stdout P one \n2026-03-01T10:00:00.000000002Z stdout P and \n2026-03-01T10:00:00.000000003Z stdout F two\n";
    let f = folder(&format!("sources: {{a: {{type: stdin, format: cri}}}}\n{sink}"));
    let mut child = fed(f.path());
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(messages(f.path()), ["one and two"]);
}

#[test]
fn multiline_takes_one_pattern() {
    let f = folder(
        "sources: {a: {type: file, paths: [x], multiline: {timeout: 1s}}, b: {type: file, paths: [x], multiline: {start: '('}}}\nsinks: {o: {type: drop, inputs: [a, b]}}\n",
    );
    let out = text(&tripline(f.path(), &["check", "pipeline.yaml"]).stdout);
    assert!(out.contains("1:50: error[bad_multiline]: `multiline` takes one of `start` and `continue`"), "{out}");
    assert!(out.contains("error[bad_pattern]: bad pattern: unclosed group"), "{out}");
}

#[test]
fn equal_files_of_two_sources_are_not_one() {
    let folder = folder(
        "sources:
  a: {type: file, paths: [a.log], format: json, follow: false}
  b: {type: file, paths: [b.log], format: json, follow: false}
sinks: {o: {type: file, inputs: [a, b], path: out.ndjson, meta: true}}
",
    );
    fs::write(folder.path().join("a.log"), "{\"n\":1}\n").unwrap();
    fs::write(folder.path().join("b.log"), "{\"n\":1}\n").unwrap();
    finished(folder.path(), &[]);
    let out = fs::read_to_string(folder.path().join("out.ndjson")).unwrap();
    let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["tripline"]["id"].clone();
    let ids: Vec<serde_json::Value> = out.lines().map(id).collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
}
