//! Answers of an authorization server: to a token, device or registration request, and in the
//! address that a browser ends at.

use reqwest::header::HeaderValue;
use sentinel_gateway::auth::oauth::UrlRules;
use sentinel_gateway::auth::oauth::authorization::{AnswerError, Expected, read_answer};
use sentinel_gateway::auth::oauth::client::{ClientAuth, read_registration};
use sentinel_gateway::auth::oauth::token::{read_device, read_token};
use sentinel_gateway::config::Secret;
use url::form_urlencoded;

use super::assert_readable;

/// The body is read as every kind of answer, and as a query.
pub fn check(data: &[u8]) {
    for status in [200, 400] {
        match read_token(status, data) {
            Ok(token) => {
                let header = format!("Bearer {}", token.access.reveal());
                assert!(HeaderValue::from_str(&header).is_ok(), "{status}");
                assert_eq!(status, 200);
            }
            Err(error) => assert_readable(&error.to_string()),
        }
        let rules = UrlRules {
            backend_on_loopback: false,
            allow_insecure: false,
        };
        match read_device(status, data, rules) {
            Ok(answer) => {
                assert_readable(&answer.user_code);
                assert_eq!(answer.verification_uri.scheme(), "https");
                assert!((1..=60).contains(&answer.interval.as_secs()));
            }
            Err(why) => assert_readable(&why),
        }
        match read_registration(status, data) {
            Ok(registered) => {
                let client = registered.client;
                assert!(client.secret.is_some() || client.auth == ClientAuth::None);
            }
            Err(why) => assert_readable(&why),
        }
    }
    let expected = Expected {
        state: Secret::new("state"),
        issuer: "https://as.example".to_owned(),
        names_issuer: true,
    };
    let query = String::from_utf8_lossy(data);
    let is_ours = || {
        let has = |name: &str, value: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.any(|(key, said)| key == name && said == value)
        };
        assert!(has("state", "state") && has("iss", "https://as.example"));
    };
    match read_answer(&query, &expected) {
        Ok(_) => is_ours(),
        Err(AnswerError::Refused(why)) => {
            is_ours();
            assert_readable(&why);
        }
        Err(error) => assert_readable(&error.to_string()),
    }
}
