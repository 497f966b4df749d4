//! Sign-ins that mcp-remote keeps: its registration and its tokens for the same server.
//!
//! Owns where its files are and what they hold, in all of its layouts: one folder for each release until
//! 0.3, `mcp-remote-v1` since. It must not know how we sign in.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use md5::{Digest, Md5};
use serde_json::{Map, Value};
use url::Url;

use crate::auth::oauth::client::{Client, read_registration};
use crate::config::{ResourceParam, Secret, SignIn};
use crate::files;
use crate::hex::hex;
use crate::tasks;

/// Most bytes of one file.
const MAX_BYTES: u64 = 1 << 20;
/// Most folders that are looked into.
const MAX_FOLDERS: usize = 200;

/// What mcp-remote keeps of one server.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Its client at the authorization server.
    pub(crate) client: Client,
    /// When the client's secret ends, in seconds of Unix time; `None`: never.
    pub(crate) secret_expires_at: Option<u64>,
    /// Where answers to that client go: an http URL of this machine with a port. `None` where it has none
    /// that can be used.
    pub(crate) redirect_uri: Option<String>,
    /// Who issued it, if the file says so.
    pub(crate) issuer: Option<String>,
    /// Its tokens, if they can be renewed.
    pub(crate) tokens: Option<KeptTokens>,
}

impl Kept {
    /// Whether secrets of it may go to the issuer that the server's URL leads to: the file says that it is
    /// theirs, or the config names it.
    pub(crate) fn is_certain(&self, sign_in: &SignIn) -> bool {
        self.issuer.is_some() || sign_in.issuer.is_some()
    }
}

/// Its tokens.
#[derive(Debug, Clone)]
pub(crate) struct KeptTokens {
    pub(crate) access: Secret,
    pub(crate) refresh: Secret,
    /// In seconds of Unix time.
    pub(crate) obtained_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) scope: Vec<String>,
    /// The file that they are in.
    pub(crate) path: PathBuf,
    /// The whole file.
    bytes: Secret,
}

/// What is kept of the server at `url`: of several files the newest. `None` where there is none that can
/// be used.
pub(crate) async fn find(sign_in: &SignIn, url: &Url) -> Option<Kept> {
    let base = sign_in.mcp_remote.clone()?;
    let digests = digests(sign_in, url);
    let found = tasks::blocking(move || newest(&base, &digests));
    found.await.ok()?
}

/// Whether mcp-remote is signed in to the server at `url`, with tokens that can be taken over. Blocks on
/// files.
pub(crate) fn is_signed_in(sign_in: &SignIn, url: &Url) -> bool {
    let base = sign_in.mcp_remote.as_ref();
    let kept = base.and_then(|base| newest(base, &digests(sign_in, url)));
    kept.is_some_and(|kept| {
        kept.tokens.is_some() && kept.is_certain(sign_in) && sign_in.client_id.is_none()
    })
}

/// Takes the refresh token out of their file, which has to hold what was read.
///
/// # Errors
/// For people: why it is still there.
pub(crate) async fn release(tokens: &KeptTokens) -> Result<(), String> {
    swap(
        &tokens.path,
        tokens.bytes.reveal(),
        tokens.without_refresh(),
    )
    .await
}

/// Puts the refresh token back, where it could not be kept here.
///
/// # Errors
/// For people: why it is not there.
pub(crate) async fn restore(tokens: &KeptTokens) -> Result<(), String> {
    let old = tokens.without_refresh();
    swap(&tokens.path, &old, tokens.bytes.reveal().to_owned()).await
}

async fn swap(path: &Path, old: &str, new: String) -> Result<(), String> {
    let (path, old) = (path.to_owned(), old.to_owned());
    let done = tasks::blocking(move || {
        let (old, new) = (Some(old.as_bytes()), Some(new.as_bytes()));
        files::swap(&path, old, new, &mut |_| Ok(()))
            .map_err(|error| format!("{}: {error}", path.display()))
    });
    done.await
        .unwrap_or_else(|_| Err("the file can't be written: its task has ended".to_owned()))
}

impl KeptTokens {
    /// What the file holds without the refresh token, in mcp-remote's own layout.
    fn without_refresh(&self) -> String {
        let mut document: Value = serde_json::from_str(self.bytes.reveal()).unwrap_or_default();
        if let Some(members) = document.as_object_mut() {
            members.remove("refresh_token");
        }
        format!("{document:#}")
    }
}

/// The newest of the sign-ins with one of these digests.
fn newest(base: &Path, digests: &[String]) -> Option<Kept> {
    let mut folders = files::folders(base, "mcp-remote-", MAX_FOLDERS);
    folders.push(base.to_owned());
    let found = folders.iter().flat_map(|folder| {
        digests.iter().filter_map(|digest| {
            let path = |what: &str| folder.join(format!("{digest}_{what}.json"));
            let (client, tokens) = (path("client_info"), path("tokens"));
            let written = files::modified(&tokens).or_else(|| files::modified(&client))?;
            Some((written, read(&client, &tokens, written)?))
        })
    });
    found
        .max_by_key(|(written, _)| *written)
        .map(|(_, kept)| kept)
}

/// Reads a client and its tokens, which were written then.
fn read(client: &Path, tokens: &Path, written: SystemTime) -> Option<Kept> {
    let text =
        |object: &Map<String, Value>, member: &str| object.get(member)?.as_str().map(str::to_owned);
    let object = |bytes: &[u8]| match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    };
    let bytes = files::read(client, MAX_BYTES).ok()??;
    let registered = read_registration(200, &bytes).ok()?;
    let document = object(&bytes)?;
    let uris = document.get("redirect_uris").and_then(Value::as_array);
    let mut uris = uris.into_iter().flatten().filter_map(Value::as_str);
    let kept = Kept {
        client: registered.client,
        secret_expires_at: registered.secret_expires_at,
        redirect_uri: uris.find(|uri| is_of_this_machine(uri)).map(str::to_owned),
        issuer: text(&document, "issuer"),
        tokens: None,
    };
    let bytes = files::read(tokens, MAX_BYTES).ok().flatten();
    let bytes = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let tokens = bytes.and_then(|bytes| {
        let document = object(bytes.as_bytes())?;
        let of_other = text(&document, "issuer")
            .is_some_and(|issuer| kept.issuer.as_ref().is_some_and(|client| *client != issuer));
        let seconds = |member: &str| document.get(member).and_then(Value::as_f64);
        let obtained_at = written.duration_since(UNIX_EPOCH).ok()?.as_secs();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from a float saturates"
        )]
        let after = seconds("expires_in").map(|life| obtained_at.saturating_add(life as u64));
        // Newer releases write the moment, in milliseconds.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from a float saturates"
        )]
        let at = seconds("expires_at").map(|at| (at / 1000.0) as u64);
        let scope = text(&document, "scope").unwrap_or_default();
        Some(KeptTokens {
            access: Secret::new(text(&document, "access_token")?),
            refresh: Secret::new(text(&document, "refresh_token").filter(|_| !of_other)?),
            obtained_at,
            expires_at: at.or(after),
            scope: scope.split_whitespace().map(str::to_owned).collect(),
            path: tokens.to_owned(),
            bytes: Secret::new(bytes),
        })
    });
    Some(Kept { tokens, ..kept })
}

/// Whether a browser on this machine can return to it, and we can listen there.
fn is_of_this_machine(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|url| {
        let is_here = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
        is_here && url.scheme() == "http" && url.port().is_some() && url.query().is_none()
    })
}

/// The names that its files may have: the MD5 digest of the URL as its user has written it, and in newer
/// releases of what else was set, in this order: resource, parameters, headers.
fn digests(sign_in: &SignIn, url: &Url) -> Vec<String> {
    let mut urls = vec![url.as_str()];
    // Without a path the two spellings are one URL.
    urls.extend(url.as_str().strip_suffix('/').filter(|_| url.path() == "/"));
    let resource = match &sign_in.resource {
        ResourceParam::Text(text) => Some(text.clone()),
        ResourceParam::Published | ResourceParam::Omitted => None,
    };
    let params = object_of(
        sign_in
            .params
            .iter()
            .map(|(name, value)| (&**name, &**value)),
    );
    let headers = sign_in.written_headers.iter();
    let headers = object_of(headers.map(|(name, value)| (&**name, value.reveal())));
    let mut names = Vec::new();
    for url in urls {
        // Each may have been set for mcp-remote, or not.
        for chosen in 0..8 {
            let parts = [&resource, &params, &headers];
            let mut name = url.to_owned();
            for (bit, part) in parts.into_iter().enumerate() {
                if let Some(part) = part.as_ref().filter(|_| chosen & (1 << bit) != 0) {
                    name = format!("{name}|{part}");
                }
            }
            let digest = hex(&Md5::digest(name));
            if !names.contains(&digest) {
                names.push(digest);
            }
        }
    }
    names
}

/// Pairs as a JSON object in the order of their names; `None` for no pairs.
fn object_of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Option<String> {
    let mut pairs: Vec<(&str, &str)> = pairs.collect();
    pairs.sort_unstable();
    let members: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}:{}", Value::from(*name), Value::from(*value)))
        .collect();
    (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Overrides, load};

    /// How the backend `notes` of this config is signed in to.
    fn sign_in(folder: &Path, backend: &str) -> (SignIn, Url) {
        let file = folder.join("sentinel.toml");
        std::fs::write(&file, format!("[[backends]]\nname = \"notes\"\n{backend}")).unwrap();
        let overrides = Overrides {
            config: Some(file),
            ..Overrides::default()
        };
        let env = Environment::new(folder)
            .with_home(folder, folder.join(".config"))
            .with_state(folder.join("state"));
        let config: Config = load(&overrides, &env).unwrap();
        let backend = &config.backends[0];
        let sign_in = backend.sign_in.as_deref().unwrap().clone();
        (sign_in, backend.url.clone().unwrap())
    }

    /// The digests were made by mcp-remote 0.15.1.
    #[test]
    fn names_are_those_of_mcp_remote() {
        let folder = tempfile::tempdir().unwrap();
        for (backend, expected) in [
            (
                "url = \"https://h.example/mcp\"\n",
                "a50bdfb0697b641e964f456b559b8385",
            ),
            (
                "url = \"https://h.example/\"\n",
                "ee6c47f7423b0cd674177021fb402219",
            ),
            (
                "url = \"https://h.example/mcp\"\nheaders = { X-Tenant = 'a\"b', A = \"${V:-v}\" }\n",
                "2db21873274c59ef0c5a5f567208d40d",
            ),
            (
                "url = \"https://h.example/mcp\"\nheaders = { X-Tenant = 'a\"b', A = \"c\" }\n\
                 oauth = { resource = \"https://r.example\", params = { audience = \"x\" } }\n",
                "1cc552ea25bcb7e37dc649191a9e57f1",
            ),
        ] {
            let (sign_in, url) = sign_in(folder.path(), backend);
            let names = digests(&sign_in, &url);
            assert!(
                names.iter().any(|name| name == expected),
                "{backend} {names:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_newest_is_taken_and_what_cannot_be_read_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (sign_in, url) = sign_in(folder.path(), "url = \"https://h.example/mcp\"\n");
        assert!(find(&sign_in, &url).await.is_none());
        let base = folder.path().join(".mcp-auth");
        let name = &digests(&sign_in, &url)[0];
        let put = |release: &str, what: &str, text: &str, age: u64| {
            let folder = base.join(release);
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join(format!("{name}_{what}.json"));
            std::fs::write(&path, text).unwrap();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let at = UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 - age);
            file.set_modified(at).unwrap();
        };
        let tokens = r#"{"access_token":"a","token_type":"Bearer","expires_in":60,"refresh_token":"r","scope":"one two"}"#;
        put("", "client_info", r#"{"client_id":"oldest"}"#, 30);
        put(
            "mcp-remote-0.1.9",
            "client_info",
            r#"{"client_id":"old"}"#,
            9,
        );
        put("mcp-remote-0.1.9", "tokens", tokens, 5);
        put("mcp-remote-0.1.29", "client_info", "{\"client_id\":", 1);
        put("mcp-remote-0.1.30", "tokens", tokens, 1);
        put(
            "mcp-remote-0.1.31",
            "client_info",
            r#"{"client_id":"new"}"#,
            7,
        );
        let kept = find(&sign_in, &url).await.unwrap();
        assert_eq!((&*kept.client.id, &kept.redirect_uri), ("old", &None));
        let tokens = kept.tokens.unwrap();
        assert_eq!(tokens.scope, ["one", "two"]);
        assert_eq!(
            (tokens.obtained_at, tokens.expires_at),
            (1_699_999_995, Some(1_700_000_055))
        );
        let v1 = r#"{"access_token":"a","expires_in":60,"refresh_token":"r","expires_at":1700000099500}"#;
        let client = r#"{"client_id":"v1","redirect_uris":["https://x/","http://h:1/","http://localhost/","http://localhost:9/oauth/callback"]}"#;
        put("mcp-remote-v1", "client_info", client, 0);
        put("mcp-remote-v1", "tokens", v1, 0);
        let kept = find(&sign_in, &url).await.unwrap();
        assert_eq!(&*kept.client.id, "v1");
        let uri = kept.redirect_uri.unwrap();
        assert_eq!(uri, "http://localhost:9/oauth/callback");
        assert_eq!(kept.tokens.unwrap().expires_at, Some(1_700_000_099));
    }

    #[tokio::test]
    async fn a_refresh_token_leaves_a_file_that_holds_what_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let text = "{\n  \"access_token\": \"a\",\n  \"refresh_token\": \"r\",\n  \"x\": 1\n}";
        let tokens = KeptTokens {
            access: Secret::new("a"),
            refresh: Secret::new("r"),
            obtained_at: 0,
            expires_at: None,
            scope: Vec::new(),
            path: path.clone(),
            bytes: Secret::new(text),
        };
        std::fs::write(&path, text.replace("\"r\"", "\"newer\"")).unwrap();
        let why = release(&tokens).await.unwrap_err();
        assert!(why.contains("another program has changed it"), "{why}");
        std::fs::write(&path, text).unwrap();
        release(&tokens).await.unwrap();
        let without = "{\n  \"access_token\": \"a\",\n  \"x\": 1\n}";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), without);
        restore(&tokens).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
