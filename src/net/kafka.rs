//! What every client of Kafka is told: brokers, TLS, SASL, and what it says of its peers.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;

use super::tls::{TLS, TlsOptions};
use crate::config::{Field, Options, Type};
use crate::diagnostic::Diagnostic;
use crate::limits::KAFKA_TIMEOUT_MS;

/// How long a request to the brokers may take.
pub const TIMEOUT: Duration = Duration::from_millis(KAFKA_TIMEOUT_MS);

/// The option `brokers` of whatever speaks to them.
pub const BROKERS: Field = Field::required("brokers", Type::Texts, "addresses of some brokers, as in kafka-1:9092");
/// The option `tls`.
pub const TLS_OPTION: Field = Field::optional("tls", Type::Section(TLS), "TLS to the brokers; `tls: {}` trusts the system's authorities");
/// The option `sasl`.
pub const SASL_OPTION: Field = Field::optional("sasl", Type::Section(SASL), "who asks");

/// Options of `sasl:`.
const SASL: &[Field] = &[
    Field::optional("mechanism", Type::Word(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]), "how the password is shown; default PLAIN"),
    Field::required("user", Type::Text, "the user"),
    Field::required("password", Type::Secret, "the password: a text, {env: NAME} or {file: PATH}"),
];

/// Who the brokers are and who asks.
#[derive(Clone)]
pub struct KafkaOptions {
    brokers: String,
    tls: Option<TlsOptions>,
    /// Mechanism, user, password.
    sasl: Option<(String, String, String)>,
}

impl KafkaOptions {
    /// Reads `brokers`, `tls` and `sasl`.
    pub fn read(options: &Options<'_>) -> Option<KafkaOptions> {
        let brokers = options.texts("brokers").into_iter().filter_map(|(text, place)| {
            let is_fine = text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            if !is_fine {
                let fault = Diagnostic::error(&place, "bad_broker", format!("`{text}` is no address of a broker"));
                options.fault(fault.help("HOST:PORT, as in kafka-1:9092"));
            }
            is_fine.then_some(text)
        });
        let brokers: Vec<String> = brokers.collect();
        let tls = options.has("tls").then(|| TlsOptions::read(options));
        let sasl = match options.section("sasl") {
            None => None,
            Some(s) => Some((s.text("mechanism").unwrap_or_else(|| "PLAIN".to_owned()), s.text("user")?, s.secret("password")?)),
        };
        (!brokers.is_empty()).then(|| KafkaOptions { brokers: brokers.join(","), tls, sasl })
    }

    /// The brokers, for messages.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// A configuration that holds what they say.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "tripline");
        config.set("reconnect.backoff.ms", "100").set("reconnect.backoff.max.ms", "2000").set("socket.nagle.disable", "true");
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            // The place of the system's authorities differs from one system to the next.
            config.set("ssl.ca.location", tls.ca().map_or("probe".to_owned(), |path| path.display().to_string()));
            if let Some((cert, key)) = tls.own() {
                config.set("ssl.certificate.location", cert.display().to_string());
                config.set("ssl.key.location", key.display().to_string());
            }
        }
        if let Some((mechanism, user, password)) = &self.sasl {
            config.set("sasl.mechanism", mechanism).set("sasl.username", user).set("sasl.password", password);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

/// What a member of a consumer group claims for a transaction of the same cluster.
pub struct GroupClaim {
    /// The cluster's id.
    pub cluster: String,
    /// Topic, partition and the offset of the next message.
    pub offsets: Vec<(String, i32, i64)>,
    /// Who the member is now; none once partitions were lost whose messages are under way, and with them the right to commit.
    pub member: Box<dyn Fn() -> Option<ConsumerGroupMetadata> + Send + Sync>,
}

const UNTRUSTED: &str =
    "the broker's certificate is not trusted: `tls: {ca}` names no authority that it is of, it is another host's, or it has expired";

/// What a client said last of its brokers.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// Remembers a line of the client's log, if it is about trouble.
    pub fn log(&self, level: RDKafkaLogLevel, message: &str) {
        if (level as i32) <= RDKafkaLogLevel::Warning as i32 {
            self.note(message);
        }
    }

    /// An error, with what the client said last.
    pub fn words(&self, error: &KafkaError) -> String {
        self.take().map_or_else(|| words(error), |more| format!("{}: {more}", words(error)))
    }

    /// Remembers it.
    pub fn note(&self, words: &str) {
        // `[thrd:sasl_ssl://host:9093/bootstrap]: sasl_ssl://host:9093/bootstrap: what happened (after 3ms in state …)`
        let words = words.split_once("]: ").map_or(words, |(_, rest)| rest);
        // What the client advises then are settings of its own.
        let why = ["SSL handshake failed", "error:"].iter().find_map(|why| words.find(why));
        let words = match why.filter(|_| words.contains("certificate verify failed")) {
            Some(why) => &format!("{}{UNTRUSTED}", &words[..why]),
            None => words,
        };
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // That no broker is there says less than why.
        if held.is_none() || !words.ends_with("brokers are down") {
            *held = Some(words.to_owned());
        }
    }

    /// Takes it.
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An error without what stands in the configuration: a password may be there.
pub fn words(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, what, key, _) => format!("{key}: {what}"),
        other => match other.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_brokers_are_away_is_kept_and_told_in_our_words() {
        let trouble = Trouble::default();
        for line in [
            "[thrd:ssl://h:1/bootstrap]: ssl://h:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate",
            "ssl://h:1/bootstrap: error:0A000086:SSL routines::certificate verify failed (after 81ms in state SSL_HANDSHAKE)",
        ] {
            trouble.note(line);
            trouble.note("1/1 brokers are down");
            assert_eq!(trouble.take(), Some(format!("ssl://h:1/bootstrap: {UNTRUSTED}")));
        }
        trouble.note("1/1 brokers are down");
        assert_eq!(trouble.take().as_deref(), Some("1/1 brokers are down"));
    }
}
