//! Metadata of protected resources (RFC 9728) and of authorization servers (RFC 8414, OpenID Connect
//! Discovery).
//!
//! Owns where the documents are looked for, and whether one may be used: it must name the resource or the
//! issuer that was asked for, and only URLs that [`UrlRules`] allow.

use url::Url;

use super::{UrlRules, object, shown, text, texts};

const RESOURCE: &str = "/.well-known/oauth-protected-resource";
const SERVER: &str = "/.well-known/oauth-authorization-server";
const OPENID: &str = "/.well-known/openid-configuration";

/// What a protected resource says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceMetadata {
    /// Its identifier, letter for letter.
    pub resource: String,
    /// Issuers, letter for letter.
    pub authorization_servers: Vec<String>,
    /// `None` where it says nothing of scopes.
    pub scopes_supported: Option<Vec<String>>,
}

impl ResourceMetadata {
    /// Reads the document of the server at `backend`.
    ///
    /// # Errors
    /// A message for people: it can't be read, or is another server's (RFC 9728, section 3.3).
    pub fn read(document: &[u8], backend: &Url) -> Result<Self, String> {
        let document = object(document).ok_or("it is no JSON object")?;
        let resource = text(&document, "resource").ok_or("it has no resource")?;
        let url = Url::parse(resource)
            .map_err(|_| format!("its resource is no URL: {}", shown(resource)))?;
        if !covers(&url, backend) {
            let resource = shown(resource);
            return Err(format!(
                "it is of another server: its resource is {resource}"
            ));
        }
        Ok(Self {
            resource: resource.to_owned(),
            authorization_servers: texts(&document, "authorization_servers").unwrap_or_default(),
            scopes_supported: texts(&document, "scopes_supported"),
        })
    }
}

/// Whether a server at `backend` belongs to the resource: the same origin, and a path at or below.
fn covers(resource: &Url, backend: &Url) -> bool {
    let below = backend
        .path()
        .strip_prefix(resource.path().trim_end_matches('/'));
    resource.fragment().is_none()
        && resource.origin() == backend.origin()
        && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where the metadata of a protected resource is looked for without a hint, in this order.
pub fn resource_candidates(backend: &Url) -> Vec<Url> {
    let path = backend.path().trim_end_matches('/');
    let mut candidates = vec![at(backend, &format!("{RESOURCE}{path}"))];
    if !path.is_empty() {
        candidates.push(at(backend, RESOURCE));
    }
    candidates
}

/// Where the metadata of an authorization server is looked for, in this order.
pub fn server_candidates(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    if path.is_empty() {
        return vec![at(issuer, SERVER), at(issuer, OPENID)];
    }
    vec![
        at(issuer, &format!("{SERVER}{path}")),
        at(issuer, &format!("{OPENID}{path}")),
        at(issuer, &format!("{path}{OPENID}")),
    ]
}

/// The identifier of a server whose metadata names none: its URL without query and fragment
/// (MCP 2026-07-28, basic/authorization, canonical server URI).
pub fn canonical_resource(backend: &Url) -> String {
    let resource = at(backend, backend.path()).to_string();
    match backend.path() {
        "/" => resource.trim_end_matches('/').to_owned(),
        _ => resource,
    }
}

/// The issuer of a server without protected resource metadata: its origin (MCP 2025-03-26,
/// basic/authorization, authorization base URL).
pub fn base_issuer(backend: &Url) -> String {
    backend.origin().ascii_serialization()
}

fn at(origin: &Url, path: &str) -> Url {
    let mut url = origin.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// Why the metadata of an authorization server can't be used. `Display` is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It names another issuer than the one that was looked for.
    #[error("it names the issuer {named}, expected {expected}")]
    OtherIssuer {
        /// The issuer that it names, as a message may quote it.
        named: String,
        /// The issuer that was looked for, as a message may quote it.
        expected: String,
    },
    /// Anything else.
    #[error("{0}")]
    Unusable(String),
}

impl<T: Into<String>> From<T> for MetadataError {
    fn from(why: T) -> Self {
        Self::Unusable(why.into())
    }
}

/// What an authorization server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMetadata {
    /// Its identifier, letter for letter.
    pub issuer: String,
    /// `None` where people can't sign in.
    pub authorization_endpoint: Option<Url>,
    /// Where tokens are got.
    pub token_endpoint: Url,
    /// The endpoint for dynamic registration (RFC 7591).
    pub registration_endpoint: Option<Url>,
    /// The endpoint that `logout` revokes tokens at (RFC 7009).
    pub revocation_endpoint: Option<Url>,
    /// The endpoint of the device grant (RFC 8628).
    pub device_authorization_endpoint: Option<Url>,
    /// Empty where it says nothing of scopes.
    pub scopes_supported: Vec<String>,
    /// Whether it says that it takes PKCE with S256.
    pub takes_s256: bool,
    /// How clients authenticate at the token endpoint; `None` where it says nothing.
    pub token_auth_methods: Option<Vec<String>>,
    /// Whether a client's id may be the URL of its metadata document.
    pub takes_client_documents: bool,
    /// Whether its answers name it (RFC 9207).
    pub names_issuer: bool,
}

impl ServerMetadata {
    /// Reads the document of the server that `issuer` identifies.
    ///
    /// # Errors
    /// It can't be read, is another server's (RFC 8414, section 3.3), or has a URL that may not be
    /// used.
    pub fn read(document: &[u8], issuer: &str, rules: UrlRules) -> Result<Self, MetadataError> {
        let document = object(document).ok_or("it is no JSON object")?;
        let expected = shown(issuer);
        let named = text(&document, "issuer")
            .ok_or_else(|| format!("it names no issuer, expected {expected}"))?;
        if named != issuer {
            let named = shown(named);
            return Err(MetadataError::OtherIssuer { named, expected });
        }
        let url = |member| {
            let text = text(&document, member);
            text.map(|text| rules.read(member, text)).transpose()
        };
        let has = |member, value: &str| {
            texts(&document, member).is_some_and(|all| all.iter().any(|one| one == value))
        };
        let is = |member| document.get(member).and_then(serde_json::Value::as_bool) == Some(true);
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: url("authorization_endpoint")?,
            token_endpoint: url("token_endpoint")?.ok_or("it has no token_endpoint")?,
            registration_endpoint: url("registration_endpoint")?,
            revocation_endpoint: url("revocation_endpoint")?,
            device_authorization_endpoint: url("device_authorization_endpoint")?,
            scopes_supported: texts(&document, "scopes_supported").unwrap_or_default(),
            takes_s256: has("code_challenge_methods_supported", "S256"),
            token_auth_methods: texts(&document, "token_endpoint_auth_methods_supported"),
            takes_client_documents: is("client_id_metadata_document_supported"),
            names_issuer: is("authorization_response_iss_parameter_supported"),
        })
    }

    /// Of a server without metadata, by the paths of MCP 2025-03-26, basic/authorization.
    pub fn by_default_paths(base: &Url) -> Self {
        Self {
            issuer: base_issuer(base),
            authorization_endpoint: Some(at(base, "/authorize")),
            token_endpoint: at(base, "/token"),
            registration_endpoint: Some(at(base, "/register")),
            revocation_endpoint: None,
            device_authorization_endpoint: None,
            scopes_supported: Vec::new(),
            // It can't say so; the challenge is sent all the same.
            takes_s256: true,
            token_auth_methods: None,
            takes_client_documents: false,
            names_issuer: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULES: UrlRules = UrlRules {
        backend_on_loopback: false,
        allow_insecure: false,
    };

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn texts_of(urls: &[Url]) -> Vec<&str> {
        urls.iter().map(Url::as_str).collect()
    }

    #[test]
    fn resource_metadata_is_looked_for_at_the_path_and_then_at_the_root() {
        for (backend, expected) in [
            (
                "https://h:1/a/mcp?k=v",
                &[
                    "https://h:1/.well-known/oauth-protected-resource/a/mcp",
                    "https://h:1/.well-known/oauth-protected-resource",
                ][..],
            ),
            (
                "https://h/mcp/",
                &[
                    "https://h/.well-known/oauth-protected-resource/mcp",
                    "https://h/.well-known/oauth-protected-resource",
                ],
            ),
            (
                "https://h/",
                &["https://h/.well-known/oauth-protected-resource"],
            ),
        ] {
            assert_eq!(texts_of(&resource_candidates(&url(backend))), expected);
        }
    }

    #[test]
    fn server_metadata_is_looked_for_in_the_order_of_the_specification() {
        for (issuer, expected) in [
            (
                "https://h",
                &[
                    "https://h/.well-known/oauth-authorization-server",
                    "https://h/.well-known/openid-configuration",
                ][..],
            ),
            (
                "https://h/tenant/1/",
                &[
                    "https://h/.well-known/oauth-authorization-server/tenant/1",
                    "https://h/.well-known/openid-configuration/tenant/1",
                    "https://h/tenant/1/.well-known/openid-configuration",
                ],
            ),
        ] {
            assert_eq!(texts_of(&server_candidates(&url(issuer))), expected);
        }
    }

    #[test]
    fn a_resource_covers_what_is_at_or_below_it_and_nothing_else() {
        for (resource, backend, expected) in [
            ("https://h", "https://h/mcp", true),
            ("https://h/", "https://h/mcp", true),
            ("https://h/mcp", "https://h/mcp", true),
            ("https://h/mcp/", "https://h/mcp", true),
            ("https://h/mcp", "https://h/mcp/", true),
            ("https://h/a", "https://h/a/mcp", true),
            ("https://H:443/mcp", "https://h/mcp", true),
            ("https://h/mc", "https://h/mcp", false),
            ("https://h/mcp", "https://h/", false),
            ("https://h/other", "https://h/mcp", false),
            ("https://h:8443/mcp", "https://h/mcp", false),
            ("http://h/mcp", "https://h/mcp", false),
            ("https://evil.example/mcp", "https://h/mcp", false),
            ("https://h/mcp#x", "https://h/mcp", false),
            ("urn:mcp", "https://h/mcp", false),
        ] {
            let document = json!({ "resource": resource }).to_string();
            let read = ResourceMetadata::read(document.as_bytes(), &url(backend));
            assert_eq!(read.is_ok(), expected, "{resource} {backend}");
            if let Ok(read) = read {
                assert_eq!(read.resource, resource, "letter for letter");
            }
        }
    }

    #[test]
    fn odd_members_of_resource_metadata_are_no_fault() {
        let document = json!({
            "resource": "https://h", "authorization_servers": null, "scopes_supported": [1, "a"], "x": {},
        });
        let read = ResourceMetadata::read(document.to_string().as_bytes(), &url("https://h/mcp"));
        let read = read.unwrap();
        assert!(read.authorization_servers.is_empty());
        assert_eq!(read.scopes_supported.unwrap(), ["a"]);
        for (document, expected) in [
            ("[]", "it is no JSON object"),
            ("", "it is no JSON object"),
            ("{}", "it has no resource"),
            (r#"{"resource":null}"#, "it has no resource"),
        ] {
            let read = ResourceMetadata::read(document.as_bytes(), &url("https://h/mcp"));
            assert_eq!(read.unwrap_err(), expected);
        }
    }

    #[test]
    fn the_canonical_resource_has_no_slash_of_ours_and_no_query() {
        for (backend, expected) in [
            ("https://H.example", "https://h.example"),
            ("https://h/?a=b", "https://h"),
            ("https://h/mcp?a=b#c", "https://h/mcp"),
            ("https://h:8443/mcp/", "https://h:8443/mcp/"),
        ] {
            assert_eq!(canonical_resource(&url(backend)), expected);
        }
    }

    fn server(document: &serde_json::Value, issuer: &str) -> Result<ServerMetadata, String> {
        let read = ServerMetadata::read(document.to_string().as_bytes(), issuer, RULES);
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn an_issuer_is_compared_letter_for_letter() {
        let token = "https://a/token";
        let document = json!({ "issuer": "https://a/", "token_endpoint": token });
        assert!(server(&document, "https://a/").is_ok());
        for issuer in ["https://a", "https://A/", "https://a:443/", "https://a/%2F"] {
            let why = server(&document, issuer).unwrap_err();
            let expected = format!("it names the issuer https://a/, expected {issuer}");
            assert_eq!(why, expected);
        }
        let document = json!({ "token_endpoint": token });
        let why = server(&document, "https://a").unwrap_err();
        assert_eq!(why, "it names no issuer, expected https://a");
    }

    #[test]
    fn what_a_server_offers_is_read() {
        let document = json!({
            "issuer": "https://a",
            "authorization_endpoint": "https://a/authorize",
            "token_endpoint": "https://a/token",
            "registration_endpoint": null,
            "device_authorization_endpoint": "https://a/device",
            "code_challenge_methods_supported": ["plain", "S256"],
            "client_id_metadata_document_supported": true,
            "authorization_response_iss_parameter_supported": false,
            "token_endpoint_auth_methods_supported": ["none"],
        });
        let read = server(&document, "https://a").unwrap();
        assert!(read.takes_s256 && read.takes_client_documents && !read.names_issuer);
        assert_eq!(read.registration_endpoint, None);
        assert_eq!(read.token_auth_methods.unwrap(), ["none"]);
        let bare = json!({ "issuer": "https://a", "token_endpoint": "https://a/token" });
        assert!(!server(&bare, "https://a").unwrap().takes_s256);
    }

    #[test]
    fn a_server_with_a_url_that_may_not_be_used_is_refused() {
        for member in [
            "authorization_endpoint",
            "token_endpoint",
            "registration_endpoint",
            "revocation_endpoint",
            "device_authorization_endpoint",
        ] {
            for bad in ["javascript:alert(1)", "http://a/x", "https://u@a/x", "x"] {
                let mut document =
                    json!({ "issuer": "https://a", "token_endpoint": "https://a/t" });
                document[member] = bad.into();
                let why = server(&document, "https://a").unwrap_err();
                assert!(why.starts_with(member), "{why}");
            }
        }
        let without = json!({ "issuer": "https://a" });
        assert_eq!(
            server(&without, "https://a").unwrap_err(),
            "it has no token_endpoint"
        );
    }
}
