//! What an entry of a client is: a server over HTTP, a program, or ourselves.
//!
//! Owns the spellings of a URL and of headers in all clients, the programs that carry a client to an
//! HTTP server, and that nothing else of an entry is lost. No program is run, and nothing that a file names is read.

mod bridge;
mod members;
mod remote;
mod text;
pub(crate) mod tool_rules;

use serde_json::Value;
use url::Url;

use super::splice::Entry;
use remote::PROGRAM;
pub(crate) use remote::{Limits, OAuth, PROXIES, Remote, SignIn, UNCHECKED, is_proxy};
pub(crate) use text::{has_variables, only_variable, passed, variables};

/// What an entry starts or connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Server {
    /// An MCP server over HTTP.
    Remote(Box<Remote>),
    /// This gateway.
    Ours,
    /// It stays with the client, for this reason.
    Stays(String),
}

/// Reads an entry.
pub(crate) fn server(entry: &Entry) -> Server {
    let value = &entry.value;
    if is_ours(entry) {
        return Server::Ours;
    }
    if value["disabled"] == true || value["enabled"] == false {
        return Server::Stays("it is switched off".to_owned());
    }
    let url = ["url", "serverUrl", "httpUrl", "uri"]
        .iter()
        .find_map(|key| value[key].as_str());
    let found = match (command_line(value), url) {
        (Some(words), _) => match bridge::target(&words) {
            Some(target) => target.remote(&text::variables(value)),
            None => Err(PROGRAM.to_owned()),
        },
        (None, Some(url)) => remote(value, url),
        (None, None) => Err("it has neither a URL nor a command".to_owned()),
    };
    let found = found.and_then(|remote| members::with_members(value, remote));
    match found.and_then(checked) {
        Ok(remote) => Server::Remote(Box::new(remote)),
        Err(why) => Server::Stays(why),
    }
}

/// Whether an entry starts this gateway.
pub(crate) fn is_ours(entry: &Entry) -> bool {
    let words = command_line(&entry.value).unwrap_or_default();
    words
        .first()
        .is_some_and(|program| bridge::program(program) == "sentinel-gateway")
}

/// Command and arguments of an entry, in any of the two spellings.
pub(crate) fn command_line(value: &Value) -> Option<Vec<String>> {
    let texts = |list: &Value| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    };
    match &value["command"] {
        Value::String(command) => {
            let args = texts(&value["args"]);
            Some(std::iter::once(command.clone()).chain(args).collect())
        }
        list @ Value::Array(_) => Some(texts(list)),
        _ => None,
    }
}

/// An entry with a URL.
fn remote(value: &Value, url: &str) -> Result<Remote, String> {
    if !value["headersHelper"].is_null() {
        return Err("its headers come from a command, which is not run".to_owned());
    }
    let kind = value["type"].as_str().unwrap_or("http");
    if ["ws", "websocket"].contains(&kind) {
        return Err("it is reached over WebSocket".to_owned());
    }
    let variables = text::variables(value);
    let mut headers = Vec::new();
    for key in ["headers", "http_headers"] {
        for (name, value) in value[key].as_object().into_iter().flatten() {
            let value = value.as_str().ok_or("a header is no text")?;
            headers.push((name.clone(), text::converted(value, &variables)?));
        }
    }
    let named = value["env_http_headers"].as_object().into_iter().flatten();
    headers.extend(named.filter_map(|(name, variable)| {
        Some((name.clone(), format!("${{{}}}", variable.as_str()?)))
    }));
    if let Some(variable) = value["bearer_token_env_var"].as_str() {
        headers.push((
            "Authorization".to_owned(),
            format!("Bearer ${{{variable}}}"),
        ));
    }
    Ok(Remote {
        url: text::converted(url, &variables)?,
        headers,
        ..Remote::default()
    })
}

/// The server, if it can be a backend.
///
/// # Errors
/// Why it can't.
pub(crate) fn checked(mut remote: Remote) -> Result<Remote, String> {
    remote.url = with_path(remote.url);
    if has_variables(&remote.url) {
        return Ok(remote);
    }
    let url = Url::parse(&remote.url).map_err(|_| "its URL is not valid".to_owned())?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err("its URL is neither http nor https".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("its URL holds a user and a password: write them as a header".to_owned());
    }
    Ok(remote)
}

/// The URL with a path: ours would get /mcp where there is none at all. A variable may hold one.
fn with_path(mut url: String) -> String {
    let Some((scheme, after)) = url.split_once("://") else {
        return url;
    };
    let end = after.find(['/', '\\', '?', '#']).unwrap_or(after.len());
    let (host, rest) = after.split_at(end);
    if !rest.starts_with(['/', '\\']) && !has_variables(scheme) && !has_variables(host) {
        let at = url.len() - rest.len();
        url.insert(at, '/');
    }
    url
}

#[cfg(test)]
mod tests;
