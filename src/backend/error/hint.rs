//! What a person can do about a failure.
//!
//! Owns the advice for each kind of error, and the command lines in it, which are safe to paste: a shell
//! takes the URL for one word.

use crate::auth::Advice;

use super::{BackendError, ConnectKind, seconds};

impl BackendError {
    /// What a person can do about it; `url` is the backend's, without secrets.
    pub fn hint(&self, url: &str) -> Option<String> {
        match self {
            Self::Connect {
                kind: ConnectKind::Refused | ConnectKind::NotTaken,
                ..
            } => Some(format!("is the server running? try: {}", curl(url))),
            Self::Connect {
                kind: ConnectKind::Internal,
                ..
            } => Some("please report it".into()),
            Self::Connect { .. } | Self::ServerError { .. } => Some(format!("try: {}", curl(url))),
            Self::Certificate { kind, .. } => Some(kind.hint().into()),
            Self::AuthRequired {
                status,
                anonymous,
                sign_in,
                ..
            } => Some(credentials(*status, *anonymous, sign_in.as_deref())),
            Self::Refused {
                status: 404 | 405, ..
            } => Some("is the path of the url right? it is often /mcp".into()),
            Self::Redirected {
                is_closed: true, ..
            } => Some("the administrator's file has the server there for itself".into()),
            Self::Redirected { target, .. }
                if url.starts_with("https:") && target.starts_with("http:") =>
            {
                Some("put the final address into url, with https".into())
            }
            Self::Redirected { .. } => Some("put the final address into url".into()),
            Self::BudgetExceeded { .. } => Some("call less at once, or raise it".into()),
            Self::TooLarge { .. } => Some("raise max_message_bytes if you need it".into()),
            Self::OverRatio { .. } => Some("a server can send such an answer uncompressed".into()),
            Self::Unavailable {
                retry_after: Some(wait),
                ..
            }
            | Self::RateLimited {
                retry_after: Some(wait),
                ..
            } => Some(format!("try again in {}", seconds(wait))),
            Self::Unavailable { .. } | Self::RateLimited { .. } => Some("try again later".into()),
            _ => None,
        }
    }
}

/// What to do about a 401 or 403.
fn credentials(status: u16, anonymous: bool, advice: Option<&Advice>) -> String {
    match advice {
        Some(advice) if advice.is_certain => format!("in a terminal: {}", advice.command),
        advice if anonymous => {
            let login = advice.map(|advice| format!(", or sign in: {}", advice.command));
            let login = login.unwrap_or_default();
            format!(
                "give this backend a token: bearer = {{ env = \"VARIABLE\" }} or --bearer-env, or under headers what it asks for{login}"
            )
        }
        _ if status == 401 => "check bearer or headers of this backend".to_owned(),
        _ => "these credentials are not enough for this server".to_owned(),
    }
}

/// A command line that asks this URL. A config may have been written by somebody else, and a
/// model may run what it reads: a shell must take the URL for one word.
fn curl(url: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]%@+,=".contains(c);
    if url.chars().all(plain) {
        format!("curl -i {url}")
    } else {
        format!("curl -i '{}'", url.replace('\'', "%27"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_the_url_of_a_hint_for_one_word() {
        let hint =
            |url| BackendError::connect(ConnectKind::Refused, "connection refused").hint(url);
        for (url, command) in [
            (
                "http://127.0.0.1:3002/mcp",
                "curl -i http://127.0.0.1:3002/mcp",
            ),
            ("http://[::1]/a%20b", "curl -i http://[::1]/a%20b"),
            ("http://h/;id", "curl -i 'http://h/;id'"),
            ("http://h/$(id)", "curl -i 'http://h/$(id)'"),
            (
                "http://h/${IFS}-o${IFS}f",
                "curl -i 'http://h/${IFS}-o${IFS}f'",
            ),
            ("http://h/';id;'", "curl -i 'http://h/%27;id;%27'"),
        ] {
            let hint = hint(url).unwrap();
            assert!(hint.ends_with(&format!("try: {command}")), "{hint}");
        }
    }
}
