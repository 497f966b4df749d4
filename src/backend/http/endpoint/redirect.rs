//! Which other addresses of a server are used.
//!
//! Owns that neither header nor body ever reaches another origin, or a server at this origin that the
//! administrator's file has for itself. It must not know what is sent.

use reqwest::Url;
use reqwest::header::LOCATION;

use super::Endpoint;
use super::Response;
use crate::backend::error::BackendError;
use crate::config::Place;

impl Endpoint {
    /// Resolves `target` against the URL of the response that names it, if the origin is the backend's.
    ///
    /// # Errors
    /// The target without secrets, and what keeps it from being used.
    pub(crate) fn within_origin(&self, named_by: &Url, target: &str) -> Result<Url, String> {
        match named_by.join(target) {
            Ok(url) if url.origin() == self.url.origin() && !self.is_closed(&url) => {
                self.note_place(&url);
                Ok(url)
            }
            Ok(url) => {
                let why = match self.is_closed(&url) {
                    true => "which the administrator's file has for itself",
                    false => "which is another origin",
                };
                let shown = self.snippet(without_secrets(&url).as_bytes());
                Err(format!("{shown}, {why}"))
            }
            Err(_) => {
                let shown = self.snippet(target.as_bytes());
                Err(format!("{shown}, which is no address"))
            }
        }
    }

    /// The target of a redirect that may be followed: 307 or 308 within the same origin. Neither
    /// header nor body is ever sent to another one. A server behind a proxy that ends TLS names
    /// itself by http: that is followed by https.
    pub(super) fn redirect(&self, response: &Response) -> Result<Url, BackendError> {
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| response.url().join(location).ok());
        let followed = matches!(response.status().as_u16(), 307 | 308);
        match target.map(|target| self.without_downgrade(target)) {
            Some(url) if followed && url.origin() == self.url.origin() && !self.is_closed(&url) => {
                self.note_place(&url);
                Ok(url)
            }
            Some(url) => Err(BackendError::Redirected {
                target: self.snippet(without_secrets(&url).as_bytes()),
                is_closed: self.is_closed(&url),
            }),
            None => Err(BackendError::Redirected {
                target: "an address that can't be read".into(),
                is_closed: false,
            }),
        }
    }

    /// Whether the administrator's file has the server there for itself.
    fn is_closed(&self, url: &Url) -> bool {
        self.closed.has(&Place::of(url))
    }

    /// Requests go there from now on.
    fn note_place(&self, url: &Url) {
        if Place::of(url) != Place::of(&self.url) {
            self.closed.note_elsewhere();
        }
    }

    /// The target with https and our port, if it names our own https server by http; else as it is.
    fn without_downgrade(&self, target: Url) -> Url {
        let named_by_http = self.url.scheme() == "https"
            && target.scheme() == "http"
            && target.host() == self.url.host()
            && (target.port().is_none() || target.port() == self.url.port());
        let mut upgraded = target.clone();
        let changed =
            upgraded.set_scheme("https").is_ok() && upgraded.set_port(self.url.port()).is_ok();
        if named_by_http && changed {
            upgraded
        } else {
            target
        }
    }
}

/// Scheme, host and path of a URL: the parts that may be shown.
fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}
