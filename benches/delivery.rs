//! P9b: throughput of a file → RFC 5424 → map → `_bulk` with a disk buffer, against the same without one: where the peer answers at once, so that rows go by
//! the disk; where it answers nothing until all was read, so that they go through it; and through one behind the source. P9: time from an event's writing to
//! its acceptance by a peer that answers at once, at half the load that the machine bears.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a bench that cannot start says so

mod common;
#[path = "../tests/wire/mod.rs"]
mod wire;

use std::cell::Cell;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Bench, Measured, outcome_map, rfc5424};

/// Latencies are taken of one event in so many.
const SAMPLED: usize = 50;

fn tripline(folder: &Path, pipeline: &str) -> Command {
    std::fs::write(folder.join("pipeline.yaml"), pipeline).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    command.args(["run", "pipeline.yaml", "--fresh", "--until-end", "--admin", "off"]).current_dir(folder);
    command
}

fn pipeline(source: &str, peer: &str, of_map: &str, options: &str) -> String {
    format!(
        "sources: {{a: {{{source}, format: syslog, time: {{field: timestamp, lateness: 0s}}}}}}
transforms: {{m: {{type: map, inputs: [a], files: [map.csv]{of_map}}}}}
sinks: {{es: {{type: elasticsearch, inputs: [m], endpoints: ['{peer}'], index: logs, original: false{options}}}}}
"
    )
}

/// Nanoseconds on a clock that all processes share.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// The times in the messages of a body, each of one event in [`SAMPLED`].
fn times(body: &[u8]) -> Vec<u64> {
    let finder = memchr::memmem::Finder::new(b"sent=");
    let read = |at: usize| std::str::from_utf8(&body[at + 5..at + 24]).unwrap().parse().unwrap();
    finder.find_iter(body).map(read).collect()
}

fn main() {
    let mut bench = Bench::new("delivery", false);
    let n: u64 = if bench.quick { 200_000 } else { 1_000_000 };
    let text = rfc5424(n);
    let latencies: Arc<Mutex<Vec<u64>>> = Arc::default();
    let samples = Arc::new(AtomicBool::new(true));
    let (seen, samples_too) = (Arc::clone(&latencies), Arc::clone(&samples));
    let is_busy = Arc::new(AtomicBool::new(false));
    let is_busy_too = Arc::clone(&is_busy);
    let peer = wire::listen(move |asked| match asked.method.as_str() {
        "POST" => {
            while is_busy_too.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let now = now();
            if samples_too.load(Ordering::Relaxed) {
                seen.lock().unwrap().extend(times(&asked.body).iter().map(|sent| now.saturating_sub(*sent)));
            }
            Some((200, "{\"errors\":false}".to_owned()))
        }
        _ => Some((200, "{\"version\":{\"number\":\"9.0.0\"}}".to_owned())),
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.log"), &text).unwrap();
    std::fs::write(folder.path().join("map.csv"), outcome_map()).unwrap();
    let runs = Cell::new(0);
    let run = |of_map: &str, options: &str| {
        let mut command = tripline(folder.path(), &pipeline("type: file, paths: [in.log]", &peer, of_map, options));
        // Not `--fresh` on one folder: deleting the last run's buffer is no part of this one.
        runs.set(runs.get() + 1);
        command.args(["--state", &format!("state{}", runs.get())]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        if is_busy.load(Ordering::Relaxed) {
            while !has_read(child.id(), text.len()) {
                // Not more often: to ask takes a tenth of a millisecond of a core that the process could use.
                std::thread::sleep(Duration::from_millis(5));
            }
            is_busy.store(false, Ordering::Relaxed);
        }
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    // Latencies first: no disk is still busy with what was written before.
    let start = Instant::now();
    run("", "");
    let full_load = n as f64 / start.elapsed().as_secs_f64();
    for (options, name) in [("", ""), (", buffer: {disk: 4GiB}", ", disk buffer")] {
        latencies.lock().unwrap().clear();
        let seconds = if bench.quick { 4 } else { 15 };
        let sent =
            feed(tripline(folder.path(), &pipeline("type: stdin", &peer, "", options)), full_load / 2.0, Duration::from_secs(seconds));
        let mut all = std::mem::take(&mut *latencies.lock().unwrap());
        // The first second is that of the start.
        all.drain(..all.len() / seconds as usize);
        all.sort_unstable();
        for (part, percent, bar) in [("p50", 50, 8e6), ("p99", 99, 15e6)] {
            let measured = all[all.len() * percent / 100] as f64;
            let m = Measured { ours_ns: measured, reference_ns: bar, allocations: 0 };
            bench.report(&format!("latency at half load{name}, {part}"), "bar", 1, sent / seconds, &m);
        }
    }
    samples.store(false, Ordering::Relaxed);
    let disk = ", buffer: {disk: 4GiB}";
    let m = bench.interleave(|| run("", disk), || run("", ""));
    bench.report("disk buffer / without", "memory", n, text.len() as u64, &m);
    let busy = || {
        is_busy.store(true, Ordering::Relaxed);
        run("", disk)
    };
    let m = bench.interleave(busy, || run("", ""));
    bench.report("disk buffer, all through the disk / without", "memory", n, text.len() as u64, &m);
    let m = bench.interleave(|| run(disk, ""), || run("", ""));
    bench.report("disk buffer behind the source / without", "memory", n, text.len() as u64, &m);
    bench.end();
}

/// Whether a process has read so many bytes of its log.
fn has_read(process: u32, bytes: usize) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    let is_log = |file: &std::fs::DirEntry| std::fs::read_link(file.path()).is_ok_and(|to| to.ends_with("in.log"));
    files.flatten().filter(is_log).any(|file| {
        let facts = std::fs::read_to_string(format!("/proc/{process}/fdinfo/{}", file.file_name().to_string_lossy()));
        facts.is_ok_and(|facts| facts.split_whitespace().nth(1) == Some(&bytes.to_string()))
    })
}

/// Writes events at a rate, each with the time at which it was written. Gives the bytes.
fn feed(mut command: Command, rate: f64, how_long: Duration) -> u64 {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let pad = "and nothing more was said here, or was it, to fill a line of the size that such lines have";
    let plain = format!(
        "<34>1 2026-03-01T00:00:00.000Z host0001.example.com sshd 4711 ID47 - Failed password for user0001 from 10.0.0.1, port 22: {pad}\n"
    );
    let (start, mut sent, mut bytes) = (Instant::now(), 0usize, 0);
    let mut chunk = Vec::new();
    while start.elapsed() < how_long {
        let due = (start.elapsed().as_secs_f64() * rate) as usize;
        chunk.clear();
        while sent < due {
            match sent % SAMPLED {
                0 => chunk.extend_from_slice(plain.replace("Failed password", &format!("sent={}", now())).as_bytes()),
                _ => chunk.extend_from_slice(plain.as_bytes()),
            }
            sent += 1;
        }
        stdin.write_all(&chunk).unwrap();
        bytes += chunk.len() as u64;
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    bytes
}
