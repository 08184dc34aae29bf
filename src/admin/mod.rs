//! The admin port: metrics, health and lists over HTTP/1.1, on loopback.
mod lists;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::list::SharedList;
use crate::metrics::Registry;
use crate::runtime::sender::Health;

/// Where it listens if nothing else is said; any free port if that is taken.
pub const DEFAULT: &str = "127.0.0.1:9617";
/// Longest request head that is read.
const HEAD_MAX: u64 = 16 * 1024;

/// What the port shows.
#[derive(Clone, Default)]
pub struct Shown {
    /// Counters.
    pub registry: Registry,
    /// Last durable epoch.
    pub epoch: Arc<AtomicU64>,
    /// How sinks fare.
    pub health: Arc<Mutex<BTreeMap<String, Arc<Health>>>>,
    /// Lists that events write, by name.
    pub lists: Arc<Mutex<BTreeMap<String, Arc<SharedList>>>>,
}

/// Starts to listen. Returns the address; none where no port could be had, which is never fatal.
pub fn listen(address: &str, shown: Shown) -> Option<String> {
    let listener = TcpListener::bind(address).or_else(|_| TcpListener::bind("127.0.0.1:0")).ok()?;
    let bound = listener.local_addr().ok()?.to_string();
    std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                // One at a time: pages that are made in microseconds, and lists, which are for people.
                let _ = answer(stream, &shown);
            }
        })
        .ok()?;
    Some(bound)
}

fn answer(stream: TcpStream, shown: &Shown) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_secs(2)))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(HEAD_MAX));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut stream = stream;
    let request = first.split(' ').take(2).collect::<Vec<_>>();
    if let ["GET", path] = request.as_slice()
        && let Some(name) = path.strip_prefix("/lists/")
        && let Some(list) = shown.lists.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/csv; charset=utf-8\r\nConnection: close\r\n\r\n")?;
        return lists::write(&list, &mut stream);
    }
    let (status, kind, body) = match request.as_slice() {
        ["GET", "/metrics"] => ("200 OK", "text/plain; version=0.0.4", shown.registry.render()),
        ["GET", "/health"] => health(shown),
        ["GET", _] => {
            ("404 Not Found", "text/plain", "there is /metrics, /health, and /lists/NAME of lists that events write\n".to_owned())
        }
        _ => ("405 Method Not Allowed", "text/plain", "GET only\n".to_owned()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn health(shown: &Shown) -> (&'static str, &'static str, String) {
    let nodes = shown.health.lock().unwrap_or_else(PoisonError::into_inner);
    let words: BTreeMap<&String, &str> = nodes.iter().map(|(n, h)| (n, h.word())).collect();
    let fine = words.values().all(|w| *w != "held");
    let status = if fine { "ok" } else { "held" };
    let body = serde_json::json!({"status": status, "epoch": shown.epoch.load(Ordering::Relaxed), "nodes": words});
    (if fine { "200 OK" } else { "503 Service Unavailable" }, "application/json", format!("{body}\n"))
}
