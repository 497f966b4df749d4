//! What a failed attempt proves about its request.
//!
//! Owns whether the tool may have run, and the class that the retry policy decides by. The rules are
//! those of `.planning/EVIDENCE.md`. It must not know whether a call may run twice.

use std::time::Duration;

use super::BackendError;
use crate::protocol::Executed;

/// What a failed attempt shows of its request, for [`retry`](crate::backend::retry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// It never reached a server: connection refused, DNS, connect timeout, refused h2 stream.
    NotSent,
    /// The server says that it did not take it: 429, or 503 with `Retry-After`.
    NotTaken {
        /// The wait that it asks for, where that can be read.
        retry_after: Option<Duration>,
    },
    /// 503 without `Retry-After`.
    Unavailable,
    /// 500, 502, 504, a timeout or a broken stream after sending.
    MayHaveRun,
    /// It was refused, and what it lacked has been renewed since: 401 and the credentials, 404
    /// and the session.
    Renewed {
        /// The status itself says that the request was not taken; `false` where only the text of
        /// an error speaks of a lost session.
        by_status: bool,
    },
    /// Another attempt would end the same.
    Final,
}

impl BackendError {
    /// The wait that the server asks for with `Retry-After`.
    pub(in crate::backend) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// Whether this attempt may have run the tool. `No` only with evidence: the request was not
    /// `sent`, or the server says about this request that it did not take it. A status that merely
    /// sounds like a refusal is none.
    pub fn executed(&self, sent: bool) -> Executed {
        if !sent {
            return Executed::No;
        }
        match self {
            Self::Misconfigured(_)
            | Self::SignInUnavailable(_)
            | Self::Connect { .. }
            | Self::Certificate { .. }
            | Self::OutOfResources(_)
            | Self::Deadline { sent: false, .. }
            | Self::RateLimited { .. }
            | Self::Unavailable {
                retry_after: Some(_),
                ..
            }
            | Self::AuthRequired { status: 401, .. }
            | Self::SessionLost { by_status: true }
            | Self::Handshake(_)
            | Self::Silent(_) => Executed::No,
            Self::Deadline { sent: true, .. }
            | Self::Unavailable {
                retry_after: None, ..
            }
            | Self::AuthRequired { .. }
            | Self::SessionLost { by_status: false }
            | Self::ConnectionLost { .. }
            | Self::Idle { .. }
            | Self::ServerError { .. }
            | Self::Refused { .. }
            | Self::Redirected { .. }
            | Self::EraChanged { .. }
            | Self::BadReply(_)
            | Self::TooLarge { .. }
            | Self::OverRatio { .. }
            | Self::BudgetExceeded { .. }
            | Self::RequestTooLarge { .. } => Executed::Unknown,
        }
    }

    /// The class of this failure, of an attempt whose request was `sent` or not.
    pub fn retry_class(&self, sent: bool) -> RetryClass {
        match self.retry_class_if_sent() {
            // The handshake failed so.
            RetryClass::MayHaveRun | RetryClass::Unavailable if !sent => RetryClass::NotSent,
            class => class,
        }
    }

    fn retry_class_if_sent(&self) -> RetryClass {
        match self {
            Self::Connect { .. } | Self::OutOfResources(_) => RetryClass::NotSent,
            Self::RateLimited { retry_after, .. } => RetryClass::NotTaken {
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
            Self::ConnectionLost { .. }
            | Self::ServerError { .. }
            | Self::Idle { .. }
            | Self::Refused {
                // Request timeout, conflict, too early, client closed request.
                status: 408 | 409 | 425 | 499,
                ..
            } => RetryClass::MayHaveRun,
            Self::AuthRequired {
                status: 401,
                renewed: true,
                ..
            } => RetryClass::Renewed { by_status: true },
            Self::EraChanged { .. } => RetryClass::Renewed { by_status: false },
            Self::SessionLost { by_status } => RetryClass::Renewed {
                by_status: *by_status,
            },
            _ => RetryClass::Final,
        }
    }
}
