//! The program as its users call it.
#![allow(dead_code, clippy::disallowed_methods)] // each test binary uses a part of it; tests wait by the clock
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs the program in a folder.
pub fn tripline(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tripline")).args(words).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// Runs the pipeline of a folder to its end, which must be a good one. Gives the summary and all words.
pub fn finished(folder: &Path, more: &[&str]) -> (serde_json::Value, String) {
    let mut command = Command::new("timeout");
    command.args(["90", env!("CARGO_BIN_EXE_tripline"), "run", "pipeline.yaml", "--admin", "off"]).args(more).current_dir(folder);
    let out = command.stdin(Stdio::null()).output().unwrap();
    let words = text(&out.stderr);
    assert!(out.status.success(), "{words}");
    (serde_json::from_str(words.lines().last().unwrap()).unwrap(), words)
}

/// Starts the pipeline of a folder; its words go to `words.log` there.
pub fn started(folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["run", "pipeline.yaml", "--admin", "off"]).current_dir(folder).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(fs::File::create(folder.join("words.log")).unwrap()).spawn().unwrap()
}

/// The same with an admin port, whose address it gives.
pub fn served(folder: &Path) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["run", "pipeline.yaml", "--admin", "127.0.0.1:0"]).current_dir(folder).stdin(Stdio::null());
    let child = command.stdout(Stdio::null()).stderr(fs::File::create(folder.join("words.log")).unwrap()).spawn().unwrap();
    let mut address = None;
    until("the admin port", || {
        let words = fs::read_to_string(folder.join("words.log")).unwrap();
        let mut words = words.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        address = words.find(|word| word["event"] == "ready").map(|word| word["admin"].as_str().unwrap().to_owned());
        address.is_some()
    });
    (child, address.unwrap())
}

/// Sends a process a signal: `TERM`, `HUP`.
pub fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

/// SIGTERM, and what it said; it must end well.
pub fn stopped(mut child: Child, folder: &Path) -> String {
    signal(&child, "TERM");
    let status = child.wait().unwrap();
    let words = fs::read_to_string(folder.join("words.log")).unwrap();
    assert!(status.success(), "{words}");
    words
}

/// What the admin port at an address answers to a GET, its head among it.
pub fn got(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// Waits until something holds, at most a minute.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < Duration::from_secs(60), "{what} did not come about");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts the pipeline of a folder, to be fed on its standard input.
pub fn fed(folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["run", "pipeline.yaml", "--admin", "off"]).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs the pipeline of a folder and kills it after each of these times.
pub fn killed_after(folder: &Path, milliseconds: &[u64]) {
    for wait in milliseconds {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        command.args(["run", "pipeline.yaml", "--admin", "off"]).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(*wait));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// A folder with a pipeline file.
pub fn folder(pipeline: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("pipeline.yaml"), pipeline).unwrap();
    folder
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Both streams.
pub fn said(out: &Output) -> String {
    text(&out.stdout) + &text(&out.stderr)
}
