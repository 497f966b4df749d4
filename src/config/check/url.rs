//! Backend URLs.
//!
//! Owns their parsing (`/mcp` where there is no path), the form that messages show, without anything that may
//! be a secret, and which hosts are this machine.

use std::net::IpAddr;

use reqwest::Url;

/// Parses the URL of a backend. `/mcp` is appended if it has no path.
///
/// # Errors
/// The problem and the fix, without quoting the text, which may hold a secret.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    if !text.contains("://") {
        return Err("not a URL; it must begin with http:// or https://".to_owned());
    }
    let mut url = Url::parse(text).map_err(|error| {
        format!("not a URL ({error}); it must look like http://127.0.0.1:3002/mcp")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http:// and https:// URLs are supported".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "user and password don't belong in a URL; use bearer, or headers with an Authorization"
                .to_owned(),
        );
    }
    if !has_path(text) {
        url.set_path("/mcp");
    }
    Ok(url)
}

/// The URL to show in messages: as written, variables not expanded, without user, query and
/// fragment, any of which may hold a secret.
pub(super) fn shown(written: &str) -> String {
    let end = end_of_path(written);
    let (shown, cut) = written.split_at(end);
    let shown = match shown.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.find(['/', '\\']).unwrap_or(rest.len());
            let user = rest[..authority].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[user..])
        }
        None => shown.to_owned(),
    };
    if !cut.is_empty() || has_path(written) || !written.contains("://") {
        return shown;
    }
    format!("{shown}/mcp")
}

/// Whether the host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Whether there is a path, even if only `/`.
fn has_path(text: &str) -> bool {
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    after_scheme
        .find(['/', '\\', '?', '#'])
        .is_some_and(|at| after_scheme[at..].starts_with(['/', '\\']))
}

fn end_of_path(text: &str) -> usize {
    text.find(['?', '#']).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_added_only_where_there_is_none() {
        for (text, expected) in [
            ("http://127.0.0.1:3002", "http://127.0.0.1:3002/mcp"),
            ("http://127.0.0.1:3002/", "http://127.0.0.1:3002/"),
            ("http://h/mcp", "http://h/mcp"),
            ("http://h/MCP//x/", "http://h/MCP//x/"),
            ("https://h?a=/b", "https://h/mcp?a=/b"),
            ("http://[::1]:80", "http://[::1]/mcp"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn invalid_urls_are_refused_without_being_quoted() {
        for text in [
            "127.0.0.1:3002/mcp",
            "localhost:3002",
            "ftp://hidden.example/",
            "ws://hidden.example/",
            "http://",
            "http://hidden example/",
            "http://h:99999/",
            "http://hidden@h/",
            "http://u:hidden@h/",
        ] {
            let reason = parse(text).unwrap_err();
            assert!(!reason.contains("hidden"), "{reason}");
        }
    }

    #[test]
    fn the_shown_url_has_no_secrets() {
        for (text, expected) in [
            ("http://h:1/mcp", "http://h:1/mcp"),
            ("http://h:1", "http://h:1/mcp"),
            ("http://u:hidden@h:1/a", "http://h:1/a"),
            ("http://h/a@b/c", "http://h/a@b/c"),
            ("https://h/mcp?key=hidden#hidden", "https://h/mcp"),
            ("https://h/${SECRET}/mcp", "https://h/${SECRET}/mcp"),
        ] {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn loopback_is_recognised_by_name_and_by_address() {
        for (text, expected) in [
            ("http://127.0.0.1/", true),
            ("http://127.8.9.1/", true),
            ("http://2130706433/", true),
            ("http://LOCALHOST:1/", true),
            ("http://a.localhost/", true),
            ("http://[::1]/", true),
            ("http://[::ffff:127.0.0.1]/", true),
            ("http://localhost.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://10.0.0.1/", false),
            ("http://0.0.0.0/", false),
        ] {
            assert_eq!(is_loopback(&parse(text).unwrap()), expected, "{text}");
        }
    }
}
