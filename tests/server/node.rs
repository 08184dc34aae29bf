//! A real Elasticsearch or OpenSearch, and what a test asks it.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Server;

/// A node, killed when the test is over.
pub struct Node {
    pub server: Server,
    /// Of one that speaks TLS: the authority, and who asks, as `Authorization` says it.
    secure: Option<(PathBuf, &'static str)>,
}

impl Node {
    /// Starts one; none where the test is skipped.
    pub fn start(script: &'static [&'static str], line: &str) -> Option<Node> {
        Server::start(script, |_| vec![line.to_owned()]).map(|server| Node { server, secure: None })
    }

    /// Starts an Elasticsearch with TLS and users, from a folder as `node.sh` wants it. `asks`: who asks it.
    pub fn start_secure(folder: &Path, asks: &'static str) -> Option<Node> {
        let secure = Some((folder.join("ca.pem"), asks));
        Server::start(&["node.sh", "es"], |_| vec![format!("--secure={}", folder.display())]).map(|server| Node { server, secure })
    }

    pub fn url(&self) -> String {
        let scheme = if self.secure.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.server.port)
    }

    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let asks = self.secure.as_ref().map(|(_, asks)| format!("authorization: {asks}\r\n")).unwrap_or_default();
        let head = format!("{method} {path} HTTP/1.0\r\n{asks}content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        let reply = self.answer(&(head + body));
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { joined(body) } else { body.to_owned() };
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    fn answer(&self, request: &str) -> String {
        let mut reply = String::new();
        let Some((authority, _)) = &self.secure else {
            let mut stream = TcpStream::connect(("127.0.0.1", self.server.port)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_to_string(&mut reply).unwrap();
            return reply;
        };
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-verify_return_error", "-connect", &format!("127.0.0.1:{}", self.server.port), "-CAfile"]);
        let mut client = openssl.arg(authority).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = client.stdin.take().unwrap();
        stdin.write_all(request.as_bytes()).unwrap();
        client.stdout.take().unwrap().read_to_string(&mut reply).unwrap();
        client.wait().unwrap();
        reply
    }

    /// How many documents an index holds.
    pub fn count(&self, index: &str) -> u64 {
        self.ask("POST", &format!("/{index}/_refresh"), "");
        self.ask("GET", &format!("/{index}/_count"), "").1["count"].as_u64().unwrap_or(0)
    }
}

/// The chunks of a body as one.
fn joined(mut chunks: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n")
        && let Ok(size @ 1..) = usize::from_str_radix(size.trim(), 16)
    {
        out.push_str(&rest[..size]);
        chunks = &rest[size + 2..];
    }
    out
}
