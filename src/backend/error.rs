//! What can go wrong between the gateway and one backend.
//!
//! Owns the one error of this boundary and the questions it answers: what class it is, whether
//! the tool may have run, whether the same may be sent again, and what a person could do.

use std::time::Duration;

use super::retry::RetryClass;
use crate::budget::BudgetExceeded;
use crate::protocol::{Class, Executed};

/// Why a backend gave no answer that can be passed on. `Display` says what happened, without
/// the backend's name and without secrets; [`BackendError::hint`] says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The config names something that isn't there: a variable, a file, a command.
    #[error("{0}")]
    Misconfigured(String),
    /// No connection could be made; nothing was sent.
    #[error("{0}")]
    Connect(String),
    /// TLS refused the other side (expired, wrong host, unknown issuer); nothing was sent.
    #[error("{0}")]
    Certificate(String),
    /// We are out of something ourselves, such as file descriptors; nothing was sent.
    #[error("{0}")]
    OutOfResources(String),
    /// The connection broke, or the server died, after the request was sent.
    #[error("connection lost after the request was sent ({0})")]
    ConnectionLost(String),
    /// The call's time ran out, before or after the request was sent.
    #[error("{} within {}", if *.sent { "no answer" } else { "not sent" }, seconds(.limit))]
    Deadline {
        /// Whether the backend has got the request.
        sent: bool,
        /// The whole time the call had.
        limit: Duration,
    },
    /// Nothing came for longer than `idle_timeout_secs` while a call was open.
    #[error("silent for {}", seconds(.limit))]
    Idle {
        /// The silence allowed.
        limit: Duration,
    },
    /// 500, 502, 504 and the like.
    #[error("the server answered HTTP {status}{}", quoted(.snippet))]
    ServerError {
        /// HTTP status.
        status: u16,
        /// The beginning of the body, escaped; may be empty.
        snippet: String,
    },
    /// 503.
    #[error("the server is not available (HTTP 503){}", quoted(.snippet))]
    Unavailable {
        /// `Retry-After`, where the server gave one: it says that the request was not taken.
        retry_after: Option<Duration>,
        /// The beginning of the body, escaped; may be empty.
        snippet: String,
    },
    /// 429.
    #[error("the server asks for fewer requests (HTTP 429)")]
    RateLimited {
        /// `Retry-After`, where the server gave one that can be read.
        retry_after: Option<Duration>,
    },
    /// 401 or 403.
    #[error("the server refuses our credentials (HTTP {status}){}", quoted(.snippet))]
    AuthRequired {
        /// HTTP status.
        status: u16,
        /// What the server says of it, escaped; may be empty.
        snippet: String,
    },
    /// Another 4xx.
    #[error("the server refused the request (HTTP {status}){}", quoted(.snippet))]
    Refused {
        /// HTTP status.
        status: u16,
        /// The beginning of the body, escaped; may be empty.
        snippet: String,
    },
    /// A redirect that is not followed.
    #[error("the server redirects to {target}, which is not followed")]
    Redirected {
        /// Scheme, host and path, without query.
        target: String,
    },
    /// The backend has forgotten our session.
    #[error("the server has lost the session")]
    SessionLost {
        /// By the rules (404 with a session id), which says that the request was not taken;
        /// else by something that looks like it.
        by_status: bool,
    },
    /// The backend speaks another era than it did when we connected; the request was not taken.
    #[error("the server no longer speaks the protocol that it did")]
    EraChanged,
    /// An answer that is no MCP answer.
    #[error("the server's answer can't be used: {0}")]
    BadReply(String),
    /// The answer is over `max_message_bytes`.
    #[error("the server's answer is larger than {limit} bytes (max_message_bytes)")]
    TooLarge {
        /// The cap, in bytes.
        limit: usize,
    },
    /// The gateway holds as much as it may for all calls together.
    #[error(
        "there was no room for the answer: the gateway holds as much as it may for all calls together, {limit} bytes (max_buffered_bytes)"
    )]
    BudgetExceeded {
        /// The cap, in bytes.
        limit: usize,
    },
    /// 413: the request is over a cap of the backend.
    #[error("the request is too large for the server (HTTP 413)")]
    RequestTooLarge,
    /// The handshake went wrong in a way that is not about the connection.
    #[error("{0}")]
    Handshake(String),
    /// The server does not answer the handshake.
    #[error("{0}")]
    Silent(String),
}

impl BackendError {
    /// The class that the client is told.
    pub fn class(&self) -> Class {
        match self {
            Self::Misconfigured(_) | Self::Connect(_) | Self::Certificate(_) => Class::Unreachable,
            Self::OutOfResources(_) | Self::Unavailable { .. } | Self::BudgetExceeded { .. } => {
                Class::Overloaded
            }
            Self::ConnectionLost(_)
            | Self::ServerError { .. }
            | Self::SessionLost { by_status: false } => Class::OutcomeUnknown,
            Self::Deadline { .. } | Self::Idle { .. } => Class::Deadline,
            Self::RateLimited { .. } => Class::RateLimited,
            Self::AuthRequired { .. } => Class::AuthRequired,
            Self::Refused { .. }
            | Self::Redirected { .. }
            | Self::EraChanged
            | Self::SessionLost { by_status: true } => Class::Refused,
            Self::BadReply(_) | Self::Handshake(_) | Self::Silent(_) => Class::BadReply,
            Self::TooLarge { .. } | Self::RequestTooLarge => Class::TooLarge,
        }
    }

    /// Whether the tool may have run, as far as this attempt goes.
    pub fn executed(&self) -> Executed {
        match self.retry_class() {
            RetryClass::NotSent
            | RetryClass::NotTaken { .. }
            | RetryClass::Renewed { by_status: true } => Executed::No,
            RetryClass::Unavailable
            | RetryClass::MayHaveRun
            | RetryClass::Renewed { by_status: false } => Executed::Unknown,
            RetryClass::Final => match self {
                Self::BadReply(_) | Self::TooLarge { .. } => Executed::Unknown,
                Self::BudgetExceeded { .. } => Executed::Unknown,
                Self::Deadline { sent: true, .. } | Self::Idle { .. } => Executed::Unknown,
                _ => Executed::No,
            },
        }
    }

    /// What this says about sending the same again.
    pub fn retry_class(&self) -> RetryClass {
        match self {
            Self::Connect(_) | Self::OutOfResources(_) => RetryClass::NotSent,
            Self::RateLimited { retry_after } => RetryClass::NotTaken {
                retry_after: *retry_after,
            },
            Self::Unavailable {
                retry_after: Some(wait),
                ..
            } => RetryClass::NotTaken {
                retry_after: Some(*wait),
            },
            Self::Unavailable {
                retry_after: None, ..
            } => RetryClass::Unavailable,
            Self::ConnectionLost(_) | Self::ServerError { .. } | Self::Idle { .. } => {
                RetryClass::MayHaveRun
            }
            Self::EraChanged => RetryClass::Renewed { by_status: true },
            Self::SessionLost { by_status } => RetryClass::Renewed {
                by_status: *by_status,
            },
            _ => RetryClass::Final,
        }
    }

    /// What a person could do about it; `url` is where the backend was looked for.
    pub fn hint(&self, url: &str) -> Option<String> {
        match self {
            Self::Connect(cause) if cause.contains("refused") => {
                Some(format!("is the server running? try: {}", curl(url)))
            }
            Self::Connect(_) | Self::ServerError { .. } => Some(format!("try: {}", curl(url))),
            Self::Certificate(cause) if cause.contains("alert") => {
                Some("the server asks for a client certificate of its own choice: client_cert_file, client_key_file".into())
            }
            Self::Certificate(_) => Some("a private CA goes into ca_file".into()),
            Self::AuthRequired { status: 401, .. } => {
                Some("check bearer or headers of this backend".into())
            }
            Self::AuthRequired { .. } => {
                Some("these credentials are not enough for this server".into())
            }
            Self::Refused {
                status: 404 | 405, ..
            } => Some("is the path of the url right? it is often /mcp".into()),
            Self::Redirected { .. } => Some("put the final address into url".into()),
            Self::BudgetExceeded { .. } => Some("call less at once, or raise it".into()),
            Self::TooLarge { .. } => Some("raise max_message_bytes if you need it".into()),
            Self::Unavailable { .. } | Self::RateLimited { .. } => Some("try again later".into()),
            _ => None,
        }
    }

    /// Whether the server has understood us, and said no.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Handshake(_) | Self::Refused { .. } | Self::BadReply(_) | Self::EraChanged
        )
    }

    /// Whether the link is no good any more, and a new one is needed.
    pub fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::SessionLost { .. } | Self::EraChanged | Self::Connect(_)
        )
    }

    /// The whole line: what happened and what to do. `check`, the log and the client all get this.
    pub fn explain(&self, url: &str) -> String {
        match self.hint(url) {
            Some(hint) => format!("{self}: {hint}"),
            None => self.to_string(),
        }
    }
}

fn seconds(limit: &Duration) -> String {
    format!("{} s", limit.as_secs_f64())
}

impl From<BudgetExceeded> for BackendError {
    fn from(BudgetExceeded { limit }: BudgetExceeded) -> Self {
        Self::BudgetExceeded { limit }
    }
}

fn quoted(snippet: &str) -> String {
    if snippet.is_empty() {
        String::new()
    } else {
        format!(": {snippet}")
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
        let hint = |url| BackendError::Connect("connection refused".into()).hint(url);
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
