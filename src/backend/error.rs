//! What can go wrong between the gateway and one backend.
//!
//! Owns [`BackendError`], the one error type of this boundary, and the questions it answers: its
//! class, whether the tool may have run, whether the request may be sent again, and what a person
//! can do. Decisions are made by kind, never by searching a message.

mod certificate;
mod challenge;
mod evidence;
mod hint;
mod source;

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Advice;
use crate::budget::BudgetExceeded;
use crate::governance::Health;
use crate::protocol::{Class, Executed, RawJson};
pub use certificate::CertificateKind;
pub use challenge::Challenge;
pub use evidence::RetryClass;
pub use source::Source;

/// Why a backend gave no response that can be passed on. `Display` says what happened, without
/// the backend's name and without secrets; [`BackendError::hint`] says what to do;
/// [`source`](std::error::Error::source) is the error underneath, where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The config names something that isn't there: a variable, a file, a command.
    #[error("{0}")]
    Misconfigured(String),
    /// No connection could be made, or the server did not take the request; nothing ran.
    #[error("{why}")]
    Connect {
        /// What kind of failure.
        kind: ConnectKind,
        /// For people.
        why: String,
        /// The HTTP stack's error.
        source: Option<Source>,
    },
    /// TLS failed on a certificate; nothing was sent.
    #[error("{why}")]
    Certificate {
        /// Whose certificate.
        kind: CertificateKind,
        /// For people.
        why: String,
        /// The HTTP stack's error.
        source: Option<Source>,
    },
    /// The gateway lacks a resource of its own, such as file descriptors; nothing was sent.
    #[error("{0}")]
    OutOfResources(String),
    /// The connection broke, or the server ended, after the request was sent.
    #[error("connection lost after the request was sent ({why})")]
    ConnectionLost {
        /// For people.
        why: String,
        /// The HTTP stack's error.
        source: Option<Source>,
    },
    /// The call's time ran out, before or after the request was sent.
    #[error("{} within {}", if *.sent { "no answer" } else { "not sent" }, seconds(.limit))]
    Deadline {
        /// Whether the request was handed to the HTTP client.
        sent: bool,
        /// The call's whole time.
        limit: Duration,
    },
    /// Nothing came for longer than `idle_timeout_secs` while a call was open.
    #[error("silent for {}", seconds(.limit))]
    Idle {
        /// The longest silence allowed.
        limit: Duration,
    },
    /// A 5xx status other than 503.
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
    #[error("the server asks for fewer requests (HTTP 429){}", quoted(.snippet))]
    RateLimited {
        /// `Retry-After`, where the server gave one that can be read.
        retry_after: Option<Duration>,
        /// The beginning of the body, escaped; may be empty.
        snippet: String,
    },
    /// 401 or 403.
    #[error("{}", refusal(*.status, *.anonymous, .snippet, certain(.sign_in)))]
    AuthRequired {
        /// HTTP status.
        status: u16,
        /// The config has no credentials for this backend.
        anonymous: bool,
        /// The beginning of the body, escaped; may be empty.
        snippet: String,
        /// `WWW-Authenticate`, as the server wrote it.
        challenge: Option<Challenge>,
        /// The credentials have been renewed since the request was sent.
        renewed: bool,
        /// The request was in a session, and the body speaks of a lost one.
        session_lost: bool,
        /// What a person can do by signing in.
        sign_in: Option<Arc<Advice>>,
    },
    /// There is no token to send for now; nothing was sent.
    #[error("{0}")]
    SignInUnavailable(String),
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
        /// The administrator's file has the server there for itself.
        is_closed: bool,
    },
    /// The server no longer knows our session.
    #[error("the server has lost the session")]
    SessionLost {
        /// By the specification: 404 with a session id, and no JSON-RPC response under our id. It
        /// says that the request was not taken. `false` for any other sign.
        by_status: bool,
    },
    /// The server seems to speak another era than at the handshake. That says nothing about this
    /// request.
    #[error("the server no longer speaks the protocol that it did")]
    EraChanged {
        /// The error object that it gave without an id. It is the answer if the request is not sent
        /// again.
        answer: Option<RawJson>,
    },
    /// A response that is no MCP response.
    #[error("the server's answer can't be used: {0}")]
    BadReply(String),
    /// The response is over `max_message_bytes`.
    #[error("the server's answer is larger than {limit} bytes (max_message_bytes)")]
    TooLarge {
        /// The cap, in bytes.
        limit: usize,
    },
    /// The response became more than one message may be, and more than this many times what was received.
    #[error("the server's answer has more than one message and is compressed over {ratio} times")]
    OverRatio {
        /// The cap.
        ratio: u64,
    },
    /// The gateway's byte budget is exhausted.
    #[error(
        "the answer does not fit into the budget of all calls together, {limit} bytes (max_buffered_bytes)"
    )]
    BudgetExceeded {
        /// The cap, in bytes.
        limit: usize,
    },
    /// 413: the request is over a cap of the server.
    #[error("the request is too large for the server (HTTP 413){}", quoted(.snippet))]
    RequestTooLarge {
        /// The beginning of the body, escaped; may be empty.
        snippet: String,
    },
    /// The handshake failed, though the connection works.
    #[error("{0}")]
    Handshake(String),
    /// The server does not answer the handshake.
    #[error("{0}")]
    Silent(String),
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectKind {
    /// Nothing listens at the address.
    Refused,
    /// No TCP and TLS connection within `connect_timeout_secs`.
    Timeout,
    /// The name can't be resolved.
    Dns,
    /// The server said on an open connection that it does not process the request (RFC 9113,
    /// section 8.7).
    NotTaken,
    /// The gateway is shutting down.
    ShuttingDown,
    /// The gateway has a bug, which showed with this server.
    Internal,
    /// Anything else.
    Other,
}

impl BackendError {
    /// The class that the client gets in `data`, where this is known of the whole call.
    pub fn class(&self, executed: Executed) -> Class {
        match self.class_if_sent() {
            Class::OutcomeUnknown if executed == Executed::No => Class::Unreachable,
            class => class,
        }
    }

    fn class_if_sent(&self) -> Class {
        match self {
            Self::Misconfigured(_)
            | Self::SignInUnavailable(_)
            | Self::Connect { .. }
            | Self::Certificate { .. } => Class::Unreachable,
            Self::OutOfResources(_) | Self::Unavailable { .. } | Self::BudgetExceeded { .. } => {
                Class::Overloaded
            }
            Self::ConnectionLost { .. }
            | Self::ServerError { .. }
            | Self::EraChanged { .. }
            | Self::SessionLost { by_status: false } => Class::OutcomeUnknown,
            Self::Deadline { .. } | Self::Idle { .. } => Class::Deadline,
            Self::RateLimited { .. } => Class::RateLimited,
            Self::AuthRequired { .. } => Class::AuthRequired,
            Self::Refused { .. }
            | Self::Redirected { .. }
            | Self::SessionLost { by_status: true } => Class::Refused,
            Self::BadReply(_) | Self::Handshake(_) | Self::Silent(_) => Class::BadReply,
            Self::TooLarge { .. } | Self::OverRatio { .. } | Self::RequestTooLarge { .. } => {
                Class::TooLarge
            }
        }
    }

    /// What a call that ends with it shows of the backend's health: only transport errors and 5xx
    /// count against it. A backend that refuses, or answers nonsense, is up.
    pub(crate) fn health(&self) -> Health {
        match self {
            Self::Connect { .. }
            | Self::Certificate { .. }
            | Self::ConnectionLost { .. }
            | Self::ServerError { .. }
            | Self::Unavailable { .. } => Health::Failure(self.to_string()),
            // Caused by the gateway, or by a call that takes too long.
            Self::Misconfigured(_)
            | Self::SignInUnavailable(_)
            | Self::OutOfResources(_)
            | Self::BudgetExceeded { .. }
            | Self::Deadline { .. }
            | Self::Idle { .. }
            | Self::Silent(_) => Health::Neutral,
            Self::RateLimited { .. }
            | Self::AuthRequired { .. }
            | Self::Refused { .. }
            | Self::Redirected { .. }
            | Self::SessionLost { .. }
            | Self::EraChanged { .. }
            | Self::BadReply(_)
            | Self::TooLarge { .. }
            | Self::OverRatio { .. }
            | Self::RequestTooLarge { .. }
            | Self::Handshake(_) => Health::Success,
        }
    }

    /// What a person can do by signing in, where that is what is missing.
    pub(crate) fn advice(&self) -> Option<&Advice> {
        match self {
            Self::AuthRequired { sign_in, .. } => certain(sign_in),
            _ => None,
        }
    }

    /// A person has to sign in before anything is sent.
    pub(crate) fn sign_in(advice: Arc<Advice>) -> Self {
        Self::AuthRequired {
            status: 401,
            anonymous: false,
            snippet: String::new(),
            challenge: None,
            renewed: false,
            session_lost: false,
            sign_in: Some(advice),
        }
    }

    /// Whether nothing changes before a person has signed in.
    pub(crate) fn awaits_sign_in(&self) -> bool {
        matches!(self, Self::AuthRequired { status: 401, .. }) && self.advice().is_some()
    }

    /// Whether the connection can't be used any more. A server that takes no more requests on an
    /// HTTP/2 connection, or not this one, still knows the session.
    pub(crate) fn ends_connection(&self) -> bool {
        match self {
            Self::SessionLost { .. } | Self::EraChanged { .. } => true,
            Self::Connect { kind, .. } => *kind != ConnectKind::NotTaken,
            _ => false,
        }
    }

    /// What happened and what to do, in one line for `check`, the log and the client.
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

impl BackendError {
    /// No connection, for a reason of ours.
    pub(crate) fn connect(kind: ConnectKind, why: impl Into<String>) -> Self {
        Self::Connect {
            kind,
            why: why.into(),
            source: None,
        }
    }

    /// The response ended before it was complete.
    pub(crate) fn connection_lost(why: impl Into<String>) -> Self {
        Self::ConnectionLost {
            why: why.into(),
            source: None,
        }
    }
}

impl From<BudgetExceeded> for BackendError {
    fn from(BudgetExceeded { limit }: BudgetExceeded) -> Self {
        Self::BudgetExceeded { limit }
    }
}

/// What a server with this status does: 401 asks for credentials, 403 need not.
fn refusal(status: u16, anonymous: bool, snippet: &str, advice: Option<&Advice>) -> String {
    if let Some(advice) = advice {
        return advice.why.clone();
    }
    let does = match (status, anonymous) {
        (_, false) => "refuses our credentials",
        (401, true) => "wants a sign-in or a token",
        (_, true) => "refuses access",
    };
    format!("the server {does} (HTTP {status}){}", quoted(snippet))
}

fn certain(advice: &Option<Arc<Advice>>) -> Option<&Advice> {
    advice.as_deref().filter(|advice| advice.is_certain)
}

fn quoted(snippet: &str) -> String {
    if snippet.is_empty() {
        String::new()
    } else {
        format!(": {snippet}")
    }
}
