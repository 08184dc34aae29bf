//! TLS of clients: peers are verified against the system's authorities, or against one's own; a client may show a certificate.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{Field, Options, Type};

/// Options of `tls:`.
pub const TLS: &[Field] = &[
    Field::optional("ca", Type::Text, "a file of authorities that the peer's certificate must come from; default: those of the system"),
    Field::optional("cert", Type::Text, "a file with the certificate that is shown to the peer"),
    Field::optional("key", Type::Text, "a file with its key"),
];

/// What `tls:` says.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    ca: Option<PathBuf>,
    own: Option<(PathBuf, PathBuf)>,
}

impl TlsOptions {
    /// Reads the section.
    pub fn read(options: &Options<'_>) -> TlsOptions {
        let Some(section) = options.section("tls") else { return TlsOptions::default() };
        let path = |key: &str| section.path(key).map(|(path, _)| path);
        let own = match (path("cert"), path("key")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                let fault = crate::diagnostic::Diagnostic::error(section.place(), "bad_tls", "`cert` and `key` go together");
                section.fault(fault.help("name both, or none"));
                None
            }
        };
        TlsOptions { ca: path("ca"), own }
    }

    /// The file of authorities.
    pub fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The files of one's own certificate and its key.
    pub fn own(&self) -> Option<(&Path, &Path)> {
        self.own.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()))
    }

    /// The configuration of a client. The error names the file at fault.
    pub fn client(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for authority in certificates(path)? {
                    roots.add(authority).map_err(|e| format!("{}: {e}", path.display()))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
        let builder = builder.with_root_certificates(roots);
        let Some((cert, key)) = &self.own else { return Ok(builder.with_no_client_auth()) };
        let own_key = PrivateKeyDer::from_pem_file(key).map_err(|e| format!("{}: {e}", key.display()))?;
        builder.with_client_auth_cert(certificates(cert)?, own_key).map_err(|e| format!("{}: {e}", cert.display()))
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let fault = |e: rustls::pki_types::pem::Error| format!("{}: {e}", path.display());
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(fault)?.collect();
    let all = all.map_err(fault)?;
    if all.is_empty() { Err(format!("{}: no certificate in it", path.display())) } else { Ok(all) }
}
