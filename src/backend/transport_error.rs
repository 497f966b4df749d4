//! What it means that a connection didn't come about, or broke.
//!
//! Owns reading the errors of the HTTP stack: which of its causes says what became of the request.
//! It must not know what was asked, nor of whom.

use std::error::Error;
use std::io;

use super::error::BackendError;

/// What this error shows, where no response, or not all of it, came.
pub(super) fn classify(error: &reqwest::Error) -> BackendError {
    let cause = causes(error)
        .last()
        .map_or_else(|| "unknown".into(), |cause| in_short(&cause.to_string()));
    let io = find::<io::Error>(error);
    if let Some(kind) = io
        && out_of_descriptors(kind)
    {
        return BackendError::OutOfResources(format!("this machine is out of resources: {cause}"));
    }
    if error.is_connect() {
        return connect_error(error, cause);
    }
    if error.is_request() && find::<h2::Error>(error).is_some_and(was_not_taken) {
        return BackendError::Connect(format!("the server takes no more requests: {cause}"));
    }
    if let Some(alert) = find_in_io::<rustls::Error>(error).filter(refuses_our_certificate) {
        return BackendError::Certificate(format!("TLS: {alert}"));
    }
    let parse = find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse);
    let malformed = io.is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
        )
    });
    if parse || (malformed && !error.is_request()) {
        return BackendError::BadReply(format!("not HTTP as it should be: {cause}"));
    }
    BackendError::ConnectionLost(cause)
}

/// A cause without the address of a manual for programmers, which the TLS library adds.
fn in_short(cause: &str) -> String {
    let own_words = cause.split(": https://").next();
    own_words.unwrap_or(cause).to_owned()
}

fn connect_error(error: &reqwest::Error, cause: String) -> BackendError {
    if let Some(tls) = find_in_io::<rustls::Error>(error) {
        return BackendError::Certificate(format!("TLS: {tls}"));
    }
    if error.is_timeout() {
        return BackendError::Connect("connect timeout".into());
    }
    if error.is_dns() {
        return BackendError::Connect(format!("the name can't be resolved: {cause}"));
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => {
            BackendError::Connect("connection refused".into())
        }
        _ => BackendError::Connect(format!("no connection: {cause}")),
    }
}

/// An error's causes, outermost first. The error itself is left out: it names our URL.
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

/// HTTP/2 says of a stream that it was refused, or of a connection that it was ended before the
/// stream, only where nothing was done with the request (RFC 9113, section 8.7).
fn was_not_taken(error: &h2::Error) -> bool {
    let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    let going_away = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
    error.is_remote() && (refused || going_away)
}

/// With TLS 1.3 a server looks at our certificate when we have begun to send; what we sent is not
/// looked at before.
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
    fn a_cause_is_told_without_the_manual() {
        let cause = "peer closed connection without sending TLS close_notify";
        let told = format!("{cause}: https://docs.rs/rustls/latest/rustls/manual");
        assert_eq!(in_short(&told), cause);
        assert_eq!(
            in_short("connection reset: by peer"),
            "connection reset: by peer"
        );
    }
}
