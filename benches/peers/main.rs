//! V1: the whole binary beside rsyslog and syslog-ng: a file of RFC 5424 lines → parsed → a file of JSON lines, on tmpfs, by processor time. Their configuration lies beside this file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)] // a bench that cannot start says so

#[path = "../common/mod.rs"]
mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Bench, Measured, median};

/// Lines with two elements of structured data.
fn lines(n: u64) -> String {
    let mut out = String::new();
    for i in 0..n {
        let (second, ip) = (i % 86_400, format!("10.{}.{}.7", i % 256, i / 256 % 256));
        let (hour, minute, port) = (second / 3600, second / 60 % 60, 1024 + i % 60_000);
        let _ = writeln!(
            out,
            "<{}>1 2026-03-01T{hour:02}:{minute:02}:{:02}.{:03}Z host{:04}.example.com sshd {} ID47 [auth@32473 user=\"user{:04}\" method=\"password\" \
             port=\"{port}\" result=\"failure\"][origin ip=\"{ip}\"] Failed password for user{:04} from {ip} port {port}: it is the {} time that this was seen",
            i * 7919 % 192,
            second % 60,
            i % 1000,
            i % 1000,
            i % 30_000,
            i % 5000,
            i % 5000,
            i % 7
        );
    }
    out
}

/// A program that does not outlive the bench.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Peers {
    work: PathBuf,
    root: PathBuf,
    lines: u64,
}

impl Peers {
    /// One of our own files of configuration, with its names filled in.
    fn configured(&self, file: &str, names: &[(&str, &str)]) -> PathBuf {
        let text = std::fs::read_to_string(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers")).join(file)).unwrap();
        let text = names.iter().fold(text.replace("@WORK@", self.work.to_str().unwrap()), |text, (name, value)| text.replace(name, value));
        let path = self.work.join(file);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn rsyslog(&self, is_parsed: bool) -> Command {
        let (sd, parse) = match is_parsed {
            true => ("constant(value=\",\\\"sd\\\":\") property(name=\"$!rfc5424-sd\")", "action(type=\"mmpstrucdata\")"),
            false => ("constant(value=\",\") property(outname=\"sd\" name=\"structured-data\" format=\"jsonf\")", ""),
        };
        let file = self.configured("rsyslog.conf", &[("@SD@", sd), ("@PARSE@", parse)]);
        let mut command = Command::new(self.root.join("usr/sbin/rsyslogd"));
        command.args(["-n", "-i", "NONE", "-f"]).arg(file).arg("-M").arg(self.root.join("usr/lib/x86_64-linux-gnu/rsyslog"));
        command
    }

    fn syslog_ng(&self, is_parsed: bool) -> Command {
        let file = self.configured("syslog-ng.conf", &[("@SD@", if is_parsed { "--key .SDATA.*" } else { "sd=$SDATA" })]);
        let mut command = Command::new(self.root.join("usr/sbin/syslog-ng"));
        command.args(["-F", "--no-caps", "-f"]).arg(file).arg("--module-path").arg(self.root.join("usr/lib/syslog-ng/3.38"));
        for (flag, name) in [("-R", "state.persist"), ("-c", "state.ctl"), ("-p", "state.pid")] {
            command.arg(flag).arg(self.work.join("run").join(name));
        }
        command
    }

    fn tripline(&self, structured_data: &str) -> Command {
        let file = self
            .configured("pipeline.yaml", &[("format: syslog", &format!("format: {{type: syslog, structured_data: {structured_data}}}"))]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        command.arg("run").arg(file).args(["--fresh", "--admin", "off", "--state"]).arg(self.work.join("run/state"));
        command
    }

    /// Starts a program that follows the file, waits until no more is written, and gives the processor time that it took, in nanoseconds.
    fn cpu_time(&self, mut command: Command) -> f64 {
        let folder = self.work.join("run");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let out = folder.join("out");
        let libraries =
            ["usr/lib/syslog-ng", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|l| self.root.join(l).display().to_string());
        let mut child =
            Running(command.env("LD_LIBRARY_PATH", libraries.join(":")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let (started, mut seen, mut since) = (Instant::now(), 0, Instant::now());
        while seen == 0 || since.elapsed() < Duration::from_millis(500) {
            assert!(started.elapsed() < Duration::from_secs(120), "{command:?} writes nothing");
            std::thread::sleep(Duration::from_millis(20));
            let size = std::fs::metadata(&out).map_or(0, |m| m.len());
            if size != seen {
                (seen, since) = (size, Instant::now());
            }
        }
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.0.id())).unwrap();
        let ticks: u64 = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2).map(|t| t.parse::<u64>().unwrap()).sum();
        let _ = Command::new("kill").arg(child.0.id().to_string()).status();
        child.0.wait().unwrap();
        let written = memchr::memchr_iter(b'\n', &std::fs::read(&out).unwrap()).count() as u64;
        assert_eq!(written, self.lines, "{command:?} did not write every line");
        ticks as f64 * 1e7 // a tick is a hundredth of a second
    }
}

fn main() {
    let mut bench = Bench::new("peers", false);
    let fetched = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/fetch.sh")).output().unwrap();
    if !fetched.status.success() {
        print!("{}", String::from_utf8_lossy(&fetched.stderr));
        return;
    }
    let n = if bench.quick { 200_000 } else { 1_000_000 };
    let work = tempfile::Builder::new().prefix("tripline-peers").tempdir_in("/dev/shm").unwrap();
    let text = lines(n);
    std::fs::write(work.path().join("in.log"), &text).unwrap();
    let root = PathBuf::from(String::from_utf8(fetched.stdout).unwrap().trim());
    let peers = Peers { work: work.path().to_owned(), root, lines: n };
    for (is_parsed, name, ours) in [(false, "as text", "text"), (true, "parsed", "fields")] {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..bench.runs().min(5) {
            times[0].push(peers.cpu_time(peers.tripline(ours)));
            times[1].push(peers.cpu_time(peers.rsyslog(is_parsed)));
            times[2].push(peers.cpu_time(peers.syslog_ng(is_parsed)));
        }
        let [ours_ns, rsyslog, syslog_ng] = times.map(median);
        for (peer, reference_ns) in [("rsyslog", rsyslog), ("syslog-ng", syslog_ng)] {
            let m = Measured { ours_ns, reference_ns, allocations: 0 };
            bench.report(&format!("structured data {name} / {peer}"), peer, n, text.len() as u64, &m);
        }
    }
    bench.end();
}
