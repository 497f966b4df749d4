//! HTTP clients and their connection pools.
//!
//! Owns the one place where a [`reqwest::Client`] is built: one pair for each distinct
//! [`ClientKey`], so backends with the same connection settings share a pair. It must not know
//! backends or MCP.

mod verifier;

use std::collections::HashMap;
use std::error::Error;
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Identity, redirect, retry};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::address::is_private;
use crate::files::{MAX_CERTIFICATES, read_configured};
use crate::sync::Mutex;
use verifier::FileVerifier;

/// `User-Agent` of every request, unless the config sets another.
pub(crate) const USER_AGENT: &str = concat!("sentinel-gateway/", env!("CARGO_PKG_VERSION"));
/// Most idle connections of the kept client to one host.
pub(crate) const MAX_IDLE_PER_HOST: usize = 10;
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// How long the burst client keeps idle connections: from one burst of calls to the next.
const BURST_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// A host is not asked.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("it is at a private address")]
pub(crate) struct PrivateAddress;

/// HTTP/2: a connection with an open request and no traffic is pinged after this time, and closed
/// if the ping is not answered within the same time.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The clients of the process, by their settings. Clones share them.
#[derive(Debug, Default, Clone)]
pub struct Pool {
    clients: Arc<Mutex<HashMap<ClientKey, Clients>>>,
}

/// Two clients with the same settings. With only the first, 64 concurrent calls would close and
/// reopen most of their connections, since only [`MAX_IDLE_PER_HOST`] may be idle between two
/// bursts.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// Keeps few idle connections for a long time.
    pub(crate) kept: Client,
    /// For more than [`MAX_IDLE_PER_HOST`] concurrent requests and for long-lived streams: any
    /// number of connections, closed soon after use.
    pub(crate) burst: Client,
}

/// The settings that make two backends need two clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClientKey {
    /// Time limit for TCP and TLS together.
    pub(crate) connect_timeout: Duration,
    /// The host is loopback: no proxy from the environment and no name server is used.
    pub(crate) loopback: bool,
    /// The scheme is https.
    pub(crate) https: bool,
    /// A PEM bundle that is trusted in addition to the system's roots.
    pub(crate) ca_file: Option<PathBuf>,
    /// A PEM client certificate chain, and its PEM key.
    pub(crate) client_cert: Option<(PathBuf, PathBuf)>,
    /// A host whose addresses must all be public. That of a proxy need not be.
    pub(crate) public_host: Option<String>,
}

impl Pool {
    /// The clients for these settings. Built on first use, which reads certificate files.
    ///
    /// # Errors
    /// A message for the user if a certificate file can't be read or used.
    pub(crate) async fn clients(&self, key: ClientKey) -> Result<Clients, String> {
        if let Some(built) = self.clients.lock().get(&key) {
            return Ok(built.clone());
        }
        let certificates = Certificates::read(&key).await?;
        let built = Clients {
            kept: build(&key, &certificates, MAX_IDLE_PER_HOST, IDLE_TIMEOUT)?,
            burst: build(&key, &certificates, usize::MAX, BURST_IDLE_TIMEOUT)?,
        };
        // Another backend may have built the same clients meanwhile: all share the first.
        Ok(self.clients.lock().entry(key).or_insert(built).clone())
    }
}

/// The contents of the certificate files.
#[derive(Default)]
struct Certificates {
    /// The certificates of `ca_file`.
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Identity>,
    /// The client certificate and its key, as PEM.
    identity_pem: Vec<u8>,
}

impl Certificates {
    async fn read(key: &ClientKey) -> Result<Self, String> {
        let mut certificates = Self::default();
        if let Some(path) = &key.ca_file {
            let pem = read(path, "ca_file").await?;
            let roots = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            let roots = roots.unwrap_or_default();
            if roots.is_empty() {
                let path = path.display();
                return Err(format!("ca_file {path} holds no PEM certificate"));
            }
            certificates.roots = roots;
        }
        if let Some((certificate, key)) = &key.client_cert {
            let mut pem = read(certificate, "client_cert_file").await?;
            pem.push(b'\n');
            pem.extend(read(key, "client_key_file").await?);
            let identity = Identity::from_pem(&pem).map_err(|_| {
                let (certificate, key) = (certificate.display(), key.display());
                format!("client_cert_file {certificate} and client_key_file {key} are not a PEM certificate and its key")
            })?;
            certificates.identity = Some(identity);
            certificates.identity_pem = pem;
        }
        Ok(certificates)
    }
}

fn build(
    key: &ClientKey,
    certificates: &Certificates,
    max_idle: usize,
    idle_timeout: Duration,
) -> Result<Client, String> {
    // Fails if a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();

    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that builds clients"
    )]
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(max_idle)
        .pool_idle_timeout(idle_timeout)
        .connect_timeout(key.connect_timeout)
        .tcp_nodelay(true)
        // Bodies are decoded where they are read, in turns and with a limit.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        // By default reqwest sends a request again that an HTTP/2 server refused: such attempts
        // would be in no count and no log. `backend::retry` decides.
        .retry(retry::never().max_retries_per_request(0));
    if key.loopback {
        builder = builder.no_proxy().dns_resolver(Arc::new(LoopbackResolver));
    }
    if let Some(host) = &key.public_host {
        let host = host.clone();
        builder = builder.dns_resolver(Arc::new(PublicResolver { host }));
    }
    if key.loopback && !key.https {
        // TLS is not used: don't load the system's roots.
        builder = builder.tls_certs_only([]);
    }
    if !certificates.roots.is_empty() {
        builder = builder.tls_backend_preconfigured(trusting_file(certificates)?);
    } else if let Some(identity) = &certificates.identity {
        builder = builder.identity(identity.clone());
    }
    builder
        .build()
        .map_err(|error| format!("the HTTP client can't be built: {}", cause(&error)))
}

/// The settings of TLS where there is a `ca_file`.
fn trusting_file(certificates: &Certificates) -> Result<ClientConfig, String> {
    let refused = |error: &dyn Error| format!("TLS can't be set up: {}", cause(error));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = certificates.roots.clone();
    let verifier =
        FileVerifier::new(roots, Arc::clone(&provider)).map_err(|error| refused(&error))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let pem = &certificates.identity_pem;
    let mut config = if pem.is_empty() {
        config.with_no_client_auth()
    } else {
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| refused(&error))?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| refused(&error))?;
        let config = config.with_client_auth_cert(chain, key);
        config.map_err(|error| refused(&error))?
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The error underneath all others, which says most, and names no URL.
pub(crate) fn cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Resolves `localhost` and names below it to loopback addresses. Credentials are sent there
/// without TLS and without a proxy, so no name server may give another address.
struct LoopbackResolver;

impl Resolve for LoopbackResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
        let addresses = addresses.map(|address: IpAddr| SocketAddr::new(address, 0));
        let addresses: Addrs = Box::new(addresses.into_iter());
        Box::pin(ready(Ok(addresses)))
    }
}

/// Resolves names as the system does, but refuses private addresses of one host. What is checked is
/// what is connected to, so that a second answer can't be another one.
struct PublicResolver {
    host: String,
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_checked = name.as_str().eq_ignore_ascii_case(&self.host);
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = addresses.collect();
            if is_checked && addresses.iter().any(|address| is_private(address.ip())) {
                return Err(PrivateAddress.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

async fn read(path: &Path, key: &str) -> Result<Vec<u8>, String> {
    read_configured(path, MAX_CERTIFICATES)
        .await
        .map_err(|why| format!("{key} {why}"))
}
