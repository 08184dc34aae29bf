//! Real servers, started by the scripts of `tests/services` on loopback and killed when the test is over.
#![allow(dead_code)] // each test binary uses a part of it
#[cfg(feature = "kafka")]
pub mod broker;
pub mod certificates;
pub mod node;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

/// See the module.
pub struct Server {
    /// The script, and the words before the folder.
    script: &'static [&'static str],
    /// Its folder: the data stays over a kill.
    pub root: tempfile::TempDir,
    /// Where it listens; its second port is the next one.
    pub port: u16,
    lines: Vec<String>,
}

impl Server {
    /// Starts one, with lines of its configuration; none where the test is skipped.
    pub fn start(script: &'static [&'static str], lines: impl FnOnce(u16) -> Vec<String>) -> Option<Server> {
        let port = (0..100).find_map(|_| {
            let first = TcpListener::bind("127.0.0.1:0").ok()?;
            let port = first.local_addr().ok()?.port();
            let others = (1..=5).map(|more| TcpListener::bind(("127.0.0.1", port.checked_add(more)?)).ok()).collect::<Option<Vec<_>>>();
            others.map(|_| port)
        });
        let port = port.unwrap();
        let server = Server { script, root: tempfile::tempdir().unwrap(), port, lines: lines(port) };
        server.up().then_some(server)
    }

    /// Brings it up, on the data that it has. False where it cannot be had.
    pub fn up(&self) -> bool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services").join(self.script[0]);
        let mut command = Command::new(script);
        command.args(&self.script[1..]).arg(self.root.path()).arg(self.port.to_string()).args(&self.lines);
        let out = command.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
        let words = String::from_utf8_lossy(&out.stderr);
        match out.status.code() {
            Some(0) => true,
            Some(3) if std::env::var("TRIPLINE_REQUIRE_SERVICES").as_deref() != Ok("1") => {
                eprintln!("{words}");
                false
            }
            _ => panic!("{words}"),
        }
    }

    /// kill -9.
    pub fn kill(&self) {
        if let Ok(pid) = fs::read_to_string(self.root.path().join("node/pid")) {
            let _ = Command::new("kill").args(["-9", pid.trim()]).status();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
