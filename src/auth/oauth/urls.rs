//! URLs that a server's documents name.
//!
//! Owns the rule which of them may be requested: https, and plain http to loopback for a backend on
//! loopback, or where the user allows it. None has a user, a password or a fragment.

use url::Url;

use crate::config::is_loopback;

/// What is allowed of URLs that a server names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlRules {
    /// The backend is on loopback: plain http is allowed to loopback.
    pub backend_on_loopback: bool,
    /// The user allows plain http everywhere: `allow_insecure`.
    pub allow_insecure: bool,
}

impl UrlRules {
    /// Reads a URL that a server named in `member`.
    ///
    /// # Errors
    /// A message for people: it is no URL, has a user, or isn't https.
    pub fn read(self, member: &str, text: &str) -> Result<Url, String> {
        let shown = super::shown(text);
        let url = Url::parse(text).map_err(|_| format!("{member} is no URL: {shown}"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("{member} has a user name or password in it"));
        }
        if url.fragment().is_some() {
            return Err(format!("{member} has a fragment: {shown}"));
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.allow_insecure => Ok(url),
            "http" if self.backend_on_loopback && is_loopback(&url) => Ok(url),
            _ => Err(format!("{member} is not https: {shown}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_is_taken_and_http_where_it_is_allowed() {
        let rules = |backend_on_loopback, allow_insecure| UrlRules {
            backend_on_loopback,
            allow_insecure,
        };
        let (public, local, insecure) =
            (rules(false, false), rules(true, false), rules(false, true));
        for (text, expected) in [
            ("https://a.example/token", [true, true, true]),
            ("https://10.0.0.1/token", [true, true, true]),
            ("http://127.0.0.1:1/token", [false, true, true]),
            ("http://localhost/token", [false, true, true]),
            ("http://a.example/token", [false, false, true]),
            ("http://10.0.0.1/token", [false, false, true]),
            ("javascript:alert(1)", [false; 3]),
            ("data:text/html,x", [false; 3]),
            ("file:///etc/passwd", [false; 3]),
            ("vbscript:x", [false; 3]),
            ("https://user@a.example/", [false; 3]),
            ("https://:word@a.example/", [false; 3]),
            ("https://a.example/#x", [false; 3]),
            ("/token", [false; 3]),
            ("", [false; 3]),
        ] {
            let read = [public, local, insecure].map(|rules| rules.read("x", text).is_ok());
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn a_refused_url_is_shown_without_control_characters() {
        let rules = UrlRules {
            backend_on_loopback: false,
            allow_insecure: false,
        };
        let why = rules
            .read("token_endpoint", "ftp://a\u{1b}[2J/\u{202e}")
            .unwrap_err();
        assert_eq!(why, "token_endpoint is no URL: ftp://a?[2J/?");
    }
}
