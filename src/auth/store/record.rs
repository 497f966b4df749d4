//! What is kept of one backend: who we are there, the token, and what is missing.
//!
//! Owns the format of the file. Members of a later release are kept. Pure.

use serde_json::{Map, Value, json};

use crate::auth::oauth::client::{Client, ClientAuth};
use crate::config::Secret;

/// Version of the format. A file of an earlier one is read for ever.
const VERSION: u64 = 1;

/// How the client became known to the authorization server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientSource {
    /// Dynamic registration.
    Registered,
    /// The URL of a metadata document.
    Document,
    /// Registered by hand: the ids are in the config, and what is here is a note of it.
    Config,
}

/// A client, and how it came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredClient {
    pub(crate) client: Client,
    pub(crate) how: ClientSource,
    /// `None` where no browser was needed.
    pub(crate) redirect_uri: Option<String>,
    /// When the secret expires, in seconds of Unix time; `None`: never.
    pub(crate) secret_expires_at: Option<u64>,
    /// What it was registered for (RFC 7591, section 2); empty: any scope, as far as is known.
    pub(crate) scope: Vec<String>,
}

/// A token and its life, in seconds of Unix time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredToken {
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) obtained_at: u64,
    /// `None` where the server doesn't say.
    pub(crate) expires_at: Option<u64>,
    pub(crate) scope: Vec<String>,
}

/// Why a person has to sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    /// Since when, in seconds of Unix time.
    pub(crate) since: u64,
    /// The reason, for people.
    pub(crate) why: String,
}

/// The content of a file.
#[derive(Clone)]
pub(crate) struct Record {
    /// The backend's URL without query.
    pub(crate) url: String,
    /// Grows with each new token.
    pub(crate) generation: u64,
    /// How often a person has signed in.
    pub(crate) sign_ins: u64,
    /// Who issued client and token, letter for letter.
    pub(crate) issuer: Option<String>,
    /// What the token is for, letter for letter; `None`: not named.
    pub(crate) resource: Option<String>,
    pub(crate) token_endpoint: Option<String>,
    pub(crate) revocation_endpoint: Option<String>,
    pub(crate) client: Option<StoredClient>,
    pub(crate) token: Option<StoredToken>,
    /// Scopes that were asked for.
    pub(crate) requested: Vec<String>,
    /// Scopes that calls have lacked since.
    pub(crate) pending: Vec<String>,
    /// Since when a refresh is under way, in seconds of Unix time: its process has been killed if
    /// nobody holds the lock.
    pub(crate) refreshing: Option<u64>,
    /// Set where the token is of no use any more.
    pub(crate) sign_in: Option<Reason>,
    /// The id of the client of mcp-remote that a sign-in has used: not used a second time.
    pub(crate) tried_client: Option<String>,
    /// The client is for the token alone: a sign-in with it has failed, and the next registers anew.
    pub(crate) register_anew: bool,
    /// There is a file, which can't be opened: what is here is none of it. Not written.
    pub(crate) is_closed: bool,
    /// The document as it was read.
    rest: Map<String, Value>,
}

impl Record {
    /// The record of a backend that nobody has signed in to.
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            generation: 0,
            sign_ins: 0,
            issuer: None,
            resource: None,
            token_endpoint: None,
            revocation_endpoint: None,
            client: None,
            token: None,
            requested: Vec::new(),
            pending: Vec::new(),
            refreshing: None,
            sign_in: None,
            tried_client: None,
            register_anew: false,
            is_closed: false,
            rest: Map::new(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Why it can't be used, without what it holds.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let Value::Object(rest) = document else {
            return Err("it is no JSON object".to_owned());
        };
        match rest.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(later) if later > VERSION => {
                return Err(format!("it is of version {later}, of a newer release"));
            }
            _ => return Err("it has no version".to_owned()),
        }
        let text = |member| text(&rest, member);
        let object = |member: &str| rest.get(member).and_then(Value::as_object);
        Ok(Self {
            url: text("url").ok_or("it has no url")?,
            generation: number(&rest, "generation").unwrap_or_default(),
            sign_ins: number(&rest, "sign_ins").unwrap_or_default(),
            issuer: text("issuer"),
            resource: text("resource"),
            token_endpoint: text("token_endpoint"),
            revocation_endpoint: text("revocation_endpoint"),
            client: object("client").and_then(read_client),
            token: object("token").and_then(read_token),
            requested: texts(&rest, "requested"),
            pending: texts(&rest, "pending"),
            refreshing: object("refreshing").and_then(|object| number(object, "since")),
            sign_in: object("sign_in").and_then(|object| {
                Some(Reason {
                    since: number(object, "since")?,
                    why: self::text(object, "why")?,
                })
            }),
            tried_client: text("tried_client"),
            register_anew: rest.get("register_anew") == Some(&Value::Bool(true)),
            is_closed: false,
            rest,
        })
    }

    /// The text to write.
    pub(super) fn text(&self) -> String {
        let client = self.client.as_ref().map(|stored| {
            json!({
                "id": stored.client.id,
                "secret": stored.client.secret.as_ref().map(Secret::reveal),
                "auth": stored.client.auth.name(),
                "how": stored.how.name(),
                "redirect_uri": stored.redirect_uri,
                "secret_expires_at": stored.secret_expires_at,
                "scope": stored.scope,
            })
        });
        let token = self.token.as_ref().map(|token| {
            json!({
                "access": token.access.reveal(),
                "type": "Bearer",
                "refresh": token.refresh.as_ref().map(Secret::reveal),
                "obtained_at": token.obtained_at,
                "expires_at": token.expires_at,
                "scope": token.scope,
            })
        });
        let refreshing = self.refreshing;
        let refreshing =
            refreshing.map(|since| json!({ "since": since, "pid": std::process::id() }));
        let sign_in = self.sign_in.as_ref();
        let sign_in = sign_in.map(|reason| json!({ "since": reason.since, "why": reason.why }));
        let members = [
            ("version", json!(VERSION)),
            ("url", json!(self.url)),
            ("generation", json!(self.generation)),
            ("sign_ins", json!(self.sign_ins)),
            ("issuer", json!(self.issuer)),
            ("resource", json!(self.resource)),
            ("token_endpoint", json!(self.token_endpoint)),
            ("revocation_endpoint", json!(self.revocation_endpoint)),
            ("client", json!(client)),
            ("token", json!(token)),
            ("requested", json!(self.requested)),
            ("pending", json!(self.pending)),
            ("refreshing", json!(refreshing)),
            ("sign_in", json!(sign_in)),
            ("tried_client", json!(self.tried_client)),
            ("register_anew", json!(self.register_anew)),
        ];
        let mut document = self.rest.clone();
        for (name, value) in members {
            match (document.get_mut(name), value) {
                (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                (_, value) => drop(document.insert(name.to_owned(), value)),
            }
        }
        format!("{}\n", Value::Object(document))
    }

    /// The client that is kept, if a sign-in at this issuer may use it at `now`.
    pub(crate) fn client_of(&self, issuer: &str, now: u64) -> Option<&StoredClient> {
        let client = self.client.as_ref()?;
        let is_valid = client.secret_expires_at.is_none_or(|at| at > now);
        let is_usable = is_valid && !self.register_anew;
        (self.issuer.as_deref() == Some(issuer) && is_usable).then_some(client)
    }
}

impl ClientSource {
    const ALL: [Self; 3] = [Self::Registered, Self::Document, Self::Config];

    fn name(self) -> &'static str {
        match self {
            Self::Registered => "dcr",
            Self::Document => "cimd",
            Self::Config => "config",
        }
    }
}

fn read_client(object: &Map<String, Value>) -> Option<StoredClient> {
    let how = text(object, "how")?;
    Some(StoredClient {
        client: Client {
            id: text(object, "id")?,
            secret: text(object, "secret").map(Secret::new),
            key: None,
            auth: ClientAuth::of_name(&text(object, "auth")?)?,
        },
        how: ClientSource::ALL
            .into_iter()
            .find(|known| known.name() == how)?,
        redirect_uri: text(object, "redirect_uri"),
        secret_expires_at: number(object, "secret_expires_at"),
        scope: texts(object, "scope"),
    })
}

fn read_token(object: &Map<String, Value>) -> Option<StoredToken> {
    Some(StoredToken {
        access: text(object, "access").map(Secret::new)?,
        refresh: text(object, "refresh").map(Secret::new),
        obtained_at: number(object, "obtained_at")?,
        expires_at: number(object, "expires_at"),
        scope: texts(object, "scope"),
    })
}

fn text(object: &Map<String, Value>, member: &str) -> Option<String> {
    object.get(member)?.as_str().map(str::to_owned)
}

fn number(object: &Map<String, Value>, member: &str) -> Option<u64> {
    object.get(member)?.as_u64()
}

fn texts(object: &Map<String, Value>, member: &str) -> Vec<String> {
    let list = object.get(member).and_then(Value::as_array);
    let texts = list.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file as the first release writes it. It must be read by every later one.
    const FIRST: &str = r#"{"version":1,"url":"https://h/mcp","generation":7,"issuer":"https://a","resource":"https://h","token_endpoint":"https://a/token","revocation_endpoint":null,"client":{"id":"c","secret":"s","auth":"client_secret_post","how":"dcr","redirect_uri":"http://127.0.0.1:1/callback","secret_expires_at":99},"token":{"access":"x","type":"Bearer","refresh":"r","obtained_at":1,"expires_at":2,"scope":["a"]},"requested":["a","offline_access"],"pending":["b"],"refreshing":{"since":5,"pid":1},"sign_in":{"since":6,"why":"gone"}}"#;

    #[test]
    fn a_file_of_the_first_release_is_read_whole() {
        let record = Record::read(FIRST.as_bytes()).unwrap();
        assert_eq!(record.generation, 7);
        let client = record.client_of("https://a", 98).unwrap();
        assert_eq!(client.how, ClientSource::Registered);
        assert_eq!(client.client.auth, ClientAuth::Post);
        let token = record.token.as_ref().unwrap();
        assert_eq!(token.access.reveal(), "x");
        assert_eq!((token.obtained_at, token.expires_at), (1, Some(2)));
        assert_eq!(record.refreshing, Some(5));
        assert_eq!(record.sign_in.as_ref().unwrap().why, "gone");
        assert_eq!(record.pending, ["b"]);
        let again = Record::read(record.text().as_bytes()).unwrap();
        assert_eq!(again.token, record.token);
        assert_eq!(again.client, record.client);
    }

    #[test]
    fn members_of_a_later_release_are_kept() {
        let later = FIRST
            .replace(r#""generation""#, r#""new":[1],"generation""#)
            .replace(r#""type""#, r#""key":"k","type""#);
        let mut record = Record::read(later.as_bytes()).unwrap();
        record.generation = 8;
        record.token.as_mut().unwrap().refresh = None;
        let written: Value = serde_json::from_str(&record.text()).unwrap();
        assert_eq!(written["new"], json!([1]));
        assert_eq!(written["token"]["key"], "k");
        assert_eq!(written["token"]["refresh"], Value::Null);
        assert_eq!(written["generation"], 8);
    }

    #[test]
    fn a_client_is_used_at_its_issuer_alone_and_while_its_secret_holds() {
        let record = Record::read(FIRST.as_bytes()).unwrap();
        assert!(record.client_of("https://a/", 0).is_none());
        assert!(record.client_of("https://b", 0).is_none());
        assert!(record.client_of("https://a", 99).is_none());
        let mut without = record;
        without.issuer = None;
        assert!(without.client_of("https://a", 0).is_none());
    }

    #[test]
    fn no_secret_is_in_what_debug_shows() {
        let text = FIRST
            .replace("\"x\"", "\"hidden\"")
            .replace("\"s\"", "\"hidden\"");
        let record = Record::read(text.as_bytes()).unwrap();
        let shown = format!("{:?} {:?}", record.token, record.client);
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
