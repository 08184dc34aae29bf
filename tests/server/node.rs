//! A real Elasticsearch or OpenSearch, and what a test asks it.
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::Server;

/// A node, killed when the test is over.
pub struct Node(pub Server);

impl Node {
    /// Starts one; none where the test is skipped.
    pub fn start(script: &'static [&'static str], line: &str) -> Option<Node> {
        Server::start(script, |_| vec![line.to_owned()]).map(Node)
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }

    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.0.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let head = format!("{method} {path} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if is_chunked { joined(body) } else { body.to_owned() };
        (status, serde_json::from_str(&body).unwrap_or_default())
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
