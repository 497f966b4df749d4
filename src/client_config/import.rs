//! Servers of clients as backends of a sentinel.toml.
//!
//! Owns their names, and that no token is written into that file: it goes into a file of its own or into
//! a variable.

use super::entry::{quoted, toml_key};
use super::servers::{OAuth, Remote, SignIn, has_variables, only_variable};

/// Where tokens go that stand in a client's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// Each into a file, for the user alone.
    Files,
    /// Into the `env` of the entry that starts the gateway.
    Env,
}

/// Where secrets go, and under which names.
#[derive(Clone, Copy)]
pub(crate) struct Keep<'a> {
    pub(crate) tokens: Tokens,
    /// Whether an entry is written that starts the gateway, with an `env`: a URL can name nothing but variables.
    pub(crate) has_entry: bool,
    /// Whether a name of a file or variable is free for a secret: the second argument.
    pub(crate) is_free: &'a dyn Fn(&str, &str) -> bool,
}

/// A server as a backend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Its name as a backend.
    pub(crate) name: String,
    /// Its lines in sentinel.toml.
    pub(crate) toml: String,
    /// What of them is neither its name nor its URL: the table or none, the key, and the value.
    pub(crate) keys: Vec<(&'static str, String, String)>,
    /// The parameters of its URL that are in variables now, with those.
    pub(crate) moved: Vec<(String, String)>,
    /// Files to be made, below the folder of sentinel.toml, with their secrets.
    pub(crate) files: Vec<(String, String)>,
    /// Variables for the `env` of the entry, with their secrets.
    pub(crate) env: Vec<(String, String)>,
    /// The variables that it needs and that nobody sets here.
    pub(crate) needs: Vec<String>,
    /// Where a browser returns to after a sign-in, which the client of its entry has to be allowed to.
    pub(crate) returns_to: Option<String>,
}

/// Where the search for a free name ends.
const MAX_NUMBER: u32 = 10_000;

/// The folder of token files, beside sentinel.toml.
pub(crate) const FOLDER: &str = "secrets";

/// A valid name for a backend, like this one, and none of `taken`.
pub(crate) fn backend_name(name: &str, taken: &[String]) -> String {
    let mut valid = String::new();
    for c in name.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '_' => valid.push(c),
            _ if valid.is_empty() || valid.ends_with('-') => {}
            _ => valid.push('-'),
        }
    }
    let valid = valid.trim_end_matches('-').trim_start_matches('_');
    let valid = if valid.is_empty() { "server" } else { valid };
    let is_free = |name: &String| !taken.contains(name);
    let numbered = (2..).map(|number| format!("{valid}-{number}"));
    std::iter::once(valid.to_owned())
        .chain(numbered)
        .find(is_free)
        .unwrap_or_default()
}

/// A server as a backend of this name; `origin` says for people where it comes from.
pub(crate) fn backend(remote: &Remote, name: &str, origin: &str, keep: Keep<'_>) -> Imported {
    let mut imported = Imported {
        name: name.to_owned(),
        needs: variables(&remote.url),
        ..Imported::default()
    };
    imported.toml = format!(
        "# {}\n[[backends]]\nname = {}\nurl = {}\n",
        origin.replace(|c: char| c.is_control(), " "),
        quoted(name),
        quoted(&imported.url(&remote.url, keep))
    );
    let mut headers = Vec::new();
    for (key, value) in &remote.headers {
        imported.needs.extend(variables(value));
        let bearer = value.strip_prefix("Bearer ").map(str::trim);
        let bearer = bearer.filter(|_| key.eq_ignore_ascii_case("authorization"));
        let written = match bearer {
            Some(token) if only_variable(token).is_some() => {
                let variable = only_variable(token).unwrap_or_default();
                imported.set("bearer", format!("{{ env = {} }}", quoted(variable)));
                continue;
            }
            Some(token) if !has_variables(token) => {
                let secret = imported.keep(key, token, keep);
                imported.set("bearer", secret);
                continue;
            }
            _ if !has_variables(value) && is_secret(key, value) => imported.keep(key, value, keep),
            _ => quoted(value),
        };
        headers.push(format!("{} = {written}", toml_key(key)));
        imported.keys.push(("headers", key.clone(), written));
    }
    if !headers.is_empty() {
        imported.toml += &format!("headers = {{ {} }}\n", headers.join(", "));
    }
    let may_hold_secrets =
        !remote.headers.is_empty() || remote.url.contains('?') || has_variables(&remote.url);
    if remote.allow_insecure && remote.url.starts_with("http://") && may_hold_secrets {
        imported.set("allow_insecure", "true".to_owned());
    }
    if let Some(file) = &remote.ca_file {
        imported.set("ca_file", quoted(file));
    }
    if let Some(allow) = &remote.tools.allow {
        imported.set("tools.allow", list(allow));
    }
    if !remote.tools.deny.is_empty() {
        imported.set("tools.deny", list(&remote.tools.deny));
    }
    match &remote.sign_in {
        None => {}
        Some(SignIn::Never) => imported.set("oauth", "false".to_owned()),
        Some(SignIn::OAuth(oauth)) => imported.sign_in(oauth, keep),
    }
    imported.needs.sort();
    imported.needs.dedup();
    imported
}

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

impl Imported {
    fn set(&mut self, key: &str, value: String) {
        self.toml += &format!("{key} = {value}\n");
        self.keys.push(("", key.to_owned(), value));
    }

    /// The URL with variables for what is secret in its query.
    fn url(&mut self, url: &str, keep: Keep<'_>) -> String {
        // The default of a variable may have a query, too.
        let is_open = |before: &str| {
            let last = before.rsplit_once("${");
            last.is_some_and(|(_, inside)| !inside.contains('}'))
        };
        let parts = url.split_once('?').filter(|(before, _)| !is_open(before));
        let Some((before, query)) = parts.filter(|_| keep.has_entry) else {
            return url.to_owned();
        };
        let (query, fragment) = query.split_at(query.find('#').unwrap_or(query.len()));
        let keep = Keep {
            tokens: Tokens::Env,
            ..keep
        };
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((key, value))
                if names_a_secret(key) && !value.is_empty() && !has_variables(value) =>
            {
                let variable = self.kept(key, value, keep);
                let pair = format!("{key}=${{{variable}}}");
                self.moved.push((key.to_owned(), variable));
                pair
            }
            _ => pair.to_owned(),
        });
        let pairs: Vec<String> = pairs.collect();
        format!("{before}?{}{fragment}", pairs.join("&"))
    }

    fn sign_in(&mut self, oauth: &OAuth, keep: Keep<'_>) {
        let mut members = Vec::new();
        if let Some(id) = &oauth.client_id {
            members.push(format!("client_id = {}", quoted(id)));
            self.returns_to = Some(match oauth.callback_port {
                Some(port) => format!("http://localhost:{port}/callback"),
                None => "http://127.0.0.1/callback".to_owned(),
            });
        }
        if let Some(secret) = &oauth.client_secret {
            let named = match only_variable(secret) {
                Some(variable) => {
                    self.needs.push(variable.to_owned());
                    format!("{{ env = {} }}", quoted(variable))
                }
                None => self.keep("client-secret", secret, keep),
            };
            members.push(format!("client_secret = {named}"));
        }
        if let Some(port) = oauth.callback_port {
            members.push(format!("callback_port = {port}"));
            members.push("callback_host = \"localhost\"".to_owned());
        }
        if !oauth.scopes.is_empty() {
            members.push(format!("scopes = {}", list(&oauth.scopes)));
        }
        if let Some(resource) = &oauth.resource {
            let resource = resource.as_ref().map(|text| quoted(text));
            members.push(format!(
                "resource = {}",
                resource.as_deref().unwrap_or("false")
            ));
        }
        self.set("oauth", format!("{{ {} }}", members.join(", ")));
    }

    /// Keeps a secret elsewhere. Returns how it is named in sentinel.toml.
    fn keep(&mut self, key: &str, secret: &str, keep: Keep<'_>) -> String {
        let name = quoted(&self.kept(key, secret, keep));
        match keep.tokens {
            Tokens::Files => format!("{{ file = {name} }}"),
            Tokens::Env => format!("{{ env = {name} }}"),
        }
    }

    /// Keeps a secret elsewhere. Returns the name of the file or variable.
    fn kept(&mut self, key: &str, secret: &str, keep: Keep<'_>) -> String {
        let plain = backend_name(key, &[]);
        let (name, joint, kept) = match keep.tokens {
            Tokens::Files => {
                let file = format!("{FOLDER}/{}-{plain}", self.name);
                (file, '-', &mut self.files)
            }
            Tokens::Env => {
                let variable = format!("{}_{plain}", self.name);
                let variable = variable.to_uppercase().replace('-', "_");
                let is_digit = variable.starts_with(|c: char| c.is_ascii_digit());
                let first = if is_digit { "_" } else { "" };
                (format!("{first}{variable}"), '_', &mut self.env)
            }
        };
        let numbered = (2..MAX_NUMBER).map(|number| format!("{name}{joint}{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let is_own = |name: &str| kept.iter().any(|(known, _)| known == name);
        let free = names.find(|name| !is_own(name) && (keep.is_free)(name, secret));
        let name = free.unwrap_or_else(|| name.clone());
        kept.push((name.clone(), secret.to_owned()));
        name
    }
}

/// The variables that a server names, also those with a default.
pub(crate) fn variables_of(remote: &Remote) -> impl Iterator<Item = String> {
    let secret = match &remote.sign_in {
        Some(SignIn::OAuth(oauth)) => oauth.client_secret.as_ref(),
        _ => None,
    };
    let headers = remote.headers.iter().map(|(_, value)| value);
    let texts = headers.chain([&remote.url]).chain(secret);
    let parts = texts.flat_map(|text| text.split("${").skip(1));
    parts.filter_map(|part| part.split([':', '}']).next().map(str::to_owned))
}

/// The variables of a text that have no default.
fn variables(text: &str) -> Vec<String> {
    let parts = text.split("${").skip(1);
    let names = parts.filter_map(|part| part.split_once('}').map(|(name, _)| name));
    names
        .filter(|name| !name.contains(":-"))
        .map(str::to_owned)
        .collect()
}

/// The variables of a query, as it is written, with the values that this URL has for them; `None` if it is not
/// the same otherwise.
pub(crate) fn query_values(written: &str, url: &str) -> Option<Vec<(String, String)>> {
    let (mut written, mut given) = (written.split('&'), url.split('&'));
    let mut values = Vec::new();
    loop {
        match (written.next(), given.next()) {
            (None, None) => return Some(values),
            (Some(written), Some(given)) if written == given => {}
            (written, given) => {
                let (key, variable) = written?.split_once('=')?;
                let value = given?.strip_prefix(key)?.strip_prefix('=')?;
                let variable = only_variable(variable).filter(|_| !has_variables(value))?;
                values.push((variable.to_owned(), value.to_owned()));
            }
        }
    }
}

/// Whether a header or a parameter of a URL holds a secret, by its name.
fn names_a_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names = [
        "auth", "key", "token", "secret", "cookie", "pass", "cred", "session", "sign",
    ];
    names.iter().any(|name| key.contains(name))
}

/// Whether a header's value is to be kept out of sentinel.toml: by its name, or by its looks.
fn is_secret(key: &str, value: &str) -> bool {
    let is_like_a_key = value.len() >= 12
        && !value.contains(' ')
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().any(|b| b.is_ascii_alphabetic());
    names_a_secret(key) || is_like_a_key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_config::servers::Limits;

    #[test]
    fn names_are_made_valid_and_unique() {
        let taken = ["a".to_owned(), "a-2".to_owned()];
        for (name, valid) in [
            ("Context7 Docs", "context7-docs"),
            ("github", "github"),
            ("A", "a-3"),
            ("__x__", "x__"),
            ("Ünï — c/ö", "n-c"),
            ("日本", "server"),
        ] {
            assert_eq!(backend_name(name, &taken), valid, "{name}");
        }
    }

    fn remote(headers: &[(&str, &str)]) -> Remote {
        let headers = headers
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Remote {
            url: "http://h/mcp".to_owned(),
            headers: headers.collect(),
            allow_insecure: true,
            ..Remote::default()
        }
    }

    fn keep(tokens: Tokens) -> Keep<'static> {
        Keep {
            tokens,
            has_entry: true,
            is_free: &|_, _| true,
        }
    }

    #[test]
    fn no_secret_gets_the_name_of_another_one() {
        let remote = remote(&[("X-Key", "hidden-1"), ("X_Key", "hidden-2")]);
        let taken = |name: &str, _: &str| !["MY_X_KEY", "secrets/my-x-key"].contains(&name);
        for (tokens, expected) in [
            (Tokens::Env, ["MY_X_KEY_2", "MY_X_KEY_3"]),
            (Tokens::Files, ["secrets/my-x-key-2", "secrets/my-x_key"]),
        ] {
            let imported = backend(
                &remote,
                "my",
                "",
                Keep {
                    is_free: &taken,
                    ..keep(tokens)
                },
            );
            let names = imported.env.iter().chain(&imported.files);
            let names: Vec<&str> = names.map(|(name, _)| &**name).collect();
            assert_eq!(names, expected);
            for name in names {
                assert!(imported.toml.contains(&format!("\"{name}\"")), "{name}");
            }
        }
    }

    #[test]
    fn no_token_stays_in_the_file() {
        let remote = remote(&[
            ("Authorization", "Bearer hidden"),
            ("X-Api-Key", "hidden"),
            ("X-Id", "a1b2c3d4e5f6g7"),
            ("X-Tenant", "acme"),
            ("X-Other", "${OTHER} ${MORE:-x}"),
        ]);
        let imported = backend(&remote, "my-docs", "from\nX", keep(Tokens::Files));
        assert_eq!(
            imported.toml,
            "# from X\n[[backends]]\nname = \"my-docs\"\nurl = \"http://h/mcp\"\n\
             bearer = { file = \"secrets/my-docs-authorization\" }\n\
             headers = { X-Api-Key = { file = \"secrets/my-docs-x-api-key\" }, \
             X-Id = { file = \"secrets/my-docs-x-id\" }, X-Tenant = \"acme\", \
             X-Other = \"${OTHER} ${MORE:-x}\" }\nallow_insecure = true\n"
        );
        assert_eq!(imported.files.len(), 3);
        assert_eq!(imported.needs, ["OTHER"]);
        let imported = backend(&remote, "my-docs", "", keep(Tokens::Env));
        assert!(
            imported
                .toml
                .contains("bearer = { env = \"MY_DOCS_AUTHORIZATION\" }")
        );
        assert_eq!(
            imported.env[0],
            ("MY_DOCS_AUTHORIZATION".to_owned(), "hidden".to_owned())
        );
        assert!(!imported.toml.contains("hidden"));
    }

    #[test]
    fn no_secret_stays_in_the_query_of_a_url() {
        let moved = |url: &str| {
            let remote = Remote {
                url: url.to_owned(),
                ..Remote::default()
            };
            let imported = backend(&remote, "docs", "", keep(Tokens::Files));
            let (_, url) = imported.toml.trim_end().split_once("url = ").unwrap();
            (url.trim_matches('"').to_owned(), imported)
        };
        let (url, imported) = moved("https://h/mcp?a=1&api_key=hidden%201&Token=hidden-2#x");
        let expected = "https://h/mcp?a=1&api_key=${DOCS_API_KEY}&Token=${DOCS_TOKEN}#x";
        assert_eq!(url, expected);
        let env = imported.env.iter().map(|(_, secret)| &**secret);
        assert_eq!(env.collect::<Vec<_>>(), ["hidden%201", "hidden-2"]);
        assert_eq!(imported.moved.len(), 2);
        assert!(imported.files.is_empty() && imported.needs.is_empty());
        // Nothing secret, or a variable already, also within a default.
        for url in [
            "https://h/mcp?project=abcdef123456",
            "https://h/mcp?api_key=${K}&token=",
            "${BASE:-https://h/mcp?api_key=x&a=b}&c",
        ] {
            assert_eq!(moved(url).0, url);
        }
        let values = |written: &str| query_values(written, "https://h/mcp?a=1&api_key=hidden");
        let own = vec![("K".to_owned(), "hidden".to_owned())];
        assert_eq!(values("https://h/mcp?a=1&api_key=${K}"), Some(own));
        for other in [
            "https://h/mcp?a=1",
            "https://h/mcp?a=1&api_key=${K}&b=2",
            "https://h/mcp?a=2&api_key=${K}",
            "https://h/mcp?a=1&key=${K}",
        ] {
            assert_eq!(values(other), None, "{other}");
        }
    }

    #[test]
    fn limits_and_sign_ins_are_written() {
        let text = |text: &str| Some(text.to_owned());
        let remote = Remote {
            url: "https://h/mcp".to_owned(),
            tools: Limits {
                allow: Some(vec!["a".to_owned()]),
                deny: vec!["b".to_owned(), "[*]".to_owned()],
            },
            sign_in: Some(SignIn::OAuth(OAuth {
                client_id: text("c"),
                client_secret: text("hidden"),
                callback_port: Some(3118),
                scopes: vec!["s".to_owned()],
                resource: Some(None),
            })),
            ..Remote::default()
        };
        let imported = backend(&remote, "docs", "", keep(Tokens::Files));
        let (_, lines) = imported.toml.split_once("url = ").unwrap();
        assert_eq!(
            lines,
            "\"https://h/mcp\"\ntools.allow = [\"a\"]\ntools.deny = [\"b\", \"[*]\"]\n\
             oauth = { client_id = \"c\", client_secret = { file = \"secrets/docs-client-secret\" }, \
             callback_port = 3118, callback_host = \"localhost\", scopes = [\"s\"], resource = false }\n"
        );
        assert_eq!(imported.files[0].1, "hidden");
        assert_eq!(imported.returns_to, text("http://localhost:3118/callback"));
    }

    #[test]
    fn a_token_from_a_variable_stays_one() {
        let imported = backend(
            &remote(&[("authorization", "Bearer ${T}")]),
            "a",
            "",
            keep(Tokens::Files),
        );
        assert!(
            imported.toml.contains("bearer = { env = \"T\" }"),
            "{}",
            imported.toml
        );
        assert_eq!(imported.needs, ["T"]);
        assert_eq!(imported.files, []);
    }
}
