//! A client at an authorization server.
//!
//! Owns how it authenticates at the token endpoint, what it registers as, and the reading of the answer
//! to a registration (RFC 7591).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use url::form_urlencoded::byte_serialize;

use super::assertion::{ASSERTION_TYPE, ClientKey};
use super::scopes;
use super::token::Refusal;
use super::{number, object, text};
use crate::config::Secret;

/// The member of a form that says who the client is, signed by its key (RFC 7523, section 2.2).
pub(crate) const CLIENT_ASSERTION: &str = "client_assertion";

/// The name that people see when they are asked.
pub(crate) const CLIENT_NAME: &str = "Sentinel Gateway";

/// How the client proves who it is at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not at all: a public client.
    None,
    /// The secret in the `Authorization` header.
    Basic,
    /// The secret in the form.
    Post,
    /// An assertion in the form, signed with its key.
    PrivateKey,
}

impl ClientAuth {
    /// The method with this name of RFC 7591; `None` for one that the gateway doesn't have.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::None, Self::Basic, Self::Post, Self::PrivateKey]
            .into_iter()
            .find(|method| method.name() == name)
    }

    /// Its name in RFC 7591.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::PrivateKey => "private_key_jwt",
        }
    }

    /// For a client with or without a secret, at a server that takes these methods.
    pub fn choose(has_secret: bool, taken: Option<&[String]>) -> Self {
        let takes =
            |method: Self| taken.is_some_and(|all| all.iter().any(|one| one == method.name()));
        match has_secret {
            false => Self::None,
            true if takes(Self::Post) && !takes(Self::Basic) => Self::Post,
            true => Self::Basic,
        }
    }
}

/// A client as an authorization server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// `client_id`
    pub id: String,
    /// `client_secret`
    pub secret: Option<Secret>,
    /// What it signs assertions with.
    pub key: Option<ClientKey>,
    /// How it authenticates.
    pub auth: ClientAuth,
}

impl Client {
    /// Adds what identifies the client to a form that is sent at this time, in seconds of Unix time; `nonce`
    /// is another each time. Returns the value of `Authorization`, where it is sent so (RFC 6749, section
    /// 2.3.1).
    ///
    /// # Errors
    /// If its key can't sign, or it has none and needs one.
    pub fn authenticate(
        &self,
        form: &mut Vec<(&'static str, String)>,
        at: u64,
        nonce: &str,
    ) -> Result<Option<Secret>, String> {
        if self.auth == ClientAuth::PrivateKey {
            let key = self.key.as_ref();
            let key = key.ok_or("the client has no key")?;
            // The assertion says whose it is.
            form.push(("client_assertion_type", ASSERTION_TYPE.to_owned()));
            form.push((CLIENT_ASSERTION, key.assertion(&self.id, at, nonce)?));
            return Ok(None);
        }
        let secret = self.secret.as_ref().map(Secret::reveal).unwrap_or_default();
        if self.auth == ClientAuth::Basic {
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(&self.id), encoded(secret));
            return Ok(Some(Secret::new(format!(
                "Basic {}",
                STANDARD.encode(pair)
            ))));
        }
        form.push(("client_id", self.id.clone()));
        if self.auth == ClientAuth::Post {
            form.push(("client_secret", secret.to_owned()));
        }
        Ok(None)
    }
}

/// What we register as.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// Where answers go.
    pub redirect_uri: &'a str,
    /// The scopes that will be asked for; empty: none is named.
    pub scopes: &'a [String],
    /// Whether the device grant is used, too.
    pub device: bool,
    /// How clients may authenticate; `None` where the server says nothing.
    pub auth_methods: Option<&'a [String]>,
}

impl Registration<'_> {
    /// The document to send.
    pub fn document(&self) -> String {
        let mut grants = vec!["authorization_code", "refresh_token"];
        if self.device {
            grants.push(super::token::DEVICE_GRANT);
        }
        let known = |name: &String| registrable(name);
        let method = match self.auth_methods {
            Some(methods) if !methods.iter().any(|name| name == "none") => {
                methods.iter().find_map(known).unwrap_or(ClientAuth::None)
            }
            _ => ClientAuth::None,
        };
        let mut document = json!({
            "client_name": CLIENT_NAME,
            "redirect_uris": [self.redirect_uri],
            "grant_types": grants,
            "response_types": ["code"],
            "token_endpoint_auth_method": method.name(),
            "application_type": "native",
        });
        if !self.scopes.is_empty() {
            document["scope"] = self.scopes.join(" ").into();
        }
        document.to_string()
    }
}

/// A method that a client which registers itself can have: it has no key.
fn registrable(name: &str) -> Option<ClientAuth> {
    ClientAuth::of_name(name).filter(|method| *method != ClientAuth::PrivateKey)
}

/// A client that has been registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The client.
    pub client: Client,
    /// When its secret ends, in seconds of Unix time; `None`: never.
    pub secret_expires_at: Option<u64>,
    /// What it may ask for; empty where the answer doesn't say.
    pub scope: Vec<String>,
}

/// Reads the answer to a registration.
///
/// # Errors
/// The server's refusal, or what is wrong with the answer, for people.
pub fn read_registration(status: u16, body: &[u8]) -> Result<Registered, String> {
    if let Some(refusal) = Refusal::of(status, body) {
        return Err(refusal.to_string());
    }
    let document = object(body).ok_or("the answer is no JSON object")?;
    let id = text(&document, "client_id").ok_or("the answer has no client_id")?;
    let secret = text(&document, "client_secret").map(Secret::new);
    let auth = match text(&document, "token_endpoint_auth_method") {
        Some(name) => registrable(name).ok_or_else(|| {
            format!(
                "it wants the client to authenticate by {}",
                super::shown(name)
            )
        })?,
        None => ClientAuth::choose(secret.is_some(), None),
    };
    if auth != ClientAuth::None && secret.is_none() {
        return Err("it wants a client secret and gives none".to_owned());
    }
    Ok(Registered {
        client: Client {
            id: id.to_owned(),
            secret,
            key: None,
            auth,
        },
        secret_expires_at: number(&document, "client_secret_expires_at").filter(|at| *at > 0),
        scope: text(&document, "scope").map_or_else(Vec::new, scopes::split),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn client(auth: ClientAuth) -> Client {
        Client {
            id: "a:b c".to_owned(),
            secret: Some(Secret::new("s%+ä")),
            key: None,
            auth,
        }
    }

    #[test]
    fn basic_encodes_id_and_secret_before_they_are_joined() {
        let mut form = Vec::new();
        let header = client(ClientAuth::Basic)
            .authenticate(&mut form, 0, "")
            .unwrap()
            .unwrap();
        let pair = STANDARD.encode("a%3Ab+c:s%25%2B%C3%A4");
        assert_eq!(header.reveal(), format!("Basic {pair}"));
        assert!(form.is_empty());
    }

    #[test]
    fn a_form_has_the_secret_only_where_that_is_the_method() {
        let mut form = Vec::new();
        let header = client(ClientAuth::Post).authenticate(&mut form, 0, "");
        assert_eq!(header, Ok(None));
        assert_eq!(
            form,
            [
                ("client_id", "a:b c".into()),
                ("client_secret", "s%+ä".into())
            ]
        );
        form.clear();
        let header = client(ClientAuth::None).authenticate(&mut form, 0, "");
        assert_eq!(header, Ok(None));
        assert_eq!(form, [("client_id", "a:b c".into())]);
    }

    #[test]
    fn the_method_is_one_that_the_server_takes() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (has_secret, taken, expected) in [
            (true, None, ClientAuth::Basic),
            (
                true,
                Some(list(&["client_secret_post", "client_secret_basic"])),
                ClientAuth::Basic,
            ),
            (
                true,
                Some(list(&["client_secret_post", "none"])),
                ClientAuth::Post,
            ),
            (true, Some(list(&["private_key_jwt"])), ClientAuth::Basic),
            (false, Some(list(&["client_secret_post"])), ClientAuth::None),
        ] {
            assert_eq!(ClientAuth::choose(has_secret, taken.as_deref()), expected);
        }
    }

    #[test]
    fn a_registration_is_that_of_a_native_public_client() {
        let scopes = ["a".to_owned(), "b".to_owned()];
        let methods = ["client_secret_post".to_owned()];
        let mut registration = Registration {
            redirect_uri: "http://127.0.0.1:1/callback",
            scopes: &scopes,
            device: false,
            auth_methods: None,
        };
        let document: Value = serde_json::from_str(&registration.document()).unwrap();
        assert_eq!(document["application_type"], "native");
        assert_eq!(document["token_endpoint_auth_method"], "none");
        assert_eq!(
            document["redirect_uris"],
            json!(["http://127.0.0.1:1/callback"])
        );
        assert_eq!(
            document["grant_types"],
            json!(["authorization_code", "refresh_token"])
        );
        assert_eq!(document["scope"], "a b");
        registration.auth_methods = Some(&methods);
        registration.scopes = &[];
        let document: Value = serde_json::from_str(&registration.document()).unwrap();
        assert_eq!(document["token_endpoint_auth_method"], "client_secret_post");
        assert!(document.get("scope").is_none());
    }

    #[test]
    fn the_method_that_the_server_answers_holds() {
        for (answer, expected) in [
            (json!({"client_id": "x"}), Ok((ClientAuth::None, None))),
            (
                json!({"client_id": "x", "client_secret": "s"}),
                Ok((ClientAuth::Basic, None)),
            ),
            (
                json!({"client_id": "x", "client_secret": "s", "token_endpoint_auth_method": "client_secret_post", "client_secret_expires_at": 7}),
                Ok((ClientAuth::Post, Some(7))),
            ),
            (
                json!({"client_id": "x", "client_secret": "s", "token_endpoint_auth_method": "none", "client_secret_expires_at": 0}),
                Ok((ClientAuth::None, None)),
            ),
            (
                json!({"client_id": "x", "token_endpoint_auth_method": "client_secret_basic"}),
                Err("it wants a client secret and gives none"),
            ),
            (
                json!({"client_id": "x", "token_endpoint_auth_method": "private_key_jwt"}),
                Err("it wants the client to authenticate by private_key_jwt"),
            ),
            (
                json!({"client_secret": "s"}),
                Err("the answer has no client_id"),
            ),
            (json!([]), Err("the answer is no JSON object")),
        ] {
            let read = read_registration(201, answer.to_string().as_bytes());
            let read = read.map(|read| (read.client.auth, read.secret_expires_at));
            assert_eq!(read, expected.map_err(str::to_owned), "{answer}");
        }
    }

    #[test]
    fn a_refused_registration_is_quoted() {
        let body = r#"{"error":"invalid_redirect_uri","error_description":"only https"}"#;
        let why = read_registration(400, body.as_bytes()).unwrap_err();
        assert_eq!(why, "HTTP 400 invalid_redirect_uri \"only https\"");
        assert_eq!(read_registration(403, b"<html>").unwrap_err(), "HTTP 403");
    }
}
