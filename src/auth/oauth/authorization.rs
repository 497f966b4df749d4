//! The authorization request and its answer.
//!
//! Owns what ties the answer to the request: `state`, PKCE (RFC 7636), and the issuer (RFC 9207). These
//! are checked before anything else of an answer is read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::parse;

use super::{scopes, shown};
use crate::config::Secret;

/// Characters of the longest query of an answer that is read.
const MAX_QUERY: usize = 8 << 10;

/// What only this sign-in knows: kept in memory, used once.
#[derive(Debug, Clone)]
pub struct OneTime {
    /// 256 random bits that the answer must repeat.
    pub state: Secret,
    /// 256 random bits that prove that the code is ours.
    pub verifier: Secret,
}

impl OneTime {
    /// New random values.
    pub fn new() -> Self {
        let random = || {
            let mut bytes = [0; 32];
            rand::rng().fill_bytes(&mut bytes);
            Secret::new(URL_SAFE_NO_PAD.encode(bytes))
        };
        Self {
            state: random(),
            verifier: random(),
        }
    }
}

impl Default for OneTime {
    fn default() -> Self {
        Self::new()
    }
}

/// `code_challenge` of a verifier, for the method S256.
pub fn code_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// What a person is asked to allow.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationRequest<'a> {
    /// The authorization endpoint.
    pub endpoint: &'a Url,
    /// Our id there.
    pub client_id: &'a str,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
    /// Empty: none is named.
    pub scopes: &'a [String],
    /// Letter for letter as the resource calls itself; `None`: left out, as the config says.
    pub resource: Option<&'a str>,
    /// `oauth.params`, added as they are.
    pub params: &'a [(String, String)],
    /// Whether the person chooses the account anew.
    pub switch: bool,
    /// `state` and the verifier.
    pub one_time: &'a OneTime,
}

impl AuthorizationRequest<'_> {
    /// The URL that the person opens. A query of the endpoint is kept.
    pub fn url(&self) -> Url {
        let mut url = self.endpoint.clone();
        let offline = self
            .scopes
            .iter()
            .any(|scope| scope == scopes::OFFLINE_ACCESS);
        let prompt = match (self.switch, offline) {
            // Without consent some servers give no refresh token.
            (true, true) => "select_account consent",
            (true, false) => "select_account",
            (false, true) => "consent",
            (false, false) => "",
        };
        let own = |name| self.params.iter().any(|(key, _)| key == name);
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id)
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("state", self.one_time.state.reveal())
            .append_pair(
                "code_challenge",
                &code_challenge(self.one_time.verifier.reveal()),
            )
            .append_pair("code_challenge_method", "S256");
        if !self.scopes.is_empty() {
            query.append_pair("scope", &self.scopes.join(" "));
        }
        if let Some(resource) = self.resource {
            query.append_pair("resource", resource);
        }
        if !prompt.is_empty() && !own("prompt") {
            query.append_pair("prompt", prompt);
        }
        query.extend_pairs(self.params);
        drop(query);
        url
    }
}

/// What the answer must show, recorded before the request.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The `state` that the gateway has sent.
    pub state: Secret,
    /// The issuer that the validated metadata names.
    pub issuer: String,
    /// The server says that its answers name it.
    pub names_issuer: bool,
}

/// Why an answer is no code. Only `Refused` is the server's word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not an answer to this request: the wait goes on.
    #[error("the answer is not of this sign-in: its state is another")]
    OtherState,
    /// The answer is another server's, or may be.
    #[error("the answer came from {named}, expected {expected}: nothing was sent; start again")]
    OtherIssuer {
        /// Who it says it is.
        named: String,
        /// Who was asked.
        expected: String,
    },
    /// The server says no.
    #[error("refused: {0}")]
    Refused(String),
    /// It has neither a code nor an error, or has one twice.
    #[error("the answer can't be read: {0}")]
    Malformed(&'static str),
}

/// The code in the query of an answer (RFC 6749, section 4.1.2). State and issuer are checked before
/// anything else in it is looked at.
///
/// # Errors
/// Why there is none.
pub fn read_answer(query: &str, expected: &Expected) -> Result<Secret, AnswerError> {
    if query.len() > MAX_QUERY {
        return Err(AnswerError::Malformed("it is too long"));
    }
    let one = |name: &'static str| {
        let mut values = parse(query.as_bytes()).filter(|(key, _)| key == name);
        let first = values.next().map(|(_, value)| value.into_owned());
        match values.next() {
            Some(_) => Err(AnswerError::Malformed("a parameter is there twice")),
            None => Ok(first),
        }
    };
    let state = one("state").unwrap_or_default();
    if state.as_deref() != Some(expected.state.reveal()) {
        return Err(AnswerError::OtherState);
    }
    let named = match one("iss")? {
        Some(issuer) => Some(issuer),
        None if expected.names_issuer => Some("a server that doesn't name itself".to_owned()),
        None => None,
    };
    if let Some(named) = named.filter(|named| *named != expected.issuer) {
        return Err(AnswerError::OtherIssuer {
            named: shown(&named),
            expected: shown(&expected.issuer),
        });
    }
    if let Some(error) = one("error")? {
        let said = one("error_description")?.map(|said| format!(" \"{}\"", shown(&said)));
        let said = said.unwrap_or_default();
        return Err(AnswerError::Refused(format!("{}{said}", shown(&error))));
    }
    match one("code")? {
        Some(code) if !code.is_empty() => Ok(Secret::new(code)),
        _ => Err(AnswerError::Malformed("it has no code")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(code_challenge(verifier), challenge);
    }

    #[test]
    fn one_time_values_are_long_and_new() {
        let (one, two) = (OneTime::new(), OneTime::new());
        let texts = [&one.state, &one.verifier, &two.state, &two.verifier].map(Secret::reveal);
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(text.len(), 43);
            assert!(!texts[..at].contains(text));
        }
    }

    fn url_of(scopes: &str, resource: Option<&str>, params: &[(&str, &str)], switch: bool) -> Url {
        let endpoint = Url::parse("https://a/authorize?tenant=1").unwrap();
        let params: Vec<(String, String)> = params
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        AuthorizationRequest {
            endpoint: &endpoint,
            client_id: "me & you",
            redirect_uri: "http://127.0.0.1:8085/callback",
            scopes: &scopes::split(scopes),
            resource,
            params: &params,
            switch,
            one_time: &OneTime::new(),
        }
        .url()
    }

    #[test]
    fn the_request_has_pkce_state_and_the_resource_as_it_is_written() {
        let url = url_of("a b", Some("https://h"), &[("audience", "x")], false);
        let pairs: HashMap<String, String> = url.query_pairs().into_owned().collect();
        let has = |name: &str, value: &str| assert_eq!(pairs[name], value, "{url}");
        has("tenant", "1");
        has("response_type", "code");
        has("client_id", "me & you");
        has("redirect_uri", "http://127.0.0.1:8085/callback");
        has("code_challenge_method", "S256");
        has("scope", "a b");
        has("resource", "https://h");
        has("audience", "x");
        assert_eq!(pairs["code_challenge"].len(), 43);
        assert_eq!(pairs["state"].len(), 43);
        assert!(!pairs.contains_key("prompt"));
        assert!(url.as_str().is_ascii());
    }

    #[test]
    fn what_is_not_wanted_is_left_out() {
        let url = url_of("", None, &[], false);
        for name in ["scope", "resource", "prompt"] {
            assert!(url.query_pairs().all(|(key, _)| key != name), "{url}");
        }
    }

    #[test]
    fn consent_is_asked_for_with_offline_access_unless_the_user_says_otherwise() {
        for (scopes, params, switch, expected) in [
            ("offline_access", &[][..], false, &["consent"][..]),
            ("offline_access", &[], true, &["select_account consent"]),
            ("a", &[], true, &["select_account"]),
            ("offline_access", &[("prompt", "login")], false, &["login"]),
        ] {
            let url = url_of(scopes, None, params, switch);
            let prompts = url.query_pairs().filter(|(key, _)| key == "prompt");
            let prompts: Vec<String> = prompts.map(|(_, value)| value.into_owned()).collect();
            assert_eq!(prompts, expected);
        }
    }

    fn expected(names_issuer: bool) -> Expected {
        Expected {
            state: Secret::new("s"),
            issuer: "https://a".to_owned(),
            names_issuer,
        }
    }

    #[test]
    fn state_and_issuer_are_checked_before_anything_is_believed() {
        let other = |named: &str| AnswerError::OtherIssuer {
            named: named.to_owned(),
            expected: "https://a".to_owned(),
        };
        let refused = |text: &str| AnswerError::Refused(text.to_owned());
        let unnamed = "a server that doesn't name itself";
        for (query, names_issuer, error) in [
            ("code=c", false, AnswerError::OtherState),
            ("code=c&state=x", false, AnswerError::OtherState),
            ("error=e&state=", false, AnswerError::OtherState),
            ("code=c&state=s", true, other(unnamed)),
            ("code=c&state=s&iss=https://a/", false, other("https://a/")),
            ("code=c&state=s&iss=https://A", true, other("https://A")),
            ("code=c&state=s&iss=", false, other("")),
            (
                "error=e&error_description=d&state=s&iss=https://evil",
                false,
                other("https://evil"),
            ),
            (
                "error=access_denied&state=s",
                false,
                refused("access_denied"),
            ),
            (
                "error=e&error_description=not%0Ayou&state=s&code=c",
                false,
                refused("e \"not?you\""),
            ),
            ("state=s", false, AnswerError::Malformed("it has no code")),
            (
                "state=s&code=",
                false,
                AnswerError::Malformed("it has no code"),
            ),
            (
                "state=s&code=c&code=d",
                false,
                AnswerError::Malformed("a parameter is there twice"),
            ),
            (
                "state=s&code=d&iss=https://a&iss=https://a",
                false,
                AnswerError::Malformed("a parameter is there twice"),
            ),
            ("state=s&state=s&code=d", false, AnswerError::OtherState),
            ("state=x&state=s&error=e", false, AnswerError::OtherState),
        ] {
            let read = read_answer(query, &expected(names_issuer));
            assert_eq!(read.unwrap_err(), error, "{query}");
        }
        for (query, names_issuer) in [
            ("code=c&state=s", false),
            ("code=c&state=s&iss=https%3A%2F%2Fa", true),
            ("iss=https://a&code=c&state=s&session_state=1", false),
        ] {
            let read = read_answer(query, &expected(names_issuer)).unwrap();
            assert_eq!(read.reveal(), "c");
        }
    }
}
