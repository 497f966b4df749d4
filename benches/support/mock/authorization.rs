//! An authorization server that gives everybody the same token.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::reply;

const TOKEN: &str = "bench";

/// What it serves at this address.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(base: &str) -> Router<S> {
    let resource = json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base] });
    let metadata = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
    });
    let token = json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 86_400 });
    Router::new()
        .route(
            "/.well-known/oauth-protected-resource/mcp",
            get(document(resource)),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(document(metadata)),
        )
        .route("/token", post(document(token)))
}

fn document(value: Value) -> ([(header::HeaderName, &'static str); 1], String) {
    (
        [(header::CONTENT_TYPE, "application/json")],
        value.to_string(),
    )
}

/// Whether a request has the token.
pub(super) fn is_signed_in(headers: &HeaderMap) -> bool {
    let token = headers.get(header::AUTHORIZATION);
    token.is_some_and(|token| token == format!("Bearer {TOKEN}").as_str())
}

pub(super) fn challenge() -> Response<Body> {
    let mut response = reply::plain(StatusCode::UNAUTHORIZED, "sign in");
    let scheme = HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, scheme);
    response
}
