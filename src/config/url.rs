//! Where a backend listens: reading URLs, showing them, and what may travel to them.

use std::net::IpAddr;

use reqwest::Url;

/// Reads the URL of a backend. One that has no path at all gets `/mcp`.
///
/// # Errors
/// What is wrong with it and the fix, without a word of the text itself.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    if !text.contains("://") {
        return Err("not a URL; it must begin with http:// or https://".to_owned());
    }
    let mut url = Url::parse(text).map_err(|error| {
        format!("not a URL ({error}); it must read like http://127.0.0.1:3002/mcp")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http:// and https:// can be spoken to".to_owned());
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

/// The URL as it may be shown: as it was written, its variables unexpanded, without user,
/// query and fragment, any of which may hold a secret.
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
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// Whether a query holds what is probably a credential, as written.
pub(super) fn has_secret_query(written: &str) -> bool {
    let query = written.split_once('?').map_or("", |(_, query)| query);
    super::expand::has_variables(query)
        || query
            .split('&')
            .any(|pair| names_a_secret(pair.split('=').next().unwrap_or_default()))
}

/// Whether what goes by this name (of a header or a parameter) is probably a credential.
pub(super) fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "cookie", "key", "password", "secret", "token"]
        .iter()
        .any(|part| name.contains(part))
}

/// Whether anything, if only `/`, stands between the host and query, fragment or end.
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
    fn only_a_url_without_any_path_gets_one() {
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
    fn refused_without_quoting() {
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
    fn shown_without_secrets() {
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
    fn loopback_by_name_and_number() {
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
