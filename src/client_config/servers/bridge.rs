//! Programs that connect a client to one HTTP server: mcp-remote, and mcp-proxy with a URL.
//!
//! Owns the reading of their command lines. An entry with an option that is not known stays with its client.

use super::members::glob_of_pattern;
use super::remote::{Limits, OAuth, PROGRAM, Remote, SignIn, is_proxy};
use super::text;

/// Where a program would connect to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    url: String,
    /// The headers, each written as `Name: value`, or as a pair.
    headers: Vec<(String, String)>,
    allow_insecure: bool,
    /// The variable of the entry that holds a bearer token.
    token: Option<&'static str>,
    /// Globs of tools that it hides.
    deny: Vec<String>,
    sign_in: Option<SignIn>,
    /// Node.js runs it, which has variables for certificates.
    is_of_node: bool,
    /// It goes through the proxies that variables name.
    takes_proxies: bool,
    /// What it is started with besides, and may depend on.
    unknown: Option<String>,
}

/// The name of a program: no folder, no version, no extension.
pub(super) fn program(word: &str) -> &str {
    let name = word.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let extensions = [".exe", ".cmd", ".js"];
    extensions
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name)
}

/// Reads a command line; `None` if it starts another program.
pub(super) fn target(words: &[String]) -> Option<Target> {
    let bridges = ["mcp-remote", "mcp-proxy", "mcp_proxy"];
    let at = words
        .iter()
        .position(|word| bridges.contains(&program(word)))?;
    // What comes before starts it: a runner of packages, with its own options.
    let runners = [
        "npx", "bunx", "pnpm", "pnpx", "yarn", "npm", "uvx", "uv", "pipx", "cmd", "node", "python",
        "python3",
    ];
    if at > 0 && !runners.contains(&program(&words[0])) {
        return None;
    }
    let is_remote = program(&words[at]) == "mcp-remote";
    match is_remote {
        true => mcp_remote(&words[at + 1..]),
        false => mcp_proxy(&words[at + 1..]),
    }
}

fn is_url(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

/// Options of mcp-remote that say nothing about the server, each with whether a value follows: where a
/// browser returns to, how long that may take, which transport is tried first, and what is logged.
const LOST: [(&str, bool); 6] = [
    ("--host", true),
    ("--callback-path", true),
    ("--auth-timeout", true),
    ("--transport", true),
    ("--debug", false),
    ("--silent", false),
];

fn mcp_remote(words: &[String]) -> Option<Target> {
    let (url, rest) = words.split_first().filter(|(word, _)| is_url(word))?;
    let mut target = Target {
        url: url.clone(),
        is_of_node: true,
        ..Target::default()
    };
    let mut oauth = OAuth::default();
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let mut value = || {
            value
                .clone()
                .or_else(|| rest.next().cloned())
                .unwrap_or_default()
        };
        match option {
            "--header" => {
                if let Some((name, value)) = value().split_once(':') {
                    let header = (name.trim().to_owned(), value.trim().to_owned());
                    target.headers.push(header);
                }
            }
            "--ignore-tool" => target.deny.push(glob_of_pattern(&value())),
            "--allow-http" => target.allow_insecure = true,
            "--enable-proxy" => target.takes_proxies = true,
            "--resource" => oauth.resource = Some(Some(value())),
            "--disable-resource-parameter" => oauth.resource = Some(None),
            _ if LOST.contains(&(option, true)) => drop(value()),
            _ if LOST.contains(&(option, false)) => {}
            // The port that a browser returns to.
            port if port.bytes().all(|b| b.is_ascii_digit()) => {}
            // What follows may be its value.
            _ => {
                target.unknown.get_or_insert_with(|| option.to_owned());
            }
        }
    }
    if oauth != OAuth::default() {
        target.sign_in = Some(SignIn::OAuth(oauth));
    }
    Some(target)
}

fn mcp_proxy(words: &[String]) -> Option<Target> {
    let mut headers = Vec::new();
    let mut url = None;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-H" | "--headers" => headers.push((rest.next()?.clone(), rest.next()?.clone())),
            "--transport" => {
                rest.next();
            }
            word if is_url(word) && url.is_none() => url = Some(word.to_owned()),
            // With a port or a command it is a server itself.
            word if word.starts_with("--transport=") => {}
            _ => return None,
        }
    }
    Some(Target {
        url: url?,
        headers,
        allow_insecure: true,
        token: Some("API_ACCESS_TOKEN"),
        takes_proxies: true,
        ..Target::default()
    })
}

impl Target {
    /// The server, with the variables that the entry sets.
    ///
    /// # Errors
    /// Why it stays with the client.
    pub(super) fn remote(self, variables: &[(String, String)]) -> Result<Remote, String> {
        if let Some(unknown) = self.unknown {
            // Any other word may be a secret.
            let shown = match unknown.starts_with("--") {
                true => format!("{unknown:?}"),
                false => "an argument".to_owned(),
            };
            return Err(format!(
                "it is started with {shown}, which the gateway has nothing like"
            ));
        }
        let mut headers = Vec::new();
        for (name, value) in &self.headers {
            headers.push((name.clone(), text::converted(value, variables)?));
        }
        let token = self
            .token
            .and_then(|name| variables.iter().find(|(known, _)| known == name));
        if let Some((_, token)) = token {
            let token = text::converted(token, &[])?;
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        if headers.iter().any(|(name, _)| name.is_empty()) {
            return Err(PROGRAM.to_owned());
        }
        let of_node = |name: &str| {
            let mut set = variables.iter().filter(|_| self.is_of_node);
            let (_, value) = set.find(|(known, value)| known == name && !value.is_empty())?;
            Some(value.clone())
        };
        let proxies = variables.iter().filter(|_| self.takes_proxies);
        let proxies = proxies.filter(|(name, _)| is_proxy(name));
        Ok(Remote {
            url: text::converted(&self.url, variables)?,
            headers,
            ca_file: of_node("NODE_EXTRA_CA_CERTS"),
            proxies: proxies.cloned().collect(),
            is_unchecked: of_node("NODE_TLS_REJECT_UNAUTHORIZED").as_deref() == Some("0"),
            allow_insecure: self.allow_insecure,
            tools: Limits {
                allow: None,
                deny: self.deny,
            },
            sign_in: self.sign_in,
        })
    }
}
