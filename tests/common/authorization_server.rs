//! An authorization server with an MCP server behind it, both on one port.
//!
//! Owns registrations, codes, tokens and their families: it checks every request by the letter of
//! OAuth 2.1 and RFC 7636, 7591, 8414, 8628, 8707, 9207 and 9728, and a refresh token that comes
//! twice ends its family. It consents at once. Tests switch faults on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::parse;

use super::canary;
use super::fake::FakeBackend;
use super::gate::Gate;
use super::reply::Reply;
use super::wire::Request;

/// The verifiers that clients of all servers have sent.
static VERIFIERS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Whether a text shows a verifier that was sent to a server of this process.
pub fn shows_verifier(text: &str) -> bool {
    let verifiers = VERIFIERS.lock().unwrap();
    verifiers.iter().any(|verifier| text.contains(verifier))
}

/// The server. Its codes and tokens have the canary in them. The MCP server has the tools of [`AuthorizationServer::mcp`].
pub struct AuthorizationServer {
    pub mcp: FakeBackend,
    state: Arc<Mutex<State>>,
}

/// What it knows, and how it differs from a good server.
pub struct State {
    base: String,
    /// Registered clients: their redirect URIs, secrets and documents.
    clients: HashMap<String, Client>,
    codes: HashMap<String, Code>,
    /// Access tokens that hold, with their scopes and family.
    access: HashMap<String, (String, usize)>,
    /// Refresh tokens that hold, with their scopes, client and family.
    refresh: HashMap<String, (String, String, usize)>,
    used: HashMap<String, usize>,
    ended: HashSet<usize>,
    /// Pending device codes: whether they are approved, and their client and scopes.
    devices: HashMap<String, (bool, String, String)>,
    issued: usize,
    /// `jti` of assertions that were used.
    assertions: HashSet<String>,
    /// Seconds of an access token; `None`: it says nothing.
    pub life: Option<u64>,
    /// The scope that the MCP server demands, and says in its challenge.
    pub scope: String,
    /// The scope that calls of the tool `write` demand besides.
    pub write_scope: Option<String>,
    /// Where refusals for want of a scope wait.
    pub held_refusals: Option<Gate>,
    /// The scopes of new tokens, whatever is asked for.
    pub grants: Option<String>,
    /// Methods of the MCP server that need no token.
    pub open: Vec<&'static str>,
    /// `resource_metadata` and `WWW-Authenticate` are there.
    pub challenges: bool,
    /// There is a registration endpoint.
    pub registers: bool,
    /// Redirect URIs must name the machine: an address is refused.
    pub wants_localhost: bool,
    /// Refresh tokens are issued.
    pub refreshes: bool,
    /// Added to its own metadata, over what is there; null removes.
    pub metadata: Value,
    /// The same of the resource's.
    pub resource_metadata: Value,
    /// Parameters of the answer to the authorization request, over what is there; null removes.
    pub answer: Value,
    /// Replies of the token endpoint instead of its own, one after the other.
    pub token_faults: VecDeque<Reply>,
    /// A parameter of token requests whose value the refusal of each repeats.
    pub repeats: Option<&'static str>,
    /// A resource must be named in every request.
    pub wants_resource: bool,
    /// All forms that the token endpoint got.
    pub token_requests: Vec<HashMap<String, String>>,
    /// All queries that the authorization endpoint got.
    pub authorizations: Vec<HashMap<String, String>>,
    /// All registrations.
    pub registrations: Vec<Value>,
    pub revoked: Vec<String>,
    /// Families that ended because a refresh token came twice.
    pub reused: usize,
}

#[derive(Clone)]
struct Client {
    redirect_uris: Vec<String>,
    secret: Option<String>,
    /// The public half of a P-256 key.
    key: Option<Vec<u8>>,
    /// The scopes that it is registered for; `None`: any.
    scope: Option<String>,
}

impl Client {
    fn is_confidential(&self) -> bool {
        self.secret.is_some() || self.key.is_some()
    }
}

struct Code {
    client: String,
    redirect_uri: String,
    challenge: String,
    scope: String,
}

impl AuthorizationServer {
    /// With the tools `act` and `write`.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State::new()));
        let answering = Arc::clone(&state);
        let mcp = FakeBackend::start()
            .without_sessions()
            .tool("act")
            .tool("write")
            .respond_with(move |request| answering.lock().unwrap().reply(request));
        state.lock().unwrap().base = mcp.url().trim_end_matches("/mcp").to_owned();
        Self { mcp, state }
    }

    /// Its state, to be looked at or changed.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The same with this change.
    pub fn with(self, change: impl FnOnce(&mut State)) -> Self {
        change(&mut self.state());
        self
    }

    /// `grant_type` of all token requests so far.
    pub fn grants(&self) -> Vec<String> {
        let state = self.state();
        let grants = state.token_requests.iter();
        grants.map(|form| form["grant_type"].clone()).collect()
    }

    /// No access token holds any more.
    pub fn expire_all(&self) {
        self.state().access.clear();
    }

    /// No client is registered any more.
    pub fn forget_clients(&self) {
        self.state().clients.clear();
    }

    /// All sign-ins end: no token holds.
    pub fn end_all(&self) {
        let mut state = self.state();
        state.access.clear();
        state.refresh.clear();
    }

    /// A client that was registered by hand.
    pub fn put_client(&self, id: &str, secret: Option<&str>) {
        let client = Client {
            redirect_uris: vec!["http://127.0.0.1/callback".to_owned()],
            secret: secret.map(str::to_owned),
            key: None,
            scope: None,
        };
        self.state().clients.insert(id.to_owned(), client);
    }

    /// A client that was registered with this redirect URI.
    pub fn put_client_at(&self, id: &str, redirect_uri: &str) {
        self.put_client(id, None);
        let mut state = self.state();
        let client = state.clients.get_mut(id).unwrap();
        client.redirect_uris = vec![redirect_uri.to_owned()];
    }

    /// The server has forgotten a client.
    pub fn remove_client(&self, id: &str) {
        self.state().clients.remove(id);
    }

    /// The answer of the token endpoint with new tokens for this client.
    pub fn issue_to(&self, id: &str) -> Value {
        let mut state = self.state();
        let scope = state.scope.clone();
        state.issued_to(&scope, id, None)
    }

    /// The same with the public half of a P-256 key, by which it signs assertions.
    pub fn put_client_with_key(&self, id: &str, public: &[u8]) {
        self.put_client(id, None);
        let mut state = self.state();
        state.clients.get_mut(id).unwrap().key = Some(public.to_owned());
    }

    /// A person enters every code that is shown.
    pub fn approve_devices(&self) {
        for (approved, ..) in self.state().devices.values_mut() {
            *approved = true;
        }
    }
}

impl State {
    fn new() -> Self {
        Self {
            base: String::new(),
            clients: HashMap::new(),
            codes: HashMap::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            used: HashMap::new(),
            ended: HashSet::new(),
            devices: HashMap::new(),
            issued: 0,
            assertions: HashSet::new(),
            life: Some(3600),
            scope: "notes:read".to_owned(),
            write_scope: None,
            grants: None,
            held_refusals: None,
            open: Vec::new(),
            challenges: true,
            registers: true,
            wants_localhost: false,
            refreshes: true,
            metadata: json!({}),
            resource_metadata: json!({}),
            answer: json!({}),
            token_faults: VecDeque::new(),
            repeats: None,
            wants_resource: true,
            token_requests: Vec::new(),
            authorizations: Vec::new(),
            registrations: Vec::new(),
            revoked: Vec::new(),
            reused: 0,
        }
    }

    fn reply(&mut self, request: &Request) -> Option<Reply> {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let form = || pairs(&request.body);
        match (&*request.http_method, path) {
            ("GET", "/.well-known/oauth-protected-resource/mcp") => Some(self.resource_document()),
            ("GET", "/.well-known/oauth-authorization-server") => Some(self.server_document()),
            ("POST", "/register") if self.registers => Some(self.register(&request.message)),
            ("GET", "/authorize") => Some(self.authorize(pairs(query.as_bytes()))),
            ("POST", "/token") => Some(self.token(request, form())),
            ("POST", "/device") => Some(self.device(&form())),
            ("POST", "/revoke") => {
                let token = form()["token"].clone();
                self.access.remove(&token);
                self.refresh.remove(&token);
                self.revoked.push(token);
                Some(Reply::status(200))
            }
            (_, "/mcp") if self.open.contains(&request.kind()) => None,
            (_, "/mcp") => self.guard(request),
            _ => Some(Reply::status(404)),
        }
    }

    fn resource_document(&self) -> Reply {
        let base = &self.base;
        let document = json!({
            "resource": format!("{base}/mcp"), "authorization_servers": [base],
            "scopes_supported": ["notes:read"],
        });
        Reply::json(&over(document, &self.resource_metadata))
    }

    fn server_document(&self) -> Reply {
        let base = &self.base;
        let at = |path: &str| format!("{base}{path}");
        let mut document = json!({
            "issuer": base,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "revocation_endpoint": at("/revoke"),
            "device_authorization_endpoint": at("/device"),
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "token_endpoint_auth_methods_supported":
                ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
        });
        if self.registers {
            document["registration_endpoint"] = at("/register").into();
        }
        Reply::json(&over(document, &self.metadata))
    }

    fn register(&mut self, document: &Value) -> Reply {
        self.registrations.push(document.clone());
        let uris = document["redirect_uris"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let uris: Vec<String> = uris
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let is_good = document["application_type"] == "native"
            && document["token_endpoint_auth_method"] == "none"
            && !uris.is_empty();
        if !is_good {
            return refusal(400, "invalid_client_metadata");
        }
        if self.wants_localhost && uris.iter().any(|uri| !uri.starts_with("http://localhost")) {
            return refusal(400, "invalid_redirect_uri");
        }
        let id = self.fresh("client");
        let client = Client {
            redirect_uris: uris,
            secret: None,
            key: None,
            scope: document["scope"].as_str().map(str::to_owned),
        };
        self.clients.insert(id.clone(), client);
        Reply::json_as(
            201,
            &json!({ "client_id": id, "token_endpoint_auth_method": "none" }),
        )
    }

    fn authorize(&mut self, query: HashMap<String, String>) -> Reply {
        self.authorizations.push(query.clone());
        let get = |name: &str| query.get(name).cloned().unwrap_or_default();
        let (client, redirect_uri) = (get("client_id"), get("redirect_uri"));
        let fits = self.clients.get(&client).is_some_and(|client| {
            client
                .redirect_uris
                .iter()
                .any(|uri| is_same_loopback(uri, &redirect_uri))
        });
        let is_good = get("response_type") == "code"
            && get("code_challenge_method") == "S256"
            && get("code_challenge").len() == 43
            && get("state").len() >= 22
            && self.names_resource(&query);
        if !fits || !is_good {
            return Reply::status(400).body("bad authorization request");
        }
        let registered = self.clients[&client].scope.clone();
        let is_registered = |one| {
            registered
                .as_ref()
                .is_none_or(|all| all.split(' ').any(|known| known == one))
        };
        let mut answer = json!({ "state": get("state"), "iss": self.base });
        match get("scope").split(' ').all(is_registered) {
            true => answer["code"] = self.code(client, &redirect_uri, &query).into(),
            false => answer["error"] = "invalid_scope".into(),
        }
        let answer = over(answer, &self.answer);
        let mut location = Url::parse(&redirect_uri).unwrap();
        for (name, value) in answer.as_object().unwrap() {
            let value = value.as_str().unwrap();
            location.query_pairs_mut().append_pair(name, value);
        }
        Reply::status(302).header("location", location.as_str())
    }

    fn code(
        &mut self,
        client: String,
        redirect_uri: &str,
        query: &HashMap<String, String>,
    ) -> String {
        let get = |name: &str| query.get(name).cloned().unwrap_or_default();
        let code = self.fresh("code");
        let entry = Code {
            client,
            redirect_uri: redirect_uri.to_owned(),
            challenge: get("code_challenge"),
            scope: get("scope"),
        };
        self.codes.insert(code.clone(), entry);
        code
    }

    fn names_resource(&self, form: &HashMap<String, String>) -> bool {
        let expected = format!("{}/mcp", self.base);
        !self.wants_resource || form.get("resource") == Some(&expected)
    }

    fn token(&mut self, request: &Request, form: HashMap<String, String>) -> Reply {
        self.token_requests.push(form.clone());
        if let Some(verifier) = form.get("code_verifier") {
            VERIFIERS.lock().unwrap().push(verifier.clone());
        }
        if let Some(value) = self.repeats.and_then(|name| form.get(name)) {
            // So long that a quote of it ends within the value.
            let description = format!("{value} {}{value}", "x".repeat(80));
            let refusal = json!({ "error": "invalid_grant", "error_description": description });
            return Reply::json_as(400, &refusal);
        }
        if let Some(fault) = self.token_faults.pop_front() {
            return fault;
        }
        let get = |name: &str| form.get(name).cloned().unwrap_or_default();
        let Some(client) = self.authenticated(request, &form) else {
            // Some quote what they refuse.
            let quoted = form.get("client_assertion").map(|assertion| {
                let error = json!({ "error": "invalid_client", "error_description": format!("unknown: {assertion}") });
                Reply::json_as(401, &error)
            });
            return quoted.unwrap_or_else(|| refusal(401, "invalid_client"));
        };
        if !self.names_resource(&form) {
            return refusal(400, "invalid_target");
        }
        match &*get("grant_type") {
            "authorization_code" => {
                let Some(code) = self.codes.remove(&get("code")) else {
                    return refusal(400, "invalid_grant");
                };
                let digest = Sha256::digest(get("code_verifier"));
                let is_good = code.client == client
                    && code.redirect_uri == get("redirect_uri")
                    && code.challenge == URL_SAFE_NO_PAD.encode(digest);
                match is_good {
                    true => self.issue(&code.scope, &client, None),
                    false => refusal(400, "invalid_grant"),
                }
            }
            "refresh_token" => self.refreshed(&get("refresh_token"), &client),
            "urn:ietf:params:oauth:grant-type:device_code" => {
                match self.devices.get(&get("device_code")).cloned() {
                    Some((true, owner, scope)) if owner == client => {
                        self.issue(&scope, &client, None)
                    }
                    Some((false, ..)) => refusal(400, "authorization_pending"),
                    _ => refusal(400, "invalid_grant"),
                }
            }
            "client_credentials" if self.clients[&client].is_confidential() => {
                self.issue(&get("scope"), &client, None)
            }
            _ => refusal(400, "unsupported_grant_type"),
        }
    }

    fn authenticated(
        &mut self,
        request: &Request,
        form: &HashMap<String, String>,
    ) -> Option<String> {
        if let Some(assertion) = form.get("client_assertion") {
            let is_jwt = form["client_assertion_type"]
                == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
            return self.asserted(assertion).filter(|_| is_jwt);
        }
        let basic = request.header("authorization").and_then(|value| {
            let pair = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
            let pair = String::from_utf8(pair).ok()?;
            let (id, secret) = pair.split_once(':')?;
            Some((id.to_owned(), Some(secret.to_owned())))
        });
        let posted = || {
            Some((
                form.get("client_id")?.clone(),
                form.get("client_secret").cloned(),
            ))
        };
        let (id, secret) = basic.or_else(posted)?;
        let client = self.clients.get(&id)?;
        (client.key.is_none() && client.secret == secret).then_some(id)
    }

    /// The client whose key signed an assertion that holds, is for this server, and was not used before
    /// (RFC 7523, section 3).
    fn asserted(&mut self, assertion: &str) -> Option<String> {
        let (signed, signature) = assertion.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let part = |text| serde_json::from_slice::<Value>(&decode(text)?).ok();
        let (header, claims) = (part(header)?, part(claims)?);
        let id = claims["sub"].as_str()?;
        let key = self.clients.get(id)?.key.as_ref()?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
        key.verify(signed.as_bytes(), &decode(signature)?).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let life = claims["exp"].as_u64()?.checked_sub(now)?;
        let is_ours = header["alg"] == "ES256"
            && claims["iss"] == id
            && claims["aud"] == *self.base
            && life <= 300
            && self.assertions.insert(claims["jti"].as_str()?.to_owned());
        is_ours.then(|| id.to_owned())
    }

    fn refreshed(&mut self, token: &str, client: &str) -> Reply {
        if let Some(family) = self.used.get(token).copied() {
            // Somebody has two copies of it.
            self.reused += 1;
            self.ended.insert(family);
            self.access.retain(|_, (_, of)| *of != family);
            self.refresh.retain(|_, (.., of)| *of != family);
        }
        match self.refresh.remove(token) {
            Some((scope, owner, family)) if owner == client => {
                self.used.insert(token.to_owned(), family);
                self.issue(&scope, client, Some(family))
            }
            _ => refusal(400, "invalid_grant"),
        }
    }

    fn issue(&mut self, scope: &str, client: &str, family: Option<usize>) -> Reply {
        Reply::json(&self.issued_to(scope, client, family))
    }

    fn issued_to(&mut self, scope: &str, client: &str, family: Option<usize>) -> Value {
        let granted = self.grants.clone();
        let scope = granted.as_deref().unwrap_or(scope);
        let access = self.fresh("access");
        let family = family.unwrap_or(self.issued);
        self.access
            .insert(access.clone(), (scope.to_owned(), family));
        let mut answer = json!({ "access_token": access, "token_type": "Bearer", "scope": scope });
        if let Some(life) = self.life {
            answer["expires_in"] = life.into();
        }
        if self.refreshes {
            let refresh = self.fresh("refresh");
            let entry = (scope.to_owned(), client.to_owned(), family);
            self.refresh.insert(refresh.clone(), entry);
            answer["refresh_token"] = refresh.into();
        }
        answer
    }

    fn device(&mut self, form: &HashMap<String, String>) -> Reply {
        let code = self.fresh("device");
        let scope = form.get("scope").cloned().unwrap_or_default();
        self.devices
            .insert(code.clone(), (false, form["client_id"].clone(), scope));
        Reply::json(&json!({
            "device_code": code, "user_code": "ABCD-EFGH", "interval": 1, "expires_in": 60,
            "verification_uri": format!("{}/enter", self.base),
        }))
    }

    /// `None`: the request may pass.
    fn guard(&self, request: &Request) -> Option<Reply> {
        let token = request.header("authorization");
        let token = token.and_then(|value| value.strip_prefix("Bearer "));
        let hint = format!("{}/.well-known/oauth-protected-resource/mcp", self.base);
        let Some((scope, _)) = token.and_then(|token| self.access.get(token)) else {
            let challenge = format!(
                "Bearer resource_metadata=\"{hint}\", scope=\"{}\"",
                self.scope
            );
            let reply = Reply::status(401);
            return Some(match self.challenges {
                true => reply.header("www-authenticate", &challenge),
                false => reply,
            });
        };
        let needed = self
            .write_scope
            .as_ref()
            .filter(|_| request.tool() == "write")?;
        let has = scope.split(' ').any(|one| one == needed);
        (!has).then(|| {
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\"");
            let reply = Reply::status(403).header("www-authenticate", &challenge);
            match &self.held_refusals {
                Some(gate) => reply.after(gate),
                None => reply,
            }
        })
    }

    fn fresh(&mut self, kind: &str) -> String {
        self.issued += 1;
        let digest = Sha256::digest(format!("{}{kind}{}", self.base, self.issued));
        let id = URL_SAFE_NO_PAD.encode(&digest[..15]);
        match kind {
            // Anybody may know it.
            "client" => format!("{kind}-{id}"),
            _ => format!("{kind}-{}-{id}", canary::token()),
        }
    }
}

/// Loopback redirect URIs may have any port (RFC 8252, section 7.3) where none was registered.
fn is_same_loopback(registered: &str, sent: &str) -> bool {
    let without_port = |text: &str| {
        let mut url = Url::parse(text).unwrap();
        url.set_port(None).unwrap();
        url
    };
    let has_port = Url::parse(registered).unwrap().port().is_some();
    registered == sent || (!has_port && without_port(registered) == without_port(sent))
}

fn pairs(text: &[u8]) -> HashMap<String, String> {
    parse(text).into_owned().collect()
}

fn over(mut document: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(document.as_object_mut().unwrap().remove(name)),
            value => document[name] = value.clone(),
        }
    }
    document
}

fn refusal(status: u16, error: &str) -> Reply {
    Reply::json_as(
        status,
        &json!({ "error": error, "error_description": "so says the test" }),
    )
}
