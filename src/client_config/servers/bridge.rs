//! Programs that carry a client to one HTTP server: mcp-remote, and mcp-proxy with a URL.

use super::remote::{PROGRAM, Remote};
use super::text;

/// Where a program would connect to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    url: String,
    /// The headers, each written as `Name: value`, or as a pair.
    headers: Vec<(String, String)>,
    allow_insecure: bool,
    /// The variable of the entry that holds a bearer token.
    token: Option<&'static str>,
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

fn mcp_remote(words: &[String]) -> Option<Target> {
    let url = words.first().filter(|word| is_url(word))?;
    let mut headers = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let header = match word.strip_prefix("--header=") {
            Some(header) => Some(header),
            None if word == "--header" => words.get(index + 1).map(String::as_str),
            None => None,
        };
        if let Some((name, value)) = header.and_then(|header| header.split_once(':')) {
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Some(Target {
        url: url.clone(),
        headers,
        allow_insecure: words.iter().any(|word| word == "--allow-http"),
        token: None,
    })
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
    })
}

impl Target {
    /// The server, with the variables that the entry sets.
    ///
    /// # Errors
    /// Why it stays with the client.
    pub(super) fn remote(self, variables: &[(String, String)]) -> Result<Remote, String> {
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
        Ok(Remote {
            url: text::converted(&self.url, variables)?,
            headers,
            allow_insecure: self.allow_insecure,
        })
    }
}
