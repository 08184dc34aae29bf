//! HTTP requests over kept connections.
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::tls::TlsOptions;
use crate::limits::{HTTP_CONNECT_TIMEOUT_MS, HTTP_REPLY_BYTES_MAX};

/// What a peer answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The beginning of the body, for a message.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().take(300).collect()
    }
}

/// See the module.
pub struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpClient {
    /// A client. `timeout`: for a whole request and its reply.
    pub fn new(tls: &TlsOptions, timeout: Duration) -> Result<HttpClient, String> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_millis(HTTP_CONNECT_TIMEOUT_MS)));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls.client()?).https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(HttpClient { client, timeout, headers: Vec::new() })
    }

    /// Sends a header with every request. A secret never shows in a message.
    pub fn with_header(mut self, name: &'static str, value: &str, is_secret: bool) -> Result<HttpClient, String> {
        let mut value = HeaderValue::from_str(value).map_err(|_| format!("`{name}` holds characters that no header may hold"))?;
        value.set_sensitive(is_secret);
        self.headers.push((HeaderName::from_static(name), value));
        Ok(self)
    }

    /// Sends a request and reads the whole reply. An error is the network's: the peer may have taken the request all the same.
    pub async fn send(&self, method: Method, uri: &Uri, headers: &[(&'static str, &str)], body: Bytes) -> Result<Reply, String> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).map_err(|e| e.to_string())?;
        let answer = async {
            let reply = self.client.request(request).await.map_err(|e| chain(&e))?;
            let status = reply.status();
            let body =
                Limited::new(reply.into_body(), HTTP_REPLY_BYTES_MAX).collect().await.map_err(|e| format!("its reply broke off: {e}"))?;
            Ok(Reply { status: status.as_u16(), body: body.to_bytes() })
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no reply within {} s", self.timeout.as_secs_f64())),
        }
    }
}

/// An error with what caused it.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut out = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !out.contains(&text) {
            out = format!("{out}: {text}");
        }
        next = cause.source();
    }
    out
}

/// The address of a peer, without a slash at its end. Otherwise what is wrong with it and what to do; `instead`: where a password belongs.
pub fn address(text: &str, instead: &'static str) -> Result<String, (&'static str, &'static str)> {
    let base = text.trim_end_matches('/');
    let uri = base.parse::<Uri>().ok().filter(|u| matches!(u.scheme_str(), Some("http" | "https")));
    match uri.as_ref().and_then(Uri::authority) {
        None => Err(("an address such as https://es-1:9200 is expected", "with http:// or https:// before it")),
        Some(authority) if authority.as_str().contains('@') => Err(("an address must not hold a password", instead)),
        Some(_) => Ok(base.to_owned()),
    }
}

/// A status in words.
pub fn status_text(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
    format!("{status} {reason}").trim_end().to_owned()
}
