//! The network: HTTP requests, TLS and what clients of Kafka are told, for whatever asks a peer.
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod tls;
