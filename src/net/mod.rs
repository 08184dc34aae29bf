//! The network: HTTP requests and TLS, for sinks and whatever else asks a peer.
pub mod http;
pub mod tls;
