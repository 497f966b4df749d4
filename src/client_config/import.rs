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
    /// Whether a name of a file or variable is free for a secret: the second argument.
    pub(crate) is_free: &'a dyn Fn(&str, &str) -> bool,
}

/// A server as a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Imported {
    /// Its name as a backend.
    pub(crate) name: String,
    /// Its lines in sentinel.toml.
    pub(crate) toml: String,
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
        toml: format!(
            "# {}\n[[backends]]\nname = {}\nurl = {}\n",
            origin.replace(|c: char| c.is_control(), " "),
            quoted(name),
            quoted(&remote.url)
        ),
        files: Vec::new(),
        env: Vec::new(),
        needs: variables(&remote.url),
        returns_to: None,
    };
    let mut headers = Vec::new();
    for (key, value) in &remote.headers {
        imported.needs.extend(variables(value));
        let bearer = value.strip_prefix("Bearer ").map(str::trim);
        let bearer = bearer.filter(|_| key.eq_ignore_ascii_case("authorization"));
        match bearer {
            Some(token) if only_variable(token).is_some() => {
                let variable = only_variable(token).unwrap_or_default();
                imported.toml += &format!("bearer = {{ env = {} }}\n", quoted(variable));
            }
            Some(token) if !has_variables(token) => {
                let secret = imported.keep(key, token, keep);
                imported.toml += &format!("bearer = {secret}\n");
            }
            _ if !has_variables(value) && is_secret(key, value) => {
                let secret = imported.keep(key, value, keep);
                headers.push(format!("{} = {secret}", toml_key(key)));
            }
            _ => headers.push(format!("{} = {}", toml_key(key), quoted(value))),
        }
    }
    if !headers.is_empty() {
        imported.toml += &format!("headers = {{ {} }}\n", headers.join(", "));
    }
    let may_hold_secrets =
        !remote.headers.is_empty() || remote.url.contains('?') || has_variables(&remote.url);
    if remote.allow_insecure && remote.url.starts_with("http://") && may_hold_secrets {
        imported.toml += "allow_insecure = true\n";
    }
    if let Some(allow) = &remote.tools.allow {
        imported.toml += &format!("tools.allow = {}\n", list(allow));
    }
    if !remote.tools.deny.is_empty() {
        imported.toml += &format!("tools.deny = {}\n", list(&remote.tools.deny));
    }
    match &remote.sign_in {
        None => {}
        Some(SignIn::Never) => imported.toml += "oauth = false\n",
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
        self.toml += &format!("oauth = {{ {} }}\n", members.join(", "));
    }

    /// Keeps a secret elsewhere. Returns how it is named in sentinel.toml.
    fn keep(&mut self, key: &str, secret: &str, keep: Keep<'_>) -> String {
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
        let named = match keep.tokens {
            Tokens::Files => format!("{{ file = {} }}", quoted(&name)),
            Tokens::Env => format!("{{ env = {} }}", quoted(&name)),
        };
        kept.push((name, secret.to_owned()));
        named
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

/// Whether a header's value is to be kept out of sentinel.toml: by its name, or by its looks.
fn is_secret(key: &str, value: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names = [
        "auth", "key", "token", "secret", "cookie", "pass", "cred", "session", "sign",
    ];
    let is_like_a_key = value.len() >= 12
        && !value.contains(' ')
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().any(|b| b.is_ascii_alphabetic());
    names.iter().any(|name| key.contains(name)) || is_like_a_key
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
                    tokens,
                    is_free: &taken,
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
