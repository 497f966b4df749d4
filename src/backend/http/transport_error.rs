//! Maps reqwest, hyper, h2, rustls and io errors to [`BackendError`].
//!
//! Owns the reading of the error chain: which cause says what became of the request. It must not
//! know what was requested.

use std::error::Error;
use std::io;

use rustls::CertificateError as Invalid;

use crate::backend::error::{BackendError, CertificateKind, ConnectKind, Source};

/// What this error shows, where no response came, or only a part of one.
pub(super) fn classify(error: reqwest::Error) -> BackendError {
    let cause = causes(&error)
        .last()
        .map_or_else(|| "unknown".into(), |cause| in_short(&cause.to_string()));
    let io = find::<io::Error>(&error);
    if io.is_some_and(out_of_descriptors) {
        return BackendError::OutOfResources(format!("this machine is out of resources: {cause}"));
    }
    if error.is_connect() {
        return connect_error(error, &cause);
    }
    if error.is_request() && find::<h2::Error>(&error).is_some_and(was_not_taken) {
        return BackendError::Connect {
            kind: ConnectKind::NotTaken,
            why: format!("the server takes no more requests: {cause}"),
            source: Some(Source::of(error)),
        };
    }
    if let Some(alert) = find_in_io::<rustls::Error>(&error).filter(refuses_our_certificate) {
        return BackendError::Certificate {
            kind: CertificateKind::Client,
            why: format!("TLS: {alert}"),
            source: Some(Source::of(error)),
        };
    }
    let parse = find::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse);
    let malformed = io.is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
        )
    });
    if parse || (malformed && !error.is_request()) {
        return BackendError::BadReply(format!("invalid HTTP response: {cause}"));
    }
    BackendError::ConnectionLost {
        why: cause,
        source: Some(Source::of(error)),
    }
}

/// A cause without the address of the manual that the TLS library appends.
fn in_short(cause: &str) -> String {
    let own_words = cause.split(": https://").next();
    own_words.unwrap_or(cause).to_owned()
}

fn connect_error(error: reqwest::Error, cause: &str) -> BackendError {
    if let Some(tls) = find_in_io::<rustls::Error>(&error) {
        let kind = match tls {
            rustls::Error::AlertReceived(_) => CertificateKind::Client,
            rustls::Error::InvalidCertificate(
                Invalid::NotValidForName | Invalid::NotValidForNameContext { .. },
            ) => CertificateKind::ServerName,
            rustls::Error::InvalidCertificate(
                Invalid::Expired
                | Invalid::ExpiredContext { .. }
                | Invalid::NotValidYet
                | Invalid::NotValidYetContext { .. },
            ) => CertificateKind::ServerDates,
            _ => CertificateKind::Server,
        };
        return BackendError::Certificate {
            kind,
            why: format!("TLS: {tls}"),
            source: Some(Source::of(error)),
        };
    }
    let io = find::<io::Error>(&error).map(io::Error::kind);
    let (kind, why) = match io {
        _ if error.is_timeout() => (ConnectKind::Timeout, "connect timeout".into()),
        _ if error.is_dns() => {
            let why = format!("the name can't be resolved: {cause}");
            (ConnectKind::Dns, why)
        }
        Some(io::ErrorKind::ConnectionRefused) => {
            (ConnectKind::Refused, "connection refused".into())
        }
        _ => (ConnectKind::Other, format!("no connection: {cause}")),
    };
    BackendError::Connect {
        kind,
        why,
        source: Some(Source::of(error)),
    }
}

/// An error's causes, outermost first. The error itself is left out, since it names our URL.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

fn find<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// rustls errors travel inside `io::Error`s, which hide them from `source()`.
fn find_in_io<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(|cause| {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        let mut inner = cause.downcast_ref::<io::Error>()?.get_ref()?;
        loop {
            if let Some(found) = inner.downcast_ref() {
                return Some(found);
            }
            inner = inner.downcast_ref::<io::Error>()?.get_ref()?;
        }
    })
}

/// HTTP/2 refuses a stream, or ends a connection before a stream, only where the request was not
/// processed (RFC 9113, section 8.7).
fn was_not_taken(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let going_away = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || going_away)
}

/// With TLS 1.3 a server checks our certificate after we have begun to send; it reads nothing of
/// the request before.
fn refuses_our_certificate(error: &&rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        error,
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
        )
    )
}

/// EMFILE and ENFILE (WSAEMFILE on Windows).
fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24 | 10024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_is_cut_from_a_cause() {
        let cause = "peer closed connection without sending TLS close_notify";
        let with_manual = format!("{cause}: https://docs.rs/rustls/latest/rustls/manual");
        assert_eq!(in_short(&with_manual), cause);
        assert_eq!(
            in_short("connection reset: by peer"),
            "connection reset: by peer"
        );
    }
}
