//! The certificate: two PEM files become what a handshake needs, at the start and again whenever they were renewed.
//! Must never know what is said over a connection.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context, bail};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{Error as PemError, PemObject},
        },
    },
};

use crate::server::config::TlsFiles;

/// What is offered in the handshake, best first (RFC 7301, RFC 9113 section 3.2).
const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];

/// The protocol name that means HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";

/// A certificate in use.
pub(super) struct Tls {
    files: TlsFiles,
    /// What the next handshake gets. Those begun before keep what they had.
    now: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    /// # Errors
    /// When a file cannot be read, holds nothing of its kind, or the key is not the certificate's.
    pub(super) fn open(files: TlsFiles) -> anyhow::Result<Self> {
        let now = RwLock::new(read(&files)?);
        Ok(Self { files, now })
    }

    /// Reads the files again. On an error everything stays as it was.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) fn reload(&self) -> anyhow::Result<()> {
        let new = read(&self.files)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.now.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

fn read(TlsFiles { cert, key }: &TlsFiles) -> anyhow::Result<Arc<ServerConfig>> {
    let chain = certificates(cert).with_context(|| format!("--tls-cert {}", cert.display()))?;
    let private = private_key(key).with_context(|| format!("--tls-key {}", key.display()))?;
    // Named, not left to the process: an application may link a second provider.
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| {
            format!(
                "the certificate {} and the key {} cannot be used together",
                cert.display(),
                key.display()
            )
        })?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}

/// The server's own certificate and those between it and the root, in the order of the file.
fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = contents(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.context("is damaged")?;
    if chain.is_empty() {
        bail!("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)");
    }
    Ok(chain)
}

fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    match PrivateKeyDer::from_pem_slice(&contents(path)?) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) => {
            bail!("holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
        }
        Err(error) => Err(error).context("is damaged"),
    }
}

fn contents(path: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = std::fs::read(path).context("cannot be read")?;
    if pem.is_empty() {
        bail!("is empty");
    }
    Ok(pem)
}
