//! Requests to the token endpoint and their answers (RFC 6749, sections 4 to 6; RFC 8628).
//!
//! Owns the forms of the grants, and the reading of tokens, refusals and device codes. What an answer
//! says is bounded: the life of a token by ten years, its length by 16 KiB.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::{UrlRules, number, object, scopes, shown, text};
use crate::config::Secret;

/// `grant_type` of the device grant.
pub(crate) const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Longest life of a token that is believed.
const MAX_LIFE: u64 = 10 * 365 * 86_400;
/// Longest token that a header may carry.
const MAX_TOKEN: usize = 16 << 10;

/// What a token is asked for with.
#[derive(Debug, Clone, Copy)]
pub enum Grant<'a> {
    /// The authorization code that a person's sign-in has brought.
    Code {
        /// The code of the authorization response.
        code: &'a str,
        /// The redirect URI of the authorization request.
        redirect_uri: &'a str,
        /// The PKCE verifier of the authorization request.
        verifier: &'a str,
    },
    /// The refresh token of an earlier answer.
    Refresh(&'a str),
    /// The code of a device answer.
    Device(&'a str),
    /// The client's own credentials, with these scopes.
    ClientCredentials(&'a [String]),
}

impl Grant<'_> {
    /// The form to send, without what identifies the client.
    pub fn form(&self, resource: Option<&str>) -> Vec<(&'static str, String)> {
        let mut form = match *self {
            Self::Code {
                code,
                redirect_uri,
                verifier,
            } => vec![
                ("grant_type", "authorization_code".to_owned()),
                ("code", code.to_owned()),
                ("redirect_uri", redirect_uri.to_owned()),
                ("code_verifier", verifier.to_owned()),
            ],
            // Without scopes: a refresh can't widen them.
            Self::Refresh(token) => vec![
                ("grant_type", "refresh_token".to_owned()),
                ("refresh_token", token.to_owned()),
            ],
            Self::Device(code) => vec![
                ("grant_type", DEVICE_GRANT.to_owned()),
                ("device_code", code.to_owned()),
            ],
            Self::ClientCredentials(scopes) => {
                let mut form = vec![("grant_type", "client_credentials".to_owned())];
                if !scopes.is_empty() {
                    form.push(("scope", scopes.join(" ")));
                }
                form
            }
        };
        form.extend(resource.map(|resource| ("resource", resource.to_owned())));
        form
    }
}

/// A token as the server gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAnswer {
    /// What requests carry.
    pub access: Secret,
    /// What gets the next one; `None`: the earlier one stays.
    pub refresh: Option<Secret>,
    /// How long it holds from the request on; `None` where the server doesn't say.
    pub expires_in: Option<Duration>,
    /// What was granted; `None`: what was asked for.
    pub scope: Option<Vec<String>>,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The server says no, for good or for now.
    #[error("{0}")]
    Refused(Refusal),
    /// It was no answer of a token endpoint; another attempt may go better.
    #[error("{0}")]
    Unusable(String),
}

impl TokenError {
    /// The `error` of the server's refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.error.as_deref(),
            Self::Unusable(_) => None,
        }
    }
}

/// An error of an authorization server (RFC 6749, section 5.2). `Display` quotes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// `error`, as a message may quote it.
    pub error: Option<String>,
    /// `error_description`, as a message may quote it.
    pub description: Option<String>,
}

impl Refusal {
    /// What a response refuses; `None` for a success. Some servers refuse with status 200.
    pub(crate) fn of(status: u16, body: &[u8]) -> Option<Self> {
        let document = object(body);
        let member = |name| {
            document
                .as_ref()
                .and_then(|document| text(document, name))
                .map(shown)
        };
        let error = member("error");
        let is_success = (200..300).contains(&status) && error.is_none();
        (!is_success).then(|| Self {
            status,
            error,
            description: member("error_description"),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        if let Some(error) = &self.error {
            write!(f, " {error}")?;
        }
        match &self.description {
            Some(description) => write!(f, " \"{description}\""),
            None => Ok(()),
        }
    }
}

/// Reads an answer of the token endpoint.
///
/// # Errors
/// The server's refusal, or what is wrong with the answer.
pub fn read_token(status: u16, body: &[u8]) -> Result<TokenAnswer, TokenError> {
    if let Some(refusal) = Refusal::of(status, body) {
        // A refusal needs an `error`; a page of a proxy has none.
        return Err(match refusal.error {
            Some(_) => TokenError::Refused(refusal),
            None => TokenError::Unusable(refusal.to_string()),
        });
    }
    let unusable = |why: &str| TokenError::Unusable(why.to_owned());
    let document = object(body).ok_or_else(|| unusable("the answer is no JSON object"))?;
    let access = text(&document, "access_token")
        .ok_or_else(|| unusable("the answer has no access_token"))?;
    if access.len() > MAX_TOKEN || !access.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unusable("the access token can't be sent in a header"));
    }
    match text(&document, "token_type") {
        Some(kind) if !kind.eq_ignore_ascii_case("bearer") => {
            let kind = shown(kind);
            return Err(unusable(&format!(
                "the token is of type {kind}; only Bearer is supported"
            )));
        }
        // RFC 6749 requires it, and some servers leave it out.
        _ => {}
    }
    Ok(TokenAnswer {
        access: Secret::new(access),
        refresh: text(&document, "refresh_token").map(Secret::new),
        expires_in: number(&document, "expires_in")
            .map(|seconds| Duration::from_secs(seconds.min(MAX_LIFE))),
        scope: text(&document, "scope").map(scopes::split),
    })
}

/// What a person does at another device (RFC 8628, section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAnswer {
    /// The code that the gateway asks for tokens with.
    pub device_code: Secret,
    /// The code that the person enters.
    pub user_code: String,
    /// Where the person enters it.
    pub verification_uri: Url,
    /// The verification URI with the person's code in it.
    pub complete_uri: Option<Url>,
    /// How long the codes are valid.
    pub expires_in: Duration,
    /// The pause between two requests for the tokens.
    pub interval: Duration,
}

/// Reads an answer of the device authorization endpoint.
///
/// # Errors
/// The server's refusal, or what is wrong with the answer, for people.
pub fn read_device(status: u16, body: &[u8], rules: UrlRules) -> Result<DeviceAnswer, String> {
    if let Some(refusal) = Refusal::of(status, body) {
        return Err(refusal.to_string());
    }
    let document = object(body).ok_or("the answer is no JSON object")?;
    let required = |name| text(&document, name).ok_or_else(|| format!("the answer has no {name}"));
    // A draft called it so, and some servers still do.
    let uri = text(&document, "verification_uri").or_else(|| text(&document, "verification_url"));
    let uri = uri.ok_or("the answer has no verification_uri")?;
    let complete = text(&document, "verification_uri_complete");
    let complete = complete.map(|uri| rules.read("verification_uri_complete", uri));
    let seconds = |name, default, most| {
        let seconds = number(&document, name).unwrap_or(default);
        Duration::from_secs(seconds.clamp(1, most))
    };
    Ok(DeviceAnswer {
        device_code: Secret::new(required("device_code")?),
        user_code: shown(required("user_code")?),
        verification_uri: rules.read("verification_uri", uri)?,
        complete_uri: complete.transpose()?,
        expires_in: seconds("expires_in", 600, 3600),
        interval: seconds("interval", 5, 60),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_has_what_its_grant_needs_and_the_resource() {
        let scopes = ["a".to_owned(), "b".to_owned()];
        for (grant, expected) in [
            (
                Grant::Code {
                    code: "c",
                    redirect_uri: "http://127.0.0.1/callback",
                    verifier: "v",
                },
                "grant_type=authorization_code code=c redirect_uri=http://127.0.0.1/callback code_verifier=v resource=https://h",
            ),
            (
                Grant::Refresh("r"),
                "grant_type=refresh_token refresh_token=r resource=https://h",
            ),
            (
                Grant::Device("d"),
                "grant_type=urn:ietf:params:oauth:grant-type:device_code device_code=d resource=https://h",
            ),
            (
                Grant::ClientCredentials(&scopes),
                "grant_type=client_credentials scope=a b resource=https://h",
            ),
        ] {
            let written = |form: Vec<(&str, String)>| {
                let pairs = form.iter().map(|(name, value)| format!("{name}={value}"));
                pairs.collect::<Vec<_>>().join(" ")
            };
            assert_eq!(written(grant.form(Some("https://h"))), expected);
            let without = expected.strip_suffix(" resource=https://h").unwrap();
            assert_eq!(written(grant.form(None)), without);
        }
    }

    fn read(status: u16, document: &serde_json::Value) -> Result<TokenAnswer, TokenError> {
        read_token(status, document.to_string().as_bytes())
    }

    #[test]
    fn a_token_is_read_with_what_servers_leave_out_or_write_otherwise() {
        let bare = read(200, &json!({ "access_token": "t" })).unwrap();
        assert_eq!(bare.access.reveal(), "t");
        assert_eq!(
            (bare.refresh, bare.expires_in, bare.scope),
            (None, None, None)
        );
        for (expires_in, expected) in [
            (json!(3600), Some(3600)),
            (json!("3600"), Some(3600)),
            (json!(3600.5), Some(3600)),
            (json!(0), Some(0)),
            (json!(null), None),
            (json!(-5), None),
            (json!("soon"), None),
            (json!(u64::MAX), Some(MAX_LIFE)),
        ] {
            let document = json!({
                "access_token": "t", "token_type": "bearer", "refresh_token": "r",
                "expires_in": expires_in, "scope": "a b",
            });
            let token = read(200, &document).unwrap();
            assert_eq!(
                token.expires_in,
                expected.map(Duration::from_secs),
                "{document}"
            );
            assert_eq!(token.refresh.unwrap().reveal(), "r");
            assert_eq!(token.scope.unwrap(), ["a", "b"]);
        }
    }

    #[test]
    fn a_refusal_is_told_from_an_answer_that_says_nothing() {
        for (status, body, code, shown) in [
            (
                400,
                r#"{"error":"invalid_grant"}"#,
                Some("invalid_grant"),
                "HTTP 400 invalid_grant",
            ),
            (
                401,
                r#"{"error":"invalid_grant","error_description":"token\u0007 revoked"}"#,
                Some("invalid_grant"),
                "HTTP 401 invalid_grant \"token? revoked\"",
            ),
            (
                200,
                r#"{"error":"bad_verification_code"}"#,
                Some("bad_verification_code"),
                "HTTP 200 bad_verification_code",
            ),
            (503, "<html>", None, "HTTP 503"),
            (429, "{}", None, "HTTP 429"),
            (404, "", None, "HTTP 404"),
            (200, "<html>", None, "the answer is no JSON object"),
            (200, "{}", None, "the answer has no access_token"),
            (
                200,
                r#"{"access_token":"a b"}"#,
                None,
                "the access token can't be sent in a header",
            ),
            (
                200,
                r#"{"access_token":"a\r\nX: y"}"#,
                None,
                "the access token can't be sent in a header",
            ),
            (
                200,
                r#"{"access_token":"a","token_type":"DPoP"}"#,
                None,
                "the token is of type DPoP; only Bearer is supported",
            ),
        ] {
            let error = read_token(status, body.as_bytes()).unwrap_err();
            assert_eq!(error.code(), code, "{body}");
            assert_eq!(error.to_string(), shown);
        }
    }

    #[test]
    fn a_device_answer_is_read_within_bounds() {
        let rules = UrlRules {
            backend_on_loopback: false,
            allow_insecure: false,
        };
        let read =
            |document: serde_json::Value| read_device(200, document.to_string().as_bytes(), rules);
        let answer = read(json!({
            "device_code": "d", "user_code": "AB\u{202e}-1", "verification_url": "https://a/d",
            "interval": 0, "expires_in": 1e9,
        }));
        let answer = answer.unwrap();
        assert_eq!(answer.user_code, "AB?-1");
        assert_eq!(answer.interval, Duration::from_secs(1));
        assert_eq!(answer.expires_in, Duration::from_secs(3600));
        for (member, bad) in [
            ("verification_uri", json!("javascript:x")),
            ("verification_uri_complete", json!("file:///x")),
            ("device_code", json!(null)),
            ("user_code", json!("")),
        ] {
            let mut document = json!({
                "device_code": "d", "user_code": "u", "verification_uri": "https://a/d",
            });
            assert_eq!(
                read(document.clone()).unwrap().interval,
                Duration::from_secs(5)
            );
            document[member] = bad;
            let why = read(document).unwrap_err();
            assert!(why.contains(member), "{why}");
        }
        let refused = read_device(400, br#"{"error":"unauthorized_client"}"#, rules);
        assert_eq!(refused.unwrap_err(), "HTTP 400 unauthorized_client");
    }
}
