//! Which redirects of a backend are followed.

use reqwest::header::LOCATION;
use reqwest::{Response, Url};

use super::endpoint::{Endpoint, without_secrets};
use crate::backend::error::BackendError;

impl Endpoint {
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
            Some(url) if followed && url.origin() == self.url().origin() => Ok(url),
            Some(url) => Err(BackendError::Redirected {
                target: self.snippet(without_secrets(&url).as_bytes()),
            }),
            None => Err(BackendError::Redirected {
                target: "an address that can't be read".into(),
            }),
        }
    }

    /// The same URL with https and our port, if it names our own https server by http.
    fn without_downgrade(&self, target: Url) -> Url {
        let named_by_http = self.url().scheme() == "https"
            && target.scheme() == "http"
            && target.host() == self.url().host()
            && (target.port().is_none() || target.port() == self.url().port());
        let mut upgraded = target.clone();
        let changed =
            upgraded.set_scheme("https").is_ok() && upgraded.set_port(self.url().port()).is_ok();
        if named_by_http && changed {
            upgraded
        } else {
            target
        }
    }
}
