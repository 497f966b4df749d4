//! What is wrong with a certificate.
//!
//! Owns the kinds of failure, and what a person can do about each.

/// Whose certificate failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// The server's: of an unknown issuer, or broken.
    Server,
    /// The server's: another host's.
    ServerName,
    /// The server's: expired, or not valid yet.
    ServerDates,
    /// The gateway's: the server wants one, or another one.
    Client,
}

impl CertificateKind {
    /// What a person can do about it.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Client => {
                "the server asks for a client certificate of its own choice: client_cert_file, client_key_file"
            }
            Self::ServerName => {
                "the url must use a name that the certificate has as subjectAltName; openssl req -x509 sets one with -addext"
            }
            Self::ServerDates => "the server needs a new certificate, or a clock is wrong",
            Self::Server => {
                "a private CA goes into ca_file, and so does a certificate that the server has signed itself"
            }
        }
    }
}
