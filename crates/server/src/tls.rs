//! TLS as listeners speak it, and the files it takes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// Where the server's certificate is; both files are PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate, followed by the intermediate ones.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("the TLS {what} {path} cannot be read: {error}")]
    Read {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// A file of PEM without a certificate.
    #[error("the TLS certificate {0} holds no certificate: it has to be a PEM file")]
    NoCertificate(PathBuf),
    /// The certificate and the key cannot be used together, or not at all.
    #[error("the TLS certificate {cert} cannot be used with the key {key}: {error}")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        error: rustls::Error,
    },
}

/// Reads the files. HTTP/2 and HTTP/1.1 are offered, in this order.
pub(crate) fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let certs = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| TlsError::Read {
        what: "key",
        path: files.key.clone(),
        error,
    })?;
    let unusable = |error| TlsError::Unusable {
        cert: files.cert.clone(),
        key: files.key.clone(),
        error,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certs: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| TlsError::Read {
            what: "certificate",
            path: path.to_owned(),
            error,
        })?;
    if certs.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok(certs)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn bad_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let refuse = |cert: PathBuf, key: PathBuf| {
            server_config(&TlsFiles { cert, key })
                .unwrap_err()
                .to_string()
        };
        let missing = dir.path().join("missing.pem");
        let empty = path("empty.pem", "not PEM at all");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let cert = path("cert.pem", &made.cert.pem());
        let key = path("key.pem", &made.signing_key.serialize_pem());
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let other_key = path("other.pem", &other.signing_key.serialize_pem());

        assert!(refuse(missing.clone(), key.clone()).contains("certificate"));
        assert!(refuse(missing, key.clone()).contains("missing.pem"));
        assert!(refuse(empty.clone(), key.clone()).contains("holds no certificate"));
        assert!(refuse(cert.clone(), empty).contains("TLS key"));
        assert!(refuse(cert.clone(), other_key).contains("cannot be used"));
        assert!(server_config(&TlsFiles { cert, key }).is_ok());
    }
}
