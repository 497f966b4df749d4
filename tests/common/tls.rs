//! TLS in front of a fake backend, with valid and invalid certificates that are generated at run
//! time.

use std::sync::{Arc, Condvar, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::PATIENCE;
use super::fake::RUNTIME;

/// A certificate authority for one test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its key.
pub struct Identity {
    certificate_pem: String,
    key_pem: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Its certificate as a file for `ca_file`.
    pub fn file(&self) -> NamedTempFile {
        file(&self.pem)
    }

    /// Issues a certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.sign(params(names))
    }

    /// Issues one that has expired.
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity::new(&certificate, &key)
    }
}

impl Identity {
    /// A self-signed certificate.
    pub fn self_signed(names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names).self_signed(&key).unwrap();
        Self::new(&certificate, &key)
    }

    /// One as `openssl req -x509` makes it: that of an authority, though a server has it.
    pub fn self_signed_authority(names: &[&str]) -> Self {
        Self::self_signed_with(names, |_| {})
    }

    /// The same, valid from the beginning of one year to that of another.
    pub fn self_signed_in(names: &[&str], from: i32, to: i32) -> Self {
        Self::self_signed_with(names, |params| {
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        })
    }

    fn self_signed_with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        Self::new(&params.self_signed(&key).unwrap(), &key)
    }

    /// The certificate, as PEM.
    pub fn pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Certificate and key as files.
    pub fn files(&self) -> [NamedTempFile; 2] {
        [&self.certificate_pem, &self.key_pem].map(|pem| file(pem))
    }

    fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        }
    }

    /// A TLS server with this certificate and ALPN protocol. With `clients` it requires a client
    /// certificate of that authority.
    pub fn acceptor(&self, clients: Option<&Authority>, protocol: Option<&[u8]>) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer_der()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = builder
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Authority {
    fn issuer_der(&self) -> CertificateDer<'static> {
        use rustls::pki_types::pem::PemObject;
        CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()
    }
}

/// A file with this text, as for `ca_file`.
pub fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

/// A TLS endpoint on 127.0.0.1 in front of a plain server.
pub struct TlsProxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    one_less: Condvar,
}

#[derive(Default)]
struct State {
    /// `None`: connections are accepted, and their handshakes never answered.
    acceptor: Option<TlsAcceptor>,
    connections: usize,
    handshakes: usize,
    /// Open connections with a completed handshake.
    open: usize,
    /// Connections whose handshakes are never answered.
    held: Vec<TcpStream>,
}

impl TlsProxy {
    /// Forwards the decrypted bytes to this port.
    pub fn before(port: u16, acceptor: TlsAcceptor) -> Self {
        Self::handling(acceptor, move |mut encrypted| async move {
            if let Ok(mut plain) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = copy_bidirectional(&mut encrypted, &mut plain).await;
            }
        })
    }

    /// Runs `handle` on every connection.
    pub fn handling<F>(
        acceptor: TlsAcceptor,
        handle: impl Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let front = Self {
            port,
            shared: Arc::default(),
        };
        front.set_acceptor(Some(acceptor));
        let (shared, handle) = (Arc::clone(&front.shared), Arc::new(handle));
        RUNTIME.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (shared, handle) = (Arc::clone(&shared), Arc::clone(&handle));
                if let Some((acceptor, stream)) = shared.take(stream) {
                    RUNTIME.spawn(async move {
                        if let Ok(encrypted) = acceptor.accept(stream).await {
                            shared.opened();
                            handle(encrypted).await;
                            shared.closed();
                        }
                    });
                }
            }
        });
        front
    }

    /// Sets the acceptor of further connections; `None` leaves their handshakes unanswered.
    pub fn set_acceptor(&self, acceptor: Option<TlsAcceptor>) {
        self.shared.state.lock().unwrap().acceptor = acceptor;
    }

    /// Blocks the test until no connection is open.
    pub fn wait_until_closed(&self) {
        let state = self.shared.state.lock().unwrap();
        let one_less = &self.shared.one_less;
        let waited = one_less.wait_timeout_while(state, PATIENCE, |state| state.open > 0);
        let (state, _) = waited.unwrap();
        assert_eq!(state.open, 0, "encrypted connections stay open");
    }

    /// Its URL with this host name or address.
    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/mcp", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.state.lock().unwrap().connections
    }

    /// How many handshakes were completed.
    pub fn handshakes(&self) -> usize {
        self.shared.state.lock().unwrap().handshakes
    }
}

impl Shared {
    /// Registers a connection. `None` if its handshake is not to be answered.
    fn take(&self, stream: TcpStream) -> Option<(TlsAcceptor, TcpStream)> {
        let mut state = self.state.lock().unwrap();
        state.connections += 1;
        let Some(acceptor) = state.acceptor.clone() else {
            state.held.push(stream);
            return None;
        };
        Some((acceptor, stream))
    }

    fn opened(&self) {
        let mut state = self.state.lock().unwrap();
        state.handshakes += 1;
        state.open += 1;
    }

    fn closed(&self) {
        self.state.lock().unwrap().open -= 1;
        self.one_less.notify_all();
    }
}
