//! HTTP clients, and with them the connection pools.
//!
//! Owns the one place where a reqwest client is built: one per distinct connection setting, so
//! that backends without settings of their own share one. It must not know MCP.

use std::collections::HashMap;
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Identity, Url, redirect, retry};

use super::files;
use crate::config::{BackendConfig, TlsConfig, is_loopback};

/// Who we are to a server, unless the config says otherwise.
pub const USER_AGENT: &str = concat!("sentinel-gateway/", env!("CARGO_PKG_VERSION"));
/// Idle connections that are kept for a host.
pub const MAX_IDLE_PER_HOST: usize = 10;
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// A connection beyond those is kept this long: from one wave of calls to the next.
const BURST_IDLE_TIMEOUT: Duration = Duration::from_secs(1);
/// HTTP/2: a connection that is silent this long under a call is pinged, and is dead when the ping
/// stays unanswered as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The clients of one gateway.
#[derive(Debug, Default, Clone)]
pub struct Pool {
    clients: Arc<Mutex<HashMap<ClientKey, Clients>>>,
}

/// Two pools for one setting. With one alone, 64 calls side by side would close and open most of
/// their connections again and again, since only so many may idle between two waves of answers.
#[derive(Debug, Clone)]
pub struct Clients {
    /// For what goes on all day: few connections, kept long.
    pub kept: Client,
    /// For calls beyond that many at once: any number, gone soon after.
    pub burst: Client,
}

/// What makes two backends need two clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    connect_timeout: Duration,
    /// Proxies from the environment never apply to loopback.
    loopback: bool,
    https: bool,
    tls: TlsConfig,
}

impl Pool {
    /// The clients for a backend, made on first use. Reads certificate files.
    ///
    /// # Errors
    /// In plain words, if a certificate file can't be read or used.
    pub fn clients(&self, config: &BackendConfig, url: &Url) -> Result<Clients, String> {
        let key = ClientKey {
            connect_timeout: config.connect_timeout,
            loopback: is_loopback(url),
            https: url.scheme() == "https",
            tls: config.tls.clone(),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = clients.get(&key) {
            return Ok(made.clone());
        }
        let made = Clients {
            kept: build(&key, MAX_IDLE_PER_HOST, IDLE_TIMEOUT)?,
            burst: build(&key, usize::MAX, BURST_IDLE_TIMEOUT)?,
        };
        clients.insert(key, made.clone());
        Ok(made)
    }
}

fn build(key: &ClientKey, max_idle: usize, idle_for: Duration) -> Result<Client, String> {
    // A second call finds a provider installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .pool_max_idle_per_host(max_idle)
        .pool_idle_timeout(idle_for)
        .connect_timeout(key.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE);
    if key.loopback {
        builder = builder.no_proxy().dns_resolver(Arc::new(LoopbackResolver));
    }
    if key.loopback && !key.https {
        // No TLS can happen here: don't load the system's roots for it.
        builder = builder.tls_certs_only([]);
    }
    if !key.https {
        // Only HTTP/2 says that it has not taken a request: without it, no copy of each is kept for
        // that.
        builder = builder.retry(retry::never().max_retries_per_request(0));
    }
    if let Some(path) = &key.tls.ca_file {
        let pem = read(path, "ca_file")?;
        let roots = Certificate::from_pem_bundle(&pem)
            .map_err(|_| format!("ca_file {} holds no PEM certificate", path.display()))?;
        if roots.is_empty() {
            return Err(format!(
                "ca_file {} holds no PEM certificate",
                path.display()
            ));
        }
        builder = builder.tls_certs_merge(roots);
    }
    if let Some((certificate, key)) = &key.tls.client_cert {
        let mut pem = read(certificate, "client_cert_file")?;
        pem.push(b'\n');
        pem.extend(read(key, "client_key_file")?);
        let identity = Identity::from_pem(&pem).map_err(|_| {
            let (certificate, key) = (certificate.display(), key.display());
            format!("client_cert_file {certificate} and client_key_file {key} are no PEM certificate with its key")
        })?;
        builder = builder.identity(identity);
    }
    builder
        .build()
        .map_err(|error| format!("no HTTP client can be made: {error}"))
}

/// Where `localhost` and what ends in it are. Credentials travel there in the clear and past every
/// proxy, so no name server may say that it is elsewhere.
struct LoopbackResolver;

impl Resolve for LoopbackResolver {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
        let addresses = addresses.map(|address: IpAddr| SocketAddr::new(address, 0));
        let addresses: Addrs = Box::new(addresses.into_iter());
        Box::pin(ready(Ok(addresses)))
    }
}

fn read(path: &Path, key: &str) -> Result<Vec<u8>, String> {
    files::read(path).map_err(|why| format!("{key} {why}"))
}
